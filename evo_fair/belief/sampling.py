"""The noise that a finite validation part leaves in objectives: of each network alone, and of what all have in common.

All networks are evaluated on the same samples. Hard samples make all of them worse, and change no order; what counts
between networks is the rest. Whole units (lesions, patients) are drawn, as in `fairness.bootstrap`.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats
from evo_fair.data import Dataset
from evo_fair.errors import UndefinedMetricError
from evo_fair.evolution import Objective
from evo_fair.fairness import METRICS, Counts
from evo_fair.fairness.metrics import RECIPES
from evo_fair.fairness.resampled import Resampled, draw_weights

__all__ = ["Noise", "Resamples", "own_noise", "spread"]

Predictions = npt.NDArray[np.uint8]

_REPLICATES = 200
"""Resamples: a standard error is then known to 5 %."""


class Resamples:
    """The same resamples of the validation part for all networks, counted by one grouping."""

    def __init__(self, dataset: Dataset, grouping: str, replicates: int = _REPLICATES, seed: int = 0) -> None:
        self._dataset = dataset
        self._grouping = grouping
        index = dataset.part("validation")
        self._labels = dataset.labels[index]
        self._groups = dataset.grouping(grouping).index[index]
        rng = np.random.default_rng(seed)
        try:
            needed = (self._labels, self._groups)
            self._weights = draw_weights(dataset.units[index], replicates, rng, needed)
        except UndefinedMetricError:  # a group of very few units: resamples without it are met as they come
            self._weights = draw_weights(dataset.units[index], replicates, rng)

    def values(self, predictions: Predictions, objectives: Sequence[Objective]) -> Floats:
        """One network's objectives on every resample, `[replicates, objectives]`, from its predictions `[samples]`.

        NaN where an objective has no value on a resample, as where a small group has no positive sample there.
        """
        like = self._dataset.counts(predictions[None], "validation", self._grouping)
        resampled = Resampled.of(self._weights, predictions, self._labels, self._groups, like)
        found = np.empty((len(self._weights), len(objectives)))
        for place, objective in enumerate(objectives):
            found[:, place] = _values(objective, resampled)
        return found


def _values(objective: Objective, resampled: Resampled) -> Floats:
    """An objective of every resample, `[replicates]`; NaN where it has no value."""
    if objective.function is METRICS.get(objective.name):
        with suppress(UndefinedMetricError):
            return RECIPES[objective.name].measured(resampled, objective.name)
    return np.concatenate([_values_of(objective, part) for part in resampled.parts()]).astype(np.float64)


def _values_of(objective: Objective, counts: Counts) -> Floats:
    """An objective of some resamples, `[replicates]`; NaN where it has no value."""
    try:
        return np.asarray(objective.measure(counts), np.float64)
    except UndefinedMetricError:
        return np.array([_value_of(objective, counts[number]) for number in range(len(counts))])


def _value_of(objective: Objective, counts: Counts) -> float:
    """An objective of one resample, NaN where it has no value."""
    try:
        return float(objective.measure(counts)[0])
    except UndefinedMetricError:
        return float("nan")


def spread(resampled: Floats) -> Floats:
    """The standard errors of one network's objectives, `[objectives]`, from `[replicates, objectives]`.

    Of the resamples with a value; NaN where fewer than two have one.
    """
    errors = np.full(resampled.shape[1], np.nan)
    for place, values in enumerate(resampled.T):
        known = values[np.isfinite(values)]
        if len(known) > 1:
            errors[place] = known.std()
    return errors


class Noise(NamedTuple):
    """Standard errors of the frozen scores, and what share of a network's whole sampling variance is its own.

    `errors` is `[networks, objectives]`, `own_share` `[objectives]`.
    """

    errors: Floats
    own_share: Floats


def own_noise(resampled: Floats, asked: Floats, size: Floats) -> Noise:
    """The noise that each network has of its own, from some networks' objectives on the same resamples.

    `resampled` is `[asked, replicates, objectives]`; `asked` `[asked]` and `size` `[networks]` are logarithms of a
    cost, of the networks that were resampled and of all. On each resample what the networks have in common, the mean of
    their deviations, is taken off. The variance of the rest is a straight line over `size`, within what was seen.
    Resamples on which an objective has no value don't count for it; where fewer than two are left its errors are NaN.
    """
    errors = np.full((len(size), resampled.shape[2]), np.nan)
    shares = np.ones(resampled.shape[2])
    for place in range(resampled.shape[2]):
        values = resampled[:, :, place]
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.shape[1] < 2:
            continue
        deviations = values - values.mean(axis=1, keepdims=True)
        own = deviations - deviations.mean(axis=0)
        variances = (own**2).mean(axis=1) * len(own) / max(len(own) - 1, 1)
        errors[:, place] = np.sqrt(_line(asked, variances, size))
        whole = (deviations**2).mean(axis=1).sum()
        if whole > 0:
            shares[place] = min(float(variances.sum() / whole), 1.0)
    return Noise(errors, shares)


def _line(x: Floats, y: Floats, wanted: Floats) -> Floats:
    """The least squares line through points `x`, `y` `[n]` at `wanted`, within the least and the greatest `y`."""
    if np.ptp(x) == 0:
        return np.full(len(wanted), y.mean())
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return np.asarray((y.mean() + slope * (wanted - x.mean())).clip(y.min(), y.max()))
