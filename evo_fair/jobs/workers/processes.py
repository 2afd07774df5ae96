"""Workers as processes on this machine: one executor of joblib's a process, so that a lost one is told from the others.

In one executor of many processes, the loss of one breaks all, and which piece was at fault is not known.
"""

import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from multiprocessing import resource_tracker
from tempfile import TemporaryDirectory
from typing import Any

from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import resource_tracker as process_tracker

from evo_fair.errors import in_a_line
from evo_fair.jobs.workers.given import LostWorkers
from evo_fair.show import counted

__all__ = ["Processes"]

_CODE = re.compile(r"exit codes of the workers are \{([^}]*)\}")
"""How joblib says what ended a process, as SIGKILL(-9)."""

_LOOK = 1.0
"""Seconds between two looks whether the job's process is still there."""


class Processes:
    """Some processes of so many threads each; they are started when they are first needed."""

    def __init__(self, number: int, threads: int) -> None:
        self._executors: list[process_executor.ProcessPoolExecutor | None] = [None] * number
        self._at: dict[Future[Any], int] = {}
        names = ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")
        self._environment = {f"{name}_NUM_THREADS": str(threads) for name in names}
        # What a killed worker leaves of its temporary files goes with the job.
        self._temporary = TemporaryDirectory(prefix="evo-fair-", ignore_cleanup_errors=True)
        self._environment["TMPDIR"] = self._temporary.name
        self.description = f"{counted(number, 'process', 'processes')} on this machine"

    @property
    def width(self) -> int:
        """How many pieces are made at a time."""
        return len(self._executors)

    @property
    def idle(self) -> bool:
        """Whether a worker has nothing to do."""
        return len(self._at) < self.width

    def submit(self, call: Callable[..., Any], *arguments: Any, prefer: int | None = None) -> "Future[Any]":
        """Has an idle worker do a call: that with the number `prefer`, if it is idle."""
        idle = sorted(set(range(self.width)) - set(self._at.values()))
        number = prefer if prefer in idle else idle[0]
        future = self._submitted(number, call, *arguments)
        self._at[future] = number
        return future

    def _submitted(self, number: int, call: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        executor = self._executors[number]
        if executor is not None:
            with contextlib.suppress(process_executor.BrokenProcessPool):  # it was lost while it had nothing to do
                waiting: Future[Any] = executor.submit(call, *arguments)
                return waiting
        with _without_interrupts():  # the process starts within the first call
            executor = self._executors[number] = process_executor.ProcessPoolExecutor(
                1, initializer=_begin, initargs=(os.getpid(), self._temporary.name), env=self._environment
            )
            future: Future[Any] = executor.submit(call, *arguments)
        return future

    def abandon(self, future: "Future[Any]") -> None:
        """Calls a call off; its worker, if it is at it, has nothing else to do until it has ended."""
        future.cancel()
        future.add_done_callback(lambda done: self._at.pop(done, None))

    def ended(self, future: "Future[Any]") -> LostWorkers | None:
        """Takes note that a call has ended; returns the loss of its worker, whose place is then free."""
        number, error = self._at.pop(future), future.exception()
        if not isinstance(error, process_executor.BrokenProcessPool):
            return None
        executor, self._executors[number] = self._executors[number], None
        if executor is not None:
            executor.shutdown(kill_workers=True)
        code = _CODE.search(str(error))
        return LostWorkers(1, f"the last by {code[1]}" if code else in_a_line(error))

    def tell(self, where: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Does a call, at once, in all processes that have nothing else to do."""
        del where
        idle = set(range(self.width)) - set(self._at.values())
        there = [executor for number in idle if (executor := self._executors[number]) is not None]
        told = []
        for executor in there:
            with contextlib.suppress(process_executor.BrokenProcessPool):  # it died; what it gets next tells
                told.append(executor.submit(call, *arguments))
        wait(told)

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        for number, executor in enumerate(self._executors):
            if executor is not None:
                executor.shutdown(wait=True, kill_workers=True)
                self._executors[number] = None
        self._at.clear()
        self._temporary.cleanup()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A block whose new processes don't hear Ctrl-C, which is the job's own: it ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    for tracker in (resource_tracker, process_tracker):  # where they start, they let interrupts through again
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(owner: int, temporary: str) -> None:
    """Runs first in a worker: it ends with its owner, and does not start anew for what it keeps in memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(owner, temporary), daemon=True, name="owner").start()


def _end_with(owner: int, temporary: str) -> None:
    while os.getppid() == owner:
        time.sleep(_LOOK)
    shutil.rmtree(temporary, ignore_errors=True)  # an owner that was killed has left it
    os._exit(1)
