"""What networks get right on one part of the data, and for whom, with bootstrap intervals by unit."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.data import Dataset
from evo_fair.errors import UndefinedMetricError
from evo_fair.evolution import Objective
from evo_fair.fairness import METRICS, Counts, group_accuracy
from evo_fair.fairness.bootstrap import (
    Interval,
    ends_of_change,
    ends_of_groups,
    interval,
)
from evo_fair.fairness.degenerate import ends_where_alike, without_spread
from evo_fair.fairness.metrics import OPPOSITES, Metric
from evo_fair.fairness.resampled import AT_ONCE, Resampled, draw_weights

__all__ = ["Examination", "Examiner"]

Examination = dict[str, Interval]
"""Intervals by name: `accuracy`, `unfairness[age_band]`, `accuracy[age_band:under 40]`; NaN for ends that are none."""

REPLICATES = 2000
OVERALL = ("accuracy", "balanced_accuracy")
BY_GROUPING = ("unfairness", "worst_group_accuracy", "accuracy_gap")


class Examiner:
    """Examines networks on the same resamples of a part, so that two networks can be compared resample by resample.

    Args:
        dataset: The data.
        part: The part's name.
        groupings: The groupings' names; the first one is what `objectives` look at.
        seed: The seed of the resamples, 0 or more.
        replicates: How many resamples.
        objectives: What else to measure, each under its name with the grouping in brackets: predictive objectives.
            Those that the examination has anyway count once.
    """

    def __init__(
        self,
        dataset: Dataset,
        part: str,
        groupings: Sequence[str],
        seed: int,
        replicates: int = REPLICATES,
        objectives: Sequence[Objective] = (),
    ) -> None:
        self.dataset = dataset
        self.part = part
        self.groupings = tuple(groupings)
        self.seed = seed
        self.replicates = replicates
        there = {*OVERALL, *BY_GROUPING, *OPPOSITES}
        self._also = {one.name: _metric(one) for one in objectives if one.name not in there}

    def examine(self, predictions: npt.NDArray[np.uint8]) -> Examination:
        """Accuracy overall and by group, and fairness by grouping, of one network's predictions `[samples]`.

        What has no value on the part, because a group of it is empty, is left out; a
        value without an interval, because a group has too few units to be in most
        resamples, has NaN for its ends.

        Args:
            predictions: Predicted labels, uint8 `[samples]`.
        """
        found: Examination = {}
        units = len(np.unique(self._units))
        for grouping in self.groupings:
            counts = self.dataset.counts(predictions[None], self.part, grouping)
            resampled = self.resampled(predictions, grouping)
            first = grouping == self.groupings[0]
            for name in OVERALL if first else ():
                found |= _value(name, METRICS[name], counts, resampled, units)
            by_group = {name: METRICS[name] for name in BY_GROUPING} | (self._also if first else {})
            for name, metric in by_group.items():
                found |= _value(f"{name}[{grouping}]", metric, counts, resampled, units)
            found |= _groups(grouping, counts, resampled, units)
        return found

    def changes(self, before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]) -> Examination:
        """By how much accuracy, overall and by group, is another with predictions `after` than `before`, `[samples]`.

        Both are counted on the same resamples, so the intervals are those of the differences; where none of a group's
        samples change, or all do, or they are of one unit, see `ends_where_alike`. Groups without a sample are left
        out; the ends are NaN as in `examine`.
        """
        labels = self.dataset.labels[self._samples]
        change = (after == labels).astype(np.float64) - (before == labels)
        found: Examination = {}
        for grouping in self.groupings:
            for name, one in self._changes_in(grouping, change).items():
                found.setdefault(name, one)
        return found

    def _changes_in(self, grouping: str, change: npt.NDArray[np.float64]) -> Examination:
        """The mean `change` of the samples `[n]`, of all and of each group of a grouping."""
        known = self.dataset.grouping(grouping)
        names, members = _members(grouping, known.names, known.index[self._samples])
        value = members @ change / members.sum(axis=1)
        low, high = np.full((2, len(value)), np.nan)
        weights = self._weights[grouping]
        if weights is not None:
            rows = max(1, AT_ONCE // len(change))
            parts = (weights[start : start + rows] for start in range(0, len(weights), rows))
            drawn = np.concatenate([(part @ (members * change).T) / (part @ members.T) for part in parts])
            units = np.array([len(np.unique(self._units[chosen > 0])) for chosen in members])
            low, high = ends_where_alike(ends_of_change(value, drawn), value, without_spread(drawn), units)
        return {name: Interval(float(value[i]), float(low[i]), float(high[i])) for i, name in enumerate(names)}

    def samples(self) -> dict[str, int]:
        """How many samples of the part each accuracy of `examine` is of: all, and those of each group, by its name."""
        found = {"accuracy": len(self._samples)}
        for grouping in self.groupings:
            known = self.dataset.grouping(grouping)
            index = known.index[self._samples]
            sizes = np.bincount(index[index >= 0], minlength=len(known.names)).tolist()
            found |= {_accuracy_of(grouping, name): size for name, size in zip(known.names, sizes, strict=True)}
        return found

    def resampled(self, predictions: npt.NDArray[np.uint8], grouping: str) -> Resampled | None:
        """The counts of one network's predictions `[samples]` on every resample; None where a group is too small.

        Args:
            predictions: Predicted labels, uint8 `[samples]`.
            grouping: The grouping's name.
        """
        weights = self._weights[grouping]
        if weights is None:
            return None
        index = self._samples
        groups = self.dataset.grouping(grouping).index[index]
        like = self.dataset.counts(predictions[None], self.part, grouping)
        return Resampled.of(weights, predictions, self.dataset.labels[index], groups, like)

    @cached_property
    def _samples(self) -> npt.NDArray[np.int64]:
        return self.dataset.part(self.part)

    @property
    def _units(self) -> npt.NDArray[np.int64]:
        return self.dataset.units[self._samples]

    @cached_property
    def _weights(self) -> dict[str, npt.NDArray[np.integer[Any]] | None]:
        found: dict[str, npt.NDArray[np.integer[Any]] | None] = {}
        for grouping in self.groupings:
            drawn = self._drawn(grouping)
            # Mostly the same, and gigabytes for a large table: small, and kept once.
            same = (w for w in found.values() if w is not None and drawn is not None and np.array_equal(w, drawn))
            found[grouping] = next(same, drawn)
        return found

    def _drawn(self, grouping: str) -> npt.NDArray[np.integer[Any]] | None:
        index = self._samples
        needed = (self.dataset.labels[index], self.dataset.grouping(grouping).index[index])
        try:
            # In 8 bits: in 64, those of a table of a million rows would fill the memory.
            rng = np.random.default_rng(self.seed)
            return draw_weights(self.dataset.units[index], self.replicates, rng, needed, np.uint8)
        except UndefinedMetricError:
            return None


def _metric(objective: Objective) -> Metric:
    """What measures an objective; evo_fair's own are known to intervals by their function."""
    return METRICS.get(objective.name) or (lambda counts: np.asarray(objective.measure(counts), np.float64))


def _value(name: str, metric: Metric, counts: Counts, resampled: Resampled | None, units: int) -> Examination:
    try:
        alone = Interval(float(metric(counts)[0]), np.nan, np.nan)
    except UndefinedMetricError:
        return {}
    try:
        return {name: alone if resampled is None else interval(metric, counts, resampled, units=units)}
    except UndefinedMetricError:
        return {name: alone}


def _groups(grouping: str, counts: Counts, resampled: Resampled | None, units: int) -> Examination:
    try:
        values = group_accuracy(counts)[0]
        if resampled is None:
            low, high = np.full((2, len(values)), np.nan)
        else:
            low, high = ends_of_groups(counts, resampled, units=units)
    except UndefinedMetricError:
        return {}
    return {
        _accuracy_of(grouping, group): Interval(float(values[i]), float(low[i]), float(high[i]))
        for i, group in enumerate(counts.group_names)
    }


def _accuracy_of(grouping: str, group: str) -> str:
    return f"accuracy[{grouping}:{group}]"


def _members(
    grouping: str, names: Sequence[str], index: npt.NDArray[np.integer[Any]]
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """What accuracies are called, and 1 for the samples that each is of, `[names, samples]`: all, then each group's."""
    there = [number for number in range(len(names)) if (index == number).any()]
    called = ["accuracy", *(_accuracy_of(grouping, names[number]) for number in there)]
    return called, np.stack([np.ones(len(index)), *((index == number).astype(np.float64) for number in there)])
