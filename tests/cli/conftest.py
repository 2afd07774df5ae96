"""A problem that trains in a second, and the command line as a process."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evo_fair.cli import main

from ..commands import Commands

PROBLEM = """
title = "a tiny search on the digits"
[data]
source = "digits"
[fairness]
group = "class"
[space]
channel_multiple = 4
stem = { widths = [4, 8], stride = 2 }
[[space.stage]]
slots = 2
kinds = ["MB", "DB", "RB", "CB"]
widths = [4, 8, 16]
stride = 2
kernels = { MB = [3, 5] }
expansions = [2, 3]
keep_channels = [4, 8, 16, 24]
[training]
epochs = 2
learning_rate = 0.2
[search]
objectives = ["error", "unfairness", "latency_ms"]
budget = 40
population = 12
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def problem_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("problem") / "tiny.toml"
    path.write_text(PROBLEM)
    return path


@pytest.fixture(scope="session")
def command_line() -> list[str]:
    """The command line as a process from nothing; `evo_fair` is faster."""
    return [sys.executable, "-c", "from evo_fair.cli import main; main()"]


@pytest.fixture(scope="session")
def evo_fair(commands: Commands) -> Command:
    """Runs a command to its end; the search's supernet is trained by the first that needs it."""

    def run(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        return commands.start([*arguments], environment).done()

    return run


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a command that has to end with 2 and one line."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    return line
