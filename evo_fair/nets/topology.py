"""What each block kind computes: its units (a convolution or linear layer with batch norm) and how they are joined."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from evo_fair.space import Block, Kind

__all__ = ["Unit", "run_block", "run_blocks", "units_of"]


class Unit(NamedTuple):
    """A convolution (kernel 0: a linear layer) followed by batch norm."""

    name: str
    c_in: int
    c_out: int
    kernel: int
    stride: int
    depthwise: bool = False

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight, as torch has it."""
        if self.kernel == 0:
            return (self.c_out, self.c_in)
        return (self.c_out, 1 if self.depthwise else self.c_in, self.kernel, self.kernel)


Apply = Callable[[Block, Unit, torch.Tensor], torch.Tensor]


def units_of(block: Block) -> list[Unit]:
    """The units of a block in the order in which `evo_fair.space` lays out its layers."""
    b = block
    shortcut = [Unit("shortcut", b.c_in, b.c_out, 1, b.stride)] if b.shortcut == 2 else []
    match b.kind:
        case Kind.MB:
            body = [
                Unit("expand", b.c_in, b.hidden, 1, 1),
                Unit("depthwise", b.hidden, b.hidden, b.kernel, b.stride, depthwise=True),
                Unit("project", b.hidden, b.c_out, 1, 1),
            ]
        case Kind.DB:
            body = [
                Unit("depthwise", b.c_in, b.c_in, b.kernel, b.stride, depthwise=True),
                Unit("pointwise", b.c_in, b.c_out, 1, 1),
            ]
        case Kind.RB:
            body = [
                Unit("first", b.c_in, b.hidden, b.kernel, b.stride),
                Unit("second", b.hidden, b.c_out, b.kernel, 1),
            ]
        case Kind.CB:
            body = [Unit("conv", b.c_in, b.c_out, b.kernel, b.stride)]
        case Kind.FC:
            body = [Unit("linear", b.c_in, b.c_out, 0, 1)]
        case Kind.SKIP:
            raise ValueError(f"{b.name} is skipped: a skipped slot has no units")
    return shortcut + body


def run_blocks(blocks: Sequence[Block], x: torch.Tensor, apply: Apply) -> torch.Tensor:
    """The features `[n, channels]` that `blocks` and, on images, global average pooling make of the input `x`.

    `apply(block, unit, tensor)` runs one unit, batch norm included. Every unit is followed by ReLU, the last one of a
    block after the shortcut has been added.
    """
    for block in blocks:
        x = run_block(block, x, apply)
    return x.mean((2, 3)) if x.dim() == 4 else x


def run_block(block: Block, x: torch.Tensor, apply: Apply) -> torch.Tensor:
    """The feature maps that one block makes of `x`; see `run_blocks`."""
    units = {unit.name: unit for unit in units_of(block)}
    shortcut = units.pop("shortcut", None)
    *inner, last = units.values()
    y = x
    for unit in inner:
        y = functional.relu(apply(block, unit, y))
    y = apply(block, last, y)
    if shortcut:
        y = y + apply(block, shortcut, x)
    elif block.shortcut:
        y = y + x
    return functional.relu(y)
