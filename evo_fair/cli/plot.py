"""`evo-fair plot`: the Pareto figure of one or several runs."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.show import say

__all__ = ["plot"]


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that searches wrote.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", help="A .png, .pdf or .svg file; repeat it for several. Default for one run: in its folder."
        ),
    ] = None,
) -> None:
    """Draws the fronts of runs with equal objectives: every pair of objectives, front and dominated networks."""
    from evo_fair.errors import EvoFairError
    from evo_fair.report import load_run, pareto

    if len(runs) > 1 and not out:
        raise EvoFairError("a figure of several runs needs a place of its own: give --out fronts.pdf")
    figures = out or [runs[0] / "pareto.png", runs[0] / "pareto.pdf"]
    pareto([load_run(run) for run in runs], figures)
    for figure in figures:
        say(figure)
