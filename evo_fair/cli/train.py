"""`evo-fair train`: the supernet of a problem, or a well-known network to compare with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_fair.cli.options import (
    DataOption,
    LeaveOutOption,
    ProblemArgument,
    TorchDeviceOption,
    WorkersOption,
    chosen_workers,
    same_command,
)
from evo_fair.show import say

if TYPE_CHECKING:
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.jobs.workers import Workers
    from evo_fair.problem import Problem

__all__ = ["train"]


def train(
    problem: ProblemArgument,
    data: DataOption = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            help="A well-known network instead, by the same recipe, such as mobilenet-v2, or mobilenet-v2-0.35 for "
            "one 0.35 times as wide; can be repeated.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of a --network (default 0); a supernet's is in the problem file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the result; by default the cache, where searches look.")
    ] = None,
    torch_device: TorchDeviceOption = "auto",
    workers: WorkersOption = None,
    leave_out: LeaveOutOption = False,
) -> None:
    """Trains a problem's supernet, or with --network a reference network, and stores it with its manifest.

    A training that was broken off goes on when the same command is given again.
    """
    from evo_fair.cli.interrupts import resumable
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.problem import load_problem

    if not network and seed is not None:
        raise typer.BadParameter("--seed is for --network; a supernet's seed is set by [training] in the problem file")
    if not network and (workers is not None or leave_out):
        option = "--workers" if workers is not None else "--leave-out"
        raise typer.BadParameter(f"{option} is for --network: a supernet is trained by one process")
    chosen = load_problem(problem, data=data)
    kept = "epochs" if workers is None else "networks"  # those of a worker's training end with it
    with resumable(same_command(), lambda: f"finished {kept} are saved") as check, ProgressBars(check) as bars:
        if not network:
            _train_supernet(chosen, out, torch_device, bars)
        else:
            team = chosen_workers(workers, leave_out)
            _train_references(chosen, network, seed or 0, out, torch_device, team, bars)


def _train_supernet(problem: "Problem", out: Path | None, torch_device: str, bars: "ProgressBars") -> None:
    from evo_fair.jobs.train import train as train_supernet

    stored = train_supernet(problem, out=out, torch_device=torch_device, listener=bars)
    for name, report in stored.manifest["validation"].items():
        say(f"{name} network: accuracy {report['accuracy']:.4f} on the validation part")
    say(f"supernet: {stored.path}")


def _train_references(
    problem: "Problem",
    networks: list[str],
    seed: int,
    out: Path | None,
    torch_device: str,
    workers: "Workers | None",
    bars: "ProgressBars",
) -> None:
    from evo_fair.jobs.reference import train_references

    again = len(networks) == 1
    for stored in train_references(
        problem,
        networks,
        seed=seed,
        out=out,
        torch_device=torch_device,
        workers=workers,
        listener=bars,
        again=again,
    ):
        report = stored.manifest["validation"]
        say(f"{stored.path.stem}: accuracy {report['accuracy']:.4f} on the validation part")
        for name, part in report["groups"][problem.fairness.group].items():
            accuracy = "-" if part["accuracy"] is None else f"{part['accuracy']:.4f}"
            say(f"  {problem.fairness.group} {name}: {accuracy} of {part['samples']} samples")
        say(f"network: {stored.path}, {stored.onnx}")
