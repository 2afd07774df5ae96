"""Channels that belong together are those that Torch-Pruning itself finds, but no network is followed for ever."""

import time

import pytest
import torch
import torch_pruning
from torch import nn

from evo_fair.nets.reference import REFERENCES
from evo_fair.pruning import trace_structure
from evo_fair.pruning.coupling import coupled_layers


class Chained(nn.Module):
    """Three gates, each cut out of what it gates."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 8, 1)
        self.third = nn.Conv2d(12, 4, 1)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for cut in (-1, -2, -3):
            x = x * torch.sigmoid(x[:, cut:].mean(1, keepdim=True)) + x[:, cut : cut + 1 or None]
        return self.head(torch.cat([self.second(x), self.third(x)], 1).mean((2, 3)))


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "squeezenet", "resnet-18"])
def test_groups_are_those_of_the_library(name: str) -> None:
    network, x = REFERENCES[name](3).eval(), torch.randn(2, 3, 64, 64)
    _, found = coupled_layers(network, x)
    theirs = torch_pruning.DependencyGraph().build_dependency(network, x, verbose=False)
    expected = [
        [(str(item.dep.target.name), list(item.idxs), list(item.root_idxs)) for item in group]
        for group in theirs.get_all_groups()
    ]
    assert [
        [(str(item.dep.target.name), item.idxs, item.root_idxs) for item in group.items] for group in found
    ] == expected


def test_a_gate_cut_out_of_what_it_gates_is_given_up_at_once() -> None:
    begin = time.monotonic()
    structure = trace_structure(Chained(), torch.randn(2, 1, 4, 4))
    assert time.monotonic() - begin < 10
    assert (
        structure.fixed["first"]
        == "some of its channels are cut out and meet the others, so that they can't be told apart"
    )
    assert set(structure.groups) == {"second", "third"}, "the others are followed nevertheless"


class Zeroed(nn.Module):
    """Channels change places in a branch whose batch norm starts at 0, as in many residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 3)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.head((x + self.norm(x).roll(1, 1)).mean((2, 3)))


def test_what_goes_wrong_once_it_is_trained_is_found_before() -> None:
    structure = trace_structure(Zeroed().eval(), torch.randn(2, 1, 4, 4))
    assert not structure.groups
    assert structure.fixed["first"] == "without one of them the network computes something else than with it at 0"


class LayerScale(nn.Module):
    """A scale for each channel or one for all of them, as small as it is when training begins."""

    def __init__(self, *shape: int, start: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full(shape, start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x


class HiddenMean(nn.Module):
    """A mean over channels in a branch whose scale starts at about 0."""

    def __init__(self, scale: nn.Module) -> None:
        super().__init__()
        self.first, self.inner = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 12, 1)
        self.outer, self.scale, self.head = nn.Conv2d(12, 8, 1), scale, nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        y = torch.relu(self.inner(x))
        return self.head((x + self.scale(self.outer(y - y.mean(1, keepdim=True)))).mean((2, 3)))


def group_norm_at_zero() -> nn.Module:
    norm = nn.GroupNorm(2, 8)
    nn.init.zeros_(norm.weight)
    return norm


@pytest.mark.parametrize("scale", [LayerScale(), LayerScale(1, 8, 1, 1, start=1e-6), group_norm_at_zero()])
def test_no_scale_hides_a_branch_that_counts_its_channels(scale: nn.Module) -> None:
    network = HiddenMean(scale).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    structure = trace_structure(network, torch.randn(2, 1, 4, 4))
    assert structure.fixed["inner"] == "without one of them the network computes something else than with it at 0"
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


class GatedByLast(nn.Module):
    """Right without its first channel, wrong without its last, which gates the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = torch.relu(x) * torch.sigmoid(x[:, -1]).unsqueeze(1)
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


def test_one_channel_of_a_group_is_not_enough() -> None:
    structure = trace_structure(GatedByLast().eval(), torch.randn(2, 1, 4, 4))
    assert list(structure.groups) == ["second"]
