"""Reading the CSV tables that evo_fair writes, damaged or not: each fault is named by its row and column."""

import csv
from collections.abc import Collection, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from evo_fair.errors import EvoFairError, in_a_line, quote
from evo_fair.files import read_text

__all__ = ["as_numbers", "check_filled", "check_numbers", "number_in", "parse_table", "read_table_of_numbers"]

_MISSING = (
    *("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"),
    *("#N/A", "#NA", "#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""What stands for no number in tables: what pandas, R, databases and spreadsheets write."""


def read_table_of_numbers(
    path: Path, error: type[EvoFairError], mend: str, *, texts: Collection[str], filled: Sequence[str] = ()
) -> pd.DataFrame:
    """The table in a CSV file: text in the columns `texts`, finite numbers or nothing in all others.

    Raises `error`, ending in `mend`, where it is missing or can't be read, lacks one of the columns `filled` or a cell
    in them, or holds anything else; it names the row, counted from 1 below the header, and the column.
    """
    if not path.exists():
        raise error(f"{path} is missing: {mend}")
    table = parse_table(path, read_text(path, error, "CSV"), error, mend, texts)
    _check_columns(path, table, filled, error, mend)
    check_numbers(path, table, [str(name) for name in table if name not in texts], error, mend)
    check_filled(path, table, filled, error, mend)
    return table


def check_filled(path: Path, table: pd.DataFrame, columns: Sequence[str], error: type[EvoFairError], mend: str) -> None:
    """Raises `error`, ending in `mend`, for one of `columns` that the table lacks or that has an empty cell."""
    _check_columns(path, table, columns, error, mend)
    for column in columns:
        empty = table[column].isna().to_numpy(bool)
        if empty.any():
            raise error(f"{path}, row {int(empty.argmax()) + 1}, column {quote(column)} is empty: {mend}")


def _check_columns(
    path: Path, table: pd.DataFrame, columns: Sequence[str], error: type[EvoFairError], mend: str
) -> None:
    for column in columns:
        if column not in table:
            raise error(f"{path} has no column {quote(column)}: {mend}")


def parse_table(
    path: Path, text: str, error: type[EvoFairError], mend: str, texts: Collection[str] = (), gaps: bool = True
) -> pd.DataFrame:
    """The table that `text`, the content of `path`, holds; without `gaps` an empty cell is a text, too.

    Raises `error`, ending in `mend`, for what is no table, for two columns of one name and for a row that was cut or
    has more cells than there are columns.
    """
    try:
        header, *rows = [row for row in csv.reader(StringIO(text)) if row] or [[]]
    except csv.Error as reason:
        raise error(f"{path} is no table ({in_a_line(reason)}): {mend}") from reason
    if double := next((name for place, name in enumerate(header) if name in header[:place]), None):
        raise error(f"{path} has two columns {quote(double)}: {mend}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):  # pandas takes surplus cells for an index, and missing ones for empty
            raise error(f"{path}, row {number} has {len(row)} cells, and its header {len(header)}: {mend}")
    try:
        return pd.read_csv(
            StringIO(text),
            dtype=dict.fromkeys(texts, str),
            keep_default_na=False,
            na_values=_gaps(header, texts) if gaps else None,
            low_memory=False,
        )
    except (ValueError, OverflowError) as reason:  # pandas' ParserError and EmptyDataError are ValueErrors
        raise error(f"{path} is no table ({in_a_line(reason)}): {mend}") from reason


def _gaps(header: Sequence[str], texts: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What counts as no value, by column: in a text an empty cell alone, for a label or a group can be called NA."""
    called = [name or f"Unnamed: {place}" for place, name in enumerate(header)]  # as pandas does
    return {name: ("",) if name in texts else _MISSING for name in called}


def check_numbers(
    path: Path, table: pd.DataFrame, columns: Sequence[str], error: type[EvoFairError], mend: str
) -> None:
    """Raises `error`, ending in `mend`, naming the first cell of `columns` that is neither empty nor a number."""
    for column in columns:
        values = table[column]
        if is_bool_dtype(values):
            continue
        if is_numeric_dtype(values):
            wrong = np.isinf(values.to_numpy(float, na_value=np.nan))
        else:
            known = as_numbers(values)
            wrong = ~np.isfinite(known) & values.notna().to_numpy(bool)
            if not wrong.any():  # whole numbers beyond 64 bits
                wrong = np.abs(known) >= 2.0**63
        if wrong.any():
            row = int(wrong.argmax())
            cell = values.tolist()[row]
            raise error(f"{path}, row {row + 1}, column {quote(column)}: {quote(cell)} is no number: {mend}")


def as_numbers(column: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    """A column of texts as numbers `[rows]`; NaN for what is none, infinity for those beyond the range of floats."""
    return np.array([number_in(cell) for cell in column], np.float64)


def number_in(cell: object) -> float:
    """A cell as a number; NaN for what is none, infinity for one beyond the range of floats."""
    if isinstance(cell, str) and ("_" in cell or not cell.isascii()):  # Python reads those, a table does not
        return np.nan
    try:
        return float(cell)  # type: ignore[arg-type]
    except OverflowError:
        return np.inf
    except (TypeError, ValueError):
        return np.nan
