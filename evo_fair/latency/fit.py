"""Fits the latency model to measured networks: positive prices and corrections, as a regularised least squares.

Unknowns are standard normal beforehand (Bayesian linear regression in the logarithm of prices; Rasmussen and Williams
2006, chapter 2, for the corrections, of which pivoted Cholesky factors keep the strongest features). Whatever the
measurements leave open therefore stays at the usual prices, moved with the rest of its group, and the more networks
there are the less that weighs. All constants below hold for every device; only the noise and the block of channels are
chosen among `NOISES` and `BLOCKS`, by the error of leaving out one of the networks that are fitted (ibid., 5.4.2). Of
more than `CHOSEN_ON` networks so many choose, and all are fitted from there.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evo_fair.arrays import Bools, Floats, Int32s
from evo_fair.errors import ProfileError
from evo_fair.latency.design import (
    ALL_TERMS,
    PRICED,
    SCALE_SPREAD,
    SPREAD,
    USUAL,
    Design,
    make_design,
    part,
    price,
    slopes,
)
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import Model, make_model
from evo_fair.latency.terms import layer_terms

__all__ = [
    "FEWEST_NETWORKS",
    "HUBER",
    "ROUNDS",
    "SETTLED",
    "Fit",
    "Solution",
    "finish",
    "fit_model",
    "huber_weights",
    "solve",
]

FEWEST_NETWORKS = 8

NOISES = (0.03, 0.06, 0.12)  # relative; what measurements scatter by around any model of this form
BLOCKS = (8, 16)  # the second has to be better by `CLEARLY`: most widths are multiples of both
CLEARLY = 0.8
HUBER = 1.5  # residuals above this many times the noise count linearly: measurements have outliers
CHOSEN_ON = 500
ROUNDS = 60
SETTLED = 1e-4  # relative gain of a round at which the fit ends


@dataclass(frozen=True)
class Fit:
    """A fitted model, its anchors as layers, and the names of terms that no measured layer exercises.

    `covariance` is that of the unknowns after the fit, `[unknowns, unknowns]`, and `noise` what was chosen.
    """

    model: Model
    prices: dict[str, float]
    anchors: Int32s
    weights: Floats
    never_measured: tuple[str, ...]
    covariance: Floats
    noise: float


@dataclass(frozen=True)
class Solution:
    """The unknowns of a fit, their covariance, and the mean relative error of leaving one network out."""

    unknowns: Floats
    covariance: Floats
    left_out: float


def fit_model(measured: Measurements, bytes_per_value: float = 4.0) -> Fit:
    """Fits prices and corrections to measured networks; raises `ProfileError` when there are fewer than 8."""
    if len(measured.names) < FEWEST_NETWORKS:
        raise ProfileError(
            f"{len(measured.names)} measured networks are too few to fit a profile: measure at least {FEWEST_NETWORKS}"
        )
    with threadpool_limits(limits=1):  # the systems are small: more threads cost more than they save
        return _fit(measured, bytes_per_value)


def _fit(measured: Measurements, bytes_per_value: float) -> Fit:
    design = make_design(measured.table)
    networks = len(measured.names)
    chosen = np.arange(networks)
    if networks > CHOSEN_ON:
        chosen = np.sort(np.random.default_rng(0).permutation(networks)[:CHOSEN_ON])
    choosing = design if len(chosen) == networks else part(design, chosen)
    found: list[tuple[float, int, float, Solution]] = []
    for block, handicap in zip(BLOCKS, (1.0, 1.0 / CLEARLY), strict=True):
        terms = layer_terms(choosing.rows[:, None], bytes_per_value, block)[:, 0]
        for noise in NOISES:
            solution = solve(choosing, terms, measured.latency_ms[chosen], noise)
            found.append((solution.left_out * handicap, block, noise, solution))
    _, block, noise, solution = min(found, key=lambda one: one[0])
    terms = layer_terms(design.rows[:, None], bytes_per_value, block)[:, 0]
    if choosing is not design:
        solution = solve(design, terms, measured.latency_ms, noise, solution.unknowns)
    exercised = np.append(terms.any(axis=0), True)
    return finish(design, solution.unknowns, solution.covariance, exercised, bytes_per_value, block, noise)


def finish(
    design: Design,
    unknowns: Floats,
    covariance: Floats,
    exercised: Bools,
    bytes_per_value: float,
    block: int,
    noise: float,
) -> Fit:
    """The fit that unknowns come to; `exercised` says which terms, bool `[terms + 1]`, measured layers have."""
    prices = np.exp(USUAL + SPREAD @ unknowns[:PRICED])
    weights = design.to_weights @ unknowns[PRICED:]
    return Fit(
        make_model(prices[:-1], float(prices[-1]), bytes_per_value, block, design.anchors, weights),
        {term.name: float(price) for term, price in zip(ALL_TERMS, prices, strict=True)},
        design.anchors,
        weights,
        tuple(term.name for term, seen in zip(ALL_TERMS, exercised, strict=True) if not seen),
        covariance,
        noise,
    )


def huber_weights(residual: Floats, noise: float) -> Floats:
    """The weights by which residuals beyond `HUBER` times the noise count linearly, as `residual`."""
    weights: Floats = 1.0 / np.maximum(1.0, np.abs(residual) / (HUBER * noise))
    return weights


def solve(design: Design, terms: Floats, measured: Floats, noise: float, start: Floats | None = None) -> Solution:
    """Damped Gauss-Newton with Huber weights, from `start` or from usual prices.

    A round costs as much as there are measured layers: its system has a row an unknown, never a row a network.
    """

    def misfit(z: Floats, weights: Floats) -> float:
        _, by_layer, fixed = price(design, terms, z)
        residual = 1.0 - (design.counts @ by_layer + fixed) / measured
        return float((weights * residual**2).sum() / noise**2 + z @ z)

    z = np.zeros(PRICED + design.features.shape[1])
    if start is None:
        _, by_layer, fixed = price(design, terms, z)
        z[0] = np.median(np.log(measured / (design.counts @ by_layer + fixed))) / SCALE_SPREAD
    else:
        z[:] = start
    for _ in range(ROUNDS):
        predicted, slope = slopes(design, terms, z)
        slope /= measured[:, None]
        residual = 1.0 - predicted / measured
        weights = huber_weights(residual, noise)
        certainty = np.sqrt(weights) / noise  # what makes the noise of every row 1
        slope, target = slope * certainty[:, None], (residual + slope @ z) * certainty
        system = cho_factor(slope.T @ slope + np.eye(len(z)))
        solved = cho_solve(system, slope.T @ target)
        step = solved - z
        before, length = misfit(z, weights), 1.0
        while length > 1e-3 and (after := misfit(z + length * step, weights)) > before:
            length /= 2
        z = z + length * step
        if before - after < SETTLED * before:
            break
    covariance = cho_solve(system, np.eye(len(z)))
    leverage = (slope * cho_solve(system, slope.T).T).sum(axis=1)
    left_out = (target - slope @ solved) / certainty / (1.0 - leverage)
    return Solution(z, covariance, float(np.abs(left_out).mean()))
