"""Rows of a table, as people have them, as what a network's file takes: read as the search read its own table.

What a program has read into a frame may have lost how a cell was written: `01234` became 1234, `true` became True, and
whole numbers beside a missing one became decimals. A number is therefore taken for the category that writes the same
number, and refused where two do. A text that is no category is taken for the same whole number with or without `.0`.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_float_dtype, is_scalar

from evo_fair.arguments import as_path
from evo_fair.arrays import Float32s
from evo_fair.data.table_file import read_cells
from evo_fair.data.table_inputs import code_of
from evo_fair.errors import DataError, quote
from evo_fair.files import user_path

__all__ = ["raw_rows"]

_LARGEST = float(np.finfo(np.float32).max)
_EXACT = 2**53
_READ_AS_NAN = frozenset({"NA", "N/A", "n/a", "#N/A", "<NA>", "None", "NULL", "null", "NaN", "nan", "-nan", "#NA"})
_AS_TEXTS = "give the file's path instead, or read it as texts: pandas.read_csv(dtype=str, keep_default_na=False)"


def raw_rows(card: Mapping[str, Any], table: pd.DataFrame | str | Path) -> Float32s:
    """Rows of a table, as people have them, as what the network of a card takes.

    A file is read as the search read its own. In a frame, cells can be texts, numbers
    and booleans.

    Args:
        card: The content of the `.json` beside the ONNX file.
        table: The path of a CSV or Parquet file, or the rows, with the columns that the
            card names. What is missing is NaN, None, an empty text, or one of the texts
            that the problem named.

    Returns:
        float32 `[rows, columns]`.

    Raises:
        DataError: The file can't be read, a column is not there, something else stands
            where a number belongs, or a cell of a frame could be two categories.
    """
    columns: Sequence[Mapping[str, Any]] = card["input"]["columns"]
    if not isinstance(table, pd.DataFrame):
        path = user_path(as_path("table", table)).resolve()
        names = [column["name"] for column in columns]
        blank = columns[0].get("missing texts", ()) if columns else ()
        numbers = [column["name"] for column in columns if not _is_category(column)]
        cells = read_cells(path.parent, path.name, names, blank, numbers)
        told = {name: cells.texts(name) for name, column in zip(names, columns, strict=True) if _is_category(column)}
        table = cells.frame.assign(**told)
    return np.column_stack([_raw_column(column, table) for column in columns]).astype(np.float32)


def _is_category(column: Mapping[str, Any]) -> bool:
    return bool(column["kind"] == "category")


def _raw_column(column: Mapping[str, Any], frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    name = column["name"]
    if name not in frame:
        raise DataError(
            f"the table has no column {name!r}, which the network takes: give it, with what is missing empty"
        )
    cells = frame[name]
    if not isinstance(cells, pd.Series):
        raise DataError(f"the table has two columns {name!r}: rename one")
    code = (_Category(column) if _is_category(column) else _Number(column)).code
    known: dict[tuple[type, Any], float] = {}  # by type, too: True and 1 are equal
    values = np.empty(len(cells))
    for place, cell in enumerate(_widened(cells).astype(object)):
        key = (type(cell), cell if isinstance(cell, Hashable) else None)
        if key not in known:
            known[key] = code(cell)
        values[place] = known[key]
    return values


def _widened(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """Cells in single or half precision as the float64 of their digits: 24.9, where a cast makes 24.899999618530273."""
    size = getattr(cells.dtype, "itemsize", 8)
    if not is_float_dtype(cells) or size not in (2, 4):
        return cells
    return pd.Series(cells.to_numpy(f"f{size}", na_value=np.nan).astype(str).astype(np.float64))


class _Cell:
    """A column of the card: what it says of a cell."""

    def __init__(self, column: Mapping[str, Any]) -> None:
        self.name = column["name"]
        self.blank = {*column.get("missing texts", ()), ""}
        self.blank_numbers = {number for text in self.blank if (number := _number(text)) is not None}

    def code(self, cell: Any) -> float:
        """The number that the network takes for a cell; NaN for a missing one."""
        if isinstance(cell, str):
            text = cell.strip()
            return np.nan if text in self.blank else self.of_text(text)
        if is_scalar(cell) and pd.isna(cell):
            return self.of_nothing(cell)
        if isinstance(cell, bool | np.bool_):
            return self.of_bool(bool(cell))
        if not isinstance(cell, Real | Decimal):
            raise DataError(
                f"column {self.name!r} has {quote(cell)}, a {type(cell).__name__}, expected texts or numbers: write it "
                "as the search's table has it"
            )
        return self.of_number(cell)

    def of_nothing(self, _cell: Any) -> float:
        """Of NaN or None."""
        return np.nan

    def of_text(self, text: str) -> float:
        """Of a text that is not missing."""
        raise NotImplementedError

    def of_bool(self, truth: bool) -> float:
        """Of True or False."""
        raise NotImplementedError

    def of_number(self, number: Any) -> float:
        """Of a number, which may be one that stands for a missing one."""
        raise NotImplementedError


class _Number(_Cell):
    """A column of numbers."""

    def of_text(self, text: str) -> float:
        number = _number(text)
        if number is None:
            raise self._wrong(text)
        return self.of_number(number)

    def of_bool(self, truth: bool) -> float:
        raise self._wrong(truth)

    def of_number(self, number: Any) -> float:
        if not abs(value := _value(number)) <= _LARGEST:
            raise self._wrong(number)
        return np.nan if value in self.blank_numbers else value

    def _wrong(self, cell: Any) -> DataError:
        return DataError(
            f"column {self.name!r} has {quote(cell)}, expected a number in the range of single precision: fix it"
        )


class _Category(_Cell):
    """A column of categories: by their texts, or whole numbers that stand for themselves."""

    def __init__(self, column: Mapping[str, Any]) -> None:
        super().__init__(column)
        values = column["values"]
        self.other = float(column["any other"])
        self.codes: Mapping[str, float] | None = values if isinstance(values, Mapping) else None
        self.written: dict[float, list[str]] = defaultdict(list)
        for text in self.codes or ():
            if (number := _number(text)) is not None:
                self.written[number].append(text)
        self.lost = sorted(_READ_AS_NAN.intersection(self.codes or ()))

    def of_nothing(self, cell: Any) -> float:
        if self.lost and isinstance(cell, float):
            raise DataError(
                f"column {self.name!r} has NaN, which is missing or the category {quote(self.lost[0])}: {_AS_TEXTS}"
            )
        return np.nan

    def of_text(self, text: str) -> float:
        if _number(text) in self.blank_numbers and text not in (self.codes or ()):  # -999.0, where -999 is missing
            return np.nan
        return code_of(text, self.codes, self.other)

    def of_bool(self, truth: bool) -> float:
        return self._one_of([text for text in self.codes or () if text.lower() == str(truth).lower()], truth)

    def of_number(self, number: Any) -> float:
        value = _value(number)
        if value in self.blank_numbers and value not in self.written:  # a category can be -999.0, and -999 missing
            return np.nan
        whole = str(int(value)) if value.is_integer() else ""
        if self.codes is None:
            return self.of_text(whole) if whole else self.other
        if abs(value) > _EXACT:  # long identifiers, of which a float would be several
            written = f"{value:.17g}" if isinstance(number, float) else ""  # as the search writes those of Parquet
            return self.of_text(written if written in self.codes else str(number))
        return self._one_of(self.written.get(value, []), number)

    def _one_of(self, texts: Sequence[str], cell: Any) -> float:
        if len(texts) > 1:
            ways = " or ".join(map(quote, texts))
            raise DataError(f"column {self.name!r} has {cell}, which is the category {ways}: {_AS_TEXTS}")
        return float((self.codes or {}).get(texts[0], self.other)) if texts else self.other


def _value(number: Any) -> float:
    """A number as a float, infinity beyond the range of floats."""
    try:
        return float(number)
    except OverflowError:
        return np.inf


def _number(text: str) -> float | None:
    """The finite number that a text writes, None for another text."""
    try:
        value = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return None
    return value if np.isfinite(value) else None
