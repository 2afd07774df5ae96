"""`evo-fair train`: the supernet of a problem, or a well-known network to compare with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_fair.cli.options import DataOption, ProblemArgument, same_command
from evo_fair.show import say

if TYPE_CHECKING:
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.problem import Problem

__all__ = ["train"]


def train(
    problem: ProblemArgument,
    data: DataOption = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            help="A well-known network instead, by the same recipe, such as mobilenet-v2, or mobilenet-v2-0.35 for "
            "one 0.35 times as wide.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of a --network (default 0); a supernet's is in the problem file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the result; by default the cache, where searches look.")
    ] = None,
) -> None:
    """Trains a problem's supernet, or with --network a reference network, and stores it with its manifest.

    A training that was broken off goes on when the same command is given again.
    """
    from evo_fair.cli.interrupts import resumable
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.problem import load_problem

    if network is None and seed is not None:
        raise typer.BadParameter("--seed is for --network; a supernet's seed is set by [training] in the problem file")
    chosen = load_problem(problem, data=data)
    with resumable(same_command(), lambda: "finished epochs are saved") as check, ProgressBars(check) as bars:
        if network is None:
            _train_supernet(chosen, out, bars)
        else:
            _train_reference(chosen, network, seed or 0, out, bars)


def _train_supernet(problem: "Problem", out: Path | None, bars: "ProgressBars") -> None:
    from evo_fair.jobs.train import train as train_supernet

    stored = train_supernet(problem, out=out, listener=bars)
    for name, report in stored.manifest["validation"].items():
        say(f"{name} network: accuracy {report['accuracy']:.4f} on the validation part")
    say(f"supernet: {stored.path}")


def _train_reference(problem: "Problem", network: str, seed: int, out: Path | None, bars: "ProgressBars") -> None:
    from evo_fair.jobs.reference import train_reference

    stored = train_reference(problem, network, seed=seed, out=out, listener=bars)
    report = stored.manifest["validation"]
    say(f"{network}: accuracy {report['accuracy']:.4f} on the validation part")
    for name, part in report["groups"][problem.fairness.group].items():
        accuracy = "-" if part["accuracy"] is None else f"{part['accuracy']:.4f}"
        say(f"  {problem.fairness.group} {name}: {accuracy} of {part['samples']} samples")
    say(f"network: {stored.path}, {stored.onnx}")
