"""Hands pieces to workers and gives back their results as they come; what a lost worker was at is done elsewhere."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import cloudpickle

from evo_fair.errors import WorkerError
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers.given import LostWorkers, Workers
from evo_fair.jobs.workers.parcel import Parcel, Ticket
from evo_fair.jobs.workers.remote import Answer, MadeElsewhere, receive, run_piece, versions

__all__ = ["Engine", "Load", "Team", "Times"]

P = TypeVar("P")

_MOST_LOST = 3
"""Workers that a piece may end."""

_LOOK = 2.0
"""Seconds after which new workers are looked for."""


class Engine(Protocol):
    """Where calls are done: processes here, or a scheduler's workers."""

    description: str
    """The workers in words, as `2 processes on this machine`."""

    @property
    def width(self) -> int:
        """How many pieces are made at a time."""

    @property
    def idle(self) -> bool:
        """Whether there is a worker with nothing to do."""

    def submit(self, call: Callable[..., Any], *arguments: Any, prefer: int | None = None) -> "Future[Any]":
        """Has an idle worker do a call, that with the number `prefer` if there is a choice."""

    def abandon(self, future: "Future[Any]") -> None:
        """Calls a call off, whose end nobody waits for."""

    def ended(self, future: "Future[Any]") -> LostWorkers | None:
        """Takes note that a call has ended; returns what was lost over it, None if it was done."""

    def tell(self, where: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Does a call, at once, in the worker that has said that it is `where`."""

    def close(self) -> None:
        """Leaves the workers; those that are this process's own are ended."""


@dataclass(frozen=True)
class Load:
    """What all pieces of a job need: packed once, and sent to workers that do not see its files."""

    parcel: Parcel
    ticket: Ticket

    @cached_property
    def content(self) -> bytes:
        """All of it."""
        return self.parcel.content()


class Times(NamedTuple):
    """Seconds that a piece took: in its worker, from hand-out to answer, and in the job's process afterwards."""

    worker: float
    whole: float
    owner: float


class Team:
    """The workers of one job, which write nothing themselves; its files stand in `folder` while it is at work.

    `times` has the pieces in the order in which they were ready.
    """

    def __init__(self, engine: Engine, workers: Workers, folder: Path, listener: Listener) -> None:
        self.times: list[Times] = []
        self.engine = engine
        self.workers = workers
        self._ended: frozenset[str] = frozenset()
        self._folder = folder
        self._listener = listener

    @property
    def width(self) -> int:
        """How many pieces are made at a time."""
        return self.engine.width

    @contextmanager
    def loaded(self, work: Callable[[P], Any]) -> Iterator[Load]:
        """Packs what makes pieces, a callable of one, for as long as the block runs."""
        parcel = Parcel(work, self._folder, hashed=self.workers.processes is None)
        self._ended -= {parcel.digest}
        try:
            yield Load(parcel, Ticket(parcel.digest, str(parcel.path.absolute()), self.workers.threads, versions()))
        finally:
            parcel.close()
            self._ended |= {parcel.digest}

    def each(
        self,
        load: Load,
        pieces: Sequence[P],
        name: Callable[[P], str],
        *,
        all_needed: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        """What the work of `load` makes of each piece, by the piece's number, in the order in which they are ready.

        An error of a piece is raised as it is, with the worker's trace as its cause. A piece whose workers are lost is
        begun anew by others. One that has ended three raises `WorkerError` with its name, or is left out with a
        warning where the user has said so. With `all_needed` none is left out, and the piece of a number goes to
        the worker of that number, which has made it the last time.
        """
        waiting = deque(range(len(pieces)))
        running: dict[Future[Any], int] = {}
        begun: dict[int, float] = {}
        lost: Counter[int] = Counter()
        try:
            while waiting or running:
                while waiting and self.engine.idle:
                    number = waiting.popleft()
                    begun[number] = time.monotonic()
                    call = (run_piece, load.ticket, cloudpickle.dumps(pieces[number]), self._ended)
                    running[self.engine.submit(*call, prefer=number if all_needed else None)] = number
                if not running:
                    time.sleep(_LOOK)
                for future in wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    if loss := self.engine.ended(future):
                        lost[number] += loss.workers
                        if lost[number] < _MOST_LOST:
                            waiting.appendleft(number)
                        else:
                            self._give_up(name(pieces[number]), lost[number], loss.why, all_needed)
                        continue
                    answer: Answer = future.result()
                    if answer.kind == "lacking":
                        self.engine.tell(answer.text, receive, load.ticket.digest, load.content)
                        waiting.appendleft(number)
                    elif answer.kind == "error":
                        raise cloudpickle.loads(answer.content) from MadeElsewhere(answer.text)
                    else:
                        ready = time.monotonic()
                        yield number, cloudpickle.loads(answer.content)
                        owner = time.monotonic() - ready
                        self.times.append(Times(answer.seconds, ready - begun[number], owner))
        finally:
            for future in running:
                self.engine.abandon(future)

    def close(self) -> None:
        """Leaves the workers; those that are this process's own are ended."""
        self.engine.close()

    def _give_up(self, name: str, lost: int, why: str, needed: bool) -> None:
        what = f"{name} ended {lost} workers ({why})"
        if self.workers.leave_out and not needed:
            self._listener.warned(f"{what}: it is left out; --resume tries it again")
            return
        mend = "" if needed else ", leave such pieces out with --leave-out"
        raise WorkerError(
            f"{what}: give workers more memory if that is what they lack{mend}, or go on without workers and --resume"
        )
