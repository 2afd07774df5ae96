"""Whether data have samples enough of every label and group in every part, and what helps where they have not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evo_fair.data.alike import alike_names
from evo_fair.data.dataset import PARTS, Dataset, Grouping
from evo_fair.data.doubts import MISSING_MARKS
from evo_fair.data.splits import split_units
from evo_fair.errors import DataError, quote

__all__ = ["Draw", "check_samples"]

_FEW_NUMBERS = 8
"""Groups that are called by numbers, such as types 1 to 6 of skin: more of them, some rare, are values like an age."""
_ENOUGH = 7
"""How many times the fewest samples a part a group needs in all, so that parts drawn evenly have enough of it."""
_SHOWN = 4
_CODES = frozenset({"-1", "-9", "9", "99", "999", "9999"})
"""Codes that often mean `not known`, or are a group, or a number in another column."""
_MOST_SEEDS = 20
_MOST_DRAWN = 4_000_000
"""How many samples are drawn anew, at most, to find a seed that helps: a second's work."""


class Draw(NamedTuple):
    """How the parts of a data set were drawn, if they were drawn by `split_units`.

    Args:
        fractions: The shares of train, validation and test.
        seed: The seed of the split, 0 or more.
    """

    fractions: Sequence[float]
    seed: int

    def parts(self, dataset: Dataset, seed: int) -> npt.NDArray[np.int8]:
        """The parts that a seed gives.

        Args:
            dataset: The data set whose samples are drawn.
            seed: The seed.

        Returns:
            The part of each sample, int8 `[samples]`.
        """
        return split_units(dataset.labels, dataset.units, self.fractions, np.random.default_rng(seed))


class _Lack(NamedTuple):
    """A label or group of which a part has too few samples."""

    grouping: Grouping
    group: int
    part: str
    samples: int

    @property
    def what(self) -> str:
        """What it is, such as `label 'yes'`."""
        return f"{_kind(self.grouping.name)} {self.grouping.names[self.group]!r}"


def check_samples(dataset: Dataset, groupings: Sequence[str], minimum: int, draw: Draw | None = None) -> None:
    """Refuses data with too few samples of a label or group.

    Args:
        dataset: The data set.
        groupings: The groupings to check, beside `class`.
        minimum: The fewest samples that a label or group may have in each part.
        draw: How the parts may have been drawn; the message then names another seed, if
            one helps. Default: unknown.

    Raises:
        DataError: A grouping has fewer than two groups, or a label or group too few
            samples in a part.
    """
    for name in groupings:
        _check_compares(dataset, name)
    checked = [dataset.grouping(name) for name in dict.fromkeys(["class", *groupings])]
    lacking = list(_lacking(checked, dataset.split, minimum))
    if not lacking:
        return
    shown = "; ".join(f"{lack.what} has {lack.samples} in {lack.part}" for lack in lacking[:_SHOWN])
    more = f"; and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    mends = (
        _not_known(lacking),
        _coded(lacking),
        _spelt_alike(dataset.groupings),
        next((told for lack in lacking if (told := _in_large_units(dataset, lack, minimum))), ""),
        _in_bands(lacking),
        _another_seed(dataset, checked, minimum, draw),
    )
    mend = "".join(f"{told}, or " for told in mends if told)
    raise DataError(
        f"{dataset.name}: too few samples ({shown}{more}), at least {minimum} are needed: {mend}add samples, "
        "join or drop labels or groups, or lower min_samples under [data]"
    )


def _check_compares(dataset: Dataset, name: str) -> None:
    """Refuses a grouping that has nothing to compare."""
    found = dataset.grouping(name).names
    if not found:
        raise DataError(f"{dataset.name}: no sample says its group of {name!r}: fill it in, or drop the grouping")
    if len(found) < 2:
        raise DataError(
            f"{dataset.name}: grouping {name!r} has one group, {found[0]!r}, so nothing to compare: "
            "drop it, or give the samples of the other group"
        )


def _kind(grouping: str) -> str:
    return "label" if grouping == "class" else grouping


def _lacking(groupings: Sequence[Grouping], split: npt.NDArray[np.int8], minimum: int) -> Iterator[_Lack]:
    for grouping in groupings:
        for number, part in enumerate(PARTS):
            index = grouping.index[(split == number) & (grouping.index >= 0)]
            sizes = np.bincount(index, minlength=len(grouping.names))
            for group in np.flatnonzero(sizes < minimum).tolist():
                yield _Lack(grouping, group, part, int(sizes[group]))


def _not_known(lacking: Sequence[_Lack]) -> str:
    """What to do about rare groups whose names read as if something was missing; empty where there are none."""
    names = dict.fromkeys(lack.grouping.names[lack.group] for lack in lacking if lack.grouping.name != "class")
    if found := [json.dumps(name, ensure_ascii=False) for name in names if name.lower() in MISSING_MARKS]:
        return f"name {', '.join(found)} in missing = [...] under [data] if it means that the group is not known"
    return ""


def _coded(lacking: Sequence[_Lack]) -> str:
    """What to do about a rare group whose name is a code that can mean that it is not known; empty for others.

    In `missing` such a code would be blanked in other columns, too.
    """
    for lack in lacking:
        grouping, name = lack.grouping, lack.grouping.names[lack.group]
        if grouping.name != "class" and name.removesuffix(".0") in _CODES and not _has_many_numbers(grouping):
            return f"empty the cells of {grouping.name!r} that say {quote(name)} if it means that it is not known"
    return ""


def _spelt_alike(groupings: Mapping[str, Grouping]) -> str:
    """What to do about groups, or labels, that are probably the same one in two spellings; empty where none are."""
    for grouping in groupings.values():
        for one, other in alike_names(grouping.names):
            return f"spell {_kind(grouping.name)} {quote(one)} and {quote(other)} alike if they are the same"
    return ""


def _in_large_units(dataset: Dataset, lack: _Lack, minimum: int) -> str:
    """What to do about a group that has samples enough, but in too few units for all parts; empty for any other."""
    units = dataset.units[lack.grouping.index == lack.group]
    different = len(np.unique(units))
    if len(units) < _ENOUGH * minimum or 2 * different > len(units):
        return ""
    shown = "one unit, which is never" if different == 1 else f"{different} units, none of which is"
    return f"the {len(units):,} samples of {lack.what} are in {shown} torn across parts: give smaller units or none"


def _in_bands(lacking: Sequence[_Lack]) -> str:
    """What to do about groupings whose groups are numbers such as ages; empty where there are none."""
    rare = dict.fromkeys(lack.grouping for lack in lacking if lack.grouping.name != "class")
    names = " and ".join(repr(one.name) for one in rare if _has_many_numbers(one))
    return f"cut the numbers of {names} into bands, such as 'under 40' and '40 or more'" if names else ""


def _has_many_numbers(grouping: Grouping) -> bool:
    return sum(map(_is_number, grouping.names)) > _FEW_NUMBERS


def _another_seed(dataset: Dataset, groupings: Sequence[Grouping], minimum: int, draw: Draw | None) -> str:
    """A seed that draws parts with enough of everything, where chance alone is to blame; empty where none does."""
    checked = dict.fromkeys(chain(groupings, dataset.groupings.values()))
    if draw is None or any((grouping.sizes < len(PARTS) * minimum).any() for grouping in checked):
        return ""
    if not np.array_equal(draw.parts(dataset, draw.seed), dataset.split):
        return ""
    for seed in range(min(_MOST_SEEDS, _MOST_DRAWN // len(dataset.labels))):
        if not any(_lacking(list(checked), draw.parts(dataset, seed), minimum)):
            return f"draw other parts with split_seed = {seed} under [data], which have enough of each"
    return ""


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
