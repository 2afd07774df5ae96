"""Intervals are added to a shipped profile without a change to what it predicts."""

from collections.abc import Callable
from pathlib import Path

import latency_profiles
import numpy as np
import pytest
from latency_profiles import add_intervals

from evo_fair.errors import EvoFairError
from evo_fair.latency import load_profile


@pytest.mark.data
def test_intervals_are_those_of_the_shipped_profile(
    data_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, data = "raspberry-pi-3b-plus", data_folder("latency")
    shipped, made = load_profile(name), add_intervals(name, data)
    assert made.without_intervals.sha256 == shipped.without_intervals.sha256
    one, other = made.file.intervals, shipped.file.intervals
    assert one is not None
    assert other is not None
    np.testing.assert_allclose((one.noise, one.reach), (other.noise, other.reach), rtol=1e-4)
    assert one.held == other.held
    folder = ("ncnn-raspberry-pi-3b-plus-1t", *latency_profiles.PROFILES[name][1:])
    monkeypatch.setitem(latency_profiles.PROFILES, name, folder)
    with pytest.raises(EvoFairError, match="is not what is fitted to these measurements"):
        add_intervals(name, data)
