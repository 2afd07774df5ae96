"""What one network gets right in each group, in numbers that a person or a JSON file can take."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evo_fair.arrays import Ints
from evo_fair.fairness.counts import Counts

__all__ = ["Confusion", "GroupSummary", "confusion_summary", "group_summary"]

GroupSummary = dict[str, dict[str, int | float | None]]
Confusion = dict[str, dict[str, int]]
"""How many samples of a label were taken for which label; what never happened is left out."""


def group_summary(counts: Counts, network: int = 0) -> GroupSummary:
    """What one network gets right, by group.

    Args:
        counts: The counts of several networks.
        network: The network's place in them. Default: 0.

    Returns:
        `samples`, `correct` and `accuracy` by group; the accuracy is None for a group
        without samples.
    """
    values = counts.values[network]
    samples = values.sum(axis=(1, 2))
    correct = np.trace(values, axis1=1, axis2=2)
    return {
        name: {"samples": int(n), "correct": int(right), "accuracy": float(right / n) if n else None}
        for name, n, right in zip(counts.group_names, samples, correct, strict=True)
    }


def confusion_summary(counts: Counts, network: int = 0) -> dict[str, Any]:
    """What the samples of each label were taken for: `overall`, and `by_group` for each group; see `Confusion`."""
    groups = zip(counts.group_names, counts.values[network], strict=True)
    return {
        "overall": _confusion(counts.overall[network], counts.label_names),
        "by_group": {name: _confusion(values, counts.label_names) for name, values in groups},
    }


def _confusion(values: Ints, labels: Sequence[str]) -> Confusion:
    """Counts `[labels, predictions]` by name, without those that are 0."""
    return {
        label: {labels[taken]: int(row[taken]) for taken in np.flatnonzero(row).tolist()}
        for label, row in zip(labels, values, strict=True)
        if row.any()
    }
