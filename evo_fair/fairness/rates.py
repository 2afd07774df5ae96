"""The rates that metrics are made of: how many samples of which kind are predicted so, of how many."""

from typing import NamedTuple

import numpy as np

from evo_fair.arrays import Floats, Ints
from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness.resampled import Counted

__all__ = [
    "Rates",
    "group_accuracies",
    "group_and_overall_accuracies",
    "odds",
    "overall_accuracy",
    "recalls",
    "selection_rates",
    "true_positive_rates",
]


class Rates(NamedTuple):
    """Shares of samples, `[networks, rates]` or, of two kinds by group, `[networks, 2, groups]`.

    Args:
        part: How many samples are predicted so, int64.
        whole: Of how many, int64, nowhere 0.
    """

    part: Ints
    whole: Ints

    @property
    def shares(self) -> Floats:
        """The rates themselves, 0 to 1."""
        return np.asarray(self.part / self.whole, np.float64)


def overall_accuracy(counts: Counted, metric: str) -> Rates:
    """The share of all samples that is predicted right: `[networks, 1]`.

    Args:
        counts: The counts of the networks.
        metric: What asks, for the message.

    Raises:
        UndefinedMetricError: There is no sample.
    """
    totals = counts.by_label.sum(axis=1)
    if not totals.all():
        raise UndefinedMetricError(f"{metric} has no value: there is no sample; evaluate on a split that has some")
    return Rates(counts.right_by_label.sum(axis=1)[:, None], totals[:, None])


def recalls(counts: Counted, metric: str) -> Rates:
    """The share of each label's samples, of any group, that is predicted right: `[networks, labels]`.

    Args:
        counts: The counts of the networks.
        metric: What asks, for the message.

    Raises:
        UndefinedMetricError: A label has no sample.
    """
    totals = counts.by_label
    lacking = "has no sample; drop the label, or use a split that has some of it"
    _refuse_empty(totals, counts.label_names, metric, "label", lacking)
    return Rates(counts.right_by_label, totals)


def group_accuracies(counts: Counted, metric: str, groups_needed: int = 2) -> Rates:
    """The share of each group's samples that is predicted right: `[networks, groups]`.

    Args:
        counts: The counts of the networks.
        metric: What asks, for the message.
        groups_needed: How many groups there have to be. Default: 2.

    Raises:
        UndefinedMetricError: There are fewer groups, or a group has no sample.
    """
    return Rates(counts.right_by_group, _group_totals(counts, metric, groups_needed))


def group_and_overall_accuracies(counts: Counted, metric: str) -> Rates:
    """The rates of `group_accuracies`, and of all samples behind them: `[networks, groups + 1]`.

    Args:
        counts: The counts of the networks.
        metric: What asks, for the message.

    Raises:
        UndefinedMetricError: There are fewer than two groups, or a group has no sample.
    """
    by_group, overall = group_accuracies(counts, metric), overall_accuracy(counts, metric)
    return Rates(*(np.concatenate(both, axis=1) for both in zip(by_group, overall, strict=True)))


def selection_rates(counts: Counted, metric: str) -> Rates:
    """The share of each group's samples that is predicted positive: `[networks, groups]`.

    Args:
        counts: The counts of the networks, with positive labels.
        metric: What asks, for the message.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no sample.
    """
    positive = _positive(counts, metric)
    return Rates(counts.by_group(predictions=positive), _group_totals(counts, metric))


def true_positive_rates(counts: Counted, metric: str) -> Rates:
    """How often each group's samples with a positive label are predicted positive: `[networks, groups]`.

    Args:
        counts: The counts of the networks, with positive labels.
        metric: What asks, for the message.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no positive sample.
    """
    return _positive_rates(counts, metric, of_positives=True)


def odds(counts: Counted, metric: str) -> Rates:
    """True positive rates and false positive rates by group: `[networks, 2, groups]`.

    Args:
        counts: The counts of the networks, with positive labels.
        metric: What asks, for the message.

    Raises:
        UndefinedMetricError: No label is positive, there are fewer than two groups, or
            a group has no positive or no negative sample.
    """
    both = (_positive_rates(counts, metric, of_positives=True), _positive_rates(counts, metric, of_positives=False))
    return Rates(*(np.stack(each, axis=1) for each in zip(*both, strict=True)))


def _positive_rates(counts: Counted, metric: str, *, of_positives: bool) -> Rates:
    """How often samples with a positive label (or those without) are predicted positive, by group."""
    predicted = _positive(counts, metric)
    labels = predicted if of_positives else sorted(set(range(len(counts.label_names))) - set(predicted))
    _group_totals(counts, metric)
    totals = counts.by_group(labels)
    kind = "positive" if of_positives else "negative"
    lacking = f"has no {kind} sample; use a coarser grouping, a split that has some, or a metric on accuracy"
    _refuse_empty(totals, counts.group_names, metric, "group", lacking)
    return Rates(counts.by_group(labels, predicted), totals)


def _group_totals(counts: Counted, metric: str, groups_needed: int = 2) -> Ints:
    """How many samples each group has: `[networks, groups]`, none of it 0."""
    if len(counts.group_names) < groups_needed:
        raise UndefinedMetricError(
            f"{metric} needs at least {groups_needed} group(s), got {len(counts.group_names)} "
            f"({', '.join(counts.group_names) or 'none'}); choose a grouping with more"
        )
    totals = counts.by_group()
    lacking = "has no sample; use a coarser grouping, or a split that has some of it"
    _refuse_empty(totals, counts.group_names, metric, "group", lacking)
    return totals


def _positive(counts: Counted, metric: str) -> list[int]:
    if not counts.positive:
        raise UndefinedMetricError(
            f"{metric} needs labels that count as positive, and none of {', '.join(counts.label_names)} is "
            "declared so; declare them in the problem, or choose a metric that needs none, such as accuracy_gap"
        )
    return list(counts.positive)


def _refuse_empty(totals: Ints, names: tuple[str, ...], metric: str, what: str, lacking: str) -> None:
    for name, empty in zip(names, (totals == 0).any(axis=0), strict=True):
        if empty:
            raise UndefinedMetricError(f"{metric} has no value: {what} {name!r} {lacking}")
