"""The headline: networks of the front against MobileNetV2 and other known networks on HAM10000, trained alike.

    python benchmarks/headline.py --data HAM10000 [--run RUN ...] [--work FOLDER] [--epochs N] [--seeds 0 1 2]

Three stages, each of which goes on where it was broken off; `--only` picks one:

  train   every reference network plainly, and networks of fronts: two for each aim of the first search's, by what it
          knew of them, and the two most accurate of each further search, one that has a limit on latency (a tenth of
          MobileNetV2's, and 1/5.75 of it). Those are trained from nothing, and, where they take at most a fifth of
          MobileNetV2's latency, also from the supernet's weights, without and with the fairness term. MobileNetV2 has
          the like of all that: the fairness term from nothing, and, since the supernet was trained before, further
          training of its own weights (those of seed 0), without and with the term. All by the problem's recipe, for as
          many epochs, with each seed. `--networks`, `--starts`, `--options`, `--seeds` choose what is trained, so that
          it can be done in pieces and by several processes at once, each with networks of its own.
  time    ONNX Runtime on this machine, one thread, all networks interleaved; for a machine that does nothing else.
  report  chooses by the validation part, then reports on the test part; says what is still missing.

What is finished lies in --out, by default results/headline/: units/ (a file a training: what it predicts),
candidates.json (the networks of the fronts, chosen once from each --run's front.csv: remove it to choose anew) and
timing.json. Any checkout goes on from there; --work holds checkpoints, weights and ONNX files. The report is beside it:
table.csv (every variant), README.md (the table) and pareto.png and .pdf.

What `search_gain.py` trained in --gain stands in the table, too: the front of a search with trainings, and MobileNetV2
and ResNet-18 scaled in width, all from nothing, plainly and by the same recipe.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from headline_gain import judged_genomes
from headline_report import report, time_all
from headline_units import OPTIONS, REFERENCE_NAMES, STARTS, Genomes, Unit, Workplace, finished_units
from headline_variants import BASELINE, BASELINE_WAYS, DEVICES, FASTER, SLOWEST, SMALLER
from provenance import run
from rich.console import Console

from evo_fair.errors import EvoFairError, RunError, UnknownNameError
from evo_fair.evolution import genome_of, read_front
from evo_fair.files import read_json, write_json
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets import Supernet
from evo_fair.problem import load_problem
from evo_fair.proxy.supernets import ensure_supernet
from evo_fair.space import SearchSpace

ROOT = Path(__file__).parent.parent
RUNS = [ROOT / "results" / "ham10000" / name for name in (".", "0.97ms", "1.70ms")]

GAIN = ROOT / "results" / "benchmarks" / "search_gain" / "ham10000"

Variants = dict[str, tuple[tuple[str, str], ...]]  # start and option, by network


def main() -> None:
    """Runs the stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of HAM10000")
    parser.add_argument(
        "--run", type=Path, nargs="+", default=RUNS, help="folders of searches; the first without limits"
    )
    parser.add_argument(
        "--work", type=Path, default=ROOT / "results" / "headline" / "work", help="for what is on the way"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "results" / "headline", help="for what is finished, table, text and figure"
    )
    parser.add_argument("--gain", type=Path, default=GAIN, help="results of search_gain, whose trainings count, too")
    parser.add_argument("--only", choices=("train", "time", "report"), action="append")
    parser.add_argument("--epochs", type=int, help="for every network alike; by default the problem's recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", help="references by name, networks of the front by id, ours, known")
    parser.add_argument("--candidates", type=int, default=2, help="networks of the front for each aim")
    parser.add_argument("--options", nargs="+", choices=OPTIONS, help="what is done for groups; default as above")
    parser.add_argument("--starts", nargs="+", choices=STARTS, help="where weights start; default as above")
    parser.add_argument("--fairness-weight", type=float, default=1.0)
    arguments = parser.parse_args()
    place = workplace(arguments)
    epochs = place.problem.training.epochs if arguments.epochs is None else arguments.epochs
    if epochs < 1:
        raise EvoFairError(f"epochs {epochs} is too few: give 1 or more")
    stages = arguments.only or ("train", "time", "report")
    if "train" in stages:
        place, ours = with_candidates(place, arguments)
        units = planned(arguments, epochs, variants_of(place, ours, arguments))
        for number, unit in enumerate(units, 1):
            facts = place.make(unit)
            outcome = facts.get("diverged") or f"{facts['params']:,} parameters"
            Console().print(f"{number}/{len(units)} {unit.name}: {outcome}", soft_wrap=True)
    if "time" in stages:
        time_all(place)
    if "report" in stages:
        report(place, epochs)


def workplace(arguments: argparse.Namespace) -> Workplace:
    """Data and supernet, with the candidates of before if there are any."""
    problem = load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    stored = ensure_supernet(problem, dataset, space)
    supernet = Supernet.load(stored.path, space)
    trained = ((unit, facts["made_of"]["genome"]) for unit, facts in finished_units(arguments.out / "units"))
    genomes = {unit.network: np.array(genome, np.int16) for unit, genome in trained if genome is not None}
    genomes |= judged_genomes(arguments.gain) | read_candidates(arguments.out, space)
    weight = arguments.fairness_weight
    return Workplace(
        arguments.out, arguments.work, problem, dataset, space, stored, supernet, genomes, weight, arguments.gain
    )


def with_candidates(place: Workplace, arguments: argparse.Namespace) -> tuple[Workplace, list[str]]:
    """The workplace with the genomes that are needed, and the ids of the networks of the front to train.

    `ours` are the candidates; they are chosen now if they weren't before.
    """
    fronts = [read_front(run / "front.csv") for run in arguments.run]
    on_front = {
        str(row.id): np.array(genome_of(str(row.genome)), np.int16) for front in fronts for row in front.itertuples()
    }
    known = {"ours", "known", *REFERENCE_NAMES}
    asked = arguments.networks or ["known", "ours"]
    genomes = on_front | place.genomes
    for name in asked:
        if name not in known and name not in genomes:
            raise UnknownNameError("network", name, [*sorted(known), *on_front])
    candidates = read_candidates(place.out, place.space)
    if not candidates:
        chosen = candidates_of(fronts[0], arguments.candidates, *cost(place, BASELINE))
        chosen += [name for front in fronts[1:] for name in most_accurate(front, arguments.candidates)]
        candidates = {name: on_front[name] for name in chosen}
        write_candidates(place, candidates)
    ours = [*(candidates if "ours" in asked else ()), *(name for name in asked if name not in known)]
    return replace(place, genomes=genomes | candidates), list(dict.fromkeys(ours))


def read_candidates(out: Path, space: SearchSpace) -> Genomes:
    """The candidates that were chosen before, with their genomes; none if they weren't."""
    path = out / "candidates.json"
    if not path.is_file():
        return {}
    content = read_json(path, RunError)
    if content.get("space") != space.fingerprint:
        raise RunError(f"{path} is of another search space: remove it to choose anew, or give another --out")
    return {name: np.array(genome, np.int16) for name, genome in content["genomes"].items()}


def write_candidates(place: Workplace, genomes: Genomes) -> None:
    """Keeps the candidates."""
    lists = {name: genome.tolist() for name, genome in genomes.items()}
    write_json(place.out / "candidates.json", {"space": place.space.fingerprint, "genomes": lists})


def candidates_of(front: pd.DataFrame, each: int, size: int, pace: float) -> list[str]:
    """`each` networks an aim, by what the search knew of them: validation, and MobileNetV2's size and latency.

    `size` and `pace` are its parameters and predicted milliseconds.
    """
    if each < 1:
        raise EvoFairError(f"candidates {each}: give 1 or more")
    if front.empty:
        raise RunError("the front is empty: search again with wider constraints, or give another --run")
    faster, smaller = pace / front["latency_ms"], size / front["params"]
    aims = (
        (front[(smaller >= 20) & (faster >= 10)], "accuracy", False),
        (front[(smaller >= SMALLER) & (faster >= FASTER)], "accuracy", False),
        (front[faster >= SLOWEST], "unfairness", True),
        (front, "accuracy", False),
        (front, "params", True),
    )
    chosen: list[str] = []
    for within, column, ascending in aims:
        new = within[~within["id"].isin(chosen)].sort_values([column, "params"], ascending=[ascending, True])
        chosen += [str(name) for name in new["id"][:each]]
    return chosen


def most_accurate(front: pd.DataFrame, count: int) -> list[str]:
    """The `count` most accurate networks of a front, by what its search knew of them."""
    return [str(name) for name in front.sort_values(["accuracy", "params"], ascending=[False, True])["id"][:count]]


def cost(place: Workplace, network: str) -> tuple[int, float]:
    """A network's parameters, and its predicted milliseconds on a Raspberry Pi 4."""
    graph = read_onnx(place.architecture(network))
    return graph.params, predict(graph, load_profile(DEVICES[0])).latency_ms


def variants_of(place: Workplace, ours: list[str], arguments: argparse.Namespace) -> Variants:
    """How each network of a front is trained: as was asked, or by default as the module says."""
    if not ours:
        return {}
    if asked := asked_ways(arguments):
        return dict.fromkeys(ours, asked)
    _, slowest = cost(place, BASELINE)
    quick = {name for name in ours if cost(place, name)[1] <= slowest / SLOWEST}
    tuned = (("tuned", "plain"), ("tuned", "fair"))
    return {name: (("scratch", "plain"), *(tuned if name in quick else ())) for name in ours}


def asked_ways(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The starts and options that were asked for; none for what is trained by default."""
    if not (arguments.starts or arguments.options):
        return ()
    return tuple(product(arguments.starts or ["scratch"], arguments.options or ["plain"]))


def planned(arguments: argparse.Namespace, epochs: int, ours: Variants) -> list[Unit]:
    """The trainings that were asked for, seed by seed, so that what is finished early is comparable."""
    asked = arguments.networks or ["known", "ours"]
    known = REFERENCE_NAMES if "known" in asked else tuple(name for name in asked if name in REFERENCE_NAMES)
    ways = asked_ways(arguments) or BASELINE_WAYS
    units = []
    for seed in arguments.seeds:
        for name in known:
            own = [way for way in ways if name == BASELINE or way == ("scratch", "plain")]
            units += [Unit(name, *way, epochs, seed) for way in own]
        units += [Unit(name, *variant, epochs, seed) for name, variants in ours.items() for variant in variants]
    return units


if __name__ == "__main__":
    run(main)
