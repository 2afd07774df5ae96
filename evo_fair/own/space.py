"""The space of one trained network: which of its channels stay, as genomes of a search."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from evo_fair.evolution.evaluator import Genomes
from evo_fair.files import digest
from evo_fair.layers import LayerTable
from evo_fair.own.layers import TracedLayers
from evo_fair.pruning.structure import ChannelGroup, Keep
from evo_fair.space.genes import checked_genomes

__all__ = ["ORDER_GENE", "NetworkSpace", "Orders", "channel_levels"]

Orders = Mapping[str, Mapping[str, npt.NDArray[np.int64]]]
"""By criterion and channel group: the channels int64 `[channels]`, the most important first."""

ORDER_GENE = "order"

_BLOCK_GENE = "block {}"

_LEFT_OUT = 1 / 8
"""Of drawn genomes each block is missing in so many: as many as have the lowest of eight levels of a group."""

_FEW = 32
"""Groups of fewer channels have levels of an eighth of them, as multiples of 8 would leave hardly any choice."""

_SHARES = 8
"""The lowest level is so many times smaller than the whole group."""

_UNIFORM = 8, 16
"""In so many even steps from nothing to all go the uniform prunings that a search begins with, coarse ones first."""

_LEAST = 2
"""Channels that stay at least: a depthwise convolution of one channel would be another operator."""


def channel_levels(size: int) -> tuple[int, ...]:
    """How many of `size` channels can stay: multiples of 8 from an eighth to all, in finer steps for few channels."""
    step = 8 if size >= _FEW else max(1, size // _SHARES)
    first = -(-size // (_SHARES * step)) * step
    levels = [level for level in range(first, size, step) if level >= _LEAST]
    return (*levels, size)


@dataclass(frozen=True, eq=False)
class NetworkSpace:
    """What pruning can leave of one network, as genomes int16 `[networks, genes]`.

    A gene for each channel group in `groups` says how many of its channels stay, as a place among its levels. One for
    each of the `blocks` says whether that stays, 1, or is left out, 0, and with it the groups that it names. Where
    there are several `orders`, the last gene says which of them tells the channels that matter most. `weights` is a
    hash of the network that is pruned: genomes of other networks have other ids. `trace` finds out how layers follow
    from channel counts; it is called once, when a layer table is first asked for.
    """

    groups: Mapping[str, ChannelGroup]
    orders: Orders
    weights: str
    trace: Callable[[], TracedLayers]
    blocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def layers(self) -> TracedLayers:
        """How layer tables follow from the channels that stay."""
        return self.trace()

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The channel counts that each group's gene chooses from, ascending."""
        return tuple(channel_levels(group.size) for group in self.groups.values())

    @cached_property
    def gene_names(self) -> tuple[str, ...]:
        """The groups' names, each that of the first layer that makes its channels, `block` and its name, `order`."""
        blocks = map(_BLOCK_GENE.format, self.blocks)
        return (*self.groups, *blocks, *([ORDER_GENE] if self._order_gene else []))

    @property
    def _order_gene(self) -> bool:
        return len(self.orders) > 1

    @cached_property
    def cardinalities(self) -> Genomes:
        """How many values each gene takes, int16 `[genes]`."""
        counts = [len(levels) for levels in self.levels]
        counts += [2] * len(self.blocks)
        found = np.array([*counts, *([len(self.orders)] if self._order_gene else [])], np.int16)
        found.flags.writeable = False  # strategies of the user's own see them
        return found

    @cached_property
    def ordered(self) -> npt.NDArray[np.bool_]:
        """Whether neighbouring values of a gene mean neighbouring networks, bool `[genes]`: all but the order's."""
        return np.array([name != ORDER_GENE or not self._order_gene for name in self.gene_names])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that genomes mean: the network, its groups and levels, and the channels' orders."""
        parts = [self.weights]
        for name, levels in zip(self.groups, self.levels, strict=True):
            parts.append(f"{name}: {levels}")
            parts += [f"{criterion}: {order[name].tolist()}" for criterion, order in self.orders.items()]
        parts += [_BLOCK_GENE.format(f"{name}: {groups}") for name, groups in self.blocks.items()]
        return digest(*parts)

    def check(self, genomes: npt.ArrayLike) -> Genomes:
        """Returns `genomes` as int16 `[networks, genes]`; raises `ValueError` naming the first gene out of range."""
        return checked_genomes(genomes, self.gene_names, self.cardinalities)

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """Draws `n` genomes in canonical form, every gene uniformly but a block's; duplicates can occur."""
        genomes = rng.integers(0, self.cardinalities, (n, self.cardinalities.size), dtype=np.int16)
        if self.blocks:
            genomes[:, self._block_genes] = rng.random((n, len(self.blocks))) >= _LEFT_OUT
        return self.canonical(genomes)

    def known_genomes(self) -> Genomes:
        """Uniform prunings by each order, from the whole network on: everywhere about the same share of channels.

        All blocks stay. A search that has seen them ends no worse than they are. Canonical and all different, int16
        `[networks, genes]`.
        """
        found: dict[bytes, Genomes] = {}
        shares = [step / steps for steps in _UNIFORM for step in range(steps, 0, -1)]
        for share, order in itertools.product(shares, range(len(self.orders))):
            genome = self.largest()
            for gene, levels in enumerate(self.levels):
                genome[gene] = np.abs(np.array(levels) - share * levels[-1]).argmin()
            if self._order_gene:
                genome[-1] = order
            row: Genomes = self.canonical(genome[None])[0]
            found.setdefault(row.tobytes(), row)
        return np.stack(list(found.values()))

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        """The one form that genomes of the same network share.

        What lies within a block that is left out is whole, and of the orders that keep the same channels the first is
        named.
        """
        array = self.check(genomes).copy()
        counts = array[:, : len(self.groups)]
        counts[:] = np.where(self._absent(array), self.cardinalities[: len(self.groups)] - 1, counts)
        if not self._order_gene:
            return array
        rows = np.arange(len(array))
        alike = np.ones((len(array), len(self.orders)), np.bool_)
        for gene, same in enumerate(self._same_channels):
            alike &= same[array[:, gene], array[:, -1]]
        array[rows, -1] = alike.argmax(axis=1)
        return array

    @cached_property
    def _same_channels(self) -> list[npt.NDArray[np.bool_]]:
        """By group: whether at a level two orders keep the same channels, bool `[levels, orders, orders]`."""
        found = []
        for name, levels in zip(self.groups, self.levels, strict=True):
            orders = [order[name] for order in self.orders.values()]
            kept = np.array([[_stays(order, level) for order in orders] for level in levels])  # [levels, orders, ...]
            found.append((kept[:, :, None] == kept[:, None]).all(axis=3))
        return found

    def decode(self, genomes: npt.ArrayLike) -> LayerTable:
        """The layer table of genomes, int32 `[networks, layers, 8]`: what their exported ONNX files are read as.

        Rows of 0 stand at the end where blocks are left out.
        """
        return self.layers.table(self.channels(genomes), self.present(genomes))

    def channels(self, genomes: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """How many channels of each group stay, int64 `[networks, groups]`; all within blocks that are left out."""
        array = self.check(genomes)
        columns = [np.array(levels)[array[:, gene]] for gene, levels in enumerate(self.levels)]
        counts = np.stack(columns, axis=1).astype(np.int64)
        return np.where(self._absent(array), self._sizes, counts)

    def present(self, genomes: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of the blocks stay, bool `[networks, blocks]`."""
        stay: npt.NDArray[np.bool_] = self.check(genomes)[:, self._block_genes] == 1
        return stay

    def left_out(self, genome: Sequence[int]) -> tuple[str, ...]:
        """The blocks that a genome `[genes]` leaves out."""
        stay = self.present(np.asarray(genome)[None])[0]
        return tuple(name for name, stays in zip(self.blocks, stay, strict=True) if not stays)

    @property
    def _block_genes(self) -> slice:
        return slice(len(self.groups), len(self.groups) + len(self.blocks))

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        return np.array([group.size for group in self.groups.values()], np.int64)

    def _absent(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which groups lie within blocks that are left out, bool `[networks, groups]`."""
        within = np.array([[name in held for name in self.groups] for held in self.blocks.values()], np.bool_)
        gone = genomes[:, self._block_genes] == 0
        absent: npt.NDArray[np.bool_] = gone @ within.reshape(len(self.blocks), len(self.groups))
        return absent

    def keep(self, genome: Sequence[int]) -> Keep:
        """Which channels of each group stay for a genome `[genes]`; groups that stay whole are left out."""
        counts = self.channels(np.asarray(genome)[None])[0]
        order = self.order_of(genome)
        return {
            name: self.stays(name, int(count), order)
            for (name, group), count in zip(self.groups.items(), counts, strict=True)
            if count < group.size
        }

    def stays(self, group: str, count: int, order: str) -> npt.NDArray[np.bool_]:
        """Which of a group's channels stay where `count` do, the most important by a criterion's order."""
        return _stays(self.orders[order][group], count)

    def order_of(self, genome: Sequence[int]) -> str:
        """The criterion by whose order the channels of a genome `[genes]` stay."""
        return list(self.orders)[int(genome[-1]) if self._order_gene else 0]

    def ids(self, genomes: npt.ArrayLike) -> list[str]:
        """The names of the genomes' networks: 12 hex digits of a hash of the space and the canonical genome."""
        return [digest(self.fingerprint, row.tobytes())[:12] for row in self.canonical(genomes).astype("<i2")]

    def largest(self) -> Genomes:
        """The genome `[genes]` of the whole network."""
        top = (self.cardinalities - 1).astype(np.int16)
        whole: Genomes = self.canonical(top[None])[0]
        return whole

    def smallest(self) -> Genomes:
        """The genome `[genes]` of the network with the fewest channels everywhere, and without blocks that can go."""
        least: Genomes = self.canonical(np.zeros_like(self.cardinalities)[None])[0]
        return least

    def size(self) -> int:
        """How many genomes there are; of those that differ in the order alone, some mean the same network."""
        return math.prod(map(int, self.cardinalities))

    @property
    def magnitude(self) -> str:
        """Its size in words: `10^13.2`."""
        return f"10^{math.log10(self.size()):.1f}"

    def described(self, genome: Sequence[int]) -> list[dict[str, object]]:
        """What stays of each group, for a network's card; the blocks that are left out come behind."""
        row = self.canonical(np.asarray(genome)[None])
        counts, absent, left_out = self.channels(row)[0], self._absent(row)[0], self.left_out(row[0].tolist())
        stays: list[dict[str, object]] = [
            {"layer": name, "channels": int(count), "of": group.size}
            for (name, group), count, gone in zip(self.groups.items(), counts, absent, strict=True)
            if not gone
        ]
        return stays + [{"left_out": name} for name in left_out]

    def __repr__(self) -> str:
        return f"NetworkSpace({len(self.gene_names)} genes, {self.magnitude} networks)"


def _stays(order: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    stays = np.zeros(len(order), np.bool_)
    stays[order[:count]] = True
    return stays
