"""Workers of a Dask scheduler: of any number, here or elsewhere, which come and go while a job is at work."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from evo_fair import __version__
from evo_fair.errors import WorkerError, in_a_line
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers.given import LostWorkers
from evo_fair.show import counted

try:
    from distributed import Client, KilledWorker
    from distributed.client import ClosedClientError
except ImportError as reason:
    raise WorkerError(
        "the address of a scheduler needs Dask, which is not installed: pip install 'evo-fair[cluster]'"
    ) from reason

__all__ = ["Cluster", "check_answers"]

_LOG = logging.getLogger("distributed.client")

_PATIENCE = 10
"""Seconds in which a scheduler has to answer."""

_LOOK = 1.0
"""Seconds for which the number of workers is taken to be the same."""

_GONE = (OSError, ClosedClientError)
"""What a client raises whose scheduler is gone: some that the network does, others once the client has noticed."""


def check_answers(address: str) -> None:
    """Raises `WorkerError` where no scheduler answers at the address."""
    _connected(address).close()


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TypeError, ValueError) as reason:  # of a protocol that is not there, too
        raise WorkerError(
            f"no Dask scheduler answers at {address} ({in_a_line(reason)}): start one with 'python -m dask scheduler', "
            "or give the address that it prints"
        ) from reason


class Cluster:
    """The workers of the scheduler at an address; raises `WorkerError` where none answers."""

    def __init__(self, address: str, listener: Listener) -> None:
        self._client = _connected(address)
        self._level = _LOG.level
        _LOG.setLevel(logging.CRITICAL)  # it logs traces where a scheduler goes, which `ended` says on one line
        self._address, self._listener = address, listener
        self._executor = self._client.get_executor(pure=False, retries=0)
        self._running = 0
        self._looked, self._workers = 0.0, list[str]()
        self._told = False
        with self._asking():
            threads = self._client.nthreads()
        number = len(threads)
        self.description = f"{counted(number, 'worker')} of {address}"
        if any(count > 1 for count in threads.values()):
            listener.noted(
                "workers with several threads make one piece at a time: start them with --nthreads 1 and --nworkers"
            )

    @property
    def width(self) -> int:
        """How many pieces are made at a time: as many as there are workers now, and one where there are none yet."""
        return max(1, len(self._seen()))

    @property
    def idle(self) -> bool:
        """Whether a worker has nothing to do."""
        there = len(self._seen())
        if not there and not self._told:
            self._told = True
            self._listener.noted(f"the scheduler at {self._address} has no workers: waiting for the first")
        return self._running < there

    def submit(self, call: Callable[..., Any], *arguments: Any, prefer: int | None = None) -> "Future[Any]":
        """Has a worker do a call: that with the number `prefer`, if one is given and it is there."""
        near = {}
        if prefer is not None:
            near = {"workers": [self._workers[prefer % len(self._workers)]], "allow_other_workers": True}
        self._running += 1
        with self._asking():
            future: Future[Any] = self._executor.submit(call, *arguments, **near)
        return future

    def abandon(self, future: "Future[Any]") -> None:
        """Calls a call off, if it has not begun."""
        self._running -= 1
        future.cancel()

    def ended(self, future: "Future[Any]") -> LostWorkers | None:
        """Takes note that a call has ended; returns the loss of its workers, None if it was done.

        Raises `WorkerError` where the scheduler is gone, and where its workers can't do calls at all.
        """
        self._running -= 1
        error = None if future.cancelled() else future.exception()
        if isinstance(error, KilledWorker):
            return LostWorkers(int(error.allowed_failures) + 1, f"the last was {error.last_worker.address}")
        if future.cancelled():
            raise self._gone()
        if error is not None:
            raise WorkerError(
                f"the workers of {self._address} can't make pieces ({type(error).__name__}: {in_a_line(error)}): "
                f"install evo-fair {__version__} on them as it is here"
            ) from error
        return None

    def tell(self, where: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Does a call in the worker at an address, if it is still there."""
        try:
            self._client.run(call, *arguments, workers=[where])
        except (OSError, ValueError, KeyError):
            self._looked = 0.0

    def close(self) -> None:
        """Leaves the scheduler, which calls off what has not begun."""
        for leave in (partial(self._executor.shutdown, wait=False), self._client.close):
            with suppress(*_GONE):  # it called everything off when it went
                leave()
        _LOG.setLevel(self._level)

    def _seen(self) -> list[str]:
        if time.monotonic() - self._looked > _LOOK:
            with self._asking():
                self._workers = sorted(self._client.nthreads())
            self._looked = time.monotonic()
        return self._workers

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """A block that asks the scheduler: raises `WorkerError` where it is gone."""
        try:
            yield
        except _GONE as reason:
            raise self._gone() from reason

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"the scheduler at {self._address} is gone, or has given the job up: start it again, and go on with "
            "--resume"
        )
