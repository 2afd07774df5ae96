"""Beliefs on spaces whose truth is known: better than either source, honest about their errors, no self-judgement."""

import doctest

import numpy as np
import pytest
from scipy.stats import kendalltau

from evo_fair.belief import Belief, Trainings, rank_correlation
from evo_fair.belief import belief as module

from .truths import Truth, make_truth


def tau(believed: np.ndarray, truth: Truth) -> float:
    return float(kendalltau(believed, truth.values).statistic)


def frozen_belief(truth: Truth) -> Belief:
    return Belief.fit(truth.scores[:, None], [truth.noise], truth.costs, genes=truth.genes)


@pytest.mark.parametrize("trainings", [8, 24])
def test_trained_belief_beats_the_frozen_scores_and_size(trainings: int) -> None:
    better, frozen, size = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth = make_truth(rng)
        networks = rng.choice(len(truth.values), trainings, replace=False)
        belief = frozen_belief(truth).after(Trainings.of(networks, truth.trained(networks, rng)))
        better.append(tau(belief.mean[:, 0], truth))
        frozen.append(tau(truth.scores, truth))
        size.append(-tau(truth.costs[:, 0], truth))
    assert np.mean(better) > np.mean(frozen) + 0.02
    assert np.mean(better) > np.mean(size) + 0.1


@pytest.mark.parametrize("trainings", [4, 8, 24])
def test_where_frozen_scores_know_nothing_it_is_about_as_good_as_size(trainings: int) -> None:
    believed, size = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = make_truth(rng, knows=0.0)
        truth = truth._replace(genes=np.empty((len(truth.values), 0)))
        networks = rng.choice(len(truth.values), trainings, replace=False)
        belief = Belief.fit(truth.scores[:, None], [truth.noise], truth.costs)
        found = belief.after(Trainings.of(networks, truth.trained(networks, rng)))
        believed.append(tau(found.mean[:, 0], truth))
        size.append(-tau(truth.costs[:, 0], truth))
    assert np.mean(believed) > np.mean(size) - (0.12 if trainings == 4 else 0.06)


def saturating(rng: np.random.Generator, by: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors that fall less and less with one of two costs, scores that know little of it, and the costs."""
    logs = rng.uniform(0.0, 4.0, (300, 2)) * [1.0, 0.3] + [11.0, 9.0]
    logs[:, 1] += 0.7 * (logs[:, 0] - 11.0)  # parameters go with multiply-accumulates, but not all the way
    above = (logs[:, by] - logs[:, by].min()) / np.ptp(logs[:, by])
    errors = 0.15 + 0.35 * np.exp(-5.0 * above)
    scores = 0.7 - 0.05 * above + 0.02 * rng.standard_normal(len(errors))
    return errors, scores, np.exp(logs)


@pytest.mark.parametrize("by", [0, 1])
def test_gains_that_shrink_with_size_are_no_difference_between_networks_of_one_size(by: int) -> None:
    off = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        errors, scores, costs = saturating(rng, by)
        networks = rng.choice(len(errors), 20, replace=False)
        belief = Belief.fit(scores[:, None], [0.02], costs, trainings=Trainings.of(networks, errors[networks, None]))
        _, believed, _ = belief.left_out()
        off.append(np.abs(believed[:, 0] - errors[np.sort(networks)]).mean())
    assert np.mean(off) < 0.02


def test_two_of_three_truths_are_within_an_error_of_what_is_believed() -> None:
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        truth = make_truth(rng)
        networks = rng.choice(len(truth.values), 12, replace=False)
        belief = frozen_belief(truth).after(Trainings.of(networks, truth.trained(networks, rng)))
        inside.append((np.abs(belief.mean[:, 0] - truth.values) <= belief.error[:, 0]).mean())
    assert 0.55 <= np.mean(inside) <= 0.80


def test_without_trainings_two_of_three_noiseless_scores_are_within_an_error() -> None:
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(200 + seed)
        size = np.exp(rng.normal(0, 0.5, 300)) * 1e6
        clean = 0.3 * (size / 1e6) ** -0.2 * np.exp(0.05 * rng.standard_normal(300))
        belief = Belief.fit((clean + 0.015 * rng.standard_normal(300))[:, None], [0.015], size[:, None])
        inside.append((np.abs(belief.mean[:, 0] - clean) <= belief.error[:, 0]).mean())
        read = np.abs(belief.mean[:, 0] - clean).mean()
        assert read < 0.95 * 0.015 * np.sqrt(2 / np.pi)  # less than what the noise alone makes
    assert 0.55 <= np.mean(inside) <= 0.80


def test_a_network_that_was_trained_is_known_better_than_the_others() -> None:
    rng = np.random.default_rng(7)
    truth = make_truth(rng, own=0.2)
    networks = rng.choice(400, 16, replace=False)
    belief = frozen_belief(truth).after(Trainings.of(networks, truth.trained(networks, rng)))
    assert belief.trained.sum() == 16
    others = ~belief.trained
    relative = belief.error[:, 0] / belief.mean[:, 0]
    assert relative[belief.trained].mean() < relative[others].mean()


def test_leaving_out_is_fitting_without_and_two_trainings_of_one_network_go_together() -> None:
    rng = np.random.default_rng(8)
    truth = make_truth(rng)
    networks = np.array([5, 80, 200, 310, 5, 120])
    trainings = Trainings.of(networks, truth.trained(networks, rng), 0.002)
    belief = frozen_belief(truth).after(trainings)
    found, mean, error = belief.left_out()
    assert found.tolist() == [5, 80, 120, 200, 310]
    for network, value, deviation in zip(found, mean[:, 0], error[:, 0], strict=True):
        without = belief.after(trainings.without(int(network)))
        assert int(network) not in without.trainings.networks
        assert value == pytest.approx(without.mean[network, 0], rel=1e-9)
        assert deviation == pytest.approx(without.error[network, 0], rel=1e-6)


def test_ranks_are_of_pairs_that_were_both_left_out() -> None:
    rng = np.random.default_rng(9)
    truth = make_truth(rng, knows=0.5)
    networks = rng.choice(400, 10, replace=False)
    trainings = Trainings.of(networks, truth.trained(networks, rng), 0.002)
    belief = frozen_belief(truth).after(trainings)
    signs = []
    for i, first in enumerate(networks):
        for j, second in enumerate(networks[:i]):
            without = belief.after(trainings.without(int(first)).without(int(second)))
            believed = without.mean[first, 0] - without.mean[second, 0]
            signs.append(np.sign(believed) * np.sign(trainings.values[i, 0] - trainings.values[j, 0]))
    assert belief.left_out_tau(0) == (pytest.approx(np.mean(signs), abs=0.05), 10)


def test_ranks_of_noise_are_not_taken_for_upside_down() -> None:
    """Of one left out at a time they would be: without a high result everything is believed to be lower."""
    taus = []
    for seed in range(10):
        rng = np.random.default_rng(300 + seed)
        truth = make_truth(rng, knows=0.0)
        networks = rng.choice(400, 12, replace=False)
        noise = 0.2 * np.exp(0.1 * rng.standard_normal((12, 1)))
        belief = Belief.fit(truth.scores[:, None], [truth.noise], truth.costs)
        taus.append(belief.after(Trainings.of(networks, noise)).left_out_tau(0)[0])
    assert abs(np.mean(taus)) < 0.2


def test_objectives_keep_their_units_and_bounds() -> None:
    rng = np.random.default_rng(10)
    scores = np.column_stack([rng.uniform(0.6, 0.99, 50), rng.normal(-2.0, 1.0, 50), np.full(50, 0.25)])
    belief = Belief.fit(scores, [0.02, 0.3, 0.01], rng.uniform(1e5, 1e6, (50, 1)))
    assert (belief.mean[:, 0] <= 1).all()
    assert belief.mean[:, 1].mean() == pytest.approx(scores[:, 1].mean(), abs=0.1)
    assert belief.mean[:, 2] == pytest.approx(np.full(50, 0.25))
    assert np.isfinite(belief.error).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_results_on_the_other_side_of_zero_are_believed(sign: float) -> None:
    rng = np.random.default_rng(12)
    scores = sign * rng.uniform(0.05, 0.3, 40)
    results = (scores - sign * 0.4)[:8, None]
    belief = Belief.fit(scores[:, None], [0.005], rng.uniform(1e5, 1e6, (40, 1))).after(
        Trainings.of(np.arange(8), results, 0.005)
    )
    assert belief.mean[:8] == pytest.approx(results, abs=0.06)
    assert (sign * belief.mean < 0.05).all()
    assert (belief.error > 0.001).all()


def test_results_above_one_show_that_an_objective_is_no_share() -> None:
    rng = np.random.default_rng(12)
    scores = rng.uniform(0.5, 0.9, 40)
    belief = Belief.fit(scores[:, None], [0.01], rng.uniform(1e5, 1e6, (40, 1)))
    assert (belief.mean <= 1).all()
    found = belief.after(Trainings.of(np.arange(6), 2 * scores[:6, None], 0.01))
    assert found.mean[:6, 0] == pytest.approx(2 * scores[:6], abs=0.25)
    assert found.mean.max() > 1.2


@pytest.mark.parametrize("trainings", [1, 2, 3])
def test_it_works_from_the_first_training_on(trainings: int) -> None:
    rng = np.random.default_rng(11)
    truth = make_truth(rng, networks=30)
    networks = np.arange(trainings)
    belief = frozen_belief(truth).after(Trainings.of(networks, truth.trained(networks, rng), 0.01))
    assert np.isfinite(belief.mean).all()
    assert (belief.error > 0).all()
    assert belief.left_out()[1].shape == (trainings, 1)


@pytest.mark.parametrize("trainings", [1, 2, 4])
@pytest.mark.parametrize("differ", [0.0, 1e-4])
def test_results_are_believed_where_frozen_scores_hardly_differ(trainings: int, differ: float) -> None:
    """As those of a supernet that only guesses: how little they differ says nothing of what training gains."""
    rng = np.random.default_rng(0)
    costs = np.exp(rng.normal(14.0, 0.5, (20, 2)))
    frozen = Belief.fit(0.5 + differ * rng.standard_normal((20, 1)), [differ / 2], costs)
    results = 0.1 + 0.01 * rng.random((trainings, 1))
    belief = frozen.after(Trainings.of(np.arange(trainings), results, [0.008]))
    assert np.abs(belief.mean - results.mean()).max() < 0.02
    assert belief.error.min() > 0.008 / np.sqrt(trainings) / 1.5


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="costs are finite numbers"):
        Belief.fit(np.ones((3, 1)), 0.1, [[1.0], [2.0]])
    with pytest.raises(ValueError, match="trainings are networks"):
        Trainings.of([1, 2], [0.5, 0.6])
    belief = Belief.fit([[0.1], [0.2], [0.3]], 0.01, [[1.0], [2.0], [3.0]])
    with pytest.raises(ValueError, match="trainings have 2 objectives, and frozen scores 1"):
        belief.after(Trainings.of([0], [[0.5, 0.6]]))


def test_rank_correlation_is_kendalls() -> None:
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)


def test_rank_correlation_is_of_pairs_whose_results_differ() -> None:
    assert rank_correlation([1, 2, 3, 4], [5, 5, 6, 6]) == 1.0
    assert rank_correlation([1, 2, 2, 2], [5, 5, 6, 6]) == pytest.approx(2 / 4)
    assert np.isnan(rank_correlation([1, 2, 3], [5, 5, 5]))


def test_the_example_is_right() -> None:
    found = doctest.testmod(module)
    assert (found.failed, found.attempted) == (0, 6)
