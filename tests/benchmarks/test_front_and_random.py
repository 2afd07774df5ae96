"""Fronts beside random networks: the difference at equal latency, by hand."""

import numpy as np
import pytest
from front_and_random import at_equal_latency, difference


def test_the_difference_is_what_is_left_at_equal_latency() -> None:
    """The front's networks are slower, and by 0.25 better than the curve that both lie on."""
    latency = np.array([1.0, 2.0, 3.0, 4.0, 2.5, 3.5, 4.5, 6.0])
    ours = np.array([False] * 4 + [True] * 4)
    curve = 0.9 - 0.3 * np.log(latency) + 0.1 * np.log(latency) ** 2
    assert at_equal_latency(latency, ours, curve - 0.25 * ours) == pytest.approx(-0.25)


def test_the_interval_holds_the_difference_and_widens_with_noise() -> None:
    rng = np.random.default_rng(0)
    latency, ours = rng.uniform(1, 5, 40), np.arange(40) < 20
    values = np.tile(0.3 - 0.1 * ours, (200, 1))
    exact = difference(latency, ours, values)
    assert exact == pytest.approx((-0.1, -0.1, -0.1))
    value, low, high = difference(latency, ours, values + rng.normal(0, 0.05, 40))
    assert low < value < high
    assert high - low > 0.01
