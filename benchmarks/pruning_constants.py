"""What the constants of `ballot` and `bifp` do, on validation parts alone: the test part is not looked at.

    python benchmarks/pruning_constants.py --data DIR --work FOLDER

The networks and data of fair_pruning.py, pruned to 90 % with a seed that it does not use.
`ballot` is varied one constant at a time from what it is set to: the order of sizes, what conflict weighs in it, how
far training leans towards small groups, the peak of the learning rate, what training samples weigh when the outputs'
offsets are fitted. Offsets are fitted on one half of the validation part and judged on the other, both ways, over three
divisions; the late epochs are left out. `bifp` has none. --work keeps what every network says, so that a run that was
broken off goes on. The table goes to results/benchmarks/pruning_constants.csv.
"""

import argparse
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from fair_pruning import DATA, NETWORKS, OUT, Unit, dense_of, task_of, write_csv
from provenance import run
from safetensors.numpy import load_file, save_file

from evo_fair.pruning import ballot, bifp, choose, offsets, refine
from evo_fair.pruning.ballot import conflict_scores
from evo_fair.pruning.criteria import CRITERIA
from evo_fair.pruning.offsets import Outputs, even_offsets
from evo_fair.pruning.refine import outputs, tempered_draw, training_log_shares
from evo_fair.pruning.task import Request, Task

FIGURES = ("accuracy", "cwv", "mcd", "degradation_fairness")
SEED, EPSILON, EPOCHS, DENSE_EPOCHS = 10, 0.01, 6, 12


@dataclass(frozen=True)
class Ballot:
    """`ballot`'s constants."""

    size: str = "lamp"
    weight: float = ballot.WEIGHT
    strength: float = refine.STRENGTH
    rate: float = refine.RATE
    training_weight: float = offsets.TRAINING_WEIGHT


@dataclass(frozen=True)
class Bifp:
    """`bifp`'s constants."""

    start: str = bifp.START
    fairness: float = bifp.FAIRNESS
    gain: float = bifp.GAIN
    rate: float = bifp.RATE


SET, SET_BIFP = Ballot(), Bifp()
VARIANTS: tuple[Ballot | Bifp, ...] = (
    SET,
    replace(SET, size="magnitude_l1"),
    *(replace(SET, weight=weight) for weight in (0.0, 0.2)),
    *(replace(SET, strength=strength) for strength in (0.0, 0.75, 1.0)),
    replace(SET, rate=0.3),
    *(replace(SET, training_weight=weight) for weight in (0.0, 1.0)),
    SET_BIFP,
    *(replace(SET_BIFP, fairness=fairness) for fairness in (0.0, 0.05, 1.0)),
    replace(SET_BIFP, rate=1.0),
    replace(SET_BIFP, start="magnitude_l1"),
)


def settings() -> Iterator[Unit]:
    """What every variant is tried on."""
    for data, network in itertools.product(DATA, NETWORKS):
        yield Unit(SEED, data, network, 0.9, "")


def said(variant: Ballot | Bifp, unit: Unit, task: Task, work: Path) -> dict[str, np.ndarray]:
    """Logits of the variant's network on the validation and the training part, from a file where they are there."""
    if isinstance(variant, Ballot):
        variant = replace(variant, training_weight=0.0)  # comes in only afterwards
    values = "-".join(str(value) for value in vars(variant).values())
    path = (
        work / "logits" / f"{unit.data}-{unit.network}-{unit.sparsity:g}-{type(variant).__name__}-{values}.safetensors"
    )
    if not path.exists():
        dense = dense_of(unit, task, work, DENSE_EPOCHS)
        request = Request(unit.sparsity, seed=SEED, epochs=EPOCHS)
        if isinstance(variant, Bifp):
            constants = {name.upper(): value for name, value in vars(variant).items()}
            with mock.patch.multiple(bifp, **constants):
                network = bifp.bifp(dense, task, request).network
        else:
            network, rng = copy.deepcopy(dense.network), request.rng(1)
            structure, samples = task.structure(network), task.natural_samples(rng, 1024)
            size, cosine = (CRITERIA[name](network, structure, samples, rng) for name in (variant.size, "conflict"))
            with mock.patch.object(ballot, "WEIGHT", variant.weight):
                scores = conflict_scores(size, cosine)
            mask = choose(network, structure, scores, unit.sparsity, "unstructured", "global")
            draw = tempered_draw(task.train_groups, variant.strength)
            task.train(network, EPOCHS, SEED, rate=variant.rate, mask=mask, draw=draw)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({part: task.logits(network.eval(), part) for part in ("validation", "train")}, path)
    return load_file(path)


def judged(variant: Ballot | Bifp, unit: Unit, task: Task, work: Path) -> list[tuple[float, ...]]:
    """`FIGURES` on the validation part."""
    logits = said(variant, unit, task, work)
    validation, training = (outputs(task, part, logits[part]) for part in ("validation", "train"))
    dense = task.logits(dense_of(unit, task, work, DENSE_EPOCHS).network, "validation")
    if isinstance(variant, Bifp):
        return [figures(validation.logits, dense, validation)]
    rng, found = np.random.default_rng(SEED), []
    for _ in range(3):
        order = rng.permutation(len(validation.labels))
        for halves in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            one, other = (
                Outputs(validation.logits[half], validation.labels[half], validation.groups[half]) for half in halves
            )
            with mock.patch.object(offsets, "TRAINING_WEIGHT", variant.training_weight):
                best = even_offsets(one, training, training_log_shares(task), 0.0, EPSILON).offsets
            found.append(figures(other.logits + best, dense[halves[1]], other))
    return found


def figures(logits: np.ndarray, dense: np.ndarray, of: Outputs) -> tuple[float, ...]:
    """`FIGURES` of a network's logits beside the dense network's, classes being the groups."""
    right, before = (guess.argmax(1) == of.labels for guess in (logits, dense))
    members = [of.labels == label for label in np.unique(of.labels)]
    by_class, lost = (np.array([one[chosen].mean() for chosen in members]) for one in (right, before * 1.0 - right))
    return float(right.mean()), float(by_class.var()), float(np.ptp(by_class)), float(np.ptp(lost))


def main() -> None:
    """Trains what is missing, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the folder that holds ham10000/ and cifar10/; default EVO_FAIR_DATA")
    parser.add_argument("--work", type=Path, required=True, help="for dense networks and what all networks say")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for variant, unit in itertools.product(VARIANTS, settings()):
        found = np.array(judged(variant, unit, task_of(unit.data, arguments.data), arguments.work)).mean(0)
        row = {"method": type(variant).__name__.lower(), "data": unit.data, "network": unit.network}
        row |= {"sparsity": unit.sparsity, **vars(variant)}
        rows.append(row | dict(zip(FIGURES, found.tolist(), strict=True)))
        print(*rows[-1].values(), flush=True)
    write_csv(OUT / "pruning_constants.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    run(main)
