"""Offsets of a network's outputs, a number a label, that make it right for groups more evenly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats
from evo_fair.data.splits import split_units

__all__ = ["HeldOffsets", "Outputs", "TriedOffsets", "even_offsets", "held_offsets", "log_shares"]


SHIFTS = np.linspace(-0.5, 1.0, 13)
"""How far outputs are moved at first against the labels' logarithmic shares in training; 0 is among them."""

STEPS = (1.6, 0.8, 0.4, 0.2, 0.1)
"""How far a single label's offset then moves at a time."""

TRAINING_WEIGHT = 0.3
"""What a training sample weighs in a group's accuracy where a validation sample weighs 1. Chosen with
benchmarks/pruning_constants.py, which looks at validation parts alone."""

LEAST = 1e-5
"""What a move has to take off the variance."""

FOLDS = 5
"""In how many parts the validation samples are divided, to judge offsets on samples that they were not fitted to."""

STRENGTHS = np.linspace(0, 1, 9)
"""The shares of fitted offsets that are tried; 0, no offsets at all, is among them."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of samples: logits `[n, labels]`; labels int64 `[n]` and groups int16 `[n]`, -1 for none."""

    logits: npt.NDArray[np.floating]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int16]

    def of(self, chosen: npt.NDArray[np.bool_]) -> "Outputs":
        """Those of the chosen samples alone.

        Args:
            chosen: Which samples, bool `[n]`.
        """
        return Outputs(self.logits[chosen], self.labels[chosen], self.groups[chosen])

    def right(self, offsets: Floats) -> npt.NDArray[np.bool_]:
        """What is right with these offsets `[labels]`, bool `[n]`.

        Args:
            offsets: Offsets, float64 `[labels]`.
        """
        return np.asarray((self.logits + offsets).argmax(1) == self.labels)


class TriedOffsets(NamedTuple):
    """Offsets float64 `[labels]`; with them, the validation part's accuracy and the variance of the groups'."""

    offsets: Floats
    accuracy: float
    spread: float


class HeldOffsets(NamedTuple):
    """Offsets float64 `[labels]`, and what the like of them do on validation samples that they were not fitted to.

    `strength` is the share of the fitted offsets that is taken. `accuracy` and the variance of the groups', `spread`,
    are of samples left out of the fit; `without` are the same two without any offsets.
    """

    offsets: Floats
    strength: float
    accuracy: float
    spread: float
    without: tuple[float, float]


def held_offsets(
    validation: Outputs,
    training: Outputs,
    units: npt.NDArray[np.int64],
    log_shares: Floats | None,
    before: npt.NDArray[np.bool_],
    epsilon: float,
) -> HeldOffsets:
    """Offsets that keep `epsilon` of accuracy on samples that they were not fitted to, by cross-fitting.

    `units` int64 `[validation samples]` stay whole, as in a split. `before`
    `[validation samples]` says what was right beforehand, in the network to compare
    with. Each of five folds of units is judged with offsets that `even_offsets` fits to
    the other four, taken at several strengths. Of the strengths whose accuracy over all
    folds keeps the limits that `even_offsets` has (at most `epsilon` below what was
    right before, where that can be reached, and below the most accurate strength), the
    evenest is taken, the weakest among equals; the offsets are then fitted to all
    validation samples and taken at that strength. Fewer units than two can't judge:
    offsets are 0.

    Args:
        validation: Outputs on validation samples.
        training: Outputs on training samples.
        units: The units of the validation samples, int64 `[n]`.
        log_shares: Logarithms of the labels' shares in training, float64 `[labels]`;
            None for outputs that can't be moved.
        before: What was right beforehand, bool `[n]`.
        epsilon: The accuracy that may be lost, 0.01 for a point.
    """
    pair = _Pair(validation, training)
    none = pair.standing(np.zeros(validation.logits.shape[1]))
    without = (none.accuracy, none.spread)
    folds = min(FOLDS, len(np.unique(units)))
    if log_shares is None or folds < 2:
        return HeldOffsets(none.offsets, 0.0, *without, without)
    limit = float(before.mean()) - epsilon
    fold_of = split_units(validation.labels, units, np.full(folds, 1 / folds).tolist(), np.random.default_rng(0))
    right = np.zeros((len(STRENGTHS), len(validation.labels)), np.bool_)
    right_training = np.zeros((len(STRENGTHS), len(training.labels)))
    for fold in range(folds):
        out, kept = fold_of == fold, fold_of != fold
        fitted = even_offsets(
            validation.of(kept), training, log_shares, float(before[kept].mean()) - epsilon, epsilon
        ).offsets
        for row, strength in enumerate(STRENGTHS):
            right[row, out] = validation.of(out).right(strength * fitted)
            right_training[row] += training.right(strength * fitted) / folds
    accuracy = right.mean(1)
    spread = [pair.spread([one, other]) for one, other in zip(right, right_training, strict=True)]
    least = _least(float(accuracy.max()), limit, epsilon)
    best = min(np.flatnonzero(accuracy >= least), key=lambda row: (spread[row], row))
    offsets = STRENGTHS[best] * even_offsets(validation, training, log_shares, limit, epsilon).offsets
    return HeldOffsets(offsets, float(STRENGTHS[best]), float(accuracy[best]), spread[best], without)


def log_shares(labels: npt.NDArray[np.int64], count: int) -> Floats:
    """The logarithms of `count` labels' shares among `labels`, float64 `[count]`; one that never occurs counts once."""
    counts = np.bincount(labels, minlength=count).astype(np.float64)
    return np.asarray(np.log(np.maximum(counts, 1) / counts.sum()))


def even_offsets(
    validation: Outputs, training: Outputs, log_shares: Floats | None, limit: float, epsilon: float
) -> TriedOffsets:
    """The offsets with which groups' accuracies differ least while the validation part's accuracy keeps its limits.

    First all labels move against their logarithmic shares in training, `log_shares`
    float64 `[labels]` (Menon et al. 2021): as far as is evenest within `epsilon` of the
    most accurate, and not below `limit` where that can be reached. From there one label
    at a time moves, the one that saves most, by ever smaller steps. Groups' accuracies
    are those of both parts together, training samples weighing less
    (`TRAINING_WEIGHT`): to groups of a few validation samples alone, offsets would be
    fitted too closely. Without `log_shares`, for outputs that can't be moved, offsets
    are 0.

    Args:
        validation: Outputs on validation samples.
        training: Outputs on training samples.
        log_shares: Logarithms of the labels' shares in training, float64 `[labels]`;
            None for outputs that can't be moved.
        limit: The least accuracy.
        epsilon: The accuracy that may be lost, 0.01 for a point.
    """
    pair = _Pair(validation, training)
    if log_shares is None:
        return pair.standing(np.zeros(validation.logits.shape[1]))
    starts = [pair.standing(-shift * log_shares) for shift in SHIFTS]
    least = _least(max(one.accuracy for one in starts), limit, epsilon)
    now = min((one for one in starts if one.accuracy >= least), key=lambda one: one.spread)
    for step in STEPS:
        while True:
            able = (one for one in pair.moves(now.offsets, step) if one.accuracy >= least)
            best = min(able, key=lambda one: one.spread, default=now)
            if best.spread > now.spread - LEAST:
                break
            now = best
    return now


def _least(most: float, limit: float, epsilon: float) -> float:
    """The least accuracy allowed where `most` can be had: a limit beyond that gives way."""
    return most - epsilon if most < limit else max(limit, most - epsilon)


class _Pair:
    """Two parts' outputs, and how a network stands on them with offsets."""

    def __init__(self, validation: Outputs, training: Outputs) -> None:
        self._parts, self._weights = (validation, training), (1.0, TRAINING_WEIGHT)
        self._groups = 1 + max(int(part.groups.max(initial=-1)) for part in self._parts)
        self._sizes = self._by_group([np.ones(len(part.labels), np.bool_) for part in self._parts])

    def standing(self, offsets: Floats) -> TriedOffsets:
        """With these offsets."""
        return self._standing(offsets, [(part.logits + offsets).argmax(1) for part in self._parts])

    def moves(self, offsets: Floats, step: float) -> Iterator[TriedOffsets]:
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

    def _standing(self, offsets: Floats, predictions: list[npt.NDArray[np.int64]]) -> TriedOffsets:
        right = [part.labels == guess for part, guess in zip(self._parts, predictions, strict=True)]
        return TriedOffsets(offsets, float(right[0].mean()), self.spread(right))

    def spread(self, right: Sequence[npt.NDArray[np.bool_ | np.float64]]) -> float:
        """The variance of the groups' accuracies where these shares of the parts' samples are right, `[n]` each."""
        there = self._sizes > 0
        return float((self._by_group(right)[there] / self._sizes[there]).var())

    def _by_group(self, shares: Sequence[npt.NDArray[np.bool_ | np.float64]]) -> Floats:
        """How many samples, of each taken its share, are of each group, by weight: float64 `[groups]`."""
        counts = np.zeros(self._groups)
        for part, weight, share in zip(self._parts, self._weights, shares, strict=True):
            known = part.groups >= 0
            counts += weight * np.bincount(part.groups[known], share[known], minlength=self._groups)
        return counts


def _best_two(logits: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The labels `[n]` of the largest logit of each sample, and of the second."""
    rows, best = np.arange(len(logits)), logits.argmax(1)
    others = logits.copy()
    others[rows, best] = -np.inf
    return best, others.argmax(1)
