"""Offsets on outputs small enough to work out by hand, and against trying every one."""

import numpy as np
import pytest

from evo_fair.pruning import offsets
from evo_fair.pruning.offsets import (
    FOLDS,
    TRAINING_WEIGHT,
    HeldOffsets,
    Outputs,
    TriedOffsets,
    _Pair,
    even_offsets,
    held_offsets,
    log_shares,
)


def outputs(margins: list[float], labels: list[int], groups: list[int] | None = None) -> Outputs:
    """Two labels; a margin is how far the logit of the first lies above that of the second."""
    logits = np.stack([np.array(margins), np.zeros(len(margins))], axis=1)
    return Outputs(logits, np.array(labels), np.array(labels if groups is None else groups, np.int16))


NONE = outputs([], [])
SHARES = np.log([0.75, 0.25])


def drawn(seed: int, n: int) -> Outputs:
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    logits = rng.normal(size=(n, 4)) + np.eye(4)[labels]
    return Outputs(logits, labels, rng.integers(-1, 3, n).astype(np.int16))


def test_a_label_alone_moves_as_it_would_with_all_logits_compared() -> None:
    validation, training = drawn(0, 40), drawn(1, 60)
    pair, start = _Pair(validation, training), np.array([0.3, -0.2, 0.0, 0.1])
    moves = list(pair.moves(start, 0.7))
    assert len(moves) == 8
    assert len({tuple(move.offsets) for move in moves}) == 8
    for move in moves:
        assert np.abs(move.offsets - start).sum() == pytest.approx(0.7)
        whole = pair.standing(move.offsets)
        assert (move.accuracy, move.spread) == (whole.accuracy, whole.spread)
        right = (validation.logits + move.offsets).argmax(1) == validation.labels
        assert move.accuracy == right.mean()


def test_groups_are_judged_on_both_parts_and_training_weighs_less() -> None:
    validation = outputs([1, 1, -1], [0, 0, 0], [0, 0, -1])
    training = outputs([-1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1])
    found = _Pair(validation, training).standing(np.zeros(2))
    of_first, of_second = (2 + TRAINING_WEIGHT) / (2 + 2 * TRAINING_WEIGHT), 0.0
    assert found.spread == pytest.approx(np.var([of_first, of_second]))
    assert found.accuracy == pytest.approx(2 / 3)  # of the validation part, the sample of no group among them


def test_groups_become_even_as_far_as_accuracy_may_fall() -> None:
    # All of the first label are right, of the second none; each step of the offset rights one, and later wrongs others.
    margins = [0.55, 2.0, 2.0, 2.0, 2.0, 2.0, 0.15, 0.35, 0.75]
    validation = outputs(margins, [0] * 6 + [1] * 3)
    before = _Pair(validation, NONE).standing(np.zeros(2))
    assert (before.accuracy, before.spread) == (pytest.approx(6 / 9), 0.25)
    free = even_offsets(validation, NONE, SHARES, 0.0, 1.0)
    assert free.spread == pytest.approx(np.var([5 / 6, 1]))
    assert 0.75 < free.offsets[1] - free.offsets[0] < 2.0
    # 8 of 9 are right with two of the second label righted and with all three: the limit allows the evener one.
    assert even_offsets(validation, NONE, SHARES, 8 / 9, 1.0).accuracy == pytest.approx(8 / 9)
    strict = even_offsets(validation, NONE, SHARES, 0.0, 0.0)
    assert strict.accuracy == pytest.approx(8 / 9)


@pytest.mark.parametrize("seed", range(5))
def test_limits_hold_and_an_unreachable_one_gives_way(seed: int) -> None:
    validation, training = drawn(seed, 200), drawn(seed + 10, 300)
    shares = np.log([0.4, 0.3, 0.2, 0.1])
    free, near, beyond = (
        even_offsets(validation, training, shares, limit, epsilon)
        for limit, epsilon in ((0.0, 1.0), (0.0, 0.02), (0.99, 0.02))
    )
    assert free.spread <= near.spread + 1e-3  # both are descents, not the best of all
    assert (beyond.accuracy, beyond.spread) == (near.accuracy, near.spread)
    most = near.accuracy + 0.02
    held = even_offsets(validation, training, shares, most - 0.01, 0.5)
    assert held.accuracy >= most - 0.01


def test_a_label_alone_is_moved_where_all_together_do_not_help() -> None:
    """The labels' shares are equal, so that the common shift changes nothing; the second label needs a lead of 1."""
    validation = outputs([2.0, 2.0, 0.9, 0.9], [0, 0, 1, 1])
    found = even_offsets(validation, NONE, np.log([0.5, 0.5]), 0.0, 0.0)
    assert (found.accuracy, found.spread) == (1.0, 0.0)


def test_outputs_that_cannot_be_moved_stay() -> None:
    found = even_offsets(outputs([1.0, 1.0], [0, 1]), NONE, None, 0.0, 1.0)
    assert found.offsets.tolist() == [0.0, 0.0]
    assert (found.accuracy, found.spread) == (0.5, 0.25)


LABELS = 7
NOBODY = Outputs(np.zeros((0, LABELS)), np.zeros(0, np.int64), np.zeros(0, np.int16))


def unequal(seed: int, n: int) -> Outputs:
    """Seven labels, the commonest twenty times as frequent as the rarest, which are the groups; calibrated logits."""
    rng = np.random.default_rng(seed)
    shares = np.geomspace(1, 20, LABELS)
    shares /= shares.sum()
    labels = rng.choice(LABELS, n, p=shares)
    logits = rng.normal(size=(n, LABELS)) + 1.5 * np.eye(LABELS)[labels] + np.log(shares)
    return Outputs(logits, labels, labels.astype(np.int16))


def held(validation: Outputs, training: Outputs, epsilon: float) -> HeldOffsets:
    """Of samples that are units by themselves, within `epsilon` of what is right without offsets."""
    logs = log_shares(unequal(99, 5000).labels, LABELS)
    units, before = np.arange(len(validation.labels)), validation.right(np.zeros(LABELS))
    return held_offsets(validation, training, units, logs, before, epsilon)


@pytest.mark.parametrize("size", [60, 100, 300])
def test_accuracy_keeps_its_limit_on_samples_that_offsets_were_not_fitted_to(size: int) -> None:
    """On the mean of ten validation parts, judged by many new samples; a limit kept in the fit alone is missed."""
    new, logs = unequal(1000, 10000), log_shares(unequal(99, 5000).labels, LABELS)
    lost, spreads = [], []
    for seed in range(10):
        validation = unequal(seed, size)
        limit = float(validation.right(np.zeros(LABELS)).mean())
        fitted = even_offsets(validation, NOBODY, logs, limit, 0.0)
        assert fitted.accuracy >= limit
        found = held(validation, NOBODY, epsilon=0.0)
        moves = (np.zeros(LABELS), fitted.offsets, found.offsets)
        right = [new.right(move) for move in moves]
        lost.append([right[0].mean() - other.mean() for other in right[1:]])
        spreads.append([np.var([one[new.groups == group].mean() for group in range(LABELS)]) for one in right])
    fit, out = np.mean(lost, 0)
    assert out < 0.006
    assert fit > 0.01 or size == 300  # by then there are enough samples either way
    assert np.mean(spreads, 0)[2] < 0.9 * np.mean(spreads, 0)[0], "they are evener all the same"


def test_no_unit_is_judged_with_offsets_that_were_fitted_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of three; all of the samples that are judged by a fit are right with its offsets, and no others."""
    validation, units = unequal(0, 90), np.repeat(np.arange(30), 3)
    number = {row.tobytes(): index for index, row in enumerate(validation.logits)}
    fits: list[set[int]] = []

    def noted(part: Outputs, *_: object) -> TriedOffsets:
        fits.append({number[row.tobytes()] for row in part.logits})
        return TriedOffsets(np.full(LABELS, float(len(fits))), 1.0, 0.0)

    judged: dict[float, list[int]] = {}
    plain = Outputs.right

    def right(self: Outputs, moved: np.ndarray) -> np.ndarray:
        if 0 < len(self.labels) < 90 and moved.any():
            judged.setdefault(float(moved.max()), []).extend(number[row.tobytes()] for row in self.logits)
        return plain(self, moved)

    monkeypatch.setattr(offsets, "even_offsets", noted)
    monkeypatch.setattr(Outputs, "right", right)
    held_offsets(validation, NOBODY, units, np.zeros(LABELS), np.ones(90, np.bool_), 0.01)
    *folds, whole = fits
    assert len(folds) == FOLDS
    assert whole == set(range(90))
    left_out = [set(range(90)) - fold for fold in folds]
    assert sorted(sample for fold in left_out for sample in fold) == list(range(90))
    for fold, out in enumerate(left_out, 1):
        assert 12 <= len(out) <= 24
        assert not {units[sample] for sample in out} & {units[sample] for sample in folds[fold - 1]}
        assert set(judged[float(fold)]) >= out  # at the full strength


def test_figures_are_those_of_the_strength_on_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is fitted, here the same offsets each time, what is said of them is of the strength that is taken."""
    validation, training = unequal(0, 400), unequal(1, 600)
    fixed = -log_shares(training.labels, LABELS)  # far too far at full strength
    monkeypatch.setattr(offsets, "even_offsets", lambda *_: TriedOffsets(fixed, 0.0, 0.0))
    before = validation.right(np.zeros(LABELS))
    found = held(validation, training, epsilon=0.02)
    assert 0 < found.strength < 1
    assert found.offsets == pytest.approx(found.strength * fixed)
    assert found.accuracy == validation.right(found.offsets).mean() >= before.mean() - 0.02
    standing = _Pair(validation, training).standing(found.offsets)
    assert found.spread == pytest.approx(standing.spread)
    assert found.without == (before.mean(), _Pair(validation, training).standing(np.zeros(LABELS)).spread)
    assert found.spread < found.without[1]
    farther = _Pair(validation, training).standing(fixed)
    assert farther.spread < found.spread
    assert farther.accuracy < before.mean() - 0.02


@pytest.mark.parametrize("units", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_what_cannot_be_judged_or_moved_stays(units: list[int]) -> None:
    validation = outputs([2.0, 2.0, 0.9, 0.9], [0, 0, 1, 1])
    shares = SHARES if len(set(units)) == 1 else None
    found = held_offsets(validation, NONE, np.array(units), shares, np.ones(4, np.bool_), 0.5)
    assert found == HeldOffsets(found.offsets, 0.0, 0.5, 0.25, (0.5, 0.25))
    assert found.offsets.tolist() == [0.0, 0.0]


def test_logarithmic_shares_count_a_label_that_never_occurs_once() -> None:
    assert log_shares(np.array([0, 0, 2]), 3) == pytest.approx(np.log([2 / 3, 1 / 3, 1 / 3]))
