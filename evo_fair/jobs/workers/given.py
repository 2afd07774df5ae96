"""How a user says which workers make the pieces of a job."""

import re
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

from evo_fair.arguments import as_whole
from evo_fair.errors import EvoFairError, quote

__all__ = ["LostWorkers", "Workers", "as_workers"]

_ADDRESS = re.compile(r"(?:tcp|tls|ucx|ws|wss)://[^/\s]+:\d{1,5}")
_MOST = 4096


@dataclass(frozen=True)
class Workers:
    """Who makes the pieces of a job, and what becomes of a piece that no worker survives.

    Args:
        where: A number of processes on this machine, or the address of a Dask scheduler, `tcp://host:8786`.
        threads: Threads of each worker. Default: 1.
        leave_out: Whether a piece that ended three workers is left out, with a warning. Default: False, it ends the
            job.

    Raises:
        EvoFairError: There is no such number of workers or threads, the address is none, or `leave_out` is no truth
            value.

    Example:
        >>> ef.Workers(2).threads
        1
        >>> ef.Workers("lab-7")
        Traceback (most recent call last):
        evo_fair.errors.EvoFairError: workers 'lab-7' ...
    """

    where: int | str
    threads: int = 1
    leave_out: bool = False

    def __post_init__(self) -> None:
        where = self.where
        if isinstance(where, str) and where.isascii() and where.isdigit() and len(where) < 10:
            where = int(where)
        if not isinstance(where, str):
            where = as_whole("workers", where)
            if where is None or not 1 <= where <= _MOST:
                raise EvoFairError(
                    f"workers {where}: give 1 to {_MOST}, or the address of a Dask scheduler, tcp://host:8786"
                )
        elif not _ADDRESS.fullmatch(where):
            raise EvoFairError(
                f"workers {quote(where)} is neither a number of processes nor the address of a Dask scheduler: give "
                "one such as 4, or tcp://host:8786"
            )
        threads = as_whole("threads of a worker", self.threads)
        if threads is None or threads < 1:
            raise EvoFairError(f"threads of a worker {threads}: give 1 or more")
        if not isinstance(self.leave_out, bool):
            raise EvoFairError(f"leave_out {quote(self.leave_out)} is neither True nor False: give one of them")
        object.__setattr__(self, "where", where)
        object.__setattr__(self, "threads", threads)

    @property
    def processes(self) -> int | None:
        """How many processes on this machine; None where a scheduler has the workers."""
        return None if isinstance(self.where, str) else self.where


class LostWorkers(NamedTuple):
    """How many workers were lost over a call, and why the last was, in words."""

    workers: int
    why: str


def as_workers(given: object, jobs: int | None = None) -> Workers | None:
    """The workers that a function was given; None where there are none.

    `jobs` are threads, shared out evenly among processes on this machine. Raises `EvoFairError` for what says none.
    """
    if given is None:
        return None
    if isinstance(given, Workers):
        return given
    if isinstance(given, bool) or not isinstance(given, str | Integral | float):
        raise EvoFairError(
            f"workers {quote(given)}: give a number of processes, the address of a Dask scheduler, tcp://host:8786, "
            "or an evo_fair.Workers"
        )
    workers = Workers(given)  # type: ignore[arg-type]  # what is no number is refused there
    if jobs is None or workers.processes is None:
        return workers
    return Workers(workers.where, max(1, jobs // workers.processes))
