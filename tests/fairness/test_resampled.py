"""Resamples by unit, and what a network gets right on them, against enumeration and counting by hand."""

import tracemalloc
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness import METRICS, Counts, count_predictions
from evo_fair.fairness.bootstrap import interval
from evo_fair.fairness.counts import concatenate
from evo_fair.fairness.resampled import Resampled, draw_weights

from .six_samples import GROUPS, LABELS, PREDICTIONS, UNITS, counts_of


def test_resamples_are_those_that_counting_repeated_samples_gives() -> None:
    weights = draw_weights(UNITS, 50, np.random.default_rng(0))
    like = counts_of(PREDICTIONS, LABELS, GROUPS)
    resampled = concatenate(list(Resampled.of(weights, PREDICTIONS, LABELS, GROUPS, like).parts()))
    for number, weight in enumerate(weights):
        repeated = np.repeat(np.arange(6), weight)
        expected = counts_of(PREDICTIONS[repeated], LABELS[repeated], GROUPS[repeated])
        assert (resampled.values[number] == expected.values[0]).all()
        assert (resampled.rest[number] == expected.rest[0]).all()


def test_units_stay_whole_and_are_drawn_as_often_as_there_are() -> None:
    weights = draw_weights(UNITS, 200, np.random.default_rng(1))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3, 5]].sum(axis=1) == 4).all()


def test_distribution_is_that_of_all_resamples_enumerated() -> None:
    """Three units have 27 resamples; the shares of each accuracy among them are the probabilities."""
    units, right, size = np.array([0, 1, 1, 2]), np.array([1, 1, 0, 0]), np.array([1, 2, 1])
    labels, groups = np.zeros(4, np.int64), np.array([0, 0, 1, 1], np.int16)
    by_unit = np.array([1, 1, 0])
    enumerated = [by_unit[list(draw)].sum() / size[list(draw)].sum() for draw in product(range(3), repeat=3)]
    values, shares = np.unique(np.round(enumerated, 9), return_counts=True)
    predictions = (1 - right).astype(np.uint8)
    weights = draw_weights(units, 40_000, np.random.default_rng(2))
    resampled = Resampled.of(weights, predictions, labels, groups, counts_of(predictions, labels, groups))
    seen, times = np.unique(np.round(METRICS["accuracy"](resampled), 9), return_counts=True)
    assert seen.tolist() == values.tolist()
    np.testing.assert_allclose(times / 40_000, shares / 27, atol=0.01)


def test_every_resample_holds_what_is_needed() -> None:
    """Member 2 of the second partition has no sample at all, so none is waited for."""
    weights = draw_weights(np.arange(6), 500, np.random.default_rng(8), (LABELS, np.where(GROUPS == 1, 3, GROUPS)))
    assert len(weights) == 500
    for part in (LABELS, GROUPS):
        for member in range(2):
            assert (weights[:, part == member].sum(axis=1) > 0).all()


def test_too_few_units_are_refused() -> None:
    """Forty groups of a unit each: a resample that holds all of them has a probability of 40! / 40^40."""
    with pytest.raises(UndefinedMetricError, match="too few units"):
        draw_weights(np.arange(40), 3, np.random.default_rng(9), (np.arange(40),))


@pytest.mark.parametrize("at_once", [1, 1000])
def test_resamples_are_the_same_however_many_are_worked_on_at_a_time(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    rng = np.random.default_rng(0)
    units, groups, labels = rng.integers(0, 40, 200), np.arange(200) // 198, rng.integers(0, 2, 200)
    predictions = rng.integers(0, 2, 200).astype(np.uint8)
    values, rest = count_predictions(predictions[None], labels, groups, 2, 2)
    like = Counts(values, rest, ("a", "b"), ("no", "yes"), (1,))

    def resamples() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        weights = draw_weights(units, 300, np.random.default_rng(0), needed=(groups,))  # the small group: drawn anew
        return weights, Resampled.of(weights, predictions, labels, groups, like).sums

    expected = resamples()
    monkeypatch.setattr("evo_fair.fairness.resampled.AT_ONCE", at_once)
    for before, after in zip(expected, resamples(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_group_that_is_drawn_once_is_there() -> None:
    """Of three units, each alone in its group, the resamples with all groups have each of them once."""
    weights = draw_weights(np.arange(3), 100, np.random.default_rng(3), (np.arange(3),))
    assert (weights == 1).all()


def test_many_units_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo_fair.fairness.resampled.AT_ONCE", 10)  # three resamples at a time
    weights = draw_weights(np.arange(3), 100, np.random.default_rng(3), (np.array([0, 0, 1]),))
    assert (weights.sum(axis=1) == 3).all()
    assert (weights[:, 2] > 0).all()
    assert (weights[:, :2].sum(axis=1) > 0).all()
    assert len({tuple(row) for row in weights.tolist()}) == 5


def of_many(labels: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], Counts]:
    """Samples of many labels, which are the groups, too; predictions of which half are right; and their counts."""
    rng = np.random.default_rng(0)
    true = np.tile(np.arange(labels), 10)
    predictions = np.where(rng.random(len(true)) < 0.5, true, rng.integers(0, labels, len(true))).astype(np.uint8)
    names = tuple(map(str, range(labels)))
    return true, predictions, Counts(*count_predictions(predictions[None], true, true, labels, labels), names, names)


@pytest.mark.parametrize("at_once", [1, 2**24])
def test_resamples_add_up_to_what_their_counts_add_up_to(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("evo_fair.fairness.resampled.AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    labels, groups, predictions = (rng.integers(low, 3, 80) for low in (0, -1, 0))
    values, rest = count_predictions(predictions.astype(np.uint8)[None], labels, groups, 3, 3)
    like = Counts(values, rest, ("a", "b", "c"), ("x", "y", "z"), (1, 2))
    weights = draw_weights(np.arange(80), 40, rng)
    found = Resampled.of(weights, predictions.astype(np.uint8), labels, groups, like)
    parts = list(found.parts())
    assert len(parts) == (40 if at_once == 1 else 1)
    counts = concatenate(parts)
    assert len(found) == len(counts) == 40
    for name in ("by_label", "right_by_label", "right_by_group"):
        np.testing.assert_array_equal(getattr(found, name), getattr(counts, name))
    for chosen in ({}, {"labels": [1, 2]}, {"predictions": [0]}, {"labels": [0], "predictions": [1, 2]}):
        np.testing.assert_array_equal(found.by_group(**chosen), counts.by_group(**chosen))
    for metric in METRICS.values():
        np.testing.assert_array_equal(metric(found), metric(counts))  # type: ignore[arg-type]


def test_a_hundred_labels_that_are_the_groups_do_not_fill_the_memory() -> None:
    """As counts these resamples take 8 GB."""
    labels, predictions, counts = of_many(100)
    weights = draw_weights(np.arange(1000), 1000, np.random.default_rng(0), (labels,), np.uint8)
    tracemalloc.start()
    try:
        found = Resampled.of(weights, predictions, labels, labels, counts)
        intervals = {name: interval(METRICS[name], counts, found) for name in ("accuracy", "balanced_accuracy")}
        own = interval(lambda each: METRICS["accuracy"](each) - 0.5, counts, found)  # one's own, which gets counts
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1e9
    assert intervals["accuracy"].low < intervals["accuracy"].value < intervals["accuracy"].high
    np.testing.assert_allclose(own, np.array(intervals["accuracy"]) - 0.5)
