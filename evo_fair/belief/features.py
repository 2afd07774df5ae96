"""What is known of networks without evaluating them, as columns of numbers: their costs and their genes."""

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats

__all__ = ["gene_features", "size_features", "standardised"]


_LEAST_SPREAD = 1e-9
"""Columns that vary by less, beside their size, say nothing."""


def size_features(costs: npt.ArrayLike) -> Floats:
    """Logarithms of costs `[networks, costs]`, none negative, standardised; costs that are all the same are left out.

    From 1 to 2 ms is as far as from 20 to 40.
    """
    return standardised(np.log1p(np.asarray(costs, np.float64)))


def gene_features(genomes: npt.ArrayLike, cardinalities: npt.ArrayLike, ordered: npt.ArrayLike) -> Floats:
    """What genomes `[networks, genes]` say, gene by gene: `[networks, columns]`, each column's mean 0.

    A category has a column a value, an ordered gene a column a step (1 from that value on), so that neighbours share
    what is learnt of either. All are scaled alike: the mean of the rows' squared lengths is 1, and a weight's variance
    is that of what genes add up to.
    """
    genes = np.asarray(genomes, np.int64)
    columns = []
    for gene, (count, has_order) in enumerate(zip(np.asarray(cardinalities), np.asarray(ordered), strict=True)):
        values = np.arange(int(has_order), int(count))
        own = genes[:, gene, None]
        columns.append(own >= values if has_order else own == values)
    features = np.concatenate([np.empty((len(genes), 0)), *columns], axis=1).astype(np.float64)
    features = features[:, np.ptp(features, axis=0) > 0]
    features -= features.mean(axis=0)
    length = np.sqrt((features**2).sum(axis=1).mean()) if features.size else 0.0
    return np.asarray(features / length) if length > 0 else features


def standardised(columns: Floats) -> Floats:
    """Columns `[n, columns]` less their mean, by their standard deviation, without those that don't vary."""
    spread = columns.std(axis=0)
    kept = spread > _LEAST_SPREAD * np.maximum(np.abs(columns).max(axis=0, initial=0.0), 1e-300)
    return np.asarray((columns[:, kept] - columns[:, kept].mean(axis=0)) / spread[kept])
