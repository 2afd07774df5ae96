"""Opens the workers that a user has asked for, and says how threads are shared out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib

from evo_fair.errors import EvoFairError
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers.given import Workers, as_workers
from evo_fair.jobs.workers.processes import Processes
from evo_fair.jobs.workers.team import Engine, Team

__all__ = ["checked_jobs", "open_team", "ready_workers"]

_MOST_JOBS = 1024


def checked_jobs(jobs: int | None) -> int:
    """The threads of a job, one a core where none are given; raises `EvoFairError` for too few or too many."""
    if jobs is None:
        return int(joblib.cpu_count())
    if jobs < 1:
        raise EvoFairError(f"jobs {jobs} is too few: give 1 or more, or leave it out for all cores")
    if jobs > _MOST_JOBS:
        raise EvoFairError(f"jobs {jobs} is too many: give at most {_MOST_JOBS:,}, or leave it out for all cores")
    return jobs


def ready_workers(given: object, jobs: int | None = None) -> Workers | None:
    """The workers that a function was given, as `as_workers` says, once their scheduler has answered.

    A job asks for them before it trains or writes anything: so a wrong address costs no time, and leaves no folder.
    Raises `WorkerError` where no scheduler answers.
    """
    workers = as_workers(given, jobs)
    if workers is not None and workers.processes is None:
        from evo_fair.jobs.workers.cluster import check_answers

        check_answers(str(workers.where))
    return workers


@contextmanager
def open_team(workers: Workers | None, folder: Path, listener: Listener) -> Iterator[Team | None]:
    """The workers of a job that is at work in `folder`, for as long as the block runs; None where none are asked for.

    Raises `WorkerError` where no scheduler answers.
    """
    if workers is None:
        yield None
        return
    engine: Engine
    if workers.processes is None:
        from evo_fair.jobs.workers.cluster import Cluster

        engine = Cluster(str(workers.where), listener)
    else:
        engine = Processes(workers.processes, workers.threads)
    team = Team(engine, workers, folder, listener)
    try:
        threads = "one thread" if workers.threads == 1 else f"{workers.threads} threads"
        listener.noted(f"workers: {engine.description}, {threads} each")
        yield team
    finally:
        team.close()
