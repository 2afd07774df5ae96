import numpy as np
import pytest

from evo_fair.evolution import make_strategy, resolve
from evo_fair.evolution.start import spread_sample
from evo_fair.problem import load_problem
from evo_fair.space import SearchSpace

from .fakes import GOALS, FakeSpace, fake_latency


@pytest.fixture(scope="module")
def space():
    return SearchSpace(load_problem("ham10000").space, (3, 64, 64), 7)


def test_it_reaches_further_than_a_plain_sample_and_leaves_no_gap(space):
    goals = resolve(["error", "macs"])
    spread, plain = (
        np.sort(np.log(goals[1].measure(space.decode(genomes)).astype(float)))
        for genomes in (
            spread_sample(space, np.random.default_rng(0), 48, goals),
            space.sample(np.random.default_rng(0), 48),
        )
    )
    assert np.ptp(spread) > 1.8 * np.ptp(plain)
    assert np.diff(spread).max() < 0.15 * np.ptp(spread)
    assert np.diff(plain).max() / np.ptp(plain) > np.diff(spread).max() / np.ptp(spread)


def test_genomes_are_canonical_and_nearly_all_different(space):
    genomes = spread_sample(space, np.random.default_rng(1), 48, resolve(["error", "params"]))
    assert genomes.dtype == np.int16
    assert (space.canonical(genomes) == genomes).all()
    assert len(set(space.ids(genomes))) >= 46


def test_without_a_cheap_objective_sizes_still_vary_more_than_by_chance(space):
    genomes = spread_sample(space, np.random.default_rng(2), 200, resolve(["error", "unfairness"]))
    assert genomes.shape == (200, len(space.gene_names))
    means = (genomes / np.maximum(space.cardinalities - 1, 1))[:, space.ordered].mean(axis=1)
    plain = space.sample(np.random.default_rng(2), 200)
    chance = (plain / np.maximum(space.cardinalities - 1, 1))[:, space.ordered].mean(axis=1)
    assert means.std() > 2 * chance.std()


def test_negative_and_zero_values_are_spread_plainly():
    space = FakeSpace()
    goals = resolve(["error", "latency_ms"], lambda table: fake_latency(table) - 3.0)
    genomes = spread_sample(space, np.random.default_rng(3), 12, goals)
    assert np.ptp(goals[1].measure(space.decode(genomes))) > 6


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_an_evolution_can_begin_at_random_as_it_once_did(name):
    space = FakeSpace()
    strategy = make_strategy(name, space, np.random.default_rng(4), 12, GOALS, "random")
    expected = space.sample(np.random.default_rng(4), 12)
    assert (strategy.ask(12) == expected).all()
