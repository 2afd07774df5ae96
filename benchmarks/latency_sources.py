"""What a profile of several sources is worth, and whether intervals hold what they promise.

    python benchmarks/latency_sources.py --data DIR [--here DIR] [--again]

DIR of `--data` holds a folder a board, each with `layers.csv` and `latency.csv`; that of `--here` is what
`evo-fair calibrate --keep` wrote of this machine. Networks are left out in folds, as kinds (clusters), as families (by
their names), and source by source, up to one factor. Each time all is done without them that `calibrate` does: the
fit, what it chooses, and the width of the intervals, from what is left out of the rest in turn (nested folds). "But for
ten" are sources of which ten random networks set the factor and the width. The last rows say how much of the time of
the ham10000 front, and of random networks of that space, is extrapolated. A row that stands in
results/benchmarks/latency_sources.csv already is not computed again, unless `--again` is given.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from latency_profiles import POOLED
from provenance import made_by, run

from evo_fair.arrays import Ints
from evo_fair.evolution import genome_of
from evo_fair.files import write_text
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.coverage import Fitter, by_kind, by_network, judge, without_alike
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.pooled import make_pool
from evo_fair.latency.uncertainty import LEVEL
from evo_fair.layers import LayerTable
from evo_fair.problem import load_problem

ROOT = Path(__file__).parent.parent
OUT = ROOT / "results" / "benchmarks" / "latency_sources.csv"
FRONT = ROOT / "results" / "ham10000" / "front.csv"
FAMILIES = (("mobilenet-v1",), ("mobilenet-v2",), ("mobilenet-v3",), ("efficientnet-lite",))
"""What the names of a family's networks begin with."""
FAMILIES_HERE = (("beyond",), ("space", "held-out"))
"""The same of a campaign on this machine: networks unlike the space's, and those of the space."""
WITH_FAMILIES = ("tflite", "armnn", "here")
COLUMNS = ("what", "left_out", "networks", "mape", "within_10_percent", "covered", "half_width", "extrapolated")
TOLD, DRAWS = 10, 100
KINDS_OF_CELLS = ("RB", "CB")
"""Blocks of the ham10000 space that are built of what NAS-Bench-201's cells are: dense convolutions and additions."""

Row = dict[str, Any]


def main() -> None:
    """Computes the rows that are missing, and writes the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EVO_FAIR_LATENCY_DATA"))
    parser.add_argument("--here", type=Path, help="what 'evo-fair calibrate --keep' wrote")
    parser.add_argument("--again", action="store_true", help="compute all rows anew")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data, the folder with a folder a board")
    rows = [] if arguments.again or not OUT.is_file() else pd.read_csv(OUT, comment="#", dtype=str).to_dict("records")
    done = {(row["what"], row["left_out"]) for row in rows}
    wanted = steps(arguments.data, arguments.here)
    order = {(what, left_out): place for place, (what, left_out, _) in enumerate(wanted)}
    for what, left_out, compute in wanted:
        if (what, left_out) not in done:
            rows.append({"what": what, "left_out": left_out, **compute()})
            print(*rows[-1].values(), sep="; ", flush=True)
            rows.sort(key=lambda row: order.get((row["what"], row["left_out"]), len(order)))
            write_rows(rows)


def steps(data: Path, here: Path | None) -> list[tuple[str, str, Callable[[], Row]]]:
    """Each row's two names, and what computes the rest of it."""

    def measured_in(folder: Path) -> Measurements:
        return read_measurements(folder / "layers.csv", folder / "latency.csv")

    pooled = POOLED["raspberry-pi-4-pooled"]
    boards = [
        Board("raspberry-pi-4, all sources", list(pooled), lambda: [measured_in(data / name) for name in pooled]),
        *(
            Board(name, [name], lambda name=name: [measured_in(data / name)])  # type: ignore[misc]
            for name in ("raspberry-pi-4-tflite-fp32", "odroid-n2-plus-tflite-fp32")
        ),
    ]
    if here is not None:
        boards.append(Board("this machine, ONNX Runtime", ["here"], lambda: [measured_in(here)], FAMILIES_HERE))
    found = [step for board in boards for step in board.steps()]
    found += [
        (f"{networks}, profile {name}", "nothing", lambda name=name, table=table: extrapolated(name, table()))  # type: ignore[misc]
        for networks, table in (
            ("ham10000 front", front),
            ("random networks of the ham10000 space", lambda: random_networks(())),
            ("random networks of dense blocks of it", lambda: random_networks(KINDS_OF_CELLS)),
        )
        for name in ("raspberry-pi-4", "raspberry-pi-4-pooled")
    ]
    return found


class Board:
    """One board's measurements and what is missed of them, computed when it is asked for."""

    def __init__(
        self,
        what: str,
        names: Sequence[str],
        read: Callable[[], list[Measurements]],
        families_named: Sequence[tuple[str, ...]] = FAMILIES,
    ) -> None:
        self.what, self.names, self.read, self.families_named = what, names, read, families_named

    def steps(self) -> list[tuple[str, str, Callable[[], Row]]]:
        """The rows of this board."""
        found = [
            (self.what, "networks, in folds", lambda: self.apart(by_network(self.sources[0])).row()),
            (self.what, "kinds of networks", lambda: self.apart(by_kind(self.sources[0])).row()),
        ]
        alike = [place for place, name in enumerate(self.names) if any(one in name for one in WITH_FAMILIES)]
        found += [
            (self.what, f"families of {self.names[place]}", lambda place=place: self.families(place).row())  # type: ignore[misc]
            for place in alike
        ]
        if len(alike) > 1:
            found.append(
                (self.what, "families of both", lambda: reduce(Judged.joined, map(self.families, alike)).row())
            )
        if len(self.names) > 1:
            places = range(len(self.names))
            found += [
                step
                for place, name in enumerate(self.names)
                for step in (
                    (self.what, name, lambda place=place: self.alone(place).row()),  # type: ignore[misc]
                    (self.what, f"{name} but for ten", lambda place=place: self.alone(place).told_by_ten()),  # type: ignore[misc]
                )
            ]
            found.append(
                (self.what, "each source in turn", lambda: reduce(Judged.joined, map(self.alone, places)).row())
            )
        return found

    @cached_property
    def sources(self) -> list[Measurements]:
        """The measurements of each source."""
        return self.read()

    def make_fitter(self, sources: Sequence[Measurements]) -> Fitter:
        """Fits what is kept of some measurements, all that it chooses included."""
        if len(sources) > 1:
            return make_pool(sources).fit
        return lambda kept: (fit_model(sources[0].part(kept[0])),)

    @cache  # noqa: B019  # boards live as long as the benchmark
    def alone(self, source: int) -> "Judged":
        """A source of which the others alone speak."""
        kept = [np.arange(0 if place == source else len(one.names)) for place, one in enumerate(self.sources)]
        return self.judged([kept], source)

    def apart(self, parts: Sequence[Ints], source: int = 0) -> "Judged":
        """Parts of a source that are left out in turn, int64 `[n]` each."""
        return self.judged([without_alike(self.sources, part, source) for part in parts], source)

    @cache  # noqa: B019
    def families(self, source: int) -> "Judged":
        """Families of networks by name, left out of a source in turn."""
        names = self.sources[source].names
        return self.apart(
            [np.flatnonzero([name.startswith(one) for name in names]) for one in self.families_named], source
        )

    def judged(self, kept: Sequence[Sequence[Ints]], source: int) -> "Judged":
        """What is missed of all that is not kept, each time, by nothing but what is."""
        found = []
        for own in kept:
            missed, width = judge(self.make_fitter, self.sources, own, source)
            found.append(Judged(missed.error, width.half(missed.variances)))
            print(f"{self.what}: {found[-1].row()}", file=sys.stderr, flush=True)
        return reduce(Judged.joined, found)


@dataclass(frozen=True)
class Judged:
    """How far predictions were off, in logarithms, and half of each interval, both `[networks]`."""

    error: np.ndarray
    half: np.ndarray

    def joined(self, other: "Judged") -> "Judged":
        """Both."""
        return Judged(np.concatenate([self.error, other.error]), np.concatenate([self.half, other.half]))

    def row(self) -> Row:
        """Errors of predictions, how many intervals hold, and the median half width."""
        error = 100 * np.abs(np.expm1(-self.error))
        return {
            "networks": len(error),
            "mape": f"{error.mean():.2f}",
            "within_10_percent": f"{100 * (error <= 10).mean():.1f}",
            "covered": f"{100 * (np.abs(self.error) <= self.half).mean():.1f}",
            "half_width": f"{100 * np.expm1(np.median(self.half)):.1f}",
        }

    def told_by_ten(self) -> Row:
        """The same of the rest once ten random networks have set the factor and the width, over a hundred draws.

        Conformal prediction with scores in units of the width (Lei and others 2018, "Distribution-free predictive
        inference for regression", section 5.2), each of the ten scored by the factor of the nine others (Barber and
        others 2021, "Predictive inference with the jackknife+"): about nine in ten hold, whatever the source.
        """
        rng = np.random.default_rng(0)
        found = []
        for _ in range(DRAWS):
            order = rng.permutation(len(self.error))
            told, rest = order[:TOLD], order[TOLD:]
            error = self.error - np.median(self.error[told])
            factors = [np.median(np.delete(self.error[told], place)) for place in range(TOLD)]
            scores = np.sort(np.abs(self.error[told] - factors) / self.half[told])
            times = scores[min(int(np.ceil(LEVEL * (TOLD + 1))), TOLD) - 1]
            found.append(Judged(error[rest], times * self.half[rest]))
        return {**reduce(Judged.joined, found).row(), "networks": len(self.error) - TOLD}


def front() -> LayerTable:
    """The networks of the published front."""
    genomes = [genome_of(text) for text in pd.read_csv(FRONT)["genome"]]
    return load_problem("ham10000").search_space((3, 64, 64), 7).decode(np.array(genomes, np.int16))


def random_networks(kinds: Sequence[str]) -> LayerTable:
    """Random networks of the space: 1000, or those of 20,000 that have blocks of these kinds alone."""
    space = load_problem("ham10000").search_space((3, 64, 64), 7)
    rng = np.random.default_rng(0)
    drawn = space.sample(rng, 20_000 if kinds else 1000)
    if kinds:
        some = [n for n, genome in enumerate(drawn) if made_of(space.architecture(genome), kinds)]
        drawn = drawn[some]
    return space.decode(drawn)


def made_of(blocks: Sequence[Any], kinds: Sequence[str]) -> bool:
    """Whether all blocks are of these kinds."""
    return all(block.kind.name in kinds for block in blocks)


def extrapolated(name: str, table: LayerTable) -> Row:
    """The share of the networks' time that lies outside of what a profile was fitted to, and how wide intervals are."""
    profile: Profile = load_profile(name)
    ms = profile.layer_ms(table)
    share = (ms * profile.extrapolated(table)).sum() / profile.latency_ms(table).sum()
    row: Row = {"networks": len(table), "extrapolated": f"{100 * share:.1f}"}
    if profile.has_intervals:
        row["half_width"] = f"{100 * np.median(profile.latency_ms_high(table) / profile.latency_ms(table) - 1):.1f}"
    return row


def write_rows(rows: Sequence[Row]) -> None:
    """Writes the table below a line that says how it was made."""
    text = io.StringIO()
    packages = ("numpy", "scipy", "scikit-learn", "numba")
    text.write(f"# {made_by('python benchmarks/latency_sources.py --data', packages)}\n")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None or v != v else v for k, v in row.items()} for row in rows)
    write_text(OUT, text.getvalue())


if __name__ == "__main__":
    run(main)
