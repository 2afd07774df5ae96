"""Hands pieces to workers and gives back their results as they come; what a lost worker was at is done elsewhere."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cloudpickle

from evo_fair.errors import WorkerError
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers.given import Workers
from evo_fair.jobs.workers.parcel import Parcel, Ticket
from evo_fair.jobs.workers.remote import Answer, MadeElsewhere, run_piece, versions

__all__ = ["Engine", "Load", "Team"]

P = TypeVar("P")

_LOOK = 2.0
"""Seconds after which new workers are looked for."""


class Engine(Protocol):
    """Where calls are done: processes here, or a scheduler's workers."""

    kills: int
    """Workers that a call may end before it is given up."""

    description: str
    """The workers in words, as `2 processes on this machine`."""

    @property
    def width(self) -> int:
        """How many pieces are made at a time."""

    @property
    def idle(self) -> bool:
        """Whether there is a worker with nothing to do."""

    def submit(self, call: Callable[..., Any], *arguments: Any, prefer: int = 0) -> "Future[Any]":
        """Has an idle worker do a call, that with the number `prefer` if there is a choice."""

    def ended(self, future: "Future[Any]") -> bool:
        """Takes note that a call has ended; returns whether that is because its worker was lost."""

    def send(self, content: bytes) -> Any:
        """What stands for a parcel's content in calls; it reaches each worker once."""

    def close(self) -> None:
        """Leaves the workers; those that are this process's own are ended."""


class Load:
    """What all pieces of a job need, with the workers: packed once, and sent to those who lack its files."""

    def __init__(self, parcel: Parcel, threads: int) -> None:
        self.parcel = parcel
        self.ticket = Ticket(parcel.digest, str(parcel.path.absolute()), threads, versions())
        self.sent: Any = None


class Team:
    """The workers of one job, which write nothing themselves; its files stand in `folder` while it is at work."""

    def __init__(self, engine: Engine, workers: Workers, folder: Path, listener: Listener) -> None:
        self.engine = engine
        self.workers = workers
        self.folder = folder
        self._listener = listener

    @contextmanager
    def loaded(self, work: Callable[[P], Any]) -> Iterator[Load]:
        """Packs what makes pieces, a callable of one, for as long as the block runs."""
        parcel = Parcel(work, self.folder, hashed=self.workers.processes is None)
        try:
            yield Load(parcel, self.workers.threads)
        finally:
            parcel.close()

    def each(
        self, load: Load, pieces: Sequence[P], name: Callable[[P], str], *, leave_out: bool = True
    ) -> Iterator[tuple[P, Any]]:
        """What the work of `load` makes of each piece, in the order in which they are ready.

        An error of a piece is raised as it is, with the worker's trace as its cause. A piece whose workers are lost is
        begun anew by others. One that has ended as many as `Engine.kills` raises `WorkerError` with its name, or is
        left out with a warning where the user has said so and `leave_out` allows it.
        """
        waiting = deque(enumerate(pieces))
        running: dict[Future[Any], tuple[int, P]] = {}
        kills: Counter[int] = Counter()
        try:
            while waiting or running:
                while waiting and self.engine.idle:
                    number, piece = waiting.popleft()
                    running[self._begin(load, number, piece)] = (number, piece)
                done, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
                for future in done:
                    number, piece = running.pop(future)
                    if self.engine.ended(future):
                        kills[number] += 1
                        if kills[number] < self.engine.kills:
                            waiting.appendleft((number, piece))
                        else:
                            self._give_up(name(piece), leave_out)
                        continue
                    answer: Answer = future.result()
                    if answer.kind == "lacking":
                        load.sent = self._sent(load, answer)
                        waiting.appendleft((number, piece))
                    elif answer.kind == "error":
                        raise cloudpickle.loads(answer.content) from MadeElsewhere(answer.trace)
                    else:
                        yield piece, cloudpickle.loads(answer.content)
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """Leaves the workers; those that are this process's own are ended."""
        self.engine.close()

    def _begin(self, load: Load, number: int, piece: Any) -> "Future[Any]":
        return self.engine.submit(run_piece, load.ticket, load.sent, cloudpickle.dumps(piece), prefer=number)

    def _sent(self, load: Load, answer: Answer) -> Any:
        if load.sent is None:
            return self.engine.send(load.parcel.content())
        return load.sent

    def _give_up(self, name: str, leave_out: bool) -> None:
        what = f"{name} ended {self.engine.kills} workers, each of which was killed or ran out of memory"
        if leave_out and self.workers.leave_out:
            self._listener.warned(f"{what}: it is left out; --resume tries it again")
            return
        mend = ", leave out such pieces with --leave-out" if leave_out else ""
        raise WorkerError(f"{what}: give workers more memory{mend}, or go on without workers and with --resume")
