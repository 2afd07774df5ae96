"""Sampling noise of networks that are evaluated on the same samples."""

import numpy as np
import pytest

from evo_fair.belief import Resamples, own_noise, spread
from evo_fair.data import Dataset, Grouping
from evo_fair.data.dataset import class_grouping
from evo_fair.evolution import resolve
from evo_fair.problem import load_problem


def test_resampled_errors_have_the_binomial_deviation() -> None:
    dataset = load_problem("digits").dataset()
    labels = dataset.labels[dataset.part("validation")]
    predictions = labels.astype(np.uint8)
    wrong = np.arange(0, len(labels), 5)
    predictions[wrong] = (predictions[wrong] + 1) % 10
    error = len(wrong) / len(labels)
    values = Resamples(dataset, "class", 400).values(predictions, resolve(["error", "unfairness"]))
    assert values.shape == (400, 2)
    assert values[:, 0].mean() == pytest.approx(error, abs=0.005)
    assert values[:, 0].std() == pytest.approx(np.sqrt(error * (1 - error) / len(labels)), rel=0.15)


def test_what_all_networks_have_in_common_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    common, own = 0.03 * rng.standard_normal((1, 2000, 1)), 0.01 * rng.standard_normal((10, 2000, 1))
    size = np.linspace(0.0, 1.0, 10)
    noise = own_noise(0.3 + common + own, size, size)
    assert noise.errors[:, 0] == pytest.approx(np.full(10, 0.01), rel=0.1)
    assert noise.own_share[0] == pytest.approx(0.01**2 / (0.01**2 + 0.03**2), rel=0.2)


def test_noise_changes_with_size_and_stays_within_what_was_seen() -> None:
    rng = np.random.default_rng(1)
    deviations = np.sqrt(np.linspace(0.04, 0.01, 12))
    resampled = deviations[:, None, None] * rng.standard_normal((12, 4000, 1))
    noise = own_noise(resampled, np.linspace(1.0, 2.0, 12), np.array([0.0, 1.0, 2.0, 9.0]))
    first, large, small, last = noise.errors[:, 0] ** 2
    assert large == pytest.approx(0.04, rel=0.15)
    assert small == pytest.approx(0.01, rel=0.35)
    assert first <= 0.045
    assert last >= 0.008


def test_resamples_without_a_value_do_not_count() -> None:
    rng = np.random.default_rng(2)
    resampled = 0.05 * rng.standard_normal((8, 400, 2))
    whole = own_noise(resampled, np.arange(8.0), np.arange(8.0))
    resampled[:, ::4, 1] = np.nan
    noise = own_noise(resampled, np.arange(8.0), np.arange(8.0))
    assert noise.errors[:, 0].tolist() == whole.errors[:, 0].tolist()
    assert noise.errors[:, 1] == pytest.approx(np.full(8, 0.05), rel=0.2)
    assert spread(resampled[0])[1] == pytest.approx(0.05, rel=0.2)


def test_an_objective_without_a_value_on_any_resample_has_no_known_noise() -> None:
    resampled = np.full((3, 50, 1), np.nan)
    noise = own_noise(resampled, np.arange(3.0), np.arange(3.0))
    assert np.isnan(noise.errors).all()
    assert np.isnan(spread(resampled[0])).all()
    assert noise.own_share.tolist() == [1.0]


def test_a_group_of_few_positive_samples_makes_opportunity_noisy() -> None:
    """Resamples without one of the four have no value: the others tell the noise."""
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], [500, 100]).astype(np.int16)
    labels = np.where(groups == 0, np.arange(600) % 2, np.arange(600) >= 596).astype(np.int64)
    dataset = Dataset(
        name="few",
        licence="none",
        inputs=np.zeros((600, 1, 2, 2), np.uint8),
        labels=labels,
        label_names=("no", "yes"),
        positive=(1,),
        groupings={
            "class": class_grouping(labels, ("no", "yes")),
            "group": Grouping("group", ("a", "b"), groups),
        },
        units=np.arange(600),
        split=np.full(600, 1, np.uint8),
    )
    predictions = np.where(rng.random(600) < 0.75, labels, 1 - labels).astype(np.uint8)
    predictions[596:] = [1, 1, 0, 1]
    values = Resamples(dataset, "group").values(predictions, resolve(["equal_opportunity_difference"]))
    assert np.isnan(values).any()
    assert spread(values)[0] > 0.05
