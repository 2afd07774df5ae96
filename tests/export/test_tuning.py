"""How networks are trained before they are deployed."""

import numpy as np
import pytest
import torch

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, NonFiniteError
from evo_fair.export.tuning import Tuning, train_network
from evo_fair.nets import Network
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Problem, Training
from evo_fair.space import SearchSpace

TRAINING = Training(epochs=40, learning_rate=0.05)


@pytest.mark.parametrize(
    ("tuning", "epochs", "rate"),
    [
        (Tuning(), 10, 0.01),
        (Tuning(from_scratch=True), 40, 0.05),
        (Tuning(epochs=3, learning_rate=0.2), 3, 0.2),
        (Tuning(epochs=0), 0, 0.01),
    ],
)
def test_recipe_is_the_problems_with_what_suits_the_kind_of_training(tuning: Tuning, epochs: int, rate: float) -> None:
    recipe = tuning.recipe(TRAINING)
    assert recipe.epochs == epochs
    assert recipe.learning_rate == pytest.approx(rate)
    assert recipe.weight_decay == TRAINING.weight_decay


def test_short_recipes_are_not_made_longer() -> None:
    assert Tuning().recipe(TRAINING.model_copy(update={"epochs": 4})).epochs == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -1}, "epochs -1 is too few: give 0 or more"),
        ({"epochs": 0, "from_scratch": True}, "epochs 0 is too few: a network from scratch needs 1 or more"),
        ({"epochs": 0, "fairness_weight": 1.0}, "epochs 0 means no training, so that .* would do nothing"),
        ({"epochs": 0, "learning_rate": 0.1}, "epochs 0 means no training"),
        ({"epochs": 0, "balance_groups": True}, "epochs 0 means no training"),
        ({"epochs": 0, "distillation": 0.5}, "epochs 0 means no training"),
        ({"distillation": 1.5}, "distillation 1.5 is no share of the loss"),
        ({"learning_rate": 0.0}, "learning rate 0: give a number above 0"),
        ({"learning_rate": float("nan")}, "learning rate nan"),
        ({"fairness_weight": -1.0}, "fairness weight -1: give 0"),
        ({"fairness_weight": float("inf")}, "fairness weight inf"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(EvoFairError, match=message):
        Tuning(**settings)


def test_settings_hold_what_was_chosen() -> None:
    plain = {"from_scratch": False, "fairness_weight": 0.0, "balance_groups": False}
    assert Tuning().settings == plain
    assert Tuning(epochs=3, distillation=0.5).settings == plain | {"epochs": 3, "distillation": 0.5}


def test_distillation_needs_the_whole_network(problem: Problem, dataset: Dataset, space: SearchSpace) -> None:
    network = Network(space.architecture(space.smallest()), space.labels)
    scaling = Scaling(torch.tensor([5.0]), torch.tensor([0.2]))
    with pytest.raises(ValueError, match="follows the whole network, which was not given"):
        train_network(network, dataset, "class", Tuning(distillation=0.5), problem.training, 0, scaling)


def test_balance_and_weight_change_what_is_learnt(problem: Problem, dataset: Dataset, space: SearchSpace) -> None:
    scaling = Scaling(torch.tensor([5.0]), torch.tensor([0.2]))
    weights = []
    for tuning in (Tuning(), Tuning(), Tuning(fairness_weight=2.0), Tuning(balance_groups=True)):
        torch.manual_seed(0)
        network = Network(space.architecture(space.smallest()), space.labels)
        recipe = problem.training.model_copy(update={"epochs": 1})
        train_network(network, dataset, "class", tuning, recipe, 0, scaling)
        weights.append(network.classifier.weight.detach().numpy())
    plain, again, fair, balanced = weights
    assert np.array_equal(plain, again)
    assert not np.array_equal(plain, fair)
    assert not np.array_equal(plain, balanced)


@pytest.mark.parametrize(
    ("tuning", "told"),
    [
        (Tuning(epochs=1, fairness_weight=1e30), r"lower --fairness-weight, now 1e\+30$"),
        (Tuning(epochs=1, learning_rate=1e30), r"lower --learning-rate, now 1e\+30$"),
        (Tuning(epochs=1, learning_rate=1e30, fairness_weight=2.0), r"1e\+30 or --fairness-weight, now 2$"),
    ],
)
def test_a_training_that_diverges_names_what_was_asked_for(
    problem: Problem, dataset: Dataset, space: SearchSpace, tuning: Tuning, told: str
) -> None:
    network = Network(space.architecture(space.smallest()), space.labels)
    scaling = Scaling(torch.tensor([5.0]), torch.tensor([0.2]))
    recipe = tuning.recipe(problem.training)
    with pytest.raises(NonFiniteError, match=rf"training diverged in epoch 1: .*{told}"):
        train_network(network, dataset, "class", tuning, recipe, 0, scaling)
