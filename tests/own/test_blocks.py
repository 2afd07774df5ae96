"""Whole blocks that can be left out, whatever else holds them."""

import copy

import torch
from torch import nn

from evo_fair.own.blocks import removable_blocks, without_blocks

from .conftest import ResidualBlock


class NamedTwice(nn.Module):
    """A block that is a part of its own, too, and goes by that name first."""

    def __init__(self) -> None:
        super().__init__()
        self.block = ResidualBlock(4, 4, 1)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), self.block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).mean((2, 3))


class Listed(NamedTwice):
    """A block that is called from a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = list(self.body)
        del self.body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x.mean((2, 3))


def example() -> torch.Tensor:
    """Two images."""
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_block_of_two_names_is_left_out_under_both() -> None:
    network = NamedTwice().eval()
    assert list(removable_blocks(network, {}, example())) == ["block"]
    smaller = without_blocks(copy.deepcopy(network), ["block"])
    assert torch.equal(smaller(example()), network.body[:2](example()).mean((2, 3)))


def test_a_block_that_is_called_all_the_same_stays() -> None:
    assert not removable_blocks(Listed().eval(), {}, example())
