"""A trained network and its pruned forms: the weights stay the network's own, its batch norms are calibrated anew."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.errors import OWN_PARTS, PruningError, UnknownNameError
from evo_fair.files import digest
from evo_fair.nets.network import calibrate
from evo_fair.nets.threads import torch_threads
from evo_fair.own.blocks import removable_blocks, without_blocks
from evo_fair.own.layers import TracedLayers, blocks_with_rows, exported_rows, trace_layers
from evo_fair.own.space import NetworkSpace, Orders, channel_levels
from evo_fair.pruning.criteria import CRITERIA, check_criteria, criterion_named
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.selection import check_prunable
from evo_fair.pruning.structure import ChannelGroup
from evo_fair.pruning.task import Task, content_of
from evo_fair.pruning.trials import untrainable_groups

__all__ = [
    "DEFAULT_ORDERS",
    "OwnNetwork",
    "channel_orders",
    "check_orders",
    "check_searchable",
    "check_traceable",
    "open_network",
    "prunable_groups",
]

DEFAULT_ORDERS = ("magnitude_l1", "taylor")
"""The criteria that order channels unless others are asked for: by the first one uniform pruning is usually done."""


@dataclass(frozen=True, eq=False)
class OwnNetwork:
    """A network in evaluation mode, and the space of what pruning can leave of it."""

    whole: nn.Module
    space: NetworkSpace

    def pruned(self, genome: Sequence[int]) -> nn.Module:
        """A copy of the network with what a genome `[genes]` leaves of it, and the whole one's statistics."""
        smaller = remove_channels(self.whole, self.space.groups, self.space.keep(genome)).eval()
        return without_blocks(smaller, self.space.left_out(genome))

    def calibrated(self, genome: Sequence[int], x: torch.Tensor) -> nn.Module:
        """The same, with the batch norms' statistics of normalised inputs `x` `[n, ...]`."""
        network = self.pruned(genome)
        with torch_threads(1):
            calibrate(network, x)
        return network


def open_network(network: nn.Module, task: Task, orders: Orders) -> OwnNetwork:
    """A network as a space, its channels ordered by `orders`: see `channel_orders`.

    Raises `PruningError` where no channels can leave; layer tables raise it where latency can't be told.
    """
    groups = prunable_groups(network, task)

    def trace() -> TracedLayers:
        with torch_threads(1):
            return trace_layers(network, groups, task.dataset.input_shape, blocks, found)

    with torch_threads(1):
        blocks = removable_blocks(network, groups, task.example)
        found = blocks_with_rows(network, blocks, task.dataset.input_shape)
        blocks = {name: blocks[name] for name in found.without}
    return OwnNetwork(network, NetworkSpace(groups, orders, digest(content_of(network)), trace, blocks))


def prunable_groups(network: nn.Module, task: Task) -> dict[str, ChannelGroup]:
    """The channel groups that have a choice, and can be trained without some channels.

    Raises `PruningError` with all reasons where there are none.
    """
    with torch_threads(1):
        structure = task.structure(network)
    check_prunable(structure, "structured")
    groups = {name: group for name, group in structure.groups.items() if len(channel_levels(group.size)) > 1}
    if not groups:
        raise PruningError("no layer of the network has more than 2 channels: there is nothing to search")
    with torch_threads(1):
        untrainable = untrainable_groups(network, groups, task.example)  # what is found is trained on
    if len(untrainable) == len(groups):
        why = "; ".join(f"{name}: {reason}" for name, reason in untrainable.items())[:1000]
        raise PruningError(
            f"no layer of the network can lose channels ({why}): let its forward take their number from its input"
        )
    return {name: group for name, group in groups.items() if name not in untrainable}


def check_searchable(network: nn.Module, task: Task) -> None:
    """Refuses, before it is trained, a network of which no channels can leave or whose latency can't be told.

    Raises `PruningError` with the reason.
    """
    prunable_groups(network, task)
    with torch_threads(1):
        exported_rows(deepcopy(network).eval(), task.dataset.input_shape)


def check_traceable(network: nn.Module, task: Task) -> None:
    """Refuses, before it is trained, a network whose layers don't follow from its channel counts, which takes longer.

    Raises `PruningError`, as its layer tables would once it is trained.
    """
    _ = open_network(deepcopy(network).eval(), task, {}).space.layers


def check_orders(names: Sequence[str]) -> tuple[str, ...]:
    """The criteria of these names, each once; raises `UnknownNameError` or `PruningError` for others."""
    for name in names:
        if name not in CRITERIA:
            raise UnknownNameError("criterion", name, sorted(CRITERIA), OWN_PARTS)
        if list(names).count(name) > 1:
            raise PruningError(f"the order by {name!r} is asked for twice: name each criterion once")
    if not names:
        raise PruningError(f"no criterion orders the channels: name one, such as {DEFAULT_ORDERS[0]}")
    return tuple(names)


def channel_orders(network: nn.Module, task: Task, criteria: Sequence[str]) -> Orders:
    """By criterion and channel group: the channels int64 `[channels]`, the most important first.

    Criteria look at training samples that are drawn from the recipe's seed. Of equal scores the first channel comes
    first. Raises `PruningError` for a criterion that can't score the network.
    """
    groups, structure = prunable_groups(network, task), task.structure(network)
    with torch_threads(1):
        chosen = {name: criterion_named(name) for name in check_orders(criteria)}
        rng = np.random.default_rng(task.recipe.seed)
        samples = task.samples(rng)
        check_criteria(chosen, network, structure, task.samples(np.random.default_rng(0), 2))
        orders = {}
        for name, criterion in chosen.items():
            scores = criterion(network, structure, samples, np.random.default_rng(task.recipe.seed))
            orders[name] = {group: _order(scores.channels[group], name, group) for group in groups}
    return orders


def _order(scores: npt.NDArray[np.float64], criterion: str, group: str) -> npt.NDArray[np.int64]:
    if not np.isfinite(scores).all():
        raise PruningError(
            f"the scores of {criterion} for {group!r} are not finite: the network's weights or gradients are not"
        )
    return np.argsort(-scores, kind="stable").astype(np.int64)
