"""How faithfully the proxy ranks networks: Kendall's tau with networks trained alone, beside what a second seed gives.

    python benchmarks/proxy_fidelity.py --data DIR --work FOLDER [--problem NAME] [--networks 16] [--report]

Takes the smallest and the largest network of a problem's space, ham10000's by default, and random ones between them:
20,000 genomes are drawn and one taken at random from each of equally wide bins of log MACs, without a look at the
proxy. Each is trained from scratch by the problem's recipe with two seeds, on one thread, and asked on the validation
part. The ceiling is the tau between the two seeds: no proxy can know which seed is meant. Beside the proxy stand the
plainest predictor, that more multiply-accumulates are better, and what a search with trainings believes (see
`proxy_fidelity_belief.py`). Intervals are 95 % percentiles of 2,000 bootstrap resamples of the networks.

A finished training is a line of FOLDER/trained.jsonl, the one under way keeps a checkpoint there: started again, the
script goes on. `--report` trains nothing and reports on the networks finished so far. Writes
results/benchmarks/proxy_fidelity.csv, proxy_fidelity_variance.csv (how far networks differ, and two trainings of one)
and proxy_fidelity_networks.csv; those of another problem have its name behind `fidelity`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from provenance import made_by, run
from proxy_fidelity_belief import believed_orders, order, tau
from rich.console import Console
from rich.table import Table

from evo_fair import layers
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.fairness import METRICS
from evo_fair.files import digest, write_text
from evo_fair.nets import Network, fit, initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy import predict_labels
from evo_fair.proxy.supernets import ensure_supernet, proxy_source
from evo_fair.space import SearchSpace

OUT = Path(__file__).parent.parent / "results" / "benchmarks"
METRIC_NAMES = ("accuracy", "worst_group_accuracy", "unfairness")
SEEDS = (0, 1)
DRAWN, RESAMPLES = 20_000, 2000

Array = np.ndarray
Row = dict[str, Any]


def main() -> None:
    """Trains what is left to train, then reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the data set")
    parser.add_argument("--problem", default="ham10000", help="a problem of images; ham10000 by default")
    parser.add_argument("--work", type=Path, required=True, help="folder for finished trainings and the checkpoint")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    problem = load_problem(arguments.problem, data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    if arguments.networks < 3:
        raise EvoFairError(f"networks {arguments.networks} is too few: at least 3 make a ranking")
    genomes = choose(space, arguments.networks)
    work = Work(arguments.work, problem, dataset, space)
    if not arguments.report:
        for genome in genomes:
            for seed in SEEDS:
                work.train(genome, seed)
    done = np.array([genome for genome in genomes if all(work.find(genome, seed) for seed in SEEDS)])
    if len(done) < 3:
        raise EvoFairError(
            f"only {len(done)} networks are finished: at least 3 make a ranking; run it without --report"
        )
    report(problem, dataset, space, work, done)


def choose(space: SearchSpace, networks: int) -> Array:
    """Genomes `[networks, genes]`, smallest and largest first, the others in an order that leaves any part spread."""
    rng = np.random.default_rng(0)
    ends = np.stack([space.smallest(), space.largest()])
    drawn = space.sample(rng, DRAWN)
    size = np.log(layers.macs(space.decode(drawn)))
    edges = np.linspace(size.min(), size.max(), networks - 1)
    bins = np.digitize(size, edges[1:-1])
    chosen = np.stack([drawn[rng.choice(np.flatnonzero(bins == b))] for b in np.unique(bins)])
    return np.concatenate([ends, rng.permutation(chosen)])


class Work:
    """The folder with all trainings: finished ones as lines of JSON, the one under way as a checkpoint."""

    def __init__(self, folder: Path, problem: Problem, dataset: Dataset, space: SearchSpace) -> None:
        self.path = folder / "trained.jsonl"
        self.problem, self.dataset, self.space = problem, dataset, space
        # What is the supernet's alone changes no training here; the key is that of a time before it could be said.
        recipe = problem.training.model_copy(update={"sampling": "sandwich", "supernet_epochs": None})
        self.made_of = digest(recipe.model_dump_json(), dataset.fingerprint, space.fingerprint)[:16]
        text = self.path.read_text() if self.path.exists() else ""
        try:
            self.lines: list[Row] = [json.loads(line) for line in text.splitlines()]
        except ValueError as error:
            raise EvoFairError(f"{self.path} holds a line that is no JSON ({error}): restore or remove it") from error

    def find(self, genome: Array, seed: int) -> Row | None:
        """The line of a finished training with this recipe on these data."""
        key = (self.space.ids(genome[None])[0], seed, self.made_of)
        return next((line for line in self.lines if (line["id"], line["seed"], line["made_of"]) == key), None)

    def train(self, genome: Array, seed: int) -> None:
        """Trains one network from scratch unless that is done."""
        if self.find(genome, seed):
            return
        begin, cpu = time.perf_counter(), time.process_time()
        name = self.space.ids(genome[None])[0]
        dataset, recipe = self.dataset, self.problem.training
        train, validation = dataset.part("train"), dataset.part("validation")
        inputs, labels = dataset.inputs[train], dataset.labels[train]
        prepare = Scaling.of(inputs)
        network = Network(self.space.architecture(genome), self.space.labels)
        initialise(network, torch.Generator().manual_seed(seed))
        path = self.path.with_name(f"{name}-{seed}.safetensors")
        fit(network, inputs, labels, recipe, seed, normalise=prepare, checkpoint=path)
        predictions = predict_labels(network, prepare(dataset.inputs[validation]))
        line = {
            "id": name,
            "seed": seed,
            "made_of": self.made_of,
            "genome": genome.tolist(),
            "seconds": round(time.perf_counter() - begin, 1),  # of the last part only, if it was resumed
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "validation": "".join(map(str, predictions)),
        }
        self.lines.append(line)
        write_text(self.path, "".join(json.dumps(each) + "\n" for each in self.lines))
        path.unlink(missing_ok=True)
        accuracy = (predictions == dataset.labels[validation]).mean()
        print(f"{name} seed {seed}: {accuracy:.4f}, {line['cpu_seconds']} s of CPU", flush=True)

    def predictions(self, genomes: Array, seed: int) -> Array:
        """What finished networks predict on the validation part, uint8 `[networks, samples]`."""
        found = [self.find(genome, seed) for genome in genomes]
        return np.array([[int(label) for label in line["validation"]] for line in found if line], np.uint8)


def report(problem: Problem, dataset: Dataset, space: SearchSpace, work: Work, genomes: Array) -> None:
    """Prints the table and writes both CSV files."""
    supernet = ensure_supernet(problem, dataset, space)
    proxy = proxy_source(problem, dataset, space, supernet.path).open()
    scores = {"proxy": values(problem, dataset, proxy.predict(genomes))}
    for seed in SEEDS:
        scores[f"seed {seed}"] = values(problem, dataset, work.predictions(genomes, seed))
    scores["mean"] = (scores["seed 0"] + scores["seed 1"]) / 2
    scores["size"] = size_scores(space, genomes)
    trained = [work.predictions(genomes, seed) for seed in SEEDS]
    believed = believed_orders(problem, dataset, space, proxy.predict, genomes, trained)
    table = Table("metric", "pair", "Kendall's tau", "95 %", "share of the ceiling", "95 %")
    rows: list[Row] = []
    for column, metric in enumerate(METRIC_NAMES):
        orders = {name: order(score[:, column]) for name, score in scores.items()} | {"belief": believed[metric]}
        for row in correlations(orders):
            rows.append({"metric": metric, "networks": len(genomes), **row})
            cells = [f"{row[key]:.2f}" for key in NUMBERS if row[key] != ""]  # the ceiling has no share of itself
            tau, span, *share = [cells[0], " to ".join(cells[1:3]), *cells[3:4], " to ".join(cells[4:])]
            table.add_row(metric, row["pair"], tau, span, *share)
    Console(width=140).print(table)
    write_rows(problem, "", rows, supernet.sha256)
    write_rows(problem, "_variance", variances(scores), supernet.sha256)
    write_rows(problem, "_networks", network_rows(space, genomes, scores), supernet.sha256)


def values(problem: Problem, dataset: Dataset, predictions: Array) -> Array:
    """The metrics `[networks, metrics]` of predictions on the validation part."""
    counts = dataset.counts(predictions, "validation", problem.fairness.group)
    return np.column_stack([METRICS[name](counts) for name in METRIC_NAMES])


def size_scores(space: SearchSpace, genomes: Array) -> Array:
    """What the multiply-accumulates alone say of the metrics `[networks, metrics]`: more of them is better."""
    size = layers.macs(space.decode(genomes)).astype(np.float64)
    return np.column_stack([-size if name == "unfairness" else size for name in METRIC_NAMES])


NUMBERS = ("tau", "low", "high", "share", "share_low", "share_high")


def correlations(orders: dict[str, Array]) -> list[Row]:
    """Kendall's tau-b of the two seeds, and of every other order with each: intervals, and shares of the former.

    `proxy, one seed` is the mean of its two taus with one seed each: what the ceiling, a tau of single trainings too,
    is comparable with. The mean of two seeds is less noisy, so its tau may come out higher.
    """
    predictors = [name for name in orders if not name.startswith(("seed", "mean"))]
    n = len(orders["mean"])
    resamples = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))

    def taus(chosen: Array) -> list[float]:
        part = {name: order[np.ix_(chosen, chosen)] for name, order in orders.items()}
        found = [tau(part["seed 0"], part["seed 1"])]
        for predictor in predictors:
            single = [tau(part[predictor], part[f"seed {seed}"]) for seed in SEEDS]
            found += [tau(part[predictor], part["mean"]), float(np.mean(single)), *single]
        return found

    trained = ("mean of seeds", "one seed", "seed 0", "seed 1")
    names = (
        "ceiling: seed 0, seed 1",
        *(f"{predictor}, {what}" for predictor in predictors for what in trained),
    )
    point = np.array(taus(np.arange(n)))
    drawn = np.array([taus(chosen) for chosen in resamples])
    rows = []
    for i, name in enumerate(names):
        numbers = [point[i], *np.nanpercentile(drawn[:, i], [2.5, 97.5])]
        if i:
            share = drawn[:, i] / np.where(drawn[:, 0] > 0, drawn[:, 0], np.nan)
            numbers += [point[i] / point[0], *np.nanpercentile(share, [2.5, 97.5])]
        padded = [round(float(number), 4) for number in numbers] + [""] * (len(NUMBERS) - len(numbers))
        rows.append({"pair": name, **dict(zip(NUMBERS, padded, strict=True))})
    return rows


def variances(scores: dict[str, Array]) -> list[Row]:
    """Standard deviations between networks and between trainings of one network, a row a metric, by one-way ANOVA.

    `reliability`, with its interval, is the share of networks in the variance of single trainings: the intraclass
    correlation, what two trainings of the same networks correlate by.
    """
    trained = np.stack([scores[f"seed {seed}"] for seed in SEEDS])  # [seeds, networks, metrics]
    seeds, n, _ = trained.shape

    def components(chosen: Array) -> tuple[Array, Array]:
        part = trained[:, chosen]
        within = part.var(0, ddof=1).mean(0)
        return np.maximum(part.mean(0).var(0, ddof=1) - within / seeds, 0), within

    resamples = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    drawn = np.array([between / (between + within) for between, within in map(components, resamples)])
    between, within = components(np.arange(n))
    rows: list[Row] = []
    for column, metric in enumerate(METRIC_NAMES):
        low, high = np.nanpercentile(drawn[:, column], [2.5, 97.5])
        numbers = {
            "sd_between_networks": between[column] ** 0.5,
            "sd_between_seeds": within[column] ** 0.5,
            "reliability": between[column] / (between[column] + within[column]),
            "low": low,
            "high": high,
        }
        rows.append({"metric": metric, "networks": n} | {name: round(float(x), 4) for name, x in numbers.items()})
    return rows


def network_rows(space: SearchSpace, genomes: Array, scores: dict[str, Array]) -> list[Row]:
    """What is known of each network, by size."""
    tables = space.decode(genomes)
    macs, params = layers.macs(tables), layers.params(tables)
    rows = []
    for i in np.argsort(macs):
        row: Row = {"id": space.ids(genomes[i : i + 1])[0], "macs": int(macs[i]), "params": int(params[i])}
        for name in ("proxy", *(f"seed {seed}" for seed in SEEDS)):
            score = scores[name]
            row |= {f"{metric}_{name.replace(' ', '')}": round(score[i, m], 4) for m, metric in enumerate(METRIC_NAMES)}
        rows.append(row | {"genome": " ".join(map(str, genomes[i]))})
    return rows


def write_rows(problem: Problem, what: str, rows: list[Row], supernet: str) -> None:
    """Writes one of the CSV files below a line that says how it was made."""
    other = "" if problem.name == "ham10000" else f" --problem {problem.name}"
    command = f"python benchmarks/proxy_fidelity.py --data DIR --work DIR{other}"
    facts = f"{command}; group {problem.fairness.group}; supernet {supernet[:12]}"
    table = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    path = OUT / f"proxy_fidelity{f'_{problem.name}' if other else ''}{what}.csv"
    write_text(path, f"# {made_by(facts, ('torch', 'numpy', 'scipy'))}\n{table}")


if __name__ == "__main__":
    run(main)
