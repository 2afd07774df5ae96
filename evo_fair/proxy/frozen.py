"""A supernet's blocks as programs: statistics of their batch norms, which are then folded, and what they compute."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evo_fair.nets import Supernet
from evo_fair.nets.network import BN_EPSILON
from evo_fair.nets.supernet import place_of
from evo_fair.nets.topology import Unit, units_of
from evo_fair.proxy.packing import batch_statistics, pack_dense, pack_depthwise
from evo_fair.proxy.program import Buffer, Layer, Program, Runner, Writer, padded
from evo_fair.proxy.tile_choice import Floats
from evo_fair.space import Block

__all__ = ["FoldedBlock", "FrozenBlocks", "prediction_program", "storing_program"]

_IN, _OUT, _FIRST, _SECOND = range(4)  # slots of a block's input and output and of what lies between


class FoldedBlock(NamedTuple):
    """A block with the layers of its units by name, batch norm folded in."""

    block: Block
    layers: dict[str, Layer]


class FrozenBlocks:
    """The blocks of a supernet, each calibrated where it stands: on the output of the blocks before it."""

    def __init__(self, supernet: Supernet) -> None:
        self._weights = {name: tensor.numpy() for name, tensor in supernet.weights.items()}

    def classifier(self, features: int) -> Layer:
        """The classifier's layer for so many features."""
        weight, bias = self._weights["classifier.weight"], self._weights["classifier.bias"]
        return _dense_layer(weight[:, :, None, None], len(bias), features, 1, np.ones(len(bias), np.float32), bias)

    def calibrate(self, block: Block, x: Floats, runner: Runner, out: Floats) -> FoldedBlock:
        """Folds a block's batch norms with their statistics on `x` `[images, height, width, channels]`.

        Each takes those of what it is given by the layers before it, themselves already calibrated. The block's own
        output goes into `out` `[images, height, width, channels]`.
        """
        units = {unit.name: unit for unit in units_of(block)}
        shortcut = units.pop("shortcut", None)
        layers: dict[str, Layer] = {}
        height, width = x.shape[1:3]
        source, affine = x, None
        before: list[Unit] = []  # units without an output of their own in memory: they are computed again
        for unit in units.values():
            last = unit is list(units.values())[-1]
            again = not last and (unit.depthwise or unit.kernel <= 1) and affine is None
            writer = Writer()
            reach = _reach(before[0]) if before else _reach(unit)
            c_in = (before[0] if before else unit).c_in
            buffer = writer.buffer(_IN, height, width, c_in, reach)
            writer.load(0, buffer, c_in, step=source.shape[3], affine=affine, relu=affine is not None)
            for number, earlier in enumerate(before, 1):
                following = [*before, unit][number]
                buffer = _write_unit(
                    writer, buffer, earlier, layers[earlier.name], _FIRST + number % 2, _reach(following)
                )
            buffer = _write_unit(writer, buffer, unit, self._raw(block, unit), _OUT, relu=False)
            writer.statistics(buffer)
            stored = None
            if not again:
                stored = np.empty((len(x), buffer.height, buffer.width, buffer.channels), np.float32)
                writer.store(buffer)
            statistics = runner.run(writer.program(), len(x), [source], stored, buffer.channels)
            scale, shift = self._affine(block, unit, statistics, buffer.height * buffer.width)
            layers[unit.name] = self._folded(block, unit, scale, shift)
            if stored is None:
                before = [*before, unit]
            else:
                before, source, affine = [], stored, (scale, shift)
                height, width = buffer.height, buffer.width
        assert affine is not None
        if shortcut:
            writer = Writer()
            buffer = writer.buffer(_IN, x.shape[1], x.shape[2], shortcut.c_in)
            writer.load(0, buffer, shortcut.c_in, step=x.shape[3])
            buffer = _write_unit(writer, buffer, shortcut, self._raw(block, shortcut), _SECOND, relu=False)
            writer.statistics(buffer)
            statistics = runner.run(writer.program(), len(x), [x], None, buffer.channels)
            layers["shortcut"] = self._folded(
                block, shortcut, *self._affine(block, shortcut, statistics, buffer.height * buffer.width)
            )
        runner.run(_joining_program(block, x, source, affine, shortcut, layers), len(x), [source, x], out)
        return FoldedBlock(block, layers)

    def _raw(self, block: Block, unit: Unit) -> Layer:
        return self._folded(block, unit, np.ones(unit.c_out, np.float32), np.zeros(unit.c_out, np.float32))

    def _folded(self, block: Block, unit: Unit, scale: Floats, shift: Floats) -> Layer:
        weight = self._weights[f"{place_of(block, unit)}.weight"]
        if unit.depthwise:
            packed = np.zeros(unit.kernel**2 * padded(unit.c_out), np.float32)
            pack_depthwise(weight, unit.c_out, unit.kernel, scale, packed)
            return Layer(packed, _filled_up(shift))
        if unit.kernel == 0:
            weight = weight[:, :, None, None]
        return _dense_layer(weight, unit.c_out, unit.c_in, max(1, unit.kernel), scale, shift)

    def _affine(self, block: Block, unit: Unit, statistics: Floats, pixels: int) -> tuple[Floats, Floats]:
        """Scale and shift by channel that a batch norm with these statistics amounts to."""
        mean, variance = (part[: unit.c_out] for part in batch_statistics(statistics, pixels))
        place = place_of(block, unit)
        gamma, beta = (self._weights[f"{place}.{name}"][: unit.c_out] for name in ("gamma", "beta"))
        scale = gamma / np.sqrt(variance + BN_EPSILON)
        return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def prediction_program(
    blocks: Sequence[FoldedBlock], classifier: Layer, labels: int, shape: tuple[int, ...], channels: int
) -> Program:
    """The program from the images of a source `[height, width, channels]` to their logits."""
    writer = Writer()
    x = _write_blocks(writer, blocks, shape, channels)
    pooled = writer.buffer(_FIRST, 1, 1, x.channels)
    writer.pool(x, pooled)
    logits = writer.buffer(_SECOND, 1, 1, labels)
    writer.dense(pooled, logits, classifier, 1, 1, relu=False)
    writer.store(logits)
    return writer.program()


def storing_program(blocks: Sequence[FoldedBlock], shape: tuple[int, ...], channels: int) -> Program:
    """The program from the images of a source to the last block's output."""
    writer = Writer()
    writer.store(_write_blocks(writer, blocks, shape, channels))
    return writer.program()


def _write_blocks(writer: Writer, blocks: Sequence[FoldedBlock], shape: tuple[int, ...], channels: int) -> Buffer:
    height, width, step = shape
    x = writer.buffer(_IN, height, width, channels, _entry_reach(blocks[0].block) if blocks else 0)
    writer.load(0, x, channels, step=step)
    for number, folded in enumerate(blocks):
        border = _entry_reach(blocks[number + 1].block) if number + 1 < len(blocks) else 0
        x = _write_block(writer, folded, x, _OUT if x.slot == _IN else _IN, border)
    return x


def _write_block(writer: Writer, folded: FoldedBlock, x: Buffer, slot: int, border: int) -> Buffer:
    units = {unit.name: unit for unit in units_of(folded.block)}
    shortcut = units.pop("shortcut", None)
    *inner, last = units.values()
    y = x
    for number, unit in enumerate(inner):
        following = [*inner, last][number + 1]
        y = _write_unit(writer, y, unit, folded.layers[unit.name], _FIRST + number % 2, _reach(following))
    residual = None
    if shortcut:
        residual = _write_unit(writer, x, shortcut, folded.layers["shortcut"], slot, border, relu=False)
    elif folded.block.shortcut:
        residual = x
    return _write_unit(writer, y, last, folded.layers[last.name], slot, border, residual=residual)


def _write_unit(
    writer: Writer,
    x: Buffer,
    unit: Unit,
    layer: Layer,
    slot: int,
    border: int = 0,
    *,
    residual: Buffer | None = None,
    relu: bool = True,
) -> Buffer:
    height, width = -(-x.height // unit.stride), -(-x.width // unit.stride)
    out = writer.buffer(slot, height, width, unit.c_out, border)
    if unit.depthwise:
        writer.depthwise(x, out, layer, unit.kernel, unit.stride, relu=relu)
    else:
        writer.dense(x, out, layer, max(1, unit.kernel), unit.stride, residual=residual, relu=relu)
    return out


def _joining_program(
    block: Block,
    x: Floats,
    body: Floats,
    affine: tuple[Floats, Floats],
    shortcut: Unit | None,
    layers: dict[str, Layer],
) -> Program:
    """From the raw output of a block's last unit, and the block's input, to its output."""
    writer = Writer()
    _, height, width, step = body.shape
    out = writer.buffer(_OUT, height, width, block.c_out)
    writer.load(0, out, block.c_out, step=step, affine=affine, relu=not block.shortcut)
    if shortcut:
        entry = writer.buffer(_IN, x.shape[1], x.shape[2], block.c_in)
        writer.load(1, entry, block.c_in, step=x.shape[3])
        _write_unit(writer, entry, shortcut, layers["shortcut"], _OUT, residual=out)
    elif block.shortcut:
        writer.load(1, out, block.c_out, step=x.shape[3], add=True, relu=True)
    writer.store(out)
    return writer.program()


def _dense_layer(weight: Floats, c_out: int, c_in: int, kernel: int, scale: Floats, shift: Floats) -> Layer:
    packed = np.zeros(kernel**2 * padded(c_in) * padded(c_out), np.float32)
    pack_dense(weight, c_out, c_in, kernel, scale, packed)
    return Layer(packed, _filled_up(shift))


def _filled_up(values: Floats) -> Floats:
    return np.pad(values, (0, padded(len(values)) - len(values)))


def _reach(unit: Unit) -> int:
    """Pixels beyond the border that a unit reads."""
    return unit.kernel // 2


def _entry_reach(block: Block) -> int:
    """Pixels beyond the border that the first unit of a block's body reads; a shortcut reads none."""
    return _reach(next(unit for unit in units_of(block) if unit.name != "shortcut"))
