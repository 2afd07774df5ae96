"""The image that may have been meant by a name that no file has: with another ending, capitals or folder."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from evo_fair.data.images import IMAGE_SUFFIXES

__all__ = ["near_image"]

_IMAGES = tuple(IMAGE_SUFFIXES)


def near_image(folder: Path, file: str, named: Collection[str]) -> str | None:
    """The path below `folder` of the image that `file` can mean, and how many more there are; None where none is.

    It has the name of `file` but for capitals, in any folder below. `file` may lack the ending, or have that of another
    kind of image. Where several have the name, it is the one in the folder that `file` says, perhaps behind others. One
    that is among those `named` is meant by its own name. Goes through the folder once.
    """
    parent, _, asked = file.replace("\\", "/").lower().removeprefix("./").rpartition("/")
    meant = {asked, _stem(asked)} if _is_image(asked) else {asked}
    fits = []
    for place, name in _images(folder):
        if name.lower() in meant or _stem(name.lower()) in meant:
            path = f"{place}/{name}" if place else name
            if path not in named:
                fits.append((place.lower(), path))
    fits.sort()
    below = [(place, path) for place, path in fits if place and f"/{parent}".endswith(f"/{place}")]
    if len(fits) > 1 and below:  # the folder as it is, or behind folders that lead to it
        fits = [max(below, key=lambda fit: len(fit[0]))]
    more = f" and {len(fits) - 1:,} more of that name" if len(fits) > 1 else ""
    return f"{fits[0][1]}{more}" if fits else None


def _images(folder: Path) -> Iterator[tuple[str, str]]:
    """The folder and name of each image below a folder; links to folders can lead in a circle and are left out."""
    for place, _, names in os.walk(str(folder)):
        below = "" if place == str(folder) else os.path.relpath(place, folder).replace(os.sep, "/")
        yield from ((below, name) for name in names if _is_image(name))


def _is_image(name: str) -> bool:
    return name.lower().endswith(_IMAGES)


def _stem(name: str) -> str:
    """A name without its ending; a Path, of which a folder needs thousands, takes ten times as long."""
    return name.rpartition(".")[0]
