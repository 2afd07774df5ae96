"""A search on a device whose profile has intervals records their ends, and can be held to them."""

import pytest

from evo_fair.errors import EvoFairError
from evo_fair.jobs.preparation import prepare


def prepared(device: str, constraints: tuple[str, ...] = (), objectives: tuple[str, ...] = ("error", "latency_ms")):
    return prepare("digits", device, objectives, constraints, None, "nsga2", 20, 8, 0, "random")


def test_the_ends_of_intervals_are_recorded_where_there_are_any() -> None:
    assert [one.name for one in prepared("raspberry-pi-4").plan.also] == ["params", "macs", "peak_memory_bytes"]
    names = ["latency_ms_low", "latency_ms_high", "params", "macs", "peak_memory_bytes"]
    assert [one.name for one in prepared("raspberry-pi-4-pooled").plan.also] == names


def test_the_upper_end_can_be_limited_and_minimised() -> None:
    plan = prepared("raspberry-pi-4-pooled", ("latency_ms_high <= 5",), ("error", "latency_ms_high")).plan
    assert plan.objectives[1].title == "most latency on raspberry-pi-4-pooled (ms)"
    assert plan.constraints[0].cheap
    with pytest.raises(EvoFairError, match="'latency_ms_high' is an end of an interval"):
        prepared("raspberry-pi-4", ("latency_ms_high <= 5",))
