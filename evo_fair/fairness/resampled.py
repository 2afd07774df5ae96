"""Resamples: whole units (lesions, patients) drawn anew, and what one network gets right on each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evo_fair.arrays import Ints
from evo_fair.errors import UndefinedMetricError
from evo_fair.fairness.counts import Counts

__all__ = ["AT_ONCE", "Counted", "Resampled", "draw_weights"]

AT_ONCE = 2**24
"""How many draws, weights or counts are worked on at a time: all of a table's resamples would fill the memory."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """The counts of one network on every resample, as if each resample were a network of its own.

    A cell is a group, label and prediction that samples have. Only cells take room: of a hundred labels that are the
    groups, too, there are a million, of which samples have a few thousand.

    Args:
        sums: How many samples of each cell each resample has, int64 `[replicates, cells]`.
        groups: The cells' groups, integers `[cells]`; -1 for unknown.
        labels: Their labels, integers `[cells]`.
        predictions: Their predictions, integers `[cells]`.
        like: Counts that supply the names of groups and labels.
    """

    sums: Ints
    groups: Ints
    labels: Ints
    predictions: Ints
    like: Counts

    @classmethod
    def of(
        cls,
        weights: npt.NDArray[np.integer[Any]],
        predictions: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.integer[Any]],
        groups: npt.NDArray[np.integer[Any]],
        like: Counts,
    ) -> Self:
        """Counts one network. Networks counted with the same weights can be compared resample by resample.

        Args:
            weights: What `draw_weights` gave, integers `[replicates, samples]`.
            predictions: Predicted labels, uint8 `[samples]`.
            labels: True labels, integers `[samples]`.
            groups: Groups, integers `[samples]`; -1 for unknown.
            like: Counts that supply the names of groups and labels.
        """
        kinds = np.stack([groups.astype(np.int64), labels.astype(np.int64), predictions.astype(np.int64)])
        cells, place = np.unique(kinds, axis=1, return_inverse=True)
        sums = _sums(weights, place.ravel(), cells.shape[1])
        return cls(sums, groups=cells[0], labels=cells[1], predictions=cells[2], like=like)

    def __len__(self) -> int:
        return len(self.sums)

    def __getitem__(self, resamples: npt.NDArray[np.bool_]) -> "Resampled":
        """The chosen resamples, by a mask."""
        return replace(self, sums=self.sums[resamples])

    @property
    def group_names(self) -> tuple[str, ...]:
        """The groups' names, `[groups]`."""
        return self.like.group_names

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names, `[labels]`."""
        return self.like.label_names

    @property
    def positive(self) -> tuple[int, ...]:
        """The numbers of the labels that count as positive."""
        return self.like.positive

    @cached_property
    def by_label(self) -> Ints:
        """The samples of each label, as `Counts.by_label`."""
        return self._added(self.labels, len(self.label_names))

    @cached_property
    def right_by_label(self) -> Ints:
        """Those that are predicted right, as `Counts.right_by_label`."""
        return self._added(self.labels, len(self.label_names), self._right)

    @cached_property
    def right_by_group(self) -> Ints:
        """The samples of each group that are predicted right, as `Counts.right_by_group`."""
        return self._added(self.groups, len(self.group_names), self._right)

    def by_group(self, labels: Sequence[int] | None = None, predictions: Sequence[int] | None = None) -> Ints:
        """The samples of each group with one of these labels and predictions, as `Counts.by_group`."""
        chosen = np.ones(len(self.groups), np.bool_)
        for names, wanted in ((self.labels, labels), (self.predictions, predictions)):
            if wanted is not None:
                chosen &= np.isin(names, wanted)
        return self._added(self.groups, len(self.group_names), chosen)

    def parts(self) -> Iterator[Counts]:
        """The same as counts, in order, as many resamples at a time as a part of the memory holds."""
        cells_of_one = (len(self.group_names) + 1) * len(self.label_names) ** 2
        rows = max(1, AT_ONCE // cells_of_one)
        for start in range(0, len(self), rows):
            yield self._counts(self.sums[start : start + rows])

    @property
    def _right(self) -> npt.NDArray[np.bool_]:
        return np.equal(self.labels, self.predictions)

    def _added(self, numbers: Ints, n: int, chosen: npt.NDArray[np.bool_] | None = None) -> Ints:
        """The sums of the `chosen` cells by number, of which there are `n`; negative ones have none."""
        found = np.where(chosen, numbers, -1) if chosen is not None else numbers
        return np.asarray(_one_hot(found, n).T @ self.sums.T).T  # sums over labels are rounded by this layout

    def _counts(self, sums: Ints) -> Counts:
        n_groups, n_labels = len(self.group_names), len(self.label_names)
        table = np.zeros((len(sums), n_groups + 1, n_labels, n_labels), np.int64)
        table[:, self.groups, self.labels, self.predictions] = sums  # the last one, -1, is of the unknown
        like = self.like
        return Counts(table[:, :n_groups], table[:, n_groups], like.group_names, like.label_names, like.positive)


Counted = Counts | Resampled
"""What evo_fair's own metrics are made of: networks, or the resamples of one."""


def draw_weights(
    units: npt.NDArray[np.integer[Any]],
    replicates: int,
    rng: np.random.Generator,
    needed: tuple[npt.NDArray[np.integer[Any]], ...] = (),
    dtype: type[np.integer[Any]] = np.int64,
) -> npt.NDArray[np.integer[Any]]:
    """How often each sample counts in each resample.

    Units are drawn with replacement, as many as there are, with all their samples.

    Args:
        units: The number of each sample's unit, integers `[samples]`.
        replicates: How many resamples.
        rng: The Generator to draw with.
        needed: Partitions of the samples (labels, groups; -1 for none), integers
            `[samples]` each. A resample without any sample of a member that occurs is
            drawn again, because metrics have no value on it. Default: none.
        dtype: The kind of the numbers. 8 bits hold them, since more than 255 draws of
            one unit of many never happen, but no sums of them. Default: int64.

    Returns:
        Integers `[replicates, samples]`.

    Raises:
        UndefinedMetricError: Fewer than one resample in twenty has all members.
    """
    _, unit = np.unique(units, return_inverse=True)
    n_units = int(unit.max()) + 1
    members = [_one_hot(np.unique(part, return_inverse=True)[1] - (part.min() < 0)) for part in needed]
    weights = np.empty((replicates, len(unit)), dtype)
    rows = max(1, AT_ONCE // n_units)
    done = 0
    while done < replicates:
        before = done
        for start in range(before, replicates, rows):
            count = min(rows, replicates - start)
            drawn = rng.integers(0, n_units, (count, n_units)) + n_units * np.arange(count)[:, None]
            times = np.bincount(drawn.ravel(), minlength=count * n_units).reshape(count, n_units)
            some = times[:, unit]
            whole = np.ones(count, np.bool_)
            for part in members:
                whole &= (np.asarray(part.T @ some.T) > 0).all(axis=0)
            found = int(whole.sum())
            weights[done : done + found] = some[whole]
            done += found
        if not before and 20 * done < replicates:
            raise UndefinedMetricError(
                f"of {replicates} resamples {replicates - done} lack a label or a group: some of them have "
                "too few units for an interval; use a coarser grouping"
            )
    return weights


def _sums(weights: npt.NDArray[np.integer[Any]], numbers: Ints, n: int) -> Ints:
    """How often samples of each number, `[samples]`, are in each resample: int64 `[replicates, n]`."""
    members = _one_hot(numbers, n).T
    rows = max(1, AT_ONCE // max(1, len(numbers)))
    parts = [np.asarray(members @ weights[start : start + rows].T).T for start in range(0, len(weights), rows)]
    return np.ascontiguousarray(np.concatenate(parts), np.int64)


def _one_hot(numbers: npt.NDArray[np.integer[Any]], columns: int | None = None) -> "sparse.csr_array[np.int64]":
    """A sparse matrix `[samples, columns]` with a 1 where each sample's number says; negative numbers have none."""
    rows = np.flatnonzero(numbers >= 0)
    values = numbers[rows].astype(np.int64)
    width = columns if columns is not None else int(values.max(initial=-1)) + 1
    return sparse.csr_array((np.ones(len(rows), np.int64), (rows, values)), shape=(len(numbers), width))
