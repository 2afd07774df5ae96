"""How many measurements intervals hold, and what ten measured networks of a new source buy."""

import numpy as np
import pytest
from latency_sources import Judged


def test_a_row_counts_errors_and_intervals() -> None:
    judged = Judged(np.log([1.0, 1.05, 1.25, 0.8]), np.log([1.1, 1.1, 1.1, 1.3]))
    assert judged.row() == {
        "networks": 4,
        "mape": f"{100 * (0 + 1 / 21 + 0.2 + 0.25) / 4:.2f}",
        "within_10_percent": "50.0",
        "covered": "75.0",
        "half_width": "10.0",
    }


@pytest.mark.parametrize("times", [0.1, 1.0, 20.0])
def test_ten_networks_set_the_factor_and_the_width(times: float) -> None:
    """However far the others' width is off, and their scale: nine in ten of the rest hold."""
    error = 2.0 + np.random.default_rng(0).normal(0.0, 0.1, 300)
    row = Judged(error, np.full(300, 0.1 * times)).told_by_ten()
    assert row["networks"] == 290
    assert float(row["covered"]) == pytest.approx(91, abs=1.5)
    assert float(row["mape"]) == pytest.approx(9, abs=1)
