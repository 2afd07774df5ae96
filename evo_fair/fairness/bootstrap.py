"""Bootstrap intervals of accuracy and fairness metrics: whole units (lesions, patients) are drawn, not samples.

Samples of one unit resemble each other, so drawing samples would make intervals too narrow (Field and Welsh 2007, the
cluster bootstrap). The counts of a resample are exact: every sample counts as often as its unit was drawn. Networks
and resamples are `Counts`, or for many labels `Resampled`.
"""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats
from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness.counts import Counts
from evo_fair.fairness.degenerate import effective_sizes, shares_with_spread, without_spread
from evo_fair.fairness.metrics import ACCURACIES, METRICS, RECIPES, Metric
from evo_fair.fairness.rates import Rates, group_accuracies
from evo_fair.fairness.resampled import Counted
from evo_fair.fairness.wilson import wilson_ends

__all__ = [
    "Interval",
    "OnResamples",
    "ends",
    "ends_of_change",
    "ends_of_groups",
    "interval",
    "on_resamples",
]


OF_ALL_SAMPLES = ("accuracy", "error")
"""The metrics of `METRICS` that are made of one rate, so that groups and labels don't count."""


class Interval(NamedTuple):
    """A value and the two ends of its interval.

    Args:
        value: The value.
        low: The lower end.
        high: The upper end.
    """

    value: float
    low: float
    high: float


class OnResamples(NamedTuple):
    """A metric of one network on every resample, in its unit.

    Args:
        values: Its values, float64 `[replicates]`.
        by_chance: What it would find of groups that are equal, by the noise of the
            resamples alone, float64 `[replicates]`; None unless it measures inequality.
    """

    values: Floats
    by_chance: Floats | None


def interval(
    metric: Metric, counts: Counts, resampled: Counted, level: float = 0.95, units: int | None = None
) -> Interval:
    """A metric's value for one network, with its interval; see `ends`.

    Where equal groups would often look as unequal by chance as these do, so that the
    metric is at most the upper percentile of `on_resamples` by chance, the interval
    begins at 0. A rate of a small group that is all right, or of one unit, is the same
    in every resample, though not in truth: see `shares_with_spread`. Such an accuracy or
    error has Wilson's interval of as many samples as `effective_sizes` finds, a balanced
    one the mean of the labels' own. That of the worst group reaches from the lowest
    lower to the lowest upper end of `ends_of_groups`. A metric that is not evo_fair's
    own has the ends of `ends_of_change`; NaN where it is the same in every resample.
    Resamples on which it has no value, as where a group has no positive sample there,
    don't count.

    Args:
        metric: The metric.
        counts: The network's counts.
        resampled: Its counts on every resample.
        level: The share of intervals that hold the true value. Default: 0.95.
        units: As in `effective_sizes`. Default: unknown.

    Returns:
        The value and the interval's ends.

    Raises:
        UndefinedMetricError: The metric has no value on these samples, or on nineteen
            resamples in twenty.
    """
    value = float(metric(counts)[0])
    try:
        return _interval(metric, value, counts, resampled, level, units)
    except UndefinedMetricError:
        return _interval(metric, value, counts, _with_value(metric, resampled), level, units)


def _interval(
    metric: Metric, value: float, counts: Counts, resampled: Counted, level: float, units: int | None
) -> Interval:
    """`interval` of a `value` from resamples on which the metric has one."""
    name = _name_of(metric)
    if name in ACCURACIES and without_spread(drawn := RECIPES[name].measured(resampled, name)):
        low, high = ends(value, drawn, level)
        least, most = _ends_of_all_alike(name, counts, resampled, level, units)
        return Interval(value, float(min(low, least)), float(max(high, most)))
    values, by_chance = on_resamples(metric, counts, resampled, units)
    if name is None:  # it may be below 0, and what noise it has where resamples agree is not known
        low, high = (np.nan, np.nan) if without_spread(values) else ends_of_change(value, values, level)
        return Interval(value, float(low), float(high))
    low, high = ends(value, values, level)
    if by_chance is not None and value <= np.percentile(by_chance, 50 * (1 + level)):
        low = 0.0
    return Interval(value, float(low), float(high))


def on_resamples(metric: Metric, counts: Counts, resampled: Counted, units: int | None = None) -> OnResamples:
    """A metric on every resample, and what chance alone would make of groups that are equal.

    The metrics of inequality, those of `METRICS` that are not in `ACCURACIES`, measure
    how far rates of groups or labels lie apart. By chance they measure it of what each
    rate of a resample is above the same rate of the samples. Where rates are compared,
    those of 0, 1 or one unit have noise, too, see `shares_with_spread`.

    Args:
        metric: The metric.
        counts: The counts of one network.
        resampled: Its counts on every resample.
        units: As in `effective_sizes`. Default: unknown.

    Returns:
        Its values and those by chance.

    Raises:
        UndefinedMetricError: The metric has no value on these samples, or on a resample.
    """
    name = _name_of(metric)
    if name is None:
        return OnResamples(np.concatenate([metric(part) for part in resampled.parts()]), None)
    recipe = RECIPES[name]
    if name in OF_ALL_SAMPLES:
        return OnResamples(recipe.measured(resampled, name), None)
    rates = recipe.rates(counts, name)
    shares = shares_with_spread(rates, recipe.rates(resampled, name), units)
    by_chance = None if name in ACCURACIES else recipe.summary(shares - rates.shares)
    return OnResamples(recipe.summary(shares), by_chance)


def ends(
    value: npt.NDArray[np.float64] | float, resampled: npt.NDArray[np.float64], level: float = 0.95
) -> npt.NDArray[np.float64]:
    """The ends of `ends_of_change`, of values that are never below 0.

    Args:
        value: The values, float64 `[...]`.
        resampled: Their values on every resample, float64 `[replicates, ...]`.
        level: The share of intervals that hold the true value. Default: 0.95.

    Returns:
        The lower and the upper ends, float64 `[2, ...]`; not below 0, and not above 1
        or the largest resample, whichever is more.
    """
    most = np.maximum(1.0, np.maximum(value, resampled.max(axis=0)))
    result: npt.NDArray[np.float64] = ends_of_change(value, resampled, level).clip(0.0, most)
    return result


def ends_of_groups(counts: Counts, resampled: Counted, level: float = 0.95, units: int | None = None) -> Floats:
    """The ends of `ends`, of the accuracy of each group; Wilson's for one that is all right, all wrong or one unit.

    Such a group is so in every resample, which would make its interval a single point,
    though a few samples are easily so by chance. Wilson's interval takes its samples as
    independent; of units it gets as many as `effective_sizes` finds.

    Args:
        counts: The counts of one network.
        resampled: Its counts on every resample.
        level: The share of intervals that hold the true value. Default: 0.95.
        units: As in `effective_sizes`. Default: unknown.

    Returns:
        The lower and the upper ends, float64 `[2, groups]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    rates = group_accuracies(counts, "group_accuracy", groups_needed=1)
    drawn = group_accuracies(resampled, "group_accuracy", groups_needed=1)
    share = rates.shares[0]
    found = ends(share, drawn.shares, level)
    alike = without_spread(drawn.shares)
    if alike.any():
        low, high = _wilsons(rates, drawn, level, units)[:, alike]
        found[:, alike] = np.minimum(found[0, alike], low), np.maximum(found[1, alike], high)  # 1 may be 1 - 1e-16
    return found


def ends_of_change(
    value: npt.NDArray[np.float64] | float, resampled: npt.NDArray[np.float64], level: float = 0.95
) -> npt.NDArray[np.float64]:
    """The ends of an interval by bootstrap: the outer ones of the basic and the percentile interval.

    Both are in Davison and Hinkley 1997, chapter 5. The basic (reverse percentile)
    interval lies as far below the value as the resamples reach above it, and the other
    way round. Noise moves groups apart: the worst group is worse and unfairness is
    larger on resamples than on the samples, as they are on the samples than in truth.
    Where groups differ much less than that, percentiles lie beyond the truth. Where they
    do not, the basic interval ends before it: that of two groups that look equal would
    be a single point, 0. So each end is the one that is farther out.
    `benchmarks/interval_coverage.py` counts how often the intervals hold the truth.

    Args:
        value: The values, such as differences between two networks, float64 `[...]`.
        resampled: Their values on every resample, float64 `[replicates, ...]`.
        level: The share of intervals that hold the true value. Default: 0.95.

    Returns:
        The lower and the upper ends, float64 `[2, ...]`.
    """
    tail = 50 * (1 - level)
    percentiles = np.percentile(resampled, [tail, 100 - tail], axis=0)
    basic = 2 * np.asarray(value) - percentiles[::-1]
    return np.stack([np.minimum(basic, percentiles)[0], np.maximum(basic, percentiles)[1]])


def _name_of(metric: Metric) -> str | None:
    """What one of `METRICS` is called; None for any other."""
    return next((name for name, known in METRICS.items() if known is metric), None)


def _with_value(metric: Metric, resampled: Counted) -> Counted:
    """The resamples on which a metric has a value; raises `UndefinedMetricError` for fewer than one in twenty."""
    there = np.zeros(len(resampled), np.bool_)
    each = (part[number] for part in resampled.parts() for number in range(len(part)))
    for number, one in enumerate(each):
        with suppress(UndefinedMetricError):
            metric(one)
            there[number] = True
    if 20 * there.sum() < len(there):
        raise UndefinedMetricError(f"of {len(there)} resamples {(~there).sum()} have no value; use a coarser grouping")
    return resampled[there]


def _ends_of_all_alike(name: str, counts: Counts, resampled: Counted, level: float, units: int | None) -> Floats:
    """The ends for a kind of accuracy or error that has no spread on resamples, as one of 0 or 1: float64 `[2]`."""
    if name.endswith("error"):
        return 1.0 - _ends_of_all_alike(name.replace("error", "accuracy"), counts, resampled, level, units)[::-1]
    if name == "worst_group_accuracy":
        return np.asarray(ends_of_groups(counts, resampled, level, units).min(axis=1))
    rates, drawn = (RECIPES[name].rates(each, name) for each in (counts, resampled))
    return np.asarray(_wilsons(rates, drawn, level, units).mean(axis=1))


def _wilsons(rates: Rates, drawn: Rates, level: float, units: int | None) -> Floats:
    """Wilson's ends of the rates of one network, float64 `[2, rates]`, from those that were drawn, too."""
    sizes = effective_sizes(rates, drawn, units)
    return wilson_ends(rates.shares[0] * sizes, sizes, level)
