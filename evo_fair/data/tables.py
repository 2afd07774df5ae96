"""Reading the tables that users bring: all cells as text, each fault named with its file."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.data.dataset import PARTS
from evo_fair.data.splits import split_units
from evo_fair.errors import DataError, did_you_mean

__all__ = [
    "GivenSplit",
    "check_named",
    "check_separator",
    "first_line",
    "near_table",
    "ordered_names",
    "read_table",
    "table_rows",
    "unit_numbers",
]

_LONGEST_HEADER = 2**20
_SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
_NAMELESS = re.compile(r"Unnamed: \d+(\.\d+)?")
"""What pandas calls a column whose header is empty, and so writes where it has read such a table before."""
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)")
_WHOLLY_NUMBER = re.compile(rf"-?{_NUMBER.pattern}")


def read_table(path: Path, columns: Sequence[str], mend: str, renamed: str = "") -> pd.DataFrame:
    """The table `path`, comma or tab separated, with all cells as stripped text, the empty ones as "".

    The index holds the line numbers in the file; empty lines are left out.
    Raises `DataError`, ending in `mend`, when it can't be read, lacks one of `columns` or has no rows.
    `renamed` is for columns whose names the user has chosen: it says where a name that the table lacks is fixed.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = _separator(file)
            rows = table_rows(file, separator)
            header = [name.strip() for name in next(rows, (1, []))[1]]
            lines, cut = [], ""
            for line, row in rows:
                lines.append(line)
                if not cut and len(row) < len(header) and any(cell.strip() for cell in row):
                    cut = f"{path}, line {line} has {len(row)} cells, and its header {len(header)}: fix the line"
        table = pd.read_csv(
            path,
            sep=separator,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty: {mend}") from None
    except UnicodeDecodeError as reason:
        fault = f"byte {reason.start:,} is not UTF-8: {reason.reason}"
        raise DataError(f"{path} can't be read as a table ({fault}): save it as CSV in UTF-8") from reason
    except (OSError, ValueError, csv.Error) as reason:  # pandas' ParserError is a ValueError
        text = " ".join(str(reason).split())
        raise DataError(f"{path} can't be read as a table ({text}): {mend}") from reason
    table.columns = [str(column).strip() or f"Unnamed: {place}" for place, column in enumerate(table.columns)]
    check_separator(path, list(table.columns), columns)
    for column in columns:
        if column not in table.columns:
            known = [name for name in table.columns if not _NAMELESS.fullmatch(name)]
            unnamed = _nameless(table)
            note = f" (column {unnamed} has no name)" if unnamed else ""
            raise DataError(
                f"{path} has no column {column!r}, only {', '.join(known)}{note}: "
                + (f"{renamed}{did_you_mean(column, known)}" if renamed else mend)
            )
    if double := [name for i, name in enumerate(header) if name and name in header[:i]]:  # pandas renames the second
        raise DataError(f"{path} has two columns {double[0]!r}: {mend}")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the surplus cell for an index
        raise DataError(f"{path} has more cells in a line than columns in its header: {mend}")
    if cut:  # its last columns would be taken for empty
        raise DataError(cut)
    cells = pd.DataFrame({column: _plain(table[column]) for column in table.columns})
    cells.index = pd.Index(lines) if len(lines) == len(cells) else pd.RangeIndex(2, len(cells) + 2)
    filled = cells[(cells != "").any(axis=1)]
    if filled.empty:
        raise DataError(f"{path} has no rows below its header: {mend}")
    return filled


def _plain(column: "pd.Series[str]") -> "pd.Series[str]":
    """A column's cells without blanks around them, each line break in them a single character."""
    cells = column.fillna("").str.strip()
    return cells.str.replace("\r\n?", "\n", regex=True) if cells.str.contains("\r", regex=False).any() else cells


def check_separator(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Refuses a table with semicolons between its columns, of which `columns` are to be read.

    Args:
        path: The table.
        header: The names in its first line, as they are with commas or tabs between them.
        columns: The names of the columns that are wanted.
    """
    if len(header) == 1 and ";" in header[0] and header[0] not in columns:
        raise DataError(f"{path} has semicolons between its columns: save it with commas or tabs")


def check_named(table: pd.DataFrame, path: Path) -> None:
    """Refuses a table of which every column counts, and one has no name; raises `DataError`."""
    if unnamed := _nameless(table):
        by_pandas = " (pandas: to_csv(..., index=False))" if unnamed == 1 else ""
        raise DataError(f"{path}: column {unnamed} has no name: name it or remove it{by_pandas}")


def _nameless(table: pd.DataFrame) -> int | None:
    """The place, from 1, of the first column without a name; None where all have one."""
    return next((place for place, name in enumerate(table.columns, 1) if _NAMELESS.fullmatch(str(name))), None)


def near_table(path: Path, endings: Sequence[str], mend: str) -> str:
    """The end of a message that says that a table is missing: which one beside it has its name but for the ending.

    That one ends in one of `endings`, and the message in `mend`; else it is a spreadsheet, of which a CSV has to be
    made. Capitals don't count. Empty where there is none, or several.
    """
    stem = path.name.partition(".")[0]
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    near = [one.name for one in beside if one.name.lower().partition(".")[0] == stem.lower() and one.is_file()]
    for kinds, what in ((tuple(endings), mend), (_SHEETS, f"save it as CSV in UTF-8, named {stem}.csv")):
        if fits := [name for name in near if name.lower().endswith(kinds)]:
            return f", but {fits[0]} is there: {what}" if len(fits) == 1 else ""
    return ""


def table_rows(file: TextIO, separator: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that was opened with `newline=""`, its header first, each with the line it begins in.

    A cell in quotes can go over several lines. Without a `separator` it is told by the header: a tab or a comma.
    """
    rows = csv.reader(file, delimiter=separator or _separator(file), skipinitialspace=True)
    before = 0
    for row in rows:
        yield before + 1, row
        before = rows.line_num


def _separator(file: TextIO) -> str:
    """A tab or a comma, by the header; the file is at its beginning again."""
    header = ""
    for line in file:
        header += line
        if header.count('"') % 2 == 0 or len(header) > _LONGEST_HEADER:
            break
    file.seek(0)
    return "\t" if "\t" in header else ","


def ordered_names(names: Iterable[str]) -> tuple[str, ...]:
    """Different names as people order them: numbers by size, also within texts, so that 5-9 comes before 10-19."""
    different = sorted(set(names))
    if all(map(_WHOLLY_NUMBER.fullmatch, different)):
        return tuple(sorted(different, key=float))
    return tuple(sorted(different, key=_texts_and_numbers))


def _texts_and_numbers(name: str) -> list[str | float]:
    """The parts of a name: a text, which may be empty, a number, a text and so on."""
    return [float(part) if place % 2 else part for place, part in enumerate(_NUMBER.split(name))]


def first_line(wrong: "pd.Series[bool]") -> int:
    """The number of the first line that is wrong."""
    return int(wrong.index[int(wrong.to_numpy().argmax())])


def unit_numbers(cells: "pd.Series[str]") -> npt.NDArray[np.int64]:
    """The number of each sample's unit, int64 `[samples]`; one without, whose cell is "", is a unit of its own."""
    own = [f"unit {unit}" if unit else f"line {i}" for i, unit in enumerate(cells.to_numpy(object))]
    return pd.factorize(np.array(own, object), sort=True)[0].astype(np.int64)


@dataclass(frozen=True)
class GivenSplit:
    """The column of the table `path` that says in which part each sample is, as texts; "" where it does not say.

    `units` are those of the samples, int64 `[samples]`, and `unit_cells` what the table calls them, where it does.
    `counted` is what the table's index counts, and `what` samples are called.
    """

    cells: "pd.Series[str]"
    units: npt.NDArray[np.int64]
    unit_cells: "pd.Series[str] | None"
    path: Path
    counted: str
    what: str

    def parts(
        self, labels: npt.NDArray[np.int64], fractions: Sequence[float], rng: np.random.Generator
    ) -> npt.NDArray[np.int8]:
        """The part of each sample, int8 `[samples]`.

        A sample whose cell is empty is in the part of its unit. Where that has none, it is drawn, as `split_units`
        draws, for the parts that no cell names, by their shares in `fractions`.

        Raises `DataError` for a cell that names no part, for a part that no sample is in, for an empty cell where all
        parts are named, and for a unit whose samples are in two.
        """
        absent = [part for part in PARTS if not (self.cells == part).any()]
        self._check(absent)
        split = self._with_their_units(np.array([PARTS.index(part) if part else -1 for part in self.cells], np.int8))
        if (drawn := split < 0).any():
            numbers = np.array([PARTS.index(part) for part in absent], np.int8)
            shares = [fractions[number] for number in numbers]
            split[drawn] = numbers[split_units(labels[drawn], self.units[drawn], shares, rng)]
        self._check_drawn(split, absent)
        return split

    def _check_drawn(self, split: npt.NDArray[np.int8], absent: Sequence[str]) -> None:
        """Refuses a part to be drawn that too few units are left for."""
        if lacking := [part for part in absent if not (split == PARTS.index(part)).any()]:
            named = " and ".join(part for part in PARTS if part not in absent)
            raise DataError(
                f"{self.path}: too few {self.what} with an empty split are of a unit that is in no part yet to draw "
                f"{' and '.join(lacking)} from: {f'leave units out of {named}, or ' if named else ''}add {self.what}"
            )

    def _check(self, absent: Sequence[str]) -> None:
        """Refuses cells that name no part, and parts that get no sample."""
        empty = self.cells == ""
        wrong = ~self.cells.isin(PARTS) & ~empty
        if wrong.any():
            value = self.cells[wrong].iloc[0]
            raise DataError(f"{self._line(wrong)}: split {value!r}, expected one of {', '.join(PARTS)}")
        if absent and not empty.any():
            found = " and ".join(part for part in PARTS if part not in absent)
            raise DataError(
                f"{self.path}: no {self.counted} has the split {' or '.join(map(repr, absent))}, only {found}: give "
                f"{self.what} to each of {', '.join(PARTS)}, empty the cells of {self.what} from which the rest is to "
                "be drawn, or leave split out to have all parts drawn"
            )
        if empty.any() and not absent:
            raise DataError(
                f"{self._line(empty)}: the split is empty, and all of {', '.join(PARTS)} are named: give one; where a "
                "part is named by no cell, empty ones are drawn for it"
            )

    def _with_their_units(self, split: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """The parts of the samples with those of their units in the place of -1, which stays where a unit has none."""
        told = split >= 0
        part_of = np.full(int(self.units.max(initial=-1)) + 1, -1, np.int8)
        named, first = np.unique(self.units[told], return_index=True)
        part_of[named] = split[told][first]
        torn = pd.Series(told & (split != part_of[self.units]), index=self.cells.index)
        if self.unit_cells is not None and torn.any():
            others = len(np.unique(self.units[torn])) - 1
            also = f", and so {'are' if others > 1 else 'is'} {others:,} more" if others else ""
            raise DataError(
                f"{self._line(torn)}: unit {self.unit_cells[torn].iloc[0]!r} is in two splits{also}: give all "
                f"{self.what} of a unit the same one"
            )
        return part_of[self.units]

    def _line(self, wrong: "pd.Series[bool]") -> str:
        return f"{self.path}, {self.counted} {first_line(wrong)}"
