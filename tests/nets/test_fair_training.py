"""The fairness term and balanced sampling, with values derived by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from evo_fair.nets.fair_training import balanced_draw, fair_loss

LABELS = np.array([0, 1, 0, 1, 1])
GROUPS = np.array([0, 0, 1, 1, -1], np.int16)


def logits_of(*chances: float) -> torch.Tensor:
    """Logits of two labels that give label 0 the chances."""
    return torch.tensor([[math.log(p), math.log(1 - p)] for p in chances], dtype=torch.float64)


def test_term_is_the_squared_difference_of_the_groups_mean_losses() -> None:
    logits = logits_of(0.5, 0.5, 0.25, 0.25, 0.5)  # losses: ln 2, ln 2 | ln 4, ln 4/3 | ln 2
    first, second = math.log(2), (math.log(4) + math.log(4 / 3)) / 2
    mean = (2 * first + 2 * second + math.log(2)) / 5
    loss = fair_loss(LABELS, GROUPS, 3.0)(logits, np.arange(5))
    assert float(loss) == pytest.approx(mean + 3 * (first - second) ** 2, rel=1e-12)


def test_three_groups_average_over_their_pairs() -> None:
    logits = logits_of(0.5, 0.25, 0.125)
    loss = fair_loss(np.zeros(3, np.int64), np.arange(3, dtype=np.int16), 1.0)(logits, np.arange(3))
    ln2 = math.log(2)  # losses 1, 2, 3 times ln 2: squared differences 1, 1, 4
    assert float(loss) == pytest.approx(2 * ln2 + (1 + 1 + 4) / 3 * ln2**2, rel=1e-12)


@pytest.mark.parametrize(("weight", "samples"), [(0.0, [0, 1, 2, 3]), (5.0, [0, 1, 4]), (5.0, [4])])
def test_without_weight_or_a_second_group_it_is_cross_entropy(weight: float, samples: list[int]) -> None:
    chosen = np.array(samples)
    logits = torch.randn(len(chosen), 2, generator=torch.Generator().manual_seed(0))
    expected = functional.cross_entropy(logits, torch.from_numpy(LABELS[chosen]), label_smoothing=0.1)
    assert torch.equal(fair_loss(LABELS, GROUPS, weight, 0.1)(logits, chosen), expected)


def test_a_step_down_the_term_brings_the_groups_together() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.1]], requires_grad=True)
    labels, groups = np.array([0, 1]), np.array([0, 1], np.int16)

    def gap() -> float:
        losses = functional.cross_entropy(logits.detach(), torch.from_numpy(labels), reduction="none")
        return float((losses[0] - losses[1]).abs())

    before = gap()
    plain = fair_loss(labels, groups, 0.0)(logits, np.arange(2))
    (fair_loss(labels, groups, 10.0)(logits, np.arange(2)) - plain).backward()
    with torch.no_grad():
        logits -= 0.01 * logits.grad
    assert gap() < before


def test_balanced_epochs_hold_each_group_equally_often() -> None:
    groups = np.repeat(np.array([0, 1, 2, -1], np.int16), [70, 20, 7, 3])
    draw = balanced_draw(groups)
    rng = np.random.default_rng(0)
    epoch, following = draw(rng), draw(rng)
    assert len(epoch) == 100
    assert np.bincount(groups[epoch] + 1).tolist() == [3, 32, 32, 33]
    times = np.bincount(epoch, minlength=100)
    assert set(times[:70]) == {0, 1}
    assert set(times[70:90]) == {1, 2}
    assert set(times[90:97]) == {4, 5}
    assert (times[97:] == 1).all()
    assert epoch.tolist() != following.tolist()
    assert draw(np.random.default_rng(0)).tolist() == epoch.tolist()
