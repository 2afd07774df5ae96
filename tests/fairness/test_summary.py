"""The summary by group of one network."""

import numpy as np

from evo_fair.fairness import Counts
from evo_fair.fairness.summary import group_summary


def test_samples_correct_and_accuracy_by_group() -> None:
    values = np.zeros((2, 2, 2, 2), np.int64)
    values[1, 0] = [[3, 1], [0, 4]]
    counts = Counts(values, np.ones((2, 2, 2), np.int64), ("a", "b"), ("x", "y"))
    assert group_summary(counts, 1) == {
        "a": {"samples": 8, "correct": 7, "accuracy": 0.875},
        "b": {"samples": 0, "correct": 0, "accuracy": None},
    }
