"""New genomes for a generation: a strategy's proposals without the known ones, filled up as long as there are any."""

import math
from collections.abc import Container
from typing import NamedTuple

import numpy as np

from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.operators import mutate
from evo_fair.evolution.strategy import Strategy

__all__ = ["Proposals", "fresh_genomes", "new_candidates"]

_ROUNDS = 8
"""How often a strategy is asked again for what was known, and then how often samples and mutants are drawn."""

_LISTED = 1 << 16
"""A space of at most this many genomes is gone through one by one before it counts as exhausted."""


class Proposals(NamedTuple):
    """A generation's new genomes, canonical and all different, int16 `[networks, genes]`, and what else was proposed.

    `known` are the ids of the known networks that the strategy proposed, once each and in order; `drawn` is how many of
    the new ones were drawn at random, for want of new proposals.
    """

    new: Genomes
    known: tuple[str, ...]
    drawn: int


def fresh_genomes(
    strategy: Strategy,
    space: Space,
    rng: np.random.Generator,
    n: int,
    known: Container[str],
    first: Genomes | None = None,
) -> Proposals:
    """New genomes that a strategy proposes.

    Args:
        strategy: The strategy.
        space: The space.
        rng: The Generator of the search.
        n: The most genomes.
        known: The ids of networks that are known.
        first: Genomes that come before those of the strategy, and on top of `n`, int16
            `[first, genes]`. Default: none.

    Returns:
        The proposals. None at all means that the space is exhausted, or that no new
        genome was found in many draws.
    """
    found: dict[str, Genomes] = {}
    again: dict[str, None] = {}

    def keep(genomes: Genomes) -> list[str]:
        canonical = space.canonical(genomes)
        names = space.ids(canonical)
        for name, genome in zip(names, canonical, strict=True):
            if len(found) < n and name not in known:
                found.setdefault(name, genome)
        return names

    proposed = np.empty((0, len(space.gene_names)), np.int16)
    if first is not None and len(first):
        n += len(first)
        keep(first)
    for _ in range(_ROUNDS):
        if len(found) < n:
            proposed = strategy.ask(n - len(found))
            again |= dict.fromkeys(name for name in keep(proposed) if name in known)
    proposals = len(found)
    for _ in range(_ROUNDS):
        if len(found) < n:
            keep(np.concatenate([mutate(proposed, space.cardinalities, space.ordered, rng), space.sample(rng, n)]))
    if len(found) < n and (genomes := _all_genomes(space)) is not None:
        keep(rng.permutation(genomes))
    new = np.array(list(found.values()), np.int16).reshape(len(found), len(space.gene_names))
    return Proposals(new, tuple(again), len(found) - proposals)


def new_candidates(
    space: Space, front: Genomes, known: Genomes, rng: np.random.Generator, children: int, samples: int
) -> Genomes:
    """Candidates for a model to choose from: children of a `front` and samples of the space, none of them `known`.

    Canonical and all different, int16 `[candidates, genes]`; at most `children` and `samples`, fewer where they repeat.
    `front` and `known` are canonical genomes.
    """
    parents = front[rng.integers(len(front), size=(2, children))]
    swapped = rng.random(parents.shape[1:]) < 0.5
    swapped &= rng.random((children, 1)) < 0.5  # the others are mutants of one parent
    born = np.where(swapped, parents[0], parents[1])
    for share in (1.0, 0.5):  # half of them twice: near the front most single steps are known soon
        chosen = rng.random((children, 1)) < share
        mutants = mutate(born, space.cardinalities, space.ordered, rng)
        born = np.where(chosen, mutants, born)
    drawn = space.canonical(np.concatenate([born, space.sample(rng, samples)]))
    different = np.unique(drawn, axis=0)
    there = {genome.tobytes() for genome in known}
    return different[[genome.tobytes() not in there for genome in different]]


def _all_genomes(space: Space) -> Genomes | None:
    """Every combination of gene values, canonical or not; None if they are too many to list."""
    changeable = np.flatnonzero(space.cardinalities > 1)
    sizes = [int(size) for size in space.cardinalities[changeable]]
    total = math.prod(sizes)
    if total > _LISTED:
        return None
    genomes = np.zeros((total, len(space.gene_names)), np.int16)
    if sizes:
        genomes[:, changeable] = np.indices(sizes, np.int16).reshape(len(sizes), total).T
    return genomes
