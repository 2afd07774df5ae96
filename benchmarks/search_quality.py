"""How good the fronts are that strategies find at the same budget with the same evaluator: hypervolume over seeds.

    python benchmarks/search_quality.py --data HAM10000 --work DIR [--budget 1000] [--seeds 10] [--algorithms nsga2 ...]

Every strategy searches ham10000 with the supernet that comes along for error, unfairness (age_band) and latency on a
Raspberry Pi 4; `optuna` is Optuna's NSGA-II with the same population, which pays for no network twice either. Each
algorithm with each seed has a run folder below DIR, left as it is once it is finished: the command goes on where it
was broken off, and `evo-fair compare` reads the folders. All runs share one store of predictions, which changes no
result. A run that was made with another PROXY_CODE or STRATEGY_CODE is refused, not taken for one of now.

Writes results/benchmarks/search_quality.csv (a row a run) and the folder results/benchmarks/search_quality/.
`--problem`, `--out` and `--box` are for trying it out on something else.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from prediction_store import PredictionStore
from provenance import made_by, run
from rich.console import Console
from rich.table import Table

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.evolution import (
    ALGORITHMS,
    STRATEGY_CODE,
    Box,
    SearchPlan,
    create_run,
    describe,
    has_begun,
    resolve,
    resume_run,
    search,
)
from evo_fair.files import write_json, write_text
from evo_fair.latency import Profile, load_profile
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy import PROXY_CODE
from evo_fair.proxy.supernets import StoredSupernet, ensure_supernet
from evo_fair.report import Comparison, Run, compare, load_run, write_comparison
from evo_fair.space import SearchSpace

OBJECTIVES = ("error", "unfairness", "latency_ms")
# The worst values of 1,000 random networks, rounded up, and round numbers better than any: fixed before any search.
BOX = Box(np.array([0.20, 0.15, 0.5]), np.array([0.29, 0.48, 5.0]))
RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"


def main() -> None:
    """Runs what is missing, prints the tables and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the data set's folder")
    parser.add_argument("--work", type=Path, required=True, help="a folder for runs and predictions")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--population", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    known = ["nsga2", *sorted(set(ALGORITHMS) - {"nsga2"}), "optuna"]
    parser.add_argument("--algorithms", nargs="+", choices=known, default=known)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--problem", default="ham10000")
    parser.add_argument("--box", type=float, nargs=6, help="best and worst error, unfairness and latency in ms")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if "optuna" in arguments.algorithms and not find_spec("optuna"):
        raise EvoFairError("optuna is not installed: pip install 'evo-fair[bench]', or leave it out of --algorithms")
    bench = Bench.prepare(arguments)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    with bench.evaluator(arguments.jobs) as evaluator:
        runs = [bench.run(algorithm, seed, evaluator) for seed in seeds for algorithm in arguments.algorithms]
    box = BOX if arguments.box is None else Box(np.array(arguments.box[:3]), np.array(arguments.box[3:]))
    report(compare(runs, box=box), arguments.out)


@dataclass(frozen=True)
class Bench:
    """All that the runs share."""

    problem: Problem
    dataset: Dataset
    space: SearchSpace
    profile: Profile
    supernet: StoredSupernet
    folder: Path
    budget: int
    population: int

    @classmethod
    def prepare(cls, arguments: argparse.Namespace) -> Self:
        """Loads it; a problem without a supernet gets one."""
        problem = load_problem(arguments.problem, data=arguments.data)
        dataset = problem.dataset()
        space = problem.search_space(dataset.input_shape, len(dataset.label_names))
        supernet = ensure_supernet(problem, dataset, space)
        profile = load_profile("raspberry-pi-4")
        return cls(problem, dataset, space, profile, supernet, arguments.work, arguments.budget, arguments.population)

    def plan(self, algorithm: str, seed: int) -> SearchPlan:
        """The same for all but the algorithm; Optuna's is only measured by."""
        return SearchPlan(
            objectives=resolve(OBJECTIVES, self.profile.latency_ms, self.profile.name),
            group=self.problem.fairness.group,
            budget=self.budget,
            algorithm=algorithm if algorithm in ALGORITHMS else "random",
            population=self.population,
            seed=seed,
            also=resolve(["params", "macs"]),
        )

    def evaluator(self, jobs: int) -> PredictionStore:
        """The proxy with its store, as a context manager."""
        group = self.problem.fairness.group
        return PredictionStore(self.folder, self.problem, self.dataset, self.space, self.supernet, (group,), jobs)

    def run(self, algorithm: str, seed: int, evaluator: PredictionStore) -> Run:
        """The run of an algorithm with a seed: read if it is finished, else taken up or begun."""
        path = self.folder / f"{algorithm}-{seed}-of-{self.budget}"
        plan = self.plan(algorithm, seed)
        folder = (resume_run if has_begun(path) else create_run)(path, self.configuration(algorithm, plan))
        if not (path / "done.json").exists():
            before = evaluator.evaluated
            if algorithm == "optuna":
                from optuna_search import run_optuna

                run_optuna(plan, self.space, evaluator, folder.journal)
            else:
                search(plan, self.space, evaluator, folder.journal, folder.checkpoint)
            new = evaluator.evaluated - before
            print(f"{path.name}: {new} networks were new to the store", file=sys.stderr, flush=True)
            write_json(path / "done.json", {"new": new})
        return load_run(path)

    def configuration(self, algorithm: str, plan: SearchPlan) -> dict[str, Any]:
        """What a run depends on; one that was made with other code or settings is not taken for this one."""
        return {
            "search": {
                "algorithm": algorithm,
                "group": plan.group,
                "budget": plan.budget,
                "population": plan.population,
                "seed": plan.seed,
                "constraints": [],
                "initial": plan.initial,
                "objectives": describe(plan.objectives),
            },
            "device": {"name": self.profile.name, "sha256": self.profile.sha256},
            "supernet": {"sha256": self.supernet.sha256},
            "data": {"name": self.dataset.name, "fingerprint": self.dataset.fingerprint},
            "code": {"proxy": PROXY_CODE, "strategy": STRATEGY_CODE},
        }


def report(comparison: Comparison, out: Path) -> None:
    """Prints and writes hypervolumes, wins, and evaluations to the final hypervolume of the RL controller."""
    comparison.by_run["run"] = [Path(run).name for run in comparison.by_run["run"]]  # no places on this machine
    table = comparison.by_run.drop(columns="run")
    goal = float(table.loc[table["label"] == "reinforce", "hypervolume"].mean())
    table["evaluations_to_reinforce"] = [first_reaching(trace, goal) for trace in comparison.traces]
    volumes = table.pivot(index="seed", columns="label", values="hypervolume")
    ours = volumes.get("nsga2")
    rows = []
    for row in comparison.by_label.to_dict("records"):
        label = row["label"]
        reached = table.loc[table["label"] == label, "evaluations_to_reinforce"]
        rows.append(
            {
                "algorithm": label,
                "runs": row["runs"],
                "hypervolume": f"{row['hypervolume']:.4f}",
                "95 % interval": f"{row['low']:.4f} to {row['high']:.4f}",
                "networks on the front": f"{row['front']:.1f}",
                "nsga2 is better": ""
                if ours is None or label == "nsga2"
                else f"{int((ours > volumes[label]).sum())} of {int((ours.notna() & volumes[label].notna()).sum())}",
                "runs that reach reinforce's mean": ""
                if np.isnan(goal)
                else f"{reached.notna().sum()} of {len(reached)}",
                "evaluations to it, median": "" if np.isnan(goal) else median_reached(reached),
            }
        )
    shown = Table(*rows[0])
    for line in rows:
        shown.add_row(*map(str, line.values()))
    Console(width=150).print(shown)
    write_text(out / "search_quality.csv", f"# {how()}\n" + table.to_csv(index=False, lineterminator="\n"))
    write_comparison(comparison, out / "search_quality")
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in line.values()] for line in rows)]
    markdown = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    write_text(out / "search_quality" / "summary.md", f"{markdown}\n`{how()}`\n")


def first_reaching(trace: npt.NDArray[np.float64], goal: float) -> float:
    """How many evaluations it took to reach a hypervolume; NaN where it never did."""
    reached = trace >= goal
    return float(reached.argmax() + 1) if reached.any() else float("nan")


def median_reached(evaluations: "pd.Series[float]") -> str:
    """The median over all runs, those that never reached it counting as later than all others."""
    median = float(np.median(evaluations.fillna(np.inf)))
    return f"{median:.0f}" if np.isfinite(median) else "not reached"


def how() -> str:
    """The command, without places on this machine, versions, cores and date."""
    flags, skip = [], False
    for argument in sys.argv[1:]:
        flags.append("DIR" if skip else argument)
        skip = argument in ("--data", "--work", "--out")
    command = f"python benchmarks/search_quality.py {' '.join(flags)}"
    return made_by(command, ("numpy", "pymoo", *(["optuna"] if find_spec("optuna") else []), "torch", "moocore"))


if __name__ == "__main__":
    run(main)
