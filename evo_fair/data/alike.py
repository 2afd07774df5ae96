"""Names that a person would take for the same one, such as `White` and `white`."""

import re
import unicodedata
import warnings
from collections.abc import Sequence

from evo_fair.data.dataset import Dataset
from evo_fair.errors import DataWarning, quote

__all__ = ["alike_names", "say_alike"]

_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))


def alike_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ in capitals, spaces, kinds of dashes, what nobody sees, or an accent's writing only.

    Args:
        names: Different names.

    Returns:
        A pair for each name that is like an earlier one, that one first.
    """
    first: dict[str, str] = {}
    pairs = [(first.setdefault(_plain(name), name), name) for name in names]
    return [(one, other) for one, other in pairs if one != other]


def say_alike(dataset: Dataset) -> None:
    """Warns of labels, and of groups, that are probably the same one in two spellings.

    Args:
        dataset: The data set.
    """
    for name, grouping in dataset.groupings.items():
        sizes = dict(zip(grouping.names, grouping.sizes.tolist(), strict=True))
        for one, other in alike_names(grouping.names):
            told = " and ".join(f"{quote(spelt)} (of {sizes[spelt]:,})" for spelt in (one, other))
            what = "labels" if name == "class" else f"groups of {name!r}"
            warnings.warn(
                f"{dataset.name}: the {what} {told} samples are spelt almost alike: if they are one, spell them alike",
                DataWarning,
                stacklevel=3,
            )


def _plain(name: str) -> str:
    seen = "".join(one for one in name if unicodedata.category(one) != "Cf")
    folded = unicodedata.normalize("NFKC", seen).casefold().translate(_DASHES).replace("_", " ")
    return " ".join(re.sub(r"\s*-\s*", "-", unicodedata.normalize("NFKC", folded)).split())
