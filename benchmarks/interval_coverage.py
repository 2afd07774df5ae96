"""How often intervals by bootstrap hold the true unfairness, gap and worst group: simulated groups, no data.

    python benchmarks/interval_coverage.py [--cases 1000] [--replicates 1000]

In each setting groups of stated sizes have stated true accuracies. 1,000 samples are drawn, each gets an interval, and
what is counted is how many intervals hold the true value, end below it and begin above it. Beside evo_fair's own
intervals (`evo_fair.fairness.bootstrap.interval`) stand the basic and the percentile interval of the same resamples.
Then the same for the difference in unfairness of two networks with different true accuracies, whose mistakes do not
depend on each other. Writes results/benchmarks/interval_coverage.csv; takes some minutes.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from provenance import made_by, run
from rich.console import Console

from evo_fair.errors import EvoFairError
from evo_fair.fairness import METRICS, Counts
from evo_fair.fairness.bootstrap import ends_of_change, interval
from evo_fair.files import write_text

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "interval_coverage.csv"
METRIC_NAMES = ("unfairness", "accuracy_gap", "worst_group_accuracy")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """Groups of `sizes` samples with true `accuracies`."""

    name: str
    sizes: tuple[int, ...]
    accuracies: tuple[float, ...]

    @classmethod
    def even(cls, groups: int, size: int, low: float, high: float) -> "Setting":
        """Groups of one size whose accuracies lie evenly between two."""
        shown = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        accuracies = tuple(np.linspace(low, high, groups).tolist())
        return cls(f"{groups} groups of {size:,}, {shown}", (size,) * groups, accuracies)


AGES = Setting("ages of ham10000, 0.84, 0.88 and 0.66", (287, 650, 551), (0.836, 0.877, 0.664))

SETTINGS = (
    Setting.even(2, 60, 0.7, 0.7),
    Setting.even(2, 60, 0.61, 0.66),
    Setting.even(2, 60, 0.58, 0.68),
    Setting.even(2, 400, 0.8, 0.85),
    Setting.even(2, 1000, 0.86, 0.88),
    Setting("500 and 20, 0.8 and 0.6", (500, 20), (0.8, 0.6)),
    Setting("400 and 10, 0.9", (400, 10), (0.9, 0.9)),
    Setting("200, 200 and 8, 0.9", (200, 200, 8), (0.9, 0.9, 0.9)),
    Setting("1,000 and 15, 0.85 and 0.95", (1000, 15), (0.85, 0.95)),
    Setting.even(3, 100, 0.8, 0.8),
    Setting("3 groups of 100, 0.8, 0.8 and 0.7", (100, 100, 100), (0.8, 0.8, 0.7)),
    AGES,
    Setting.even(5, 400, 0.8, 0.8),
    Setting.even(5, 400, 0.75, 0.85),
    Setting.even(10, 36, 0.8, 0.8),
    Setting.even(10, 36, 0.75, 0.85),
    Setting.even(10, 36, 0.65, 0.95),
    Setting("10 groups of 36, 0.8 and one 0.5", (36,) * 10, (0.5, *(0.8,) * 9)),
    Setting.even(10, 1000, 0.77, 0.83),
    Setting.even(10, 1000, 0.5, 0.8),
)

PAIRS = (
    (Setting.even(2, 60, 0.7, 0.7), Setting.even(2, 60, 0.58, 0.68)),
    (Setting.even(2, 400, 0.8, 0.85), Setting.even(2, 400, 0.82, 0.86)),
    (AGES, Setting("0.84, 0.86 and 0.7", AGES.sizes, (0.84, 0.86, 0.7))),
    (Setting.even(5, 400, 0.8, 0.8), Setting.even(5, 400, 0.7, 0.7)),
    (Setting.even(10, 36, 0.8, 0.8), Setting.even(10, 36, 0.7, 0.9)),
    (Setting.even(10, 1000, 0.5, 0.8), Setting.even(10, 1000, 0.6, 0.8)),
)


def main() -> None:
    """Simulates, counts, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="samples drawn in each setting (default 1000)")
    parser.add_argument("--replicates", type=int, default=1000, help="resamples of each (default 1000)")
    parser.add_argument("--out", type=Path, default=OUT, help="the table; default: that in results/")
    arguments = parser.parse_args()
    for name in ("cases", "replicates"):
        if getattr(arguments, name) < 2:
            raise EvoFairError(f"{name} {getattr(arguments, name)} is too few: give 2 or more")
    found = [*rows(arguments.cases, arguments.replicates), *rows_of_pairs(arguments.cases, arguments.replicates)]
    table = pd.DataFrame(found)
    command = f"benchmarks/interval_coverage.py --cases {arguments.cases} --replicates {arguments.replicates}"
    text = table.round(4).to_csv(index=False, lineterminator="\n")
    write_text(arguments.out, f"# {made_by(command, ('numpy',))}\n{text}")
    shown = table.pivot_table("held", ["metric", "setting"], "interval", sort=False)
    Console(width=110).print(shown.to_string(float_format="{:.2f}".format), soft_wrap=True, highlight=False)


def rows(cases: int, replicates: int) -> Iterator[dict[str, object]]:
    """A row for each setting, metric and interval."""
    for number, setting in enumerate(SETTINGS):
        rng = np.random.default_rng(number)
        truth = {name: float(METRICS[name](true_counts(setting))[0]) for name in METRIC_NAMES}
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(cases):
            counts, resampled = sampled(setting, replicates, rng)
            for name in METRIC_NAMES:
                for kind, ends in intervals(name, counts, resampled).items():
                    found.setdefault((name, kind), []).append(ends)
        for (name, kind), ends in found.items():
            yield row(setting.name, name, kind, truth[name], np.array(ends))


def rows_of_pairs(cases: int, replicates: int) -> Iterator[dict[str, object]]:
    """A row for each pair of networks and interval, of the first one's unfairness minus the second one's."""
    unfairness = METRICS["unfairness"]
    for number, pair in enumerate(PAIRS):
        rng = np.random.default_rng([1, number])
        first, second = (float(unfairness(true_counts(setting))[0]) for setting in pair)
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(cases):
            both = [[unfairness(counts) for counts in sampled(setting, replicates, rng)] for setting in pair]
            value, drawn = both[0][0][0] - both[1][0][0], both[0][1] - both[1][1]
            for kind, ends in {"evo_fair": tuple(ends_of_change(value, drawn)), **textbook(value, drawn)}.items():
                found.setdefault(kind, []).append(ends)
        for kind, each in found.items():
            name = f"{pair[0].name}; {pair[1].name}"
            yield row(name, "difference in unfairness", kind, first - second, np.array(each))


def row(setting: str, metric: str, kind: str, truth: float, ends: Floats) -> dict[str, object]:
    """How often intervals `[cases, 2]` hold the truth."""
    low, high = ends.T
    below, above = high < truth - 1e-9, low > truth + 1e-9
    return {
        "setting": setting,
        "metric": metric,
        "interval": kind,
        "truth": truth,
        "held": 1 - np.mean(below | above),
        "ends_below": np.mean(below),
        "begins_above": np.mean(above),
        "width": np.mean(high - low),
    }


def intervals(name: str, counts: Counts, resampled: Counts) -> dict[str, tuple[float, float]]:
    """Ours, and the two that statistics books have, none of them below 0."""
    ours = interval(METRICS[name], counts, resampled)
    others = textbook(ours.value, METRICS[name](resampled))
    return {"evo_fair": (ours.low, ours.high), **{kind: (max(0.0, low), high) for kind, (low, high) in others.items()}}


def textbook(value: float, drawn: Floats) -> dict[str, tuple[float, float]]:
    """The basic and the percentile interval of a value from its resamples."""
    near, far = np.percentile(drawn, [2.5, 97.5])
    return {"basic": (2 * value - far, 2 * value - near), "percentile": (near, far)}


def sampled(setting: Setting, replicates: int, rng: np.random.Generator) -> tuple[Counts, Counts]:
    """The counts of one sample of a setting, and those of its resamples."""
    right = rng.binomial(setting.sizes, setting.accuracies)[None]
    drawn = rng.binomial(setting.sizes, right[0] / setting.sizes, (replicates, len(setting.sizes)))
    return counted(right, setting.sizes), counted(drawn, setting.sizes)


def counted(right: npt.NDArray[np.int64], sizes: tuple[int, ...]) -> Counts:
    """Counts of samples of one label, of which `right` `[networks, groups]` are predicted right."""
    values = np.zeros((*right.shape, 2, 2), np.int64)
    values[..., 0, 0], values[..., 0, 1] = right, np.array(sizes) - right
    names = tuple(f"group {number}" for number in range(len(sizes)))
    return Counts(values, np.zeros((len(right), 2, 2), np.int64), names, ("right", "wrong"))


def true_counts(setting: Setting) -> Counts:
    """Counts with exactly the true accuracies: each group a million times its size."""
    sizes = tuple(1_000_000 * size for size in setting.sizes)
    return counted(np.rint(np.array(sizes) * setting.accuracies).astype(np.int64)[None], sizes)


if __name__ == "__main__":
    run(main)
