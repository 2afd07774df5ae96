"""A file's first run in a process of its own: what it takes, or in a line why it does not run."""

import sys
from pathlib import Path

import pytest
from onnx import helper

from evo_fair.latency import trial
from evo_fair.latency.trial import TrialError, run_once

from .onnx_zoo import integers, save, weights


def test_a_file_that_runs_tells_its_inputs(tmp_path: Path) -> None:
    save(
        tmp_path / "x.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        weights(w=(4, 3, 1, 1)),
        {"x": ["N", 3, 8, 8]},
    )
    assert run_once(tmp_path / "x.onnx") == [["N", 3, 8, 8]]


def test_a_file_that_does_not_run_says_why(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"hello")
    with pytest.raises(TrialError, match="INVALID_PROTOBUF"):
        run_once(tmp_path / "x.onnx")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold processes to a limit of memory")
def test_a_file_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Expand", ["x", "large"], ["y"])]
    save(tmp_path / "x.onnx", nodes, integers(large=[2**15, 2**16]), {"x": [1, 1]})
    with pytest.raises(TrialError, match=r"(?i)bfc_?aren|bad_alloc|memory"):
        run_once(tmp_path / "x.onnx")


def test_a_file_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.05)
    save(tmp_path / "x.onnx", [helper.make_node("Relu", ["x"], ["y"])], [], {"x": [1, 3]})
    with pytest.raises(TrialError, match=r"takes more than 0\.05 s"):
        run_once(tmp_path / "x.onnx")


def test_a_process_that_dies_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrialError, match="ended its process with code 1"):
        run_once(tmp_path / "x.onnx")
