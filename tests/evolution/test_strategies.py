import secrets
import warnings
from typing import get_type_hints

import numpy as np
import pytest

from evo_fair.errors import UnknownNameError
from evo_fair.evolution import ALGORITHMS, make_strategy
from evo_fair.evolution.nsga3 import Nsga3, reference_directions
from evo_fair.extend import State, Strategy

from .fakes import GOALS, FakeSpace

SPACE = FakeSpace()
NAMES = sorted(ALGORITHMS)


def test_what_is_restored_is_of_the_type_that_state_returns():
    """A strategy of one's own is typed with `evo_fair.extend.State`, which mypy refused for a wider argument."""
    assert get_type_hints(Strategy.restore)["state"] == get_type_hints(Strategy.state)["return"] == State


def worth(genomes):
    """Three conflicting objectives and a violation; some are unmeasured, as after a cheap constraint."""
    genomes = np.asarray(genomes, float)
    objectives = np.column_stack([-genomes[:, 1] - genomes[:, 2], genomes[:, 1] * (1 + genomes[:, 2]), genomes[:, 0]])
    violations = np.maximum(0, genomes[:, 1] + genomes[:, 4] - 4) / 4
    objectives[violations > 0.25, 0] = np.nan
    violations[violations > 0.25] += 1
    return objectives, violations


def grow(strategy, generations, n=12):
    asked = []
    for _ in range(generations):
        genomes = SPACE.canonical(strategy.ask(n))
        strategy.tell(genomes, *worth(genomes))
        asked.append(genomes)
    return asked


def made(name, seed=0, population=12):
    rng = np.random.default_rng(seed)
    return rng, make_strategy(name, SPACE, rng, population, GOALS)


@pytest.mark.parametrize("name", NAMES)
def test_genomes_are_valid_and_as_many_as_asked(name):
    for n in (1, 7, 12):
        _, strategy = made(name)
        for genomes in grow(strategy, 4, n):
            assert genomes.shape == (n, 6)
            assert genomes.dtype == np.int16


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides(name, monkeypatch):
    def no_entropy(*_):
        raise AssertionError("operating system entropy was asked for")

    monkeypatch.setattr(secrets, "randbits", no_entropy)
    monkeypatch.setattr(np.random, "default_rng", _seeded(np.random.default_rng))
    np.random.seed(1)  # noqa: NPY002
    first = grow(made(name)[1], 8)
    np.random.seed(2)  # noqa: NPY002
    second = grow(made(name)[1], 8)
    other = grow(made(name, seed=1)[1], 8)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def _seeded(default_rng):
    def checked(seed=None):
        assert seed is not None, "a Generator without a seed was made"
        return default_rng(seed)

    return checked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("generations", [0, 1, 2, 5])
def test_a_restored_strategy_goes_on_exactly(name, generations):
    rng, strategy = made(name)
    grow(strategy, generations)
    random, state = rng.bit_generator.state, {key: array.copy() for key, array in strategy.state().items()}
    expected = grow(strategy, 4)

    new_rng, restored = made(name, seed=99)
    new_rng.bit_generator.state = random
    restored.restore(state)
    assert all((a == b).all() for a, b in zip(expected, grow(restored, 4), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_state_holds_no_python_objects(name):
    _, strategy = made(name)
    grow(strategy, 3)
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "iuf" for array in strategy.state().values())


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "surrogate"])
def test_a_foreign_state_is_refused(name):
    _, strategy = made(name)
    grow(strategy, 2)
    state = strategy.state()
    with pytest.raises((KeyError, ValueError)):
        made(name)[1].restore(state | {"genomes": state["genomes"][:, :4]})
    del state["violations"]
    with pytest.raises(KeyError):
        made(name)[1].restore(state)


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_feasible_members_stay_before_infeasible_ones(name):
    _, strategy = made(name, population=4)
    genomes = SPACE.sample(np.random.default_rng(3), 8)
    violations = np.array([0.5, 0, 2.5, 0, 0.1, 0, 0.2, 0.3])
    objectives = np.arange(24.0).reshape(8, 3)[::-1].copy()
    objectives[2] = np.nan
    strategy.tell(genomes, objectives, violations)
    assert sorted(strategy.state()["violations"]) == [0, 0, 0, 0.1]


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_the_population_nears_the_front(name):
    """The front of `worth`'s first two objectives, found by listing: both strategies hold most of it in the end."""
    every = np.unique(SPACE.canonical(np.indices(SPACE.cardinalities).reshape(6, -1).T), axis=0)
    objectives, violations = worth(every)
    best = {tuple(row) for row in objectives[violations == 0]}
    best = {a for a in best if not any(all(np.array(b) <= a) and b != a for b in best)}
    _, strategy = made(name, population=24)
    grow(strategy, 15, 24)
    held = {tuple(row) for row in strategy.state()["objectives"]}
    assert len(held & best) >= 0.8 * len(best)


def test_reference_directions_are_at_most_the_population():
    # Das and Dennis: p partitions of m objectives give C(p + m - 1, m - 1) points: 45 for p = 8, 55 for p = 9.
    assert reference_directions(3, 48).shape == (45, 3)
    assert reference_directions(2, 48).shape == (48, 2)
    assert reference_directions(1, 48).shape == (1, 1)
    np.testing.assert_allclose(reference_directions(4, 30).sum(axis=1), 1.0)


def test_nsga3_leaves_the_warnings_of_others_on():
    before = list(warnings.filters)
    rng = np.random.default_rng(0)
    grow(Nsga3(SPACE, rng, 12, GOALS), 4)
    assert list(warnings.filters) == before


def test_an_unknown_algorithm_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"nsga2, nsga3, random, reinforce, surrogate.*did you mean 'nsga2'"):
        make_strategy("nsga22", SPACE, np.random.default_rng(0), 4, GOALS)
