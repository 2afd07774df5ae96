"""Splits a population for several workers, so that each computes as little as possible that others compute, too."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evo_fair.space import Block, units_of

__all__ = ["macs_of", "split_evenly", "split_population"]

NetworkRows = npt.NDArray[np.int64]


def split_evenly(networks: int, parts: int) -> list[NetworkRows]:
    """The rows `[n]` of `networks`, in order, by part: as many in each, one more or less."""
    return [rows.astype(np.int64) for rows in np.array_split(np.arange(networks), parts)]


def split_population(networks: Sequence[Sequence[Block]], parts: int) -> list[NetworkRows]:
    """The rows of networks, each given by its blocks, by part; parts can be empty.

    Networks are put into the order of the tree that their beginnings form, and the order is cut where the part with the
    most to compute has as little as possible. What the networks of a part have in common counts once.
    """
    order = _tree_order(networks)
    new, whole = [], []
    before: Sequence[Block] = ()
    for row in order:
        costs = [macs_of(block) for block in networks[row]]
        shared = _shared(before, networks[row])
        new.append(sum(costs[shared:]))
        whole.append(sum(costs))
        before = networks[row]
    low, high = max(whole, default=0), sum(new) + max(whole, default=0)
    while low < high:  # the least limit within which the parts suffice
        limit = (low + high) // 2
        low, high = (low, limit) if len(_cut(new, whole, limit)) <= parts else (limit + 1, high)
    ends = _cut(new, whole, low)
    ends += [len(order)] * (parts - len(ends))
    return [np.array(order[start:end], np.int64) for start, end in zip([0, *ends], ends, strict=False)]


def _tree_order(networks: Sequence[Sequence[Block]]) -> list[int]:
    """Networks that begin alike stand together: at each depth in the order in which beginnings first occur."""
    numbers: dict[tuple[int, Block], int] = {}
    keys = []
    for blocks in networks:
        node, key = -1, []
        for block in blocks:
            node = numbers.setdefault((node, block), len(numbers))
            key.append(node)
        keys.append(key)
    return sorted(range(len(networks)), key=keys.__getitem__)


def _shared(first: Sequence[Block], second: Sequence[Block]) -> int:
    """How many blocks two networks have in common from the beginning."""
    for depth, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return depth
    return min(len(first), len(second))


def _cut(new: Sequence[int], whole: Sequence[int], limit: int) -> list[int]:
    """Where parts end that are as long as `limit` allows: the first network of each has nothing in common with one."""
    ends, cost = [], 0
    for place, (further, alone) in enumerate(zip(new, whole, strict=True)):
        if place and cost + further > limit:
            ends.append(place)
            cost = alone
        else:
            cost += further
    return [*ends, len(new)]


def macs_of(block: Block) -> int:
    """Multiply-accumulates of a block, without regard to the stride within it."""
    pixels = max(1, block.h_in) * max(1, block.w_in) // block.stride**2
    return pixels * sum(
        unit.c_out * (1 if unit.depthwise else unit.c_in) * max(1, unit.kernel) ** 2 for unit in units_of(block)
    )
