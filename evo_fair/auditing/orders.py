"""Orders of a supernet's channels by a criterion: which of them its smaller networks keep."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.auditing.paths import Importance
from evo_fair.errors import OWN_PARTS, UnknownNameError
from evo_fair.nets import Network, Supernet
from evo_fair.nets.channels import SharedChannels, channel_groups, reader_importance, reorder_channels
from evo_fair.pruning import CRITERIA, Samples, criterion_named, trace_structure
from evo_fair.sources import source_hash
from evo_fair.space import Kind, SearchSpace, find_kind
from evo_fair.space.kinds import Channels, Hidden

__all__ = [
    "ORDERS",
    "ORDER_CODE",
    "check_orders",
    "importance_by_gene",
    "order_names",
    "order_source",
    "ordered",
    "seeded",
]

ORDERS = (
    "trained",
    *(name for name in CRITERIA if CRITERIA.is_built_in(name) and not CRITERIA.traits(name).orders_alike),
)
"""`trained` keeps the order that the supernet was trained with, in which its small networks learned to work; the
criteria of `evo_fair.pruning` put the channels of its full-width networks in an order of their own, as pruning does.
`lamp` orders a group's channels as `magnitude_l2` does. Criteria of the user's own come behind them: `order_names`."""

ORDER_CODE = 1
"""Counts up when the same criterion would give another order, so that stored orders are made anew."""


def order_names() -> tuple[str, ...]:
    """The names of all orders, those of the user's own criteria among them."""
    own = (name for name in CRITERIA.own_names() if not CRITERIA.traits(name).orders_alike)
    return (*ORDERS, *own)


def order_source(criterion: str) -> str:
    """A hash of what a criterion of the user's own says, so that an order of another one is not taken for its own.

    Args:
        criterion: The criterion's name.
    """
    return "" if criterion in ORDERS else source_hash(CRITERIA.code(criterion))


def check_orders(names: tuple[str, ...]) -> None:
    """Raises `UnknownNameError` for a criterion that there is not.

    Args:
        names: Criteria's names.
    """
    for name in names:
        if name not in order_names():
            raise UnknownNameError("criterion", name, list(order_names()), OWN_PARTS)


def seeded(criterion: str) -> bool:
    """Whether an order differs from seed to seed.

    Args:
        criterion: The criterion's name.
    """
    if criterion in ORDERS:
        return criterion == "random"
    return not CRITERIA.traits(criterion).seedless


def ordered(supernet: Supernet, criterion: str, seed: int, samples: Samples) -> Supernet:
    """A copy of the supernet, its channels in a criterion's order; full-width networks compute what they did.

    A criterion scores the channels of full-width networks, one for each kind of block,
    as ranks within each group of channels that move together; of channels that several
    of them have, the mean rank counts. `samples` are what the criterion looks at, and
    give the networks their batch-norm statistics.

    Args:
        supernet: The supernet.
        criterion: The criterion's name.
        seed: The seed, 0 or more.
        samples: The samples that the criterion looks at.
    """
    weights = {name: tensor.detach().clone() for name, tensor in supernet.weights.items()}
    copy = Supernet(supernet.space, weights, supernet.mean, supernet.scale)
    if criterion == "trained":
        return copy
    groups = list(channel_groups(copy.space))
    rng = np.random.default_rng(seed)
    if criterion == "random":
        for group in groups:
            reorder_channels(copy, group, rng.permutation(_size(copy, group)))
        return copy
    ranks = {group.outputs[0]: np.zeros(_size(copy, group)) for group in groups}
    for network in _networks_of_one_kind(copy, samples.x):
        structure = trace_structure(network, samples.x[:2])
        scores = criterion_named(criterion)(network, structure, samples, rng)
        for name, values in scores.channels.items():
            place = _place_of(name, network, ranks)
            ranks[place] += np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)
    for group in groups:
        reorder_channels(copy, group, np.argsort(-ranks[group.outputs[0]], kind="stable"))
    return copy


def _networks_of_one_kind(supernet: Supernet, x: torch.Tensor) -> Iterator[Network]:
    """The full-width network of each kind, with the largest kernels, calibrated on `x`; other kinds where a stage
    lacks it."""
    space = supernet.space
    for kind in dict.fromkeys(kind for stage in space.schema.stage for kind in stage.blocks if not kind.identity):
        genome = (space.cardinalities - 1).astype(np.int16)
        for gene in np.flatnonzero(~space.ordered).tolist():
            kinds = space.stage_of(gene).blocks
            genome[gene] = kinds.index(kind) if kind in kinds else space.kind_choices(gene)[0]
        network = supernet.extract(space.canonical(genome[None])[0])
        network.calibrate(x)
        yield network.eval()


def _place_of(layer: str, network: Network, places: dict[str, npt.NDArray[np.float64]]) -> str:
    """The first tensor of the supernet's channel group that a network's layer, `units.stage1_slot2_expand.layer`,
    makes."""
    *place, unit = layer.split(".")[1].split("_")
    if place == ["stem"]:
        return "stem.CB.conv.weight"
    slot = ".".join(place)
    kind = next(block.kind for block in network.blocks if block.name == slot)
    for channels in (Channels.HIDDEN, Channels.SQUEEZED):
        inside = [inner.name for inner in kind.giving(channels)]
        if unit in inside:
            return f"{slot}.{kind.name}.{inside[0]}.weight"
    return next(name for name in places if name.startswith(f"{place[0]}.slot1.") and _is_output(name))


def _is_output(tensor: str) -> bool:
    """Whether the first tensor of a group makes a stage's output, not what lies within a block."""
    kind, unit = tensor.split(".")[2:4]
    return kind == "shortcut" or unit in [inner.name for inner in find_kind(kind).giving(Channels.OUT)]


def _size(supernet: Supernet, group: SharedChannels) -> int:
    return len(supernet.weights[group.outputs[0]])


def importance_by_gene(supernet: Supernet, base: npt.NDArray[np.int16]) -> Importance:
    """What `pruning_path` asks for the scope `global`: the importance of the channels behind each gene of `base`.

    It is `reader_importance`, 1 on average for every weight that reads a channel,
    divided by the number of readers, so that layers can be compared; the criterion says
    which channels a layer keeps, and this which layers lose most.

    Args:
        supernet: The supernet.
        base: A genome at full width, int16 `[genes]`.
    """
    space = supernet.space
    kinds = {block.name: block.kind for block in space.architecture(base)}
    found: dict[int, npt.NDArray[np.float64]] = {}
    for group in channel_groups(space):
        values = reader_importance(supernet, group).numpy().astype(np.float64) / len(group.inputs)
        for gene in _genes_of(space, group, kinds):
            found[gene] = values
    return found


def _genes_of(space: SearchSpace, group: SharedChannels, kinds: dict[str, Kind]) -> list[int]:
    """The genes that say how many of a group's channels a network has; none where its block is of another kind."""
    place = group.outputs[0].split(".")
    names = space.gene_names
    if place[0] == "stem":
        return [names.index("stem.width")]
    if not _is_output(group.outputs[0]):
        slot = ".".join(place[:2])
        kind = find_kind(place[2])
        follows = place[3] in [inner.name for inner in kind.giving(Channels.SQUEEZED)]  # the hidden channels
        return [names.index(f"{slot}.keep")] if kinds.get(slot) is kind and not follows else []
    if place[2] != "shortcut" and find_kind(place[2]).hidden == Hidden.UNITS:
        return [g for g, name in enumerate(names) if name.startswith(f"{place[0]}.slot") and name.endswith(".keep")]
    return [names.index(f"{place[0]}.width")]
