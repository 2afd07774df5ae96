"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DataOption", "DeviceOption", "ProblemArgument"]

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
