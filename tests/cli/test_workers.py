"""`--workers` as commands take it; what workers do is tested with the jobs."""

from pathlib import Path

import pytest

from .conftest import refusal


@pytest.mark.parametrize("command", ["prune", "audit", "search"])
@pytest.mark.parametrize("workers", ["0", "lab-7", "tcp://lab"])
def test_what_says_no_workers_is_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, workers: str
) -> None:
    line = refusal(capsys, command, "digits", "--out", tmp_path / "out", "--workers", workers)
    assert line.startswith("evo-fair: workers ")
    assert line.endswith("tcp://host:8786")
    assert not (tmp_path / "out").exists()


def test_options_that_need_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--leave-out is about workers" in refusal(capsys, "prune", "digits", "--leave-out")
    assert "--workers is for --network" in refusal(capsys, "train", "digits", "--workers", "2")
    twice = refusal(capsys, "train", "digits", "--network", "resnet-18", "--network", "resnet-18", "--workers", "2")
    assert "network 'resnet-18' is given twice" in twice
    cuda = refusal(capsys, "search", "digits", "--out", tmp_path / "out", "--workers", "2", "--torch-device", "cuda:99")
    assert "torch device 'cuda:99' is not there" in cuda
