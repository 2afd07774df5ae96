"""What is looked at before a network is trained."""

import pytest
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.own import check_searchable

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
