"""The fairness term and balanced sampling, with values derived by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from evo_fair.errors import NonFiniteError
from evo_fair.nets import fit, initialise
from evo_fair.nets.fair_training import DEFAULT_FAIRNESS_WEIGHT, balanced_draw, bounded_gap, fair_loss, squared_gap
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Training

LABELS = np.array([0, 1, 0, 1, 1])
GROUPS = np.array([0, 0, 1, 1, -1], np.int16)


def logits_of(*chances: float) -> torch.Tensor:
    """Logits of two labels that give label 0 the chances."""
    return torch.tensor([[math.log(p), math.log(1 - p)] for p in chances], dtype=torch.float64)


def bounded(gap: float, scale: float) -> float:
    """What a difference counts, measured in `scale`."""
    return scale * (math.sqrt(1 + (gap / scale) ** 2) - 1)


def test_term_is_the_bounded_difference_of_the_groups_mean_losses() -> None:
    logits = logits_of(0.5, 0.5, 0.25, 0.25, 0.5)  # losses: ln 2, ln 2 | ln 4, ln 4/3 | ln 2
    first, second = math.log(2), (math.log(4) + math.log(4 / 3)) / 2
    mean = (2 * first + 2 * second + math.log(2)) / 5
    loss = fair_loss(LABELS, GROUPS, 3.0)(logits, np.arange(5), 1.0)
    assert float(loss) == pytest.approx(mean + 3 * bounded(first - second, mean), rel=1e-12)
    assert bounded(1e-4, mean) == pytest.approx(1e-8 / (2 * mean), rel=1e-4)  # the square, where it is small


def test_pairs_count_by_how_well_the_batch_knows_their_difference() -> None:
    logits = logits_of(0.5, 0.25, 0.125, 0.125)
    groups = np.array([0, 1, 2, 2], np.int16)
    loss = fair_loss(np.zeros(4, np.int64), groups, 1.0)(logits, np.arange(4), 1.0)
    ln2 = math.log(2)  # groups' losses 1, 2, 3 times ln 2
    mean = (1 + 2 + 3 + 3) / 4 * ln2
    precisions, gaps = (math.sqrt(1 / 2), math.sqrt(2 / 3), math.sqrt(2 / 3)), (ln2, 2 * ln2, ln2)
    terms = [precision * bounded(gap, mean) for precision, gap in zip(precisions, gaps, strict=True)]
    assert float(loss) == pytest.approx(mean + sum(terms) / sum(precisions), rel=1e-12)


def test_term_comes_in_over_the_first_half_of_training() -> None:
    logits = logits_of(0.5, 0.5, 0.25, 0.25, 0.5)
    plain, *rest = (
        float(fair_loss(LABELS, GROUPS, weight)(logits, np.arange(5), done))
        for weight, done in ((0.0, 1.0), (2.0, 0.05), (2.0, 0.25), (2.0, 0.5), (2.0, 1.0))
    )
    terms = np.array(rest) - plain
    assert terms / terms[-1] == pytest.approx([0.1, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4])
def test_no_difference_pulls_harder_than_another_bound(size: float) -> None:
    """One sample in a small group, as lost as can be; the squared difference pulls with twice its loss."""
    values = torch.tensor([0.5] * 31 + [size], dtype=torch.float64, requires_grad=True)
    groups = np.repeat(np.array([0, 1, 2], np.int16), [20, 11, 1])
    term = bounded_gap(values, groups)
    assert term is not None
    term.backward()
    assert values.grad is not None
    assert float(values.grad.abs().sum()) <= 2
    assert float(bounded_gap(torch.zeros(32), groups)) == 0  # type: ignore[arg-type]


def difficult(n: int = 1024) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs `[n, 16]`, labels and groups: four labels, one of them 70 %, small groups' labels often wrong."""
    rng = np.random.default_rng(0)
    groups = rng.choice(5, n, p=[0.6, 0.3, 0.05, 0.03, 0.02]).astype(np.int16)
    labels = rng.choice(4, n, p=[0.7, 0.15, 0.1, 0.05])
    x = rng.normal(size=(n, 16)).astype(np.float32)
    x[np.arange(n), labels] += 2.0
    wrong = rng.random(n) < np.array([0, 0.05, 0.2, 0.3, 0.4])[groups]
    return x, np.where(wrong, rng.integers(4, size=n), labels), groups


@pytest.mark.parametrize(
    ("depth", "width", "rate", "seed", "diverges"),
    [(4, 256, 0.1, 0, True), (4, 256, 0.1, 1, True), (4, 256, 0.2, 2, True), (5, 64, 0.1, 2, False)],
)
def test_large_networks_learn_with_the_term_where_the_squared_one_ran_away(
    depth: int, width: int, rate: float, seed: int, diverges: bool
) -> None:
    x, labels, groups = difficult()
    recipe = Training(epochs=6, batch_size=32, learning_rate=rate, label_smoothing=0.1)

    def squared(logits: torch.Tensor, samples: np.ndarray, _done: float) -> torch.Tensor:
        target = torch.from_numpy(labels[samples])
        losses = functional.cross_entropy(logits, target, label_smoothing=0.1, reduction="none")
        gap = squared_gap(losses, groups[samples])
        return losses.mean() if gap is None else losses.mean() + DEFAULT_FAIRNESS_WEIGHT * gap

    def trained(loss: Callable[..., torch.Tensor] | None) -> tuple[np.ndarray, float]:
        """What the network answers for all samples, and the largest difference of two groups' mean losses."""
        hidden = [(nn.Linear(width, width, bias=False), nn.ReLU()) for _ in range(depth - 2)]
        layers = [nn.Linear(16, width), nn.ReLU(), *(layer for pair in hidden for layer in pair), nn.Linear(width, 4)]
        network, scaling = nn.Sequential(*layers), Scaling.of(x)
        initialise(network, torch.Generator().manual_seed(seed))
        fit(network, x, labels, recipe, seed, normalise=scaling, loss=loss)
        with torch.no_grad():
            logits = network(scaling(x))
        losses = functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()
        return logits.argmax(1).numpy(), float(np.ptp([losses[groups == group].mean() for group in range(5)]))

    if diverges:
        with pytest.raises(NonFiniteError, match="training diverged"):
            trained(squared)
    else:
        assert len(np.unique(trained(squared)[0])) == 1  # the commonest label for all
    answers, uneven = trained(fair_loss(labels, groups, DEFAULT_FAIRNESS_WEIGHT, 0.1))
    assert len(np.unique(answers)) == 4
    assert (answers == labels).mean() > 0.84  # the commonest label has 0.7
    assert uneven < trained(None)[1]


@pytest.mark.parametrize(("weight", "samples"), [(0.0, [0, 1, 2, 3]), (5.0, [0, 1, 4]), (5.0, [4])])
def test_without_weight_or_a_second_group_it_is_cross_entropy(weight: float, samples: list[int]) -> None:
    chosen = np.array(samples)
    logits = torch.randn(len(chosen), 2, generator=torch.Generator().manual_seed(0))
    expected = functional.cross_entropy(logits, torch.from_numpy(LABELS[chosen]), label_smoothing=0.1)
    assert torch.equal(fair_loss(LABELS, GROUPS, weight, 0.1)(logits, chosen, 1.0), expected)


def test_a_step_down_the_term_brings_the_groups_together() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.1]], requires_grad=True)
    labels, groups = np.array([0, 1]), np.array([0, 1], np.int16)

    def gap() -> float:
        losses = functional.cross_entropy(logits.detach(), torch.from_numpy(labels), reduction="none")
        return float((losses[0] - losses[1]).abs())

    before = gap()
    plain = fair_loss(labels, groups, 0.0)(logits, np.arange(2), 1.0)
    (fair_loss(labels, groups, 10.0)(logits, np.arange(2), 1.0) - plain).backward()
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
