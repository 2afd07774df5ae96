import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from evo_fair.evolution.operators import GeneMutation, gene_crossover, mutate

from .fakes import FakeSpace

SPACE = FakeSpace()


def test_every_genome_changes_and_stays_in_its_space():
    rng = np.random.default_rng(0)
    genomes = rng.integers(0, SPACE.cardinalities, (2000, 6), dtype=np.int16)
    mutants = mutate(genomes, SPACE.cardinalities, SPACE.ordered, rng)
    assert mutants.dtype == np.int16
    assert (mutants >= 0).all()
    assert (mutants < SPACE.cardinalities).all()
    assert (mutants != genomes).any(axis=1).all()
    # 5 changeable genes at 1/5 each: one a genome, and one more for the 0.8^5 = 0.33 that would stay as they are.
    assert np.isclose((mutants != genomes).sum(axis=1).mean(), 1.33, atol=0.05)


def test_categories_take_every_other_value_equally_often():
    rng = np.random.default_rng(1)
    genomes = np.full((6000, 1), 2, np.int16)
    mutants = mutate(genomes, np.array([4], np.int16), np.array([False]), rng)
    counts = np.bincount(mutants[:, 0], minlength=4)
    assert counts[2] == 0
    assert (np.abs(counts[[0, 1, 3]] - 2000) < 150).all()


def test_ordered_genes_mostly_take_one_step():
    rng = np.random.default_rng(2)
    genomes = np.full((6000, 1), 10, np.int16)
    mutants = mutate(genomes, np.array([21], np.int16), np.array([True]), rng)
    steps = np.abs(mutants[:, 0] - 10)
    assert np.isclose((steps == 1).mean(), 0.75, atol=0.03)
    assert np.isclose((steps == 2).mean(), 0.1875, atol=0.03)
    assert np.isclose((mutants > 10).mean(), 0.5, atol=0.03)


def test_ordered_genes_at_an_end_turn_back():
    rng = np.random.default_rng(3)
    genomes = np.repeat(np.array([[0], [2]], np.int16), 500, axis=0)
    mutants = mutate(genomes, np.array([3], np.int16), np.array([True]), rng)
    assert (mutants != genomes).all()


def test_a_space_without_choices_stays_as_it_is():
    genomes = np.zeros((3, 2), np.int16)
    ordered = np.array([True, False])
    assert (mutate(genomes, np.ones(2, np.int16), ordered, np.random.default_rng(0)) == 0).all()


def test_children_take_every_gene_from_one_of_their_parents():
    rng = np.random.default_rng(4)
    parents = Population.new("X", rng.integers(0, 100, (40, 6)).astype(np.int16))
    problem = Problem(n_var=6, n_obj=1)
    pairs = np.arange(40).reshape(20, 2)
    children = gene_crossover().do(problem, parents, pairs, random_state=rng).get("X").reshape(2, 20, 6)
    grown = parents.get("X")[pairs]
    assert ((children == grown[:, 0]) | (children == grown[:, 1])).all()
    assert (children[0] != grown[:, 0]).any()


def test_the_mutation_uses_the_generator_it_is_given():
    genomes = SPACE.sample(np.random.default_rng(5), 50)
    first, second, other = (
        GeneMutation(SPACE)
        .do(None, Population.new("X", genomes), random_state=np.random.default_rng(seed), inplace=False)
        .get("X")
        for seed in (0, 0, 1)
    )
    assert (first == second).all()
    assert (first != other).any()
