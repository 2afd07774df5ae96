"""What makes data doubtful without keeping them from being used: it is said, as a `DataWarning`, and left to the user.

Cells that read as if something was missing, one of which may be a group; values that the names of groups leave out; and
images that are in two parts.
"""

import json
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.data.dataset import PARTS
from evo_fair.errors import DataWarning, quote

__all__ = ["MISSING_MARKS", "blanked", "say_idle", "say_missing", "say_repeated", "say_unnamed"]

MISSING_MARKS = frozenset(
    {"nan", "na", "n/a", "n.a.", "n.a", "#n/a", "<na>", "nat", "none", "null", "nil", "unknown", "unk", "undefined"}
    | {"unspecified", "not specified", "not available", "not reported", "not known", "missing", "empty", "?", "-", "--"}
    | {".", "-99", "-999", "-9999"}
    | {"unbekannt", "keine angabe", "k.a.", "k. a.", "inconnu", "inconnue", "desconocido", "desconocida", "onbekend"}
    | {"sconosciuto", "sconosciuta", "desconhecido", "desconhecida", "nieznany", "okänd", "неизвестно", "未知", "不明"}
)
"""What programs and people write, in small letters, where a value is missing."""

_SHOWN = 6
_MOST_UNNAMED = 5


def say_missing(
    table: pd.DataFrame,
    columns: Sequence[str],
    path: Path,
    label: str = "label",
    what: str = "image",
    named: Sequence[str] = (),
) -> None:
    """Warns of values of `columns`, and of labels, that are taken as they are and read as if something was missing.

    `label` is the labels' column, `what` a row of the table is. `named` are texts that `missing` names already.
    """
    if found := [one for column in columns for one in _missing_in(table[column])]:
        values = dict.fromkeys([*named, *(value for _, value, _ in found)])
        names = ", ".join(json.dumps(value, ensure_ascii=False) for value in values)
        _warn(
            f"{path}: {_listed(found, what)} taken for values like any other: if they mean that it is not known, "
            f"set missing = [{names}] under [data] of the problem{'' if named else ', and if not, missing = []'}"
        )
    if found := _missing_in(table[label]):
        _warn(f"{path}: {_listed(found, what)} taken for a label like any other: remove the lines if it is none")


def blanked(table: pd.DataFrame, columns: Sequence[str], missing: Sequence[str], path: Path) -> pd.DataFrame:
    """The table with the texts `missing` of these columns made empty; warns of a text that no column holds."""
    cells = table[list(columns)]
    held = {value for column in cells for value in cells[column].unique()}
    if idle := [value for value in missing if value not in held]:
        _warn(
            f"{path}: no group or unit is called {', '.join(map(repr, idle))}, which missing names: "
            "mind capital letters, or take it out"
        )
    return table.assign(**{column: cells[column].where(~cells[column].isin(list(missing)), "") for column in columns})


def say_idle(missing: Sequence[str], found: Collection[str], path: Path) -> None:
    """Warns of texts `missing` that are not among those `found` in a table."""
    if idle := [value for value in missing if value not in found]:
        _warn(
            f"{path}: no cell is {', '.join(map(repr, idle))}, which missing names: mind capital letters, or take it "
            "out"
        )


def say_unnamed(cells: "pd.Series[str]", group: str, names: Collection[str], path: Path, what: str = "row") -> None:
    """Warns of values of a column that are not among those with `names`: what has one is in no group of `group`.

    An empty cell is no value. `what` is what the table has a line for.
    """
    counts = cells[~cells.isin(["", *names])].value_counts()
    if not (n := int(counts.sum())):
        return
    found = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
    shown = [
        f"{quote(value)} ({count:,})" if len(found) > 1 else quote(value) for value, count in found[:_MOST_UNNAMED]
    ]
    if more := len(found) - len(shown):
        values = f"{', '.join(shown)} or {more:,} other{'s' if more > 1 else ''}"
    else:
        values = " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    rows, have, they = (f"{what}s", "have", "they count") if n > 1 else (what, "has", "it counts")
    _warn(
        f"{path}: {n:,} {rows} {have} {cells.name} = {values}, which names does not name: {they} in no group of "
        f"{group}; give a name to each value that is a group"
    )


def say_repeated(
    hashes: npt.NDArray[np.uint8], split: npt.NDArray[np.int8], names: Sequence[str], path: Path, mend: str
) -> None:
    """Warns of images with equal hashes in two parts: a network that has learned one by heart knows the other.

    `hashes` is `[images, bytes]`, `split` the number of each image's part.
    """
    if not (repeated := _repeated(hashes, split)):
        return
    (first, second), more = repeated[0], f", and {len(repeated) - 1} more" if len(repeated) > 1 else ""
    where = " and ".join(f"{names[number]} in {PARTS[split[number]]}" for number in (first, second))
    _warn(f"{path}: the same image is in two parts: {where}{more}; {mend}")


def _repeated(hashes: npt.NDArray[np.uint8], parts: npt.NDArray[np.int8]) -> list[tuple[int, int]]:
    """Pairs `(earlier, later)` of images of equal hashes in different `parts` `[images]`, one for each later image."""
    first: dict[bytes, int] = {}
    numbers = [first.setdefault(row.tobytes(), number) for number, row in enumerate(hashes)]
    # Against the first of its kind alone: of three in parts a, b, b the second b is told with the a, too.
    return [(early, late) for late, early in enumerate(numbers) if parts[early] != parts[late]]


def _missing_in(cells: "pd.Series[str]") -> list[tuple[str, str, int]]:
    """The column, value and number of cells of each value that reads as if something was missing."""
    counts = cells.value_counts(sort=False)
    return [(str(cells.name), str(value), int(n)) for value, n in counts.items() if str(value).lower() in MISSING_MARKS]


def _listed(found: Sequence[tuple[str, str, int]], what: str) -> str:
    shown = ", ".join(f"{column} {value!r} ({n} {what}{'s' if n > 1 else ''})" for column, value, n in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{shown}{more} {'is' if len(found) == 1 else 'are'}"


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=4)
