"""Networks as people bring them, small enough to search in seconds on the digits."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from evo_fair.nets import initialise
from evo_fair.nets.layout import give_own_inputs
from evo_fair.own import OwnNetwork, channel_orders, open_network
from evo_fair.problem import load_problem
from evo_fair.pruning.task import Task


class SmallDenseNet(nn.Module):
    """Two dense layers, whose outputs are put beside their inputs, a transition and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(12), nn.BatchNorm2d(20)])
        self.layers = nn.ModuleList(
            [nn.Conv2d(12, 8, 3, padding=1, bias=False), nn.Conv2d(20, 8, 3, padding=1, bias=False)]
        )
        self.transition = nn.Conv2d(28, 16, 1)
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(functional.relu(norm(x)))], 1)
        x = functional.avg_pool2d(functional.relu(self.transition(x)), 2)
        return self.head(x.view(x.size(0), -1))


class SqueezedBlock(nn.Module):
    """An inverted residual with squeeze and excitation."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.Hardswish()
        )
        self.squeeze, self.excite = nn.Conv2d(hidden, 8, 1), nn.Conv2d(8, hidden, 1)
        self.project = nn.Sequential(nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(self.expand(x))
        gate = functional.hardsigmoid(self.excite(functional.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return x + self.project(y * gate)


def squeezed_network() -> nn.Module:
    """A stem of stride 2, two inverted residuals with squeeze and excitation, a classifier."""
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
    blocks = [SqueezedBlock(16, 40), SqueezedBlock(16, 40)]
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


class ResidualBlock(nn.Module):
    """Two convolutions with a residual, which is projected where the channels change, and ReLU behind it."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(c_in, c_out, 3, stride, 1), nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(c_out), nn.BatchNorm2d(c_out)])
        self.projection = nn.Sequential()
        if stride > 1 or c_in != c_out:
            self.projection = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        y += self.projection(x) if len(self.projection) else x
        return torch.relu(y)


def residual_network() -> nn.Module:
    """A stem with pooling, residual and depthwise layers, a classifier: all that the proxy's kernels know."""
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    depthwise = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU6())
    blocks = [ResidualBlock(16, 16, 1), ResidualBlock(16, 24, 2), ResidualBlock(24, 24, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(24, 10)]
    return nn.Sequential(stem, nn.MaxPool2d(3, 1, 1), *blocks, depthwise, *head)


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "dense": SmallDenseNet,
    "residual": residual_network,
    "squeezed": squeezed_network,
}


def made(name: str) -> nn.Module:
    """A network with the weights that a seed gives, as it is once it was loaded."""
    network = MAKERS[name]()
    initialise(network, torch.Generator().manual_seed(0))
    return give_own_inputs(network).eval()


@cache
def digits_task() -> Task:
    """The digits with their own grouping and recipe."""
    problem = load_problem("digits")
    return Task(problem.dataset(), problem.fairness.group, problem.training)


@cache
def opened(name: str, orders: tuple[str, ...] = ("magnitude_l2",)) -> OwnNetwork:
    """A network opened as a space."""
    network = made(name)
    return open_network(network, digits_task(), channel_orders(network, digits_task(), orders))


@pytest.fixture(params=sorted(MAKERS))
def own(request: pytest.FixtureRequest) -> OwnNetwork:
    """Each of the networks, as a space with one order."""
    return opened(request.param)
