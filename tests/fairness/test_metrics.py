"""The metrics against fairlearn, scikit-learn and cases worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness import METRICS, Counts, count_predictions, error, group_accuracy, unfairness
from evo_fair.fairness.bootstrap import on_resamples
from evo_fair.fairness.metrics import ACCURACIES

# Two groups with a sample of unknown group in `rest`; rows are true labels, columns predictions; label 1 is positive.
#   a: 3 of 4 negatives and 1 of 2 positives right     b: 1 of 2 negatives and 4 of 4 positives right
HAND = Counts(
    values=np.array([[[[3, 1], [1, 1]], [[1, 1], [0, 4]]]]),
    rest=np.array([[[0, 1], [0, 0]]]),
    group_names=("a", "b"),
    label_names=("no", "yes"),
    positive=(1,),
)


def _random(
    seed: int, samples: int = 200, n_groups: int = 3, n_labels: int = 2, networks: int = 4, positive: tuple = (1,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Counts]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_labels, samples)
    groups = rng.integers(0, n_groups, samples)
    # every group meets every label, so that all rates exist
    labels[: n_groups * n_labels] = np.tile(np.arange(n_labels), n_groups)
    groups[: n_groups * n_labels] = np.repeat(np.arange(n_groups), n_labels)
    predictions = rng.integers(0, n_labels, (networks, samples), dtype=np.uint8)
    values, rest = count_predictions(predictions, labels, groups, n_groups, n_labels)
    names = tuple(f"group {i}" for i in range(n_groups)), tuple(f"label {i}" for i in range(n_labels))
    return labels, groups, predictions, Counts(values, rest, *names, positive)


def _frame(labels: np.ndarray, predictions: np.ndarray, groups: np.ndarray) -> fairlearn.MetricFrame:
    return fairlearn.MetricFrame(metrics=accuracy_score, y_true=labels, y_pred=predictions, sensitive_features=groups)


ORACLES: dict[str, Callable[..., float]] = {
    "accuracy": lambda y, p, g: accuracy_score(y, p),
    "error": lambda y, p, g: 1 - accuracy_score(y, p),
    "balanced_accuracy": lambda y, p, g: balanced_accuracy_score(y, p),
    "balanced_error": lambda y, p, g: 1 - balanced_accuracy_score(y, p),
    "worst_group_accuracy": lambda y, p, g: _frame(y, p, g).group_min(),
    "worst_group_error": lambda y, p, g: 1 - _frame(y, p, g).group_min(),
    "accuracy_gap": lambda y, p, g: _frame(y, p, g).difference(method="between_groups"),
    "unfairness": lambda y, p, g: (_frame(y, p, g).by_group - _frame(y, p, g).overall).abs().sum(),
    "demographic_parity_difference": lambda y, p, g: fairlearn.demographic_parity_difference(
        y, p, sensitive_features=g
    ),
    "equal_opportunity_difference": lambda y, p, g: fairlearn.equal_opportunity_difference(y, p, sensitive_features=g),
    "equalized_odds_difference": lambda y, p, g: fairlearn.equalized_odds_difference(
        y, p, sensitive_features=g, agg="worst_case"
    ),
    "average_odds_difference": lambda y, p, g: fairlearn.equalized_odds_difference(
        y, p, sensitive_features=g, agg="mean"
    ),
    "cwv": lambda y, p, g: np.var(recall_score(y, p, average=None)),
    "mcd": lambda y, p, g: np.ptp(recall_score(y, p, average=None)),
}


def test_every_metric_has_an_oracle() -> None:
    assert set(METRICS) == set(ORACLES)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_a_metric_equals_fairlearns_or_scikit_learns(name: str, seed: int) -> None:
    labels, groups, predictions, counts = _random(seed)
    expected = [ORACLES[name](labels, row, groups) for row in predictions]
    result = METRICS[name](counts)
    assert result.dtype == np.float64
    assert result.shape == (4,)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_several_positive_labels_make_one_binary_decision(name: str) -> None:
    labels, groups, predictions, counts = _random(5, samples=400, n_labels=4, positive=(1, 3))
    rates = ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference")
    binary = name in (*rates, "average_odds_difference")
    as_seen = (lambda a: np.isin(a, [1, 3]).astype(int)) if binary else (lambda a: a)
    expected = [ORACLES[name](as_seen(labels), as_seen(row), groups) for row in predictions]
    np.testing.assert_allclose(METRICS[name](counts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 9 / 13),
        ("error", 4 / 13),
        ("balanced_accuracy", (4 / 7 + 5 / 6) / 2),
        ("balanced_error", 1 - (4 / 7 + 5 / 6) / 2),
        ("worst_group_accuracy", 4 / 6),
        ("worst_group_error", 2 / 6),
        ("accuracy_gap", 5 / 6 - 4 / 6),
        ("unfairness", (9 / 13 - 4 / 6) + (5 / 6 - 9 / 13)),
        ("demographic_parity_difference", 5 / 6 - 2 / 6),
        ("equal_opportunity_difference", 4 / 4 - 1 / 2),
        ("equalized_odds_difference", 1 / 2),
        ("average_odds_difference", (1 / 2 + 1 / 4) / 2),
        ("cwv", ((5 / 6 - 4 / 7) / 2) ** 2),
        ("mcd", 5 / 6 - 4 / 7),
    ],
)
def test_a_metric_has_the_value_worked_out_by_hand(name: str, expected: float) -> None:
    assert METRICS[name](HAND) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_what_chance_does_to_equal_groups_is_what_the_metric_finds_in_resamples_of_them(name: str) -> None:
    """Two groups alike, that get both labels right equally often: whatever a metric of inequality finds is noise."""
    alike = Counts(np.full((1, 2, 2, 2), [[30, 10], [10, 30]]), np.zeros((1, 2, 2), int), ("a", "b"), ("n", "y"), (1,))
    resampled = _random(7, n_groups=2)[3]
    values, found = on_resamples(METRICS[name], alike, resampled)
    np.testing.assert_allclose(values, METRICS[name](resampled), atol=1e-12)
    if name in ACCURACIES:
        assert found is None
    else:
        np.testing.assert_allclose(found, METRICS[name](resampled), atol=1e-12)


def test_what_chance_does_is_measured_from_the_samples_own_rates() -> None:
    """Groups of accuracies 0.9 and 0.5, and resamples with 0.9 and 0.5 (no noise) and with 0.8 and 0.6."""

    def counts(*rights: tuple[int, int]) -> Counts:
        values = np.array([[[[right, 10 - right], [0, 0]] for right in row] for row in rights])
        return Counts(values, np.zeros((len(rights), 2, 2), int), ("a", "b"), ("n", "y"))

    found = on_resamples(METRICS["unfairness"], counts((9, 5)), counts((9, 5), (8, 6))).by_chance
    np.testing.assert_allclose(found, [0.0, 0.2], atol=1e-12)


def test_group_accuracy_leaves_the_unknown_out_and_accuracy_counts_them() -> None:
    assert group_accuracy(HAND).tolist() == [[4 / 6, 5 / 6]]
    assert error(HAND).tolist() == [pytest.approx(4 / 13)]


@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_metrics_do_not_depend_on_the_order_of_groups(seed: int, order: list[int]) -> None:
    counts = _random(seed, samples=60)[3]
    names = tuple(counts.group_names[i] for i in order)
    other = Counts(counts.values[:, order], counts.rest, names, counts.label_names, counts.positive)
    for name, metric in METRICS.items():
        np.testing.assert_allclose(metric(other), metric(counts), atol=1e-12, err_msg=name)


@given(st.integers(0, 2**32 - 1), st.integers(2, 50))
def test_metrics_do_not_depend_on_how_often_the_samples_repeat(seed: int, times: int) -> None:
    counts = _random(seed, samples=60)[3]
    other = Counts(counts.values * times, counts.rest * times, counts.group_names, counts.label_names, counts.positive)
    for name, metric in METRICS.items():
        np.testing.assert_allclose(metric(other), metric(counts), atol=1e-12, err_msg=name)


@given(st.integers(0, 2**32 - 1))
def test_a_network_that_is_always_right_is_fair_and_without_error(seed: int) -> None:
    labels, groups, _, counts = _random(seed, samples=30)
    values, rest = count_predictions(labels[None].astype(np.uint8), labels, groups, 3, 2)
    right = Counts(values, rest, counts.group_names, counts.label_names, counts.positive)
    for name in set(METRICS) - {
        "accuracy",
        "balanced_accuracy",
        "worst_group_accuracy",
        "demographic_parity_difference",
    }:
        assert METRICS[name](right).tolist() == [0.0], name


def _without(values: list[list[list[int]]], positive: tuple[int, ...] = (1,)) -> Counts:
    table = np.array([values])
    names = tuple("abc"[: table.shape[1]])
    return Counts(table, np.zeros((1, *table.shape[2:]), int), names, ("no", "yes"), positive)


EMPTY_GROUP = _without([[[1, 0], [0, 1]], [[0, 0], [0, 0]]])
NO_POSITIVES_IN_B = _without([[[1, 0], [0, 1]], [[1, 1], [0, 0]]])
NO_NEGATIVES_IN_B = _without([[[1, 0], [0, 1]], [[0, 0], [1, 1]]])
NO_YES = _without([[[1, 0], [0, 0]], [[1, 0], [0, 0]]])
NO_POSITIVE_DECLARED = _without([[[1, 0], [0, 1]], [[1, 0], [0, 1]]], positive=())
ONE_GROUP = _without([[[1, 0], [0, 1]]])
NO_SAMPLES = Counts(np.zeros((1, 0, 2, 2), int), np.zeros((1, 2, 2), int), (), ("no", "yes"), (1,))

BY_GROUP = ["unfairness", "accuracy_gap", "worst_group_accuracy", "worst_group_error"]
PARITY, OPPORTUNITY, ODDS = "demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference"
AVERAGE = "average_odds_difference"
BY_LABEL = ["balanced_accuracy", "balanced_error", "cwv", "mcd"]


@pytest.mark.parametrize(
    ("names", "counts", "message"),
    [
        (
            [*BY_GROUP, PARITY, OPPORTUNITY, ODDS, AVERAGE],
            EMPTY_GROUP,
            "group 'b' has no sample; use a coarser grouping",
        ),
        ([OPPORTUNITY, ODDS, AVERAGE], NO_POSITIVES_IN_B, "group 'b' has no positive sample; use"),
        ([ODDS, AVERAGE], NO_NEGATIVES_IN_B, "group 'b' has no negative sample; use"),
        (BY_LABEL, NO_YES, "label 'yes' has no sample; drop"),
        ([PARITY, OPPORTUNITY, ODDS, AVERAGE], NO_POSITIVE_DECLARED, "none of no, yes is declared so; declare"),
        (["unfairness", "accuracy_gap", PARITY, OPPORTUNITY, ODDS, AVERAGE], ONE_GROUP, "at least 2 group.*choose"),
        (["worst_group_accuracy", "worst_group_error"], NO_SAMPLES, "at least 1 group.*none"),
        (["accuracy", "error"], NO_SAMPLES, "no sample; evaluate"),
    ],
)
def test_a_metric_without_a_value_says_why_and_what_to_do(names: list[str], counts: Counts, message: str) -> None:
    for name in names:
        with pytest.raises(UndefinedMetricError, match=rf"^{name} .*{message}"):
            METRICS[name](counts)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (PARITY, NO_POSITIVES_IN_B),
        (OPPORTUNITY, NO_NEGATIVES_IN_B),
        ("accuracy_gap", NO_YES),
        ("worst_group_error", ONE_GROUP),
    ],
)
def test_what_a_metric_does_not_need_may_be_absent(name: str, counts: Counts) -> None:
    assert np.isfinite(METRICS[name](counts)).all()


def test_unfairness_of_one_group_is_refused_rather_than_reported_as_zero() -> None:
    with pytest.raises(UndefinedMetricError, match="unfairness"):
        unfairness(ONE_GROUP)
