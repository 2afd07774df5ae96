"""Options that several commands share."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evo_fair.jobs.workers import Workers

__all__ = [
    "DataOption",
    "DeviceOption",
    "DevicesOption",
    "LeaveOutOption",
    "ModuleOption",
    "NetworkOption",
    "ProblemArgument",
    "RunOption",
    "TorchDeviceOption",
    "WeightsOption",
    "WorkersOption",
    "chosen_workers",
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


WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|ADDRESS",
        help="Who makes the pieces of the job: so many processes on this machine, or the workers of a Dask scheduler, "
        "tcp://host:8786. Each has one thread, or its share of --jobs where the command has that. Changes the time "
        "only. Default: this process.",
    ),
]
LeaveOutOption = Annotated[
    bool,
    typer.Option(
        "--leave-out",
        help="With --workers: leave out, with a warning, a piece of work that ended three workers, instead of "
        "ending the job.",
    ),
]


TorchDeviceOption = Annotated[
    str,
    typer.Option(
        "--torch-device",
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where networks are trained and evaluated; auto: a GPU if there is one.",
    ),
]


def chosen_workers(workers: str | None, leave_out: bool, jobs: int | None = None) -> "Workers | None":
    """What `--workers`, `--leave-out` and `--jobs` say of workers."""
    if workers is None:
        if leave_out:
            raise typer.BadParameter("--leave-out is about workers: give --workers, too")
        return None
    from evo_fair.jobs.workers.given import as_workers

    chosen = as_workers(workers, jobs)
    return chosen and replace(chosen, leave_out=leave_out)


def same_command() -> str:
    """The command that this process was started with."""
    return shlex.join(["evo-fair", *sys.argv[1:]])


def resume_command() -> str:
    """The same command, as one that goes on where it was broken off."""
    arguments = sys.argv[1:]
    if "--resume" not in arguments:
        end = arguments.index("--") if "--" in arguments else len(arguments)  # behind it nothing is an option
        arguments.insert(end, "--resume")
    return shlex.join(["evo-fair", *arguments])
