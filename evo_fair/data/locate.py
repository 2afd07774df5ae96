"""Where a data set lies: the folder that the user names, `EVO_FAIR_DATA`, or the user's cache."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from evo_fair.errors import DataError
from evo_fair.files import cache_folder, user_path

__all__ = ["REQUIREMENTS", "find_data"]

_CIFAR10 = "CIFAR-10 as JPEGs: cifar10_jpg.tar.xz, or the folders train/CLASS and test/CLASS that it unpacks to"

REQUIREMENTS: Mapping[str, str] = MappingProxyType(
    {
        "digits": "nothing: it comes with scikit-learn",
        "ham10000": (
            "download HAM10000_images_part_1.zip, HAM10000_images_part_2.zip and HAM10000_metadata "
            "(and newly_discovered_duplicates.csv where you have it) from https://doi.org/10.7910/DVN/DBW86T"
        ),
        "adult": "download adult.data and adult.test from https://archive.ics.uci.edu/dataset/2/adult",
        "cifar10": _CIFAR10,
        "cifar10_lt": _CIFAR10,
        "image_folder": "a folder of images with a labels.csv that has the columns file,label",
        "table": "a folder with the CSV or Parquet file that [data.table] names",
    }
)
"""What each source needs, in words for the user."""

_FOLDERS = {"cifar10_lt": "cifar10"}
"""The folder of a source's data where it has another name."""


def find_data(source: str, folder: Path | None, name: str | None = None) -> Path:
    """The folder of a data set: `folder` if given, else `EVO_FAIR_DATA/<name>`, else the cache's `data/<name>`.

    `name` is that of the data set where it differs from its source's. Raises `DataError` saying what to download and
    where to put it.
    """
    needed = REQUIREMENTS[source]
    name = name or _FOLDERS.get(source, source)
    if folder is not None:
        folder = user_path(folder, DataError)
        if not folder.is_dir():
            reason = "is not a folder" if folder.exists() else "does not exist"
            raise DataError(f"the data folder {folder} {reason}; {source} needs: {needed}; give its folder with --data")
        return folder
    places = [cache_folder("data") / name]
    if root := os.environ.get("EVO_FAIR_DATA"):
        places.insert(0, user_path(root, DataError) / name)
    for place in places:
        if place.is_dir():
            return place
    raise DataError(
        f"the data of {name} are not in {' or '.join(map(str, places))}; {source} needs: {needed}; "
        "put that there, or give its folder with --data"
    )
