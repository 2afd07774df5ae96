"""`evo-fair train`: the supernet of a problem."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.cli.options import DataOption, ProblemArgument

__all__ = ["train"]


def train(
    problem: ProblemArgument,
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the supernet; by default the cache, where searches look.")
    ] = None,
) -> None:
    """Trains a problem's supernet and stores it with its manifest; goes on where a training was broken off."""
    from evo_fair.api import train as train_supernet
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.problem import load_problem

    chosen = load_problem(problem, data=data)
    try:
        with ProgressBars() as bars:
            stored = train_supernet(chosen, out=out, listener=bars)
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on after the last whole epoch", err=True)
        raise typer.Exit(130) from None
    for name, report in stored.manifest["validation"].items():
        typer.echo(f"{name} network: accuracy {report['accuracy']:.4f} on the validation part")
    typer.echo(f"supernet: {stored.path}")
