"""A training draws the same numbers each time, from wherever a network draws them, and leaves others' as they were."""

import random

import numpy as np
import torch
from torch import nn

from evo_fair.nets.fit import fit, initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.randomness import random_numbers_as_before, random_states, seed_everything
from evo_fair.problem import Training


class Drawing(nn.Module):
    """Draws from Python's and NumPy's own generators in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.layer(x)
        if self.training and (random.random() < 0.5) != (np.random.rand() < 0.5):  # noqa: NPY002
            made = made * 2
        return made


def trained() -> torch.Tensor:
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    labels = (x[:, 0] > 0).astype(np.int64)
    network = Drawing()
    initialise(network, torch.Generator().manual_seed(0))
    recipe = Training(epochs=3, batch_size=8, learning_rate=0.1, augment=())
    fit(network, x, labels, recipe, 5, normalise=Scaling.of(x))
    return network.layer.weight.detach().clone()


def test_two_trainings_of_a_network_that_draws_of_its_own_are_the_same() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random_states()
    first = trained()
    assert random_states()[1:] == before[1:], "Python's and NumPy's generators are where they were"
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(trained(), first)


def test_what_is_drawn_is_told() -> None:
    for draw in (random.random, np.random.rand, lambda: torch.rand(1)):
        before = random_states()
        assert random_states() == before
        draw()  # type: ignore[operator]
        assert random_states() != before


def test_after_a_block_all_generators_are_where_they_were() -> None:
    before = random_states()
    with random_numbers_as_before():
        seed_everything(3)
        assert all(now != then for now, then in zip(random_states(), before, strict=True))
    assert random_states() == before
