"""Wilson's interval against its formula by hand."""

import numpy as np
import pytest

from evo_fair.fairness.wilson import wilson_ends


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),  # Brown, Cai and DasGupta 2001
        (12, 12, 12 / 15.8415, 1.0),  # n / (n + z^2), with z^2 = 3.8415
        (0, 12, 0.0, 3.8415 / 15.8415),
        (1, 1, 1 / 4.8415, 1.0),
    ],
)
def test_ends_are_wilsons(correct: int, samples: int, low: float, high: float) -> None:
    np.testing.assert_allclose(wilson_ends(correct, samples), [low, high], atol=1e-4)


def test_many_are_made_at_once_within_0_and_1() -> None:
    samples = np.arange(1, 200)
    low, high = wilson_ends(samples, samples)
    assert high.max() <= 1.0
    np.testing.assert_allclose(high, 1.0, rtol=1e-12)
    assert (np.diff(low) > 0).all()
    assert (wilson_ends(samples, samples, 0.5)[0] > low).all()
