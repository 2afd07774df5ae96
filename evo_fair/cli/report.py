"""`evo-fair report`: a run as one HTML file that opens offline."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.show import say

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that a search wrote.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file, .html. Default: RUN/report.html.")] = None,
) -> None:
    """Writes a page with the front, the choice under limits, the networks' cards and the course of the search."""
    from evo_fair.report.page import write_report

    say(write_report(run, out))
