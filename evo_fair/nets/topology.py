"""What each block kind computes: its units (a convolution or linear layer with batch norm) and how they are joined."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

from evo_fair.space import Block, Kind

__all__ = ["Unit", "run_block", "units_of"]


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


def run_block(block: Block, x: torch.Tensor, apply: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """The output of `block` for the input `x`; `apply(unit name, tensor)` runs one unit, batch norm included.

    Every unit is followed by ReLU, the last one after the shortcut has been added.
    """
    *inner, last = [unit.name for unit in units_of(block) if unit.name != "shortcut"]
    y = x
    for name in inner:
        y = functional.relu(apply(name, y))
    y = apply(last, y)
    if block.shortcut:
        y = y + (apply("shortcut", x) if block.shortcut == 2 else x)
    return functional.relu(y)
