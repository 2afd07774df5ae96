"""The user's own images: a folder with a `labels.csv` that names files, labels, groups, splits and units."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import numpy as np
import pandas as pd

from evo_fair.data.dataset import Dataset, Grouping, class_grouping, grouping_of
from evo_fair.data.doubts import blanked, say_missing, say_repeated
from evo_fair.data.images import ImageFile, decode_images
from evo_fair.data.near_images import near_image
from evo_fair.data.splits import split_units
from evo_fair.data.tables import (
    GivenSplit,
    check_named,
    first_line,
    near_table,
    ordered_names,
    read_table,
    unit_numbers,
)
from evo_fair.errors import DataError, EvoFairError
from evo_fair.files import inside

__all__ = ["load_image_folder"]

TABLE = "labels.csv"
_OWN_COLUMNS = ("file", "label", "split", "unit")
_TOLD = ("file", "label", "split")
"""Columns in which nothing is a group or a unit that is not known."""
_ACCENTS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
"""Unicode's forms with accents on their letters, and behind them, as in names of files that come from macOS."""
_MOST_GROUPS = 50
_MOST_LABELS = 256  # predictions are uint8
_FORM = "it needs a header with file,label and a line for each image"


def load_image_folder(
    name: str,
    folder: Path,
    image_size: int,
    fractions: Sequence[float],
    rng: np.random.Generator,
    missing: Sequence[str] | None = None,
) -> Dataset:
    """Inputs uint8 `[images, 3, image_size, image_size]`; `labels.csv` in `folder` says what they are.

    Its columns: `file` (a path below `folder`) and `label`; optional `split` (train, validation or test, or empty where
    the part is drawn, see `GivenSplit`) and `unit` (images that must not be torn across splits, such as those of one
    patient); every other column is a grouping. An empty cell, or one of the texts in `missing`, means that the group or
    unit is unknown: the image is in no group of that grouping, and is a unit of its own. Without `missing`, a
    `DataWarning` names the values that read as if something was missing; one also says which image is in two parts.
    Raises `DataError` for whatever is wrong in `folder`.
    """
    path = folder / TABLE if folder.parts else Path.cwd() / TABLE
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is {'a folder' if path.is_dir() else 'no file'}: put the table in its place")
    if not path.is_file():
        near = near_table(path, (".csv", ".tsv", ".txt"), f"rename it to {TABLE}")
        raise DataError(f"{path} is missing{near or f': {_FORM}'}")
    table = read_table(path, ("file", "label"), _FORM)
    check_named(table, path)
    _check_capitals(table, path)
    images = _files(table, folder, path)
    _refuse(table["label"] == "", path, "the label is empty: give one, or remove the line")
    label_names = ordered_names(table["label"])
    if not 2 <= len(label_names) <= _MOST_LABELS:
        raise DataError(f"{path} has {len(label_names)} different label(s), expected 2 to {_MOST_LABELS}: fix 'label'")
    number_of = {label: number for number, label in enumerate(label_names)}
    labels = np.array([number_of[label] for label in _texts(table["label"])], np.int64)
    open_columns = [column for column in table.columns if column not in _TOLD]
    if missing is not None:
        table = blanked(table, open_columns, missing, path)
    if missing is None or missing:
        say_missing(table, open_columns, path, named=missing or ())
    groupings = {column: _grouping(table, column, path) for column in table.columns if column not in _OWN_COLUMNS}
    units = unit_numbers(table["unit"]) if "unit" in table else np.arange(len(table))
    if "split" in table:
        given = GivenSplit(table["split"], units, table.get("unit"), path, "line", "images")
        split = given.parts(labels, fractions, rng)
    else:
        split = split_units(labels, units, fractions, rng)
    decoded = decode_images("image_folder", images, image_size)
    say_repeated(decoded.hashes, split, table["file"].tolist(), path, "give them one unit, or keep one of them")
    return Dataset(
        name=name,
        inputs=decoded.pixels,
        labels=labels,
        label_names=label_names,
        groupings=groupings | {"class": class_grouping(labels, label_names)},
        split=split,
        units=units,
        positive=(),
        licence="the user's own data",
    )


def _check_capitals(table: pd.DataFrame, path: Path) -> None:
    """Refuses a column such as `Split`: taken for a grouping, images that were meant for tests would be trained on."""
    for column in table.columns:
        meant = column.casefold()
        if column != meant and meant in _OWN_COLUMNS and meant not in table.columns:
            raise DataError(f"{path} has a column {column!r}: write it {meant!r} if it is that, else name it otherwise")


def _texts(cells: "pd.Series[str]") -> list[str]:
    """The cells as a list; going through pandas' own strings one by one takes ten times as long."""
    return list(cells.to_numpy(object))


def _refuse(wrong: "pd.Series[bool]", path: Path, fault: str) -> None:
    if wrong.any():
        raise DataError(f"{path}, line {first_line(wrong)}: {fault}")


def _files(table: pd.DataFrame, folder: Path, path: Path) -> list[ImageFile]:
    images: dict[str, ImageFile] = {}
    _refuse(table["file"] == "", path, "the file is empty: name one, or remove the line")
    plain = _PlainFiles(folder)
    files = _texts(table["file"])
    for row, (number, file) in enumerate(zip(table.index, files, strict=True)):
        found = plain.find(file) or _looked_up(folder, file, f"{path}, line {number}")
        if found is None:
            raise _missing(folder, files[row:], files, f"{path}, line {number}")
        place, about = found
        if place in images:
            first = table.index[list(images).index(place)]
            raise DataError(
                f"{path}, line {number}: the file is in the table a second time, after line {first}: remove one of "
                "them, or name the image that was meant, with its folder"
            )
        images[place] = ImageFile(Path(place), None, about.st_size, about.st_mtime_ns)
    return list(images.values())


class _PlainFiles:
    """Finds the files of a table whose folders are resolved once each: links, and whatever is odd, are left to others.

    Resolving every path by itself takes a dozen calls of the system for each of its folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._resolved: dict[str, str | None] = {}

    def find(self, file: str) -> tuple[str, os.stat_result] | None:
        """The real path of a file and what the system says of it; None where it is no plain file."""
        parent, _, name = file.rpartition("/")
        if name in ("", ".", "..") or "\\" in file or file.startswith("/"):
            return None
        if parent not in self._resolved:
            self._resolved[parent] = self._resolve(parent)
        resolved = self._resolved[parent]
        if resolved is None:
            return None
        place = f"{resolved}{os.sep}{name}"  # a Path takes ten times as long
        try:
            about = os.lstat(place)
        except (OSError, ValueError):
            return None
        return (place, about) if stat.S_ISREG(about.st_mode) else None

    def _resolve(self, parent: str) -> str | None:
        try:
            return str(inside(self._folder, parent))
        except EvoFairError:
            return None


def _looked_up(folder: Path, file: str, where: str) -> tuple[str, os.stat_result] | None:
    """The same of any file below `folder`; raises `DataError`, beginning with `where`, for one that leads out of it."""
    for written in _written(file):
        try:
            place = inside(folder, written)
        except EvoFairError as reason:
            raise DataError(f"{where}: {reason}") from reason
        if place.is_file():
            return str(place), place.stat()
    return None


def _written(file: str) -> list[str]:
    """A path as it is, and as other systems write it: with `/`, with accents on their letters or behind them."""
    ways = (file, file.replace("\\", "/"))
    return list(dict.fromkeys([*ways, *(normalize(form, way) for form in _ACCENTS for way in ways)]))


def _missing(folder: Path, files: Sequence[str], named: Sequence[str], where: str) -> DataError:
    """What is wrong where the first of `files` is not in `folder`; `named` are all that the table names."""
    place = inside(folder, files[0].replace("\\", "/"))
    more = sum(not _is_there(folder, file) for file in files[1:])
    also = f", and so {'are the files' if more > 1 else 'is the file'} of {more:,} more line{'s' if more > 1 else ''}"
    fault = f"{where}: {place} is missing{also if more else ''}"
    if near := near_image(folder, files[0], set(named)):
        return DataError(f"{fault}; the folder has {near}: write names with their ending and folder, as they are")
    return DataError(
        f"{fault}: " + ("put them there, or remove the lines" if more else "put it there, or remove the line")
    )


def _is_there(folder: Path, file: str) -> bool:
    for path in _written(file):
        with suppress(OSError, ValueError):  # a name too long, or with a NUL, is that of no file
            if stat.S_ISREG((folder / path).stat().st_mode):
                return True
    return False


def _grouping(table: pd.DataFrame, column: str, path: Path) -> Grouping:
    if column == "class" or "*" in column or ":" in column:
        raise DataError(
            f"{path}: {column!r} can't name a group column ('class' are the labels, '*' joins groupings, ':' stands "
            "between a grouping and its group): rename it"
        )
    names = ordered_names(set(table[column]) - {""})
    if len(names) > _MOST_GROUPS:
        raise DataError(
            f"{path}: the group column {column!r} has {len(names)} different values, at most {_MOST_GROUPS}: "
            "join values, cut numbers into bands, or remove it; if it says which images belong together, name it unit"
        )
    return grouping_of(column, _texts(table[column]), names)
