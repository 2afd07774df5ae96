"""Several sources of one board: what can't be one board's is refused before anything is fitted."""

from dataclasses import replace

import numpy as np
import pytest

from evo_fair.errors import ProfileError
from evo_fair.latency import several
from evo_fair.latency.calibrate import Provenance
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.several import MeasuredBy, calibrate_together

HERE = Provenance(device="a board")


@pytest.mark.parametrize(
    ("name", "provenance", "networks", "message"),
    [
        ("second", replace(HERE, precision="int8"), 20, "sources measured in fp32 and in int8: fit a profile for each"),
        ("first", HERE, 20, "two sources have the name 'first': give each measurement once"),
        ("second", HERE, 7, "7 measured networks are too few to fit a profile: measure at least 8"),
    ],
)
def test_what_is_no_second_source_is_refused(
    name: str, provenance: Provenance, networks: int, message: str, made_up: Measurements
) -> None:
    first = MeasuredBy("first", made_up.part(np.arange(20)), HERE)
    second = MeasuredBy(name, made_up.part(np.arange(networks)), provenance)
    with pytest.raises(ProfileError, match=message):
        calibrate_together("board", [first, second])


def test_a_first_source_too_small_for_folds_is_refused_with_how_many_it_takes(
    made_up: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "shuffles_for", lambda _networks: 1)
    few, enough = (MeasuredBy("few", made_up.part(np.arange(size)), HERE) for size in (9, 10))
    many = MeasuredBy("many", made_up.part(np.arange(10, 30)), HERE)
    message = "9 networks of the first source are too few to leave any out: measure at least 10 .* more networks first"
    with pytest.raises(ProfileError, match=message):
        calibrate_together("board", [few, many])
    assert calibrate_together("board", [enough, many]).file.validation is not None


@pytest.mark.parametrize("shuffled", ["first", "second"])
def test_a_source_whose_rows_are_shuffled_is_refused_by_name(
    shuffled: str, made_up: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "shuffles_for", lambda _networks: 1)
    parts = {"first": made_up.part(np.arange(12)), "second": made_up.part(np.arange(12, 24))}
    order = np.argsort(parts[shuffled].latency_ms)
    backwards = parts[shuffled].latency_ms.copy()
    backwards[order] = backwards[order[::-1]]
    parts[shuffled] = replace(parts[shuffled], latency_ms=backwards)
    with pytest.raises(ProfileError, match=f"^{shuffled}: networks that a fit does not see .* shuffled"):
        calibrate_together("board", [MeasuredBy(name, measured, HERE) for name, measured in parts.items()])


def test_a_source_in_seconds_is_named(made_up: Measurements) -> None:
    first, second = made_up.part(np.arange(16)), made_up.part(np.arange(16, 32))
    seconds = replace(second, latency_ms=second.latency_ms / 1000)
    with pytest.raises(ProfileError, match=r"^second: the median network would do .* latency_ms looks like seconds"):
        calibrate_together("board", [MeasuredBy("first", first, HERE), MeasuredBy("second", seconds, HERE)])
