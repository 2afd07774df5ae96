"""`evo-fair operating-point`: the best network of a run under declared limits."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["operating_point"]


def operating_point(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that a search wrote.")],
    constraint: Annotated[
        list[str] | None, typer.Option("--constraint", help="A limit such as 'accuracy>=0.75'; can be repeated.")
    ] = None,
    minimise: Annotated[
        str, typer.Option("--minimise", help="The column to make as small as possible.")
    ] = "latency_ms",
) -> None:
    """Names the network of the front with the least of a quantity among those within all limits, or none."""
    from evo_fair.report import load_run

    point = load_run(run).operating_point(constraint or [], minimise=minimise)
    if point is None:
        typer.echo("none: no network of the front is within all limits")
        return
    typer.echo(point.drop("genome").to_string(dtype=False))
