"""A small space and an evaluator that makes counts from genomes alone, for tests of the search."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evo_fair.evolution import SearchPlan, resolve, resolve_constraints
from evo_fair.fairness import Counts
from evo_fair.files import digest
from evo_fair.layers import LayerTable, Op

Genomes = npt.NDArray[np.int16]

SEX, CLASS = ("female", "male"), ("cat", "dog", "owl")


class FakeSpace:
    """Six genes, 4 * 5 * 3 * 2 * 3 * 1 combinations; kind 0 has no kernel: 3 * 5 * 3 * 2 * 3 + 5 * 3 * 3 networks."""

    gene_names = ("kind", "width", "depth", "kernel", "activation", "fixed")
    size = 315

    def __init__(self) -> None:
        self.cardinalities = np.array([4, 5, 3, 2, 3, 1], np.int16)
        self.ordered = np.array([False, True, True, True, False, True])

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        return self.canonical(rng.integers(0, self.cardinalities, (n, 6), dtype=np.int16))

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        form = np.array(genomes, np.int16)
        if ((form < 0) | (form >= self.cardinalities)).any():
            raise ValueError("a gene is out of range")
        form[form[:, 0] == 0, 3] = 0
        return form

    def decode(self, genomes: npt.ArrayLike) -> LayerTable:
        genomes = np.asarray(genomes)
        table = np.zeros((len(genomes), 3, 8), np.int32)
        for network, (kind, width, depth, kernel, _, _) in enumerate(genomes):
            channels = 8 * (int(width) + 1)
            for layer in range(int(depth) + 1):
                table[network, layer] = (Op.CONV, channels, channels, 3 + 2 * kernel, 1, 1, 8 + kind, 8)
        return table

    def ids(self, genomes: npt.ArrayLike) -> list[str]:
        return [digest(row.tobytes())[:12] for row in self.canonical(genomes)]


class FakeEvaluator:
    """Larger networks err less; the kind decides how unfair they are. Remembers every genome that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def evaluate(self, genomes: Genomes) -> Mapping[str, Counts]:
        self.asked += [tuple(genome) for genome in genomes.tolist()]
        sex, by_class = [], []
        for kind, width, depth, kernel, activation, _ in genomes.tolist():
            rng = np.random.default_rng([kind, width, depth, kernel, activation])
            share = 0.5 + 0.07 * width + 0.05 * depth + 0.02 * kernel
            predicted = np.zeros((2, 3, 3), np.int64)
            for group in range(2):
                for label in range(3):
                    total = 60 + 20 * group
                    right = min(int(total * (share - 0.04 * group * kind) + rng.integers(0, 4)), total)
                    predicted[group, label, (label + 1) % 3] = total - right
                    predicted[group, label, label] = right
            sex.append(predicted)
            by_class.append(np.stack([np.diag(np.eye(3, dtype=np.int64)[i]) @ predicted.sum(0) for i in range(3)]))
        rest = np.zeros((len(genomes), 3, 3), np.int64)
        return {
            "sex": Counts(np.array(sex).reshape(-1, 2, 3, 3), rest, SEX, CLASS, (1,)),
            "class": Counts(np.array(by_class).reshape(-1, 3, 3, 3), rest, CLASS, CLASS, (1,)),
        }


def fake_latency(table: LayerTable) -> npt.NDArray[np.float64]:
    """Milliseconds, from 0.3 to 9.2."""
    return (table[:, :, 1] * table[:, :, 3] ** 2).sum(axis=1) / 327.0 + table[:, 0, 6] / 100.0


GOALS = resolve(["error", "unfairness", "latency_ms"], fake_latency, "a board")


def make_plan(
    *constraints: str, objectives: tuple[str, ...] = ("error", "unfairness", "latency_ms"), **rest
) -> SearchPlan:
    options = {"budget": 60, "population": 12, "seed": 0, "group": "sex"} | rest
    return SearchPlan(
        objectives=resolve(objectives, fake_latency, "a board"),
        constraints=resolve_constraints(constraints, fake_latency, "a board"),
        also=resolve(["params", "macs"]),
        **options,
    )
