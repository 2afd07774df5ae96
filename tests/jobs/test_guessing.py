"""Networks that only guess, and networks that give probabilities, are told of."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import evo_fair as ef
from evo_fair.jobs.guessing import (
    ConstantAnswer,
    how_to_learn_more,
    say_doubts,
    warn_of_few_steps,
    warn_of_probabilities,
)
from evo_fair.problem import Training
from evo_fair.pruning.task import Task
from evo_fair.space import SearchSpace, SpaceSchema
from evo_fair.testing import small_space

from ..own.conftest import digits_task


class Heard(ef.Listener):
    def __init__(self) -> None:
        self.noted_lines: list[str] = []
        self.warnings: list[str] = []

    def noted(self, line: str) -> None:
        self.noted_lines.append(line)

    def warned(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture(scope="module")
def task() -> Task:
    return digits_task()


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture(scope="module")
def knowing(task: Task) -> nn.Module:
    network = linear()
    task.train(network, 3, 0)
    return network.eval()


def test_a_constant_answer_is_the_commonest_label_of_the_validation_part() -> None:
    labels = np.array([0, 0, 0, 0] + 12 * [1, 2, 1])
    dataset: Any = SimpleNamespace(labels=labels, part=lambda name: np.arange(4, 40), label_names=("a", "b", "c"))
    constant = ConstantAnswer.of(dataset)
    assert (constant.label, constant.right, constant.samples) == ("b", pytest.approx(2 / 3), 36)
    assert constant.clearly == pytest.approx(2 * (2 / 9 / 36) ** 0.5)
    assert str(constant) == "'b', which is right for 66.7 % of the 36 samples of the validation part"


@pytest.mark.parametrize(
    ("epochs", "batch", "told"),
    [
        (
            40,
            64,
            "The training had 320 steps, and fewer than 700 are mostly too few: raise epochs, or lower batch_size.",
        ),
        (40, 16, "The training had 1,280 steps. If its loss hardly fell, raise epochs. If it fell well, the networks"),
        (40, 4096, "The training had 40 steps"),
    ],
)
def test_what_to_do_where_networks_guess_depends_on_how_long_they_were_trained(
    epochs: int, batch: int, told: str
) -> None:
    training = Training(epochs=epochs, batch_size=batch, supernet_epochs=1)
    dataset: Any = SimpleNamespace(part=lambda name: np.arange(520))
    assert how_to_learn_more(training, dataset).startswith(told)
    of_supernet = how_to_learn_more(training, dataset, space=small_space())
    assert "too few: raise supernet_epochs, or lower batch_size." in of_supernet


@pytest.mark.parametrize("key", ["epochs", "supernet_epochs"])
@pytest.mark.parametrize(("epochs", "warned"), [(87, True), (88, False)])
def test_a_supernet_of_few_steps_is_warned_of(epochs: int, warned: bool, key: str) -> None:
    training = Training.model_validate({"batch_size": 64, "epochs": 9, key: epochs})
    dataset: Any = SimpleNamespace(part=lambda name: np.arange(520))  # 8 steps an epoch
    heard = Heard()
    warn_of_few_steps(training, dataset, small_space(), heard)
    told = (
        "the supernet's training has 696 steps (87 epochs, 520 training samples in batches of 64), and fewer than 700 "
        f"are mostly too few: raise {key}, or lower batch_size, in [training]"
    )
    assert heard.warnings == [told] * warned


@pytest.mark.parametrize(("epochs", "warned"), [(349, True), (350, False)])
def test_fair_steps_take_a_batch_for_each_kind(epochs: int, warned: bool) -> None:
    stage = {"slots": 2, "kinds": ["MB", "CB", "RB"], "widths": [8], "stride": 2}
    space = SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]}), (1, 8, 8), 10)
    kinds = int(space.cardinalities[~space.ordered].max())
    training = Training(epochs=epochs, batch_size=64, sampling="fair")
    dataset: Any = SimpleNamespace(part=lambda name: np.arange(2 * 64 * kinds + 63))  # 2 steps an epoch
    heard = Heard()
    warn_of_few_steps(training, dataset, space, heard)
    told = [f"{2 * epochs} steps" in line and f"of 64 for each of {kinds} networks" in line for line in heard.warnings]
    assert told == [True] * warned


def test_it_is_said_how_often_a_network_is_right(knowing: nn.Module, task: Task) -> None:
    heard = Heard()
    say_doubts("mine", knowing, task, heard, brought=True)
    (line,) = heard.noted_lines
    part = task.dataset.part("validation")
    right = 100 * float((task.predictions(knowing, "validation") == task.dataset.labels[part]).mean())
    assert right > 80
    assert line == f"mine is right for {right:.1f} % of the {len(part):,} samples of the validation part"
    assert heard.warnings == []


@pytest.mark.parametrize(
    ("brought", "told"),
    [(True, "for labels in this order: 0, 1, 2, 3, 4 and 5 more."), (False, "The training had ")],
)
def test_a_network_that_guesses_is_doubted(knowing: nn.Module, task: Task, brought: bool, told: str) -> None:
    heard = Heard()
    turned = nn.Sequential(knowing, nn.Linear(10, 10, bias=False))
    with torch.no_grad():
        turned[1].weight.copy_(torch.eye(10).roll(1, 0))  # type: ignore[operator]  # each label is the next one's
    say_doubts("mine", turned.eval(), task, heard, brought=brought)
    (line,) = heard.warnings
    assert line.startswith("mine does no clearly better than always answering '")
    assert told in line


@pytest.mark.parametrize(
    ("ending", "warned"),
    [
        (nn.Softmax(1), True),
        (nn.Sigmoid(), True),
        (nn.LogSoftmax(1), False),
        (nn.ReLU(), False),
        (nn.Identity(), False),
    ],
)
def test_probabilities_are_warned_of(ending: nn.Module, warned: bool, task: Task) -> None:
    network, heard = nn.Sequential(linear(), nn.BatchNorm1d(10), ending).train(), Heard()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    warn_of_probabilities("mine", network, task, heard)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [("leave that layer out" in line) for line in heard.warnings] == [True] * warned
