"""Preprocessing of a table's columns: checked by hand and against what is computed for a file."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import TargetEncoder

from evo_fair.data.table_inputs import UNKNOWN_CODE, Encoding, Vocabulary, fit_inputs

TRAIN = np.array([True] * 6 + [False] * 2)
LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])


def _texts(*values: str) -> "pd.Series[str]":
    return pd.Series(np.array(values, object))


def test_numbers_get_the_training_medians_means_and_deviations() -> None:
    ages = np.array([1, 2, np.nan, 4, 5, 8, 100, np.nan])
    inputs, columns = fit_inputs({"age": ages}, {}, (), LABELS, TRAIN)
    filled = np.array([1, 2, 4, 4, 5, 8, 100, 4])  # 4 is the median of 1, 2, 4, 5, 8
    mean, deviation = filled[:6].mean(), filled[:6].std()
    np.testing.assert_allclose(inputs[:, 0], (filled - mean) / deviation, rtol=1e-6)
    assert inputs[:, 1].tolist() == [0, 0, 1, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(columns.values[:, 0], ages.astype(np.float32))


def test_what_is_missing_in_other_parts_alone_adds_no_input() -> None:
    ages = np.array([1, 2, 3, 4, 5, 6, 7, np.nan])
    inputs, _ = fit_inputs({"age": ages}, {}, (), LABELS, TRAIN)
    assert inputs.shape == (8, 1)
    assert inputs[7, 0] == pytest.approx(0)  # the median, which is the mean here


def test_categories_are_those_of_the_training_part_and_missing_is_one() -> None:
    jobs = _texts("cook", "", "baker", "cook", "baker", "cook", "pilot", "")
    inputs, columns = fit_inputs({}, {"job": jobs}, (), LABELS, TRAIN)
    expected = [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert inputs.tolist() == expected  # baker, cook, missing; a pilot is none of them
    np.testing.assert_array_equal(
        columns.values[:, 0], np.array([1, np.nan, 0, 1, 0, 1, UNKNOWN_CODE, np.nan], np.float32)
    )


def test_whole_numbers_stand_for_themselves_in_the_order_of_numbers() -> None:
    vocabulary = Vocabulary.of(_texts("10", "9", "-3"))
    assert (vocabulary.values, vocabulary.numeric) == (("-3", "9", "10"), True)
    assert vocabulary.numbers(_texts("9", "77", "x", "")).tolist()[:3] == [9, 77, UNKNOWN_CODE]


@pytest.mark.parametrize("values", [("1", "a"), ("01", "1"), ("1.5", "2"), ("1234567", "1"), ("٣", "1"), ("-0", "1")])
def test_other_texts_are_texts(values: tuple[str, ...]) -> None:
    assert not Vocabulary.of(_texts(*values)).numeric


@pytest.mark.parametrize("kinds", [2, 3])
def test_rates_are_those_of_scikit_learn_fitted_to_the_training_part(kinds: int) -> None:
    rng = np.random.default_rng(0)
    place = rng.integers(0, 6, 600)
    labels = (place + rng.integers(0, 2, 600)) % kinds
    texts = pd.Series(np.array(["", "b", "c", "d", "e", "f"], object)[place])
    train = np.arange(600) < 400
    inputs, columns = fit_inputs(
        {}, {"place": texts, "other": texts[::-1].reset_index(drop=True)}, ["place", "other"], labels, train
    )
    both = np.column_stack([place, place[::-1]])
    oracle = TargetEncoder().fit(both[train], labels[train])
    np.testing.assert_allclose(inputs[~train], oracle.transform(both[~train]), rtol=1e-6)
    assert np.abs(inputs[train] - oracle.transform(both[train])).max() > 1e-4  # no sample tells its own label
    unknown = columns.values[:1].copy()
    unknown[:] = UNKNOWN_CODE
    np.testing.assert_allclose(columns.encoding.apply(unknown)[0], np.tile(oracle.target_mean_, 2), rtol=1e-6)


def test_profiles_are_the_numbers_means_and_how_many_there_are() -> None:
    place = np.array([0] * 300 + [1] * 100 + [2] * 2)
    train = np.arange(402) < 401  # the last place has one training sample
    hours = np.array([10.0, 50, 90])[place] + np.tile([-1, 1], 201)
    texts = pd.Series(np.array(["a", "b", "c"], object)[place])
    labels = np.arange(402) % 2
    inputs, columns = fit_inputs({"hours": hours}, {"place": texts}, ["place"], labels, train, described=["place"])
    assert inputs.shape == (402, 1 + 1 + 2)
    standard = (np.array([10.0, 50, 89]) - hours[train].mean()) / hours[train].std()
    steps = 127 / standard[2]
    # b's mean is as it is; c's, of one sample, is shrunk towards that of all, but remains the largest
    assert inputs[[0, 300], 2] == pytest.approx(standard[:2] * steps, abs=0.05 * 127)
    assert inputs[400, 2] == 127
    assert inputs[[0, 300, 400], 3].tolist() == [
        127,
        round(127 * np.log(101) / np.log(301)),
        round(127 * np.log(2) / np.log(301)),
    ]
    other, _ = fit_inputs(
        {"hours": hours}, {"place": texts}, ["place"], labels[::-1].copy(), train, described=["place"]
    )
    np.testing.assert_array_equal(other[:, 2:], inputs[:, 2:])  # no label is in them
    unknown = columns.values[:1].copy()
    unknown[0, 1] = UNKNOWN_CODE
    assert columns.encoding.apply(unknown)[0, 2:].tolist() == [0, 0]


def test_the_raw_columns_give_the_inputs_again() -> None:
    rng = np.random.default_rng(1)
    numbers = {"a": rng.normal(2020, 3, 300), "b": rng.normal(size=300)}
    numbers["b"][rng.random(300) < 0.2] = np.nan
    words = np.array(["", "x", "y", "z"], object)
    texts = {name: pd.Series(words[rng.integers(0, 4, 300)]) for name in ("c", "d", "e")}
    train = np.arange(300) < 200
    for described in ([], ["d"]):
        labels = rng.integers(0, 2, 300)
        inputs, columns = fit_inputs(numbers, texts, ["d"], labels, train, described=described)
        np.testing.assert_array_equal(columns.encoding.apply(columns.values[~train]), inputs[~train])
        assert columns.encoding.names == ("a", "b", "c", "e", "d")
        assert isinstance(columns.encoding, Encoding)


def test_samples_that_are_not_fitted_to_change_nothing() -> None:
    jobs = _texts("cook", "baker", "baker", "cook", "baker", "cook", "pilot", "pilot")
    ages = np.array([1.0, 2, 3, 4, 5, 6, 1e6, -1e6])
    first, _ = fit_inputs({"age": ages}, {"job": jobs}, (), LABELS, TRAIN)
    ages[6:], jobs[6:] = 0, "cook"
    second, _ = fit_inputs({"age": ages}, {"job": jobs}, (), LABELS, TRAIN)
    np.testing.assert_array_equal(first[:6], second[:6])


def test_a_units_rows_tell_nothing_of_each_others_labels() -> None:
    """A category says nothing of the label, but each unit has five rows of one label, and a category of its own."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(400), 5)
    labels = np.repeat(rng.integers(0, 2, 400), 5)
    texts = {"home": pd.Series(np.array([f"h{unit // 4}" for unit in units], object))}
    train = units < 320
    torn, _ = fit_inputs({}, texts, ["home"], labels, train)
    whole, _ = fit_inputs({}, texts, ["home"], labels, train, units=units)
    told = [abs(np.corrcoef(rates[train, 0], labels[train])[0, 1]) for rates in (torn, whole)]
    assert told[0] > 0.3
    assert told[1] < 0.2
    plain, _ = fit_inputs({}, texts, ["home"], labels, train, units=np.arange(2000))
    np.testing.assert_array_equal(plain, torn)
