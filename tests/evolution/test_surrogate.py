import numpy as np
import pytest

from evo_fair.evolution import Box, Objective, hypervolume
from evo_fair.evolution.surrogate import Surrogate

from .fakes import GOALS, FakeSpace

SPACE = FakeSpace()
ERROR = Objective("error")
EVERY = np.unique(SPACE.canonical(np.indices(SPACE.cardinalities).reshape(6, -1).T), axis=0)
GOOD_KINDS = np.array([0.0, 0.3, 0.1, 0.2])


def errors(genomes):
    """Width and depth help, and one kind is the best of four: nothing that a tournament needs to be lucky for."""
    kind, width, depth = np.asarray(genomes, float)[:, :3].T
    return 0.5 - 0.06 * width - 0.05 * depth - GOOD_KINDS[kind.astype(int)] + 0.02 * width * depth / 8


def costs(genomes):
    return np.asarray(genomes, float)[:, 1] ** 2 + 2 * np.asarray(genomes, float)[:, 2]


def cheap_cost(layers):
    present = (layers[:, :, 0] > 0).sum(axis=1) - 1
    return (layers[:, 0, 1] / 8 - 1) ** 2 + 2.0 * present


OBJECTIVES = (ERROR, Objective("cost", cheap=True, function=cheap_cost))


def points(genomes):
    return np.column_stack([errors(genomes), costs(genomes)])


def found(seed, budget, population=8, noise=0.0, violation=None):
    """The different genomes that a strategy asked for, within the budget, in order."""
    rng = np.random.default_rng(seed)
    strategy = Surrogate(SPACE, rng, population, OBJECTIVES)
    seen: dict[bytes, np.ndarray] = {}
    while len(seen) < budget:
        asked = [genome for genome in strategy.ask(population) if genome.tobytes() not in seen]
        if not asked:
            break
        genomes = np.array(asked)
        values = points(genomes)
        values[:, 0] += noise * rng.standard_normal(len(values))
        broken = np.zeros(len(genomes)) if violation is None else violation(genomes)
        strategy.tell(genomes, values, broken)
        seen |= {genome.tobytes(): genome for genome in genomes}
    return np.array(list(seen.values())[:budget])


def share(genomes):
    box = Box(np.array([-0.2, 0.0]), np.array([0.6, 21.0]))
    return hypervolume(points(genomes), box) / hypervolume(points(EVERY), box)


def test_the_cheap_objective_of_these_tests_is_what_it_stands_for():
    assert cheap_cost(SPACE.decode(EVERY)) == pytest.approx(costs(EVERY))


@pytest.mark.parametrize("seed", range(3))
def test_the_front_is_found_with_a_fifth_of_the_space(seed):
    assert share(found(seed, 64)) > 0.999


def test_it_finds_more_than_chance():
    rng = np.random.default_rng(0)
    chance = [share(rng.permutation(EVERY)[:48]) for _ in range(20)]
    assert min(share(found(seed, 48)) for seed in range(3)) > np.quantile(chance, 0.95)


def test_noise_does_not_stop_it():
    assert share(found(0, 64, noise=0.03)) > 0.98


def test_proposals_keep_away_from_what_breaks_limits():
    def violation(genomes):
        return np.where(genomes[:, 4] == 2, 0.5, 0.0)  # a third of the space

    genomes = found(0, 80, violation=violation)
    assert (genomes[:40, 4] == 2).mean() > (genomes[40:, 4] == 2).mean()
    assert (genomes[40:, 4] == 2).mean() < 0.15


def test_networks_that_were_not_measured_are_no_data():
    strategy = Surrogate(SPACE, np.random.default_rng(0), 8, OBJECTIVES)
    genomes = EVERY[::9]
    values, broken = points(genomes), (genomes[:, 1] == 4).astype(float)
    values[broken > 0, 0] = np.nan
    strategy.tell(genomes, values, broken)
    asked = strategy.ask(12)
    assert asked.shape == (12, 6)
    assert not {genome.tobytes() for genome in asked} & {genome.tobytes() for genome in genomes}


def test_a_space_that_is_known_whole_still_answers():
    strategy = Surrogate(SPACE, np.random.default_rng(0), 8, OBJECTIVES)
    strategy.tell(EVERY, points(EVERY), np.zeros(len(EVERY)))
    assert len(strategy.ask(4)) == 4


@pytest.mark.parametrize("goals", [(ERROR,), OBJECTIVES[1:], GOALS])
def test_any_objectives_do(goals):
    strategy = Surrogate(SPACE, np.random.default_rng(0), 8, goals)
    for _ in range(5):
        genomes = SPACE.canonical(strategy.ask(8))
        values = np.repeat(errors(genomes)[:, None], len(goals), axis=1)
        strategy.tell(genomes, values, np.zeros(len(genomes)))
    assert strategy.ask(8).shape == (8, 6)
