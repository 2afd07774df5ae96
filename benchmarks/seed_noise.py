"""Intervals of means over few trainings: what the samples of a test part leave uncertain, and what the seeds do.

A bootstrap tells the first. The second is known from k trainings with k - 1 degrees of freedom alone: drawing k seeds
out of k would have (k - 1) / k of their variance, and take it for known. Both variances are added, and an interval is
Student's t with the degrees of freedom of Welch and Satterthwaite (Welch 1947); its two sides keep the bootstrap's
ratio.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from evo_fair.data import Dataset
from evo_fair.fairness import METRICS
from evo_fair.fairness.bootstrap import ends_of_change
from evo_fair.fairness.resampled import Resampled, draw_weights

__all__ = ["ENOUGH", "Ends", "Mean", "Resampling", "difference", "interval", "mean_over_seeds", "pooled", "ratio"]

Floats = npt.NDArray[np.float64]
Ends = tuple[float, float, float]
"""A value and the ends of its 95 % interval."""

ENOUGH = 3
"""So many trainings tell what others would differ by; of fewer that of all networks is taken."""

_NORMAL = float(stats.norm.ppf(0.975))


class Mean(NamedTuple):
    """A metric's mean over seeds, its values on each resample of the samples `[replicates]`, and the seeds' variance.

    `variance` is that of the mean, known with `freedom` degrees of freedom; 0 where nothing is known of it.
    """

    value: float
    drawn: Floats
    variance: float
    freedom: float


class Resampling:
    """The test part of a data set, and resamples of its units on which all networks are measured alike."""

    def __init__(self, dataset: Dataset, group: str, replicates: int) -> None:
        samples = dataset.part("test")
        self._dataset, self._group, self._labels = dataset, group, dataset.labels[samples]
        self._groups = dataset.grouping(group).index[samples]
        needed = (self._labels, self._groups)
        self._weights = draw_weights(dataset.units[samples], replicates, np.random.default_rng(0), needed)

    def means(self, predictions: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, Mean]:
        """By name a metric's mean over the trainings of a network, which predict labels `[seeds, samples]`."""
        like = self._dataset.counts(predictions, "test", self._group)
        resampled = [
            Resampled.of(self._weights, one, self._labels, self._groups, like[number])
            for number, one in enumerate(predictions)
        ]
        return {
            name: mean_over_seeds(
                METRICS[name](like), np.stack([METRICS[name](counts) for counts in resampled], axis=1)
            )
            for name in names
        }


def mean_over_seeds(points: Floats, resampled: Floats, others: tuple[float, int] | None = None) -> Mean:
    """The mean of a metric's values `points` `[seeds]`, with those on each resample, `[replicates, seeds]`.

    `others` are the deviation between trainings of other networks and its degrees of freedom, for fewer than three.
    """
    seeds = len(points)
    if seeds >= ENOUGH or (seeds > 1 and others is None):
        deviation, freedom = float(points.std(ddof=1)), seeds - 1
    else:
        deviation, freedom = others or (0.0, 1)
    return Mean(float(points.mean()), np.asarray(resampled.mean(axis=1)), deviation**2 / seeds, freedom)


def pooled(trained: Sequence[Floats]) -> tuple[float, int] | None:
    """The deviation between trainings and its degrees of freedom, from networks that were trained three times or more.

    None where none was.
    """
    several = [points for points in trained if len(points) >= ENOUGH]
    freedom = sum(len(points) - 1 for points in several)
    if not freedom:
        return None
    squares = sum(float(((points - points.mean()) ** 2).sum()) for points in several)
    return float(np.sqrt(squares / freedom)), freedom


def interval(mean: Mean) -> Ends:
    """A mean with its interval."""
    return _ends(mean.value, mean.drawn, [(mean.variance, mean.freedom)])


def difference(ours: Mean, theirs: Mean) -> Ends:
    """`ours` minus `theirs`, on the same resamples."""
    seeds = [(ours.variance, ours.freedom), (theirs.variance, theirs.freedom)]
    return _ends(ours.value - theirs.value, ours.drawn - theirs.drawn, seeds)


def ratio(ours: Mean, theirs: Mean) -> Ends:
    """`ours` of `theirs`, on the same resamples; the seeds' variance is that of the ratio to first order."""
    value = ours.value / theirs.value
    seeds = [
        (ours.variance / theirs.value**2, ours.freedom),
        (value**2 * theirs.variance / theirs.value**2, theirs.freedom),
    ]
    return _ends(value, ours.drawn / theirs.drawn, seeds)


def _ends(value: float, drawn: Floats, seeds: Sequence[tuple[float, float]]) -> Ends:
    """The ends of a value with its resamples and the variances of what seeds add, with their degrees of freedom."""
    sides = np.abs(ends_of_change(value, drawn) - value) / _NORMAL  # as standard errors
    added = sum(variance for variance, _ in seeds)
    known = sum(variance**2 / freedom for variance, freedom in seeds)
    freedom = (float(drawn.var()) + added) ** 2 / known if known else np.inf
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sides**2 + added)
    return value, float(value - half[0]), float(value + half[1])
