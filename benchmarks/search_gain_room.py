"""How much there was to gain: what size alone tells of networks of equal latency, and how much size a space has.

    python benchmarks/search_gain_room.py PROBLEM [--data DIR] [--generations 200]

Goes on from the networks that `search_gain.py` trained. Each of their metrics is regressed on a quadratic in the
logarithm of latency and on the logarithm of multiply-accumulates: `per_doubling` is what twice as many of them are
worth in the same time. How many a space has within a latency is what NSGA-II finds by multiply-accumulates and latency
alone, with no supernet and no training, 200 networks a generation, or what a network of the pair has, if that is more.

  gained     what the front's networks have more than random ones, as `search_gain.py` reports it
  by_size    what their multiply-accumulates say that it should be
  room       what the networks with the most multiply-accumulates would have more, by the same line

  left       how far a network is from what is believed of it by its size, after the trainings of all others (root mean
             square; `evo_fair.belief` without a supernet: multiply-accumulates and parameters, as a curve)
  seeds      how far the mean over the seeds is from that over all seeds there could be (standard error; with two seeds)

A search that gained `room` would be as good as one that knows size, and nothing else, perfectly. Where `left` is no
more than `seeds`, nothing else sets these networks apart. Intervals draw pairs anew, 2,000 times; the seeds' mean
stands for a network. Writes results/benchmarks/search_gain/PROBLEM/room.csv, a row a
metric, and room_pairs.csv, a row a pair.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from provenance import made_by, run
from rich.console import Console
from rich.table import Table
from search_gain import RESULTS
from search_gain_report import METRIC_NAMES
from search_gain_statistics import Floats, Ints
from search_gain_units import FRONT, RANDOM

from evo_fair import layers
from evo_fair.belief import Belief, Trainings
from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import make_strategy
from evo_fair.evolution.objectives import Objective
from evo_fair.fairness.bootstrap import ends_of_change
from evo_fair.files import read_json, write_text
from evo_fair.latency import load_profile
from evo_fair.latency.profile import Profile
from evo_fair.problem import load_problem
from evo_fair.space import SearchSpace

NUMBERS = ("per_doubling", "gained", "by_size", "room")
POPULATION, REPLICATES = 200, 2000
_SAMPLING = 0.001
"""The standard error of the scores that know nothing; it only must not be 0."""


def main() -> None:
    """Computes, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", help="one that search_gain.py has been run for, such as cifar10")
    parser.add_argument("--data", type=Path, help="the folder of the problem's data")
    parser.add_argument("--generations", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.generations < 1:
        raise EvoFairError(f"generations {arguments.generations} is too few: give 1 or more")
    problem = load_problem(arguments.problem, data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    device = load_profile(problem.search.devices[0])
    folder = RESULTS / problem.name
    networks = networks_of(folder, space, device)
    pairs = pairs_of(networks)
    most = most_macs(space, device, pairs["latency_ms"].to_numpy(), arguments.generations)
    pairs["most_macs"] = np.maximum(most, pairs[[f"{FRONT}_macs", f"{RANDOM}_macs"]].max(axis=1))
    rows = room(pairs).merge(pd.DataFrame([unexplained(networks, metric) for metric in METRIC_NAMES]), on="metric")
    command = f"python benchmarks/search_gain_room.py {problem.name}"
    head = f"# {made_by(f'{command}; milliseconds predicted for {device.name}', ('numpy',))}\n"
    for name, table in (("room", rows), ("room_pairs", pairs)):
        text = table.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        write_text(folder / f"{name}.csv", head + text)
    show(rows, pairs)


def networks_of(folder: Path, space: SearchSpace, device: Profile) -> pd.DataFrame:
    """The trained networks that have a pair, a row each, from what `search_gain.py` wrote."""
    path = folder / "table.csv"
    if not path.is_file():
        raise EvoFairError(f"{path} does not exist: run search_gain.py for this problem first")
    stored: dict[str, Any] = read_json(folder / "networks.json", RunError)
    if stored["made_of"]["space"] != space.fingerprint or stored["made_of"]["device"] != device.sha256:
        raise RunError(f"{folder} is of another space or device than this problem's: run search_gain.py again")
    return pd.read_csv(path, comment="#").dropna(subset="pair")


def pairs_of(networks: pd.DataFrame) -> pd.DataFrame:
    """The pairs, a row each."""
    sides = [networks[networks["role"] == role].set_index("pair").sort_index() for role in (FRONT, RANDOM)]
    found = sides[0][["latency_ms"]]
    for role, side in zip((FRONT, RANDOM), sides, strict=True):
        for column in ("network", "macs", *METRIC_NAMES):
            found[f"{role}_{column}"] = side[column]
    return found.reset_index(drop=True)


def unexplained(networks: pd.DataFrame, metric: str) -> dict[str, Any]:
    """What size and seeds leave open of a metric of the networks, a row of `room.csv`."""
    values = networks[metric].to_numpy()
    missing = 1.0 - values if metric.endswith("accuracy") else values
    blind = np.median(missing) + np.linspace(0.0, 1e-9, len(missing))  # scores of frozen weights that know nothing
    belief = Belief.fit(
        blind[:, None],
        [_SAMPLING],
        networks[["macs", "params", "latency_ms"]].to_numpy(np.float64),
        trainings=Trainings.of(np.arange(len(missing)), missing[:, None]),
    )
    _, believed, _ = belief.left_out()
    seeds = [column for column in networks if column.startswith(f"{metric}_seed")]
    by_seed = networks[seeds].dropna(axis=1)
    noise = np.sqrt(by_seed.var(axis=1).mean() / by_seed.shape[1]) if by_seed.shape[1] > 1 else np.nan
    return {"metric": metric, "left": np.sqrt(((believed[:, 0] - missing) ** 2).mean()), "seeds": noise}


def most_macs(space: SearchSpace, device: Profile, latency: Floats, generations: int) -> Ints:
    """The most multiply-accumulates that a search by nothing else finds within each of the latencies, `[n]`."""
    goals = [
        Objective("multiply_accumulates", "max", cheap=True, function=layers.macs),
        Objective("time", cheap=True, function=device.latency_ms),
    ]
    strategy = make_strategy("nsga2", space, np.random.default_rng(0), POPULATION, goals)
    most = np.zeros(len(latency), np.int64)
    for _ in range(generations):
        genomes = strategy.ask(POPULATION)
        if not len(genomes):
            break
        tables = space.decode(genomes)
        size, time = (goal.measure(tables) for goal in goals)
        strategy.tell(genomes, np.column_stack([-size, time]).astype(np.float64), np.zeros(len(genomes)))
        within = np.where(time <= latency[:, None], size, 0)
        most = np.maximum(most, within.max(axis=1))
    return most


def room(pairs: pd.DataFrame) -> pd.DataFrame:
    """What size is worth and how much of it there was, a row a metric."""
    drawn = np.random.default_rng(0).integers(0, len(pairs), (REPLICATES, len(pairs)))
    size = np.log2(pairs[[f"{FRONT}_macs", f"{RANDOM}_macs", "most_macs"]].to_numpy(np.float64))
    time = np.log2(pairs["latency_ms"].to_numpy())
    rows = []
    for metric in METRIC_NAMES:
        values = pairs[[f"{FRONT}_{metric}", f"{RANDOM}_{metric}"]].to_numpy()
        point = worth(time, size, values)
        resampled = np.array([worth(time[chosen], size[chosen], values[chosen]) for chosen in drawn])
        low, high = ends_of_change(point, resampled)
        row: dict[str, Any] = {"metric": metric, "pairs": len(pairs)}
        for name, *numbers in zip(NUMBERS, point, low, high, strict=True):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def worth(time: Floats, size: Floats, values: Floats) -> Floats:
    """What `NUMBERS` name, of pairs at the logarithms `time` `[pairs]` of latency.

    `size` `[pairs, 3]` is the logarithm of the multiply-accumulates of the front's network, the random one and the one
    with the most; `values` `[pairs, 2]` are the metric of the first two.
    """
    both = np.repeat(time, 2)
    inputs = np.column_stack([np.ones_like(both), both, both**2, size[:, :2].ravel()])
    slope = np.linalg.lstsq(inputs, values.ravel(), rcond=None)[0][-1]
    ours, _, most = (size - size[:, 1:2]).mean(axis=0)
    return np.array([slope, (values[:, 0] - values[:, 1]).mean(), slope * ours, slope * most])


def show(rows: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Prints both tables."""
    table = Table("metric", "a doubling is worth", "gained", "by size", "room", "left", "seeds")
    for _, row in rows.iterrows():
        cells = [f"{row[n]:+.4f} [{row[f'{n}_low']:+.4f}, {row[f'{n}_high']:+.4f}]" for n in NUMBERS]
        table.add_row(row["metric"], *cells, f"{row['left']:.4f}", f"{row['seeds']:.4f}")
    console = Console(width=140)
    console.print(table)
    ours, most = (pairs[f"{side}_macs"] / pairs[f"{RANDOM}_macs"] for side in (FRONT, "most"))
    for number, pair in pairs.iterrows():
        console.print(
            f"{pair['latency_ms']:.2f} ms: the front's network has {ours[number]:.2f} times the random one's "
            f"multiply-accumulates, of {most[number]:.2f} there are"
        )


if __name__ == "__main__":
    run(main)
