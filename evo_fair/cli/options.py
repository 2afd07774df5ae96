"""Options that several commands share."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DataOption", "DeviceOption", "ProblemArgument", "resume_command"]

ProblemArgument = Annotated[
    str, typer.Argument(help="A problem's name (see 'evo-fair problems') or the path of a TOML file.")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The data set's own folder; else one of its name under EVO_FAIR_DATA or the cache."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", help="A device's name (see 'evo-fair devices') or the path of a profile. Default: the problem's."
    ),
]


def resume_command() -> str:
    """The command that this process was started with, as one that goes on where it was broken off."""
    arguments = sys.argv[1:] if "--resume" in sys.argv else [*sys.argv[1:], "--resume"]
    return shlex.join(["evo-fair", *arguments])
