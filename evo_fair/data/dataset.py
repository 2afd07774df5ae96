"""Dataset: inputs, labels, groups and splits of one data set as arrays that nobody changes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Ints, RawInputs, Selected
from evo_fair.data.table_inputs import RawColumns
from evo_fair.errors import DataError, UnknownNameError
from evo_fair.fairness import Counts, count_predictions

__all__ = ["PARTS", "Dataset", "Grouping", "class_grouping", "grouping_of"]

PARTS = ("train", "validation", "test")
_MOST_GROUPS = 1000
_MOST_INDEXED = 2**15
"""Groups that the numbers of an index tell apart: of more, some would be taken for unknown."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """A partition of the samples into groups.

    Args:
        name: The grouping's name, such as `sex`.
        names: The groups' names, each once.
        index: The number of each sample's group in `names`, int16 `[samples]`; -1 where
            the group is unknown.

    Raises:
        ValueError: A number points outside of `names` or is no whole one, names are no
            texts, two groups have one, or there are more than 32,768 groups.

    Example:
        >>> ef.Grouping("sex", ("f", "m"), np.array([0, 1, -1], np.int16)).names
        ('f', 'm')
    """

    name: str
    names: tuple[str, ...]
    index: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        what = f"grouping {self.name!r}"
        object.__setattr__(self, "names", _names(f"the groups of {self.name!r}", self.names))
        if len(self.names) > _MOST_INDEXED:
            raise ValueError(f"{what} has {len(self.names):,} groups, at most {_MOST_INDEXED:,} are counted: join some")
        index = _whole(what, self.index)
        if index.size and not -1 <= index.min() <= index.max() < len(self.names):
            raise ValueError(f"{what} points outside its {len(self.names)} groups: use -1 for unknown")
        object.__setattr__(self, "index", _frozen(index, np.int16))

    @property
    def sizes(self) -> Ints:
        """How many samples each group has, int64 `[groups]`."""
        return np.bincount(self.index[self.index >= 0], minlength=len(self.names))


@dataclass(frozen=True, eq=False)
class Dataset:
    """One data set, ready for training and evaluation.

    All arrays are read-only; take `inputs[indices]` for a copy to work on.

    Args:
        name: The data set's name.
        inputs: uint8 `[samples, channels, height, width]` (images, 0 to 255) or float32
            `[samples, features]`.
        labels: The number of each sample's label in `label_names`, int64 `[samples]`.
        label_names: The labels' names, at most 256.
        groupings: The base groupings by name, `class` always among them, as
            `class_grouping` makes it of the labels.
        split: The number of each sample's part in `train`, `validation`, `test`: int8
            `[samples]`, 0 to 2.
        units: The number of each sample's unit (a lesion, a patient), int64
            `[samples]`; a unit's samples share a part.
        positive: The numbers of the labels that count as positive in metrics about a
            binary decision.
        licence: What the data may be used for.
        columns: The raw columns that a table's inputs were made of, which is what
            networks in files take. Default: None, for images.

    Raises:
        ValueError: Shapes, kinds or numbers don't fit each other, `class` is missing,
            or a unit is torn across parts.

    Example:
        >>> from evo_fair.data.dataset import class_grouping
        >>> labels = np.arange(6) % 2
        >>> dataset = ef.Dataset(
        ...     name="squares",
        ...     inputs=np.zeros((6, 1, 8, 8), np.uint8),
        ...     labels=labels,
        ...     label_names=("small", "large"),
        ...     groupings={"class": class_grouping(labels, ("small", "large"))},
        ...     split=np.array([0, 0, 1, 1, 2, 2], np.int8),
        ...     units=np.arange(6),
        ...     positive=(1,),
        ...     licence="none needed",
        ... )
        >>> dataset.part("test").tolist()
        [4, 5]
    """

    name: str
    inputs: RawInputs
    labels: npt.NDArray[np.int64]
    label_names: tuple[str, ...]
    groupings: Mapping[str, Grouping]
    split: npt.NDArray[np.int8]
    units: npt.NDArray[np.int64]
    positive: tuple[int, ...]
    licence: str
    columns: RawColumns | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, np.ndarray):
            raise ValueError(f"inputs are {type(self.inputs).__name__}: give a NumPy array, as np.asarray makes one")
        _check_unmasked("inputs", self.inputs)
        for what in ("name", "licence"):
            _check_text(what, getattr(self, what))
        object.__setattr__(self, "inputs", _frozen(self.inputs, self.inputs.dtype))
        object.__setattr__(self, "label_names", _names("the labels", self.label_names))
        for what, n in (("labels", len(self.label_names)), ("split", len(PARTS))):
            numbers = _whole(what, getattr(self, what))
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < n:
                raise ValueError(f"{what} lie between 0 and {n - 1}, got {numbers.min()} to {numbers.max()}")
        object.__setattr__(self, "labels", _frozen(self.labels, np.int64))
        object.__setattr__(self, "split", _frozen(self.split, np.int8))
        object.__setattr__(self, "units", _frozen(_whole("units", self.units), np.int64))
        object.__setattr__(self, "groupings", MappingProxyType(dict(self.groupings)))
        object.__setattr__(self, "positive", _positive(self.positive, len(self.label_names)))
        self._check()

    def _check(self) -> None:
        if (self.inputs.dtype.name, self.inputs.ndim) not in (("uint8", 4), ("float32", 2)):
            raise ValueError(
                "inputs are uint8 [samples, channels, height, width] or float32 [samples, features], got "
                f"{self.inputs.dtype} {list(self.inputs.shape)}"
            )
        per_sample: dict[str, npt.NDArray[Any]] = {"labels": self.labels, "split": self.split, "units": self.units}
        per_sample |= {f"grouping {name!r}": grouping.index for name, grouping in self.groupings.items()}
        for what, array in per_sample.items():
            if array.shape != (len(self.inputs),):
                raise ValueError(f"{what} has the shape [{len(self.inputs)}], one a sample, got {list(array.shape)}")
        if "class" not in self.groupings:
            raise ValueError(f"the grouping 'class' is missing beside {list(self.groupings)}: add class_grouping(...)")
        for name, grouping in self.groupings.items():
            _check_text("a grouping's name", name)
            if grouping.name != name:
                raise ValueError(f"groupings has {grouping.name!r} as {name!r}: give it under its own name")
            if ":" in name or "*" in name:
                raise ValueError(
                    f"{name!r} can't name a grouping ('*' joins groupings, ':' stands between a grouping and its group)"
                )
        order = np.argsort(self.units, kind="stable")
        same_unit = np.diff(self.units[order]) == 0
        if (same_unit & (np.diff(self.split[order]) != 0)).any():
            raise ValueError("a unit is torn across splits: split whole units, as split_units does")

    def __len__(self) -> int:
        return len(self.inputs)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"groupings": dict(self.groupings)}  # a mapping proxy does not pickle

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: `(channels, height, width)` or `(features,)`."""
        return self.inputs.shape[1:]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over inputs, labels, groups, units, splits and positive labels."""
        total = hashlib.sha256()
        texts: list[Any] = [self.label_names, self.positive]
        arrays: list[npt.NDArray[Any]] = [self.inputs, self.labels, self.split, self.units]
        for name in sorted(self.groupings):
            texts.append((name, self.groupings[name].names))
            arrays.append(self.groupings[name].index)
        total.update(repr(texts).encode())
        for array in arrays:
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def part(self, name: str) -> npt.NDArray[np.int64]:
        """The samples of a part.

        Args:
            name: `train`, `validation` or `test`.

        Returns:
            The samples' numbers, int64 `[n]`, ascending.

        Raises:
            UnknownNameError: There is no such part.
        """
        if name not in PARTS:
            raise UnknownNameError("part of the data", name, list(PARTS))
        return np.flatnonzero(self.split == PARTS.index(name)).astype(np.int64)

    def samples(self, part: str) -> Selected:
        """The raw inputs of a part, read when they are asked for: large images stay on disk.

        Args:
            part: `train`, `validation` or `test`.

        Returns:
            The rows of `inputs` that are of this part, `[n, ...]`, without a copy.

        Raises:
            UnknownNameError: There is no such part.
        """
        return Selected(self.inputs, self.part(part))

    def grouping(self, name: str) -> Grouping:
        """A base grouping, or an intersection such as `sex*age_band`.

        The groups of an intersection are the combinations that occur, named
        `female*under 40`, with a backslash before each `*` that a group's own name
        holds. A sample is unknown there where any of its groups is.

        Args:
            name: The grouping's name, or several joined by `*`.

        Returns:
            The grouping.

        Raises:
            UnknownNameError: There is no such grouping.
            DataError: The intersection names a grouping twice, or has more than 1000
                combinations.
        """
        if name in self.groupings:
            return self.groupings[name]
        parts = [part if part in self.groupings else part.strip() for part in name.split("*")]
        for part in parts:
            if part not in self.groupings:
                mend = ", or several of them as in 'a*b'; class are the labels"
                raise UnknownNameError("group", part, list(self.groupings), mend)
        if len(set(parts)) < len(parts):
            raise DataError(f"the intersection {name!r} names a grouping twice: name each once")
        return _intersection("*".join(parts), [self.groupings[part] for part in parts])

    def counts(self, predictions: npt.NDArray[np.uint8], part: str, grouping_name: str) -> Counts:
        """Counts what networks predict for a part, by the groups of a grouping.

        Args:
            predictions: Predicted labels of the part's samples, uint8 `[networks, n]`.
            part: `train`, `validation` or `test`.
            grouping_name: A base grouping, or an intersection such as `sex*age_band`.

        Returns:
            The counts, of which metrics are made.

        Raises:
            UnknownNameError: There is no such part or grouping.
            ValueError: The predictions' shape does not fit the part.
        """
        samples = self.part(part)
        grouping = self.grouping(grouping_name)
        n_groups, n_labels = len(grouping.names), len(self.label_names)
        values, rest = count_predictions(predictions, self.labels[samples], grouping.index[samples], n_groups, n_labels)
        return Counts(values, rest, grouping.names, self.label_names, self.positive)

    def with_positive(self, names: Sequence[str]) -> "Dataset":
        """The same data with other positive labels.

        Args:
            names: The names of the labels that count as positive.

        Returns:
            A data set that shares this one's arrays.

        Raises:
            UnknownNameError: A name is none of the labels'.
        """
        for name in names:
            if name not in self.label_names:
                raise UnknownNameError("positive label", name, list(self.label_names))
        return replace(self, positive=tuple(sorted({self.label_names.index(name) for name in names})))


def grouping_of(name: str, values: Sequence[str], names: Sequence[str]) -> Grouping:
    """The grouping of samples with the given values.

    Args:
        name: The grouping's name.
        values: Each sample's value, `[samples]`.
        names: The groups; a value that is not among them is unknown.

    Returns:
        The grouping.
    """
    number = {group: i for i, group in enumerate(names)}
    index = np.fromiter((number.get(value, -1) for value in values), np.int16, len(values))
    return Grouping(name, tuple(names), index)


def class_grouping(labels: npt.NDArray[np.int64], label_names: tuple[str, ...]) -> Grouping:
    """The grouping `class`: each label is a group.

    Args:
        labels: The number of each sample's label, int64 `[samples]`.
        label_names: The labels' names.

    Returns:
        The grouping.
    """
    return Grouping("class", label_names, labels.astype(np.int16))


def _intersection(name: str, groupings: list[Grouping]) -> Grouping:
    shape = tuple(len(grouping.names) for grouping in groupings)
    known = np.all([grouping.index >= 0 for grouping in groupings], axis=0)
    cells = np.ravel_multi_index([grouping.index[known].astype(np.int64) for grouping in groupings], shape)
    occurring, numbers = np.unique(cells, return_inverse=True)
    if len(occurring) > _MOST_GROUPS:
        raise DataError(f"the intersection {name!r} has {len(occurring)} groups, at most {_MOST_GROUPS}: use fewer")
    index = np.full(len(known), -1, np.int16)
    index[known] = numbers
    combinations = zip(*np.unravel_index(occurring, shape), strict=True)
    names = ["*".join(_factor(g.names[i]) for g, i in zip(groupings, cell, strict=True)) for cell in combinations]
    return Grouping(name, tuple(names), index)


def _factor(group: str) -> str:
    """A group's name within an intersection's, so that two combinations never have the same one.

    `a*b` beside `c`, and `a` beside `b*c`, would both be `a*b*c`. Only names that hold a `*`, or end in what stands
    before one, are written differently, so that what is split at a `*` without a backslash can be told apart again.
    """
    if "*" not in group and not group.endswith("\\"):
        return group
    return group.replace("\\", "\\\\").replace("*", "\\*")


def _names(what: str, given: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; raises `ValueError` for what are no texts, and for two of one name."""
    names = tuple(given)
    for name in names:
        _check_text(f"a name of {what}", name)
    if len(set(names)) < len(names):
        raise ValueError(f"{what} have one name twice in {list(names)}: name each once")
    return tuple(map(str, names))


def _check_text(what: str, given: object) -> None:
    """Raises `ValueError` for what is no text, or one that can't be written."""
    if not isinstance(given, str):
        raise ValueError(f"{what} is {given!r}: give a text")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}, {given!r}, holds half a character, which can't be written: replace it") from None


def _check_unmasked(what: str, given: object) -> None:
    """Raises `ValueError` for a masked array: beneath a mask lies any number."""
    if isinstance(given, np.ma.MaskedArray):
        raise ValueError(f"{what} is a masked array, of which nothing reads the mask: fill it, as .filled() does")


def _whole(what: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
    """Whole numbers as an array; raises `ValueError` for any others, which would be cut."""
    _check_unmasked(what, given)
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and not (array == np.rint(array)).all()):
        raise ValueError(f"{what}: its numbers are no whole ones ({array.dtype}): give integers")
    if array.dtype.kind == "f" and array.size and not -(2.0**63) <= array.min() <= array.max() < 2.0**63:
        raise ValueError(f"{what}: {array.min():g} to {array.max():g} are beyond 64 bits: give integers")
    return array


def _positive(given: Sequence[int], labels: int) -> tuple[int, ...]:
    """The numbers of the positive labels; raises `ValueError` for what are none."""
    numbers = tuple(given) if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else (given,)
    if any(isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 <= n < labels for n in numbers):
        raise ValueError(f"positive is {given!r}: give the numbers of labels, from 0 to {labels - 1}, or () for none")
    return tuple(sorted({int(number) for number in numbers}))


def _frozen(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    view = np.asarray(array, dtype).view()
    view.flags.writeable = False
    return view
