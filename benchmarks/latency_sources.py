"""What a profile of several sources is worth, and whether intervals hold what they promise.

    python benchmarks/latency_sources.py --data DIR [--here DIR] [--again]

DIR of `--data` holds a folder a board, each with `layers.csv` and `latency.csv`; that of `--here` is what
`evo-fair calibrate --keep` wrote of this machine. Networks are left out in folds, as kinds (clusters), as families (by
their names, of which the intervals' width knows nothing), and source by source, up to one factor. The last rows say
how much of the time of the ham10000 front, and of random networks of that space, is extrapolated. A row that stands in
results/benchmarks/latency_sources.csv already is not computed again, unless `--again` is given.
"""

import argparse
import csv
import io
import os
from collections.abc import Callable, Sequence
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from latency_profiles import POOLED
from provenance import made_by, run

from evo_fair.evolution import genome_of
from evo_fair.files import write_text
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.coverage import Fitter, Misses, by_kind, by_network, by_source, covered, misses, width_of
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.pooled import make_pool
from evo_fair.latency.uncertainty import Width
from evo_fair.layers import LayerTable
from evo_fair.problem import load_problem

ROOT = Path(__file__).parent.parent
OUT = ROOT / "results" / "benchmarks" / "latency_sources.csv"
FRONT = ROOT / "results" / "ham10000" / "front.csv"
FAMILIES = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3", "efficientnet-lite")
COLUMNS = ("what", "left_out", "networks", "mape", "within_10_percent", "covered", "half_width", "extrapolated")
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
    for what, left_out, compute in steps(arguments.data, arguments.here):
        if (what, left_out) not in done:
            rows.append({"what": what, "left_out": left_out, **compute()})
            print(*rows[-1].values(), sep="; ", flush=True)
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
        boards.append(Board("this machine, ONNX Runtime", ["here"], lambda: [measured_in(here)]))
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

    def __init__(self, what: str, names: Sequence[str], read: Callable[[], list[Measurements]]) -> None:
        self.what, self.names, self.read = what, names, read

    def steps(self) -> list[tuple[str, str, Callable[[], Row]]]:
        """The rows of this board."""
        found = [
            (self.what, "networks, in folds", lambda: self.row(self.near)),
            (self.what, "kinds of networks", lambda: self.row(self.kinds)),
        ]
        alike = [place for place, name in enumerate(self.names) if "tflite" in name or "armnn" in name]
        found += [
            (self.what, f"families of {self.names[place]}", lambda place=place: self.row(self.families[place]))  # type: ignore[misc]
            for place in alike
        ]
        if len(alike) > 1:
            found.append(
                (self.what, "families of both", lambda: self.row(reduce(Misses.joined, self.families.values())))
            )
        if len(self.names) > 1:
            found += [
                (self.what, name, lambda place=place: self.row(self.others[place]))  # type: ignore[misc]
                for place, name in enumerate(self.names)
            ]
            found.append((self.what, "each source in turn", lambda: self.row(reduce(Misses.joined, self.others))))
        return found

    @cached_property
    def sources(self) -> list[Measurements]:
        """The measurements of each source."""
        return self.read()

    @cached_property
    def fitter(self) -> Fitter:
        """Fits what is kept of them."""
        if len(self.sources) > 1:
            return make_pool(self.sources).fit
        return lambda kept: (fit_model(self.sources[0].part(kept[0])),)

    @cached_property
    def near(self) -> Misses:
        """What folds by network miss."""
        return seen(misses(self.fitter, self.sources, by_network(self.sources[0])))

    @cached_property
    def kinds(self) -> Misses:
        """What leaving out clusters of networks misses."""
        return seen(misses(self.fitter, self.sources, by_kind(self.sources[0])))

    @cached_property
    def others(self) -> list[Misses]:
        """What the others miss of each source."""
        return by_source(self.fitter, self.sources) if len(self.sources) > 1 else []

    @cached_property
    def width(self) -> Width:
        """How wide the intervals of a profile of this board are."""
        return width_of(self.near, [self.kinds, *self.others], 0.03)

    @cached_property
    def families(self) -> dict[int, Misses]:
        """What leaving out families by name misses of the sources that measured them, by their place."""
        found = {}
        for place, measured in enumerate(self.sources):
            parts = [np.flatnonzero([name.startswith(family) for name in measured.names]) for family in FAMILIES]
            if all(len(part) > 1 for part in parts):
                found[place] = seen(misses(self.fitter, self.sources, parts, place))
        return found

    def row(self, missed: Misses) -> Row:
        """Errors of predictions, how many intervals hold, and the median half width."""
        error = 100 * np.abs(np.expm1(-missed.error))
        return {
            "networks": len(error),
            "mape": f"{error.mean():.2f}",
            "within_10_percent": f"{100 * (error <= 10).mean():.1f}",
            "covered": f"{100 * covered(missed, self.width).mean():.1f}",
            "half_width": f"{100 * np.expm1(np.median(self.width.half(missed.variances))):.1f}",
        }


def seen(missed: Misses | None) -> Misses:
    """What there is to be missed of boards of more than a dozen networks."""
    assert missed is not None
    return missed


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
