"""Calibrating this machine: fitted to what is timed, validated on what the fit did not see."""

import numpy as np
import pytest

from evo_fair.errors import ProfileError
from evo_fair.latency import this_machine
from evo_fair.latency.campaign import Campaign, make_campaign
from evo_fair.latency.measure import Timings
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.this_machine import OwnCalibration, calibrate_this_machine
from evo_fair.space import SearchSpace


@pytest.fixture
def campaign(space: SearchSpace) -> Campaign:
    whole = make_campaign(space)
    chosen = np.r_[0:12, -4:0]
    return Campaign(tuple(whole.names[i] for i in chosen), whole.table[chosen], 4)


def test_a_small_campaign_gives_a_profile(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_machine, "pin", lambda threads: None)  # the other tests share this process
    heard: list[str] = []
    # A hundredth of a minute is too short for good figures, on a machine that runs other tests too.
    result = calibrate_this_machine(
        "here", campaign, 1, 0.01, lambda stage, done, total: heard.append(stage), accept_implausible=True
    )
    file = result.profile.file
    assert set(heard) == {"loading networks", "timing, rounds"}
    assert file.fitted.networks == 12
    assert file.validation is not None
    assert file.validation.networks == 4
    assert file.runtime.startswith("ONNX Runtime ")
    assert file.device.threads == 1
    assert "repeatability" in file.notes
    assert result.measured.names == campaign.names
    assert (result.profile.latency_ms(campaign.table) > 0).all()


@pytest.mark.parametrize(("held_out", "fitted"), [(0, 16), (1, 16), (2, 14)])
def test_a_space_too_small_to_hold_networks_out_is_validated_in_folds(
    held_out: int, fitted: int, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(monkeypatch, [1.0])
    small = Campaign(campaign.names, campaign.table, held_out)
    file = calibrate_this_machine("here", small, accept_implausible=True).profile.file
    assert file.fitted.networks == fitted
    assert file.validation is not None
    assert file.validation.networks == (held_out if held_out > 1 else 16)
    assert ("5 folds" in file.validation.method) is (held_out < 2)


def test_an_unsteady_machine_is_told_from_a_steady_one() -> None:
    def steady(rounds: list[list[float]]) -> bool:
        return OwnCalibration(None, None, Timings(["a"], rounds)).steady  # type: ignore[arg-type]

    assert steady([[1.0]] * 9)
    assert not steady([[1.0]] * 3 + [[1.2]] * 6)
    assert not steady([[1.0], [1.3]] * 5)


@pytest.mark.parametrize(("threads", "minutes"), [(0, 1.0), (1, 0.0)])
def test_no_threads_and_no_time_are_refused(threads: int, minutes: float, campaign: Campaign) -> None:
    with pytest.raises(ProfileError, match="both have to be above 0"):
        calibrate_this_machine("here", campaign, threads, minutes)


def test_more_threads_than_processors_are_refused(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_machine, "pin", lambda threads: pytest.fail("timing began"))
    monkeypatch.setattr(this_machine, "processors", lambda: 4)
    with pytest.raises(ProfileError, match="threads 5 are more than the 4 processors that this process may use"):
        calibrate_this_machine("here", campaign, 5)


@pytest.mark.parametrize("name", ["", "my board", "a/b", ".hidden", "x" * 65, "desk\n"])
def test_a_name_that_no_profile_can_have_is_refused_before_timing(
    name: str, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(this_machine, "pin", lambda threads: pytest.fail("timing began"))
    with pytest.raises(ProfileError, match=r"profile name .*: expected up to 64 letters"):
        calibrate_this_machine(name, campaign)


def played(monkeypatch: pytest.MonkeyPatch, paces: list[float]) -> list[float]:
    """Lets the machine run at these paces, a repeat each, the last one to the end; returns the minutes of each."""
    minutes: list[float] = []

    def measure(sessions: dict[str, object], given: float, progress: object, seed: int = 0) -> Timings:
        pace = paces[min(len(minutes), len(paces) - 1)]
        minutes.append(given)
        return Timings(list(sessions), [[pace * (1 + number) for number in range(len(sessions))]] * 5)

    monkeypatch.setattr(this_machine, "measure", measure)
    monkeypatch.setattr(this_machine, "pin", lambda threads: None)
    return minutes


@pytest.mark.parametrize(
    ("paces", "repeats", "steady"),
    [
        ([1.0, 1.01], 2, True),
        ([2.0, 1.0, 1.02], 3, True),
        ([2.0, 1.0, 1.5, 1.0, 1.0], 5, True),
        ([1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 6, False),
    ],
)
def test_timing_goes_on_until_a_repeat_agrees_and_no_longer_than_three_times(
    paces: list[float], repeats: int, steady: bool, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = played(monkeypatch, paces)
    result = calibrate_this_machine("here", campaign, 1, 4.0, accept_implausible=True)
    assert minutes == [2.0] * repeats
    assert result.steady is steady
    assert len(result.timings.rounds) == 10
    expected = np.median([*[paces[repeats - 2]] * 5, *[paces[repeats - 1]] * 5])
    np.testing.assert_allclose(result.measured.latency_ms, expected * np.arange(1, 17))


def test_what_was_measured_is_kept_though_no_profile_comes_of_it(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(monkeypatch, [1e6])  # seconds a network, which no machine needs
    kept: list[Measurements] = []
    with pytest.raises(ProfileError):
        calibrate_this_machine("here", campaign, 1, 4.0, keep=kept.append)
    assert [one.names for one in kept] == [campaign.names]
