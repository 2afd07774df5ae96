import numpy as np
import pytest

from evo_fair.evolution.proposals import fresh_genomes
from evo_fair.evolution.random_search import RandomSearch

from .fakes import GOALS, FakeSpace

SPACE = FakeSpace()


class Stubborn(RandomSearch):
    """Always proposes the same genome."""

    def ask(self, n):
        return np.zeros((n, 6), np.int16)


def drawn(kind, n, known, seed=0):
    rng = np.random.default_rng(seed)
    return fresh_genomes(kind(SPACE, rng, 12, GOALS), SPACE, rng, n, known)


@pytest.mark.parametrize("kind", [RandomSearch, Stubborn])
def test_genomes_are_new_different_and_canonical(kind):
    known = set(SPACE.ids(SPACE.sample(np.random.default_rng(1), 100)))
    genomes = drawn(kind, 40, known).new
    ids = SPACE.ids(genomes)
    assert len(set(ids)) == 40
    assert not set(ids) & known
    assert (SPACE.canonical(genomes) == genomes).all()


def test_what_the_strategy_did_not_propose_is_counted():
    assert drawn(RandomSearch, 40, set()).drawn == 0
    assert drawn(Stubborn, 40, set()).drawn == 39


@pytest.mark.parametrize("kind", [RandomSearch, Stubborn])
def test_a_space_is_gone_through_to_its_last_network(kind):
    known: set[str] = set()
    while len(genomes := drawn(kind, 50, known, seed=len(known)).new):
        assert not set(SPACE.ids(genomes)) & known
        known |= set(SPACE.ids(genomes))
    assert len(known) == SPACE.size


def test_a_large_space_in_which_nothing_new_is_found_ends_too():
    class Large(FakeSpace):
        gene_names = tuple("abcdefghijklmnopqrst")

        def __init__(self):
            self.cardinalities = np.full(20, 9, np.int16)
            self.ordered = np.ones(20, bool)

        def canonical(self, genomes):
            return np.array(genomes, np.int16) * 0

        def sample(self, rng, n):
            return np.zeros((n, 20), np.int16)

    space, rng = Large(), np.random.default_rng(0)
    strategy = RandomSearch(space, rng, 12, GOALS)
    assert len(fresh_genomes(strategy, space, rng, 12, set()).new) == 1
    assert fresh_genomes(strategy, space, rng, 12, set(space.ids(space.sample(rng, 1)))).new.shape == (0, 20)
