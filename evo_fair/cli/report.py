"""`evo-fair report`: what a job's folder holds as one HTML file that opens offline."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.show import say

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of search, deploy, prune, audit or compare.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file, .html. Default: RUN/report.html.")] = None,
) -> None:
    """Writes a page of a folder: of a search, of trained or pruned networks, of an audit or of compared runs.

    Of a search it holds the front, the choice under limits, the networks' cards and the course of the search.
    """
    from evo_fair.report.page import write_report

    say(write_report(run, out))
