"""Counting predictions by group, label and prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo_fair.fairness import Counts, concatenate, count_predictions

LABELS = np.array([0, 0, 1, 2, 1])
GROUPS = np.array([0, 1, 1, 0, -1], np.int16)
PREDICTIONS = np.array([[0, 2, 1, 2, 0], [1, 1, 1, 1, 1]], np.uint8)


def _counts() -> Counts:
    values, rest = count_predictions(PREDICTIONS, LABELS, GROUPS, 2, 3)
    return Counts(values, rest, ("a", "b"), ("x", "y", "z"), (1,))


def test_each_sample_is_counted_once_where_it_belongs() -> None:
    counts = _counts()
    first = np.zeros((2, 3, 3), int)
    first[0, 0, 0] = first[0, 2, 2] = first[1, 0, 2] = first[1, 1, 1] = 1
    assert counts.values[0].tolist() == first.tolist()
    assert counts.rest[0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert counts.overall[1].tolist() == [[0, 2, 0], [0, 2, 0], [0, 1, 0]]
    assert counts.values.dtype == counts.rest.dtype == np.int64


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5), st.integers(2, 6), st.integers(0, 40))
def test_counts_agree_with_a_loop_over_the_samples(
    seed: int, networks: int, n_groups: int, n_labels: int, samples: int
) -> None:
    rng = np.random.default_rng(seed)
    predictions = rng.integers(0, n_labels, (networks, samples), dtype=np.uint8)
    labels = rng.integers(0, n_labels, samples)
    groups = rng.integers(-1, n_groups, samples)
    expected = np.zeros((networks, n_groups + 1, n_labels, n_labels), int)
    for network in range(networks):
        for sample in range(samples):  # index -1 is the last row: the unknown
            expected[network, groups[sample], labels[sample], predictions[network, sample]] += 1
    values, rest = count_predictions(predictions, labels, groups, n_groups, n_labels)
    np.testing.assert_array_equal(values, expected[:, :-1])
    np.testing.assert_array_equal(rest, expected[:, -1])


def test_networks_can_be_chosen_and_joined_again() -> None:
    counts = _counts()
    joined = concatenate([counts[1], counts[np.array([True, False])]])
    assert len(joined) == 2
    np.testing.assert_array_equal(joined.values, counts.values[::-1])
    np.testing.assert_array_equal(joined.rest, counts[[1, 0]].rest)
    np.testing.assert_array_equal(counts[:1].overall, counts.overall[:1])


def test_counts_of_other_groups_are_not_joined() -> None:
    counts = _counts()
    with pytest.raises(ValueError, match="can't be joined"):
        concatenate([counts, Counts(counts.values, counts.rest, ("a", "c"), counts.label_names, counts.positive)])


@pytest.mark.parametrize(
    ("predictions", "labels", "groups", "message"),
    [
        (PREDICTIONS[0], LABELS, GROUPS, r"predictions\[None\]"),
        (PREDICTIONS.astype(np.int64), LABELS, GROUPS, "uint8"),
        (PREDICTIONS, LABELS[:4], GROUPS, "labels have the shape"),
        (PREDICTIONS, LABELS, GROUPS[:4], "groups have the shape"),
        (PREDICTIONS + np.uint8(1), LABELS, GROUPS, "predictions lie between 0 and 2, got 1 to 3"),
        (PREDICTIONS, LABELS - 1, GROUPS, "labels lie between"),
        (PREDICTIONS, LABELS, GROUPS + 1, "groups lie between -1 and 1, got 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(
    predictions: np.ndarray, labels: np.ndarray, groups: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        count_predictions(predictions, labels, groups, 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_names": ("a",)}, "counts of 1 groups"),
        ({"rest": np.zeros((1, 3, 3), np.int64)}, "rest has the shape"),
        ({"positive": (3,)}, "from 0 to 2"),
        ({"rest": _counts().rest / 2}, "counts are whole numbers, got float64"),
    ],
)
def test_counts_refuse_what_does_not_fit(change: dict[str, object], message: str) -> None:
    counts = _counts()
    fields = {name: getattr(counts, name) for name in ("values", "rest", "group_names", "label_names", "positive")}
    with pytest.raises(ValueError, match=message):
        Counts(**(fields | change))
