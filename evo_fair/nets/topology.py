"""What blocks compute: their units (a convolution or linear layer with batch norm) one after the other, joined."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from evo_fair.space import Block, Unit, units_of

__all__ = ["Apply", "run_block", "run_blocks"]


Apply = Callable[[Block, Unit, torch.Tensor], torch.Tensor]


def run_blocks(
    blocks: Sequence[Block], x: torch.Tensor, apply: Apply, known: dict[tuple[Block, ...], torch.Tensor] | None = None
) -> torch.Tensor:
    """The features `[n, channels]` that `blocks` and, on images, global average pooling make of the input `x`.

    `apply(block, unit, tensor)` runs one unit, batch norm included. Every unit is followed by ReLU, the last one of a
    block after the shortcut has been added, and only where the block's kind ends with one. A unit that squeezes is
    given the mean over the map; what the one behind it makes of that weighs the map's channels, by its hard sigmoid.
    `known` has what first blocks make of the same `x`: those are not run again, and what others make is added.
    """
    for number, block in enumerate(blocks, 1):
        if known is None:
            x = run_block(block, x, apply)
            continue
        beginning = tuple(blocks[:number])
        if beginning not in known:
            known[beginning] = run_block(block, x, apply)
        x = known[beginning]
    return x.mean((2, 3)) if x.dim() == 4 else x


def run_block(
    block: Block, x: torch.Tensor, apply: Apply, relu: Callable[[torch.Tensor], torch.Tensor] = functional.relu
) -> torch.Tensor:
    """The feature maps that one block makes of `x`; see `run_blocks`. `relu` may work in place."""
    units = {unit.name: unit for unit in units_of(block)}
    shortcut = units.pop("shortcut", None)
    *inner, last = units.values()
    beside = apply(block, shortcut, x) if shortcut else x  # first, as in the layer table: the order makes the memory
    y = weighed = x
    for unit in inner:
        if unit.squeezes:
            weighed, y = y, functional.adaptive_avg_pool2d(y, 1)
        y = weighed * functional.hardsigmoid(apply(block, unit, y)) if unit.excites else relu(apply(block, unit, y))
    y = apply(block, last, y)
    if block.shortcut:
        y = y + beside
    return relu(y) if block.kind.activated else y
