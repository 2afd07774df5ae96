"""What all spaces ask of genomes before they are read."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Bools, Genomes

__all__ = ["checked_genomes"]


def checked_genomes(
    genomes: npt.ArrayLike, gene_names: Sequence[str], cardinalities: Genomes, free: Bools | None = None
) -> Genomes:
    """Returns `genomes` as int16 `[networks, genes]`; raises `ValueError` naming the first gene out of range.

    `cardinalities` int16 `[genes]` are the numbers of values; genes that are not
    `free`, bool `[genes]`, may be anything.

    Args:
        genomes: The genomes, int16 `[networks, genes]`.
        gene_names: The genes' names.
        cardinalities: How many values each gene takes, int16 `[genes]`.
        free: Which genes may be anything, bool `[genes]`. Default: none.
    """
    array = np.asarray(genomes)
    if array.ndim != 2 or array.shape[1] != len(gene_names) or array.dtype.kind not in "iu":
        raise ValueError(
            f"genomes are integers [networks, {len(gene_names)}], got {array.dtype} {list(array.shape)}: "
            "give one row of genes a network"
        )
    outside = (array < 0) | (array >= cardinalities)
    wrong = np.argwhere(outside if free is None else outside & free)
    if wrong.size:
        network, gene = wrong[0]
        raise ValueError(
            f"gene {gene_names[gene]} of genome {network} is {array[network, gene]}: "
            f"expected 0 to {cardinalities[gene] - 1}"
        )
    return np.ascontiguousarray(array, np.int16)
