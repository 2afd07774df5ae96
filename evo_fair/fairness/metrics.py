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
from typing import NamedTuple

import numpy as np

from evo_fair.arrays import Floats
from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness.counts import Counts
from evo_fair.fairness.rates import (
    Rates,
    group_accuracies,
    group_and_overall_accuracies,
    odds,
    overall_accuracy,
    recalls,
    selection_rates,
    true_positive_rates,
)
from evo_fair.fairness.resampled import Counted

__all__ = [
    "ACCURACIES",
    "METRICS",
    "OPPOSITES",
    "RECIPES",
    "Metric",
    "Recipe",
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
    return _measured("accuracy", counts)


def error(counts: Counts) -> Floats:
    """The share of all samples that is predicted wrong: 1 - accuracy.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: There is no sample.
    """
    return _measured("error", counts)


def balanced_accuracy(counts: Counts) -> Floats:
    """The mean over the labels of the label's recall.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _measured("balanced_accuracy", counts)


def balanced_error(counts: Counts) -> Floats:
    """1 - balanced accuracy.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _measured("balanced_error", counts)


def group_accuracy(counts: Counts) -> Floats:
    """The accuracy within each group.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks, groups]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    return group_accuracies(counts, "group_accuracy", groups_needed=1).shares


def worst_group_accuracy(counts: Counts) -> Floats:
    """The accuracy of the group that fares worst.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    return _measured("worst_group_accuracy", counts)


def worst_group_error(counts: Counts) -> Floats:
    """1 - the accuracy of the group that fares worst.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A group has no sample.
    """
    return _measured("worst_group_error", counts)


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
    return _measured("unfairness", counts)


def accuracy_gap(counts: Counts) -> Floats:
    """The best minus the worst group's accuracy.

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: There are fewer than two groups, or a group has no sample.
    """
    return _measured("accuracy_gap", counts)


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
    return _measured("demographic_parity_difference", counts)


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
    return _measured("equal_opportunity_difference", counts)


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
    return _measured("equalized_odds_difference", counts)


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
    return _measured("average_odds_difference", counts)


def cwv(counts: Counts) -> Floats:
    """Class-wise variance: the mean over labels of (recall - mean recall)^2, after Ballot (arXiv 2407.02805).

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 0.25, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _measured("cwv", counts)


def mcd(counts: Counts) -> Floats:
    """Maximum class-wise discrepancy: the largest minus the smallest recall, after Ballot (arXiv 2407.02805).

    Args:
        counts: The counts of the networks.

    Returns:
        0 to 1, float64 `[networks]`.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    return _measured("mcd", counts)


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


class Recipe(NamedTuple):
    """How a metric is made: `summary` of rates.

    Args:
        rates: The rates, by counts and the metric's name.
        summary: What the metric says of rates: float64 `[networks, ...]` to
            `[networks]`.
    """

    rates: Callable[[Counted, str], Rates]
    summary: Callable[[Floats], Floats]

    def measured(self, counts: Counted, name: str) -> Floats:
        """The metric of that name, float64 `[networks]`."""
        return self.summary(self.rates(counts, name).shares)


ACCURACIES = frozenset(
    {"accuracy", "error", "balanced_accuracy", "balanced_error", "worst_group_accuracy", "worst_group_error"}
)
"""Those of them that say how much is right, or wrong; the others say how unequal groups are."""


OPPOSITES: Mapping[str, str] = MappingProxyType(
    {"error": "accuracy", "balanced_error": "balanced_accuracy", "worst_group_error": "worst_group_accuracy"}
)
"""What each error is 1 minus of, by name."""


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


def _measured(name: str, counts: Counted) -> Floats:
    return RECIPES[name].measured(counts, name)


def _missing(summary: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """1 - a summary."""
    return lambda rates: 1.0 - summary(rates)


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


_OF_ANY_GROUPS = partial(group_accuracies, groups_needed=1)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "accuracy": Recipe(overall_accuracy, _mean),
        "error": Recipe(overall_accuracy, _missing(_mean)),
        "balanced_accuracy": Recipe(recalls, _mean),
        "balanced_error": Recipe(recalls, _missing(_mean)),
        "worst_group_accuracy": Recipe(_OF_ANY_GROUPS, _worst),
        "worst_group_error": Recipe(_OF_ANY_GROUPS, _missing(_worst)),
        "unfairness": Recipe(group_and_overall_accuracies, _distances),
        "accuracy_gap": Recipe(group_accuracies, _difference),
        "demographic_parity_difference": Recipe(selection_rates, _difference),
        "equal_opportunity_difference": Recipe(true_positive_rates, _difference),
        "equalized_odds_difference": Recipe(odds, _largest_difference),
        "average_odds_difference": Recipe(odds, _mean_difference),
        "cwv": Recipe(recalls, _variance),
        "mcd": Recipe(recalls, _difference),
    }
)
"""What the metrics of `METRICS` are made of, by name."""
