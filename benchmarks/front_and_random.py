"""Does a search's front, once trained, beat random networks of the same latency? From trainings that are there.

    python benchmarks/front_and_random.py --data HAM10000

Compares networks of the fronts on HAM10000, which benchmarks/headline.py has trained from nothing without a fairness
term, with the random networks that benchmarks/proxy_fidelity.py has trained by the same recipe. Both are judged on the
validation part, whose images chose the front's networks but not the random ones: that can only favour the front.
Error, error of the worst age band and unfairness are regressed on a quadratic in the logarithm of the predicted
Raspberry Pi 4 latency, and on whether a network is of a front; the coefficient is the difference at equal latency.
Random networks above the front's range of latencies are left out. Intervals are 95 % bootstraps that draw networks and
lesions anew. Writes results/benchmarks/front_and_random.csv.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from headline_units import REFERENCE_NAMES, finished_units, labels_of
from provenance import made_by, run
from rich.console import Console

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.fairness import METRICS
from evo_fair.fairness.bootstrap import ends_of_change
from evo_fair.fairness.resampled import Resampled, draw_weights
from evo_fair.files import read_json, write_text
from evo_fair.latency import load_profile
from evo_fair.problem import load_problem

RESULTS = Path(__file__).parent.parent / "results"
METRIC_NAMES = ("error", "worst_group_error", "unfairness")
GROUP, DEVICE, REPLICATES = "age_band", "raspberry-pi-4", 2000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """One network: its genome, and the validation labels that each of its trainings predicts, uint8 `[samples]`."""

    genome: tuple[int, ...]
    of_front: bool
    predictions: list[npt.NDArray[np.uint8]]


def main() -> None:
    """Reads, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of HAM10000")
    arguments = parser.parse_args()
    problem = load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    networks = of_fronts(RESULTS / "headline", dataset) + at_random(RESULTS / "benchmarks" / "proxy_fidelity")
    table = space.decode(np.array([network.genome for network in networks], np.int16))
    latency = load_profile(DEVICE).latency_ms(table)
    slowest = max(ms for ms, network in zip(latency, networks, strict=True) if network.of_front)
    kept = np.flatnonzero(latency <= slowest)
    networks, latency = [networks[i] for i in kept], latency[kept]
    values = measured(networks, dataset)
    ours = np.array([network.of_front for network in networks])
    rows = [
        {"metric": name, "front": int(ours.sum()), "random": int((~ours).sum())}
        | dict(zip(("difference", "low", "high"), difference(latency, ours, values[name]), strict=True))
        for name in METRIC_NAMES
    ]
    write(pd.DataFrame(rows))


def of_fronts(headline: Path, dataset: Dataset) -> list[Trained]:
    """The networks of searches that were trained from nothing without a fairness term."""
    genomes = read_json(headline / "candidates.json", EvoFairError)["genomes"]
    found: dict[str, list[npt.NDArray[np.uint8]]] = {}
    for unit, facts in finished_units(headline / "units"):
        if unit.network not in REFERENCE_NAMES and (unit.start, unit.option) == ("scratch", "plain"):
            if facts["made_of"]["data"] != dataset.fingerprint:
                raise EvoFairError(f"{unit.name} was trained on other data: give those with --data")
            found.setdefault(unit.network, []).append(labels_of(facts, "validation"))
    return [Trained(tuple(genomes[name]), True, predictions) for name, predictions in found.items()]


def at_random(folder: Path) -> list[Trained]:
    """The networks that were drawn without a look at what the search believes of them."""
    found: dict[tuple[int, ...], list[npt.NDArray[np.uint8]]] = {}
    for line in (folder / "trained.jsonl").read_text(encoding="utf-8").splitlines():
        facts = json.loads(line)
        found.setdefault(tuple(facts["genome"]), []).append(labels_of(facts, "validation"))
    return [Trained(genome, False, predictions) for genome, predictions in found.items()]


def measured(networks: list[Trained], dataset: Dataset, replicates: int = REPLICATES) -> dict[str, Floats]:
    """By metric the mean over a network's trainings, `[1 + replicates, networks]`: as it is, and on each resample."""
    samples = dataset.part("validation")
    labels, groups = dataset.labels[samples], dataset.grouping(GROUP).index[samples]
    units = dataset.units[samples]
    weights = draw_weights(units, replicates, np.random.default_rng(0), (groups,))
    weights = np.concatenate([np.ones((1, len(samples)), np.int64), weights])
    values: dict[str, list[Floats]] = {name: [] for name in METRIC_NAMES}
    for network in networks:
        like = dataset.counts(np.array(network.predictions), "validation", GROUP)
        counts = [Resampled.of(weights, labelled, labels, groups, like) for labelled in network.predictions]
        for name in METRIC_NAMES:
            values[name].append(np.mean([METRICS[name](each) for each in counts], axis=0))
    return {name: np.array(columns).T for name, columns in values.items()}


def difference(latency: Floats, ours: npt.NDArray[np.bool_], values: Floats) -> tuple[float, float, float]:
    """How much more the front's networks have at equal latency, with the ends of its interval.

    `latency` and `ours` are `[networks]`, `values` `[1 + replicates, networks]`. Networks are drawn from the front
    and from the random ones separately, so that both sides keep their size.
    """
    rng = np.random.default_rng(1)
    sides = [np.flatnonzero(ours), np.flatnonzero(~ours)]
    found = [at_equal_latency(latency, ours, values[0])]
    for row in values[1:]:
        drawn = np.concatenate([rng.choice(side, len(side)) for side in sides])
        found.append(at_equal_latency(latency[drawn], ours[drawn], row[drawn]))
    low, high = ends_of_change(found[0], np.array(found[1:]))
    return found[0], float(low), float(high)


def at_equal_latency(latency: Floats, ours: npt.NDArray[np.bool_], values: Floats) -> float:
    """The coefficient of `ours` in a least-squares fit beside a quadratic in log latency."""
    log = np.log(latency)
    design = np.column_stack([np.ones_like(log), log, log**2, ours])
    return float(np.linalg.lstsq(design, values, rcond=None)[0][-1])


def write(table: pd.DataFrame) -> None:
    """Prints the table and writes it."""
    command = f"python benchmarks/front_and_random.py --data DIR; validation part, {DEVICE}, {GROUP}"
    path = RESULTS / "benchmarks" / "front_and_random.csv"
    write_text(path, f"# {made_by(command, ['numpy'])}\n{table.round(4).to_csv(index=False)}")
    Console().print(table.round(4).to_string(index=False))


if __name__ == "__main__":
    run(main)
