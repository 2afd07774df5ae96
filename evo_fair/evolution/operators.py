"""Variation of genomes as pymoo operators: uniform crossover, and a mutation that knows ordered genes."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.mutation import Mutation
from pymoo.operators.crossover.ux import UniformCrossover

from evo_fair.evolution.evaluator import Genomes, Space

__all__ = ["GeneMutation", "gene_crossover", "mutate"]

_LONGER_STEP = 0.25
"""How likely an ordered gene's step goes one further, and again one further."""


def mutate(
    genomes: Genomes,
    cardinalities: npt.NDArray[np.int16],
    ordered: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> Genomes:
    """Changes each gene with probability 1 / genes, and at least one gene of every genome.

    A categorical gene takes another of its values, all equally likely; an ordered one
    steps up or down, mostly by one and stopping at its ends. Genes with a single value
    stay. Only a genome without any other gene comes back as it was.

    Args:
        genomes: int16 `[networks, genes]`.
        cardinalities: How many values each gene takes, int16 `[genes]`.
        ordered: Whether neighbouring values mean neighbouring networks, bool `[genes]`.
        rng: The Generator to draw with.

    Returns:
        int16 `[networks, genes]`.
    """
    changeable = np.flatnonzero(cardinalities > 1)
    if not changeable.size or not len(genomes):
        return genomes.copy()
    counts = cardinalities.astype(np.int64)
    values = genomes.astype(np.int64)

    chosen = rng.random(values.shape) < 1.0 / changeable.size
    chosen &= counts > 1
    sure = changeable[rng.integers(changeable.size, size=len(values))]
    idle = ~chosen.any(axis=1)
    chosen[idle, sure[idle]] = True

    other = (values + rng.integers(1, np.maximum(counts, 2), size=values.shape)) % counts
    step = rng.geometric(1.0 - _LONGER_STEP, size=values.shape) * rng.choice([-1, 1], size=values.shape)
    stepped = np.clip(values + step, 0, counts - 1)
    stepped = np.where(stepped == values, np.clip(values - step, 0, counts - 1), stepped)
    return np.where(chosen, np.where(ordered, stepped, other), values).astype(np.int16)


class GeneMutation(Mutation):  # type: ignore[misc]
    """`mutate` as pymoo's operator; one offspring in ten stays as crossover left it."""

    def __init__(self, space: Space) -> None:
        super().__init__(prob=0.9)
        self.cardinalities = space.cardinalities
        self.ordered = space.ordered

    def _do(self, _problem: Any, X: Genomes, *, random_state: np.random.Generator, **_: Any) -> Genomes:  # noqa: N803
        return mutate(X, self.cardinalities, self.ordered, random_state)


def gene_crossover() -> UniformCrossover:
    """pymoo's uniform crossover: every gene comes from either parent, whatever its values mean."""
    return UniformCrossover(prob=0.9)
