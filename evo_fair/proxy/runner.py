"""Runs programs over images with several threads; what they give does not depend on how many there are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType
from typing import Self

import numpy as np

from evo_fair.arrays import Float32s
from evo_fair.proxy.kernels import run_program
from evo_fair.proxy.program import LINE, Program

__all__ = ["Runner"]

_GROUPED = 16
"""Images that an operation is done for together, at most."""

_SHARES = 4
"""Times that a thread comes back for more images: each costs a call, and fewer would leave threads idle at the end."""

_LEAST, _CACHE = 4, 1 << 17
"""An operation is done for as many images together as fit into so many values, for four at least."""


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
        sources: Sequence[Float32s],
        target: Float32s | None = None,
        channels: int = 0,
    ) -> Float32s:
        """Runs a program on every image of `sources`, each `[images, ...]` and contiguous.

        What it stores goes into `target` `[images, ...]`. Returns its statistics, `[images, 2, channels]`. Sources and
        target are float32, or float16 where the program says so.
        """
        for array in (*sources, *(() if target is None else (target,))):
            kept = array.dtype in (np.float32, np.float16)
            if not kept or not array.flags.c_contiguous or len(array) < images:
                raise ValueError(
                    f"a source or target is float32 or float16, contiguous and of {images} images or more: "
                    f"got {array.dtype} {list(array.shape)}"
                )
        addresses = np.array([array.ctypes.data for array in sources], np.int64)
        strides = np.array([array[0].nbytes // 4 for array in sources], np.int64)
        into = np.zeros((images, 0), np.float32)
        if target is not None:
            into = target.reshape(len(target), -1).view(np.float32)
        statistics = np.empty((images, 2, channels), np.float32)
        numbers = count()
        group = max(_LEAST, min(_GROUPED, _CACHE // max(1, program.arena)))
        chunk = -(-images // (_SHARES * self.threads * group)) * group
        room = group * program.arena + program.scratch + LINE
        self.macs += images * program.macs

        def work(thread: int) -> None:
            if len(self._arenas[thread]) < room:
                self._arenas[thread] = np.zeros(room, np.float32)
            arena = self._arenas[thread]
            arena = arena[-(arena.ctypes.data // 4) % LINE :]
            while (first := next(numbers) * chunk) < images:
                last = min(first + chunk, images)
                run_program(
                    program.operations,
                    program.weights,
                    arena,
                    addresses,
                    strides,
                    into,
                    statistics,
                    program.arena,
                    group,
                    first,
                    last,
                )

        others = [self._pool.submit(work, thread) for thread in range(1, self.threads)] if images > chunk else []
        work(0)
        for other in others:
            other.result()
        return statistics
