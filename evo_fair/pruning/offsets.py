"""Offsets of a network's outputs, a number a label, that make it right for groups more evenly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Outputs", "Standing", "even_offsets"]

FloatArray = npt.NDArray[np.float64]

SHIFTS = np.linspace(-0.5, 1.0, 13)
"""How far outputs are moved at first against the labels' logarithmic shares in training; 0 is among them."""

STEPS = (1.6, 0.8, 0.4, 0.2, 0.1)
"""How far a single label's offset then moves at a time."""

TRAINING_WEIGHT = 0.3
"""What a training sample weighs in a group's accuracy where a validation sample weighs 1. Chosen with
benchmarks/pruning_constants.py, which looks at validation parts alone."""

LEAST = 1e-5
"""What a move has to take off the variance."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of samples: logits `[n, labels]`; labels int64 `[n]` and groups int16 `[n]`, -1 for none."""

    logits: npt.NDArray[np.floating]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int16]


class Standing(NamedTuple):
    """Offsets float64 `[labels]`; with them, the validation part's accuracy and the variance of the groups'."""

    offsets: FloatArray
    accuracy: float
    spread: float


def even_offsets(
    validation: Outputs, training: Outputs, log_shares: FloatArray | None, limit: float, epsilon: float
) -> Standing:
    """The offsets with which groups' accuracies differ least while the validation part's accuracy keeps its limits.

    First all labels move against their logarithmic shares in training, `log_shares` float64 `[labels]` (Menon et al.
    2021): as far as is evenest within `epsilon` of the most accurate, and not below `limit` where that can be reached.
    From there one label at a time moves, the one that saves most, by ever smaller steps. Groups' accuracies are those
    of both parts together, training samples weighing less (`TRAINING_WEIGHT`): to groups of a few validation samples
    alone, offsets would be fitted too closely. Without `log_shares`, for outputs that can't be moved, offsets are 0.
    """
    pair = _Pair(validation, training)
    if log_shares is None:
        return pair.standing(np.zeros(validation.logits.shape[1]))
    starts = [pair.standing(-shift * log_shares) for shift in SHIFTS]
    most = max(one.accuracy for one in starts)
    least = most - epsilon if most < limit else max(limit, most - epsilon)
    now = min((one for one in starts if one.accuracy >= least), key=lambda one: one.spread)
    for step in STEPS:
        while True:
            able = (one for one in pair.moves(now.offsets, step) if one.accuracy >= least)
            best = min(able, key=lambda one: one.spread, default=now)
            if best.spread > now.spread - LEAST:
                break
            now = best
    return now


class _Pair:
    """Two parts' outputs, and how a network stands on them with offsets."""

    def __init__(self, validation: Outputs, training: Outputs) -> None:
        self._parts, self._weights = (validation, training), (1.0, TRAINING_WEIGHT)
        self._groups = 1 + max(int(part.groups.max(initial=-1)) for part in self._parts)
        self._sizes = self._by_group([np.ones(len(part.labels), np.bool_) for part in self._parts])

    def standing(self, offsets: FloatArray) -> Standing:
        """With these offsets."""
        return self._standing(offsets, [(part.logits + offsets).argmax(1) for part in self._parts])

    def moves(self, offsets: FloatArray, step: float) -> Iterator[Standing]:
        """With each label's offset in turn moved up or down by `step`.

        A label that moves wins or loses against the best of the others, which is the best or the second of all.
        """
        moved = [part.logits + offsets for part in self._parts]
        best_two = [_best_two(logits) for logits in moved]
        for label in range(len(offsets)):
            rivals = [np.where(best == label, second, best) for best, second in best_two]
            values = [logits[np.arange(len(logits)), rival] for logits, rival in zip(moved, rivals, strict=True)]
            for change in (-step, step):
                new = offsets.copy()
                new[label] += change
                predictions = [
                    np.where(logits[:, label] + change > value, label, rival)
                    for logits, value, rival in zip(moved, values, rivals, strict=True)
                ]
                yield self._standing(new, predictions)

    def _standing(self, offsets: FloatArray, predictions: list[npt.NDArray[np.int64]]) -> Standing:
        right = [part.labels == guess for part, guess in zip(self._parts, predictions, strict=True)]
        there = self._sizes > 0
        by_group = self._by_group(right)[there] / self._sizes[there]
        return Standing(offsets, float(right[0].mean()), float(by_group.var()))

    def _by_group(self, chosen: list[npt.NDArray[np.bool_]]) -> FloatArray:
        """How many of the chosen samples are of each group, by weight: float64 `[groups]`."""
        counts = np.zeros(self._groups)
        for part, weight, these in zip(self._parts, self._weights, chosen, strict=True):
            counts += weight * np.bincount(part.groups[these & (part.groups >= 0)], minlength=self._groups)
        return counts


def _best_two(logits: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The labels `[n]` of the largest logit of each sample, and of the second."""
    rows, best = np.arange(len(logits)), logits.argmax(1)
    others = logits.copy()
    others[rows, best] = -np.inf
    return best, others.argmax(1)
