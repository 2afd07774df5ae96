"""Text from outside, shown as it is: names in files, labels, groups and ids are data in every printer.

Every text that may come from a file, a table or a command line goes through one of these on its way to a terminal, a
Markdown file or a figure. What a printer would obey is escaped, and what nobody would see is made visible.
"""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from unicodedata import category

__all__ = ["counted", "figure_label", "markdown", "markdown_code", "markdown_table", "say", "shell_word", "visible"]

_JOINERS = "\u200c\u200d"
"""What joins letters or not in Persian and in the scripts of India; within words it is spelling."""

_MARKDOWN = re.compile(
    r"[\\`*~|$]"
    r"|\](?=[(\[])"  # else brackets are no link
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it means nothing
    r"|:(?=[\w+-]+:)"  # GitHub's :smile:
)
_PLAIN_WORD = re.compile(r"[\w@%+=:,./-]+")
"""What needs no quotes in a shell; `shlex` would quote letters such as ü, too."""

_ENTITIES = re.compile(r"[&<>@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What begins HTML, and what makes a link of a bare address."""


def visible(text: object) -> str:
    r"""The text on one line, with what can't be seen written as in JSON: an escape is `\u001b`, a line's end `\n`.

    So no text moves a terminal's cursor, colours it, or turns what follows from right
    to left; and valid JSON stays so.

    Args:
        text: The text.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(one if _seen(one) else json.dumps(one)[1:-1] for one in shown)


def counted(count: int, one: str, more: str = "") -> str:
    """A number of things in words, such as `1 network` and `2 networks`.

    Args:
        count: How many.
        one: What one of them is called.
        more: What several are called. Default: `one` with an s.
    """
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def shell_word(text: object) -> str:
    """The text as one word of a command that a user copies: in quotes where a shell would read it otherwise.

    Args:
        text: The text, such as a path.
    """
    word = str(text)
    return word if _PLAIN_WORD.fullmatch(word) else shlex.quote(word)


def say(*lines: object, err: bool = False) -> None:
    """Prints lines to standard output, or with `err` to standard error, each `visible`."""
    import typer

    for line in lines:
        typer.echo(visible(line), err=err)


def markdown(text: object) -> str:
    """The text for a Markdown file, in a sentence or a table's cell: no table, emphasis, link or HTML comes of it.

    Args:
        text: The text.
    """
    escaped = _MARKDOWN.sub(r"\\\g<0>", visible(text))
    return _ENTITIES.sub(lambda found: f"&#{ord(found[0])};", escaped)


def markdown_code(text: object) -> str:
    """The text as code in a sentence of a Markdown file, fenced by more backticks than it holds in a row.

    Args:
        text: The text.
    """
    shown = visible(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if "`" in shown or not shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table of cells as they are; the first column stands left, the others right.

    Args:
        head: The headings.
        rows: The cells, row by row.
    """
    lines = [[markdown(cell) for cell in line] for line in (head, *rows)]
    lines.insert(1, ["---", *["---:"] * (len(head) - 1)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure_label(text: object) -> str:
    """The text for a label in a figure: no formula comes of it, and no legend leaves it out.

    Args:
        text: The text.
    """
    shown = visible(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _seen(character: str) -> bool:
    """Whether it leaves something on the screen; spaces of other widths do, and joiners within words change letters."""
    return character.isprintable() or character in _JOINERS or category(character) == "Zs"
