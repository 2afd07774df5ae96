"""What is looked at before a network is trained."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.own import GivenNetwork, OwnOrigin
from evo_fair.own import check_searchable, prunable_groups
from evo_fair.problem import load_problem
from evo_fair.pruning.task import Task

from .conftest import digits_task


class Sums(nn.Module):
    """A network whose images are averaged by an operator that has no price, or by one that has."""

    def __init__(self, *, priced: bool) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.Linear(16, 10)
        self.priced = priced

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x))
        summed: torch.Tensor = self.last(x.mean((2, 3)) if self.priced else torch.einsum("nchw->nc", x) / 36)
        return summed


def test_a_network_whose_latency_can_not_be_told_is_refused_untrained() -> None:
    with pytest.raises(PruningError, match="its operators Einsum have no price"):
        check_searchable(Sums(priced=False), digits_task())


def test_looking_at_a_network_changes_nothing_of_it() -> None:
    network = Sums(priced=True).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    check_searchable(network, digits_task())
    assert all(module.training for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class Counts(nn.Module):
    """Multiplies a row by itself, whose pairs are as many as its square: a number that no step per channel makes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 16, 3), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        row = self.first(x).flatten(2)
        pairs = (row @ row.transpose(1, 2)).flatten(1).sum(1)
        made: torch.Tensor = self.last(row.mean(2) * torch.sigmoid(pairs)[:, None])
        return made


def test_layers_that_do_not_follow_from_channel_counts_are_refused_untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    def trains(*_: object, **_more: object) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr(Task, "train", trains)
    monkeypatch.setitem(sys.modules, "counts", SimpleNamespace(network=Counts))
    problem, task = load_problem("digits"), digits_task()
    with pytest.raises(PruningError, match="don't follow from its channel counts"):
        OwnOrigin.open(GivenNetwork("counts:network"), problem, task.dataset, task.group, None, Listener())


class Drops(nn.Module):
    """Drops whole channels in training, of which it counts on 16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.bernoulli(torch.full((len(x), 16, 1, 1), 0.9)) if self.training else x


def dropping(*more: nn.Module) -> nn.Module:
    """A network with such a dropout, and more behind it."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    return nn.Sequential(nn.Conv2d(1, 16, 3), Drops(), *more, *head).eval()


def test_channels_that_only_training_counts_on_stay() -> None:
    network, state = dropping(nn.Conv2d(16, 16, 1)), torch.random.get_rng_state()
    assert list(digits_task().structure(network).groups) == ["0", "2"]
    assert list(prunable_groups(network, digits_task())) == ["2"]
    assert not network.training
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(PruningError, match="0: the network does not run in training mode without one of them"):
        check_searchable(dropping(), digits_task())
