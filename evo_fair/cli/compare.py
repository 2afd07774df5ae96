"""`evo-fair compare`: several runs or seeds against each other."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.show import say

__all__ = ["compare"]


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that searches wrote.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="What to call a run, once for each in their order; equal ones go together. Default: its algorithm.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="A folder for the tables and the figure, new or of an earlier comparison.")
    ] = Path("results/compare"),
) -> None:
    """Compares the fronts of runs with equal objectives and data: hypervolume, attainment surfaces, domination."""
    from evo_fair.report import compare as compare_runs
    from evo_fair.report import comparison_markdown, write_comparison

    comparison = compare_runs(runs, label)
    written = write_comparison(comparison, out)
    say(*comparison_markdown(comparison).split("\n"))
    for run in comparison.runs:
        if run.unfinished:
            say(f"warning: {run.unfinished}")
    say(f"written: {', '.join(str(path) for path in written)}")
