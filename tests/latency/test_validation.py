"""Validation: scores by hand, and folds that never test on what they fit."""

import numpy as np
import pytest

from evo_fair.latency import validation
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.validation import held_out_ms, median_scores, score


def test_scores_of_four_networks() -> None:
    measured = np.array([1.0, 2.0, 4.0, 10.0])
    scores = score(measured * [1.0, 1.05, 0.8, 1.3], measured)
    assert scores.networks == 4
    assert scores.mape == pytest.approx((0 + 5 + 20 + 30) / 4)
    assert scores.within_10_percent == 50
    assert scores.spearman == pytest.approx(1)
    assert score(np.array([2.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0])).kendall == pytest.approx(1 / 3)


def test_one_network_has_no_rank() -> None:
    assert score(np.array([1.0]), np.array([1.0])).spearman == 0


def test_every_network_is_predicted_by_a_fit_without_it(made_up: Measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[set[str]] = []
    fit_model = validation.fit_model

    def spy(measured: Measurements, bytes_per_value: float) -> object:
        fitted.append(set(measured.names))
        return fit_model(measured, bytes_per_value)

    monkeypatch.setattr(validation, "fit_model", spy)
    predicted = held_out_ms(made_up, shuffles=2)
    assert predicted is not None
    assert median_scores(predicted, made_up.latency_ms).networks == 60
    assert [len(names) for names in fitted] == [48] * 10
    for shuffle in (fitted[:5], fitted[5:]):
        left_out = [set(made_up.names) - names for names in shuffle]
        assert sorted(name for names in left_out for name in names) == sorted(made_up.names)


def test_too_few_networks_to_hold_any_out(made_up: Measurements) -> None:
    assert held_out_ms(made_up.part(np.arange(9))) is None
    assert held_out_ms(made_up.part(np.arange(10)), shuffles=1) is not None


def test_networks_with_the_same_layers_are_left_out_together(made_up: Measurements) -> None:
    """A fit that knows a network's twin knows how long it takes."""
    twins = made_up.part(np.repeat(np.arange(30), 2))
    for fold in twins.folds(5, seed=1):
        assert len(fold) == 12
        assert sorted(fold[::2] + 1) == sorted(fold[1::2])
    predicted = held_out_ms(twins, shuffles=1)
    assert predicted is not None
    np.testing.assert_array_equal(predicted[0, ::2], predicted[0, 1::2])
    same = made_up.part(np.zeros(40, np.int64))
    assert held_out_ms(same) is None, "one network, timed often, leaves none to fit"
