"""Fits the latency model to measured networks: positive prices and corrections, as a regularised least squares.

Unknowns are standard normal beforehand (Bayesian linear regression in the logarithm of prices; Rasmussen and Williams
2006, chapter 2, for the corrections, of which pivoted Cholesky factors keep the strongest features). Whatever the
measurements leave open therefore stays at the usual prices, moved with the rest of its group, and the more networks
there are the less that weighs. All constants below hold for every device; only the noise and the block of channels are
chosen among `NOISES` and `BLOCKS`, by the error of leaving out one of the networks that are fitted (ibid., 5.4.2). Of
more than `CHOSEN_ON` networks so many choose, and all are fitted from there.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evo_fair.errors import ProfileError
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import Model, likeness, make_model
from evo_fair.latency.terms import NETWORK_CALLS, TERMS, layer_terms
from evo_fair.layers import LayerTable

__all__ = ["FEWEST_NETWORKS", "Fit", "fit_model"]

FEWEST_NETWORKS = 8

NOISES = (0.03, 0.06, 0.12)  # relative; what measurements scatter by around any model of this form
TERM_SPREAD = 1.0  # of a price around its group's, in natural logarithms: a factor of e
GROUP_SPREAD = 0.7  # of compute, memory and call prices against each other
SCALE_SPREAD = 5.0  # of a device's speed: left open
CORRECTION_SPREAD = 0.25
BLOCKS = (8, 16)  # the second has to be better by `CLEARLY`: most widths are multiples of both
CLEARLY = 0.8
HUBER = 1.5  # residuals above this many times the noise count linearly: measurements have outliers
FEATURES = 64
CHOSEN_ON = 500
_ROUNDS = 60
_SETTLED = 1e-4  # relative gain of a round at which the fit ends

Floats = npt.NDArray[np.float64]
_ALL_TERMS = (*TERMS, NETWORK_CALLS)
_USUAL = np.log([term.usual for term in _ALL_TERMS])
_GROUPS = np.array([term.group for term in _ALL_TERMS])


@dataclass(frozen=True)
class Fit:
    """A fitted model, its anchors as layers, and the names of terms that no measured layer exercises."""

    model: Model
    prices: dict[str, float]
    anchors: npt.NDArray[np.int32]
    weights: Floats
    never_measured: tuple[str, ...]


@dataclass(frozen=True)
class _Design:
    """Measured networks as counts of distinct layers `[networks, rows]`, and the features of those rows.

    Counts are sparse and features few, so that memory grows with the measured layers, never with their square.
    """

    rows: npt.NDArray[np.int32]
    counts: csr_array
    anchors: npt.NDArray[np.int32]
    features: Floats  # [rows, features]
    to_weights: Floats  # [anchors, features]


def fit_model(measured: Measurements, bytes_per_value: float = 4.0) -> Fit:
    """Fits prices and corrections to measured networks; raises `ProfileError` when there are fewer than 8."""
    if len(measured.names) < FEWEST_NETWORKS:
        raise ProfileError(
            f"{len(measured.names)} measured networks are too few to fit a profile: measure at least {FEWEST_NETWORKS}"
        )
    with threadpool_limits(limits=1):  # the systems are small: more threads cost more than they save
        return _fit(measured, bytes_per_value)


def _fit(measured: Measurements, bytes_per_value: float) -> Fit:
    design = _design(measured.table)
    networks = len(measured.names)
    chosen = np.arange(networks)
    if networks > CHOSEN_ON:
        chosen = np.sort(np.random.default_rng(0).permutation(networks)[:CHOSEN_ON])
    choosing = design if len(chosen) == networks else _part(design, chosen)
    found: list[tuple[float, int, float, Floats]] = []
    for block, handicap in zip(BLOCKS, (1.0, 1.0 / CLEARLY), strict=True):
        terms = layer_terms(choosing.rows[:, None], bytes_per_value, block)[:, 0]
        for noise in NOISES:
            unknowns, error = _solve(choosing, terms, measured.latency_ms[chosen], noise)
            found.append((error * handicap, block, noise, unknowns))
    _, block, noise, unknowns = min(found, key=lambda solution: solution[0])
    terms = layer_terms(design.rows[:, None], bytes_per_value, block)[:, 0]
    if choosing is not design:
        unknowns, _ = _solve(design, terms, measured.latency_ms, noise, unknowns)
    prices, beta = np.exp(_USUAL + _SPREAD @ unknowns[: _SPREAD.shape[1]]), unknowns[_SPREAD.shape[1] :]
    weights = design.to_weights @ beta
    exercised = np.append(terms.any(axis=0), True)
    return Fit(
        make_model(prices[:-1], float(prices[-1]), bytes_per_value, block, design.anchors, weights),
        {term.name: float(price) for term, price in zip(_ALL_TERMS, prices, strict=True)},
        design.anchors,
        weights,
        tuple(term.name for term, seen in zip(_ALL_TERMS, exercised, strict=True) if not seen),
    )


def _design(table: LayerTable) -> _Design:
    rows, index = np.unique(table.reshape(-1, table.shape[2]), axis=0, return_inverse=True)
    networks = np.repeat(np.arange(table.shape[0]), table.shape[1])
    counts = csr_array((np.ones(index.size), (networks, index.ravel())), shape=(table.shape[0], len(rows)))
    real = np.flatnonzero(rows[:, 0] > 0)
    rows, counts = np.ascontiguousarray(rows[real]), csr_array(counts[:, real])
    layers = np.diff(counts.indptr)
    if not layers.all():
        raise ProfileError(f"network {int(layers.argmin())} of the measurements has no layers: add them")
    anchors = rows[_pivots(rows)]
    lower = np.linalg.cholesky(likeness(anchors, anchors) + 1e-8 * np.eye(len(anchors)))
    features = solve_triangular(lower, likeness(anchors, rows), lower=True).T
    to_weights = CORRECTION_SPREAD * solve_triangular(lower.T, np.eye(len(anchors)))
    return _Design(rows, counts, anchors, features, to_weights)


def _part(design: _Design, networks: npt.NDArray[np.int64]) -> _Design:
    """The design of some of its networks, with its anchors and without the layers that only others have."""
    counts = csr_array(design.counts[networks])
    used = np.unique(counts.indices)
    return replace(design, rows=design.rows[used], counts=csr_array(counts[:, used]), features=design.features[used])


def _pivots(rows: npt.NDArray[np.int32]) -> list[int]:
    """The rows that a Cholesky factorisation with complete pivoting takes first: those least like any before them.

    Only the columns of the likeness `[rows, rows]` that are taken are ever computed; its diagonal is 1.
    """
    left = np.ones(len(rows))
    factor = np.zeros((len(rows), min(FEATURES, len(rows))))
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


def _spreads() -> Floats:
    """What makes log prices `[terms + 1]` of the unknowns: overall speed, group speeds, single prices."""
    n_terms, n_groups = len(_ALL_TERMS), int(_GROUPS.max()) + 1
    spread = np.zeros((n_terms, 1 + n_groups + n_terms))
    spread[:, 0] = SCALE_SPREAD
    spread[np.arange(n_terms), 1 + _GROUPS] = GROUP_SPREAD
    spread[:, 1 + n_groups :] = TERM_SPREAD * np.eye(n_terms)
    return spread


_SPREAD = _spreads()


def _solve(
    design: _Design, terms: Floats, measured: Floats, noise: float, start: Floats | None = None
) -> tuple[Floats, float]:
    """The unknowns: those that `_SPREAD` makes prices of, then the features' coefficients; and the mean relative error
    of leaving one out.

    Damped Gauss-Newton with Huber weights. All unknowns `z` are standard normal beforehand: overall speed, group
    speeds, single prices, features. A round costs as much as there are measured layers: its system has a row an
    unknown, never a row a network.
    """
    n_priced = _SPREAD.shape[1]

    def priced(z: Floats) -> tuple[Floats, Floats, float]:
        """Milliseconds by distinct layer and term, their sum by layer, and the fixed milliseconds of a network."""
        prices = np.exp(np.clip(_USUAL + _SPREAD @ z[:n_priced], -40.0, 40.0))
        factor = np.exp(np.clip(CORRECTION_SPREAD * (design.features @ z[n_priced:]), -4.0, 4.0))
        worked = terms * (1e-6 * prices[:-1] * factor[:, None])
        return worked, worked.sum(axis=1), float(1e-6 * prices[-1])

    def misfit(z: Floats, weights: Floats) -> float:
        _, by_layer, fixed = priced(z)
        residual = 1.0 - (design.counts @ by_layer + fixed) / measured
        return float((weights * residual**2).sum() / noise**2 + z @ z)

    z = np.zeros(n_priced + design.features.shape[1])
    if start is None:
        _, by_layer, fixed = priced(z)
        z[0] = np.median(np.log(measured / (design.counts @ by_layer + fixed))) / SCALE_SPREAD
    else:
        z[:] = start
    for _ in range(_ROUNDS):
        worked, by_layer, fixed = priced(z)
        by_price = np.column_stack([design.counts @ worked, np.full(len(measured), fixed)])
        by_feature = CORRECTION_SPREAD * (design.counts @ (by_layer[:, None] * design.features))
        slope = np.hstack([by_price @ _SPREAD, by_feature]) / measured[:, None]
        residual = 1.0 - by_price.sum(axis=1) / measured
        weights = 1.0 / np.maximum(1.0, np.abs(residual) / (HUBER * noise))
        certainty = np.sqrt(weights) / noise  # what makes the noise of every row 1
        slope, target = slope * certainty[:, None], (residual + slope @ z) * certainty
        system = cho_factor(slope.T @ slope + np.eye(len(z)))
        solved = cho_solve(system, slope.T @ target)
        step = solved - z
        before, length = misfit(z, weights), 1.0
        while length > 1e-3 and (after := misfit(z + length * step, weights)) > before:
            length /= 2
        z = z + length * step
        if before - after < _SETTLED * before:
            break
    leverage = (slope * cho_solve(system, slope.T).T).sum(axis=1)
    left_out = (target - slope @ solved) / certainty / (1.0 - leverage)
    return z, float(np.abs(left_out).mean())
