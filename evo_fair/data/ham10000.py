"""HAM10000: 10,015 dermatoscopic images of seven diagnoses, read from the user's download as it is.

Tschandl, Rosendahl, Kittler: The HAM10000 dataset, Scientific Data 5, 180161 (2018).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from evo_fair.data.dataset import Dataset, class_grouping, grouping_of
from evo_fair.data.doubts import say_repeated
from evo_fair.data.images import ImageFile, decode_images, list_folder, list_zip
from evo_fair.data.splits import split_units
from evo_fair.data.tables import first_line, read_table
from evo_fair.errors import DataError

__all__ = ["AGE_BANDS", "DIAGNOSES", "MALIGNANT", "load_ham10000"]

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = ("akiec", "bcc", "mel")
AGE_BANDS = ("under 40", "40 to 59", "60 and over")

_PARTS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
_TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
_DUPLICATES = "newly_discovered_duplicates.csv"
_UNKNOWN = frozenset({"", "unknown", "na", "n/a", "nan", "none"})
_AGAIN = "take the table from the HAM10000 download as it is"


def load_ham10000(folder: Path, image_size: int, fractions: Sequence[float], rng: np.random.Generator) -> Dataset:
    """Images of skin lesions, groupings `sex` and `age_band`, units the lesions.

    Lesions that `newly_discovered_duplicates.csv` calls the same are one unit. An age
    of 0 counts as unknown: of the 39 images with it 13 % are benign keratoses, which
    811 images of ages 5 to 25 show once, so zeros stand for missing entries too, and
    nobody can tell which.

    Args:
        folder: The folder of the download.
        image_size: Pixels a side.
        fractions: The shares of train, validation and test.
        rng: The Generator that the split is drawn with.

    Returns:
        Inputs uint8 `[10015, 3, image_size, image_size]`.

    Raises:
        DataError: Something in the folder is missing or damaged.
    """
    table_path = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if table_path is None:
        raise DataError(
            f"{folder} has no {_TABLES[0]} (or {_TABLES[1]}): put the table of the HAM10000 download beside its images"
        )
    table = read_table(table_path, ("lesion_id", "image_id", "dx", "age", "sex"), _AGAIN)
    _check_table(table, table_path)
    images = _find_images(folder, list(table["image_id"]), table_path)
    labels = np.array([DIAGNOSES.index(diagnosis) for diagnosis in table["dx"].str.lower()], np.int64)
    units = _joined_lesions(table, folder / _DUPLICATES)
    split = split_units(labels, units, fractions, rng)
    decoded = decode_images("ham10000", images, image_size)
    mend = f"{_DUPLICATES} joins what shows the same lesion: put it there, or add the pair"
    say_repeated(decoded.hashes, split, list(table["image_id"]), table_path, mend)
    return Dataset(
        name="ham10000",
        inputs=decoded.pixels,
        labels=labels,
        label_names=DIAGNOSES,
        groupings={
            "sex": grouping_of("sex", list(table["sex"].str.lower()), ("female", "male")),
            "age_band": grouping_of("age_band", _age_bands(table["age"], table_path), AGE_BANDS),
            "class": class_grouping(labels, DIAGNOSES),
        },
        split=split,
        units=units,
        positive=tuple(DIAGNOSES.index(name) for name in MALIGNANT),
        licence="CC BY-NC 4.0 (HAM10000, Tschandl, Rosendahl, Kittler 2018)",
    )


def _check_table(table: pd.DataFrame, path: Path) -> None:
    for column in ("lesion_id", "image_id"):
        if (table[column] == "").any():
            raise DataError(f"{path}, line {first_line(table[column] == '')}: {column} is empty; {_AGAIN}")
    double = table["image_id"].duplicated()
    if double.any():
        raise DataError(f"{path}, line {first_line(double)}: image {table['image_id'][double].iloc[0]} twice; {_AGAIN}")
    for column, known in (("dx", frozenset(DIAGNOSES)), ("sex", _UNKNOWN | {"female", "male"})):
        wrong = ~table[column].str.lower().isin(known)
        if wrong.any():
            expected = ", ".join(DIAGNOSES) if column == "dx" else "female, male, unknown"
            value = table[column][wrong].iloc[0]
            raise DataError(
                f"{path}, line {first_line(wrong)}: {column} {value!r}, expected one of {expected}; {_AGAIN}"
            )


def _age_bands(ages: "pd.Series[str]", path: Path) -> list[str]:
    """The band of each age, "" where it is unknown."""
    stated = ages.where(~ages.str.lower().isin(_UNKNOWN), "0")
    years = pd.to_numeric(stated, errors="coerce")
    wrong = ~years.between(0, 120)
    if wrong.any():
        raise DataError(f"{path}, line {first_line(wrong)}: age {ages[wrong].iloc[0]!r} is no age; {_AGAIN}")
    bands = np.digitize(years, (40, 60))
    return [AGE_BANDS[band] if year > 0 else "" for band, year in zip(bands, years, strict=True)]


def _find_images(folder: Path, image_ids: list[str], table_path: Path) -> list[ImageFile]:
    """The file of each image, from the zips, the folders they unzip to, `images/` or the folder itself."""
    found: dict[str, ImageFile] = {}
    missing_parts: list[str] = []
    for part in _PARTS:
        if (folder / f"{part}.zip").is_file():
            found = list_zip(folder / f"{part}.zip") | found
        elif (folder / part).is_dir():
            found = list_folder(folder / part) | found
        else:
            missing_parts.append(f"{part}.zip")
    for place in (folder / "images", folder):
        if place.is_dir():
            found = list_folder(place) | found
    lost = [image_id for image_id in image_ids if image_id not in found]
    if not lost:
        return [found[image_id] for image_id in image_ids]
    if len(missing_parts) == 1 or (missing_parts and not found):
        raise DataError(
            f"{' and '.join(missing_parts)} missing in {folder}: {len(lost)} of the {len(image_ids)} images in "
            f"{table_path.name} are not there, {lost[0]} the first; put the zip, or the folder it unzips to, there"
        )
    raise DataError(
        f"{len(lost)} of the {len(image_ids)} images in {table_path} are not in {folder}, {lost[0]} the first: "
        "get the missing images, or take their rows out of the table"
    )


def _joined_lesions(table: pd.DataFrame, duplicates: Path) -> npt.NDArray[np.int64]:
    """The unit of each image: its lesion, joined with those that show the same one, pairs of pairs included."""
    lesions, names = pd.factorize(table["lesion_id"], sort=True)
    if not duplicates.is_file():
        return lesions.astype(np.int64)
    pairs = read_table(duplicates, ("from_img", "to_img"), f"{_AGAIN}, or remove it")
    lesion_of = dict(zip(table["image_id"], lesions, strict=True))
    # A pair with an image outside the table can't tear a lesion, so it doesn't matter.
    known = [
        (lesion_of[first], lesion_of[second])
        for first, second in zip(_stems(pairs["from_img"]), _stems(pairs["to_img"]), strict=True)
        if first in lesion_of and second in lesion_of
    ]
    first, second = np.array(known, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(names), len(names)))
    unit_of_lesion = connected_components(graph, directed=False)[1]
    return np.asarray(unit_of_lesion[lesions], np.int64)


def _stems(files: "pd.Series[str]") -> list[str]:
    return [Path(file).stem for file in files]
