"""Opens the workers that a user has asked for, and says how threads are shared out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers.given import Workers
from evo_fair.jobs.workers.processes import Processes
from evo_fair.jobs.workers.team import Engine, Team

__all__ = ["open_team"]


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
