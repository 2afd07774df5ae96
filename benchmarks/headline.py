"""The headline: networks of the front against MobileNetV2 and other known networks on HAM10000, trained alike.

    python benchmarks/headline.py --data HAM10000 [--run results/ham10000] [--work FOLDER] [--epochs 40] [--seeds 0 1 2]

Three stages, each of which goes on where it was broken off; `--only` picks one:

  train   every reference network plainly, MobileNetV2 also with the fairness term and with balanced groups, and
          networks of the front, two for each aim by what the search knew of them, in all three ways; all by the
          problem's recipe, for as many epochs, with each seed. `--networks`, `--options`, `--starts`, `--seeds`
          restrict it, so that it can be done piece by piece and by several processes at once, each with networks of
          its own.
  time    ONNX Runtime on this machine, one thread, all networks interleaved; for a machine that does nothing else.
  report  chooses by the validation part, then reports on the test part; says what is still missing.

Writes results/headline/: table.csv (every variant), README.md (the table) and pareto.png and .pdf.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from headline_report import DEVICES, FASTER, SLOWEST, SMALLER, report, time_all
from headline_units import OPTIONS, REFERENCE_NAMES, STARTS, Unit, Workplace
from rich.console import Console

from evo_fair.deploy.choice import choose_networks
from evo_fair.deploy.export import export_onnx
from evo_fair.errors import EvoFairError
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets import Supernet
from evo_fair.nets.reference import REFERENCES
from evo_fair.problem import load_problem
from evo_fair.proxy.supernets import ensure_supernet
from evo_fair.report import load_run
from evo_fair.search import genome_of

ROOT = Path(__file__).parent.parent
BASELINE = "mobilenet-v2"


def main() -> None:
    """Runs the stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--run", type=Path, default=ROOT / "results" / "ham10000")
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "headline" / "work")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "headline")
    parser.add_argument("--only", choices=("train", "time", "report"), action="append")
    parser.add_argument("--epochs", type=int, default=40, help="for every network alike")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", help="references by name, networks of the front by id, ours, known")
    parser.add_argument("--candidates", type=int, default=2, help="networks of the front for each aim")
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=["scratch"], help="of the front's networks")
    parser.add_argument("--fairness-weight", type=float, default=1.0)
    arguments = parser.parse_args()
    place, candidates = workplace(arguments)
    stages = arguments.only or ("train", "time", "report")
    if "train" in stages:
        units = planned(arguments, candidates)
        for number, unit in enumerate(units, 1):
            facts = place.make(unit)
            Console().print(f"{number}/{len(units)} {unit.name}: {facts['params']:,} parameters", soft_wrap=True)
    if "time" in stages:
        time_all(place)
    if "report" in stages:
        report(place, arguments.out, arguments.epochs, BASELINE)


def workplace(arguments: argparse.Namespace) -> tuple[Workplace, list[str]]:
    """Data, supernet and the front's genomes; and the ids of the networks that are candidates."""
    problem = load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    stored = ensure_supernet(problem, dataset, space)
    run = load_run(arguments.run)
    front = run.front
    genomes = {str(row.id): np.array(genome_of(str(row.genome)), np.int16) for row in front.itertuples()}
    known = {"ours", "known", *REFERENCE_NAMES}
    asked = [name for name in arguments.networks or () if name not in known]
    chosen = choose_networks(front, run.axes, asked) if asked else candidates_of(front, arguments.candidates)
    supernet = Supernet.load(stored.path, space)
    place = Workplace(arguments.work, problem, dataset, space, stored, supernet, genomes, arguments.fairness_weight)
    return place, chosen


def candidates_of(front: pd.DataFrame, each: int) -> list[str]:
    """`each` networks an aim, by what the search knew of them: validation, and MobileNetV2's size and latency."""
    if each < 1:
        raise EvoFairError(f"candidates {each}: give 1 or more")
    size, pace = baseline_cost()
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


def baseline_cost() -> tuple[int, float]:
    """Parameters of MobileNetV2 for seven labels, and its predicted milliseconds at 64 pixels on the Raspberry Pi 4."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "baseline.onnx"
        export_onnx(REFERENCES[BASELINE](7), (3, 64, 64), path)
        graph = read_onnx(path)
        return sum(layer.params for layer in graph.layers), predict(graph, load_profile(DEVICES[0])).latency_ms


def planned(arguments: argparse.Namespace, candidates: list[str]) -> list[Unit]:
    """The trainings that were asked for, seed by seed, so that what is finished early is comparable."""
    asked = arguments.networks or ["known", "ours"]
    known = REFERENCE_NAMES if "known" in asked else tuple(name for name in asked if name in REFERENCE_NAMES)
    ours = candidates if "ours" in asked or any(name in candidates for name in asked) else []
    units = []
    for seed in arguments.seeds:
        for name in known:
            options = [option for option in arguments.options if option == "plain" or name == BASELINE]
            units += [Unit(name, "scratch", option, arguments.epochs, seed) for option in options]
        for name in ours:
            variants = [(start, option) for start in arguments.starts for option in arguments.options]
            units += [Unit(name, start, option, arguments.epochs, seed) for start, option in variants]
    return units


if __name__ == "__main__":
    main()
