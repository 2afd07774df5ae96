"""What several devices in one search cost, and what one search for two is worth beside a search for each.

    python benchmarks/several_devices.py --data HAM10000 --work DIR [--budget 1000] [--seeds 3] [--rounds 5]

Searches of ham10000 with the supernet that comes along, for error, unfairness (age_band) and latency. All runs lie
below DIR, where a second call goes on, and share one store of predictions, which changes no result.

Cost: a search on one device, the same on three of which two have a limit that keeps every network, and one on three
that are an objective each. CPU time of all but the proxy (decoding, latencies, selection, journal) is measured on
stored predictions, in rounds that alternate between the searches, of which the median counts. The proxy's, by network,
is measured once and is the same for all: how many networks it is asked for is the budget. Left out is what follows a
search, the ONNX files of its front: they take as long as the front is large, which grows with the objectives (`front`).

Worth: the two devices whose latencies are least alike of those that come along, one search for both, and a search of
half the budget for each. The front of each device is over all networks that were evaluated, of both searches, since a
latency on the other device costs nothing either; that of a device's own search alone is shown beside it.

Writes results/benchmarks/several_devices_cost.csv, several_devices.csv (a row a device, seed and way) and a figure.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from prediction_store import PredictionStore
from provenance import made_by, run
from rich.console import Console
from rich.table import Table

from evo_fair.arrays import Floats
from evo_fair.data import Dataset
from evo_fair.evolution import (
    STRATEGY_CODE,
    Axis,
    Box,
    SearchPlan,
    create_run,
    describe,
    has_begun,
    hypervolume_trace,
    resolve,
    resolve_constraints,
    resume_run,
    search,
    to_minimise,
)
from evo_fair.evolution.devices import latency_on
from evo_fair.files import read_json, write_json, write_text
from evo_fair.jobs.devices import device_facts, load_devices, recorded_on, searched_devices
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy import PROXY_CODE, ProxyEvaluator
from evo_fair.proxy.supernets import StoredSupernet, ensure_supernet, proxy_source
from evo_fair.report import Run, load_run
from evo_fair.report.style import common_legend, grid, looks, save_figure
from evo_fair.space import SearchSpace

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
DEVICES = ("raspberry-pi-5", "pixel-1", "raspberry-pi-4")
PAIR = DEVICES[:2]
PREDICTIVE = ("error", "unfairness")
LOOSE_MS = 1000
BEST, WORST = (0.20, 0.15), (0.29, 0.48)
"""Error and unfairness between which hypervolume is measured, as in search_quality.py."""


def main() -> None:
    """Runs what is missing, prints the tables and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the data set's folder")
    parser.add_argument("--work", type=Path, required=True, help="a folder for runs and predictions")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--population", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    command = (
        f"python benchmarks/several_devices.py --data DIR --work DIR --budget {arguments.budget} "
        f"--population {arguments.population} --seeds {arguments.seeds} --rounds {arguments.rounds}"
    )
    how = made_by(command, ("numpy", "numba", "torch", "moocore"))
    bench = Bench.prepare(arguments)
    with bench.store(arguments.jobs) as store:
        write(arguments.out / "several_devices_cost.csv", bench.costs(store, arguments.rounds), how)
        traces = {seed: bench.traces(store, seed) for seed in range(arguments.seeds)}
    write(arguments.out / "several_devices.csv", worth(traces), how)
    paths = [arguments.out / f"several_devices.{kind}" for kind in ("png", "pdf")]
    save_figure(lambda: figure(traces), paths)


@dataclass(frozen=True)
class Bench:
    """All that the runs share."""

    problem: Problem
    dataset: Dataset
    space: SearchSpace
    supernet: StoredSupernet
    folder: Path
    budget: int
    population: int

    @classmethod
    def prepare(cls, arguments: argparse.Namespace) -> Self:
        """Loads it."""
        problem = load_problem("ham10000", data=arguments.data)
        dataset = problem.dataset()
        space = problem.search_space(dataset.input_shape, len(dataset.label_names))
        supernet = ensure_supernet(problem, dataset, space)
        return cls(problem, dataset, space, supernet, arguments.work, arguments.budget, arguments.population)

    def store(self, jobs: int) -> PredictionStore:
        """The proxy with its store, as a context manager."""
        group = self.problem.fairness.group
        return PredictionStore(self.folder, self.problem, self.dataset, self.space, self.supernet, (group,), jobs)

    def plan(
        self, devices: Sequence[str], objectives: Sequence[str], seed: int, constraints: Sequence[str] = ()
    ) -> SearchPlan:
        """A search on these devices; the first is the one that is called `latency_ms`."""
        profiles = load_devices(devices)
        known = searched_devices(profiles, objectives, constraints)
        goals = resolve([*PREDICTIVE, *objectives], known)
        return SearchPlan(
            objectives=goals,
            constraints=resolve_constraints(constraints, known, objectives=goals),
            group=self.problem.fairness.group,
            budget=self.budget,
            population=self.population,
            seed=seed,
            also=recorded_on(profiles, known, goals),
        )

    def configuration(self, plan: SearchPlan, devices: Sequence[str]) -> dict[str, Any]:
        """What a run depends on; one that was made with other code or settings is not taken for this one."""
        return {
            "search": {
                "algorithm": plan.algorithm_name,
                "group": plan.group,
                "budget": plan.budget,
                "population": plan.population,
                "seed": plan.seed,
                "constraints": [limit.text for limit in plan.constraints],
                "initial": plan.initial,
                "objectives": describe(plan.objectives),
            },
            **device_facts(load_devices(devices)),
            "supernet": {"sha256": self.supernet.sha256},
            "data": {"name": self.dataset.name, "fingerprint": self.dataset.fingerprint},
            "code": {"proxy": PROXY_CODE, "strategy": STRATEGY_CODE},
        }

    def run(self, name: str, plan: SearchPlan, devices: Sequence[str], store: PredictionStore) -> Run:
        """The run of a plan: read if it is finished, else taken up or begun."""
        path = self.folder / f"{name}-{plan.seed}-of-{plan.budget}"
        folder = (resume_run if has_begun(path) else create_run)(path, self.configuration(plan, devices))
        if not (path / "done.json").exists():
            search(plan, self.space, store, folder.journal, folder.checkpoint)
            write_json(path / "done.json", {})
        return load_run(path)

    def costs(self, store: PredictionStore, rounds: int) -> pd.DataFrame:
        """A row a search: CPU seconds of the proxy and of all else, and what it takes beyond the first, in percent."""
        on_each = [latency_on(device) for device in DEVICES]
        limits = [f"{name} <= {LOOSE_MS}" for name in on_each[1:]]
        searches = {
            "one device": (DEVICES[:1], self.plan(DEVICES[:1], ["latency_ms"], 0)),
            "three, two of them limits": (DEVICES, self.plan(DEVICES, on_each[:1], 0, limits)),
            "three objectives": (DEVICES, self.plan(DEVICES, on_each, 0)),
        }
        runs = [self.run(f"cost-{i}", plan, devices, store) for i, (devices, plan) in enumerate(searches.values())]
        proxy = self.budget * self.proxy_seconds(runs[0])
        seconds: dict[str, list[float]] = {name: [] for name in searches}
        for _ in range(rounds):
            for name, (devices, plan) in searches.items():
                path = self.folder / "timed"
                rmtree(path, ignore_errors=True)
                folder = create_run(path, self.configuration(plan, devices))
                start = time.process_time()
                search(plan, self.space, store, folder.journal, folder.checkpoint)
                seconds[name].append(time.process_time() - start)
        rest = {name: float(np.median(values)) for name, values in seconds.items()}
        first = rest["one device"]
        return pd.DataFrame(
            {
                "search": name,
                "networks": self.budget,
                "proxy_s": proxy,
                "all_else_s": rest[name],
                "all_else_low_s": min(seconds[name]),
                "all_else_high_s": max(seconds[name]),
                "more_percent": 100 * (rest[name] - first) / (proxy + first),
                "front": len(done.front),
            }
            for name, done in zip(searches, runs, strict=True)
        )

    def proxy_seconds(self, done: Run) -> float:
        """CPU seconds of the proxy for a network, of 48 that lie evenly in a run's journal; kept in a file."""
        path = self.folder / f"proxy-of-{self.budget}.json"
        if not path.exists():
            genomes = np.array([record.genome for record in done.records if record.evaluated], np.int16)
            chosen = genomes[np.linspace(0, len(genomes) - 1, 48).round().astype(int)]
            source = proxy_source(self.problem, self.dataset, self.space, self.supernet.path)
            with ProxyEvaluator(source, self.dataset, (self.problem.fairness.group,), 1) as evaluator:
                evaluator.predict(chosen[:4])  # what is compiled once
                start = time.process_time()
                evaluator.predict(chosen)
            write_json(path, {"seconds": (time.process_time() - start) / len(chosen)})
        return float(read_json(path)["seconds"])

    def traces(self, store: PredictionStore, seed: int) -> dict[str, dict[str, Floats]]:
        """By device and way to search: the hypervolume after each network that was evaluated, of all searches of it."""
        half = replace(self, budget=self.budget // 2)
        on_each = [latency_on(device) for device in PAIR]
        both = self.run("both", self.plan(PAIR, on_each, seed), PAIR, store)
        alone = [
            half.run(f"only-{device}", half.plan(PAIR, [name], seed), PAIR, store)
            for device, name in zip(PAIR, on_each, strict=True)
        ]
        found = {}
        for place, name in enumerate(on_each):
            box = self.box(PAIR[place])
            own, other = points(alone[place], name), points(alone[1 - place], name)
            pooled = np.stack([own, other], axis=1).reshape(-1, own.shape[1])  # one network of each in turn
            found[PAIR[place]] = {
                "one search for both": hypervolume_trace(points(both, name), box),
                "a search for each, networks of both": hypervolume_trace(pooled, box),
                "a search for each, its own networks": np.repeat(hypervolume_trace(own, box), 2),
            }
        return found

    def box(self, device: str) -> Box:
        """From nothing to the slowest of 1,000 random networks; fixed before any search."""
        (profile,) = load_devices(device)
        table = self.space.decode(self.space.sample(np.random.default_rng(0), 1000))
        return Box(np.array([*BEST, 0.0]), np.array([*WORST, profile.latency_ms(table).max()]))


def points(done: Run, latency: str) -> Floats:
    """The evaluated networks of a run in the order in which they were, minimised `[networks, 3]`."""
    networks = done.networks[done.networks["evaluated"].to_numpy(bool)]
    columns = [*PREDICTIVE, latency]
    return to_minimise(networks[columns].to_numpy(float), [Axis(name) for name in columns])


def worth(traces: Mapping[int, Mapping[str, Mapping[str, Floats]]]) -> pd.DataFrame:
    """A row a device, way and seed: the hypervolume at the end, as a share of the device's box."""
    return pd.DataFrame(
        {"device": device, "way": way, "seed": seed, "networks": len(trace), "hypervolume": trace[-1]}
        for seed, found in traces.items()
        for device, ways in found.items()
        for way, trace in ways.items()
    )


def figure(traces: Mapping[int, Mapping[str, Mapping[str, Floats]]]) -> Figure:
    """A panel a device: hypervolume over the networks evaluated in all, the mean over seeds and from least to most."""
    drawn, panels, _ = grid(len(PAIR))
    for panel, device in zip(panels, PAIR, strict=True):
        ways = traces[0][device]
        for way, (_, colour, line, _) in zip(ways, looks(len(ways)), strict=True):
            own = np.array([found[device][way] for found in traces.values()])
            at = np.arange(1, own.shape[1] + 1)
            panel.plot(at, own.mean(axis=0), color=colour, linestyle=line, linewidth=1.0, label=way)
            panel.fill_between(at, own.min(axis=0), own.max(axis=0), color=colour, alpha=0.18, linewidth=0)
        panel.set_xlabel("networks evaluated in all")
        panel.set_ylabel(f"hypervolume on {device}\nhigher is better")
    common_legend(drawn, panels, 1)
    return drawn


def write(path: Path, table: pd.DataFrame, how: str) -> None:
    """Prints a table and writes it with how it was made."""
    shown = Table(*map(str, table))
    for row in table.itertuples(index=False):
        shown.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    Console(width=150).print(shown)
    write_text(path, f"# {how}\n" + table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    run(main)
