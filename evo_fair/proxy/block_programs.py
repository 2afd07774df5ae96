"""Programs of whole blocks, whose batch norms are folded: to what they give, or on to the logits.

Buffers take turns: a block goes from slot `IN` to slot `OUT` and the next one back, and the units within it use `FIRST`
and `SECOND` in turn. So an image needs no more room in the arena than its largest maps.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from evo_fair.proxy.folding import Affine
from evo_fair.proxy.program import Buffer, Layer, Program, Writer
from evo_fair.space import Block, Unit, units_of

__all__ = [
    "FIRST",
    "IN",
    "OUT",
    "FoldedBlock",
    "Images",
    "load",
    "prediction_program",
    "reach",
    "storing_program",
    "write_unit",
]

IN, OUT, FIRST, SECOND, HALF = range(5)  # slots of a block's input and output and of what lies between


class Images(NamedTuple):
    """Images `[images, height, width, values]`, float32 or float16, of whose values the first `channels` are read."""

    values: Any
    channels: int

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.values.shape[1])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.values.shape[2])


class FoldedBlock(NamedTuple):
    """A block with the layers of its units by name, batch norm folded in."""

    block: Block
    layers: dict[str, Layer]


def prediction_program(
    blocks: Sequence[FoldedBlock], classifier: Layer, labels: int, images: Images, *, half: bool
) -> Program:
    """The program from images through blocks to their logits."""
    writer = Writer()
    x = _write_blocks(writer, blocks, images, half=half)
    pooled = writer.buffer(FIRST, 1, 1, x.channels)
    writer.pool(x, pooled)
    logits = writer.buffer(SECOND, 1, 1, labels)
    writer.dense(pooled, logits, classifier, 1, 1, relu=False)
    writer.store(logits)
    return writer.program()


def storing_program(blocks: Sequence[FoldedBlock], images: Images, *, half: bool) -> Program:
    """The program from images to the last block's output."""
    writer = Writer()
    writer.store(_write_blocks(writer, blocks, images, half=half), half=half)
    return writer.program()


def load(
    writer: Writer,
    source: int,
    images: Images,
    out: Buffer,
    *,
    affine: Affine | None = None,
    add: bool = False,
    relu: int = 0,
) -> None:
    """Loads the image of a source as it lies in these images."""
    step, half = images.values.shape[3], images.values.dtype == np.float16
    writer.load(source, out, images.channels, step=step, affine=affine, add=add, relu=relu, half=half)


def write_unit(
    writer: Writer,
    x: Buffer,
    unit: Unit,
    layer: Layer,
    slot: int,
    border: int = 0,
    *,
    residual: Buffer | None = None,
    relu: int = 1,
) -> Buffer:
    """Writes what a unit does with `x`, and returns the buffer in which its output lies."""
    height, width = -(-x.height // unit.stride), -(-x.width // unit.stride)
    out = writer.buffer(slot, height, width, unit.c_out, border)
    if unit.depthwise:
        writer.depthwise(x, out, layer, unit.kernel, unit.stride, relu=relu)
    else:
        if layer.half:
            x = writer.halve(x, HALF)
        writer.dense(x, out, layer, max(1, unit.kernel), unit.stride, residual=residual, relu=relu)
    return out


def reach(unit: Unit) -> int:
    """Pixels beyond the border that a unit reads."""
    return unit.kernel // 2


def _write_blocks(writer: Writer, blocks: Sequence[FoldedBlock], images: Images, *, half: bool) -> Buffer:
    borders = [*(_entry_reach(folded.block) for folded in blocks), 0]
    x = writer.buffer(IN, images.height, images.width, images.channels, borders[0])
    load(writer, 0, images, x)
    for folded, border in zip(blocks, borders[1:], strict=True):
        x = _write_block(writer, folded, x, OUT if x.slot == IN else IN, border)
        if half:
            writer.round(x)
    return x


def _write_block(writer: Writer, folded: FoldedBlock, x: Buffer, slot: int, border: int) -> Buffer:
    block, layers = folded
    units = {unit.name: unit for unit in units_of(block)}
    shortcut = units.pop("shortcut", None)
    *_, last = units.values()
    y = x
    for number, (unit, following) in enumerate(pairwise(units.values())):
        y = write_unit(writer, y, unit, layers[unit.name], FIRST + number % 2, reach(following))
    residual = x if block.shortcut else None
    if shortcut:
        residual = write_unit(writer, x, shortcut, layers["shortcut"], slot, border, relu=False)
    relu = block.kind.activated
    return write_unit(writer, y, last, layers[last.name], slot, border, residual=residual, relu=relu)


def _entry_reach(block: Block) -> int:
    """Pixels beyond the border that the first unit of a block's body reads; a shortcut reads none."""
    return reach(next(unit for unit in units_of(block) if unit.name != "shortcut"))
