"""What a log shows of a job."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evo_fair as ef
from evo_fair.cli import progress
from evo_fair.cli.progress import ProgressBars
from evo_fair.data import Grouping
from evo_fair.testing import small_dataset, small_space


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


@pytest.mark.parametrize(("unknown", "told"), [(0, ""), (2, " (not known: site in 2)")])
def test_it_is_said_how_many_samples_are_in_no_group(
    capsys: pytest.CaptureFixture[str], unknown: int, told: str
) -> None:
    problem = ef.load_problem("digits")
    dataset = problem.dataset()
    site = np.arange(len(dataset), dtype=np.int16) % 2
    site[:unknown] = -1
    groupings = {**dataset.groupings, "site": Grouping("site", ("north", "south"), site)}
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    with ProgressBars() as bars:
        bars.prepared(replace(dataset, groupings=groupings), space)
    assert f" test samples{told}; " in capsys.readouterr().err


def test_it_is_said_which_labels_and_groups_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = small_dataset()
    n = len(dataset.labels)
    twenty = Grouping("place", tuple(f"p{i}" for i in range(20)), np.arange(n, dtype=np.int16) % 20)
    site = Grouping("site", ("north", "south", "no\x1bone"), np.array([0, *[1] * (n - 2), -1], np.int16))
    sides = np.array([1, *[0] * (n - 1)])
    classes = Grouping("class", ("left", "right"), sides.astype(np.int16))
    dataset = replace(
        dataset,
        labels=sides,
        label_names=("left", "right"),
        groupings={"site": site, "class": classes, "place": twenty},
    )
    with ProgressBars() as bars:
        bars.prepared(dataset, small_space())
    line = capsys.readouterr().err.splitlines()[1]
    assert line.startswith(f"labels: left {n - 1}, right 1; site: north 1, south {n - 2}, no\\u001bone 0; place: p0 ")
    assert line.endswith(f", p11 {(n - 12 + 19) // 20}, 8 more")


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
