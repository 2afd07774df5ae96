"""The network that a job begins with is the same each time, wherever its owner's code draws numbers from."""

from pathlib import Path

import torch

from evo_fair.jobs.dense import given_network
from evo_fair.nets.randomness import random_states

MASKED = """
import random

import numpy as np
import torch
from torch import nn


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        mask = np.random.rand(4) < 0.5, [random.random() < 0.5 for _ in range(32)]
        self.register_buffer("mask", torch.tensor([*mask[0], *mask[1]]))
        self.register_buffer("noise", torch.rand(4))

    def forward(self, x):
        return self.layer(x)
"""


def test_a_network_of_ones_own_is_the_same_each_time(tmp_path: Path) -> None:
    """Else it is trained anew each time, and no job with it can be gone on with."""
    path = tmp_path / "masked.py"
    path.write_text(MASKED)
    first = given_network(f"{path}:Masked", 3).state_dict()
    torch.rand(1)
    before = random_states()
    second = given_network(f"{path}:Masked", 3).state_dict()
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())
    assert random_states() == before
