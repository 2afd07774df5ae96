"""The user's own table: a CSV or Parquet file whose columns `[data.table]` of the problem file names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.data.dataset import Dataset, Grouping, class_grouping
from evo_fair.data.doubts import say_idle, say_missing, say_unnamed
from evo_fair.data.splits import split_units
from evo_fair.data.table_file import Cells, read_cells
from evo_fair.data.table_inputs import FOLDS, fit_inputs
from evo_fair.data.table_settings import Column, TableSettings
from evo_fair.data.tables import GivenSplit, ordered_names, unit_numbers
from evo_fair.errors import DataError, quote

__all__ = ["load_table"]

_MOST_GROUPS = 50
_MOST_LABELS = 256  # predictions are uint8
_MOST_CATEGORIES = 1000
_MOST_TARGET_ENCODED = 50_000
_MOST_VALUES = 2**29  # inputs of 2 GiB


def load_table(
    name: str,
    folder: Path,
    settings: TableSettings,
    fractions: Sequence[float],
    rng: np.random.Generator,
    missing: Sequence[str] | None = None,
) -> Dataset:
    """Inputs float32 `[rows, features]` of the columns that `settings` names, from its file in `folder`.

    An empty cell, or one of the texts in `missing`, is a missing value: of an input it is treated as `table_inputs`
    says, of a group it means that the row is in none, of a unit that the row is a unit of its own; a label can't be
    missing. Preprocessing is fitted to the training part. Raises `DataError` for whatever is wrong with the table.
    """
    cells = read_cells(folder, settings.file, settings.columns, missing or (), settings.number_columns)
    labels, label_names = _labels(cells, settings.label)
    groupings = {group: _grouping(cells, group, column) for group, column in settings.groups.items()}
    units = unit_numbers(cells.texts(settings.unit)) if settings.unit else np.arange(len(labels))
    split = _split(cells, settings, labels, units, fractions, rng)
    train = split == 0
    if not train.any():
        raise DataError(
            f"{cells.path}: no row is drawn for the training part: add rows, or enlarge its share under fractions"
        )
    numbers = {column: cells.numbers(column) for column in settings.numbers}
    texts = {column: cells.texts(column) for column in (*settings.categories, *settings.target_encoded)}
    _say_doubts(cells, settings, texts, missing)
    for column, values in numbers.items():
        _check_number(cells, column, values[train])
    for column, cell in texts.items():
        _check_category(cells, column, cell[train], column in settings.target_encoded)
    _check_values(cells, settings, {column: cell[train].nunique() for column, cell in texts.items()})
    if settings.target_encoded:
        _check_rated(cells, labels[train], label_names)
    inputs, columns = fit_inputs(
        numbers,
        texts,
        settings.target_encoded,
        labels,
        train,
        described=settings.described,
        blank=missing or (),
        units=units,
    )
    return Dataset(
        name=name,
        inputs=inputs,
        labels=labels,
        label_names=label_names,
        groupings=groupings | {"class": class_grouping(labels, label_names)},
        split=split,
        units=units,
        positive=(),
        licence="the user's own data",
        columns=columns,
    )


def _labels(cells: Cells, column: Column) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The label of each row, int64 `[rows]`, and the labels' names."""
    missing = cells.missing(column.column)
    cells.refuse(missing, f"the label {column.column} is missing: give one, or remove the row")
    names, index = _classes(cells, column)
    unnamed = index < 0
    if unnamed.any():
        cell = quote(cells.texts(column.column).iloc[int(unnamed.argmax())])
        cells.refuse(unnamed, f"the label {column.column} is {cell}, which has no name under names: add it there")
    if not 2 <= len(names) <= _MOST_LABELS:
        raise DataError(
            f"{cells.path}: the label {column.column!r} has {len(names)} different value(s), expected 2 to "
            f"{_MOST_LABELS}: {'cut the number with above or at_least' if len(names) > 2 else 'name another column'}"
        )
    empty = [name for place, name in enumerate(names) if not (index == place).any()]
    if empty:
        raise DataError(f"{cells.path}: no row has the label {empty[0]!r} of {column.column!r}: fix its cuts or names")
    return index.astype(np.int64), names


def _grouping(cells: Cells, name: str, column: Column) -> Grouping:
    names, index = _classes(cells, column)
    if len(names) > _MOST_GROUPS:
        raise DataError(
            f"{cells.path}: the group column {column.column!r} has {len(names)} different values, at most "
            f"{_MOST_GROUPS}: join values with names, or cut a number with above or at_least"
        )
    return Grouping(name, names, index.astype(np.int16))


def _classes(cells: Cells, column: Column) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The names of a column's classes or bands, and the class of each row `[rows]`, -1 where there is none."""
    if column.cuts:
        values = cells.numbers(column.column)
        bands = np.digitize(values, column.cuts, right=bool(column.above))
        return column.band_names(), np.where(np.isnan(values), -1, bands).astype(np.int64)
    texts = cells.texts(column.column)
    found = ordered_names(set(texts) - {""})
    if not isinstance(column.names, dict):
        return found, _places(texts, {value: place for place, value in enumerate(found)})
    for value in column.names:
        if value not in found:
            raise DataError(
                f"{cells.path}: no row has {column.column} = {value!r}, which names gives a name; it has "
                f"{', '.join(map(quote, found[:12]))}: fix it"
            )
    names = tuple(dict.fromkeys(column.names.values()))
    return names, _places(texts, {value: names.index(name) for value, name in column.names.items()})


def _places(texts: "pd.Series[Any]", place_of: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.asarray(texts.map(place_of).fillna(-1), np.int64)


def _split(
    cells: Cells,
    settings: TableSettings,
    labels: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    fractions: Sequence[float],
    rng: np.random.Generator,
) -> npt.NDArray[np.int8]:
    if settings.split is None:
        return split_units(labels, units, fractions, rng)
    unit_cells = cells.texts(settings.unit) if settings.unit else None
    given = GivenSplit(cells.texts(settings.split), units, unit_cells, cells.path, cells.counted, "rows")
    return given.parts(labels, fractions, rng)


def _say_doubts(
    cells: Cells, settings: TableSettings, texts: dict[str, "pd.Series[Any]"], missing: Sequence[str] | None
) -> None:
    """Warns of values without a name, texts that read as if missing, and `missing` ones that no cell holds."""
    for name, column in settings.groups.items():
        if isinstance(column.names, dict):
            say_unnamed(cells.texts(column.column), name, column.names, cells.path)
    if missing is not None:
        say_idle(missing, cells.blanked, cells.path)
        if not missing:
            return
    groups = {column.column for column in settings.groups.values() if not (column.cuts or column.names)}
    label = settings.label.column
    frame = pd.DataFrame({name: cells.texts(name) for name in (*texts, *groups, label)})
    say_missing(frame, list(dict.fromkeys((*texts, *groups))), cells.path, label, "row", missing or ())


def _check_number(cells: Cells, column: str, train: npt.NDArray[np.float64]) -> None:
    known = train[~np.isnan(train)].astype(np.float32)
    if not len(known) or (known == known[0]).all():
        what = "has no value" if not len(known) else f"is {known[0]:g} in every row"
        raise DataError(
            f"{cells.path}: the number {column!r} {what} of the training part, so it tells nothing: leave it out"
        )


def _check_category(cells: Cells, column: str, train: "pd.Series[Any]", target_encoded: bool) -> None:
    count = train.nunique()
    if count < 2:
        raise DataError(
            f"{cells.path}: the category {column!r} is {quote(train.iloc[0])} in every row of the training part, so it "
            "tells nothing: leave it out"
        )
    most = _MOST_TARGET_ENCODED if target_encoded else _MOST_CATEGORIES
    if count > most:
        mend = "" if target_encoded else "list it under target_encoded, "
        raise DataError(
            f"{cells.path}: the category {column!r} has {count:,} different values, at most {most:,}: {mend}join "
            "values, or list it under numbers if it is one"
        )


def _check_rated(cells: Cells, labels: npt.NDArray[np.int64], names: Sequence[str]) -> None:
    """Refuses labels with too few rows in the training part for the rates of target-encoded columns."""
    counts = np.bincount(labels, minlength=len(names))
    if (counts < FOLDS).any():
        name, count = names[int(counts.argmin())], int(counts.min())
        raise DataError(
            f"{cells.path}: label {name!r} has {count} rows in the training part, and rates of target_encoded columns "
            f"need {FOLDS}: add rows, join labels, or name the columns under categories"
        )


def _check_values(cells: Cells, settings: TableSettings, counts: dict[str, int]) -> None:
    """Refuses inputs that would fill the memory."""
    features = 2 * len(settings.numbers) + sum(counts[name] for name in settings.categories)
    features += len(settings.described) * (len(settings.numbers) + 1)
    rows = len(cells.frame)
    if rows * features > _MOST_VALUES:
        raise DataError(
            f"{cells.path}: {rows:,} rows of {features:,} inputs are too many, at most {_MOST_VALUES:,} values: list "
            "categories of many values under target_encoded, or take a part of the table"
        )
