"""Reading the CSV or Parquet file of a table: its columns as texts or numbers, every fault named by its place."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_float_dtype

from evo_fair.data.tables import check_separator, near_table, read_table, table_rows
from evo_fair.errors import DataError, EvoFairError, did_you_mean, in_a_line, quote
from evo_fair.files import inside

__all__ = ["Cells", "read_cells"]

MOST_BYTES = 2**31
MOST_ROWS = 10**7
MOST_COLUMNS = 10_000
LONGEST_TEXT = 1000
_TEXTS = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_MEND = "it needs a header with a name for each column, and a line for each sample"
_RENAMED = "fix the name under [data.table], or the table's header"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Cells:
    """The columns of a table that are read, `frame` `[rows, columns]`: texts ("" for a missing one) or float64 (NaN).

    `counted` says what its index counts, the lines of a file or its rows; `blanked` are the texts that were taken for
    missing and found.
    """

    path: Path
    frame: pd.DataFrame
    counted: str
    blanked: frozenset[str] = frozenset()

    def refuse(self, wrong: npt.NDArray[np.bool_], fault: str) -> None:
        """Raises `DataError` for the first of the rows that are wrong `[rows]`."""
        if wrong.any():
            place = int(wrong.argmax())
            raise DataError(f"{self.path}, {self.counted} {self.frame.index[place]}: {fault}")

    def missing(self, column: str) -> npt.NDArray[np.bool_]:
        """Where a column has no value `[rows]`."""
        cells = self.frame[column]
        return (cells.isna() if is_float_dtype(cells) else cells == "").to_numpy(bool)

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """A column of numbers `[rows]`, NaN for a missing one; raises `DataError` for a text or one beyond float32."""
        cells = self.frame[column]
        values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = ~(np.abs(values) <= _LARGEST) & ~self.missing(column)
        if wrong.any():
            cell = cells.iloc[int(wrong.argmax())]
            self.refuse(
                wrong,
                f"{column} {quote(cell)} is no number in the range of single precision: fix it, name it under "
                "missing, or list the column under categories",
            )
        return values

    def texts(self, column: str) -> "pd.Series[Any]":
        """A column as texts, "" for a missing one; whole numbers are written without a point, others in no more digits
        than tell them. -0.0, which is 0, is `0`.
        """
        cells = self.frame[column]
        if not is_float_dtype(cells):
            return cells
        codes, values = cells.factorize()  # -1 for a missing one
        named = [*(f"{value + 0.0:.17g}" if value == value // 1 else str(value) for value in values), ""]
        return pd.Series(np.array(named, object)[codes], index=cells.index)


def read_cells(
    folder: Path, name: str, columns: Sequence[str], missing: Sequence[str] = (), numbers: Sequence[str] = ()
) -> Cells:
    """The `columns` of the table `name` below `folder`; empty cells, and the texts `missing`, are missing values.

    In the columns `numbers` every way to write a number of `missing` is one: `-999.0` for `-999`.
    A CSV has commas or tabs and is UTF-8; Parquet needs pyarrow. Raises `DataError` for what can't be read, lacks a
    column or has one twice, is larger than is read, or holds in one of the columns anything but texts and numbers.
    """
    try:
        path = inside(folder, name)
    except EvoFairError as reason:
        raise DataError(f"data.table.file: {reason}") from reason
    suffix = path.suffix.lower()
    if suffix not in _TEXTS + _PARQUET:
        raise DataError(f"{path} is neither CSV nor Parquet: name a file that ends in {', '.join(_TEXTS + _PARQUET)}")
    if not path.exists():
        near = near_table(path, _TEXTS + _PARQUET, "fix file under [data.table]")
        raise DataError(f"{path} is missing{near or ': put the table there, or fix file under [data.table]'}")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise DataError(f"{path} is {what}: name the table's file under [data.table]")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise DataError(f"{path} has {size:,} bytes, and at most {MOST_BYTES:,} are read: take a part of the table")
    cells = _read_parquet(path, columns) if suffix in _PARQUET else _read_csv(path, columns)
    return _without(cells, missing, numbers)


def _read_csv(path: Path, columns: Sequence[str]) -> Cells:
    _check_lines(path, columns)
    frame = read_table(path, columns, _MEND, _RENAMED)[list(columns)]
    cells = Cells(path, frame, "line")
    for column in columns:
        _check_lengths(cells, column, frame[column])
    return cells


def _check_lines(path: Path, columns: Sequence[str]) -> None:
    """Refuses a row of more or fewer cells than the header has, which pandas fills or shifts, and a table too large."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = table_rows(file)
            _, header = next(rows, (1, []))
            _check_size(path, 0, len(header))
            check_separator(path, header, columns)
            for number, (line, row) in enumerate(rows, 2):
                if len(row) != len(header) and row:
                    raise DataError(
                        f"{path}, line {line} has {len(row)} cells, and its header {len(header)}: fix the line"
                    )
                if number > MOST_ROWS:
                    _check_size(path, number, len(header))
    except (OSError, ValueError, csv.Error) as reason:
        if isinstance(reason, DataError):
            raise
        raise DataError(f"{path} can't be read as a table ({in_a_line(reason)}): {_MEND}, in UTF-8") from reason


def _check_size(path: Path, rows: int, columns: int) -> None:
    for what, count, most in (("rows", rows, MOST_ROWS), ("columns", columns, MOST_COLUMNS)):
        if count > most:
            raise DataError(f"{path} has more than {most:,} {what}, the most that are read: take a part of the table")


def _check_lengths(cells: Cells, column: str, texts: "pd.Series[Any]") -> None:
    cells.refuse(
        (texts.str.len() > LONGEST_TEXT).to_numpy(bool),
        f"{column} has a text of more than {LONGEST_TEXT:,} characters: shorten it, or leave the column out",
    )


def _read_parquet(path: Path, columns: Sequence[str]) -> Cells:
    try:
        import pyarrow.parquet
    except ImportError as reason:
        raise DataError(
            f"{path} is Parquet, for which pyarrow is missing: pip install 'evo-fair[parquet]' brings it, or save the "
            "table as CSV"
        ) from reason
    with _reading_parquet(path):
        file = pyarrow.parquet.ParquetFile(path)
        names = list(file.schema_arrow.names)
        _check_size(path, file.metadata.num_rows, len(names))
    for column in columns:
        if column not in names:
            known = ", ".join(map(quote, names[:30]))
            raise DataError(f"{path} has no column {column!r}, only {known}: {_RENAMED}{did_you_mean(column, names)}")
    if double := [name for place, name in enumerate(names) if name in names[:place]]:
        raise DataError(f"{path} has two columns {double[0]!r}: rename one")
    if not file.metadata.num_rows:
        raise DataError(f"{path} has no rows: {_MEND}")
    index = pd.RangeIndex(1, file.metadata.num_rows + 1)
    frame = pd.DataFrame({column: _parquet_column(path, column).set_axis(index) for column in columns})
    cells = Cells(path, frame, "row")
    for column in columns:
        if is_float_dtype(frame[column]):
            cells.refuse(np.isinf(frame[column].to_numpy()), f"{column} is infinite: fix it, or leave the column out")
    return cells


@contextmanager
def _reading_parquet(path: Path) -> Iterator[None]:
    try:
        yield
    except EvoFairError:
        raise
    except Exception as reason:  # pyarrow's errors are of many kinds, and a damaged file gives any of them
        raise DataError(f"{path} can't be read as Parquet ({in_a_line(reason)}): write it again") from reason


def _parquet_column(path: Path, column: str) -> "pd.Series[Any]":
    """One column as texts or float64. Texts stay a dictionary until they are known to be short: a small file can
    hold a long text in each of ten million rows.
    """
    import pyarrow
    import pyarrow.parquet

    with _reading_parquet(path):
        kind = pyarrow.parquet.read_schema(path).field(column).type
        if pyarrow.types.is_nested(kind):
            raise _of_other_kind(path, column, kind)
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=[column])
        chunks = file.read([column], use_threads=False).column(column)
        kind = chunks.type
        if pyarrow.types.is_dictionary(kind):
            return _of_dictionary(path, column, chunks)
        if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
            return _of_dictionary(path, column, chunks.dictionary_encode())
        if pyarrow.types.is_null(kind):  # a column without any value
            return pd.Series(np.full(len(chunks), "", object))
        if pyarrow.types.is_boolean(kind):
            return pd.Series(chunks.to_pandas()).map({True: "True", False: "False"}).astype(object).fillna("")
        whole = pyarrow.types.is_integer(kind) or pyarrow.types.is_decimal(kind)  # databases' numbers are decimals
        if whole and _is_beyond_floats(chunks):
            return _of_dictionary(path, column, chunks.cast(pyarrow.string()).dictionary_encode())
        if pyarrow.types.is_decimal(kind) or pyarrow.types.is_float32(kind):
            # A cast would make 655.3000000000001 of the decimal 655.3, and 24.899999618530273 of a float32 that is
            # written 24.9: beyond a cut, and another category.
            chunks = chunks.cast(pyarrow.string())
        if pyarrow.types.is_float16(kind):  # pyarrow would write all digits of the cast
            return pd.Series(np.asarray(chunks.to_pandas(), np.float16).astype(str).astype(np.float64))
        if whole or pyarrow.types.is_floating(kind):
            return pd.Series(chunks.cast(pyarrow.float64(), safe=False).to_pandas())
    raise _of_other_kind(path, column, kind)


def _of_other_kind(path: Path, column: str, kind: Any) -> DataError:
    return DataError(f"{path}: the column {column!r} holds {kind}, expected texts or numbers: write it as one of them")


def _is_beyond_floats(chunks: Any) -> bool:
    """Whether whole numbers, such as long identifiers, would no longer be told apart as float64."""
    from pyarrow import compute

    ends = compute.min_max(chunks).as_py()
    return any(end is not None and abs(end) > 2**53 for end in ends.values())


def _of_dictionary(path: Path, column: str, chunks: Any) -> "pd.Series[Any]":
    whole = chunks.unify_dictionaries().combine_chunks()
    if isinstance(whole, list) or hasattr(whole, "chunks"):
        whole = whole.chunk(0)
    words = whole.dictionary.to_pylist()
    if any(not isinstance(word, str) for word in words):
        raise DataError(f"{path}: the column {column!r} is a dictionary of other things than texts: write it as texts")
    if any(len(word) > LONGEST_TEXT for word in words):
        raise DataError(
            f"{path}: the column {column!r} has a text of more than {LONGEST_TEXT:,} characters: shorten it, or leave "
            "the column out"
        )
    codes = whole.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    plain = [word.strip().replace("\r\n", "\n").replace("\r", "\n") for word in words]
    return pd.Series(np.array([*plain, ""], object)[codes])


def _without(cells: Cells, missing: Sequence[str], numbers: Sequence[str]) -> Cells:
    """The cells with the texts `missing` made missing values, numbers that such a text is among them."""
    values_of = pd.to_numeric(pd.Series(list(missing), dtype=object), errors="coerce").to_numpy(np.float64)
    changed, blanked = {}, set()
    for column in cells.frame:
        values = cells.frame[column]
        is_float = is_float_dtype(values)
        as_numbers = values if is_float or column not in numbers else pd.to_numeric(values, errors="coerce")
        for text, value in zip(missing, values_of.tolist(), strict=True):
            gone = values == (value if is_float else text)  # never true for NaN, that is a text which is no number
            if not is_float and column in numbers:
                gone |= as_numbers == value
            if gone.any():
                values = values.mask(gone, np.nan if is_float else "")
                blanked.add(text)
        changed[str(column)] = values
    return Cells(cells.path, pd.DataFrame(changed), cells.counted, frozenset(blanked))
