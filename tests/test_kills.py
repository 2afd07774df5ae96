"""Kills in the middle of the work of real processes: what is resumed ends as what was never interrupted."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import evo_fair as ef

from .cli.conftest import problem_file
from .commands import Commands, Started

__all__ = ["problem_file"]

pytestmark = pytest.mark.slow

MEASURED = ("timing.json", "deployed.csv")
"""Files that say how fast it went."""


@dataclass(frozen=True)
class Job:
    """A command without its --out; `resumed` is what a second call needs."""

    arguments: Callable[[Path, Path], list[object]]
    resumed: tuple[str, ...] = ("--resume",)


SEARCH = ["--budget", 12, "--population", 6, "--trainings", 3]
PRUNE = ["--method", "magnitude", "--method", "taylor", "--sparsity", 0.3, "--sparsity", 0.5, "--epochs", 1]
AUDIT = ["--networks", 90, "--criterion", "trained", "--criterion", "random", "--jobs", 1]
GRID = ["--network", "largest", "--criterion", "magnitude_l1", "--treatment", "none", "--treatment", "finetune"]
JOBS = {
    "train": Job(lambda problem, run: ["train", problem], ()),
    "deploy": Job(lambda problem, run: ["deploy", run, "--network", "all", "--epochs", 3, "--int8"]),
    "search": Job(lambda problem, run: ["search", problem, *SEARCH]),
    "prune": Job(lambda problem, run: ["prune", problem, *PRUNE]),
    "audit": Job(lambda problem, run: ["audit", problem, *AUDIT]),
    "audit-network": Job(lambda problem, run: ["audit", problem, *GRID, "--epochs", 1, "--seeds", 1]),
}


@pytest.fixture(scope="module")
def problem(problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny problem with a longer training."""
    path = tmp_path_factory.mktemp("longer") / "tiny.toml"
    path.write_text(problem_file.read_text().replace("epochs = 2", "epochs = 5"))
    return path


@pytest.fixture(scope="module")
def run(problem: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("searched") / "run"
    ef.search(str(problem), out=out, jobs=1, budget=12, population=6)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path, what was measured of the time left out."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: b"" if Path(name).name in MEASURED else path.read_bytes() for name, path in sorted(files.items())}


def started(commands: Commands, arguments: list[object], folder: Path) -> Started:
    """The process, at work in its folder."""
    process = commands.start(arguments)
    deadline = time.monotonic() + 120
    while process.poll() is None and not (folder / ".lock").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    return process


@pytest.mark.parametrize("name", list(JOBS))
def test_kills_leave_what_an_uninterrupted_job_leaves(
    name: str, commands: Commands, problem: Path, run: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    job, moments = JOBS[name], random.Random(name)
    common = job.arguments(problem, run)
    process = started(commands, [*common, "--out", tmp_path / "whole"], tmp_path / "whole")
    began = time.monotonic()
    assert process.wait() == 0
    seconds = time.monotonic() - began
    whole = contents(tmp_path / "whole")
    left, number = pytestconfig.getoption("kills"), 0
    while left > 0:
        number += 1
        out = tmp_path / f"killed-{number}"
        arguments = [*common, "--out", out, *job.resumed]
        while left > 0:
            (out / ".lock").unlink(missing_ok=True)  # what the kill before left would be taken for this one's
            process = started(commands, arguments, out)
            time.sleep(moments.random() * seconds)
            if process.poll() is not None:  # it had only a little left to do
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            left -= 1
        done = commands.start(arguments).done()
        assert done.returncode == 0, done.stderr
        found = contents(out)
        assert list(found) == list(whole)
        assert [file for file in found if found[file] != whole[file]] == []
        if name == "deploy":
            tables = [pd.read_csv(folder / "deployed.csv") for folder in (out, tmp_path / "whole")]
            same = [column for column in tables[0] if "measured" not in str(column) and "spread" not in str(column)]
            pd.testing.assert_frame_equal(tables[0][same], tables[1][same])
