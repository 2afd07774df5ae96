"""A supernet's blocks as programs: statistics of their batch norms, which are then folded, and what they compute."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evo_fair.arrays import Float32s as Floats
from evo_fair.nets import Supernet
from evo_fair.nets.network import BN_EPSILON
from evo_fair.nets.supernet import place_of
from evo_fair.proxy.packing import batch_statistics, pack_dense, pack_depthwise, pack_half
from evo_fair.proxy.program import Buffer, Layer, Program, Writer, filled_up, padded
from evo_fair.proxy.runner import Runner
from evo_fair.proxy.tiles import UNIT
from evo_fair.proxy.winograd import POINTS, pack_winograd, suits_winograd, transform_weights
from evo_fair.space import Block, Unit, units_of

__all__ = ["FoldedBlock", "FrozenBlocks", "prediction_program", "storing_program"]

_IN, _OUT, _FIRST, _SECOND, _HALF = range(5)  # slots of a block's input and output and of what lies between


_Key = tuple[object, ...]

_REMEMBERED = 1 << 16
"""Batch norms that are remembered: some kilobytes each."""


class Affine(NamedTuple):
    """Scale and shift by channel."""

    scale: Floats
    shift: Floats


class FoldedBlock(NamedTuple):
    """A block with the layers of its units by name, batch norm folded in."""

    block: Block
    layers: dict[str, Layer]


class FrozenBlocks:
    """The blocks of a supernet, each calibrated where it stands: on the output of the blocks before it.

    What batch norms amount to is remembered, for it depends on the blocks before and on the unit alone: not on how many
    of its channels are used, so that blocks of several widths share it. With `half` 3x3 convolutions of stride 2
    multiply bfloat16 numbers and add them up in float32, and what is kept in memory is float16: a block's output is
    rounded to that, whether it is kept or not.
    """

    def __init__(self, supernet: Supernet, *, half: bool = False) -> None:
        self._half = half
        self.kept = np.dtype(np.float16 if half else np.float32)
        self._weights = {name: tensor.numpy() for name, tensor in supernet.weights.items()}
        self._affines: OrderedDict[_Key, Affine] = OrderedDict()
        self._raw: dict[tuple[str, Unit], Layer] = {}
        self._transformed: dict[str, Floats] = {}

    def classifier(self, features: int) -> Layer:
        """The classifier's layer for so many features."""
        weight, bias = self._weights["classifier.weight"], self._weights["classifier.bias"]
        return _dense_layer(weight[:, :, None, None], len(bias), features, 1, np.ones(len(bias), np.float32), bias)

    def calibrate(self, path: tuple[Block, ...], x: Floats, runner: Runner, out: Floats) -> FoldedBlock:
        """Folds the batch norms of a path's last block with their statistics on `x`.

        `x` `[images, height, width, channels]` is what the blocks before it give. Each batch norm takes the statistics
        of what it is given by the layers before it, themselves already calibrated. The block's own output goes into
        `out` `[images, height, width, channels]`.
        """
        block = path[-1]
        body = units_of(block)
        shortcut = body.pop(0) if body[0].name == "shortcut" else None
        affines: list[Affine] = []
        source, start = x, 0  # what goes into unit `start`; where `start` is not 0 still to be scaled
        for number, unit in enumerate(body):
            key = _key(path, body[: number + 1])
            affine = self._recall(key, unit.c_out)
            if affine is None:
                stored = np.empty(_shape(x, body[: number + 1]), self.kept) if _is_stored(body, number) else None
                statistics, pixels = self._statistics(block, body, affines, number, source, start, stored, runner)
                affine = self._remember(key, block, unit, statistics, pixels)
                if stored is not None:
                    source, start = stored, number + 1
            affines.append(affine)
        layers = {unit.name: self._folded(block, unit, *a) for unit, a in zip(body, affines, strict=True)}
        if shortcut:
            key = _key(path, [shortcut])
            affine = self._recall(key, shortcut.c_out)
            if affine is None:
                statistics, pixels = self._statistics(block, [shortcut], [], 0, x, 0, None, runner)
                affine = self._remember(key, block, shortcut, statistics, pixels)
            layers["shortcut"] = self._folded(block, shortcut, *affine)
        program = self._passing_program(block, body, affines, layers, x, source, start)
        runner.run(program, len(x), [source, x], out)
        return FoldedBlock(block, layers)

    def _statistics(
        self,
        block: Block,
        body: list[Unit],
        affines: list[Affine],
        number: int,
        source: Floats,
        start: int,
        stored: Floats | None,
        runner: Runner,
    ) -> tuple[Floats, int]:
        """Statistics by image of what a unit gives before its batch norm, and how many pixels that has."""
        writer = Writer()
        layers = {unit.name: self._folded(block, unit, *a) for unit, a in zip(body, affines, strict=False)}
        buffer = self._write_raw(writer, block, body[: number + 1], affines, layers, source, start)
        writer.statistics(buffer)
        if stored is not None:
            writer.store(buffer, half=self._half)
        statistics = runner.run(writer.program(), len(source), [source], stored, buffer.channels)
        return statistics, buffer.height * buffer.width

    def _passing_program(
        self,
        block: Block,
        body: list[Unit],
        affines: list[Affine],
        layers: dict[str, Layer],
        x: Floats,
        source: Floats,
        start: int,
    ) -> Program:
        """From the block's input, source 1, or what a unit of its body gave, source 0, to the block's output."""
        writer = Writer()
        height, width = _shape(x, body)[1:3]
        activated = block.kind.activated
        relu = activated and not block.shortcut
        if start == len(body):
            out = writer.buffer(_OUT, height, width, block.c_out)
            half = _is_half(source)
            writer.load(0, out, block.c_out, step=source.shape[3], affine=affines[-1], relu=relu, half=half)
        else:
            out = self._write_raw(writer, block, body, affines, layers, source, start)
            writer.scale(out, out, affines[-1], relu=relu)
        if block.shortcut == 2:
            unit = units_of(block)[0]
            entry = writer.buffer(_IN, x.shape[1], x.shape[2], block.c_in)
            writer.load(1, entry, block.c_in, step=x.shape[3], half=_is_half(x))
            _write_unit(writer, entry, unit, layers[unit.name], _OUT, residual=out, relu=activated)
        elif block.shortcut:
            writer.load(1, out, block.c_out, step=x.shape[3], add=True, relu=activated, half=_is_half(x))
        writer.store(out, half=self._half)
        return writer.program()

    def _write_raw(
        self,
        writer: Writer,
        block: Block,
        body: list[Unit],
        affines: list[Affine],
        layers: dict[str, Layer],
        source: Floats,
        start: int,
    ) -> Buffer:
        """What the last unit of `body` gives before its batch norm, in slot `_OUT`.

        The sums of a unit must not depend on what is remembered: one whose output can be stored is always computed
        raw and then scaled, the others with their batch norm folded in.
        """
        buffer = writer.buffer(_IN, source.shape[1], source.shape[2], body[start].c_in, _reach(body[start]))
        affine = affines[start - 1] if start else None
        step, half = source.shape[3], _is_half(source)
        writer.load(0, buffer, body[start].c_in, step=step, affine=affine, relu=start > 0, half=half)
        *inner, last = body
        for number in range(start, len(inner)):
            unit, slot, border = body[number], _FIRST + number % 2, _reach(body[number + 1])
            if _is_stored(body, number):
                buffer = _write_unit(writer, buffer, unit, self._raw_layer(block, unit), slot, border, relu=False)
                self._round(writer, buffer)
                writer.scale(buffer, buffer, affines[number], relu=True)
            else:
                buffer = _write_unit(writer, buffer, unit, layers[unit.name], slot, border)
        buffer = _write_unit(writer, buffer, last, self._raw_layer(block, last), _OUT, relu=False)
        if _is_stored(body, len(body) - 1):
            self._round(writer, buffer)
        return buffer

    def _round(self, writer: Writer, buffer: Buffer) -> None:
        """What storing would do, so that it does not matter whether something was stored."""
        if self._half:
            writer.round(buffer)

    def _recall(self, key: _Key, channels: int) -> Affine | None:
        affine = self._affines.get(key)
        if affine is None or len(affine.scale) < channels:
            return None
        self._affines.move_to_end(key)
        return Affine(affine.scale[:channels], affine.shift[:channels])

    def _remember(self, key: _Key, block: Block, unit: Unit, statistics: Floats, pixels: int) -> Affine:
        """Scale and shift by channel that a batch norm with these statistics amounts to."""
        mean, variance = (part[: unit.c_out] for part in batch_statistics(statistics, pixels))
        place = place_of(block, unit)
        gamma, beta = (self._weights[f"{place}.{name}"][: unit.c_out] for name in ("gamma", "beta"))
        scale = gamma / np.sqrt(variance + BN_EPSILON)
        affine = Affine(scale.astype(np.float32), (beta - mean * scale).astype(np.float32))
        self._affines[key] = affine
        if len(self._affines) > _REMEMBERED:
            self._affines.popitem(last=False)
        return affine

    def _raw_layer(self, block: Block, unit: Unit) -> Layer:
        key = place_of(block, unit), unit
        if key not in self._raw:
            ones, zeros = np.ones(unit.c_out, np.float32), np.zeros(unit.c_out, np.float32)
            self._raw[key] = self._folded(block, unit, ones, zeros)
        return self._raw[key]

    def _folded(self, block: Block, unit: Unit, scale: Floats, shift: Floats) -> Layer:
        weight = self._weights[f"{place_of(block, unit)}.weight"]
        if unit.depthwise:
            packed = np.zeros(unit.kernel**2 * padded(unit.c_out), np.float32)
            pack_depthwise(weight, unit.c_out, unit.kernel, scale, packed)
            return Layer(packed, filled_up(shift))
        if unit.kernel == 0:
            weight = weight[:, :, None, None]
        if unit.kernel == 3 and unit.stride == 1 and suits_winograd(*_map_of(block)):
            return self._winograd_layer(place_of(block, unit), unit, scale, shift)
        layer = _dense_layer(weight, unit.c_out, unit.c_in, max(1, unit.kernel), scale, shift)
        # In bfloat16 1x1 convolutions save little and lose most, and the few channels of an image save nothing.
        return _halved(layer, unit) if self._half and unit.kernel > 1 and unit.c_in >= UNIT else layer

    def _winograd_layer(self, place: str, unit: Unit, scale: Floats, shift: Floats) -> Layer:
        if place not in self._transformed:
            weight = self._weights[f"{place}.weight"]
            margin = (weight.shape[2] - unit.kernel) // 2  # the central taps of a larger shared kernel
            cropped = weight[:, :, margin : margin + unit.kernel, margin : margin + unit.kernel]
            self._transformed[place] = transform_weights(cropped)
        inputs, outputs = padded(unit.c_in), padded(unit.c_out)
        packed = np.zeros((POINTS * inputs + 1) * outputs, np.float32)  # behind the weights what sums begin with
        pack_winograd(self._transformed[place], unit.c_out, unit.c_in, scale, packed)
        return Layer(packed, filled_up(shift), winograd=True)


def prediction_program(
    blocks: Sequence[FoldedBlock], classifier: Layer, labels: int, source: Floats, channels: int, *, half: bool
) -> Program:
    """The program from the images of a source `[images, height, width, channels]` to their logits."""
    writer = Writer()
    x = _write_blocks(writer, blocks, source, channels, half=half)
    pooled = writer.buffer(_FIRST, 1, 1, x.channels)
    writer.pool(x, pooled)
    logits = writer.buffer(_SECOND, 1, 1, labels)
    writer.dense(pooled, logits, classifier, 1, 1, relu=False)
    writer.store(logits)
    return writer.program()


def storing_program(blocks: Sequence[FoldedBlock], source: Floats, channels: int, *, half: bool) -> Program:
    """The program from the images of a source to the last block's output."""
    writer = Writer()
    writer.store(_write_blocks(writer, blocks, source, channels, half=half), half=half)
    return writer.program()


def _write_blocks(
    writer: Writer, blocks: Sequence[FoldedBlock], source: Floats, channels: int, *, half: bool
) -> Buffer:
    height, width, step = source.shape[1:]
    x = writer.buffer(_IN, height, width, channels, _entry_reach(blocks[0].block) if blocks else 0)
    writer.load(0, x, channels, step=step, half=_is_half(source))
    for number, folded in enumerate(blocks):
        border = _entry_reach(blocks[number + 1].block) if number + 1 < len(blocks) else 0
        x = _write_block(writer, folded, x, _OUT if x.slot == _IN else _IN, border)
        if half:
            writer.round(x)
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
    activated = folded.block.kind.activated
    return _write_unit(writer, y, last, folded.layers[last.name], slot, border, residual=residual, relu=activated)


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
        if layer.half:
            x = writer.halve(x, _HALF)
        writer.dense(x, out, layer, max(1, unit.kernel), unit.stride, residual=residual, relu=relu)
    return out


def _key(path: tuple[Block, ...], units: list[Unit]) -> _Key:
    """All that the statistics of the last of a block's units depend on, but how many of its channels there are."""
    *inner, last = units
    mixed = inner[-1].c_out if inner and not last.depthwise else 0
    taps = tuple(unit.kernel for unit in units)
    return path[:-1], place_of(path[-1], last), taps, mixed


def _is_half(images: Floats) -> bool:
    return images.dtype == np.float16


def _is_stored(body: list[Unit], number: int) -> bool:
    """Whether a unit's raw output is worth storing while its block is calibrated; else it is computed again."""
    return number == len(body) - 1 or not (body[number].depthwise or body[number].kernel <= 1)


def _shape(x: Floats, units: list[Unit]) -> tuple[int, int, int, int]:
    """The shape of what units make of `x` `[images, height, width, channels]`."""
    height, width = x.shape[1:3]
    for unit in units:
        height, width = -(-height // unit.stride), -(-width // unit.stride)
    return len(x), height, width, padded(units[-1].c_out)


def _dense_layer(weight: Floats, c_out: int, c_in: int, kernel: int, scale: Floats, shift: Floats) -> Layer:
    packed = np.zeros(kernel**2 * padded(c_in) * padded(c_out), np.float32)
    pack_dense(weight, c_out, c_in, kernel, scale, packed)
    return Layer(packed, filled_up(shift))


def _halved(layer: Layer, unit: Unit) -> Layer:
    pairs = np.empty(len(layer.weights), np.uint16)
    pack_half(layer.weights, unit.c_out, max(1, unit.kernel) ** 2 * padded(unit.c_in), pairs)
    return Layer(pairs.view(np.float32), layer.bias, half=True)


def _map_of(block: Block) -> tuple[int, int]:
    """Height and width of what a block gives, and of what its layers of stride 1 behind the first one do."""
    return -(-block.h_in // block.stride), -(-block.w_in // block.stride)


def _reach(unit: Unit) -> int:
    """Pixels beyond the border that a unit reads."""
    return unit.kernel // 2


def _entry_reach(block: Block) -> int:
    """Pixels beyond the border that the first unit of a block's body reads; a shortcut reads none."""
    return _reach(next(unit for unit in units_of(block) if unit.name != "shortcut"))
