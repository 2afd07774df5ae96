"""Adult census income: the UCI files `adult.data` and `adult.test`, plain or gzipped.

Becker, Kohavi: Adult, UCI Machine Learning Repository (1996), https://doi.org/10.24432/C5XW20.
"""

import csv
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evo_fair.data.dataset import Dataset, class_grouping, grouping_of
from evo_fair.data.splits import split_units
from evo_fair.data.table_inputs import Vocabulary, fit_inputs
from evo_fair.errors import DataError

__all__ = ["load_adult"]

LABELS = ("<=50K", ">50K")
COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)
# Left out: fnlwgt, a sampling weight that describes no person, and education, which education-num repeats as a number.
NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORICAL = ("workclass", "marital-status", "occupation", "relationship", "race", "sex", "native-country")
_MEND = "take the file from the UCI download as it is"


def load_adult(folder: Path, fractions: Sequence[float], rng: np.random.Generator) -> Dataset:
    """Census income, groupings `sex` and `race`, positive label `>50K`; each row is a unit.

    `adult.test` is the test part. The validation part is taken from `adult.data`, in
    the proportion that `fractions` give to training and validation. Numbers are
    standardised with the mean and deviation of the training part, categories are
    one-hot, a missing value ("?") is a category.

    Args:
        folder: The folder of the download.
        fractions: The shares of train, validation and test.
        rng: The Generator that the split is drawn with.

    Returns:
        Inputs float32 `[48842, features]`.

    Raises:
        DataError: Something in the folder is missing or damaged.
    """
    files = [_read(folder, name) for name in ("adult.data", "adult.test")]
    table = pd.concat(files, ignore_index=True)
    labels = np.array([LABELS.index(label) for label in table["income"]], np.int64)
    split = np.full(len(table), 2, np.int8)
    units = np.arange(len(table))
    known = len(files[0])
    split[:known] = split_units(labels[:known], units[:known], fractions[:2], rng)
    groups = {name: sorted(set(table[name]) - {"?"}) for name in ("sex", "race")}
    # The names of categories come from all rows, so that the number of features does not depend on the seed.
    inputs, columns = fit_inputs(
        {name: table[name].to_numpy(np.float64) for name in NUMERIC},
        {name: table[name] for name in CATEGORICAL},
        (),
        labels,
        split == 0,
        {name: Vocabulary.of(table[name]) for name in CATEGORICAL},
    )
    return Dataset(
        name="adult",
        inputs=inputs,
        labels=labels,
        label_names=LABELS,
        groupings={name: grouping_of(name, list(table[name]), names) for name, names in groups.items()}
        | {"class": class_grouping(labels, LABELS)},
        split=split,
        units=units,
        positive=(1,),
        licence="CC BY 4.0 (UCI, Adult)",
        columns=columns,
    )


def _read(folder: Path, name: str) -> pd.DataFrame:
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise DataError(f"{folder} has neither {name} nor {name}.gz: put both adult.data and adult.test there")
    rows = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), start=1):
                if not row or row[0].startswith("|"):  # the test file begins with a line of its own and ends with one
                    continue
                rows.append(_checked(row, path, number))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as reason:
        raise DataError(f"{path} can't be read ({reason}): {_MEND}") from reason
    if not rows:
        raise DataError(f"{path} has no rows: {_MEND}")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _checked(row: list[str], path: Path, number: int) -> list[str]:
    if len(row) != len(COLUMNS):
        raise DataError(f"{path}, line {number}: {len(row)} columns, expected {len(COLUMNS)}; {_MEND}")
    cells = [cell.strip() for cell in row]
    cells[-1] = cells[-1].removesuffix(".")  # the labels of the test file end in one
    if cells[-1] not in LABELS:
        raise DataError(f"{path}, line {number}: label {cells[-1]!r}, expected {' or '.join(LABELS)}; {_MEND}")
    for column in NUMERIC:
        value = cells[COLUMNS.index(column)]
        if not value.isdecimal():
            raise DataError(f"{path}, line {number}: {column} {value!r} is no whole number; {_MEND}")
    return cells
