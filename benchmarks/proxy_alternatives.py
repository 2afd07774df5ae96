"""Other ways to guess how networks rank once they are trained, measured beside the proxy.

    python benchmarks/proxy_alternatives.py --data DIR --work FOLDER

Takes the networks of proxy_fidelity.py that are trained with both seeds (FOLDER/trained.jsonl, as there) and asks:

  frozen      the supernet's weights, batch norms measured on 128, 512 (the proxy) or 2,048 training images
  soft        the same with 512, counting the probability of the right label instead of right or wrong
  tuned       trained on from the supernet's weights for 1 or 4 epochs, at a fifth of the recipe's learning rate
  short       trained from scratch for 4 epochs by the problem's recipe, with a seed of its own
  size        nothing but the multiply-accumulates: more is better

All on the validation part. Writes results/benchmarks/proxy_alternatives.csv: for every metric and way Kendall's tau
with single trainings (the mean over the two seeds) and with the mean of both, with 95 % percentiles of bootstrap
resamples of the networks, and the processor seconds a network.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from provenance import run
from proxy_fidelity import (
    GROUP,
    METRIC_NAMES,
    OUT,
    SEEDS,
    Array,
    Row,
    Work,
    choose,
    correlations,
    size_scores,
    values,
    write_rows,
)
from rich.console import Console
from scipy.special import softmax

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.export.tuning import Tuning, train_network
from evo_fair.nets import Network, Supernet, initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy import calibration_samples, predict_logits
from evo_fair.proxy.supernets import ensure_supernet

OWN_SEED = max(SEEDS) + 1

Way = Callable[[Array], Array]
"""From a genome `[genes]` to metrics `[metrics]` on the validation part."""


def main() -> None:
    """Asks every way about every network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of HAM10000")
    parser.add_argument("--work", type=Path, required=True, help="the folder of proxy_fidelity.py")
    parser.add_argument("--networks", type=int, default=16, help="as for proxy_fidelity.py")
    arguments = parser.parse_args()
    problem = load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    work = Work(arguments.work, problem, dataset, space)
    genomes = np.array([g for g in choose(space, arguments.networks) if all(work.find(g, seed) for seed in SEEDS)])
    if len(genomes) < 3:
        raise EvoFairError(f"{arguments.work} holds {len(genomes)} networks with both seeds: run proxy_fidelity.py")
    stored = ensure_supernet(problem, dataset, space)
    trained = {f"seed {seed}": values(dataset, work.predictions(genomes, seed)) for seed in SEEDS}
    rows: list[Row] = []
    for name, way in ways(problem, dataset, Supernet.load(stored.path, space)).items():
        began = time.process_time()
        scores = trained | {"proxy": np.array([way(genome) for genome in genomes])}
        seconds = (time.process_time() - began) / len(genomes)
        for column, metric in enumerate(METRIC_NAMES):
            taus = {row["pair"]: row for row in correlations({k: v[:, column] for k, v in scores.items()})}
            row: Row = {"metric": metric, "way": name, "networks": len(genomes), "cpu_seconds": round(seconds, 2)}
            for title in ("one seed", "mean of seeds"):
                found = taus[f"proxy, {title}"]
                row |= {f"{key}, {title}": found[key] for key in ("tau", "low", "high")}
            rows.append(row)
        shown = ", ".join(f"{row['metric']} {row['tau, mean of seeds']:.2f}" for row in rows[-len(METRIC_NAMES) :])
        Console().print(f"{name}: {shown}; {seconds:.1f} s of CPU a network", highlight=False, soft_wrap=True)
    rows.sort(key=lambda row: METRIC_NAMES.index(row["metric"]))
    write_rows(OUT / "proxy_alternatives.csv", rows, stored.sha256)


def ways(problem: Problem, dataset: Dataset, supernet: Supernet) -> dict[str, Way]:
    """All ways by name."""
    scaling = Scaling(supernet.mean, supernet.scale)
    x = scaling(dataset.inputs[dataset.part("validation")])

    def extracted(genome: Array, images: int = problem.proxy.calibration_samples) -> Network:
        network = supernet.extract(genome)
        with torch.no_grad():
            network.calibrate(scaling(dataset.inputs[calibration_samples(dataset, images)]))
        return network

    def judged(network: Network) -> Array:
        return values(dataset, logits(network).argmax(1).astype(np.uint8)[None])[0]

    def logits(network: Network) -> Array:
        return predict_logits(network.eval().requires_grad_(False), x)

    def trained(network: Network, epochs: int, from_scratch: bool) -> Network:
        tuning = Tuning(from_scratch=from_scratch, epochs=epochs)
        train_network(network, dataset, GROUP, tuning, tuning.recipe(problem.training), OWN_SEED, scaling)
        return network

    def scratch(genome: Array) -> Network:
        network = Network(supernet.space.architecture(genome), supernet.space.labels)
        initialise(network, torch.Generator().manual_seed(OWN_SEED))
        return network

    return {
        "size": lambda genome: size_scores(supernet.space, genome[None])[0],
        "frozen, 128 images": lambda genome: judged(extracted(genome, 128)),
        "frozen, 512 images": lambda genome: judged(extracted(genome, 512)),
        "frozen, 2048 images": lambda genome: judged(extracted(genome, 2048)),
        "frozen, soft": lambda genome: soft(dataset, logits(extracted(genome))),
        "tuned, 1 epoch": lambda genome: judged(trained(extracted(genome), 1, from_scratch=False)),
        "tuned, 4 epochs": lambda genome: judged(trained(extracted(genome), 4, from_scratch=False)),
        "short, 4 epochs": lambda genome: judged(trained(scratch(genome), 4, from_scratch=True)),
    }


def soft(dataset: Dataset, logits: Array) -> Array:
    """The metrics `[metrics]` with the right label's probability for right and wrong, of logits `[samples, labels]`."""
    part = dataset.part("validation")
    right = softmax(logits, axis=1)[np.arange(len(part)), dataset.labels[part]]
    group = dataset.grouping(GROUP).index[part]
    by_group = np.array([right[group == g].mean() for g in np.unique(group[group >= 0])])
    return np.array([right.mean(), by_group.min(), np.abs(by_group - right.mean()).sum()])


if __name__ == "__main__":
    run(main)
