"""Splits keep units whole and every label in its shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo_fair.data.splits import check_fractions, split_units
from evo_fair.errors import DataError

FRACTIONS = (0.65, 0.15, 0.20)


def _lesions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels as uneven as in HAM10000, each with units of one to six samples."""
    rng = np.random.default_rng(seed)
    labels, units = [], []
    for label, lesions in enumerate((73, 98, 228, 327, 614, 727, 5403)):
        for size in rng.choice([1, 2, 3, 4, 5, 6], lesions, p=[0.7, 0.18, 0.08, 0.02, 0.01, 0.01]):
            labels += [label] * size
            units += [len(set(units[-1:])) and units[-1] + 1] * size
    return np.array(labels), np.array(units)


@pytest.mark.parametrize("fractions", [FRACTIONS, (0.5, 0.25, 0.25), (0.8, 0.07, 0.13)])
@pytest.mark.parametrize("seed", [0, 1])
def test_shares_of_all_samples_and_of_rare_labels_are_within_a_point_or_a_sample(
    seed: int, fractions: tuple[float, float, float]
) -> None:
    labels, units = _lesions(seed)
    split = split_units(labels, units, fractions, np.random.default_rng(seed))
    for chosen in [labels >= 0, *(labels == label for label in range(7))]:
        shares = np.bincount(split[chosen], minlength=3) / chosen.sum()
        assert np.abs(shares - fractions).max() <= max(0.01, 1.5 / chosen.sum())


@given(st.integers(0, 2**32 - 1), st.integers(3, 200), st.integers(1, 60), st.integers(1, 5))
def test_no_unit_is_torn_and_each_part_is_off_by_a_unit_at_most(
    seed: int, samples: int, n_units: int, n_labels: int
) -> None:
    rng = np.random.default_rng(seed)
    labels, units = rng.integers(0, n_labels, samples), rng.integers(-5, n_units, samples)
    split = split_units(labels, units, FRACTIONS, rng)
    assert all(len(set(split[units == unit])) == 1 for unit in units)
    largest = np.unique(units, return_counts=True)[1].max()
    assert np.abs(np.bincount(split, minlength=3) - np.array(FRACTIONS) * samples).max() <= 2 * largest


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    labels, units = _lesions(0)
    first, again, other = (split_units(labels, units, FRACTIONS, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


def test_parts_get_units_of_all_sizes() -> None:
    labels, units = _lesions(3)
    split = split_units(labels, units, FRACTIONS, np.random.default_rng(0))
    sizes = np.bincount(units)[units]
    assert np.ptp([sizes[split == part].mean() for part in range(3)]) < 0.1


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.8, 0.2, 0.0), (0.8, 0.3, -0.1), (0.5, 0.2, 0.2)])
def test_fractions_that_are_none_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="three positive numbers"):
        check_fractions(fractions)
