"""What a log shows of a job."""

from pathlib import Path

import pytest

import evo_fair as ef
from evo_fair.cli import progress
from evo_fair.cli.progress import ProgressBars


def test_a_log_has_a_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    checked = []
    with ProgressBars(lambda: checked.append(1)) as bars:
        bars.pruned("taylor-0.5-0", 1, 2)
        bars.audited(30, 90, 12.345)
        bars.noted("training largest, 2 epochs")
        bars.warned("taylor-0.5-0 misses its limit")
    assert capsys.readouterr().err.splitlines() == [
        "pruned 1/2: taylor-0.5-0",
        "audit 30/90: 12.3 networks/s",
        "training largest, 2 epochs",
        "warning: taylor-0.5-0 misses its limit",
    ]
    assert len(checked) == 3, "an interrupt that a library swallowed ends the job here"


def test_the_folder_is_said_before_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars() as bars:
        bars.writing(Path("results/digits"))
        assert capsys.readouterr().err == "", "input can still be refused, on one line"
        bars.pruned("taylor-0.5-0", 1, 1)
        bars.noted("done")
    assert capsys.readouterr().err.splitlines() == ["writes into results/digits", "pruned 1/1: taylor-0.5-0", "done"]


def test_python_shows_what_the_command_line_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with ef.progress_bars() as bars:
        bars.audited(30, 90, 12.345)
    assert capsys.readouterr().err == "audit 30/90: 12.3 networks/s\n"


def test_a_log_has_a_calibration_s_steps_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressBars() as bars:
        for step in range(1, 31):
            clock[0] += 1.0
            bars.calibrating("timing, rounds", step, 30)
    assert capsys.readouterr().err.splitlines() == [f"timing, rounds {step}/30" for step in (10, 20, 30)]
