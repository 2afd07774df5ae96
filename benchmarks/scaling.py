"""How jobs gain by workers: 1 and 2 measured, 20 random kills survived, and 10, 100 and 1,000 simulated.

    python benchmarks/scaling.py PROBLEM [--data DIR] [--jobs search prune deploy] [--budget 1000] [--trainings 8]
                                 [--kills 20] [--out DIR]

Each worker is a process of this machine with one thread. Three jobs are done by one process, by 1 worker and by 2, one
after the other, and every file that they write is compared byte by byte with those of the one process:

  prune    a grid of magnitude and taylor at three sparsities, `--seeds` seeds each
  deploy   `--trainings` networks of a front, trained from scratch
  search   a search of budget `--budget`

A job's seconds are those from its first piece to its last, without data, supernet and start. The overhead of a piece
is that of empty ones. Then workers are killed at random moments, `--kills` times in each of a search, a pruning and an
audit; no byte may change. From what each piece took in one worker, and with the owner, a simulation says how the same
jobs go with 2 workers, which is compared with what was measured, and with 10, 100 and 1,000.

Writes table.csv, simulated.csv and, with kills, kills.csv into results/benchmarks/scaling/PROBLEM. Run it on a machine
that does nothing else; `digits` takes some minutes.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from provenance import made_by, run
from rich.console import Console
from scaling_simulation import Generation, Pieces, simulated_pieces, simulated_search

import evo_fair as ef
from evo_fair.errors import EvoFairError, WorkerError
from evo_fair.files import write_text
from evo_fair.jobs.workers import Team, Workers, open_team
from evo_fair.jobs.workers.team import Times
from evo_fair.problem import Problem
from evo_fair.proxy.split import macs_of, split_population
from evo_fair.report import Run, load_run

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks" / "scaling"
MEASURED = ("timing.json", "deployed.csv")
"""Files that say how fast it went."""
SIMULATED = (1, 2, 10, 100, 1000)
ASKED = {"prune": 1.8, "deploy": 1.8, "search": 1.6}
EMPTY = 200


@dataclass
class Watch(ef.Listener):
    """When a job had its workers, and when its last piece was there."""

    begun: float = 0.0
    ended_at: float = 0.0
    times: list[Times] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of the pieces."""
        return self.ended_at - self.begun

    def end(self, *_: Any) -> None:
        """A piece is there."""
        self.ended_at = time.monotonic()

    pruned = deployed = searching = audited = end


def main() -> None:
    """Measures, kills, simulates, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", help="digits, ham10000 or another problem")
    parser.add_argument("--data", type=Path, help="the folder of the problem's data")
    parser.add_argument("--jobs", nargs="+", choices=list(ASKED), default=list(ASKED), help="measured; default: all")
    parser.add_argument("--budget", type=int, default=1000, help="of the search")
    parser.add_argument("--population", type=int, help="of the search; default: the problem's")
    parser.add_argument("--trainings", type=int, default=8, help="networks that are trained from scratch")
    parser.add_argument("--epochs", type=int, help="of each training; default: the problem's")
    parser.add_argument("--seeds", type=int, default=2, help="of each pruning")
    parser.add_argument("--kills", type=int, default=20, help="in each of a search, a pruning and an audit")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.relative_to(RESULTS.parents[2])}/PROBLEM")
    arguments = parser.parse_args()
    if "deploy" in arguments.jobs and "search" not in arguments.jobs:
        raise EvoFairError("deploy trains networks of the search: give --jobs search deploy")
    problem = ef.load_problem(arguments.problem, data=arguments.data)
    out = arguments.out or RESULTS / problem.name
    with tempfile.TemporaryDirectory(prefix="scaling-") as work:
        bench = Bench(problem, arguments, Path(work))
        rows, simulated = bench.measure()
        kills = bench.kill() if arguments.kills else []
    note = made_by(f"benchmarks/scaling.py {arguments.problem}", ("numpy", "torch"))
    for name, table in (("table", rows), ("simulated", simulated), ("kills", kills)):
        if not table:
            continue
        frame = pd.DataFrame(table)
        write_text(out / f"{name}.csv", f"# {note}\n{frame.to_csv(index=False, float_format='%.4g')}")
        Console().print(f"{name}\n{frame.to_string(index=False)}\n", markup=False)


Job = Callable[[Path, Workers | None, Watch], None]
"""Does a job in a folder, by workers or by this process; goes on with what is there."""


class Bench:
    """The jobs, and the folder that they go into."""

    def __init__(self, problem: Problem, arguments: argparse.Namespace, work: Path) -> None:
        self.problem, self.arguments, self.work = problem, arguments, work
        self.searched: Run | None = None
        self.pauses: dict[str, float] = {}

    def jobs(self) -> dict[str, Job]:
        """The jobs that are measured; `deploy` needs the search's run."""
        jobs: dict[str, Job] = {"search": self.search, "prune": self.prune, "deploy": self.deploy}
        return {name: job for name, job in jobs.items() if name in self.arguments.jobs}

    def search(self, out: Path, workers: Workers | None, watch: Watch) -> None:
        """A search without trainings."""
        given = self.arguments
        ef.search(
            self.problem,
            out=out,
            budget=given.budget,
            population=given.population,
            jobs=1,
            workers=workers,
            resume=True,
            listener=watch,
        )

    def prune(self, out: Path, workers: Workers | None, watch: Watch) -> None:
        """A grid of prunings."""
        ef.prune(
            self.problem,
            out=out,
            methods=["magnitude", "taylor"],
            sparsities=[0.3, 0.5, 0.7],
            seeds=range(self.arguments.seeds),
            epochs=self.arguments.epochs,
            workers=workers,
            resume=True,
            listener=watch,
        )

    def deploy(self, out: Path, workers: Workers | None, watch: Watch) -> None:
        """Networks of the front, trained from scratch."""
        assert self.searched is not None
        names = self.searched.front["id"].astype(str).tolist()
        chosen = [
            names[i] for i in np.unique(np.linspace(0, len(names) - 1, self.arguments.trainings).round().astype(int))
        ]
        ef.deploy(
            self.searched.path,
            networks=chosen,
            data=self.problem.dataset(),
            from_scratch=True,
            epochs=self.arguments.epochs,
            out=out,
            workers=workers,
            resume=True,
            listener=watch,
        )

    def audit(self, out: Path, workers: Workers | None, watch: Watch) -> None:
        """An audit of some parts."""
        ef.audit(
            self.problem,
            out=out,
            networks=1500,
            criteria=["trained", "random"],
            jobs=1,
            workers=workers,
            resume=True,
            listener=watch,
        )

    def measure(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of what was measured, and of what is simulated."""
        rows, simulated = [], []
        overhead, start = self.overhead()
        for name, job in self.jobs().items():
            watches: dict[int, Watch] = {}
            for workers in (0, 1, 2):  # 0 is this process alone
                folder, watch = self.work / f"{name}-{workers}", Watch()
                with watched(watch):
                    job(folder, Workers(workers) if workers else None, watch)
                watches[workers] = watch
            self.pauses[name] = max(2.0, 2 * max(one.whole for one in watches[2].times))
            if name == "search":
                self.searched = load_run(self.work / "search-0")
            same = all(contents(self.work / f"{name}-{n}") == contents(self.work / f"{name}-0") for n in (1, 2))
            gain = watches[1].seconds / watches[2].seconds
            rows.append(
                {
                    "job": name,
                    "pieces": len(watches[1].times),
                    **{f"seconds_{n}": watches[n].seconds for n in (1, 2)},
                    "gain": gain,
                    "asked": ASKED[name],
                    "same_bytes": same,
                    "overhead_ms": 1000 * overhead,
                    "start_s": start,
                }
            )
            simulated += self.simulate(name, watches, overhead)
        return rows, simulated

    def overhead(self) -> tuple[float, float]:
        """Seconds of an empty piece beyond its own, and until the first of a new worker is there."""
        began = time.monotonic()
        with open_team(Workers(1), self.work, ef.Listener()) as team:
            assert team is not None
            with team.loaded(_nothing) as load:
                list(team.each(load, [0], str))
                start = time.monotonic() - began
                list(team.each(load, list(range(EMPTY)), str))
        return float(np.median([one.whole - one.worker for one in team.times[1:]])), start

    def simulate(self, name: str, watches: dict[int, Watch], overhead: float) -> list[dict[str, Any]]:
        """The same job with more workers, from what its pieces took in one."""
        times = watches[1].times
        opening = times[0].whole - times[0].worker  # what a worker takes to read the data and all else, once
        if name == "search":
            generations = self.generations([one.worker for one in times], watches[1].seconds - opening)
            found = {n: simulated_search(generations, n, overhead, opening) for n in SIMULATED}
        else:
            pieces = Pieces([one.worker for one in times], [one.owner for one in times], overhead, opening)
            found = {n: simulated_pieces(pieces, n) for n in SIMULATED}
        return [
            {
                "job": name,
                "workers": n,
                "seconds": seconds,
                "gain": found[1] / seconds,
                "measured": watches[n].seconds if n in watches else np.nan,
            }
            for n, seconds in found.items()
        ]

    def generations(self, worker: Sequence[float], seconds: float) -> list[Generation]:
        """What each generation took of a search's `seconds`, and how its work is split, by the run's journal."""
        run = load_run(self.work / "search-1")
        dataset = self.problem.dataset()
        space = self.problem.search_space(dataset.input_shape, len(dataset.label_names))
        populations: dict[int, list[Any]] = {}
        for record in run.records:
            if record.evaluated:
                populations.setdefault(record.generation, []).append(space.architecture(np.array(record.genome)))
        worker = worker[: len(populations)]  # the last piece is no generation: it asks how noisy scores are
        owner = max(0.0, seconds - sum(worker)) / len(worker)
        return [
            Generation(one, owner, {n: _largest(networks, n) for n in SIMULATED})
            for one, networks in zip(worker, populations.values(), strict=True)
        ]

    def kill(self) -> list[dict[str, Any]]:
        """Rows of what kills changed."""
        rows = []
        for name, job in {"search": self.search, "prune": self.prune, "audit": self.audit}.items():
            whole = self.work / f"{name}-0"
            if not whole.exists():
                job(whole, None, Watch())
            done, same, rounds, pause = 0, True, 0, self.pauses.get(name, 4.0)
            while done < self.arguments.kills:
                folder, rounds = self.work / f"{name}-killed", rounds + 1
                moments = random.Random(f"{name} {rounds}")
                with killing(moments, self.arguments.kills - done, pause) as killed:
                    self.to_the_end(job, folder)
                same = same and contents(folder) == contents(whole)
                done += len(killed)
                pause = pause if killed else pause / 2  # the job was over before a kill came
                shutil.rmtree(folder)
            rows.append({"job": name, "kills": done, "same_bytes": same})
        return rows

    def to_the_end(self, job: Job, folder: Path) -> None:
        """Does a job by two workers; one whose piece was hit three times is gone on with."""
        while True:
            try:
                job(folder, Workers(2), Watch())
                return
            except WorkerError:
                continue


def _nothing(piece: int) -> int:
    return piece


def _largest(networks: Sequence[Any], parts: int) -> float:
    """The largest part's share of what all networks compute, what they have in common counted once."""
    whole = _cost(networks)
    return max(_cost([networks[row] for row in rows]) for rows in split_population(networks, parts)) / whole


def _cost(networks: Sequence[Any]) -> int:
    nodes = {tuple(blocks[:depth]) for blocks in networks for depth in range(1, len(blocks) + 1)}
    return sum(macs_of(node[-1]) for node in nodes)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """A block in which a job's watch begins with its first piece, once all of its processes are there."""
    each = Team.each

    def watched_each(team: Team, *given: Any, **named: Any) -> Iterator[tuple[int, Any]]:
        if not watch.begun:
            with team.loaded(_nothing) as load:
                list(each(team, load, list(range(team.width)), str, all_needed=True))
            team.times.clear()
            watch.times = team.times
            watch.begun = time.monotonic()
        return each(team, *given, **named)

    Team.each = watched_each  # type: ignore[method-assign]
    try:
        yield
    finally:
        Team.each = each  # type: ignore[method-assign]


@contextmanager
def killing(moments: random.Random, most: int, pause: float) -> Iterator[list[int]]:
    """A block in which workers of this process are killed at random moments, `pause` seconds apart on average.

    Gives the list of those that were.
    """
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while len(killed) < most and not done.wait(moments.uniform(0, 2 * pause)):
            if there := workers_of(os.getpid()):
                process = moments.choice(there)
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def workers_of(owner: int) -> list[int]:
    """The processes of a job's workers."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            command = (place / "cmdline").read_bytes()
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == owner and b"popen_loky" in command:
            found.append(int(place.name))
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path, what was measured of the time left out."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: b"" if Path(name).name in MEASURED else path.read_bytes() for name, path in sorted(files.items())}


if __name__ == "__main__":
    run(main)
