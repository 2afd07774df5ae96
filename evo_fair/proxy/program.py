"""Writes programs for `evo_fair.proxy.kernels`, and runs them over images with several threads."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from evo_fair.proxy.kernels import Column, Integers, Op, run_program
from evo_fair.proxy.tile_choice import Floats
from evo_fair.proxy.tiles import UNIT

__all__ = ["Buffer", "Layer", "Program", "Runner", "Writer", "padded"]

_CHUNK = 16
"""Images that a thread takes at a time."""

_LINE = 16
"""Buffers and weights start at multiples of so many float32 values: a cache line."""


def padded(channels: int) -> int:
    """Channels filled up to whole vectors."""
    return -(-channels // UNIT) * UNIT


class Layer(NamedTuple):
    """The weights of a layer as the kernels want them, and its bias, filled up with zeros."""

    weights: Floats
    bias: Floats


class Buffer(NamedTuple):
    """A feature map in the arena; `place` is that of its first value within its slot."""

    slot: int
    height: int
    width: int
    channels: int
    border: int

    @property
    def row(self) -> int:
        """Values from a row to the next."""
        return (self.width + 2 * self.border) * self.channels

    @property
    def place(self) -> int:
        """Where the first value lies, behind the border."""
        return self.border * (self.row + self.channels)

    @property
    def size(self) -> int:
        """Values, border included."""
        return (self.height + 2 * self.border) * self.row


@dataclass(frozen=True)
class Program:
    """Operations, int64 `[operations, 18]`, their weights, and how many float32 values the arena needs."""

    operations: Integers
    weights: Floats
    arena: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an image, those with filled-up channels included."""
        rows = self.operations
        outputs = rows[:, Column.HEIGHT] * rows[:, Column.WIDTH] * rows[:, Column.CHANNELS] * rows[:, Column.KERNEL]
        dense = rows[:, Column.OP] == Op.DENSE
        depthwise = rows[:, Column.OP] == Op.DEPTHWISE
        return int((outputs * (dense * rows[:, Column.LENGTH] + depthwise * rows[:, Column.KERNEL])).sum())


@dataclass
class Writer:
    """Collects operations. Buffers of one slot share their place in the arena: only the last one written is there."""

    _rows: list[list[int]] = field(default_factory=list)
    _slots: list[tuple[int, int, int]] = field(default_factory=list)  # of source, target and residual; -1: none
    _weights: list[Floats] = field(default_factory=list)
    _size: int = 0
    _sizes: dict[int, int] = field(default_factory=dict)

    def buffer(self, slot: int, height: int, width: int, channels: int, border: int = 0) -> Buffer:
        """A feature map in a slot; `channels` are filled up."""
        buffer = Buffer(slot, height, width, padded(channels), border)
        self._sizes[slot] = max(self._sizes.get(slot, 0), buffer.size)
        return buffer

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
    ) -> None:
        """Copies the image of a source, of whose pixels each has `step` values, or adds it to the buffer."""
        step = out.channels if step is None else step
        if affine is None:
            affine = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        scale, shift = (self._keep(np.pad(part, (0, out.channels - channels))) for part in affine)
        self._add(
            Op.LOAD,
            (-1, out.slot, -1),
            source=source,
            source_row=out.width * step,
            step_x=step,
            length=channels,
            kernel=int(add),
            weight=scale,
            bias=shift,
            relu=int(relu),
            border=0 if add else out.border,
            **_target(out),
        )

    def scale(self, x: Buffer, out: Buffer, affine: tuple[Floats, Floats], *, relu: bool) -> None:
        """Scales and shifts a buffer by channel; `out` may be `x` itself."""
        scale, shift = (self._keep(np.pad(part, (0, out.channels - len(part)))) for part in affine)
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
        """A convolution; with kernel 1 on a map of one pixel a linear layer. The residual is added before ReLU."""
        self._add(
            Op.DENSE,
            (x.slot, out.slot, residual.slot if residual else -1),
            **_window(x, kernel, stride),
            length=kernel * x.channels,
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

    def store(self, x: Buffer) -> None:
        """Copies the buffer into the target."""
        self._add(Op.STORE, (x.slot, x.slot, -1), source=x.place, source_row=x.row, **_target(x))

    def program(self) -> Program:
        """The finished program."""
        starts, end = {-1: 0}, 0
        for slot, size in self._sizes.items():
            starts[slot], end = end, end + -(-size // _LINE) * _LINE
        operations = np.array(self._rows, np.int64).reshape(len(self._rows), len(Column))
        for column, part in ((Column.SOURCE, 0), (Column.TARGET, 1), (Column.RESIDUAL, 2)):
            operations[:, column] += [starts[slots[part]] for slots in self._slots]
        weights = np.concatenate([*self._weights, np.zeros(_LINE, np.float32)])
        return Program(operations, weights, end)

    def _keep(self, weights: Floats) -> int:
        place = self._size
        room = -len(weights) % _LINE
        self._weights.append(weights)
        if room:
            self._weights.append(np.zeros(room, np.float32))
        self._size += len(weights) + room
        return place

    def _add(self, op: Op, slots: tuple[int, int, int], **columns: int) -> None:
        row = [0] * len(Column)
        row[Column.OP] = op
        row[Column.RESIDUAL] = -1
        for name, value in columns.items():
            row[Column[name.upper()]] = value
        self._rows.append(row)
        self._slots.append(slots)


def _window(x: Buffer, kernel: int, stride: int) -> dict[str, int]:
    reach = kernel // 2
    if reach > x.border:
        raise ValueError(f"a kernel of {kernel} needs a border of {reach} around its input, which has {x.border}")
    return {
        "source": x.place - reach * (x.row + x.channels),
        "source_row": x.row,
        "step_y": stride * x.row,
        "step_x": stride * x.channels,
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


class Runner:
    """Runs programs over images, with `threads` of its own; results do not depend on how many there are.

    `macs` counts the multiply-accumulates done.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.macs = 0
        self._pool = ThreadPoolExecutor(max(1, threads - 1), "proxy")
        self._arenas = [np.zeros(0, np.float32) for _ in range(threads)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def run(
        self,
        program: Program,
        images: int,
        sources: Sequence[Floats],
        target: Floats | None = None,
        channels: int = 0,
    ) -> Floats:
        """Runs a program on every image of `sources`, each `[images, ...]` and contiguous.

        What it stores goes into `target` `[images, ...]`. Returns its statistics, `[images, 2, channels]`.
        """
        for array in (*sources, *(() if target is None else (target,))):
            if array.dtype != np.float32 or not array.flags.c_contiguous or len(array) < images:
                raise ValueError(
                    f"a source or target is float32, contiguous and of {images} images or more: "
                    f"got {array.dtype} {list(array.shape)}"
                )
        addresses = np.array([array.ctypes.data for array in sources], np.int64)
        strides = np.array([array[0].size for array in sources], np.int64)
        into = np.zeros((images, 0), np.float32) if target is None else target.reshape(len(target), -1)
        statistics = np.empty((images, 2, channels), np.float32)
        numbers = count()
        self.macs += images * program.macs

        def work(thread: int) -> None:
            if len(self._arenas[thread]) < program.arena + _LINE:
                self._arenas[thread] = np.zeros(program.arena + _LINE, np.float32)
            arena = self._arenas[thread]
            arena = arena[-(arena.ctypes.data // 4) % _LINE :]
            while (first := next(numbers) * _CHUNK) < images:
                last = min(first + _CHUNK, images)
                run_program(
                    program.operations, program.weights, arena, addresses, strides, into, statistics, first, last
                )

        others = [self._pool.submit(work, thread) for thread in range(1, self.threads)] if images > _CHUNK else []
        work(0)
        for other in others:
            other.result()
        return statistics
