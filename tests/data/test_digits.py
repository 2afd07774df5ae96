"""The digits that come with scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from evo_fair.data import PARTS, load_dataset
from evo_fair.errors import DataError, UnknownNameError


def test_digits_are_the_ones_of_scikit_learn_spread_over_bytes() -> None:
    dataset = load_dataset("digits")
    assert dataset.inputs.shape == (1797, 1, 8, 8)
    assert dataset.input_shape == (1, 8, 8)
    assert (dataset.inputs.min(), dataset.inputs.max()) == (0, 255)
    levels = np.rint(dataset.inputs[:, 0] / 255 * 16)
    np.testing.assert_array_equal(levels, datasets.load_digits().images)
    assert list(dataset.groupings) == ["class"]


def test_digits_are_split_as_asked_and_by_seed() -> None:
    dataset = load_dataset("digits", fractions=(0.5, 0.2, 0.3), seed=3)
    assert [len(dataset.part(part)) for part in PARTS] == pytest.approx([898.5, 359.4, 539.1], abs=1.5)
    assert load_dataset("digits", fractions=(0.5, 0.2, 0.3), seed=3).fingerprint == dataset.fingerprint
    assert load_dataset("digits", fractions=(0.5, 0.2, 0.3), seed=4).fingerprint != dataset.fingerprint


def test_a_minimum_that_digits_do_not_reach_is_refused() -> None:
    with pytest.raises(DataError, match=r"digits: too few samples \(label '0' has 27 in validation"):
        load_dataset("digits", min_samples=28)


def test_positive_labels_can_be_chosen() -> None:
    assert load_dataset("digits", positive=["3", "1"]).positive == (1, 3)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown data source 'digit'.*did you mean 'digits'"):
        load_dataset("digit")


def test_a_folder_is_refused() -> None:
    with pytest.raises(DataError, match="leave out somewhere"):
        load_dataset("digits", Path("somewhere"))
