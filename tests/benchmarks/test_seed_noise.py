"""Intervals over samples and few seeds hold the truth as often as they say."""

import numpy as np
import pytest
from seed_noise import Mean, Resampling, difference, interval, mean_over_seeds, pooled, ratio

from ..own.conftest import digits_task

REPLICATES = 400


def drawn(rng: np.random.Generator, truth: float, seeds: int, between: float, within: float) -> Mean:
    """A mean of `seeds` trainings, that differ by `between`, measured with the error `within` on samples of all."""
    points = truth + within * rng.standard_normal() + between * rng.standard_normal(seeds)
    return mean_over_seeds(points, points + within * rng.standard_normal((REPLICATES, 1)))


@pytest.mark.parametrize(("between", "within"), [(0.03, 0.01), (0.01, 0.03), (0.02, 0.02)])
@pytest.mark.parametrize("kind", ["mean", "difference", "ratio"])
def test_intervals_of_three_seeds_hold_the_truth(kind: str, between: float, within: float) -> None:
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        ours, theirs = drawn(rng, 0.3, 3, between, within), drawn(rng, 0.4, 3, between / 2, within)
        truth = {"mean": 0.3, "difference": -0.1, "ratio": 0.75}[kind]
        _, low, high = (
            interval(ours) if kind == "mean" else (difference if kind == "difference" else ratio)(ours, theirs)
        )
        held.append(low <= truth <= high)
    assert 0.92 <= np.mean(held) <= 0.99


def test_of_fewer_seeds_others_tell_what_trainings_differ_by() -> None:
    rng = np.random.default_rng(1)
    others = pooled([rng.normal(0.0, 0.02, 3) for _ in range(200)] + [np.array([0.0, 1.0])])
    assert others is not None
    assert others[0] == pytest.approx(0.02, rel=0.1)
    assert others[1] == 400
    samples = np.zeros((REPLICATES, 1))
    one = mean_over_seeds(np.array([0.5]), 0.5 + samples, others)
    two = mean_over_seeds(np.array([0.4, 0.6]), 0.5 + np.zeros((REPLICATES, 2)), others)
    assert (one.variance, two.variance) == pytest.approx((others[0] ** 2, others[0] ** 2 / 2))
    assert interval(one)[2] == pytest.approx(0.5 + 1.96 * 0.02, abs=0.005)
    assert mean_over_seeds(np.array([0.5]), 0.5 + samples).variance == 0.0, "nothing is known of it"
    assert pooled([np.array([1.0])]) is None


def test_without_a_difference_between_seeds_it_is_the_bootstraps_interval() -> None:
    samples = 0.05 * np.random.default_rng(2).standard_normal((5000, 1))
    points = np.full(3, 0.5)
    _, low, high = interval(mean_over_seeds(points, points + samples))
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.006)


def test_a_networks_mean_is_that_of_its_trainings_on_the_test_part_and_on_each_resample_of_it() -> None:
    dataset = digits_task().dataset
    truth = dataset.labels[dataset.part("test")]
    right, wrong = truth.astype(np.uint8), ((truth + 1) % 10).astype(np.uint8)
    half = np.where(np.arange(len(truth)) % 2, right, wrong)
    mean = Resampling(dataset, "class", 50).means(np.stack([right, half]), ["accuracy"])["accuracy"]
    assert mean.value == pytest.approx((1 + np.mean(half == truth)) / 2)
    assert mean.drawn.mean() == pytest.approx(mean.value, abs=0.02)
    assert mean.drawn.std() == pytest.approx(0.5 * np.sqrt(0.25 / len(truth)), rel=0.3)
    assert mean.freedom == 1
