"""Networks for tables beside gradient boosting: as accurate at a hundredth of its bytes, or far fairer.

    python benchmarks/tables.py [PROBLEM] [--data DIR] [--limit MINUTES] [--report]

PROBLEM is acs_income or another problem with a table, two labels and a positive one. Compared are, on the test part,

  booster   scikit-learn's HistGradientBoostingClassifier on the same raw columns: of a grid of settings (see
            tables_units) the one of the highest validation accuracy; its bytes are those of the fitted object, pickled
  small     networks that a search for error and parameters evaluated and whose ONNX file, preprocessing included, has
            at most a hundredth of the booster's bytes: the most accurate of them in the supernet are trained from
            nothing, and the most accurate of these on the validation part counts
  even      networks of a second search, for the problem's objectives, in which the column that makes the problem's
            group (race) is an input, too, trained with a term for equalized odds (tables_units.even_odds): of those
            within --margin of the booster's accuracy on the validation part the one of the lowest equalized odds
            difference there. A network that is not told the group gives up more accuracy for the same; that is in the
            table, as `blind`.

Whether a group may be told to a network is a question of law and purpose; the booster is not told it, but for one row.
Every network is trained with each seed, and what is said of it is the mean over seeds. Intervals are a bootstrap of the
test part's units, of networks and booster at once.

A finished search is a folder in results/benchmarks/tables/PROBLEM/runs/, a finished training a file in units/ there:
the script goes on where it was broken off, or where `--limit` ended it. Writes table.csv and claims.csv.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from provenance import made_by, run
from rich.console import Console
from seed_noise import Ends, Mean, Resampling, difference, interval, ratio
from tables_units import BOOSTERS, Place, Unit, make

import evo_fair as ef
from evo_fair.errors import EvoFairError
from evo_fair.evolution import genome_of
from evo_fair.fairness import METRICS
from evo_fair.files import write_text
from evo_fair.problem import Problem, load_problem
from evo_fair.report import Run

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks" / "tables"
SHOWN = ("accuracy", "equalized_odds_difference", "worst_group_accuracy")
WEIGHTS = (0.25, 0.5, 1.0)
SMALLER = 100
BLIND, TOLD = "blind", "told"
SMALL_OBJECTIVES = ("error", "params")

Floats = npt.NDArray[np.float64]


def main() -> None:
    """Fits, searches and trains what is left to do, reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", nargs="?", default="acs_income", help="default: acs_income")
    parser.add_argument("--data", type=Path, help="the folder of the problem's data")
    parser.add_argument("--budget", type=int, help="of each search; default: the problem's")
    parser.add_argument("--networks", type=int, default=2, help="of each search, to be trained (default 2)")
    parser.add_argument("--epochs", type=int, default=20, help="of each training (default 20)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--margin", type=float, default=0.0075, help="accuracy that `even` may lose on validation")
    parser.add_argument("--replicates", type=int, default=1000, help="of the bootstrap (default 1000)")
    parser.add_argument("--limit", type=float, help="minutes after which nothing begins; default: none")
    parser.add_argument("--smaller", type=int, default=SMALLER, help="than the booster, that many times (default 100)")
    parser.add_argument("--report", action="store_true", help="make nothing, report on what is there")
    parser.add_argument("--out", type=Path, help="default: results/benchmarks/tables/PROBLEM")
    arguments = parser.parse_args()
    until = np.inf if arguments.limit is None else time.time() + 60 * arguments.limit
    problem = load_problem(arguments.problem, data=arguments.data)
    check(problem, arguments)
    out = arguments.out or RESULTS / problem.name
    places = {BLIND: Place(problem, out / "units"), TOLD: Place(told(problem), out / "units")}
    boosters = [Unit("booster", name, variant) for variant in places for name in BOOSTERS]
    if not finish(boosters, places, until, arguments):
        return
    booster = max((unit for unit in boosters if unit.variant == BLIND), key=lambda u: accuracy(u, places))
    most = places[BLIND].facts(booster)["bytes"] // arguments.smaller
    units = planned(places, out, most, arguments)
    if finish(units, places, until, arguments):
        report(places, booster, boosters, units, out, arguments)


def check(problem: Problem, arguments: argparse.Namespace) -> None:
    """Refuses problems and numbers that make no sense."""
    table = problem.data.table
    if table is None or problem.fairness.group not in table.groups:
        raise EvoFairError(f"{problem.name} has no table with a column for its group {problem.fairness.group!r}")
    if table.groups[problem.fairness.group].cuts or table.groups[problem.fairness.group].column in table.inputs:
        raise EvoFairError(
            f"the group {problem.fairness.group!r} is an input already: choose one that is told to nobody"
        )
    for name in ("networks", "epochs", "replicates", "smaller"):
        if getattr(arguments, name) < 1:
            raise EvoFairError(f"{name} {getattr(arguments, name)} is too few: give 1 or more")


def told(problem: Problem) -> Problem:
    """The problem with the column that makes its group among the inputs."""
    table = problem.data.table
    assert table is not None
    column = table.groups[problem.fairness.group].column
    more = {"categories": (*table.categories, column), "also_inputs": (*table.also_inputs, column)}
    data = problem.data.model_copy(update={"table": table.model_copy(update=more)})
    return problem.model_copy(update={"data": data})


def planned(places: dict[str, Place], out: Path, most: int, arguments: argparse.Namespace) -> list[Unit]:
    """The trainings: of the most accurate networks, on the told search's front, and of the blind one within `most`."""
    units = []
    for variant, place in places.items():
        folder = out / "runs" / variant
        objectives = SMALL_OBJECTIVES if variant == BLIND else None
        searched = ef.search(
            place.problem, objectives=objectives, out=folder, budget=arguments.budget, resume=folder.is_dir(), jobs=1
        )
        found = within(searched, most) if variant == BLIND else searched.front
        if found.empty:
            raise EvoFairError(f"no network of {folder} has at most {most:,} bytes: search with a larger --budget")
        best = found.sort_values("accuracy", ascending=False, kind="stable")[: arguments.networks]
        chosen = dict(zip(best["id"].astype(str), best["genome"].map(genome_of), strict=True))
        weights = ((0.0,) if variant == BLIND else ()) + WEIGHTS
        units += [
            Unit("network", name, variant, tuple(genome), weight, arguments.epochs, seed)
            for name, genome in chosen.items()
            for weight in weights
            for seed in arguments.seeds
        ]
    return units


def within(searched: Run, most: int) -> pd.DataFrame:
    """The networks that were evaluated and whose files have at most `most` bytes.

    Only the front's have files. What those hold beside parameters of four bytes, at most, is taken for every network's.
    """
    files = {name: searched.path / "networks" / f"{name}.onnx" for name in searched.front["id"]}
    sizes = np.array([file.stat().st_size for file in files.values()])
    beside = int((sizes - 4 * searched.front["params"].to_numpy(np.int64)).max())
    networks = searched.networks
    return networks[networks["evaluated"].to_numpy(bool) & (beside + 4 * networks["params"].to_numpy(float) <= most)]


def finish(units: list[Unit], places: dict[str, Place], until: float, arguments: argparse.Namespace) -> bool:
    """Makes the units that are not there; whether all are."""
    left = [unit for unit in units if not places[unit.variant].is_finished(unit)]
    for done, unit in enumerate(left, 1):
        if arguments.report or time.time() > until:
            print(f"{len(left) - done + 1} of {len(units)} are left to make: the same command goes on")
            return False
        began = time.time()
        make(places[unit.variant], unit)
        print(f"{done}/{len(left)} {unit.title}: {time.time() - began:.0f} s", flush=True)
    return True


def accuracy(unit: Unit, places: dict[str, Place]) -> float:
    """On the validation part."""
    return measured([unit], places, "validation")["accuracy"]


def measured(units: list[Unit], places: dict[str, Place], part: str) -> dict[str, float]:
    """The means over units, seeds of one network, of each metric on a part."""
    place = places[units[0].variant]
    group = place.problem.fairness.group
    counts = [place.dataset.counts(place.predictions(unit, part)[None], part, group) for unit in units]
    return {name: float(np.mean([METRICS[name](one)[0] for one in counts])) for name in SHOWN}


@dataclass(frozen=True)
class Entry:
    """What is compared: a booster, or a network with all its seeds."""

    role: str
    units: list[Unit]


def entries(
    booster: Unit, boosters: list[Unit], units: list[Unit], places: dict[str, Place], margin: float
) -> list[Entry]:
    """The booster, the same told the group, and the networks that the validation part chooses."""
    networks: dict[tuple[Any, ...], list[Unit]] = {}
    for unit in units:
        networks.setdefault((unit.variant, unit.name, unit.weight), []).append(unit)
    known = {key: measured(seeds, places, "validation") for key, seeds in networks.items()}
    least = accuracy(booster, places) - margin
    found = [Entry("booster", [booster])]
    found += [Entry("booster told", [unit]) for unit in boosters if unit.variant == TOLD and unit.name == booster.name]
    small = max((key for key in known if key[0] == BLIND and not key[2]), key=lambda key: known[key]["accuracy"])
    found.append(Entry("small", networks[small]))
    for role, variant in (("even", TOLD), ("blind", BLIND)):
        weighted = [key for key in known if key[0] == variant and key[2]]
        within = [key for key in weighted if known[key]["accuracy"] >= least]
        best = min(within, key=lambda key: known[key]["equalized_odds_difference"], default=None)
        best = best or max(weighted, key=lambda key: known[key]["accuracy"])
        found.append(Entry(role, networks[best]))
    return found


def report(
    places: dict[str, Place],
    booster: Unit,
    boosters: list[Unit],
    units: list[Unit],
    out: Path,
    arguments: argparse.Namespace,
) -> None:
    """Writes and shows the table of all entries, and what is claimed of them."""
    compared = entries(booster, boosters, units, places, arguments.margin)
    blind = places[BLIND]
    test = Resampling(blind.dataset, blind.problem.fairness.group, arguments.replicates)
    values: dict[str, dict[str, Mean]] = {}
    rows = []
    for entry in compared:
        place = places[entry.units[0].variant]
        drawn = test.means(np.stack([place.predictions(unit, "test") for unit in entry.units]), SHOWN)
        values[entry.role] = drawn
        facts = [place.facts(unit)["bytes"] for unit in entry.units]
        row: dict[str, Any] = {"role": entry.role, "what": entry.units[0].title, "bytes": max(facts)}
        for name in SHOWN:
            value, low, high = interval(drawn[name])
            row |= {name: value, f"{name}_low": max(0.0, low), f"{name}_high": high}
        rows.append(row)
    table = pd.DataFrame(rows)
    claims = pd.DataFrame(claimed(values, dict(zip(table["role"], table["bytes"], strict=True))))
    how = made_by("python benchmarks/tables.py", ("numpy", "scikit-learn", "torch"))
    for name, frame in (("table", table), ("claims", claims)):
        write_text(
            out / f"{name}.csv", f"# {how}\n" + frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        )
        Console(width=200).print(frame.to_string(index=False))


def claimed(values: dict[str, dict[str, Mean]], sizes: dict[str, int]) -> list[dict[str, Any]]:
    """What is asked of networks beside the booster, what came out, with a 95 % interval, and whether it holds."""
    rows = []
    most = {"small": 0.005, "even": 0.01, "blind": 0.01}
    for role, points in most.items():
        lost = difference(values["booster"]["accuracy"], values[role]["accuracy"])
        rows.append(_claim(role, "accuracy below the booster's", lost, points))
    size = sizes["small"] / sizes["booster"]
    rows.append(_claim("small", "bytes, of the booster's", (size, np.nan, np.nan), 1 / SMALLER))
    for role in ("even", "blind"):
        ours, theirs = (values[who]["equalized_odds_difference"] for who in (role, "booster"))
        what = "equalized odds difference, of the booster's"
        rows.append(_claim(role, what, ratio(ours, theirs), 0.5))
    return rows


def _claim(role: str, what: str, ends: Ends, most: float) -> dict[str, Any]:
    value, low, high = ends
    return {"role": role, "what": what, "value": value, "low": low, "high": high, "most": most, "holds": value <= most}


if __name__ == "__main__":
    run(main)
