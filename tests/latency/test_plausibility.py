"""Measurements that can't be right: other units, shuffled rows and outliers are told from a device's own noise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evo_fair.errors import ProfileError
from evo_fair.latency.calibrate import Provenance, calibrate
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.plausibility import check_speed, examine, gross_outliers
from evo_fair.latency.validation import Agreement

PROVENANCE = Provenance(device="a made-up board")
APART = ("apart", Agreement(networks=9, mape=3.0, within_10_percent=99.0, spearman=0.99, kendall=0.9))


@pytest.fixture
def noisy(made_up: Measurements) -> Measurements:
    """The made-up device with 5 % of noise."""
    return replace(made_up, latency_ms=made_up.latency_ms * np.exp(np.random.default_rng(3).normal(0, 0.05, 60)))


def half_in(unit: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda ms: np.where(np.arange(len(ms)) % 2, ms * unit, ms)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (half_in(1e-3), "30 of 60 latencies are over 3 times off .* seconds and milliseconds are mixed"),
        (half_in(1e3), "30 of 60 latencies are over 3 times off .* seconds and milliseconds are mixed"),
        (lambda ms: np.where(np.arange(60) < 8, ms / 1000, ms), "8 of 60 latencies are over 3 times off"),
        (
            lambda ms: np.random.default_rng(0).permutation(ms),
            "(latencies are over 3 times off|as where rows are shuf)",
        ),
        (lambda ms: ms[::-1], "(latencies are over 3 times off|as where rows are shuffled)"),
        (lambda ms: ms / 1000, "billion multiply-accumulates a second.*looks like seconds, so multiply it by 1,000"),
    ],
)
def test_measurements_that_can_not_be_are_refused_or_marked(
    damage: Callable[[np.ndarray], np.ndarray], told: str, noisy: Measurements
) -> None:
    wrong = replace(noisy, latency_ms=damage(noisy.latency_ms))
    with pytest.raises(ProfileError, match=told) as refused:
        calibrate("x", wrong, PROVENANCE)
    assert "add --accept-implausible" in str(refused.value)
    assert "\n" not in str(refused.value)
    heard: list[str] = []
    profile = calibrate("x", wrong, PROVENANCE, accept_implausible=True, warn=heard.append)
    (accepted,) = [warning for warning in heard if warning.startswith("implausible, and accepted: ")]
    assert accepted[:200] in profile.file.notes


@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0, 0.001, 6.0, 1 / 6])
def test_an_outlier_is_named_with_what_was_measured_and_expected(factor: float, noisy: Measurements) -> None:
    ms = noisy.latency_ms.copy()
    ms[7] *= factor
    heard: list[str] = []
    profile = calibrate("x", replace(noisy, latency_ms=ms), PROVENANCE, warn=heard.append)
    (warning,) = heard
    assert f"'n7': measured {ms[7]:.4g} ms, expected " in warning
    assert float(warning.split("expected ")[1].split()[0]) == pytest.approx(noisy.latency_ms[7], rel=0.3)
    assert warning in profile.file.notes
    others = np.delete(np.arange(60), 7)
    error = np.abs(profile.latency_ms(noisy.table) / noisy.latency_ms - 1)[others]
    assert error.mean() < 0.08


def test_a_device_with_noise_raises_no_doubt(noisy: Measurements) -> None:
    heard: list[str] = []
    profile = calibrate("x", noisy, PROVENANCE, warn=heard.append)
    assert not heard
    assert profile.file.notes == ""
    assert profile.file.fitted.networks == 60


def test_microseconds_are_noticed(noisy: Measurements) -> None:
    (warning,) = check_speed(replace(noisy, latency_ms=1e3 * noisy.latency_ms)).warnings
    assert "as few as a microcontroller: if latency_ms is in microseconds, divide it by 1,000" in warning
    assert not check_speed(noisy).warnings


def test_a_high_error_without_outliers_is_refused(noisy: Measurements) -> None:
    none = np.zeros(60, np.bool_)
    assert not examine(noisy, noisy.latency_ms, none, 30.0, 0.95).refusal
    assert "75 % wrong on average" in examine(noisy, noisy.latency_ms, none, 75.0, 0.95).refusal
    assert "as where rows are shuffled" in examine(noisy, noisy.latency_ms, none, 20.0, 0.1).refusal


def test_names_from_files_stay_on_the_line(noisy: Measurements) -> None:
    names = ("a\x1b[31m\nb" * 50, *noisy.names[1:])
    ms = noisy.latency_ms.copy()
    ms[0] *= 100
    (warning,) = examine(replace(noisy, names=names, latency_ms=ms), noisy.latency_ms, ms < 0, 5.0, 1.0).warnings
    assert "\n" not in warning
    assert "\x1b" not in warning
    assert len(warning) < 300


def test_networks_measured_apart_decide_where_there_are_some(noisy: Measurements) -> None:
    bad = ("apart", replace(APART[1], mape=80.0))
    calibrate("x", noisy, PROVENANCE, held_out=APART)
    with pytest.raises(ProfileError, match="80 % wrong on average"):
        calibrate("x", noisy, PROVENANCE, held_out=bad)


def test_progress_is_told(noisy: Measurements) -> None:
    heard: list[tuple[str, int, int]] = []
    calibrate("x", noisy.part(np.arange(12)), PROVENANCE, progress=lambda *step: heard.append(step))
    assert heard[:2] == [("fitting", 0, 1), ("fitting", 1, 1)]
    assert heard[2:52] == [("validating, folds", done, 50) for done in range(1, 51)]
    assert heard[52:] == [("intervals", 0, 1), ("intervals", 1, 1)]


@pytest.mark.data
def test_no_real_board_raises_a_doubt(data_folder: Callable[[str], Path]) -> None:
    for folder in sorted(data_folder("latency").iterdir()):
        measured = read_measurements(folder / "layers.csv", folder / "latency.csv")
        speed = check_speed(measured)
        assert not speed.refusal
        assert not speed.warnings
        assert "seconds" in check_speed(replace(measured, latency_ms=measured.latency_ms / 1000)).refusal
        assert not gross_outliers(measured).any()
