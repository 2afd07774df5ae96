"""Tables for the terminal, whose cells are shown as they are: Rich would take `[bold]` in a name for its markup."""

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from evo_fair.show import visible

__all__ = ["Table", "plain_console", "print_table"]

_PADDING = 2
"""Blanks of a column, one on each side."""


class Table(RichTable):
    """A table without a frame; its title, headings and cells are `visible` texts without markup.

    A column is never so narrow that one of its words or numbers would be broken, unless its `overflow` is `fold`, which
    is for texts that may hold long paths and addresses.
    """

    def __init__(self, title: str | None = None) -> None:
        heading = None if title is None else Text(visible(title), style="table.title")
        super().__init__(title=heading, box=None, pad_edge=False)

    def add_column(self, header: object = "", *arguments: Any, **options: Any) -> None:
        """Adds a column with a heading; the options are Rich's."""
        super().add_column(Text(visible(header)), *arguments, **options)
        self._make_room(self.columns[-1], header)

    def add_row(self, *cells: object, **options: Any) -> None:
        """Adds a row of cells."""
        super().add_row(*(Text(visible(cell)) for cell in cells), **options)
        for column, cell in zip(self.columns, cells, strict=False):
            self._make_room(column, cell)

    @staticmethod
    def _make_room(column: Column, text: object) -> None:
        if column.overflow != "fold":
            longest = max(map(cell_len, visible(text).split()), default=0)
            column.min_width = max(column.min_width or 0, longest)


def plain_console(stderr: bool = False) -> Console:
    """A console that reads no markup and finds nothing to colour in what it prints."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_table(table: Table) -> None:
    """Prints a table as wide as the terminal, or wider where a word or number would have to be broken.

    Into a file or a pipe it is printed without folding it.
    """
    console = plain_console()
    if console.is_terminal:
        needed = sum((column.min_width or 0) + _PADDING for column in table.columns)
        console.width = max(console.width, needed)
    else:
        console.width = max(console.width, 200)
    console.print(table, crop=False)  # Rich shares the width out without regard to what may not be broken
