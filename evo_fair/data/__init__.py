"""Data sets as arrays with labels, groups and splits; one module a source."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evo_fair.blame import blamed
from evo_fair.data.alike import say_alike
from evo_fair.data.dataset import PARTS, Dataset, Grouping
from evo_fair.data.enough import Draw, check_samples
from evo_fair.data.locate import find_data
from evo_fair.data.source import SOURCES, DataRequest, Source
from evo_fair.data.splits import check_fractions
from evo_fair.data.table_settings import TableSettings
from evo_fair.errors import DataError, check_list

__all__ = [
    "FRACTIONS",
    "PARTS",
    "SOURCES",
    "DataRequest",
    "Dataset",
    "Draw",
    "Grouping",
    "Source",
    "TableSettings",
    "check_dataset",
    "check_samples",
    "find_data",
    "load_dataset",
]

FRACTIONS = (0.65, 0.15, 0.20)
MOST_LABELS = 256
"""Predictions are uint8."""


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
    settings: Mapping[str, Any] | None = None,
) -> Dataset:
    """The data set of a source, found by `find_data` and split with the given seed.

    The same files and arguments give the same data set. Use `check_samples` for
    intersections of groupings.

    Args:
        source: The source's name, one of `SOURCES`.
        folder: The data set's own folder. Default: where `find_data` looks.
        name: The data set's own name, where it differs from the source's (a folder of
            images). Default: the source's.
        image_size: Pixels a side. Default: 64.
        fractions: The shares of train, validation and test. Default: 0.65, 0.15, 0.20.
        seed: The seed of the split, 0 or more. Default: 0.
        positive: The labels that count as positive. Default: the source's.
        min_samples: The fewest samples that a label, or a group of a base grouping, may
            have in each part. Default: 10.
        missing: The texts that mean an unknown group in a folder of images, or a
            missing value in a table. Default: the source's.
        licence: What the data may be used for. Default: what the source says.
        settings: Further keys of `[data]` that the source takes, such as the `table` of
            a table, a `TableSettings`. Default: none.

    Returns:
        The data set.

    Raises:
        UnknownNameError: There is no such source or label.
        DataError: The data are missing, damaged or too few, or the source takes no such
            key.
    """
    chosen = SOURCES[source]
    if not chosen.in_folder and folder is not None:
        raise DataError(f"{source} are read from no folder, they need {chosen.needs}: leave out {folder}")
    check_fractions(fractions)
    check_list("missing", missing)
    own = dict(settings or {}) | ({} if missing is None else {"missing": tuple(missing)})
    for key, value in own.items():
        if key not in chosen.settings:
            raise DataError(f"{key} = {_shown(value)} is {for_sources(key)}: {source} {says_itself(key)}")
    place = find_data(source, folder, name) if chosen.in_folder else None
    request = DataRequest(name or source, place, image_size, fractions, np.random.default_rng(seed), own)
    with nullcontext() if SOURCES.is_built_in(source) else blamed("data source", source, DataError):
        dataset = chosen.load(request)
    check_dataset(dataset, f"data source {source!r}", chosen.tabular)
    if licence is not None:
        dataset = replace(dataset, licence=licence)
    if positive is not None:
        dataset = dataset.with_positive(positive)
    check_samples(dataset, list(dataset.groupings), min_samples, Draw(fractions, seed))
    say_alike(dataset)
    return dataset


def check_dataset(dataset: object, origin: str, tabular: bool | None = None) -> None:
    """Refuses what is no data set that can be searched on.

    Args:
        dataset: What is to be one.
        origin: Where it comes from, for the message.
        tabular: Whether it is declared to hold a table, or else images. Default: None,
            either.

    Raises:
        DataError: It is none.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(f"{origin} gives {type(dataset).__name__}: it has to give an evo_fair.data.Dataset")
    if tabular is not None and (dataset.inputs.ndim == 2) != tabular:
        kinds = ("tables, float32 [samples, features]", "images, uint8 [samples, channels, height, width]")
        wanted, got = kinds if tabular else kinds[::-1]
        raise DataError(f"{origin} is declared to give {wanted}, and gives {got}: declare tabular={not tabular}")
    if len(dataset.label_names) > MOST_LABELS:
        raise DataError(
            f"{origin} has {len(dataset.label_names)} labels, at most {MOST_LABELS} are possible: join some"
        )
    if 0 in dataset.input_shape:
        raise DataError(f"{origin} has inputs of the shape {list(dataset.input_shape)}, which hold nothing: fill them")
    classes = dataset.groupings["class"]
    if classes.names != dataset.label_names or not np.array_equal(classes.index, dataset.labels):
        raise DataError(
            f"{origin} has a grouping 'class' that is not that of its labels: make it with "
            "class_grouping(labels, label_names)"
        )
    if dataset.inputs.dtype.kind == "f" and not np.isfinite(dataset.inputs).all():
        raise DataError(f"{origin} has inputs that are not finite: fix them")


def for_sources(key: str) -> str:
    """Which sources take a key of `[data]`.

    Args:
        key: The key.

    Returns:
        It in words.
    """
    takers = [name for name, source in SOURCES.items() if key in source.settings]
    return f"for the source{'s' if len(takers) > 1 else ''} {' and '.join(takers)}" if takers else "for no source"


def says_itself(key: str) -> str:
    """Why a source takes no such key.

    Args:
        key: The key.

    Returns:
        It in words.
    """
    return "says itself what is unknown" if key == "missing" else "has its own, leave it out"


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
