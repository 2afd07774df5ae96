"""The larger the fairer? Size against unfairness for random subnets of the HAM10000 supernet and for known networks.

    python benchmarks/larger_fairer.py --data HAM10000 [--networks 2000] [--work FOLDER] [--units HEADLINE_WORK]

FaHaNa (arXiv 2202.11317) observed that larger networks are typically fairer. Here random networks of the space are
predicted by the frozen supernet on the validation part (kept in --work, so that a second call goes on where a first
was broken off), and unfairness and worst-group accuracy are set against parameters. The interval of each Spearman
correlation is a bootstrap over lesions and networks at once. Reference networks that benchmarks/headline.py has trained
are drawn beside them. Writes results/benchmarks/larger_fairer.csv (a row a network), .json (the correlations) and a
figure.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from headline_units import REFERENCE_NAMES, finished_units, read_predictions
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from prediction_store import PredictionStore
from provenance import made_by, run
from rich.console import Console
from scipy.stats import rankdata, spearmanr

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.fairness import METRICS
from evo_fair.fairness.bootstrap import draw_weights
from evo_fair.files import cache_folder, write_json, write_text
from evo_fair.layers import params
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy.supernets import ensure_supernet
from evo_fair.report.style import common_legend, grid, save_figure

OUT = Path(__file__).parent.parent / "results" / "benchmarks"
CHUNK = 50
REPLICATES = 1000
GROUP = "age_band"
METRIC_NAMES = ("unfairness", "worst_group_accuracy", "accuracy")

Floats = npt.NDArray[np.float64]


def main() -> None:
    """Predicts what is missing, correlates, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of HAM10000")
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a folder for predictions; by default in the cache")
    parser.add_argument("--units", type=Path, help="the --work folder of benchmarks/headline.py")
    arguments = parser.parse_args()
    if arguments.networks < 20:
        raise EvoFairError(f"networks {arguments.networks} is too few for a correlation: give 20 or more")
    problem = load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    work = arguments.work or cache_folder("larger_fairer")
    sizes, predictions = random_networks(problem, dataset, work, arguments)
    rows = table("random subnet", [f"random-{i}" for i in range(len(sizes))], sizes, predictions, dataset)
    correlations = {
        name: correlation(name, sizes, predictions, dataset, np.random.default_rng(arguments.seed))
        for name in METRIC_NAMES
    }
    if arguments.units:
        rows = pd.concat([rows, references(arguments.units, dataset)], ignore_index=True)
    write(rows, correlations, arguments)


def random_networks(
    problem: Problem, dataset: Dataset, work: Path, arguments: argparse.Namespace
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Parameters `[networks]` and predicted validation labels `[networks, samples]` of different random networks."""
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    supernet = ensure_supernet(problem, dataset, space)
    drawn = space.canonical(space.sample(np.random.default_rng(arguments.seed), 2 * arguments.networks))
    _, first = np.unique(drawn, axis=0, return_index=True)
    genomes = drawn[np.sort(first)][: arguments.networks]
    parts = []
    with PredictionStore(work, problem, dataset, space, supernet, (GROUP,), arguments.jobs) as store:
        for start in range(0, len(genomes), CHUNK):
            parts.append(store.predict(genomes[start : start + CHUNK]))
            Console(stderr=True).print(f"{sum(map(len, parts))}/{len(genomes)} networks, {store.evaluated} new")
    return params(space.decode(genomes)).astype(float), np.concatenate(parts)


def table(
    kind: str, names: list[str], sizes: Floats, predictions: npt.NDArray[np.uint8], dataset: Dataset
) -> pd.DataFrame:
    """A row a network with what it reaches on the validation part."""
    counts = dataset.counts(predictions, "validation", GROUP)
    values = {name: METRICS[name](counts) for name in METRIC_NAMES}
    return pd.DataFrame({"network": names, "kind": kind, "params": sizes.astype(int), **values})


def references(units: Path, dataset: Dataset) -> pd.DataFrame:
    """The reference networks that were trained plainly, a row a seed."""
    rows = []
    for unit, facts in finished_units(units):
        if unit.network in REFERENCE_NAMES and unit.option == "plain":
            predictions = read_predictions(units, unit, "validation")[None]
            name = f"{unit.network}, {unit.epochs} epochs, seed {unit.seed}"
            rows.append(table("reference", [name], np.array([float(facts["params"])]), predictions, dataset))
    return pd.concat(rows) if rows else pd.DataFrame()


def correlation(
    name: str, sizes: Floats, predictions: npt.NDArray[np.uint8], dataset: Dataset, rng: np.random.Generator
) -> dict[str, float]:
    """Spearman's correlation of a metric with parameters, with its basic bootstrap interval over lesions and networks.

    Every resample draws lesions, on which the metric of all networks is taken anew, and then networks.
    """
    metric = METRICS[name](dataset.counts(predictions, "validation", GROUP))
    value = float(spearmanr(sizes, metric).statistic)
    resampled = []
    for scores in on_resamples(name, predictions, dataset, rng):
        chosen = rng.integers(0, len(sizes), len(sizes))
        pair = np.stack([rankdata(sizes[chosen]), rankdata(scores[chosen])])
        resampled.append(np.corrcoef(pair)[0, 1])
    high, low = 2 * value - np.percentile(resampled, [2.5, 97.5])
    return {"spearman": value, "low": max(-1.0, float(low)), "high": min(1.0, float(high))}


def on_resamples(
    name: str, predictions: npt.NDArray[np.uint8], dataset: Dataset, rng: np.random.Generator
) -> list[Floats]:
    """A metric on accuracies by group, of all networks at once on each resample of the lesions: `[networks]` each."""
    index = dataset.part("validation")
    groups = dataset.grouping(GROUP).index[index]
    weights = draw_weights(dataset.units[index], REPLICATES, rng, (groups,)).astype(np.float32)
    right = (predictions == dataset.labels[index]).astype(np.float32)
    overall = right @ weights.T / weights.sum(axis=1)
    members = [groups == group for group in range(len(dataset.grouping(GROUP).names))]
    by_group = np.stack([right[:, m] @ weights[:, m].T / weights[:, m].sum(axis=1) for m in members])
    scores = {
        "accuracy": overall,
        "worst_group_accuracy": by_group.min(axis=0),
        "unfairness": np.abs(by_group - overall).sum(axis=0),
    }[name]
    return list(scores.T.astype(float))


def sentence(correlations: dict[str, dict[str, float]], networks: int) -> str:
    """What the correlations say to the paper's observation."""
    unfair, worst = correlations["unfairness"], correlations["worst_group_accuracy"]
    if unfair["low"] <= 0 <= unfair["high"]:
        verdict = "the interval leaves open whether larger is fairer"
    else:
        verdict = "larger is fairer" if unfair["high"] < 0 else "larger is less fair"
    texts = [f"{c['spearman']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in (unfair, worst)]
    return (
        f"Among {networks:,} random subnets of the HAM10000 supernet {verdict}: Spearman's correlation of parameters "
        f"is {texts[0]} with unfairness between age bands, and {texts[1]} with the accuracy of the worst band."
    )


def write(rows: pd.DataFrame, correlations: dict[str, dict[str, float]], arguments: argparse.Namespace) -> None:
    """Writes the rows, the correlations with the sentence, and the figure; prints the sentence."""
    random = rows[rows["kind"] == "random subnet"]
    text = sentence(correlations, len(random))
    units = " --units HEADLINE_WORK" if arguments.units else ""
    command = f"python benchmarks/larger_fairer.py --networks {arguments.networks} --seed {arguments.seed}{units}"
    made = made_by(command, ("numpy", "torch"))
    write_text(OUT / "larger_fairer.csv", f"# {made}\n" + rows.to_csv(index=False, lineterminator="\n"))
    write_json(OUT / "larger_fairer.json", {"made_by": made, "sentence": text, "spearman": correlations})
    save_figure(lambda: figure(rows), [OUT / "larger_fairer.png", OUT / "larger_fairer.pdf"])
    Console().print(text)


def figure(rows: pd.DataFrame) -> Figure:
    """Unfairness and worst-group accuracy against parameters."""
    made, panels, columns = grid(2)
    random, known = (rows[rows["kind"] == kind] for kind in ("random subnet", "reference"))
    titles = {"unfairness": "unfairness (age bands)", "worst_group_accuracy": "accuracy of the worst age band"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        panel.plot(random["params"], random[name], ".", ms=2, color="#8e8e8e", alpha=0.6, label="random subnets")
        order = np.argsort(random["params"].to_numpy())
        tenths = np.array_split(order, 10)
        centres = [np.median(random["params"].to_numpy()[tenth]) for tenth in tenths]
        middles = [np.median(random[name].to_numpy()[tenth]) for tenth in tenths]
        panel.plot(centres, middles, "-", color="#0b3c5d", lw=1.2, label="their median by tenth")
        if len(known):
            panel.plot(known["params"], known[name], "D", ms=3.5, color="#d06f00", label="reference networks")
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel("parameters")
        panel.set_ylabel(title)
    common_legend(made, panels[0], columns)
    return made


if __name__ == "__main__":
    run(main)
