"""The summary by group of one network."""

import numpy as np

from evo_fair.fairness import Counts
from evo_fair.fairness.summary import confusion_summary, group_summary


def test_samples_correct_and_accuracy_by_group() -> None:
    values = np.zeros((2, 2, 2, 2), np.int64)
    values[1, 0] = [[3, 1], [0, 4]]
    counts = Counts(values, np.ones((2, 2, 2), np.int64), ("a", "b"), ("x", "y"))
    assert group_summary(counts, 1) == {
        "a": {"samples": 8, "correct": 7, "accuracy": 0.875},
        "b": {"samples": 0, "correct": 0, "accuracy": None},
    }


def test_confusion_names_what_labels_were_taken_for() -> None:
    """Of group a, one x was taken for y; of the sample whose group is unknown, a y for x."""
    values = np.zeros((2, 2, 2, 2), np.int64)
    values[1, 0] = [[3, 1], [0, 4]]
    rest = np.zeros((2, 2, 2), np.int64)
    rest[1, 1, 0] = 1
    counts = Counts(values, rest, ("a", "b"), ("x", "y"))
    assert confusion_summary(counts, 1) == {
        "overall": {"x": {"x": 3, "y": 1}, "y": {"x": 1, "y": 4}},
        "by_group": {"a": {"x": {"x": 3, "y": 1}, "y": {"y": 4}}, "b": {}},
    }
