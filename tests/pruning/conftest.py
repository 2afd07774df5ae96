"""Networks small enough to work out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.pruning import Samples, Structure, trace_structure


class TwoLayers(nn.Module):
    """Two inputs, two hidden units without bias or ReLU, two labels: `logits = V (W x)`."""

    def __init__(self, first: list[list[float]], second: list[list[float]]) -> None:
        super().__init__()
        self.first = nn.Linear(2, len(first), bias=False)
        self.second = nn.Linear(len(first), len(second), bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor(first))
            self.second.weight.copy_(torch.tensor(second))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@pytest.fixture
def network() -> TwoLayers:
    return TwoLayers([[1.0, -3.0], [2.0, 0.0]], [[0.5, 1.25], [-1.5, 4.0]])


@pytest.fixture
def structure(network: TwoLayers) -> Structure:
    return trace_structure(network, torch.zeros(1, 2))


@pytest.fixture
def samples() -> Samples:
    """One sample of each of two groups; `network` gives the logits (0.5 + 2.5, -1.5 + 8) and (-1.5, 4.5)."""
    return Samples(torch.eye(2), np.array([0, 1]), np.array([0, 1], np.int16))
