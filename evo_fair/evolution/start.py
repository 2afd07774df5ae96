"""The first generation of an evolution: genomes spread from the cheapest networks to the costliest."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.objectives import Objective

__all__ = ["Initial", "spread_sample"]

Initial = Literal["spread", "random", "known"]
"""How a search begins: with genomes of all sizes, as the space samples them (as all runs once did), or with the genomes
that the space says are worth a look, beside genomes of all sizes."""

_CANDIDATES = 20
"""Candidates for each genome that is wanted; they cost no evaluation."""

_SKEW = 20.0
"""How far a gene's distribution leans at most: the exponent goes from 1 / 20 (nearly always large) to 20."""


def spread_sample(space: Space, rng: np.random.Generator, n: int, objectives: Sequence[Objective]) -> Genomes:
    """Canonical genomes that lie evenly in the logarithm of the first cheap objective.

    Genomes whose genes are all drawn uniformly are nearly all of one size, as sums of
    many draws are. Here each candidate leans to small or to large values in all its
    ordered genes, by an amount of its own, and of many candidates those are taken that
    lie next to even steps between the smallest and the largest. Without a cheap
    objective the first candidates are taken as they are.

    Args:
        space: The space.
        rng: The Generator to draw with.
        n: How many genomes.
        objectives: The objectives of the search.

    Returns:
        int16 `[n, genes]`.
    """
    cheap = next((goal for goal in objectives if goal.cheap), None)
    candidates = _leaning(space, rng, n if cheap is None else n * _CANDIDATES)
    if cheap is None:
        return candidates
    values = np.asarray(cheap.measure(space.decode(candidates)), np.float64)
    if np.isfinite(values).all() and (values > 0).all():
        values = np.log(values)
    chosen: list[int] = []
    free = np.ones(len(candidates), np.bool_)
    for step in np.linspace(values.min(), values.max(), n):
        nearest = int(np.where(free, np.abs(values - step), np.inf).argmin())
        free[nearest] = False
        chosen.append(nearest)
    return candidates[chosen]


def _leaning(space: Space, rng: np.random.Generator, n: int) -> Genomes:
    """Ordered genes as floor(u^k * cardinality), u uniform, with one k a genome; categories uniform."""
    exponents = _SKEW ** rng.uniform(-1.0, 1.0, (n, 1))
    uniform = rng.random((n, len(space.cardinalities)))
    places = np.where(space.ordered, uniform**exponents, uniform)
    genes = np.minimum((places * space.cardinalities).astype(np.int16), space.cardinalities - 1)
    return space.canonical(genes.astype(np.int16))
