"""Counts: how often networks predicted what, by group and true label; all that an accuracy or fairness metric needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from evo_fair.arrays import Ints

__all__ = ["Counts", "concatenate", "count_predictions"]


@dataclass(frozen=True, eq=False)
class Counts:
    """Confusion counts of a population of networks on one set of samples, by the groups of one grouping.

    All arrays are read-only: several metrics read the same counts.

    Args:
        values: Samples by group, label and prediction, int64 `[networks, groups,
            labels, predictions]`.
        rest: The samples whose group is unknown, int64 `[networks, labels,
            predictions]`; they count for accuracy, and for no group.
        group_names: The groups' names, `[groups]`.
        label_names: The labels' names, `[labels]`.
        positive: The numbers of the labels that count as positive where a metric is
            about a binary decision. Default: `()`, none.

    Raises:
        ValueError: The shapes don't fit each other, the counts are no whole numbers, or
            a positive label is none or there twice.

    Example:
        One network, two groups and two labels; the last sample's group is unknown:

        >>> from evo_fair.fairness import count_predictions
        >>> labels, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 0, -1])
        >>> predictions = np.array([[0, 1, 1, 1]], np.uint8)
        >>> counts = ef.Counts(*count_predictions(predictions, labels, groups, 2, 2), ("f", "m"), ("no", "yes"))
        >>> counts.overall.tolist()  # [networks, labels, predictions]
        [[[1, 1], [0, 2]]]
    """

    values: Ints
    rest: Ints
    group_names: tuple[str, ...]
    label_names: tuple[str, ...]
    positive: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.group_names), len(self.label_names), len(self.label_names))
        if self.values.ndim != 4 or self.values.shape[1:] != shape:
            raise ValueError(
                f"counts of {shape[0]} groups and {shape[1]} labels have the shape [networks, {shape[0]}, {shape[1]}, "
                f"{shape[2]}], got {list(self.values.shape)}: take them from count_predictions"
            )
        if self.rest.shape != (len(self.values), *shape[1:]):
            raise ValueError(
                f"rest has the shape [networks, labels, predictions] = {[len(self.values), *shape[1:]]}, "
                f"got {list(self.rest.shape)}: take it from count_predictions"
            )
        if kind := next((each.dtype for each in (self.values, self.rest) if each.dtype.kind not in "iu"), None):
            raise ValueError(f"counts are whole numbers, got {kind}: convert them with .astype('int64')")
        if any(not 0 <= label < shape[1] for label in self.positive) or len(set(self.positive)) < len(self.positive):
            raise ValueError(f"positive labels are indices from 0 to {shape[1] - 1}, each once, got {self.positive}")
        for name in ("values", "rest"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, networks: int | slice | npt.NDArray[Any] | Sequence[int]) -> "Counts":
        """The counts of the chosen networks, by number, slice, mask or list; the networks' axis always stays."""
        chosen = [networks] if isinstance(networks, int | np.integer) else networks
        return Counts(self.values[chosen], self.rest[chosen], self.group_names, self.label_names, self.positive)

    @cached_property
    def overall(self) -> Ints:
        """All samples, those of unknown group included: int64 `[networks, labels, predictions]`."""
        return _read_only(np.asarray(self.values.sum(axis=1) + self.rest, np.int64))

    @property
    def by_label(self) -> Ints:
        """The samples of each label, those of unknown group included: int64 `[networks, labels]`."""
        return np.asarray(self.overall.sum(axis=2))

    @property
    def right_by_label(self) -> Ints:
        """Those of them that are predicted right: int64 `[networks, labels]`."""
        return np.diagonal(self.overall, axis1=1, axis2=2)

    @property
    def right_by_group(self) -> Ints:
        """The samples of each group that are predicted right: int64 `[networks, groups]`."""
        return np.asarray(np.trace(self.values, axis1=2, axis2=3))

    def by_group(self, labels: Sequence[int] | None = None, predictions: Sequence[int] | None = None) -> Ints:
        """The samples of each group.

        Args:
            labels: The true labels that count, by number. Default: all.
            predictions: The predictions that count, by number. Default: all.

        Returns:
            int64 `[networks, groups]`.
        """
        rows = self.values if labels is None else self.values[:, :, list(labels)]
        return np.asarray((rows if predictions is None else rows[..., list(predictions)]).sum(axis=(2, 3)))

    def parts(self) -> "Iterator[Counts]":
        """What there is to count, some at a time.

        Returns:
            These counts alone. Resamples, which may be too many for the memory, have
            several.
        """
        yield self


def _read_only(array: Ints) -> Ints:
    view = array.view()
    view.flags.writeable = False
    return view


def concatenate(parts: Sequence[Counts]) -> Counts:
    """Joins the counts of several populations on the same samples along the networks' axis, in order.

    Args:
        parts: The counts, one or more.

    Returns:
        The counts of all networks.

    Raises:
        ValueError: There are none, or they are of different groups, labels or positive
            labels.
    """
    if not parts:
        raise ValueError("no counts to join: give at least one")
    first = parts[0]
    for part in parts[1:]:
        if (part.group_names, part.label_names, part.positive) != (
            first.group_names,
            first.label_names,
            first.positive,
        ):
            told = [f"{c.group_names}, {c.label_names} and {c.positive}" for c in (first, part)]
            raise ValueError(
                f"counts of the groups, labels and positive labels {told[0]} can't be joined with those of {told[1]}: "
                "count with the same names"
            )
    values = np.concatenate([part.values for part in parts])
    rest = np.concatenate([part.rest for part in parts])
    return Counts(values, rest, first.group_names, first.label_names, first.positive)


def count_predictions(
    predictions: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer[Any]],
    groups: npt.NDArray[np.integer[Any]],
    n_groups: int,
    n_labels: int,
) -> tuple[Ints, Ints]:
    """Counts predictions by group, label and prediction, in one pass.

    Args:
        predictions: Predicted labels, uint8 `[networks, samples]`.
        labels: True labels, integers `[samples]`.
        groups: Groups, integers `[samples]`; -1 for unknown.
        n_groups: How many groups there are.
        n_labels: How many labels there are.

    Returns:
        `Counts.values` and `Counts.rest`.

    Raises:
        ValueError: Shapes don't fit, or values lie outside 0 to n - 1.
    """
    if predictions.dtype != np.uint8 or predictions.ndim != 2:
        raise ValueError(
            f"predictions are uint8 [networks, samples], got {predictions.dtype} {list(predictions.shape)}: "
            "for a single network add a leading axis, predictions[None]"
        )
    samples = predictions.shape[1]
    for name, array in (("labels", labels), ("groups", groups)):
        if array.shape != (samples,):
            raise ValueError(f"{name} have the shape [{samples}], one for each prediction, got {list(array.shape)}")
    _check_range("predictions", predictions, 0, n_labels)
    _check_range("labels", labels, 0, n_labels)
    _check_range("groups", groups, -1, n_groups)

    # One cell number a sample, shared by all networks: unknown groups (-1) land behind the last group.
    known = np.where(groups < 0, n_groups, groups).astype(np.int64)
    cells = (known * n_labels + labels.astype(np.int64)) * n_labels
    flat = _count(predictions, cells, (n_groups + 1) * n_labels * n_labels)
    table = flat.reshape(len(predictions), n_groups + 1, n_labels, n_labels)
    return table[:, :n_groups], table[:, n_groups]


@njit(cache=True, nogil=True)
def _count(predictions: npt.NDArray[np.uint8], cells: Ints, n_cells: int) -> Ints:
    # Serial: workers count side by side, and Numba's own threads don't mix with theirs.
    counts = np.zeros((predictions.shape[0], n_cells), np.int64)
    for network in range(predictions.shape[0]):
        for sample in range(predictions.shape[1]):
            counts[network, cells[sample] + predictions[network, sample]] += 1
    return counts


def _check_range(name: str, array: npt.NDArray[np.integer[Any]], low: int, high: int) -> None:
    if array.size and (array.min() < low or array.max() >= high):
        raise ValueError(f"{name} lie between {low} and {high - 1}, got {array.min()} to {array.max()}")
