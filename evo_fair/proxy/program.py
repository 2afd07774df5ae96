"""Writes programs for `evo_fair.proxy.kernels`: buffers, layers, and the operations on them."""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from evo_fair.proxy.operations import Column, Integers, Op
from evo_fair.proxy.tile_choice import Floats
from evo_fair.proxy.tiles import UNIT
from evo_fair.proxy.winograd import scratch_of

__all__ = ["LINE", "Buffer", "Layer", "Program", "Writer", "filled_up", "padded"]

LINE = 16
"""Buffers and weights start at multiples of so many float32 values: a cache line."""


_COLUMNS = {column.name.lower(): int(column) for column in Column}
_OP, _RESIDUAL = int(Column.OP), int(Column.RESIDUAL)


def padded(channels: int) -> int:
    """Channels filled up to whole vectors."""
    return -(-channels // UNIT) * UNIT


def filled_up(values: Floats) -> Floats:
    """Values by channel, filled up with zeros."""
    if len(values) % UNIT == 0:
        return values
    out = np.zeros(padded(len(values)), np.float32)
    out[: len(values)] = values
    return out


@cache
def _identity(channels: int) -> tuple[Floats, Floats]:
    return np.ones(channels, np.float32), np.zeros(channels, np.float32)


class Layer(NamedTuple):
    """The weights of a layer as the kernels want them, and its bias, filled up with zeros.

    With `half` the weights are pairs of bfloat16, each in the place of a float32. With `winograd` they are transformed,
    for a convolution 3x3 of stride 1.
    """

    weights: Floats
    bias: Floats
    half: bool = False
    winograd: bool = False


class Buffer(NamedTuple):
    """A feature map in the arena: where it lies within its slot, and how far apart its values do."""

    slot: int
    height: int
    width: int
    channels: int
    border: int
    half: bool  # pairs of bfloat16, each in the place of a float32
    step: int  # values from a pixel to the next; a pair counts as one
    row: int  # values from a row to the next
    place: int  # of the first value, behind the border
    size: int  # values, border included


@dataclass(frozen=True)
class Program:
    """Operations, int64 `[operations, 19]`, their weights, and how many float32 values the arena needs.

    `arena` is for each image, `scratch` for all that are computed together. `macs` are the multiply-accumulates of an
    image, as a plain convolution needs them, those with filled-up channels included.
    """

    operations: Integers
    weights: Floats
    arena: int
    scratch: int
    macs: int


@dataclass
class Writer:
    """Collects operations. Buffers of one slot share their place in the arena: only the last one written is there."""

    _rows: list[list[int]] = field(default_factory=list)
    _slots: list[tuple[int, int, int]] = field(default_factory=list)  # of source, target and residual; -1: none
    _weights: list[Floats] = field(default_factory=list)
    _size: int = 0
    _macs: int = 0
    _scratch: int = 0
    _sizes: dict[int, int] = field(default_factory=dict)

    def buffer(
        self, slot: int, height: int, width: int, channels: int, border: int = 0, *, half: bool = False
    ) -> Buffer:
        """A feature map in a slot; `channels` are filled up."""
        channels = padded(channels)
        step = channels // 2 if half else channels
        row = (width + 2 * border) * step
        place, size = border * (row + step), (height + 2 * border) * row
        self._sizes[slot] = max(self._sizes.get(slot, 0), size)
        return Buffer(slot, height, width, channels, border, half, step, row, place, size)

    def load(
        self,
        source: int,
        out: Buffer,
        channels: int,
        *,
        step: int | None = None,
        affine: tuple[Floats, Floats] | None = None,
        add: bool = False,
        relu: bool = False,
        half: bool = False,
    ) -> None:
        """Copies the image of a source, of whose pixels each has `step` values, or adds it to the buffer.

        With `half` the source is of float16.
        """
        step = out.channels if step is None else step
        scale, shift = (self._keep(filled_up(part)) for part in affine or _identity(channels))
        self._add(
            Op.LOAD,
            (-1, out.slot, -1),
            source=source,
            source_row=out.width * step,
            step_x=step,
            length=channels,
            kernel=int(add),
            half=int(half),
            weight=scale,
            bias=shift,
            relu=int(relu),
            border=0 if add else out.border,
            **_target(out),
        )

    def scale(self, x: Buffer, out: Buffer, affine: tuple[Floats, Floats], *, relu: bool) -> None:
        """Scales and shifts a buffer by channel; `out` may be `x` itself."""
        scale, shift = (self._keep(filled_up(part)) for part in affine)
        self._add(
            Op.SCALE,
            (x.slot, out.slot, -1),
            source=x.place,
            source_row=x.row,
            step_x=x.channels,
            weight=scale,
            bias=shift,
            relu=int(relu),
            border=0 if out == x else out.border,
            **_target(out),
        )

    def halve(self, x: Buffer, slot: int) -> Buffer:
        """The buffer rounded to bfloat16, border and all, in another slot."""
        out = self.buffer(slot, x.height, x.width, x.channels, x.border, half=True)
        columns = {"length": -(-x.size // LINE), "target_row": out.row, "channels": out.channels}
        self._add(Op.HALVE, (x.slot, out.slot, -1), **columns)
        return out

    def round(self, x: Buffer) -> None:
        """Rounds a buffer to what float16 holds, as storing and loading it with `half` does."""
        columns = {"length": -(-x.size // LINE), "target_row": x.row, "channels": x.channels}
        self._add(Op.ROUND, (x.slot, x.slot, -1), **columns)

    def dense(
        self,
        x: Buffer,
        out: Buffer,
        layer: Layer,
        kernel: int,
        stride: int,
        *,
        residual: Buffer | None = None,
        relu: bool = True,
    ) -> None:
        """A convolution; with kernel 1 on a map of one pixel a linear layer. The residual is added before ReLU.

        The layer's weights are pairs of bfloat16 where the input is.
        """
        self._macs += out.height * out.width * out.channels * kernel**2 * x.channels
        if layer.winograd:
            self._scratch = max(self._scratch, scratch_of(x.channels, out.channels))
        self._add(
            Op.WINOGRAD if layer.winograd else Op.DENSE,
            (x.slot, out.slot, residual.slot if residual else -1),
            **_window(x, kernel, stride),
            length=kernel * x.step,
            half=int(x.half),
            weight=self._keep(layer.weights),
            bias=self._keep(layer.bias),
            residual=residual.place if residual else -1,
            residual_row=residual.row if residual else 0,
            relu=int(relu),
            border=0 if residual is not None and residual.slot == out.slot else out.border,
            **_target(out),
        )

    def depthwise(self, x: Buffer, out: Buffer, layer: Layer, kernel: int, stride: int, *, relu: bool = True) -> None:
        """A depthwise convolution."""
        self._macs += out.height * out.width * out.channels * kernel**2
        self._add(
            Op.DEPTHWISE,
            (x.slot, out.slot, -1),
            **_window(x, kernel, stride),
            length=x.channels,
            weight=self._keep(layer.weights),
            bias=self._keep(layer.bias),
            relu=int(relu),
            border=out.border,
            **_target(out),
        )

    def pool(self, x: Buffer, out: Buffer) -> None:
        """The mean over the map."""
        size = {"kernel": x.height, "length": x.width}
        self._add(Op.POOL, (x.slot, out.slot, -1), source=x.place, source_row=x.row, **size, **_target(out))

    def statistics(self, x: Buffer) -> None:
        """Mean and squared deviations of the image by channel."""
        self._add(Op.STATISTICS, (x.slot, x.slot, -1), source=x.place, source_row=x.row, **_target(x))

    def store(self, x: Buffer, *, half: bool = False) -> None:
        """Copies the buffer into the target; with `half` that is of float16."""
        self._add(Op.STORE, (x.slot, x.slot, -1), source=x.place, source_row=x.row, half=int(half), **_target(x))

    def program(self) -> Program:
        """The finished program."""
        starts, end = {-1: 0}, 0
        for slot, size in self._sizes.items():
            starts[slot], end = end, end + -(-size // LINE) * LINE
        rows = [row.copy() for row in self._rows]
        for row, (source, target, residual) in zip(rows, self._slots, strict=True):
            row[Column.SOURCE] += starts[source]
            row[Column.TARGET] += starts[target]
            row[Column.RESIDUAL] += starts[residual]
        operations = np.array(rows, np.int64).reshape(len(rows), len(_COLUMNS))
        weights = np.concatenate([*self._weights, np.zeros(LINE, np.float32)])
        return Program(operations, weights, end, self._scratch, self._macs)

    def _keep(self, weights: Floats) -> int:
        place = self._size
        room = -len(weights) % LINE
        self._weights.append(weights)
        if room:
            self._weights.append(np.zeros(room, np.float32))
        self._size += len(weights) + room
        return place

    def _add(self, op: Op, slots: tuple[int, int, int], **columns: int) -> None:
        row = [0] * len(_COLUMNS)
        row[_OP] = op
        row[_RESIDUAL] = -1
        for name, value in columns.items():
            row[_COLUMNS[name]] = value
        self._rows.append(row)
        self._slots.append(slots)


def _window(x: Buffer, kernel: int, stride: int) -> dict[str, int]:
    reach = kernel // 2
    if reach > x.border:
        raise ValueError(f"a kernel of {kernel} needs a border of {reach} around its input, which has {x.border}")
    return {
        "source": x.place - reach * (x.row + x.step),
        "source_row": x.row,
        "step_y": stride * x.row,
        "step_x": stride * x.step,
        "kernel": kernel,
    }


def _target(out: Buffer) -> dict[str, int]:
    return {
        "target": out.place,
        "target_row": out.row,
        "channels": out.channels,
        "height": out.height,
        "width": out.width,
    }
