"""What a supernet knows of networks that others really trained, and what a search with few trainings makes of it.

    python benchmarks/guided_search.py --data DATA [--scored 1000] [--samples 1000] [--seeds 30] [--report]

DATA is the folder that holds cifar10/ and nas_bench_macro/. The supernet is that of the problem `nas_bench_macro`,
trained by `evo-fair train nas_bench_macro` or now (about two hours of two cores; broken off it goes on). It scores
random networks on samples of the validation part (results/benchmarks/guided_search_scores.csv, kept: `--report` goes on
from there, in ten minutes, and needs no supernet); what is believed of all 6,561 from these scores, from size and from
genes (`evo_fair.belief`) is compared with their published test accuracies by Kendall's tau: over all, in the better
half and in the best tenth, beside multiply-accumulates, the scores themselves (on the scored networks) and a second
training (the ceiling).

Then searches with 40 trainings: a training is one of a network's three published ones, drawn by the seed. Rounds of
five, each chosen by `evo_fair.belief.next_trainings` from what is believed after the rounds before. The hypervolume
of the trained networks' true error (mean of three) and multiply-accumulates, as a share of the true front's, is
compared with that of NSGA-II of the engine without a proxy: how many trainings that needs for as much. The priors of
the belief, and the supernet's recipe, were chosen with an earlier supernet's scores of these networks in sight.
Writes results/benchmarks/guided_search.csv and guided_search_runs.csv.
"""

import argparse
import os
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from provenance import made_by, run
from rich.console import Console
from rich.table import Table as Shown
from scipy.special import logsumexp
from scipy.stats import kendalltau
from trained_tables import Table, TableEvaluator, TableSpace, load_table, read_macro

from evo_fair.belief import Belief, Trainings, gene_features, next_trainings
from evo_fair.data import Dataset, find_data
from evo_fair.errors import EvoFairError
from evo_fair.evolution import SearchPlan, hypervolume_trace, read_journal, search
from evo_fair.files import write_text
from evo_fair.layers import macs
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy import calibration_samples
from evo_fair.proxy.evaluator import ProxySource
from evo_fair.proxy.supernets import ensure_supernet
from evo_fair.report.compare import mean_interval
from evo_fair.space import SearchSpace

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
PROBLEM, TABLE = "nas_bench_macro", "macro"
TRAININGS, ROUND = 40, 5
WITHOUT, POPULATION = 640, 32
"""Trainings of NSGA-II without a proxy, and its population."""

CHUNK = 100
UNASKED = 0.49
"""The standard error of a network's score that the supernet was not asked for: it may be anything."""

Array = np.ndarray


def main() -> None:
    """Scores what is not scored yet, then reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds cifar10/ and nas_bench_macro/")
    parser.add_argument("--scored", type=int, default=1000, help="random networks that the supernet is asked for")
    parser.add_argument("--samples", type=int, default=1000, help="samples of the validation part")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--report", action="store_true", help="take the scores that are kept, train and score nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    table = load_table(TABLE, arguments.data)
    store = arguments.out / "guided_search_scores.csv"
    rows = scored_rows(table, arguments.scored)
    if arguments.report:
        names = names_of(table)
        scores, supernet = kept(store, [names[row] for row in rows], arguments.samples)
    else:
        scores, supernet = made(store, table, rows, arguments)
    belief = believe(table, scores, arguments.samples)
    trained = single_trainings(arguments.data)
    facts = f"{arguments.scored} networks scored on {arguments.samples} samples; supernet {supernet}"
    report(table, scores, belief, trained, arguments, facts)


def scored_rows(table: Table, count: int) -> Array:
    """The networks that the supernet is asked for, drawn once and for all, rows of the table."""
    return np.sort(np.random.default_rng(0).choice(len(table.genomes), min(count, len(table.genomes)), replace=False))


def kept(store: Path, chosen: list[str], samples: int) -> tuple[pd.DataFrame, str]:
    """The scores in the store of the networks `chosen`, and the name of the supernet that gave them."""
    if not store.is_file():
        raise EvoFairError(f"{store} does not exist: leave out --report, and the scores are made")
    key = store.read_text().splitlines()[0].removeprefix("# ")
    supernet, asked = key.rsplit(maxsplit=1)
    known = read_scores(store, key)
    missing = sum(name not in known.index for name in chosen)
    if missing or asked != str(samples):
        told = f"{store} has scores on {asked} samples, and lacks {missing} of {len(chosen)}"
        raise EvoFairError(f"{told}: give its numbers instead of {samples} samples, or leave out --report")
    return known.loc[chosen], supernet


def made(store: Path, table: Table, rows: Array, arguments: argparse.Namespace) -> tuple[pd.DataFrame, str]:
    """The scores, asked of the supernet where they are not in the store, and the supernet's name."""
    problem = load_problem(PROBLEM, data=find_data("cifar10", arguments.data / "cifar10"))
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    genomes = genomes_of(space, table)
    supernet = ensure_supernet(problem, dataset, space, lambda step: print(f"supernet: {step}", flush=True)).path
    return score(problem, dataset, space, table, genomes, rows, supernet, store, arguments), supernet.parent.name


def genomes_of(space: SearchSpace, table: Table) -> Array:
    """The table's networks as genomes of the space `[networks, genes]`; checks that costs are the published ones."""
    kinds = [gene for gene, name in enumerate(space.gene_names) if name.endswith(".kind")]
    genomes = np.repeat(space.smallest()[None], len(table.genomes), axis=0)
    genomes[:, kinds[: table.genomes.shape[1]]] = table.genomes
    if (wrong := macs(space.decode(genomes)) != table.costs["macs"]).any():
        raise EvoFairError(f"{wrong.sum()} networks of {space!r} have other multiply-accumulates than published")
    return genomes


def score(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    table: Table,
    genomes: Array,
    chosen: Array,
    supernet: Path,
    store: Path,
    arguments: argparse.Namespace,
) -> pd.DataFrame:
    """Error and mean log loss by the frozen supernet, a row a network, indexed by its digits."""
    part = dataset.part("validation")
    samples = part[np.linspace(0, len(part) - 1, min(arguments.samples, len(part))).round().astype(np.int64)]
    key = f"{supernet.parent.name} {len(samples)}"
    known = read_scores(store, key)
    names = names_of(table)
    missing = [row for row in chosen if names[row] not in known.index]
    if missing:
        calibration = dataset.inputs[calibration_samples(dataset, problem.proxy.calibration_samples)]
        proxy = ProxySource(supernet, space, calibration, dataset.inputs[samples]).open(os.cpu_count() or 1)
        labels = dataset.labels[samples]
        for start in range(0, len(missing), CHUNK):
            rows = missing[start : start + CHUNK]
            logits = proxy.population.logits([space.architecture(genome) for genome in genomes[rows]])
            for row, values in zip(rows, logits.astype(np.float64), strict=True):
                loss = (logsumexp(values, axis=1) - values[np.arange(len(labels)), labels]).mean()
                known.loc[names[row]] = [(values.argmax(1) != labels).mean(), loss]
            text = known.sort_index().round(6).to_csv(lineterminator="\n")
            write_text(store, f"# {key}\n{text}")
            print(f"scored {min(start + CHUNK, len(missing))} of {len(missing)}", flush=True)
        proxy.close()
    return known.loc[[names[row] for row in chosen]]


def read_scores(store: Path, key: str) -> pd.DataFrame:
    """The scores in the store, if they are of this supernet on as many samples."""
    columns = ["error", "log_loss"]
    if store.exists() and store.read_text().splitlines()[0] == f"# {key}":
        return pd.read_csv(store, comment="#", dtype={"network": str}).set_index("network")[columns]
    return pd.DataFrame(columns=columns, index=pd.Index([], name="network"), dtype=float)


def believe(table: Table, scores: pd.DataFrame, samples: int) -> Belief:
    """What is believed of all networks; those that were not scored are known by their genes and size alone."""
    places = pd.Index(names_of(table)).get_indexer(scores.index)
    error = scores["error"].to_numpy()
    values = np.full((len(table.genomes), 1), np.median(error))
    errors = np.full_like(values, UNASKED)
    values[places, 0] = error
    errors[places, 0] = np.sqrt(error * (1 - error) / samples)
    genes = table.genomes.shape[1]
    features = gene_features(table.genomes, np.full(genes, table.choices), np.zeros(genes, np.bool_))
    return Belief.fit(values, errors, np.column_stack(list(table.costs.values())), genes=features)


def single_trainings(data: Path) -> Array:
    """The errors of the three trainings of each network, `[networks, 3]`."""
    return np.array([[1 - each / 100 for each in network["test_acc"]] for network in read_macro(data).values()])


def names_of(table: Table) -> list[str]:
    """The digits of each network, by which it is published."""
    return ["".join(map(str, genome)) for genome in table.genomes]


def report(
    table: Table, scores: pd.DataFrame, belief: Belief, trained: Array, arguments: argparse.Namespace, facts: str
) -> None:
    """Prints and writes both tables."""
    found = rankings(table, scores, belief, trained)
    with_proxy = np.array([guided(table, belief, trained, seed) for seed in range(arguments.seeds)])
    alone = np.array([without_proxy(table, seed) for seed in range(arguments.seeds)])
    runs = pd.DataFrame(
        {
            "seed": np.arange(arguments.seeds),
            "guided_after_40": with_proxy[:, -1],
            "nsga2_after_40": alone[:, TRAININGS - 1],
            "nsga2_after_160": alone[:, 159],
            "nsga2_needs": [needed(trace, share[-1]) for trace, share in zip(alone, with_proxy, strict=True)],
        }
    )
    mean = alone.mean(axis=0)
    found.append(
        {"what": "nsga2's mean reaches the guided mean after", "value": needed(mean, with_proxy[:, -1].mean())}
    )
    for column in runs.columns[1:]:
        middle, low, high = mean_interval(runs[column].to_numpy(np.float64))
        found.append({"what": column, "value": middle, "low": low, "high": high})
    command = f"python benchmarks/guided_search.py --data DATA; {facts}"
    head = f"# {made_by(command, ('torch', 'numpy', 'pymoo'))}\n"
    result = pd.DataFrame(found)
    for name, frame in (("guided_search.csv", result), ("guided_search_runs.csv", runs)):
        write_text(arguments.out / name, head + frame.round(4).to_csv(index=False, lineterminator="\n"))
    shown = Shown(*result.columns)
    for row in result.round(4).astype(object).fillna("").astype(str).to_numpy():
        shown.add_row(*map(str, row))
    Console(width=140).print(shown)


def rankings(table: Table, scores: pd.DataFrame, belief: Belief, trained: Array) -> list[dict[str, Any]]:
    """Kendall's tau of predictors with the published mean error: over all, in the better half and in the best tenth."""
    error = table.points[:, 0]
    everyone = np.arange(len(error))
    scored = pd.Index(names_of(table)).get_indexer(scores.index)
    predictors: list[tuple[str, Array, Array]] = [
        ("believed", everyone, belief.mean[:, 0]),
        ("multiply-accumulates", everyone, -table.costs["macs"]),
        ("frozen error, scored networks", scored, scores["error"].to_numpy()),
        ("frozen log loss, scored networks", scored, scores["log_loss"].to_numpy()),
    ]
    rows = []
    for name, networks, values in predictors:
        of_these = error[networks]
        taus = {part: kendalltau(values[own], of_these[own]).statistic for part, own in parts_of(of_these)}
        rows.append({"what": name, "networks": len(networks), **taus})
    ceiling: dict[str, Any] = {"what": "a second training", "networks": len(error)}
    for part, chosen in parts_of(error):
        own = trained[chosen]
        ceiling[part] = np.mean([kendalltau(own[:, a], own[:, b]).statistic for a, b in combinations(range(3), 2)])
    return [*rows, ceiling]


def parts_of(error: Array) -> list[tuple[str, Array]]:
    """The networks that each column of the ranking is of: all, the better half, the best tenth."""
    shares = {"tau": 1.0, "tau_better_half": 0.5, "tau_best_tenth": 0.1}
    return [(part, error <= np.quantile(error, share)) for part, share in shares.items()]


def guided(table: Table, belief: Belief, trained: Array, seed: int) -> Array:
    """The share of the true hypervolume after each of 40 trainings, `[trainings]`."""
    drawn = trained[np.arange(len(trained)), np.random.default_rng(seed).integers(0, 3, len(trained))]
    cost = table.costs["macs"]
    sampling = np.sqrt(drawn * (1 - drawn) / table.images * trained.shape[1])
    chosen = np.empty(0, np.int64)
    known = belief
    while len(chosen) < TRAININGS:
        points = np.column_stack([known.mean[:, 0], cost])
        errors = np.column_stack([known.error[:, 0], np.zeros(len(cost))])
        more = next_trainings(points, errors, known.trained, min(ROUND, TRAININGS - len(chosen)))
        chosen = np.concatenate([chosen, more])
        known = belief.after(Trainings.of(chosen, drawn[chosen][:, None], sampling[chosen][:, None]))
    return hypervolume_trace(table.points[chosen], table.box) / table.true_hypervolume


def without_proxy(table: Table, seed: int) -> Array:
    """The share of the true hypervolume that NSGA-II has after each of its trainings, `[trainings]`."""
    plan = SearchPlan(
        objectives=table.objectives, group="all", budget=WITHOUT, algorithm="nsga2", population=POPULATION, seed=seed
    )
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        search(plan, TableSpace(table), TableEvaluator(table), journal, Path(folder) / "checkpoint.npz")
        genomes = np.array([record.genome for record in read_journal(journal)])
    return (hypervolume_trace(table.points[table.rows(genomes)], table.box) / table.true_hypervolume)[:WITHOUT]


def needed(trace: Array, share: float) -> float:
    """How many trainings a search needed for a share of the hypervolume; infinite if it never got there."""
    return float(np.argmax(trace >= share) + 1) if (trace >= share).any() else float("inf")


if __name__ == "__main__":
    run(main)
