"""How near networks come in supernets of several recipes to what they reach alone, and how well each ranks them.

    python benchmarks/supernet_recipes.py --data DIR --problem NAME --trained FOLDER [--recipe NAME ...]

NAME is a problem of images, FOLDER that of its finished trainings by `proxy_fidelity.py`: networks from the smallest to
the largest, each trained alone with two seeds. For each recipe the supernet is taken from the cache, or trained now (a
quarter of an hour to an hour of one core; broken off it goes on), and asked for these networks. Writes
results/benchmarks/supernet_recipes.csv: Kendall's tau with the mean of both trainings beside that of size, and how many
points of accuracy the networks get less from the supernet than alone: the smallest, the largest, those between (median
and worst). What is compared is the validation part; recipes are chosen by it.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from provenance import made_by, run
from proxy_fidelity import METRIC_NAMES, SEEDS, Work, choose, size_scores, values
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

from evo_fair.errors import EvoFairError
from evo_fair.files import write_text
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy.supernets import ensure_supernet, proxy_source

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "supernet_recipes.csv"
NETWORKS = 16
RECIPES: dict[str, dict[str, Any]] = {
    "sandwich, 30 epochs": {"sampling": "sandwich", "supernet_epochs": None},
    "fair, 60 epochs": {"sampling": "fair", "supernet_epochs": 60},
    "fair, 240 epochs": {"sampling": "fair", "supernet_epochs": 240},
}

Array = np.ndarray
Row = dict[str, Any]


def main() -> None:
    """Asks the supernet of each recipe, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data set")
    parser.add_argument("--problem", required=True, help="a problem of images, such as faces")
    parser.add_argument("--trained", type=Path, required=True, help="the folder with trained.jsonl")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="default: all; what is left out stays")
    arguments = parser.parse_args()
    problem = load_problem(arguments.problem, data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    work = Work(arguments.trained, problem, dataset, space)
    genomes = np.array([g for g in choose(space, NETWORKS) if all(work.find(g, seed) for seed in SEEDS)])
    if len(genomes) < NETWORKS:
        raise EvoFairError(f"{len(genomes)} of {NETWORKS} networks in {arguments.trained} are finished: train the rest")
    trained = np.mean([values(problem, dataset, work.predictions(genomes, seed)) for seed in SEEDS], axis=0)
    rows = [{"problem": problem.name, "what": "size alone", **taus(size_scores(space, genomes), trained)}]
    for name in arguments.recipe or RECIPES:
        recipe = problem.training.model_copy(update=RECIPES[name])
        own = problem.model_copy(update={"training": recipe})
        supernet = ensure_supernet(own, dataset, space)
        scores = values(own, dataset, proxy_source(own, dataset, space, supernet.path).open().predict(genomes))
        rows.append({"problem": problem.name, "what": name, **taus(scores, trained), **points_less(scores, trained)})
    show_and_write(problem, pd.DataFrame(rows))


def taus(scores: Array, trained: Array) -> Row:
    """Kendall's tau of scores and trained results `[networks, metrics]`, by metric."""
    pairs = zip(METRIC_NAMES, scores.T, trained.T, strict=True)
    return {f"tau_{name}": round(float(kendalltau(ours, theirs).statistic), 4) for name, ours, theirs in pairs}


def points_less(scores: Array, trained: Array) -> Row:
    """How much accuracy is missing in the supernet, in points; the smallest network is first, the largest second."""
    less = 100 * (trained[:, 0] - scores[:, 0])
    middle = less[2:]
    found = {"smallest": less[0], "largest": less[1], "middle_median": np.median(middle), "middle_worst": middle.max()}
    return {f"points_less_{name}": round(float(value), 2) for name, value in found.items()}


def show_and_write(problem: Problem, table: pd.DataFrame) -> None:
    """Prints the table, and writes it with the rows of other recipes and problems that were there."""
    shown = Table(*table)
    for _, row in table.iterrows():
        shown.add_row(*("" if pd.isna(value) else str(value) for value in row))
    Console(width=200).print(shown)
    if OUT.exists():
        before = pd.read_csv(OUT, comment="#")
        again = set(zip(table["problem"], table["what"], strict=True))
        kept = [pair not in again for pair in zip(before["problem"], before["what"], strict=True)]
        table = pd.concat([before[kept], table]).sort_values(["problem", "what"], kind="stable")
    command = f"python benchmarks/supernet_recipes.py --data DIR --problem {problem.name} --trained DIR"
    write_text(OUT, f"# {made_by(command, ('torch', 'numpy'))}\n{table.to_csv(index=False, lineterminator=chr(10))}")


if __name__ == "__main__":
    run(main)
