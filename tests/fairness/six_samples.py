"""Six samples of two labels and two groups, one of no known group, small enough to count by hand."""

import numpy as np

from evo_fair.fairness import Counts, count_predictions

__all__ = ["GROUPS", "LABELS", "PREDICTIONS", "UNITS", "counts_of"]

LABELS = np.array([0, 0, 1, 1, 0, 1])
GROUPS = np.array([0, 1, 0, 1, -1, 1], np.int16)
PREDICTIONS = np.array([0, 1, 1, 1, 0, 0], np.uint8)
UNITS = np.array([7, 7, 2, 3, 3, 9])


def counts_of(predictions: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Counts:
    """The counts of one network, of which label 1 is the positive one."""
    values, rest = count_predictions(predictions[None], labels, groups, 2, 2)
    return Counts(values, rest, ("a", "b"), ("no", "yes"), (1,))
