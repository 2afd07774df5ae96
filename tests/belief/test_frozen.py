"""Frozen scores without their noise: the closed form, and what it is good for."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from evo_fair.belief.features import gene_features, size_features
from evo_fair.belief.frozen import smooth

from .truths import make_truth


def test_with_equal_noise_and_no_columns_it_is_the_closed_form() -> None:
    scores = np.random.default_rng(0).normal(3.0, 0.5, 40)
    noise = 0.3
    found = smooth(scores, np.full(40, noise), np.empty((40, 0)))
    # Restricted likelihood: the scores' variance about their mean, less the noise, is the networks' own.
    own = scores.var(ddof=1) - noise**2
    kept = own / (own + noise**2)
    assert found.of_networks == pytest.approx(own, rel=1e-4)
    # An error of 1e-4 in `own` is one of `1e-4 * (1 - kept)` in `kept`, and moves no mean by more than 3e-5.
    assert found.mean == pytest.approx(scores.mean() + kept * (scores - scores.mean()), abs=3e-5)
    # And its error: what is left of the own variance, and that of the mean as far as it counts.
    variance = own * (1 - kept) + (1 - kept) ** 2 * (own + noise**2) / 40
    assert found.variance == pytest.approx(np.full(40, variance), rel=1e-4)


def test_what_is_noise_alone_moves_to_the_line_over_size() -> None:
    rng = np.random.default_rng(1)
    size = size_features(np.exp(rng.normal(0, 1, (200, 1))) * 1e6)
    line = 2.0 - 0.5 * size[:, 0]
    found = smooth(line + 0.2 * rng.standard_normal(200), np.full(200, 0.2), size)
    assert np.abs(found.own).max() < 0.02
    assert np.abs(found.mean - line).max() < 0.15


def test_scores_without_noise_stay_and_noisier_ones_move_further() -> None:
    scores = np.random.default_rng(2).normal(0.0, 1.0, 60)
    noise = np.where(np.arange(60) < 30, 0.05, 1.5)
    moved = np.abs(smooth(scores, noise, np.empty((60, 0))).mean - scores)
    assert smooth(scores, 0 * noise, np.empty((60, 0))).mean == pytest.approx(scores, abs=1e-5)
    assert moved[:30].max() < 0.02
    assert moved[30:].mean() > 0.4


def test_what_genes_say_of_neighbours_takes_out_more_noise() -> None:
    truth = make_truth(np.random.default_rng(3), own=0.0)
    scores, noise = np.log(truth.scores), np.full(400, truth.noise) / truth.scores
    plain = smooth(scores, noise, size_features(truth.costs))
    genes = smooth(scores, noise, size_features(truth.costs), truth.genes)
    raw, without, with_genes = (kendalltau(x, truth.values).statistic for x in (scores, plain.mean, genes.mean))
    assert with_genes > raw
    assert with_genes > without
    assert kendalltau(genes.trend + genes.genes, truth.values).statistic > raw + 0.05


def test_networks_that_were_not_read_take_nothing_from_what_scores_vary_by() -> None:
    rng = np.random.default_rng(0)
    genes = gene_features(rng.integers(0, 4, (1030, 8)), np.full(8, 4), np.zeros(8, bool))
    truth = 0.4 * genes @ rng.standard_normal(genes.shape[1])
    read = np.arange(1030) < 30
    scores = np.where(read, truth, np.median(truth[read])) + 0.01 * read * rng.standard_normal(1030)
    noise = np.where(read, 0.01, 3 * np.ptp(scores))
    alone = smooth(scores[read], noise[read], np.empty((30, 0)), genes[read])
    found = smooth(scores, noise, np.empty((1030, 0)), genes, read)
    assert found.of_genes == pytest.approx(alone.of_genes, rel=0.3)
    assert np.corrcoef(found.mean[~read], truth[~read])[0, 1] > 0.9


@pytest.mark.parametrize("networks", [1, 2, 3, 6])
def test_few_networks_and_equal_scores_are_no_trouble(networks: int) -> None:
    size = size_features(np.geomspace(1e5, 1e6, networks)[:, None])
    for scores in (np.ones(networks), np.linspace(1.0, 2.0, networks)):
        found = smooth(scores, np.full(networks, 0.1), size)
        assert np.isfinite(found.mean).all()
        assert (found.variance >= 0).all()
        assert (np.abs(found.mean - scores) <= np.ptp(scores) + 1e-9).all()
