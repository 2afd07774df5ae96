"""Genomes and ids that come from a file: held to the space that they are said to be of."""

from collections.abc import Sequence

import numpy as np

from evo_fair.errors import in_a_line, quote
from evo_fair.evolution.evaluator import Space

__all__ = ["wrong_network"]


def wrong_network(space: Space, ids: Sequence[str], genomes: Sequence[Sequence[int]]) -> tuple[int, str] | None:
    """The first network that is none of a space.

    A network's genome has the space's genes in canonical form, and its id is the one
    that the space gives it.

    Args:
        space: The space.
        ids: The networks' ids.
        genomes: Their genes.

    Returns:
        Its place, and what is wrong with it; None where all are right.
    """
    genes = len(space.gene_names)
    for place, genome in enumerate(genomes):
        if len(genome) != genes:
            return place, f"its genome has {len(genome)} genes, and the space {genes}"
        if fault := next((gene for gene in genome if not 0 <= gene < 2**15), None):
            return place, f"its genome has a gene {quote(fault)}, which the space has not"
    if not genomes:
        return None
    array = np.array(genomes, np.int16)
    try:
        canonical, own = space.canonical(array), space.ids(array)
    except ValueError:  # of one of them; which, it says when they are asked one by one
        for place in range(len(array)):
            try:
                space.canonical(array[place][None])
            except ValueError as reason:
                return place, in_a_line(reason)
        raise
    wrong = (canonical != array).any(axis=1) | (np.array(own, object) != np.array(ids, object))
    if not wrong.any():
        return None
    place = int(wrong.argmax())
    return place, f"its id {quote(ids[place])} is not that of its genome, {own[place]}"
