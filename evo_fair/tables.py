"""Tables for the terminal, whose cells are shown as they are: Rich would take `[bold]` in a name for its markup."""

from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evo_fair.show import visible

__all__ = ["Table", "plain_console", "print_table"]


class Table(RichTable):
    """A table without a frame; its title, headings and cells are `visible` texts without markup."""

    def __init__(self, title: str | None = None) -> None:
        heading = None if title is None else Text(visible(title), style="table.title")
        super().__init__(title=heading, box=None, pad_edge=False)

    def add_column(self, header: object = "", *arguments: Any, **options: Any) -> None:
        """Adds a column with a heading; the options are Rich's."""
        super().add_column(Text(visible(header)), *arguments, **options)

    def add_row(self, *cells: object, **options: Any) -> None:
        """Adds a row of cells."""
        super().add_row(*(Text(visible(cell)) for cell in cells), **options)


def plain_console(stderr: bool = False) -> Console:
    """A console that reads no markup and finds nothing to colour in what it prints."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_table(table: Table) -> None:
    """Prints a table as wide as the terminal; into a file or a pipe without folding it."""
    console = plain_console()
    if not console.is_terminal:
        console.width = max(console.width, 200)
    console.print(table)
