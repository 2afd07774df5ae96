"""Which networks of a front are timed."""

from pathlib import Path

import numpy as np
import pytest
from latency_front import networks_of

from evo_fair.errors import EvoFairError
from evo_fair.latency import load_profile

RUN = Path(__file__).parents[2] / "results" / "ham10000"


def test_networks_are_spread_evenly_over_the_ranks_of_latency() -> None:
    latency_ms = load_profile("raspberry-pi-4").latency_ms
    names, table = networks_of(RUN, 1000, latency_ms)
    ms = np.sort(latency_ms(table))
    few, table = networks_of(RUN / "front.csv", 5, latency_ms)
    assert len(set(names)) == len(ms) == 77
    assert set(few) < set(names)
    np.testing.assert_array_equal(np.sort(latency_ms(table)), ms[[0, 19, 38, 57, 76]])


def test_a_run_without_a_front_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvoFairError, match="is not there: give a run's folder"):
        networks_of(tmp_path, 5, load_profile("raspberry-pi-4").latency_ms)
