"""Offsets on outputs small enough to work out by hand, and against trying every one."""

import numpy as np
import pytest

from evo_fair.pruning.offsets import TRAINING_WEIGHT, Outputs, _Pair, even_offsets


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
