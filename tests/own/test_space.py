"""The space of one network: levels, genomes, ids."""

import numpy as np
import pytest

from evo_fair.own import NetworkSpace, OwnNetwork
from evo_fair.own.space import channel_levels
from evo_fair.pruning.removal import remove_channels

from .conftest import opened


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (2, (2,)),
        (3, (2, 3)),
        (8, (2, 3, 4, 5, 6, 7, 8)),
        (16, (2, 4, 6, 8, 10, 12, 14, 16)),
        (20, (4, 6, 8, 10, 12, 14, 16, 18, 20)),
        (32, (8, 16, 24, 32)),
        (100, (16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 100)),
        (128, tuple(range(16, 129, 8))),
    ],
)
def test_levels_go_from_an_eighth_to_all(size: int, levels: tuple[int, ...]) -> None:
    assert channel_levels(size) == levels


def test_the_largest_genome_is_the_whole_network(own: OwnNetwork) -> None:
    assert own.space.keep(own.space.largest().tolist()) == {}
    least = own.space.smallest().tolist()
    assert own.space.left_out(least) == tuple(own.space.blocks)
    within = {name for held in own.space.blocks.values() for name in held}
    assert {name: int(stays.sum()) for name, stays in own.space.keep(least).items()} == {
        name: levels[0] for name, levels in zip(own.space.groups, own.space.levels, strict=True) if name not in within
    }


def test_the_most_important_channels_stay(own: OwnNetwork) -> None:
    genome = own.space.sample(np.random.default_rng(0), 1)[0].tolist()
    order = own.space.orders["magnitude_l2"]
    for name, stays in own.space.keep(genome).items():
        count = int(stays.sum())
        assert sorted(np.flatnonzero(stays)) == sorted(order[name][:count].tolist())


def test_genomes_out_of_range_are_named(own: OwnNetwork) -> None:
    space = own.space
    genome = space.largest()[None].copy()
    genome[0, 1] += 1
    with pytest.raises(ValueError, match=f"gene {space.gene_names[1]} of genome 0 is"):
        space.canonical(genome)
    with pytest.raises(ValueError, match=r"genomes are integers \[networks"):
        space.ids(genome[0])


def test_ids_are_equal_for_equal_networks_alone() -> None:
    space = opened("squeezed", ("magnitude_l2", "random")).space
    genomes = space.sample(np.random.default_rng(0), 60)
    genomes = np.concatenate([genomes, genomes])
    genomes[60:, -1] = 1 - genomes[60:, -1]  # the other order
    genomes[:3, :-1] = genomes[60:63, :-1] = space.largest()[:-1]
    kept = [(_kept(space, genome.tolist()), space.left_out(genome.tolist())) for genome in genomes]
    ids = space.ids(genomes)
    pairs = [(a, b) for a in range(len(ids)) for b in range(a)]
    assert any(kept[a] == kept[b] for a, b in pairs)
    assert all((kept[a] == kept[b]) == (ids[a] == ids[b]) for a, b in pairs)


def _kept(space: NetworkSpace, genome: list[int]) -> dict[str, bytes]:
    return {name: stays.tobytes() for name, stays in space.keep(genome).items()}


def test_canonical_genomes_are_their_own_form() -> None:
    space = opened("squeezed", ("magnitude_l2", "random")).space
    genomes = space.sample(np.random.default_rng(1), 50)
    assert np.array_equal(space.canonical(genomes), genomes)
    assert space.ordered.tolist() == [True] * (len(space.gene_names) - 1) + [False]
    assert space.largest()[-1] == 0


def test_blocks_with_a_residual_can_be_left_out() -> None:
    space = opened("squeezed").space
    assert dict(space.blocks) == {"1": ("1.expand.0", "1.squeeze"), "2": ("2.expand.0", "2.squeeze")}
    assert space.gene_names[-2:] == ("block 1", "block 2")
    assert dict(opened("residual").space.blocks) == {"2": ("2.first",), "4": ("4.first",)}  # 3 has a projection
    assert not opened("dense").space.blocks


def test_what_lies_within_a_block_that_is_left_out_makes_no_difference() -> None:
    space = opened("squeezed", ("magnitude_l2", "random")).space
    genomes = np.repeat(space.largest()[None], 3, axis=0)
    genomes[:, space.gene_names.index("block 1")] = 0
    genomes[1, space.gene_names.index("1.expand.0")] = 0
    genomes[2, space.gene_names.index("2.expand.0")] = 0
    one, same, other = space.ids(genomes)
    assert one == same != other
    genome = genomes[1].tolist()
    assert space.keep(genome) == {}
    assert space.left_out(genome) == ("1",)
    assert {"left_out": "1"} in space.described(genome)
    assert not any(str(row.get("layer")).startswith("1.") for row in space.described(genome))


def test_few_drawn_genomes_lack_a_block() -> None:
    space = opened("squeezed").space
    share = space.present(space.sample(np.random.default_rng(0), 2000)).mean(axis=0)
    assert share == pytest.approx(7 / 8, abs=0.03)


def test_another_network_has_other_ids() -> None:
    own, other = opened("squeezed"), opened("squeezed", ("random",))
    genomes = own.space.sample(np.random.default_rng(0), 5)
    assert not set(own.space.ids(genomes)) & set(other.space.ids(genomes))


def test_pruned_networks_have_the_channels_that_the_space_says(own: OwnNetwork) -> None:
    genome = own.space.sample(np.random.default_rng(2), 1)[0].tolist()
    network = remove_channels(own.whole, own.space.groups, own.space.keep(genome))
    counts = dict(zip(own.space.groups, own.space.channels(np.array([genome]))[0], strict=True))
    for name, count in counts.items():
        assert network.get_submodule(name).weight.shape[0] == count


def test_uniform_prunings_are_known(own: OwnNetwork) -> None:
    space = own.space
    known = space.known_genomes()
    assert np.array_equal(known, space.canonical(known))
    assert np.array_equal(known[0], space.largest())
    assert space.present(known).all()
    sizes = np.array([group.size for group in space.groups.values()])
    lowest = np.array([levels[0] for levels in space.levels])
    steps = np.array([max(np.diff(levels)) for levels in space.levels])
    for share, counts in zip(np.arange(8, 0, -1) / 8, space.channels(known), strict=False):
        wanted = np.maximum(sizes * share, lowest)
        assert (np.abs(counts - wanted) <= steps / 2).all()


def test_uniform_prunings_by_each_order_are_known_once() -> None:
    space = opened("squeezed", ("magnitude_l2", "random")).space
    known = space.known_genomes()
    assert len(set(space.ids(known))) == len(known)
    by_order = [{row.tobytes() for row in known[known[:, -1] == order, :-1]} for order in (0, 1)]
    assert by_order[0] - by_order[1] == {space.largest()[:-1].tobytes()}  # of the whole network there is one form
    assert len(by_order[0]) > 8
