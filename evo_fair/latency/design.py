"""Measured networks as a regression: counts of distinct layers, features of those, and unknowns that make prices.

All unknowns are standard normal beforehand. The first of them, those of `SPREAD`, make the logarithms of prices:
overall speed, speeds of compute, memory and calls, and single prices. The others are coefficients of features, which
make the corrections of layers.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array

from evo_fair.arrays import Floats, Int32s, Ints
from evo_fair.errors import ProfileError
from evo_fair.latency.model import likeness
from evo_fair.latency.terms import NETWORK_CALLS, TERMS
from evo_fair.layers import LayerTable

__all__ = [
    "ALL_TERMS",
    "CORRECTION_SPREAD",
    "FEATURES",
    "N_GROUPS",
    "OVERHEAD",
    "PRICED",
    "SCALE",
    "SCALE_SPREAD",
    "SPREAD",
    "USUAL",
    "Design",
    "features_of",
    "make_design",
    "part",
    "price",
    "slopes",
]


TERM_SPREAD = 1.0  # of a price around its group's, in natural logarithms: a factor of e
GROUP_SPREAD = 0.7  # of compute, memory and call prices against each other
SCALE_SPREAD = 5.0  # of a device's speed: left open
CORRECTION_SPREAD = 0.25
FEATURES = 64

ALL_TERMS = (*TERMS, NETWORK_CALLS)
USUAL = np.log([term.usual for term in ALL_TERMS])
_GROUPS = np.array([term.group for term in ALL_TERMS])
N_GROUPS = int(_GROUPS.max()) + 1


SCALE = 0
"""The unknown of overall speed."""


def _spreads() -> Floats:
    """What makes log prices `[terms + 1]` of the unknowns: overall speed, group speeds, single prices."""
    n_terms = len(ALL_TERMS)
    spread = np.zeros((n_terms, 1 + N_GROUPS + n_terms))
    spread[:, SCALE] = SCALE_SPREAD
    spread[np.arange(n_terms), 1 + _GROUPS] = GROUP_SPREAD
    spread[:, 1 + N_GROUPS :] = TERM_SPREAD * np.eye(n_terms)
    return spread


SPREAD = _spreads()
PRICED = SPREAD.shape[1]
"""How many unknowns make prices; the features' coefficients follow."""
OVERHEAD = PRICED - 1
"""The unknown of a network's fixed price."""


@dataclass(frozen=True)
class Design:
    """Measured networks as counts of distinct layers `[networks, rows]`, and the features of those rows.

    Counts are sparse and features few, so that memory grows with the measured layers, never with their square.
    """

    rows: Int32s
    counts: csr_array
    anchors: Int32s
    features: Floats  # [rows, features]
    to_weights: Floats  # [anchors, features]


def make_design(table: LayerTable, features: int = FEATURES) -> Design:
    """The design of networks `[networks, layers, 8]`; raises `ProfileError` for a network without layers."""
    rows, index = np.unique(table.reshape(-1, table.shape[2]), axis=0, return_inverse=True)
    networks = np.repeat(np.arange(table.shape[0]), table.shape[1])
    counts = csr_array((np.ones(index.size), (networks, index.ravel())), shape=(table.shape[0], len(rows)))
    real = np.flatnonzero(rows[:, 0] > 0)
    rows, counts = np.ascontiguousarray(rows[real]), csr_array(counts[:, real])
    layers = np.diff(counts.indptr)
    if not layers.all():
        raise ProfileError(f"network {int(layers.argmin())} of the measurements has no layers: add them")
    anchors = rows[_pivots(rows, features)]
    lower = _lower(anchors)
    to_weights = CORRECTION_SPREAD * solve_triangular(lower.T, np.eye(len(anchors)))
    return Design(rows, counts, anchors, _features(lower, anchors, rows), to_weights)


def part(design: Design, networks: Ints) -> Design:
    """The design of some of its networks, with its anchors and without the layers that only others have."""
    counts = csr_array(design.counts[networks])
    used = np.unique(counts.indices)
    return replace(design, rows=design.rows[used], counts=csr_array(counts[:, used]), features=design.features[used])


def features_of(anchors: Int32s, rows: Int32s) -> Floats:
    """The features `[rows, anchors]` that layers have beside these anchors; their squares add up to 1 at the most.

    What is missing to 1 is how little a layer is like any anchor.
    """
    return _features(_lower(anchors), anchors, rows)


def _lower(anchors: Int32s) -> Floats:
    lower: Floats = np.asarray(np.linalg.cholesky(likeness(anchors, anchors) + 1e-8 * np.eye(len(anchors))))
    return lower


def _features(lower: Floats, anchors: Int32s, rows: Int32s) -> Floats:
    features: Floats = solve_triangular(lower, likeness(anchors, rows), lower=True).T
    return features


def _pivots(rows: Int32s, features: int) -> list[int]:
    """The rows that a Cholesky factorisation with complete pivoting takes first: those least like any before them.

    Only the columns of the likeness `[rows, rows]` that are taken are ever computed; its diagonal is 1.
    """
    left = np.ones(len(rows))
    factor = np.zeros((len(rows), min(features, len(rows))))
    chosen: list[int] = []
    for j in range(factor.shape[1]):
        pivot = int(left.argmax())
        if left[pivot] < 1e-3:
            break
        chosen.append(pivot)
        column = likeness(rows, rows[pivot : pivot + 1])[:, 0]
        factor[:, j] = (column - factor[:, :j] @ factor[pivot, :j]) / np.sqrt(left[pivot])
        left = np.maximum(left - factor[:, j] ** 2, 0.0)
    return chosen


def price(design: Design, terms: Floats, unknowns: Floats) -> tuple[Floats, Floats, float]:
    """Milliseconds by distinct layer and term, their sum by layer, and the fixed milliseconds of a network.

    `terms` are the counts of work of the design's rows `[rows, terms]`.
    """
    prices = np.exp(np.clip(USUAL + SPREAD @ unknowns[:PRICED], -40.0, 40.0))
    factor = np.exp(np.clip(CORRECTION_SPREAD * (design.features @ unknowns[PRICED:]), -4.0, 4.0))
    worked = terms * (1e-6 * prices[:-1] * factor[:, None])
    return worked, worked.sum(axis=1), float(1e-6 * prices[-1])


def slopes(design: Design, terms: Floats, unknowns: Floats) -> tuple[Floats, Floats]:
    """Milliseconds of the networks `[networks]`, and their slope along each unknown `[networks, unknowns]`."""
    worked, by_layer, fixed = price(design, terms, unknowns)
    by_price = np.column_stack([design.counts @ worked, np.full(design.counts.shape[0], fixed)])
    by_feature = CORRECTION_SPREAD * (design.counts @ (by_layer[:, None] * design.features))
    return by_price.sum(axis=1), np.hstack([by_price @ SPREAD, by_feature])
