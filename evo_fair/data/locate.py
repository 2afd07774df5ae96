"""Where a data set lies: the folder that the user names, `EVO_FAIR_DATA`, or the user's cache."""

import os
from pathlib import Path

from evo_fair.data.source import SOURCES
from evo_fair.errors import DataError
from evo_fair.files import cache_folder, user_path

__all__ = ["find_data"]


def find_data(source: str, folder: Path | None, name: str | None = None) -> Path:
    """The folder of a data set: `folder` if given, else `EVO_FAIR_DATA/<name>`, else the cache's `data/<name>`.

    Args:
        source: The source's name.
        folder: The data set's own folder; None to look for it.
        name: The data set's name, where it differs from its source's. Default: the
            source's folder or name.

    Returns:
        The folder.

    Raises:
        DataError: It is not there; the message says what to download and where to put
            it.
    """
    needed = SOURCES[source].needs
    name = name or SOURCES[source].folder or source
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
