"""Orders of a supernet's channels by a criterion: which of them its smaller networks keep."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.audit.paths import Importance
from evo_fair.errors import UnknownNameError
from evo_fair.nets import Supernet
from evo_fair.nets.channels import ChannelGroup, channel_groups, reader_importance, reorder_channels
from evo_fair.space import Kind, SearchSpace

__all__ = ["ORDERS", "check_orders", "importance_by_gene", "ordered", "seeded"]

Sorter = Callable[[Supernet, ChannelGroup, np.random.Generator], npt.NDArray[np.int64]]


def _by_magnitude(supernet: Supernet, group: ChannelGroup, _: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.argsort(-reader_importance(supernet, group).numpy(), kind="stable")


def _at_random(supernet: Supernet, group: ChannelGroup, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return rng.permutation(len(supernet.weights[group.outputs[0]]))


ORDERS: dict[str, Sorter | None] = {"trained": None, "magnitude": _by_magnitude, "random": _at_random}
"""The criteria: `trained` keeps the order that the supernet was trained with, in which its small networks learned to
work; the others take the channels of its full-size networks in an order of their own, as pruning a network does."""


def check_orders(names: tuple[str, ...]) -> None:
    """Raises `UnknownNameError` for a criterion that there is not."""
    for name in names:
        if name not in ORDERS:
            raise UnknownNameError("criterion", name, list(ORDERS))


def seeded(criterion: str) -> bool:
    """Whether an order differs from seed to seed."""
    return criterion == "random"


def ordered(supernet: Supernet, criterion: str, seed: int) -> Supernet:
    """A copy of the supernet, its channels in a criterion's order; full-width networks compute what they did."""
    weights = {name: tensor.detach().clone() for name, tensor in supernet.weights.items()}
    copy = Supernet(supernet.space, weights, supernet.mean, supernet.scale)
    sorter = ORDERS[criterion]
    rng = np.random.default_rng(seed)
    if sorter is not None:
        for group in list(channel_groups(copy.space)):
            reorder_channels(copy, group, sorter(copy, group, rng))
    return copy


@torch.no_grad()
def importance_by_gene(supernet: Supernet, base: npt.NDArray[np.int16]) -> Importance:
    """What `pruning_path` asks for the scope `global`: the importance of the channels behind each gene of `base`.

    It is `reader_importance`, 1 on average for every weight that reads a channel, divided by the number of readers, so
    that layers can be compared.
    """
    space = supernet.space
    kinds = {block.name: block.kind for block in space.architecture(base)}
    found: dict[int, npt.NDArray[np.float64]] = {}
    for group in channel_groups(space):
        values = reader_importance(supernet, group).numpy().astype(np.float64) / len(group.inputs)
        for gene in _genes_of(space, group, kinds):
            found[gene] = values
    return found


def _genes_of(space: SearchSpace, group: ChannelGroup, kinds: dict[str, Kind]) -> list[int]:
    """The genes that say how many of a group's channels a network has; none where its block is of another kind."""
    place = group.outputs[0].split(".")
    names = space.gene_names
    if place[0] == "stem":
        return [names.index("stem.width")]
    if place[2] == Kind.FC.name:
        return [g for g, name in enumerate(names) if name.startswith(f"{place[0]}.slot") and name.endswith(".keep")]
    if place[1] == "slot1" and place[2] == "shortcut":
        return [names.index(f"{place[0]}.width")]
    slot = ".".join(place[:2])
    return [names.index(f"{slot}.keep")] if kinds.get(slot) is Kind[place[2]] else []
