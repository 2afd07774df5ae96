"""What a page shows, whatever it is about: its title and sections, and the cells of its tables as texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from evo_fair.errors import EvoFairError
from evo_fair.show import visible

__all__ = [
    "Sheet",
    "SheetTable",
    "between",
    "check_finished",
    "facts_of",
    "groups_in",
    "number",
    "percent",
    "plain",
    "points",
    "searched_metrics",
    "section",
    "text_at",
    "trade_off",
]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sheet:
    """A page: `template` is its file in this folder, which shows `content`, `figures` and the `sections` (id, title).

    `code` names the scripts that run in it, `data` is what they read, as plain values for JSON.
    """

    title: str
    lead: str
    template: str
    sections: Sequence[tuple[str, str]]
    content: dict[str, Any]
    figures: Sequence[dict[str, Any]] = ()
    code: Sequence[str] = ("page_static.js",)
    data: Any = field(default_factory=dict)

    @classmethod
    def of_parts(cls, title: str, lead: str, parts: Mapping[str, tuple[str, dict[str, Any]]]) -> Self:
        """A page of sections alone: by id, each one's title and what `section` made of it."""
        return cls(
            title=title,
            lead=lead,
            template="page_static.html",
            sections=[(name, heading) for name, (heading, _) in parts.items()],
            content={name: made for name, (_, made) in parts.items()},
            figures=[figure for _, made in parts.values() for figure in made["figures"]],
        )


@dataclass(frozen=True)
class SheetTable:
    """A table: `title` says what it holds, for readers that only hear it, too; the first cell of a row is its name."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def check_finished(table: Path, job: str, error: type[EvoFairError]) -> None:
    """Raises `error` where a job was ended before it wrote its table, and says how to go on with it."""
    if not table.exists():
        raise error(
            f"{table.parent} holds no {table.name}, so the {job} was not finished: "
            "go on with it by the same command with --resume"
        )


def number(value: Any) -> str:
    """A number as texts show it: whole ones with their thousands, others with four digits; `unknown` for none.

    What rounding left of 0, such as the end of an interval of shares that is 1e-16, is 0.
    """
    if isinstance(value, str):
        return visible(value)
    if value is None or pd.isna(value):
        return UNKNOWN
    if abs(value) < 1e-12:
        value = 0
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1000 else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A share in percent, such as `81.5 %`."""
    return UNKNOWN if value is None or np.isnan(value) else f"{100 * value:.1f} %"


def points(value: float | None, sign: str = "") -> str:
    """A share in points, such as `2.3`; with `+` for its `sign`, as changes have it, `+2.3`."""
    if value is None or np.isnan(value):
        return UNKNOWN
    return format(round(100 * value, 1) + 0.0, f"{sign}.1f")  # adding 0 makes 0 of -0


def change(value: float | None) -> str:
    """A change of a share in points, such as `+2.3`."""
    return points(value, "+")


def between(shown: str, low: str, high: str) -> str:
    """A value with its interval; without the latter where an end is not known."""
    return shown if UNKNOWN in (low, high) else f"{shown} ({low.removesuffix(' %')} to {high})"


def trade_off(titles: Sequence[str]) -> str:
    """What fronts are of, in words: `between` several objectives, or `by` a single one."""
    return f"{'by' if len(titles) == 1 else 'between'} {', '.join(titles)}"


def facts_of(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Names and texts of what is known; what is empty is left out."""
    return [(name, visible(value)) for name, value in pairs if value not in (None, "", [])]


def plain(name: str) -> str:
    """A column's name in words."""
    return name.replace("_", " ")


_BY_GROUPING = ("unfairness", "worst_group_accuracy", "accuracy_gap")
"""What deployments measure by every grouping, in columns called `NAME[GROUPING]`."""


def searched_metrics(columns: Iterable[object]) -> dict[str, tuple[str, str]]:
    """By column the name and the grouping of what a deployment measures because its search looked at it."""
    there = list(map(str, columns))
    parts = {column: column.removesuffix("]").partition("[") for column in there if f"{column}_low" in there}
    return {
        column: (name, grouping)
        for column, (name, bracket, grouping) in parts.items()
        if bracket and name.isidentifier() and name not in ("accuracy", *_BY_GROUPING)
    }


def groups_in(columns: Iterable[object]) -> dict[str, dict[str, str]]:
    """By grouping and group the column that holds its accuracy, of those called `accuracy[GROUPING:GROUP]`."""
    found: dict[str, dict[str, str]] = {}
    for column in map(str, columns):
        if column.startswith("accuracy[") and column.endswith("]"):
            grouping, _, group = column[len("accuracy[") : -1].partition(":")
            found.setdefault(grouping, {})[group] = column
    return found


def text_at(configuration: dict[str, Any], *keys: str) -> str:
    """The plain value that nested tables hold under `keys`, as text; empty where there is none."""
    value: Any = configuration
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, dict | list) else str(value)


def section(
    *,
    text: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
    lines: Sequence[str] = (),
    figures: Sequence[dict[str, Any]] = (),
    tables: Sequence[SheetTable] = (),
) -> dict[str, Any]:
    """A section of a page: paragraphs, facts, a list, figures and tables, in this order."""
    return {"text": text, "facts": facts, "lines": lines, "figures": figures, "tables": tables}
