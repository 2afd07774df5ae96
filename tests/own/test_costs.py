"""What layer tables say of a network's size is what its file has, or it is said and refused as a goal."""

import pytest
import torch
from torch import nn

from evo_fair.data import load_dataset
from evo_fair.errors import PruningError
from evo_fair.own import DEFAULT_ORDERS, OwnNetwork, channel_orders, open_network
from evo_fair.own.costs import doubtful_costs
from evo_fair.problem import Training
from evo_fair.pruning.task import Task


class Tied(nn.Module):
    """One convolution that is used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.stem(x))
        for _ in range(3):
            y = torch.relu(self.again(y))
        made: torch.Tensor = self.head(y.mean((2, 3)))
        return made


def opened(network: nn.Module) -> OwnNetwork:
    task = Task(load_dataset("digits"), "class", Training(epochs=1, batch_size=128, learning_rate=0.1))
    return open_network(network.eval(), task, channel_orders(network, task, DEFAULT_ORDERS[:1]))


def test_plain_layers_are_counted_as_their_file_is() -> None:
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()]
    own = opened(nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10)))
    assert doubtful_costs(own, (1, 8, 8), {"params", "macs", "peak_memory_bytes"}) == ""


def test_layers_that_are_used_again_are_said_and_refused_as_a_goal() -> None:
    own = opened(Tied())
    in_file = 9 * 16 + 16 + 9 * 16 * 16 + 16 + 16 * 10 + 10
    said = doubtful_costs(own, (1, 8, 8), {"latency_ms"})
    assert f"params {in_file + 2 * (9 * 16 * 16 + 16):,} (in its file {in_file:,})" in said
    assert "macs" not in said
    with pytest.raises(PruningError, match="params can be no objective or limit here, for the network is not made of"):
        doubtful_costs(own, (1, 8, 8), {"params", "latency_ms"})
