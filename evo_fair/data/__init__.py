"""Data sets as arrays with labels, groups and splits; one module a source."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evo_fair.data.dataset import PARTS, Dataset, Grouping, check_samples
from evo_fair.data.locate import REQUIREMENTS, find_data
from evo_fair.data.splits import check_fractions
from evo_fair.data.table_settings import TableSettings
from evo_fair.errors import DataError, UnknownNameError, check_list

__all__ = [
    "FRACTIONS",
    "PARTS",
    "REQUIREMENTS",
    "SOURCES",
    "Dataset",
    "Grouping",
    "TableSettings",
    "check_samples",
    "find_data",
    "load_dataset",
]

SOURCES = tuple(REQUIREMENTS)
FRACTIONS = (0.65, 0.15, 0.20)


def load_dataset(
    source: str,
    folder: Path | None = None,
    *,
    name: str | None = None,
    image_size: int = 64,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    positive: Sequence[str] | None = None,
    min_samples: int = 10,
    missing: Sequence[str] | None = None,
    licence: str | None = None,
    table: TableSettings | None = None,
) -> Dataset:
    """The data set of a source (one of `SOURCES`), found by `find_data` and split with the given seed.

    `name` is the data set's own where it differs from the source's (a folder of images, a table); `fractions` are the
    shares of train, validation and test; `positive` replaces the labels that count as positive; `missing` are the texts
    that mean an unknown group in a folder of images, or a missing value in a table, see `load_image_folder` and
    `load_table`; `licence` is what the data may be used for, and `table` says what a table's columns mean.
    Every label and every group of a base grouping needs `min_samples` samples in each part; use `check_samples` for
    intersections. The same files and arguments give the same data set. Raises `UnknownNameError`, and `DataError` for
    whatever is wrong with the data.
    """
    if source not in SOURCES:
        raise UnknownNameError("data source", source, list(SOURCES))
    if source == "digits" and folder is not None:
        raise DataError(f"digits come with scikit-learn and are read from no folder: leave out {folder}")
    check_fractions(fractions)
    check_list("missing", missing)
    rng = np.random.default_rng(seed)
    dataset = _load(source, folder, name, image_size, fractions, rng, missing, table)
    if licence is not None:
        dataset = replace(dataset, licence=licence)
    if positive is not None:
        dataset = dataset.with_positive(positive)
    check_samples(dataset, list(dataset.groupings), min_samples)
    return dataset


def _load(
    source: str,
    folder: Path | None,
    name: str | None,
    image_size: int,
    fractions: Sequence[float],
    rng: np.random.Generator,
    missing: Sequence[str] | None,
    table: TableSettings | None,
) -> Dataset:
    if missing is not None and source not in ("image_folder", "table"):
        raise DataError(
            f"missing = {list(missing)} is for a folder of images or a table: {source} says itself what is unknown"
        )
    if (table is None) == (source == "table"):
        raise DataError("table, what its columns mean, goes with the source table: give both, or neither")
    if source == "digits":
        from evo_fair.data.digits import load_digits

        return load_digits(fractions, rng)
    place = find_data(source, folder, name)
    if source == "ham10000":
        from evo_fair.data.ham10000 import load_ham10000

        return load_ham10000(place, image_size, fractions, rng)
    if source in ("cifar10", "cifar10_lt"):
        from evo_fair.data.cifar10 import load_cifar10, load_cifar10_lt

        return (load_cifar10 if source == "cifar10" else load_cifar10_lt)(place, image_size, rng)
    if source == "adult":
        from evo_fair.data.adult import load_adult

        return load_adult(place, fractions, rng)
    if table is not None:
        from evo_fair.data.table import load_table

        return load_table(name or source, place, table, fractions, rng, missing)
    from evo_fair.data.image_folder import load_image_folder

    return load_image_folder(name or source, place, image_size, fractions, rng, missing)
