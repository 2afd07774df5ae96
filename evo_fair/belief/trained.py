"""What trainings say of all networks: a regression of trained results on size and on what frozen scores say.

The model of the trained results y of one objective, on the same scale as the frozen scores, is one of two:

    y = a + size d + curve(size)                                      + w + seed + sampling
    y = a + b trend + size d + g genes + h own + delta                + w + seed + sampling

The first is size alone: a plane over the logarithms of multiply-accumulates and parameters, which may bend. What
networks gain by size gets less the larger they are, and without the bend that would look like something that sets
networks of one size apart. The curve is a spline, which goes on straight beyond the trained networks. In the second,
`trend`, `genes` and `own` are what frozen scores were taken apart into (`frozen.py`), and delta is what genes say that
frozen scores don't. w is a network's own. All coefficients have normal priors, so that results are a Gaussian process
in the end (Kennedy and O'Hagan 2000). Neither which model nor which variances hold is decided: all combinations of a
grid are averaged by how well they explain the results (Hoeting et al. 1999). Size alone has nine tenths of the prior
weight: to believe in more asks for results that are ten times as likely by it, which counts as strong evidence (Kass
and Raftery 1995). Where frozen scores and genes don't help, the first outweighs the second, and size alone is left.

The constants below were chosen on NAS-Bench-Macro with the frozen scores of 300 of its networks, 30 draws of 4, 8 and
16 trainings. That size alone needs a model of its own was seen on the 16 networks of
`results/benchmarks/proxy_fidelity`, whose results are nearly all noise; that it bends, and goes by parameters, too, on
the 24 networks of `results/benchmarks/search_gain/cifar10` (validation part), where it makes what is believed of a
network that was left out right to 0.9 points of accuracy instead of 1.35.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from evo_fair.arrays import Floats, Ints
from evo_fair.belief.frozen import Smoothed

__all__ = ["SIZES_ALONE", "Corrected", "Known", "correct", "left_out_pairs"]


_INTERCEPT = 10.0
"""Standard deviation of the intercept, in those of the frozen scores: trained networks may be far better. Where frozen
scores hardly differ it is no smaller than how much better they are on the average."""

_SLOPE, _SLOPE_SPREAD = 1.0, 0.5
"""Prior mean and deviation of the slope of the trend: frozen scores are taken for about right on size."""

_SIZE = 0.5
"""Standard deviation of what size says, where it alone is believed in; its mean is what it says of frozen scores."""

SIZES_ALONE = 2
"""The first so many costs are size where it alone is believed in: multiply-accumulates and parameters, not latency."""

_CURVES = (0.0, 1.0, 10.0)
"""Variances, in those of the frozen scores, of how much the slope of size alone changes over a deviation of a cost."""

_SIZE_TRUSTED = 0.2
"""Standard deviation of what size says beyond the trend of frozen scores, where those are believed in."""

_TRUST, _TRUST_SPREAD = 0.7, 0.5
"""Prior mean and deviation of what a difference between frozen scores at equal size is worth after training."""

_RESIDUALS = np.geomspace(1e-2, 2.0, 8)
"""Variances, in those of the frozen scores, of what is a network's own and its seed's."""

_SEEDS = (0.25, 0.5, 0.75)
"""Shares of that which are the seed's; more is learnt of them from networks that were trained twice."""

_GENES = (0.0, 0.03, 0.15, 0.6)
"""Variances, in those of the frozen scores, of what genes say beyond them."""

_SIZE_ALONE = 0.9
"""The prior weight of size alone."""

_NEGLIGIBLE = 1e-3
"""Members of the grid with less than this share of the best one's weight are left out."""


@dataclass(frozen=True)
class Known:
    """What is known of all networks; `size` and `genes` come from `features.py`, and `genes` may have no column."""

    frozen: Smoothed
    size: Floats
    genes: Floats

    def __len__(self) -> int:
        return len(self.size)


@dataclass(frozen=True)
class Corrected:
    """What is believed after trainings: `mean` and `variance` `[networks]`, on the scale of the scores.

    `by_size` is the part of the mean that size explains, `left` the variance `[networks]` of the rest: what is not
    known of frozen scores' worth, of genes and of a network's own. `of_seeds` is the seeds' variance, averaged over the
    grid.
    """

    mean: Floats
    variance: Floats
    by_size: Floats
    left: Floats
    of_seeds: float


def correct(known: Known, networks: Ints, results: Floats, noise: Floats, wanted: Ints | None = None) -> Corrected:
    """What is believed of the networks `wanted` `[wanted]`, all by default, after trainings of `networks`.

    `results` `[trainings]` of the `networks` `[trainings]`, one of which may be there more than once, have the standard
    errors `noise` `[trainings]`, the seed's share left out.
    """
    unit = _unit(known, results)
    rows = np.arange(len(known)) if wanted is None else wanted
    intercept = _intercept(known, results, unit)
    trained = _parts(known, networks, networks, unit, intercept)
    fits = [_fit(member, trained, results, noise) for member in _grid(unit, known.genes.shape[1] > 0)]
    shares = np.exp(np.array([fit.log_weight for fit in fits]) - max(fit.log_weight for fit in fits))
    shares[shares < _NEGLIGIBLE] = 0.0
    shares /= shares.sum()

    asked = _parts(known, rows, networks, unit, intercept)
    whole, rest = _Mixture(len(rows)), _Mixture(len(rows))
    for fit, share in zip(fits, shares, strict=True):
        if share:
            whole.add(share, *fit.after(asked.sum(fit.member)))
            rest.add(share, *fit.after(asked.sum(fit.member, _BEYOND_SIZE)))
    of_seeds = sum(share * fit.member.seeds for fit, share in zip(fits, shares, strict=True))
    return Corrected(whole.mean, whole.variance, whole.mean - rest.mean, rest.variance, float(of_seeds))


def left_out_pairs(known: Known, networks: Ints, results: Floats, noise: Floats) -> tuple[Ints, Floats]:
    """What is believed of pairs of trained networks when the trainings of both are left out.

    Returns the pairs `[pairs, 2]`, numbers of networks, and how much higher the first is believed to be `[pairs]`. One
    network left out at a time would not do for ranks: without a high result all else is believed to be lower, and that
    network is then ranked low. The results of a set S left out of a normal distribution with the precision Q have the
    mean y_S - Q_SS^-1 (Q (y - mean))_S and the covariance Q_SS^-1 (Rasmussen and Williams 2006, section 5.4.2), of
    which the weights of the grid follow, too.
    """
    unit = _unit(known, results)
    trained = _parts(known, networks, networks, unit, _intercept(known, results, unit))
    fits = [_fit(member, trained, results, noise) for member in _grid(unit, known.genes.shape[1] > 0)]
    precision = np.stack([cho_solve((fit.factor, True), np.eye(len(networks))) for fit in fits])
    weights = np.stack([fit.weights for fit in fits])
    logs = np.array([fit.log_weight for fit in fits])
    different = np.unique(networks)
    pairs = np.array([(a, b) for i, a in enumerate(different) for b in different[i + 1 :]], np.int64).reshape(-1, 2)
    higher = np.zeros(len(pairs))
    for number, (first, second) in enumerate(pairs):
        rows = np.concatenate([np.flatnonzero(networks == first), np.flatnonzero(networks == second)])
        block = precision[:, rows[:, None], rows]
        off = np.linalg.solve(block, weights[:, rows, None])[:, :, 0]  # the results less what is believed of them
        # The evidence of the others: that of all results by that of these, given the others.
        others = logs + 0.5 * (off * weights[:, rows]).sum(axis=1) - 0.5 * np.linalg.slogdet(block)[1]
        shares = np.exp(others - others.max())
        believed = (shares / shares.sum()) @ (results[rows] - off)
        higher[number] = believed[0] - believed[-1]
    return pairs, higher


def _unit(known: Known, results: Floats) -> float:
    """The unit of the priors: the deviation of frozen scores, or a third of the results' where those hardly differ."""
    return max(float(np.std(known.frozen.mean)), float(np.std(results)) / 3.0, 1e-9)


def _intercept(known: Known, results: Floats, unit: float) -> float:
    """The standard deviation of the intercept."""
    return max(unit * _INTERCEPT, abs(float(np.mean(results)) - _level(known)))


def _level(known: Known) -> float:
    """Where results are expected before the first."""
    return float(known.frozen.trend.mean())


@dataclass(frozen=True)
class _Member:
    """One combination of the grid: the factor of each part, the variance of seeds, and the prior's share."""

    common: float
    plane: float
    curve: float
    trend: float
    size: float
    trust: float
    genes: float
    own: float
    seeds: float
    share: float


def _grid(unit: float, with_genes: bool) -> Iterator[_Member]:
    levels = _GENES if with_genes else _GENES[:1]
    variances = len(_RESIDUALS) * len(_SEEDS)
    alone, more = _SIZE_ALONE / variances / len(_CURVES), (1.0 - _SIZE_ALONE) / variances / len(levels)
    for residual, seed in product(_RESIDUALS, _SEEDS):
        own, seeds = unit**2 * residual * (1.0 - seed), unit**2 * residual * seed
        for curve in _CURVES:
            yield _Member(1.0, 1.0, unit**2 * curve, 0.0, 0.0, 0.0, 0.0, own, seeds, alone)
        for level in levels:
            genes, size = unit**2 * level, (unit * _SIZE_TRUSTED) ** 2
            yield _Member(1.0, 0.0, 0.0, 1.0, size, 1.0, genes, own, seeds, more)


class _Prior(NamedTuple):
    """Means and variances `[rows]` of one part of the results, and its covariance with the trained's `[rows, k]`."""

    mean: Floats
    covariance: Floats
    variance: Floats


_BEYOND_SIZE = ("trust", "genes", "own")
_PARTS = ("common", "plane", "curve", "trend", "size", *_BEYOND_SIZE)


class _Parts(dict[str, _Prior]):
    """The parts of the results by name, each with the factor 1."""

    def sum(self, member: _Member, names: tuple[str, ...] = _PARTS) -> _Prior:
        """The parts `names` together, with a member's factors; only those with the factors 0 and 1 have a mean."""
        factors = [getattr(member, name) for name in names]
        mean, covariance, variance = (
            sum(factor * self[name][place] for factor, name in zip(factors, names, strict=True) if factor)
            for place in range(3)
        )
        return _Prior(np.asarray(mean), np.asarray(covariance), np.asarray(variance))


def _parts(known: Known, rows: Ints, networks: Ints, unit: float, intercept: float) -> _Parts:
    frozen, none = known.frozen, np.zeros(len(rows))
    level = _level(known)
    slope = _SLOPE_SPREAD * (frozen.trend - level)
    own, genes = _TRUST_SPREAD * frozen.own, _TRUST_SPREAD * frozen.genes
    size = known.size / np.sqrt(max(known.size.shape[1], 1))
    sizes = known.size[:, :SIZES_ALONE]
    count = max(sizes.shape[1], 1)
    tilt = (sizes.T @ frozen.mean) / np.maximum((sizes**2).sum(axis=0), 1e-9) / count
    steep = unit * _SIZE * sizes / np.sqrt(count)
    above = sizes - sizes.min(axis=0, initial=0.0)
    bends = _bends(above[rows, None], above[networks]).sum(axis=2) / count
    bent = _bends(above[rows], above[rows]).sum(axis=1) / count
    common = intercept**2
    return _Parts(
        common=_Prior(none + level, np.full((len(rows), len(networks)), common), none + common),
        plane=_Prior(sizes[rows] @ tilt, steep[rows] @ steep[networks].T, (steep[rows] ** 2).sum(axis=1)),
        curve=_Prior(none, bends, bent),
        trend=_Prior(_SLOPE * (frozen.trend[rows] - level), np.outer(slope[rows], slope[networks]), slope[rows] ** 2),
        size=_Prior(none, size[rows] @ size[networks].T, (size[rows] ** 2).sum(axis=1)),
        trust=_Prior(
            _TRUST * (frozen.genes + frozen.own)[rows],
            np.outer(own[rows], own[networks]) + np.outer(genes[rows], genes[networks]),
            own[rows] ** 2 + genes[rows] ** 2,
        ),
        genes=_Prior(
            none,
            _alike(known.genes[rows] @ known.genes[networks].T),
            _alike((known.genes[rows] ** 2).sum(axis=1)),
        ),
        own=_Prior(none, (rows[:, None] == networks).astype(np.float64), np.ones(len(rows))),
    )


def _bends(first: Floats, second: Floats) -> Floats:
    """The covariance of a smoothing spline from 0 on, which goes on as a line (Wahba 1978)."""
    low = np.minimum(first, second)
    return np.asarray(low**2 * (np.maximum(first, second) / 2.0 - low / 6.0))


def _alike(products: Floats) -> Floats:
    """A covariance of sums over genes and, in its square, over pairs of genes."""
    return np.asarray(0.5 * (products + products**2))


class _Fit(NamedTuple):
    """What one member makes of the results: the factor of their covariance, their weights, and its own weight."""

    member: _Member
    factor: Floats
    weights: Floats
    log_weight: float

    def after(self, prior: _Prior) -> tuple[Floats, Floats]:
        """Means and variances of a part of the results, or of all, once the results are known."""
        # What is left of a prior variance; rounding can make it slightly negative.
        explained = (solve_triangular(self.factor, prior.covariance.T, lower=True) ** 2).sum(axis=0)
        return prior.mean + prior.covariance @ self.weights, np.maximum(prior.variance - explained, 0.0)


class _Mixture:
    """Means and variances `[rows]` of a mixture: its variance is that within its members, and between their means."""

    def __init__(self, rows: int) -> None:
        self.mean, self._square, self._within = np.zeros((3, rows))

    def add(self, share: float, mean: Floats, variance: Floats) -> None:
        """Adds a member with its share."""
        self.mean += share * mean
        self._square += share * mean**2
        self._within += share * variance

    @property
    def variance(self) -> Floats:
        """The variance of the mixture."""
        return np.asarray(self._within + np.maximum(self._square - self.mean**2, 0.0))


def _fit(member: _Member, trained: _Parts, results: Floats, noise: Floats) -> _Fit:
    total = trained.sum(member)
    factor, _ = cho_factor(total.covariance + np.diag(member.seeds + noise**2), lower=True)
    left = results - total.mean
    weights = cho_solve((factor, True), left)
    evidence = -0.5 * float(left @ weights) - float(np.log(np.diag(factor)).sum())
    return _Fit(member, np.tril(factor), weights, float(np.log(member.share)) + evidence)
