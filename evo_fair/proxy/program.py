"""Writes programs for `evo_fair.proxy.kernels`: buffers, layers, and the operations on them."""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from evo_fair.arrays import Float32s
from evo_fair.proxy.operations import NONE, OPERATION, Action, Operation, Operations
from evo_fair.proxy.tiles import UNIT
from evo_fair.proxy.winograd import scratch_of

__all__ = ["LINE", "Buffer", "Layer", "Program", "Writer", "filled_up", "padded"]

LINE = 16
"""Buffers and weights start at multiples of so many float32 values: a cache line."""


def padded(channels: int) -> int:
    """Channels filled up to whole vectors."""
    return -(-channels // UNIT) * UNIT


def filled_up(values: Float32s) -> Float32s:
    """Values by channel, filled up with zeros."""
    if len(values) % UNIT == 0:
        return values
    out = np.zeros(padded(len(values)), np.float32)
    out[: len(values)] = values
    return out


@cache
def _identity(channels: int) -> tuple[Float32s, Float32s]:
    return np.ones(channels, np.float32), np.zeros(channels, np.float32)


class Layer(NamedTuple):
    """The weights of a layer as the kernels want them, and its bias, filled up with zeros.

    With `half` the weights are pairs of bfloat16, each in the place of a float32. With `winograd` they are transformed,
    for a convolution 3x3 of stride 1.
    """

    weights: Float32s
    bias: Float32s
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
    """Operations, records of `OPERATION` `[operations]`, their weights, and how many float32 values the arena needs.

    `arena` is for each image, `scratch` for all that are computed together. `macs` are the multiply-accumulates of an
    image, as a plain convolution needs them, those with filled-up channels included.
    """

    operations: Operations
    weights: Float32s
    arena: int
    scratch: int
    macs: int


class _Slots(NamedTuple):
    """Those of an operation's buffers, where it has them."""

    x: int | None
    out: int | None
    residual: int | None = None


@dataclass
class Writer:
    """Collects operations. Buffers of one slot share their place in the arena: only the last one written is there.

    An operation's `relu` is 1 for ReLU, 6 for ReLU6, and 0 for none.
    """

    _operations: list[Operation] = field(default_factory=list)  # places count from the start of a buffer's slot
    _slots: list[_Slots] = field(default_factory=list)  # of what each operation reads and writes
    _weights: list[Float32s] = field(default_factory=list)
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
        affine: tuple[Float32s, Float32s] | None = None,
        add: bool = False,
        relu: int = 0,
        half: bool = False,
    ) -> None:
        """Copies the image of a source, of whose pixels each has `step` values, or adds it to the buffer.

        With `half` the source is of float16.
        """
        step = out.channels if step is None else step
        scale, shift = (self._keep(filled_up(part)) for part in affine or _identity(channels))
        operation = Operation(
            Action.LOAD,
            array=source,
            x_row=out.width * step,
            x_step=step,
            x_channels=channels,
            add=int(add),
            half=int(half),
            weight=scale,
            bias=shift,
            relu=relu,
            border=0 if add else out.border,
            **_written(out),
        )
        self._add(operation, _Slots(None, out.slot))

    def scale(
        self,
        x: Buffer,
        out: Buffer,
        affine: tuple[Float32s, Float32s] | None = None,
        *,
        add: bool = False,
        relu: int,
    ) -> None:
        """Scales and shifts a buffer by channel, and adds what `out` holds if asked to; `out` may be `x` itself."""
        scale, shift = (self._keep(filled_up(part)) for part in affine or _identity(x.channels))
        operation = Operation(
            Action.SCALE,
            x=x.place,
            x_row=x.row,
            x_step=x.channels,
            weight=scale,
            bias=shift,
            add=int(add),
            relu=relu,
            border=0 if out == x or add else out.border,
            **_written(out),
        )
        self._add(operation, _Slots(x.slot, out.slot))

    def halve(self, x: Buffer, slot: int) -> Buffer:
        """The buffer rounded to bfloat16, border and all, in another slot."""
        out = self.buffer(slot, x.height, x.width, x.channels, x.border, half=True)
        self._add(Operation(Action.HALVE, vectors=-(-x.size // LINE)), _Slots(x.slot, out.slot))
        return out

    def round(self, x: Buffer) -> None:
        """Rounds a buffer to what float16 holds, as storing and loading it with `half` does."""
        self._add(Operation(Action.ROUND, vectors=-(-x.size // LINE)), _Slots(x.slot, x.slot))

    def dense(
        self,
        x: Buffer,
        out: Buffer,
        layer: Layer,
        kernel: int,
        stride: int,
        *,
        residual: Buffer | None = None,
        relu: int = 1,
    ) -> None:
        """A convolution; with kernel 1 on a map of one pixel a linear layer. The residual is added before ReLU.

        The layer's weights are pairs of bfloat16 where the input is.
        """
        self._macs += out.height * out.width * out.channels * kernel**2 * x.channels
        if layer.winograd:
            self._scratch = max(self._scratch, scratch_of(x.channels, out.channels))
        operation = Operation(
            Action.WINOGRAD if layer.winograd else Action.DENSE,
            **_window(x, kernel, stride),
            length=kernel * x.step,
            half=int(x.half),
            weight=self._keep(layer.weights),
            bias=self._keep(layer.bias),
            residual=residual.place if residual else NONE,
            residual_row=residual.row if residual else 0,
            relu=relu,
            border=0 if residual is not None and residual.slot == out.slot else out.border,
            **_written(out),
        )
        self._add(operation, _Slots(x.slot, out.slot, residual.slot if residual else None))

    def depthwise(self, x: Buffer, out: Buffer, layer: Layer, kernel: int, stride: int, *, relu: int = 1) -> None:
        """A depthwise convolution."""
        self._macs += out.height * out.width * out.channels * kernel**2
        operation = Operation(
            Action.DEPTHWISE,
            **_window(x, kernel, stride),
            tap=x.channels,
            weight=self._keep(layer.weights),
            bias=self._keep(layer.bias),
            relu=relu,
            border=out.border,
            **_written(out),
        )
        self._add(operation, _Slots(x.slot, out.slot))

    def pool(self, x: Buffer, out: Buffer) -> None:
        """The mean over the map."""
        operation = Operation(Action.POOL, out=out.place, **_read(x))
        self._add(operation, _Slots(x.slot, out.slot))

    def max_pool(self, x: Buffer, out: Buffer, kernel: int, stride: int, reach: int) -> None:
        """The largest value under a square kernel that starts `reach` pixels outside a map; none is negative."""
        window = _window(x, kernel, stride, reach)
        operation = Operation(Action.MAX_POOL, **window, tap=x.channels, border=out.border, **_written(out))
        self._add(operation, _Slots(x.slot, out.slot))

    def statistics(self, x: Buffer) -> None:
        """Mean and squared deviations of the image by channel."""
        self._add(Operation(Action.STATISTICS, **_read(x)), _Slots(x.slot, None))

    def store(self, x: Buffer, *, half: bool = False) -> None:
        """Copies the buffer into the target; with `half` that is of float16."""
        self._add(Operation(Action.STORE, half=int(half), **_read(x)), _Slots(x.slot, None))

    def program(self) -> Program:
        """The finished program."""
        starts: dict[int | None, int] = {None: 0}
        end = 0
        for slot, size in self._sizes.items():
            starts[slot], end = end, end + -(-size // LINE) * LINE
        placed = [
            operation._replace(
                x=operation.x + starts[slots.x],
                out=operation.out + starts[slots.out],
                residual=operation.residual + starts[slots.residual],
            )
            for operation, slots in zip(self._operations, self._slots, strict=True)
        ]
        weights = np.concatenate([*self._weights, np.zeros(LINE, np.float32)])
        return Program(np.array(placed, OPERATION), weights, end, self._scratch, self._macs)

    def _keep(self, weights: Float32s) -> int:
        place = self._size
        room = -len(weights) % LINE
        self._weights.append(weights)
        if room:
            self._weights.append(np.zeros(room, np.float32))
        self._size += len(weights) + room
        return place

    def _add(self, operation: Operation, slots: _Slots) -> None:
        self._operations.append(operation)
        self._slots.append(slots)


def _window(x: Buffer, kernel: int, stride: int, reach: int | None = None) -> dict[str, int]:
    reach = kernel // 2 if reach is None else reach
    if reach > x.border:
        raise ValueError(f"a kernel of {kernel} needs a border of {reach} around its input, which has {x.border}")
    return {
        "x": x.place - reach * (x.row + x.step),
        "x_row": x.row,
        "x_step": stride * x.step,
        "x_below": stride * x.row,
        "rows": kernel,
    }


def _read(x: Buffer) -> dict[str, int]:
    """A whole map that is read."""
    return {"x": x.place, "x_row": x.row, "channels": x.channels, "height": x.height, "width": x.width}


def _written(out: Buffer) -> dict[str, int]:
    """A whole map that is written."""
    return {
        "out": out.place,
        "out_row": out.row,
        "channels": out.channels,
        "height": out.height,
        "width": out.width,
    }
