"""Options that several commands share."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DataOption",
    "DeviceOption",
    "DevicesOption",
    "ModuleOption",
    "NetworkOption",
    "ProblemArgument",
    "RunOption",
    "WeightsOption",
    "resume_command",
    "same_command",
]

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
DevicesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        help="A device's name (see 'evo-fair devices') or the path of a profile; repeat it for several, which have a "
        "latency_ms[NAME] each. Default: the problem's.",
    ),
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        help="largest for the problem's largest, a reference network's name such as mobilenet-v2 or mobilenet-v2-0.35 "
        "(0.35 times as wide), a .safetensors file of 'train --network', or with --run a network's id.",
    ),
]
RunOption = Annotated[Path | None, typer.Option("--run", help="The run that --network is an id of.")]
ModuleOption = Annotated[
    str | None,
    typer.Option(
        "--module",
        help="Your own network: file.py:function or package.module:function, which returns a torch.nn.Module.",
    ),
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="The --module's weights, safetensors; else it is trained first.")
]


def same_command() -> str:
    """The command that this process was started with."""
    return shlex.join(["evo-fair", *sys.argv[1:]])


def resume_command() -> str:
    """The same command, as one that goes on where it was broken off."""
    return same_command() if "--resume" in sys.argv else f"{same_command()} --resume"
