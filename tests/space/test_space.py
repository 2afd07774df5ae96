"""Decoding, canonical form, identity and size of search spaces."""

import numpy as np
import pytest

from evo_fair.layers import Op, macs, params
from evo_fair.space import SearchSpace
from evo_fair.space.kinds import CB, MB

# stem.width, stage1.width, then kind, kernel, expansion, keep of each slot; kinds are MB, DB, RB, CB, in slot 2 skip
MB_THEN_SKIP = [1, 0, 0, 1, 1, 2, 4, 1, 1, 3]


def test_genes_are_named_in_order(space: SearchSpace) -> None:
    assert space.gene_names[:4] == ("stem.width", "stage1.width", "stage1.slot1.kind", "stage1.slot1.kernel")
    assert space.cardinalities.tolist() == [2, 2, 4, 2, 2, 4, 5, 2, 2, 4]
    assert [name for name, ordered in zip(space.gene_names, space.ordered, strict=True) if not ordered] == [
        "stage1.slot1.kind",
        "stage1.slot2.kind",
    ]


@pytest.mark.parametrize(
    ("genome", "rows"),
    [
        (
            MB_THEN_SKIP,
            [
                [Op.CONV, 3, 16, 3, 2, 1, 10, 8],
                [Op.CONV, 16, 8, 1, 2, 1, 5, 4],
                [Op.CONV, 16, 24, 1, 1, 1, 5, 4],
                [Op.DEPTHWISE, 24, 24, 5, 2, 24, 5, 4],
                [Op.CONV, 24, 8, 1, 1, 1, 3, 2],
                [Op.ADD, 8, 8, 4, 1, 1, 3, 2],
                [Op.GLOBAL_POOL, 8, 8, 3, 1, 1, 3, 2],
                [Op.LINEAR, 8, 4, 1, 1, 1, 1, 1],
            ],
        ),
        (
            [0, 1, 2, 0, 0, 0, 0, 0, 0, 1],  # RB with a projected shortcut, then MB with an identity
            [
                [Op.CONV, 3, 8, 3, 2, 1, 10, 8],
                [Op.CONV, 8, 16, 1, 2, 1, 5, 4],
                [Op.CONV, 8, 8, 3, 2, 1, 5, 4],
                [Op.CONV, 8, 16, 3, 1, 1, 3, 2],
                [Op.ADD, 16, 16, 3, 1, 1, 3, 2],
                [Op.CONV, 16, 16, 1, 1, 1, 3, 2],
                [Op.DEPTHWISE, 16, 16, 3, 1, 16, 3, 2],
                [Op.CONV, 16, 16, 1, 1, 1, 3, 2],
                [Op.ADD, 16, 16, 4, 1, 1, 3, 2],
                [Op.GLOBAL_POOL, 16, 16, 3, 1, 1, 3, 2],
                [Op.LINEAR, 16, 4, 1, 1, 1, 1, 1],
            ],
        ),
        (
            [0, 0, 1, 0, 0, 0, 3, 0, 0, 0],  # DB, then CB
            [
                [Op.CONV, 3, 8, 3, 2, 1, 10, 8],
                [Op.CONV, 8, 8, 1, 2, 1, 5, 4],
                [Op.DEPTHWISE, 8, 8, 3, 2, 8, 5, 4],
                [Op.CONV, 8, 8, 1, 1, 1, 3, 2],
                [Op.ADD, 8, 8, 3, 1, 1, 3, 2],
                [Op.CONV, 8, 8, 3, 1, 1, 3, 2],
                [Op.ADD, 8, 8, 2, 1, 1, 3, 2],
                [Op.GLOBAL_POOL, 8, 8, 3, 1, 1, 3, 2],
                [Op.LINEAR, 8, 4, 1, 1, 1, 1, 1],
            ],
        ),
    ],
)
def test_decode_lays_out_the_layers(space: SearchSpace, genome: list[int], rows: list[list[int]]) -> None:
    table = space.decode([genome])[0]
    assert table[: len(rows)].tolist() == [list(map(int, row)) for row in rows]
    assert not table[len(rows) :].any()


def test_macs_and_params_by_hand(space: SearchSpace) -> None:
    table = space.decode([MB_THEN_SKIP])
    weights = [16 * 3 * 9, 8 * 16, 24 * 16, 24 * 25, 8 * 24, 4 * 8]
    pixels = [20, 6, 20, 6, 6, 1]
    assert macs(table)[0] == sum(w * p for w, p in zip(weights, pixels, strict=True))
    assert params(table)[0] == sum(weights) + 16 + 8 + 24 + 24 + 8 + 4


def test_tabular_space_is_a_chain_of_linear_layers(tabular: SearchSpace) -> None:
    table = tabular.decode([[0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0, 0]])
    assert table[0, :3, :3].tolist() == [[Op.LINEAR, 5, 8], [Op.LINEAR, 8, 4], [Op.LINEAR, 4, 2]]
    assert table[1, :3, :3].tolist() == [[Op.LINEAR, 5, 8], [Op.LINEAR, 8, 2], [0, 0, 0]]


def test_strides_that_are_chosen_have_genes_and_change_all_that_follows(strided: SearchSpace) -> None:
    assert strided.gene_names[:3] == ("stem.width", "stem.stride", "stage1.width")
    assert strided.gene_names[11:13] == ("stage2.width", "stage2.stride")
    fine, coarse = strided.largest(), strided.largest()
    assert (fine[1], fine[12]) == (1, 1)
    coarse[[1, 12]] = 0
    for genome, stem, second, sizes in (
        (fine, 1, 1, [(12, 10), (12, 10), (6, 5), (6, 5), (6, 5)]),
        (coarse, 2, 2, [(12, 10), (6, 5), (3, 3), (3, 3), (2, 2)]),
    ):
        blocks = strided.architecture(genome)
        assert [block.stride for block in blocks] == [stem, 2, 1, second, 1]
        assert [(block.h_in, block.w_in) for block in blocks] == sizes
    sizes_of = params(strided.decode([fine, coarse]))
    assert sizes_of[0] == sizes_of[1], "the same weights"


def test_unused_genes_do_not_count(space: SearchSpace) -> None:
    variants = [MB_THEN_SKIP, [*MB_THEN_SKIP[:7], 0, 0, 0]]
    assert len(set(space.ids(variants))) == 1
    assert space.canonical(variants)[0, 7:].tolist() == [0, 0, 0]


def test_expansions_that_keep_the_same_channels_are_one_network(space: SearchSpace) -> None:
    wide, narrow = [0, 0, 0, 0, 1, 1, 4, 0, 0, 0], [0, 0, 0, 0, 0, 3, 4, 0, 0, 0]  # 24 pruned to 16, and 2 x 8
    assert len(set(space.ids([wide, narrow]))) == 1


@pytest.mark.parametrize("name", ["space", "tabular", "mixed", "strided"])
def test_canonical_form_is_one_to_one_with_networks(name: str, request: pytest.FixtureRequest) -> None:
    space: SearchSpace = request.getfixturevalue(name)
    grid = np.indices(space.cardinalities).reshape(len(space.gene_names), -1).T
    form = space.canonical(grid)
    blocks, layers = space.blocks(grid), space.decode(grid)
    assert (space.decode(form) == layers).all()
    assert (space.canonical(form) == form).all()
    forms = {row.tobytes() for row in form}
    assert len(forms) == len({row.tobytes() for row in blocks}) == space.size()


def test_largest_and_smallest_bound_every_network(space: SearchSpace) -> None:
    genomes = space.sample(np.random.default_rng(0), 500)
    cost = macs(space.decode(genomes))
    assert macs(space.decode([space.smallest()]))[0] <= cost.min()
    assert macs(space.decode([space.largest()]))[0] >= cost.max()


def test_sample_depends_on_the_generator_alone(space: SearchSpace) -> None:
    first, second = (space.sample(np.random.default_rng(3), 50) for _ in range(2))
    assert (first == second).all()
    assert (space.canonical(first) == first).all()
    assert len(np.unique(first, axis=0)) > 40


def test_architecture_lists_the_blocks(space: SearchSpace) -> None:
    stem, block = space.architecture(MB_THEN_SKIP)
    assert (stem.name, stem.kind, stem.c_out) == ("stem", CB, 16)
    assert block == ("stage1.slot1", MB, 16, 24, 8, 5, 2, 2, 5, 4)


@pytest.mark.parametrize(
    ("genomes", "message"),
    [
        ([[0] * 9], "genomes are integers"),
        ([0] * 10, "genomes are integers"),
        ([[0.5] * 10], "genomes are integers"),
        ([[0] * 9 + [4]], r"stage1.slot2.keep of genome 0 is 4: expected 0 to 3"),
        ([[0] * 10, [-1] + [0] * 9], r"stem.width of genome 1 is -1: expected 0 to 1"),
    ],
)
def test_wrong_genomes_are_refused(space: SearchSpace, genomes: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space.decode(genomes)


def test_input_shape_must_fit_the_space(space: SearchSpace) -> None:
    with pytest.raises(ValueError, match=r"expected \(channels, height, width\)"):
        SearchSpace(space.schema, (30,), 2)


@pytest.mark.parametrize(
    ("name", "blocks"), [("space", 1), ("space", 2), ("tabular", 1), ("strided", 1), ("strided", 2), ("strided", 4)]
)
def test_a_frozen_header_leaves_exactly_the_networks_that_have_it(
    name: str, blocks: int, request: pytest.FixtureRequest
) -> None:
    space: SearchSpace = request.getfixturevalue(name)
    frozen = space.frozen(blocks)
    everything = np.stack([axis.ravel() for axis in np.indices(space.cardinalities)], axis=1).astype(np.int16)
    header = space.blocks(space.largest()[None])[0, :blocks]
    having = (space.blocks(everything)[:, :blocks] == header).all(axis=(1, 2))
    expected = set(space.ids(everything[having]))
    free = np.stack([axis.ravel() for axis in np.indices(frozen.cardinalities)], axis=1).astype(np.int16)
    assert set(frozen.ids(free)) == expected
    assert frozen.size() == len(expected)
    # What it calls canonical is canonical in the whole space too: proxies and supernets need not know of the header.
    canonical = frozen.canonical(free)
    assert (space.canonical(canonical) == canonical).all()
    assert space.ids(canonical) == frozen.ids(free)
    assert (space.decode(canonical) == frozen.decode(free)).all()


def test_a_frozen_space_samples_and_ends_inside_itself(space: SearchSpace) -> None:
    frozen = space.frozen(2)
    header = space.blocks(space.largest()[None])[0, :2]
    for genomes in (frozen.sample(np.random.default_rng(0), 50), frozen.smallest()[None], frozen.largest()[None]):
        assert (space.blocks(genomes)[:, :2] == header).all()
    assert frozen.ids(frozen.largest()[None]) == space.ids(space.largest()[None])
    assert frozen.fingerprint == space.fingerprint
    assert frozen.frozen(0).size() == space.size()
    with pytest.raises(ValueError, match="a header of 3 blocks: the space has 3, and at least one must stay free"):
        space.frozen(3)
