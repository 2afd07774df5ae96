"""What separates networks at equal latency, with intervals over networks, samples and seeds. Arrays in, numbers out.

Three things are drawn anew in every resample: networks (a pair of the front's and a random one together), units of the
test part (the same for all networks) and, for each network, the seeds of its trainings. Units cross with networks, so
this is Owen's pigeonhole bootstrap (2007), whose variance is never too small but for lower-order terms. Intervals
are those of `evo_fair.fairness.bootstrap.ends_of_change`; those of a mean over networks are at least as wide as
Student's t over them, since a bootstrap of few networks is too narrow, and of fewer than three there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from evo_fair.evolution import Box, hypervolume
from evo_fair.fairness.bootstrap import ends_of_change
from evo_fair.report.compare import mean_interval

__all__ = ["Difference", "Trained", "hypervolume_difference", "interpolated_difference", "knots", "paired_difference"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """A metric of trained networks: `points` `[networks, seeds]`, and `resampled` `[replicates, networks, seeds]`.

    A replicate holds the values on one resample of the samples, the same for all networks.
    """

    points: Floats
    resampled: Floats

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.resampled.shape[1:] != self.points.shape:
            raise ValueError(
                f"points are [networks, seeds] and resampled [replicates, networks, seeds], got "
                f"{list(self.points.shape)} and {list(self.resampled.shape)}"
            )

    @property
    def means(self) -> Floats:
        """The mean over seeds, `[networks]`."""
        return np.asarray(self.points.mean(axis=1), np.float64)

    def only(self, networks: Sequence[int] | Ints) -> "Trained":
        """That of some of the networks, in the order given."""
        chosen = np.asarray(networks, np.int64)
        return Trained(self.points[chosen], self.resampled[:, chosen])

    def complement(self) -> "Trained":
        """One minus the metric: the error of an accuracy."""
        return Trained(1 - self.points, 1 - self.resampled)

    def drawn(self, networks: Ints, rng: np.random.Generator) -> Floats:
        """On each replicate the networks `[replicates, n]`, each the mean of seeds that `rng` draws: `[replicates, n]`.

        As many seeds are drawn as there are, with replacement.
        """
        replicates, n = networks.shape
        seeds = self.points.shape[1]
        chosen = rng.integers(0, seeds, (replicates, n, seeds))
        values = self.resampled[np.arange(replicates)[:, None, None], networks[..., None], chosen]
        return np.asarray(values.mean(axis=2), np.float64)


@dataclass(frozen=True)
class Difference:
    """A difference, its 95 % interval, and how many networks it is the mean of."""

    value: float
    low: float
    high: float
    networks: int


def paired_difference(ours: Trained, theirs: Trained, seed: int = 0) -> Difference:
    """The mean over pairs of what network `i` of `ours` has more than network `i` of `theirs`."""
    rng = np.random.default_rng(seed)
    pairs = _draw(rng, ours)
    resampled = (ours.drawn(pairs, rng) - theirs.drawn(pairs, rng)).mean(axis=1)
    return _mean_difference(ours.means - theirs.means, resampled)


def knots(latency: Floats, known: Floats) -> tuple[Ints, Floats]:
    """How values at the latencies `known` `[k]` give those at `latency` `[n]`: which, and weights `[m, k]`.

    Straight lines in the logarithm of the latency. Only the `m` networks between the fastest and the slowest known one
    have a value: nothing is extrapolated.
    """
    inside = np.flatnonzero((known.min() <= latency) & (latency <= known.max()))
    order = np.argsort(known)
    units = np.eye(len(known))[order]
    x, xp = np.log(latency[inside]), np.log(known[order])
    weights = np.column_stack([np.interp(x, xp, units[:, column]) for column in range(len(known))])
    return inside, weights


def interpolated_difference(
    ours: Trained, latency: Floats, known: Trained, known_latency: Floats, seed: int = 0
) -> Difference:
    """The mean of what networks of `ours` have more than the line through `known` ones at their latency; see `knots`.

    The known networks are what they are and are not drawn; their seeds and the samples are. NaN for the value and its
    ends if no latency of `ours` is within those of the known ones.
    """
    inside, weights = knots(latency, known_latency)
    if not len(inside):
        return Difference(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    replicates = len(ours.resampled)
    chosen = rng.integers(0, len(inside), (replicates, len(inside)))
    all_known = np.tile(np.arange(len(known_latency)), (replicates, 1))
    line = known.drawn(all_known, rng) @ weights.T
    resampled = ours.drawn(inside[chosen], rng) - np.take_along_axis(line, chosen, axis=1)
    return _mean_difference(ours.means[inside] - weights @ known.means, resampled.mean(axis=1))


def hypervolume_difference(
    ours: Sequence[Trained],
    our_latency: Floats,
    theirs: Sequence[Trained],
    their_latency: Floats,
    box: Box,
    seed: int = 0,
) -> Difference:
    """By how much more of `box` the networks of `ours` dominate than those of `theirs`; pairs are drawn together.

    `ours` and `theirs` are the metrics to minimise, in the box's order; the latency comes last.
    """
    rng = np.random.default_rng(seed)
    pairs = _draw(rng, ours[0])
    volumes = []
    for metrics, latency in ((ours, our_latency), (theirs, their_latency)):
        points = np.stack([*(metric.drawn(pairs, rng) for metric in metrics), latency[pairs]], axis=2)
        volumes.append(np.array([hypervolume(drawn, box) for drawn in points]))
    value = _volume(ours, our_latency, box) - _volume(theirs, their_latency, box)
    return _difference(value, volumes[0] - volumes[1], len(our_latency))


def _volume(metrics: Sequence[Trained], latency: Floats, box: Box) -> float:
    return hypervolume(np.column_stack([*(metric.means for metric in metrics), latency]), box)


def _draw(rng: np.random.Generator, trained: Trained) -> Ints:
    """Networks for every replicate, with replacement, as many as there are: `[replicates, networks]`."""
    n = len(trained.points)
    return rng.integers(0, n, (len(trained.resampled), n))


def _mean_difference(differences: Floats, resampled: Floats) -> Difference:
    """The mean of networks' differences; of fewer than three there is no telling how others would do."""
    value, low, high = mean_interval(differences)
    if np.isnan(low):
        return Difference(value, np.nan, np.nan, len(differences))
    found = _difference(value, resampled, len(differences))
    return replace(found, low=min(found.low, low), high=max(found.high, high))


def _difference(value: float, resampled: Floats, networks: int) -> Difference:
    low, high = ends_of_change(value, resampled)
    return Difference(float(value), float(low), float(high), networks)
