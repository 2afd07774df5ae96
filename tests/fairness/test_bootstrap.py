"""Bootstrap by unit, against enumeration by hand and scipy."""

import numpy as np
import pytest
from scipy import stats

from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness import METRICS, Counts, count_predictions, group_accuracy
from evo_fair.fairness.bootstrap import ends, ends_of_change, ends_of_groups, interval
from evo_fair.fairness.resampled import Resampled, draw_weights
from evo_fair.fairness.wilson import wilson_ends

from .six_samples import GROUPS, LABELS, PREDICTIONS, UNITS, counts_of


def test_interval_agrees_with_scipys_where_units_are_samples() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    groups = rng.integers(0, 2, 400).astype(np.int16)
    predictions = np.where(rng.random(400) < 0.8, labels, 1 - labels).astype(np.uint8)
    right = predictions == labels
    oracle = stats.bootstrap((right,), np.mean, n_resamples=20_000, method="basic", rng=4).confidence_interval
    weights = draw_weights(np.arange(400), 20_000, np.random.default_rng(5))
    counts = counts_of(predictions, labels, groups)
    found = interval(METRICS["accuracy"], counts, Resampled.of(weights, predictions, labels, groups, counts))
    assert found.value == right.mean()
    np.testing.assert_allclose(found[1:], [oracle.low, oracle.high], atol=0.003)


def test_duplicated_samples_of_a_unit_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(6)
    labels, groups = rng.integers(0, 2, 100), rng.integers(0, 2, 100).astype(np.int16)
    predictions = np.where(rng.random(100) < 0.7, labels, 1 - labels).astype(np.uint8)
    widths = []
    for times in (1, 9):
        units = np.repeat(np.arange(100), times)
        p, y, g = (np.repeat(array, times) for array in (predictions, labels, groups))
        counts = counts_of(p, y, g)
        weights = draw_weights(units, 4000, np.random.default_rng(7))
        found = interval(METRICS["accuracy"], counts, Resampled.of(weights, p, y, g, counts))
        widths.append(found.high - found.low)
    assert widths[0] == pytest.approx(widths[1], abs=1e-12)


def test_each_end_is_the_outer_one_of_percentile_and_mirrored_percentile_within_bounds() -> None:
    """Of 0, 0.01, ..., 1 the 2.5 and 97.5 % points are 0.025 and 0.975, to be mirrored at the value."""
    resampled = np.linspace(0, 1, 101)
    np.testing.assert_allclose(ends(np.float64(0.5), resampled), [0.025, 0.975])
    np.testing.assert_allclose(ends(np.float64(0.4), resampled), [0.0, 0.975])
    np.testing.assert_allclose(ends(np.float64(0.6), resampled), [0.025, 1.0])
    np.testing.assert_allclose(ends(np.float64(0.6), resampled / 2 + 0.4), [0.3125, 0.8875])
    np.testing.assert_allclose(ends(np.array([0.4, 0.6]), np.stack([resampled] * 2, 1)), [[0, 0.025], [0.975, 1]])
    np.testing.assert_allclose(ends_of_change(np.float64(0.4), resampled), [-0.175, 0.975])


@pytest.mark.parametrize("sizes", [(60, 60), (400, 400), (100, 100, 100)])
def test_intervals_of_slightly_unequal_groups_hold_the_truth(sizes: tuple[int, ...]) -> None:
    """The basic interval alone holds it in 75 to 89 % of cases, and ends below it in most others."""
    rng = np.random.default_rng(4)
    accuracies = np.array([0.8, 0.8, 0.7])[-len(sizes) :]
    found = rng.binomial(sizes, accuracies, (400, len(sizes))) / sizes
    drawn = rng.binomial(sizes, found, (500, 400, len(sizes))) / sizes
    held = {}
    for name, metric in (("gap", np.ptp), ("worst", np.min)):
        low, high = ends(metric(found, axis=-1), metric(drawn, axis=-1))
        truth = metric(accuracies)
        held[name] = np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12))
    assert min(held.values()) > 0.93, held


def test_two_groups_that_look_equal_have_an_interval_and_no_point() -> None:
    groups, labels = np.arange(120) % 2, np.zeros(120, np.int64)
    predictions = (np.arange(120) < 40).astype(np.uint8)  # 20 of 60 wrong in both
    values, rest = count_predictions(predictions[None], labels, groups, 2, 2)
    counts = Counts(values, rest, ("f", "m"), ("no", "yes"))
    weights = draw_weights(np.arange(120), 2000, np.random.default_rng(0), (groups,))
    found = interval(METRICS["unfairness"], counts, Resampled.of(weights, predictions, labels, groups, counts))
    # The difference of two rates of 60 samples has a standard error of sqrt(2 * (1/3 * 2/3) / 60) = 0.086, and 2.24
    # standard errors hold 97.5 % of its amounts.
    assert found.value == found.low == 0.0
    assert found.high == pytest.approx(2.24 * 0.086, rel=0.1)


@pytest.mark.parametrize("metric", ["unfairness", "accuracy_gap"])
def test_equal_groups_are_not_called_unfair(metric: str) -> None:
    """Ten groups with one accuracy: what unfairness shows is noise, and 0 lies in most intervals."""
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(10), 36).astype(np.int16)
    labels = np.arange(360) % 2
    weights = draw_weights(np.arange(360), 500, rng, (groups,))
    lows = []
    for _ in range(60):
        predictions = np.where(rng.random(360) < 0.8, labels, 1 - labels).astype(np.uint8)
        values, rest = count_predictions(predictions[None], labels, groups, 10, 2)
        counts = Counts(values, rest, tuple("abcdefghij"), ("no", "yes"))
        found = interval(METRICS[metric], counts, Resampled.of(weights, predictions, labels, groups, counts))
        assert found.value > 0.1
        lows.append(found.low)
    assert np.mean(np.array(lows) == 0.0) >= 0.9


def of_groups(right: list[int], wrong: list[int]) -> tuple[Counts, Resampled]:
    """The counts of groups of one label with so many right and wrong, and those of 500 resamples."""
    cells = np.array([right, wrong]).T
    groups = np.repeat(np.arange(len(right)), cells.sum(axis=1))
    predictions = np.repeat(np.tile([0, 1], len(right)), cells.ravel()).astype(np.uint8)
    labels = np.zeros(len(groups), np.int64)
    values, rest = count_predictions(predictions[None], labels, groups, len(right), 2)
    counts = Counts(values, rest, tuple("abcdef"[: len(right)]), ("no", "yes"))
    weights = draw_weights(np.arange(len(groups)), 500, np.random.default_rng(0), (groups,))
    return counts, Resampled.of(weights, predictions, labels, groups, counts)


def test_groups_without_an_error_or_with_errors_alone_are_bounded_by_their_number_of_samples() -> None:
    """Wilson's interval of 12 of 12 begins at 12 / (12 + z^2), that of 0 of 8 ends at z^2 / (8 + z^2)."""
    counts, resampled = of_groups([12, 0, 30], [0, 8, 20])
    low, high = ends_of_groups(counts, resampled)
    assert (high[0], low[1]) == (1.0, 0.0), "the value lies in its interval"
    np.testing.assert_allclose([low[0], high[0]], [12 / 15.8415, 1.0], atol=1e-5)
    np.testing.assert_allclose([low[1], high[1]], [0.0, 3.8415 / 11.8415], atol=1e-5)
    by_bootstrap = ends(np.array([1.0, 0.0, 0.6]), group_accuracy(resampled))
    assert (by_bootstrap[0, :2] == by_bootstrap[1, :2]).all()
    assert (low[2], high[2]) == tuple(by_bootstrap[:, 2])


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ([12, 40], [0, 0], (1.0, 12 / 15.8415, 1.0)),  # the smaller group may be the worse one
        ([0, 40], [8, 0], (0.0, 0.0, 3.8415 / 11.8415)),
    ],
)
def test_a_worst_group_that_is_all_right_or_all_wrong_has_an_interval_and_no_point(
    right: list[int], wrong: list[int], expected: tuple[float, float, float]
) -> None:
    found = interval(METRICS["worst_group_accuracy"], *of_groups(right, wrong))
    assert tuple(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 40 / 43.8415),
        ("balanced_accuracy", (10 / 13.8415 + 30 / 33.8415) / 2),  # of ten samples of one label, thirty of the other
    ],
)
def test_a_network_without_an_error_has_an_interval_and_no_point(name: str, expected: float) -> None:
    labels, groups = np.repeat([0, 1], [10, 30]), np.arange(40) % 2
    predictions = labels.astype(np.uint8)
    values, rest = count_predictions(predictions[None], labels, groups, 2, 2)
    counts = Counts(values, rest, ("a", "b"), ("no", "yes"))
    weights = draw_weights(np.arange(40), 500, np.random.default_rng(0), (labels, groups))
    found = interval(METRICS[name], counts, Resampled.of(weights, predictions, labels, groups, counts))
    assert tuple(found) == pytest.approx((1.0, expected, 1.0), abs=1e-5)


def test_other_worst_groups_have_the_interval_of_the_bootstrap() -> None:
    counts, resampled = of_groups([30, 30], [1, 20])
    worst = METRICS["worst_group_accuracy"]
    assert interval(worst, counts, resampled)[1:] == tuple(ends(0.6, worst(resampled)))


def test_errors_have_the_intervals_of_accuracies_turned_over() -> None:
    counts, resampled = of_groups([12, 40], [0, 0])
    for kind in ("", "worst_group_"):
        right, wrong = (interval(METRICS[kind + name], counts, resampled) for name in ("accuracy", "error"))
        assert tuple(wrong) == pytest.approx((1 - right.value, 1 - right.high, 1 - right.low), abs=1e-12)
        assert wrong.high > 0


@pytest.mark.parametrize(
    ("name", "sizes", "accuracies"),
    [
        ("unfairness", (400, 10), (0.9, 0.9)),
        ("accuracy_gap", (200, 200, 8), (0.9, 0.9, 0.9)),
        ("unfairness", (1000, 15), (0.85, 0.95)),
        ("worst_group_accuracy", (500, 12), (0.92, 0.8)),
        ("equal_opportunity_difference", (400, 10), (0.9, 0.95)),
        ("mcd", (10, 400), (0.9, 0.9)),
        ("balanced_accuracy", (8, 400), (0.95, 0.9)),
        ("balanced_error", (12, 400), (0.05, 0.9)),
    ],
)
def test_intervals_hold_the_truth_where_a_small_group_may_be_all_right(
    name: str, sizes: tuple[int, ...], accuracies: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(0)
    metric, by_label = METRICS[name], name in ("mcd", "balanced_accuracy", "balanced_error")

    def counted(right: np.ndarray, of: np.ndarray) -> Counts:
        values = np.zeros((len(right), 1 if by_label else len(sizes), 2, 2), np.int64)
        if by_label:
            values[:, 0, [0, 1], [0, 1]], values[:, 0, [0, 1], [1, 0]] = right, of - right
        else:
            values[..., 1, 1], values[..., 1, 0] = right, of - right
        names = tuple("abc"[: values.shape[1]])
        return Counts(values, np.zeros((len(right), 2, 2), np.int64), names, ("no", "yes"), (1,))

    of = np.array(sizes)
    truth = float(metric(counted(np.rint(1000 * of * accuracies).astype(np.int64)[None], 1000 * of))[0])
    held = []
    for _ in range(200):
        right = rng.binomial(of, accuracies)
        resampled = counted(rng.binomial(of, right / of, (300, len(of))), of)
        found = interval(metric, counted(right[None], of), resampled)
        held.append(found.low - 1e-9 <= truth <= found.high + 1e-9)
    assert np.mean(held) >= 0.93


def test_units_that_are_alike_count_once() -> None:
    """Eight images each of six lesions of one group, all right: no more is known than of six or so."""
    units = np.repeat(np.arange(66), [*[8] * 6, *[1] * 60])
    groups = (units >= 6).astype(np.int64)
    labels, predictions = np.zeros(len(units), np.int64), (np.arange(len(units)) % 4 == 3).astype(np.uint8) * groups
    values, rest = count_predictions(predictions[None].astype(np.uint8), labels, groups, 2, 2)
    counts = Counts(values, rest, ("few", "many"), ("no", "yes"))
    weights = draw_weights(units, 2000, np.random.default_rng(0), (groups,))
    low, high = ends_of_groups(counts, Resampled.of(weights, predictions.astype(np.uint8), labels, groups, counts))
    assert high[0] == 1.0
    assert 6 / 9.8415 - 0.1 < low[0] < 12 / 15.8415, "that of 48 independent images begins at 0.93"


@pytest.mark.parametrize("groups_of_units", [np.zeros(20, int), np.arange(40) % 2, np.repeat([0, 1], [20, 4])])
def test_units_of_a_group_that_holds_many_of_them_count_once_too(groups_of_units: np.ndarray) -> None:
    """Ten images each of twenty persons of group 0, who are all, half or most of the persons, and all right."""
    units, groups = np.repeat(np.arange(len(groups_of_units)), 10), np.repeat(groups_of_units, 10)
    labels, predictions = np.zeros(len(units), np.int64), np.zeros(len(units), np.uint8)
    of = int(groups.max()) + 1
    values, rest = count_predictions(predictions[None], labels, groups, of, 2)
    counts = Counts(values, rest, ("few", "many")[:of], ("no", "yes"))
    weights = draw_weights(units, 2000, np.random.default_rng(0), (groups,))
    resampled = Resampled.of(weights, predictions, labels, groups, counts)
    persons = len(groups_of_units)
    assert ends_of_groups(counts, resampled, units=persons)[0, 0] == pytest.approx(20 / 23.8415, abs=0.01)
    found = interval(METRICS["accuracy"], counts, resampled, units=persons)
    assert tuple(found) == pytest.approx((1.0, persons / (persons + 3.8415), 1.0), abs=1e-4)


def test_a_group_of_one_unit_says_no_more_than_one_sample() -> None:
    """Ten images of one person, six of them right, beside thirty persons: resamples all have the same share of them."""
    units = np.repeat(np.arange(31), [10, *[1] * 30])
    labels, groups = np.zeros(40, np.int64), (units > 0).astype(np.int64)
    predictions = (np.arange(40) % 5 > 2).astype(np.uint8)
    values, rest = count_predictions(predictions[None], labels, groups, 2, 2)
    counts = Counts(values, rest, ("one", "many"), ("no", "yes"))
    weights = draw_weights(units, 2000, np.random.default_rng(0), (groups,))
    resampled = Resampled.of(weights, predictions, labels, groups, counts)
    wilson = wilson_ends(0.6, 1)
    low, high = ends_of_groups(counts, resampled, units=31)
    np.testing.assert_allclose([low[0], high[0]], wilson, atol=0.05)  # resamples without the group are drawn anew
    assert 0.4 < low[1] < 0.6 < high[1] < 0.8
    found = {name: interval(METRICS[name], counts, resampled, units=31) for name in ("accuracy_gap", "accuracy")}
    assert found["accuracy_gap"].low == 0.0
    assert found["accuracy_gap"].high > 0.5
    alone = draw_weights(np.zeros(40), 100, np.random.default_rng(0), (groups,))
    of_one = Resampled.of(alone, predictions, labels, groups, counts)
    assert interval(METRICS["accuracy"], counts, of_one, units=1)[1:] == pytest.approx(wilson, abs=1e-9)


def test_unequal_groups_are_called_so() -> None:
    rng = np.random.default_rng(12)
    groups, labels = np.arange(300) % 3, np.zeros(300, np.int64)
    predictions = (rng.random(300) > np.array([0.9, 0.9, 0.6])[groups]).astype(np.uint8)
    values, rest = count_predictions(predictions[None], labels, groups, 3, 2)
    counts = Counts(values, rest, ("a", "b", "c"), ("no", "yes"))
    resampled = Resampled.of(draw_weights(np.arange(300), 1000, rng, (groups,)), predictions, labels, groups, counts)
    for name in ("unfairness", "accuracy_gap"):
        assert interval(METRICS[name], counts, resampled).low > 0.1


def test_a_metric_that_is_not_ours_may_be_below_0_and_has_no_ends_without_spread() -> None:
    weights = draw_weights(UNITS, 200, np.random.default_rng(0), (LABELS, GROUPS))
    counts = counts_of(PREDICTIONS, LABELS, GROUPS)
    resampled = Resampled.of(weights, PREDICTIONS, LABELS, GROUPS, counts)

    def below_0(each: Counts) -> np.ndarray:
        return METRICS["accuracy"](each) - 2

    found = interval(below_0, counts, resampled)
    assert found.low < found.value < found.high < 0
    same = interval(lambda each: np.full(len(each), -3.0), counts, resampled)
    assert same.value == -3
    assert np.isnan([same.low, same.high]).all()


def test_resamples_without_a_positive_sample_of_a_group_do_not_count() -> None:
    """A group of three positives has none in one resample of twenty; the interval is that of the others."""
    labels, groups = np.repeat([0, 1, 0, 1], [100, 100, 30, 3]), np.repeat([0, 1], [200, 33]).astype(np.int16)
    predictions = np.where(np.arange(233) % 4 == 0, 1 - labels, labels).astype(np.uint8)
    predictions[-1] = 0
    counts = Counts(*count_predictions(predictions[None], labels, groups, 2, 2), ("a", "b"), ("no", "yes"), (1,))
    weights = draw_weights(np.arange(233), 400, np.random.default_rng(0))
    whole = (weights[:, -3:] > 0).any(axis=1)
    assert 10 < (~whole).sum() < 40
    all_of_them, some = (Resampled.of(w, predictions, labels, groups, counts) for w in (weights, weights[whole]))
    for name in ("equal_opportunity_difference", "equalized_odds_difference", "average_odds_difference"):
        assert interval(METRICS[name], counts, all_of_them) == interval(METRICS[name], counts, some)
    with pytest.raises(UndefinedMetricError, match="resamples"):
        interval(METRICS["equal_opportunity_difference"], counts, all_of_them[~whole])
