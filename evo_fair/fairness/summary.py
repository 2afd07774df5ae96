"""What one network gets right in each group, in numbers that a person or a JSON file can take."""

import numpy as np

from evo_fair.fairness.counts import Counts

__all__ = ["GroupSummary", "group_summary"]

GroupSummary = dict[str, dict[str, int | float | None]]


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
