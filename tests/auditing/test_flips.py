import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evo_fair.auditing.dense import DenseFacts
from evo_fair.auditing.flips import auc, count_flips, dense_signs, forecast_flips
from evo_fair.auditing.report_sections import _auc
from evo_fair.errors import AuditError


def test_auc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 20, 200) / 7.0  # with ties
    positive, negative = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    truth = np.repeat([1, 0], 200)
    expected = roc_auc_score(truth, np.r_[score, score], sample_weight=np.r_[positive, negative])
    assert auc(score, positive, negative) == pytest.approx(expected, abs=1e-12)


def test_signs_by_hand(facts):
    even = dataclasses.replace(facts, logits=np.log(np.array([[[0.5, 0.5], [0.9, 0.1]]], np.float32)))
    confidence, margin, entropy = dense_signs(even)[0].T
    assert confidence == pytest.approx([0.5, 0.9], abs=1e-6)
    assert margin == pytest.approx([0.0, 0.8], abs=1e-6)
    assert entropy == pytest.approx([1.0, -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))], abs=1e-6)


def test_flips_are_counted_against_the_architecture_s_own_dense_network(facts):
    dense = facts.logits.argmax(axis=2).astype(np.uint8)
    networks = pd.DataFrame({"base": ["x", "y", "y"], "dense": [True, False, False]})
    other = dense[1].copy()
    other[:3] ^= 1
    flips, counts = count_flips(networks, np.stack([dense[0], dense[1], other]), facts)
    assert counts.tolist() == [0, 2]
    assert flips[1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def _planted(rng, samples=600, bases=3) -> tuple[DenseFacts, np.ndarray]:
    """Samples that flip the more often the closer they are to the border; those of group `m` flip at random."""
    logits = np.zeros((bases, samples, 2), np.float32)
    logits[..., 0] = rng.normal(0, 2, (bases, samples))
    sex = (np.arange(samples) % 2).astype(np.int16)
    chance = 1 / (1 + np.exp(2 * np.abs(logits[..., 0]) - 1))
    chance[:, sex == 1] = 0.3
    target = rng.integers(0, 2, samples)
    facts = DenseFacts(
        tuple("xyz"[:bases]),
        logits,
        target,
        np.arange(samples) // 2 * 2 + sex,
        {"class": target.astype(np.int16), "sex": sex},
        {"class": ("a", "b"), "sex": ("f", "m")},
        {"class": np.array([0.5, 0.5]), "sex": np.array([0.5, 0.5])},
        {"class": np.full((bases, 2), 0.5), "sex": np.full((bases, 2), 0.5)},
    )
    return facts, rng.binomial(20, chance)


def test_forecast_finds_the_uncertain_and_says_where_it_fails():
    rng = np.random.default_rng(1)
    facts, flips = _planted(rng)
    found = forecast_flips(facts, flips, np.full(3, 20), ["sex"], rng)
    quality = found.quality.set_index(["group", "score"])
    assert quality.loc[("f", "fitted"), "low"] > 0.7
    assert quality.loc[("m", "fitted"), "low"] < 0.5 < quality.loc[("m", "fitted"), "high"]
    risk = found.risk.set_index("group")
    assert risk.loc["all", "forecast"] == pytest.approx(risk.loc["all", "observed"], abs=0.01)
    assert risk.loc["m", "observed"] == pytest.approx(0.3, abs=0.02)


def test_nothing_to_forecast_is_said():
    facts, flips = _planted(np.random.default_rng(0))
    with pytest.raises(AuditError, match="flip some predictions"):
        forecast_flips(facts, flips * 0, np.full(3, 20), ["sex"], np.random.default_rng(0))


def test_a_group_of_one_unit_has_an_auc_without_an_interval():
    facts, flips = _planted(np.random.default_rng(0), samples=60)
    units = np.where(facts.groups["sex"] == 0, -1, np.arange(60))
    of_one = dataclasses.replace(facts, units=units)
    found = forecast_flips(of_one, flips, np.full(3, 20), ["sex"], np.random.default_rng(0)).quality.set_index("group")
    assert 0 < found.loc["f", "auc"] < 1
    assert found.loc["f", ["low", "high"]].isna().all()
    assert found.loc["m", "low"] < found.loc["m", "auc"] < found.loc["m", "high"]


def test_samples_of_one_unit_have_no_forecast():
    facts, flips = _planted(np.random.default_rng(0), samples=60)
    of_one = dataclasses.replace(facts, units=np.zeros(60, np.int64))
    with pytest.raises(AuditError, match="two units"):
        forecast_flips(of_one, flips, np.full(3, 20), ["sex"], np.random.default_rng(0))


@pytest.mark.filterwarnings("error")
def test_a_group_in_which_everything_flips_has_no_auc_and_warns_of_nothing():
    facts, flips = _planted(np.random.default_rng(2), samples=60)
    flips[:, facts.groups["sex"] == 1] = 20
    counts = np.full(3, 20)
    found = forecast_flips(facts, flips, counts, ("sex",), np.random.default_rng(0)).quality.set_index("group")
    assert found.loc["m", ["auc", "low", "high"]].isna().all()
    assert found.loc["f", ["auc", "low", "high"]].notna().all()
    assert _auc(found.loc["m"]) == "-"
