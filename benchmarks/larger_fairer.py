"""The larger the fairer? Size against unfairness for random subnets of the HAM10000 supernet and for known networks.

    python benchmarks/larger_fairer.py --data HAM10000 [--networks 2000] [--work FOLDER] [--units FOLDER]

FaHaNa (arXiv 2202.11317) observed that larger networks are typically fairer. Here random networks of the space are
predicted by the frozen supernet on the validation part (kept in --work, so that a second call goes on where a first
was broken off), and unfairness and worst-group accuracy are set against parameters. The interval of each Spearman
correlation is a bootstrap over lesions and networks at once. Subnets that benchmarks/proxy_fidelity.py has trained
alone, means of two seeds, are correlated, too (a bootstrap over networks), and with the reference networks that
benchmarks/headline.py has trained drawn beside them. Writes results/benchmarks/larger_fairer.csv (a row a network),
.json (the correlations) and a figure.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from headline_units import REFERENCE_NAMES, finished_units, labels_of
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from prediction_store import PredictionStore
from provenance import made_by, run
from rich.console import Console
from scipy.stats import rankdata, spearmanr

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.fairness import METRICS
from evo_fair.fairness.bootstrap import ends_of_change
from evo_fair.fairness.resampled import draw_weights
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
    parser.add_argument(
        "--units",
        type=Path,
        help="where benchmarks/headline.py keeps finished trainings",
        default=OUT.parent / "headline" / "units",
    )
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
    alone = trained_alone(OUT / "proxy_fidelity_networks.csv")
    rng = np.random.default_rng(arguments.seed)
    of_alone = {
        name: correlation_of_trained(alone["params"].to_numpy(float), alone[name].to_numpy(float), rng)
        for name in METRIC_NAMES
        if len(alone)
    }
    rows = pd.concat([rows, alone, references(arguments.units, dataset)], ignore_index=True)
    write(rows, correlations, of_alone, arguments)


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
    kind: str, names: list[str], sizes: Floats, predictions: npt.NDArray[np.uint8], dataset: Dataset, group: str = GROUP
) -> pd.DataFrame:
    """A row a network with what it reaches on the validation part."""
    counts = dataset.counts(predictions, "validation", group)
    values = {name: METRICS[name](counts) for name in METRIC_NAMES}
    return pd.DataFrame({"network": names, "kind": kind, "params": sizes.astype(int), **values})


def references(units: Path, dataset: Dataset, group: str = GROUP) -> pd.DataFrame:
    """The reference networks that were trained plainly, a row a seed."""
    rows = []
    for unit, facts in finished_units(units):
        if unit.network in REFERENCE_NAMES and (unit.start, unit.option) == ("scratch", "plain"):
            if facts["made_of"]["data"] != dataset.fingerprint:
                raise EvoFairError(f"{unit.name} in {units} was trained on other data: give those with --data")
            predictions = labels_of(facts, "validation")[None]
            name = f"{unit.network}, {unit.epochs} epochs, seed {unit.seed}"
            rows.append(table("reference", [name], np.array([float(facts["params"])]), predictions, dataset, group))
    return pd.concat(rows) if rows else pd.DataFrame()


def trained_alone(path: Path) -> pd.DataFrame:
    """The subnets of proxy_fidelity.py's table, their figures means over its seeds."""
    if not path.is_file():
        return pd.DataFrame()
    trained = pd.read_csv(path, comment="#", dtype={"id": str})
    means = {name: trained[[f"{name}_seed0", f"{name}_seed1"]].mean(axis=1) for name in METRIC_NAMES}
    return pd.DataFrame({"network": trained["id"], "kind": "trained subnet", "params": trained["params"], **means})


def correlation_of_trained(sizes: Floats, metric: Floats, rng: np.random.Generator) -> dict[str, float]:
    """Spearman's correlation with its percentile interval over networks: they are few for the basic one."""
    drawn = [rng.integers(0, len(sizes), len(sizes)) for _ in range(REPLICATES)]
    resampled = [spearmanr(sizes[chosen], metric[chosen]).statistic for chosen in drawn]
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return {"spearman": float(spearmanr(sizes, metric).statistic), "low": float(low), "high": float(high)}


def correlation(
    name: str,
    sizes: Floats,
    predictions: npt.NDArray[np.uint8],
    dataset: Dataset,
    rng: np.random.Generator,
    group: str = GROUP,
) -> dict[str, float]:
    """Spearman's correlation of a metric with parameters, with its bootstrap interval over lesions and networks.

    Every resample draws lesions, on which the metric of all networks is taken anew, and then networks.
    """
    metric = METRICS[name](dataset.counts(predictions, "validation", group))
    value = float(spearmanr(sizes, metric).statistic)
    resampled = []
    for scores in on_resamples(name, predictions, dataset, rng, group):
        chosen = rng.integers(0, len(sizes), len(sizes))
        pair = np.stack([rankdata(sizes[chosen]), rankdata(scores[chosen])])
        resampled.append(np.corrcoef(pair)[0, 1])
    low, high = ends_of_change(value, np.array(resampled))
    return {"spearman": value, "low": max(-1.0, float(low)), "high": min(1.0, float(high))}


def on_resamples(
    name: str, predictions: npt.NDArray[np.uint8], dataset: Dataset, rng: np.random.Generator, group: str
) -> list[Floats]:
    """A metric on accuracies by group, of all networks at once on each resample of the lesions: `[networks]` each."""
    index = dataset.part("validation")
    groups = dataset.grouping(group).index[index]
    weights = draw_weights(dataset.units[index], REPLICATES, rng, (groups,)).astype(np.float32)
    right = (predictions == dataset.labels[index]).astype(np.float32)
    overall = right @ weights.T / weights.sum(axis=1)
    members = [groups == number for number in range(len(dataset.grouping(group).names))]
    by_group = np.stack([right[:, m] @ weights[:, m].T / weights[:, m].sum(axis=1) for m in members])
    scores = {
        "accuracy": overall,
        "worst_group_accuracy": by_group.min(axis=0),
        "unfairness": np.abs(by_group - overall).sum(axis=0),
    }[name]
    return list(scores.T.astype(float))


def sentence(correlations: dict[str, dict[str, float]], networks: str) -> str:
    """What the correlations of `networks` say to the paper's observation."""
    unfair, worst = correlations["unfairness"], correlations["worst_group_accuracy"]
    if unfair["low"] <= 0 <= unfair["high"]:
        verdict = "the interval leaves open whether larger is fairer"
    else:
        verdict = "larger is fairer" if unfair["high"] < 0 else "larger is less fair"
    texts = [f"{c['spearman']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in (unfair, worst)]
    return (
        f"Among {networks} {verdict}: Spearman's correlation of parameters "
        f"is {texts[0]} with unfairness between age bands, and {texts[1]} with the accuracy of the worst band."
    )


def write(
    rows: pd.DataFrame,
    correlations: dict[str, dict[str, float]],
    of_alone: dict[str, dict[str, float]],
    arguments: argparse.Namespace,
) -> None:
    """Writes the rows, the correlations with the sentences, and the figure; prints the sentences."""
    many, few = (int((rows["kind"] == kind).sum()) for kind in ("random subnet", "trained subnet"))
    text = sentence(correlations, f"{many:,} random subnets of the HAM10000 supernet, its weights frozen,")
    if of_alone:
        text += " " + sentence(of_alone, f"{few} subnets that were trained alone, two seeds each,")
    command = f"python benchmarks/larger_fairer.py --networks {arguments.networks} --seed {arguments.seed}"
    made = made_by(command, ("numpy", "torch"))
    write_text(OUT / "larger_fairer.csv", f"# {made}\n" + rows.to_csv(index=False, lineterminator="\n"))
    write_json(
        OUT / "larger_fairer.json",
        {"made_by": made, "sentence": text, "spearman": correlations, "spearman_trained_alone": of_alone},
    )
    save_figure(lambda: figure(rows), [OUT / "larger_fairer.png", OUT / "larger_fairer.pdf"])
    Console().print(text)


def figure(rows: pd.DataFrame) -> Figure:
    """Unfairness and worst-group accuracy against parameters."""
    made, panels, columns = grid(2)
    kinds = ("random subnet", "trained subnet", "reference")
    random, alone, known = (rows[rows["kind"] == kind] for kind in kinds)
    titles = {"unfairness": "unfairness (age bands)", "worst_group_accuracy": "accuracy of the worst age band"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        panel.plot(random["params"], random[name], ".", ms=2, color="#8e8e8e", alpha=0.6, label="subnets, frozen")
        order = np.argsort(random["params"].to_numpy())
        tenths = np.array_split(order, 10)
        centres = [np.median(random["params"].to_numpy()[tenth]) for tenth in tenths]
        middles = [np.median(random[name].to_numpy()[tenth]) for tenth in tenths]
        panel.plot(centres, middles, "-", color="#0b3c5d", lw=1.2, label="their median by tenth")
        if len(alone):
            panel.plot(alone["params"], alone[name], "^", ms=3.5, color="#3a7d44", label="subnets, trained alone")
        if len(known):
            panel.plot(known["params"], known[name], "D", ms=3.5, color="#d06f00", label="reference networks")
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator())
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel("parameters")
        panel.set_ylabel(title)
    common_legend(made, panels, columns)
    return made


if __name__ == "__main__":
    run(main)
