"""Accuracy and fairness metrics as plain functions on `Counts`, one value a network.

Each takes `Counts` and returns float64 `[networks]`, except `group_accuracy`, which returns `[networks, groups]`.
`difference` always means the largest minus the smallest value over the groups, as fairlearn's `between_groups`. The
differences of parity, opportunity and odds see a binary decision: a label is positive or it is not, as the problem
declares. Where a value does not exist, such as a rate over no samples, `UndefinedMetricError` says which and why;
nothing is ever replaced by 0 or NaN.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from evo_fair.arrays import Floats, Ints
from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness.counts import Counts

__all__ = [
    "ACCURACIES",
    "METRICS",
    "Metric",
    "accuracy",
    "accuracy_gap",
    "average_odds_difference",
    "balanced_accuracy",
    "balanced_error",
    "cwv",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "error",
    "group_accuracy",
    "mcd",
    "measure_all",
    "spread_by_chance",
    "unfairness",
    "worst_group_accuracy",
    "worst_group_error",
]

Metric = Callable[[Counts], Floats]


def accuracy(counts: Counts) -> Floats:
    """The share of all samples, those of unknown group included, that is predicted right.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: There is no sample.

    Example:
        Two labels with 40 samples each, of which the network gets 30 and 20 right:

        >>> from evo_fair.fairness.metrics import accuracy
        >>> one_group = np.array([[[[30, 10], [20, 20]]]])
        >>> nobody = np.zeros((1, 2, 2), int)
        >>> float(accuracy(ef.Counts(one_group, nobody, ("all",), ("no", "yes")))[0])
        0.625
    """
    return _accuracy(counts, "accuracy")


def error(counts: Counts) -> Floats:
    """The share of all samples that is predicted wrong: 1 - accuracy.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: There is no sample.
    """
    return 1.0 - _accuracy(counts, "error")


def balanced_accuracy(counts: Counts) -> Floats:
    """The mean over the labels of the label's recall.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _mean(_recalls(counts, "balanced_accuracy"))


def balanced_error(counts: Counts) -> Floats:
    """1 - balanced accuracy.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return 1.0 - _mean(_recalls(counts, "balanced_error"))


def group_accuracy(counts: Counts) -> Floats:
    """The accuracy within each group.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks, groups]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    return _group_accuracy(counts, "group_accuracy", groups_needed=1)


def worst_group_accuracy(counts: Counts) -> Floats:
    """The accuracy of the group that fares worst.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    return _worst(_group_accuracy(counts, "worst_group_accuracy", groups_needed=1))


def worst_group_error(counts: Counts) -> Floats:
    """1 - the accuracy of the group that fares worst.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    return 1.0 - _worst(_group_accuracy(counts, "worst_group_error", groups_needed=1))


def unfairness(counts: Counts) -> Floats:
    """The sum over groups of `|accuracy of the group - accuracy|`, after FaHaNa (arXiv 2202.11317).

    Args:
        counts: The counts of the networks.

    Returns:
        0 or more, float64 `[networks]`.

    Raises:
        UndefinedMetricError: There are fewer than two groups, or a group has no sample.

    Example:
        Group f is right in 40 of 50 samples, group m in 30 of 50, all together in 0.7:

        >>> from evo_fair.fairness.metrics import unfairness
        >>> two_groups = np.array([[[[20, 5], [5, 20]], [[15, 10], [10, 15]]]])
        >>> nobody = np.zeros((1, 2, 2), int)
        >>> counts = ef.Counts(two_groups, nobody, ("f", "m"), ("no", "yes"))
        >>> round(float(unfairness(counts)[0]), 6)
        0.2
    """
    return _distances(_accuracies(counts))


def accuracy_gap(counts: Counts) -> Floats:
    """The best minus the worst group's accuracy.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: There are fewer than two groups, or a group has no sample.
    """
    return _difference(_by_group(counts))


def demographic_parity_difference(counts: Counts) -> Floats:
    """The difference between the groups' shares of samples predicted positive.

    Args:
        counts: The counts of the networks, with positive labels.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no sample.
    """
    return _difference(_selected(counts))


def equal_opportunity_difference(counts: Counts) -> Floats:
    """The difference between the groups' true positive rates.

    Args:
        counts: The counts of the networks, with positive labels.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no positive sample.
    """
    return _difference(_opportunity(counts))


def equalized_odds_difference(counts: Counts) -> Floats:
    """The larger of the differences in true and in false positive rate (fairlearn's `worst_case`).

    Args:
        counts: The counts of the networks, with positive labels.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no positive or no negative sample.
    """
    return _largest_difference(_odds(counts, "equalized_odds_difference"))


def average_odds_difference(counts: Counts) -> Floats:
    """The mean of the differences in true and in false positive rate (fairlearn's `agg="mean"`).

    Args:
        counts: The counts of the networks, with positive labels.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no positive or no negative sample.
    """
    return _mean_difference(_odds(counts, "average_odds_difference"))


def cwv(counts: Counts) -> Floats:
    """Class-wise variance: the mean over labels of (recall - mean recall)^2, after Ballot (arXiv 2407.02805).

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 0.25, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _variance(_recalls(counts, "cwv"))


def mcd(counts: Counts) -> Floats:
    """Maximum class-wise discrepancy: the largest minus the smallest recall, after Ballot (arXiv 2407.02805).

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _difference(_recalls(counts, "mcd"))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.__name__: metric
        for metric in (
            accuracy,
            error,
            balanced_accuracy,
            balanced_error,
            unfairness,
            accuracy_gap,
            worst_group_accuracy,
            worst_group_error,
            demographic_parity_difference,
            equal_opportunity_difference,
            equalized_odds_difference,
            average_odds_difference,
            cwv,
            mcd,
        )
    }
)
"""The metrics that give one value a network, by name."""

ACCURACIES = frozenset(
    {"accuracy", "error", "balanced_accuracy", "balanced_error", "worst_group_accuracy", "worst_group_error"}
)
"""Those of them that say how much is right, or wrong; the others say how unequal groups are."""


def measure_all(counts: Counts) -> dict[str, Floats | None]:
    """Every metric of `METRICS`.

    Args:
        counts: The counts of the networks.

    Returns:
        float64 `[networks]` by the metric's name; None for one that has no value on
        these samples.
    """
    values: dict[str, Floats | None] = {}
    for name, metric in METRICS.items():
        try:
            values[name] = metric(counts)
        except UndefinedMetricError:
            values[name] = None
    return values


def spread_by_chance(metric: Metric, counts: Counts, resampled: Counts) -> Floats | None:
    """How unequal a metric would find groups that are equal, by the noise of resamples alone.

    The metrics of inequality, those of `METRICS` that are not in `ACCURACIES`, measure
    how far rates of groups or labels lie apart. Here they measure it of what each rate
    of a resample is above the same rate of the samples.

    Args:
        metric: The metric.
        counts: The counts of one network.
        resampled: Its counts on every resample.

    Returns:
        float64 `[replicates]`, in the metric's unit; None for any other metric.

    Raises:
        UndefinedMetricError: The metric has no value on these samples.
    """
    if metric not in _RATES_AND_SPREAD:
        return None
    rates, spread = _RATES_AND_SPREAD[metric]
    return spread(rates(resampled) - rates(counts))


def _share(part: Ints, whole: Ints) -> Floats:
    return np.asarray(part / whole, np.float64)


def _mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=1), np.float64)


def _worst(values: Floats) -> Floats:
    return np.asarray(values.min(axis=1), np.float64)


def _difference(rates: Floats) -> Floats:
    return np.asarray(rates.max(axis=-1) - rates.min(axis=-1), np.float64)


def _largest_difference(rates: Floats) -> Floats:
    return np.asarray(_difference(rates).max(axis=1), np.float64)


def _mean_difference(rates: Floats) -> Floats:
    return _mean(_difference(rates))


def _distances(accuracies: Floats) -> Floats:
    """The sum of the distances of all but the last from the last."""
    return np.asarray(np.abs(accuracies[:, :-1] - accuracies[:, -1:]).sum(axis=1), np.float64)


def _variance(rates: Floats) -> Floats:
    return np.asarray(rates.var(axis=1), np.float64)


def _accuracy(counts: Counts, metric: str) -> Floats:
    totals = counts.overall.sum(axis=(1, 2))
    if not totals.all():
        raise UndefinedMetricError(f"{metric} has no value: there is no sample; evaluate on a split that has some")
    return _share(np.trace(counts.overall, axis1=1, axis2=2), totals)


def _recalls(counts: Counts, metric: str) -> Floats:
    """The share of each label's samples, of any group, that is predicted right: `[networks, labels]`."""
    totals = counts.overall.sum(axis=2)
    lacking = "has no sample; drop the label, or use a split that has some of it"
    _refuse_empty(totals, counts.label_names, metric, "label", lacking)
    return _share(np.diagonal(counts.overall, axis1=1, axis2=2), totals)


def _group_totals(counts: Counts, metric: str, groups_needed: int = 2) -> Ints:
    """How many samples each group has: `[networks, groups]`, none of it 0."""
    if len(counts.group_names) < groups_needed:
        raise UndefinedMetricError(
            f"{metric} needs at least {groups_needed} group(s), got {len(counts.group_names)} "
            f"({', '.join(counts.group_names) or 'none'}); choose a grouping with more"
        )
    totals: Ints = counts.values.sum(axis=(2, 3))
    lacking = "has no sample; use a coarser grouping, or a split that has some of it"
    _refuse_empty(totals, counts.group_names, metric, "group", lacking)
    return totals


def _group_accuracy(counts: Counts, metric: str, groups_needed: int = 2) -> Floats:
    totals = _group_totals(counts, metric, groups_needed)
    return _share(np.trace(counts.values, axis1=2, axis2=3), totals)


def _positive(counts: Counts, metric: str) -> list[int]:
    if not counts.positive:
        raise UndefinedMetricError(
            f"{metric} needs labels that count as positive, and none of {', '.join(counts.label_names)} is "
            "declared so; declare them in the problem, or choose a metric that needs none, such as accuracy_gap"
        )
    return list(counts.positive)


def _positive_rate(counts: Counts, metric: str, *, of_positives: bool) -> Floats:
    """How often samples with a positive label (or those without) are predicted positive, by group."""
    predicted = _positive(counts, metric)
    labels = predicted if of_positives else sorted(set(range(len(counts.label_names))) - set(predicted))
    _group_totals(counts, metric)
    rows = counts.values[:, :, labels]
    totals = rows.sum(axis=(2, 3))
    kind = "positive" if of_positives else "negative"
    lacking = f"has no {kind} sample; use a coarser grouping, a split that has some, or a metric on accuracy"
    _refuse_empty(totals, counts.group_names, metric, "group", lacking)
    return _share(rows[..., predicted].sum(axis=(2, 3)), totals)


def _odds(counts: Counts, metric: str) -> Floats:
    """True positive rates and false positive rates by group: `[networks, 2, groups]`."""
    true_rate = _positive_rate(counts, metric, of_positives=True)
    return np.stack([true_rate, _positive_rate(counts, metric, of_positives=False)], axis=1)


def _opportunity(counts: Counts) -> Floats:
    return _positive_rate(counts, "equal_opportunity_difference", of_positives=True)


def _selected(counts: Counts) -> Floats:
    """The share of each group's samples that is predicted positive."""
    name = "demographic_parity_difference"
    positive = _positive(counts, name)
    selected = counts.values[..., positive].sum(axis=(2, 3))
    return _share(selected, _group_totals(counts, name))


def _by_group(counts: Counts) -> Floats:
    return _group_accuracy(counts, "accuracy_gap")


def _accuracies(counts: Counts) -> Floats:
    """The accuracy of each group, and of all samples behind them: `[networks, groups + 1]`."""
    by_group = _group_accuracy(counts, "unfairness")
    return np.concatenate([by_group, _accuracy(counts, "unfairness")[:, None]], axis=1)


def _refuse_empty(totals: Ints, names: tuple[str, ...], metric: str, what: str, lacking: str) -> None:
    for name, empty in zip(names, (totals == 0).any(axis=0), strict=True):
        if empty:
            raise UndefinedMetricError(f"{metric} has no value: {what} {name!r} {lacking}")


_RATES_AND_SPREAD: Mapping[Metric, tuple[Callable[[Counts], Floats], Callable[[Floats], Floats]]] = MappingProxyType(
    {
        unfairness: (_accuracies, _distances),
        accuracy_gap: (_by_group, _difference),
        demographic_parity_difference: (_selected, _difference),
        equal_opportunity_difference: (_opportunity, _difference),
        equalized_odds_difference: (partial(_odds, metric="equalized_odds_difference"), _largest_difference),
        average_odds_difference: (partial(_odds, metric="average_odds_difference"), _mean_difference),
        cwv: (partial(_recalls, metric="cwv"), _variance),
        mcd: (partial(_recalls, metric="mcd"), _difference),
    }
)
"""The metrics of inequality: the rates that each looks at, and how far apart it finds them."""
