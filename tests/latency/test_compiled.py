"""Compiled latency: the sum over layers, to 1e-9, for every space, and nothing for genes that do not exist."""

import numpy as np
import pytest

from evo_fair.latency import load_profile
from evo_fair.latency.compiled import compile_latency
from evo_fair.problem import load_problem
from evo_fair.space import SearchSpace, SpaceSchema


def drawn(space: SearchSpace, n: int, seed: int = 0) -> np.ndarray:
    """Genomes as they come, not canonical."""
    return np.random.default_rng(seed).integers(0, space.cardinalities, (n, space.cardinalities.size), dtype=np.int16)


@pytest.mark.parametrize("device", ["raspberry-pi-4", "odroid-n2-plus-int8"])
@pytest.mark.parametrize("name", ["space", "tabular"])
def test_a_genome_costs_what_its_layers_do(device: str, name: str, request: pytest.FixtureRequest) -> None:
    space: SearchSpace = request.getfixturevalue(name)
    profile, genomes = load_profile(device), drawn(space, 3000)
    expected = profile.latency_ms(space.decode(genomes))
    np.testing.assert_allclose(compile_latency(profile, space).latency_ms(genomes), expected, rtol=1e-9)
    assert len(np.unique(expected)) > 100


@pytest.mark.parametrize("header", [1, 2, 4])
@pytest.mark.parametrize("name", ["space", "tabular"])
def test_a_frozen_header_costs_what_its_layers_do(header: int, name: str, request: pytest.FixtureRequest) -> None:
    space: SearchSpace = request.getfixturevalue(name).frozen(header)
    profile, compiled = load_profile("raspberry-pi-4"), compile_latency(load_profile("raspberry-pi-4"), space)
    for genomes in (drawn(space, 500), space.sample(np.random.default_rng(1), 500), drawn(space.frozen(0), 500)):
        np.testing.assert_allclose(compiled.latency_ms(genomes), profile.latency_ms(space.decode(genomes)), rtol=1e-9)
    wrong = space.sample(np.random.default_rng(2), 3)
    wrong[1, -1] = 100
    with pytest.raises(ValueError, match=f"gene {space.gene_names[-1]} of genome 1 is 100"):
        compiled.latency_ms(wrong)


@pytest.mark.parametrize(("problem", "shape"), [("ham10000", (3, 64, 64)), ("adult", (104,)), ("digits", (1, 8, 8))])
def test_shipped_spaces_compile(problem: str, shape: tuple[int, ...]) -> None:
    space = load_problem(problem).search_space(shape, 7)
    profile, genomes = load_profile("raspberry-pi-4"), drawn(space, 500)
    expected = profile.latency_ms(space.decode(genomes))
    np.testing.assert_allclose(compile_latency(profile, space).latency_ms(genomes), expected, rtol=1e-9)


def test_canonical_genomes_cost_the_same(space: SearchSpace) -> None:
    compiled, genomes = compile_latency(load_profile("pixel-3"), space), drawn(space, 500)
    np.testing.assert_allclose(compiled.latency_ms(space.canonical(genomes)), compiled.latency_ms(genomes), rtol=1e-12)


def test_tables_hold_every_choice_once_for_the_slots_of_a_stage(space: SearchSpace) -> None:
    # Stage 1: first slot 3 stem widths x 3 widths x 4 kinds, second 3 x 5 (one is to skip), each 2 kernels x 2
    # expansions x 4 levels. Stage 2: 3 x 2 x 2, then 2 x 3 for both further slots, each 1 x 2 x 3.
    expected = (3 * 3 * 4 + 3 * 5) * 16 + (3 * 2 * 2 + 2 * 3) * 6
    assert compile_latency(load_profile("pixel-3"), space).entries == expected


@pytest.mark.parametrize("gene", [0, 3, -1])
@pytest.mark.parametrize("value", [-1, 100])
def test_a_gene_out_of_range_is_named(gene: int, value: int, space: SearchSpace) -> None:
    genomes = drawn(space, 10)
    genomes[7, gene] = value
    with pytest.raises(ValueError, match=f"gene {space.gene_names[gene]} of genome 7 is {value}"):
        compile_latency(load_profile("pixel-3"), space).latency_ms(genomes)


def test_genomes_of_another_length_are_refused(space: SearchSpace) -> None:
    with pytest.raises(ValueError, match="genomes are integers"):
        compile_latency(load_profile("pixel-3"), space).latency_ms(np.zeros((2, 3), np.int16))


def test_a_space_in_which_strides_are_chosen_is_refused() -> None:
    stage = {"slots": 1, "kinds": ["CB"], "widths": [8], "stride": [1, 2]}
    space = SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]}), (3, 8, 8), 2)
    with pytest.raises(ValueError, match="a space in which strides are chosen has no tables by slot: use Profile"):
        compile_latency(load_profile("pixel-3"), space)
