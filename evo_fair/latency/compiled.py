"""The latency model of one search space as tables by slot: a genome's milliseconds are a sum of gathers.

What a slot costs depends on its own genes and on the channels that reach it. So a slot has a table over those channels,
its stage's width and its kind, kernel, expansion and keep level. It is filled once, by letting the space itself decode
every such choice and asking the layer model for its layers; stem and classifier have a table each. The slots of a stage
after its first share one. The sums are those over layers, in another order.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from evo_fair.arrays import Floats, Genomes, Ints
from evo_fair.latency.profile import Profile
from evo_fair.space import SearchSpace
from evo_fair.space.decode import SLOT_GENES, BlockTable, layers_of

__all__ = ["CompiledLatency", "compile_latency"]


_AXES = 2 + SLOT_GENES  # the channels that reach a slot, its stage's width, its own genes
_CHANNELS, _WIDTH, _KIND, _KEEP = 0, 1, 2, 5


class _Tables(NamedTuple):
    """All slots' tables end to end; the entry of a slot is `start + sum(choice * step)` over its axes."""

    ms: Floats
    start: Ints  # [slots]
    step: Ints  # [slots, axes]
    width_gene: Ints  # [slots]
    first_gene: Ints  # [slots]
    skip: Ints  # [slots], the kind gene that means no block
    stem_ms: Floats  # [choices of the stem's width], a network's fixed cost included; one entry for a tabular space
    end_ms: Floats  # [choices of the channels at the end], global pooling and classifier
    tabular: bool
    cardinalities: Genomes


@dataclass(frozen=True)
class CompiledLatency:
    """A profile's latency on one space, compiled."""

    space: SearchSpace
    tables: _Tables

    @property
    def entries(self) -> int:
        """How many choices of blocks the tables hold."""
        return self.tables.ms.size

    def latency_ms(self, genomes: npt.ArrayLike) -> Floats:
        """Milliseconds of genomes int16 `[networks, genes]`, canonical or not, float64 `[networks]`.

        Genes of a frozen header count as the space has them. Raises `ValueError` naming the first gene out of range.
        """
        array = np.asarray(genomes)
        if self.space.header or array.dtype != np.int16 or array.shape[1:] != self.space.cardinalities.shape:
            array = self.space.check(array)
        out = np.empty(array.shape[0])
        if _gather(self.tables, np.ascontiguousarray(array), out):
            self.space.check(array)
        return out


def compile_latency(profile: Profile, space: SearchSpace) -> CompiledLatency:
    """Compiles what `profile` says of every network in `space`.

    Raises `ValueError` for a space in which strides are chosen: what a slot costs there depends on those before it.
    """
    if any(name.endswith(".stride") for name in space.gene_names):
        raise ValueError("a space in which strides are chosen has no tables by slot: use Profile.latency_ms")
    return CompiledLatency(space, _Filler(profile, space.frozen(0)).tables())


class _Filler:
    """Fills the tables from what the space decodes."""

    def __init__(self, profile: Profile, space: SearchSpace) -> None:
        self.profile, self.space, self.plan = profile, space, space.plan
        self.stem = int(space.plan.stem.size > 0)
        slots = space.plan.slots
        self.width_gene = self.stem + np.concatenate([[0], np.cumsum(1 + SLOT_GENES * slots)[:-1]]).astype(np.int64)
        self.first_block = self.stem + np.concatenate([[0], np.cumsum(slots)[:-1]]).astype(np.int64)

    def tables(self) -> _Tables:
        """The tables of the whole space."""
        stages = range(self.plan.slots.size)
        ms, start, step, width_gene, first_gene, skip = [], [], [], [], [], []
        size = 0
        for stage in stages:
            for slot in range(self.plan.slots[stage]):
                if slot < 2:
                    table = self._slot(stage, slot)
                    ms.append(table.ravel())
                    size, begin = size + table.size, size
                    steps = [
                        0 if length == 1 else stride // table.itemsize
                        for length, stride in zip(table.shape, table.strides, strict=True)
                    ]
                start.append(begin)
                step.append(steps)
                width_gene.append(self.width_gene[stage])
                first_gene.append(self._first_gene(stage, slot))
                skip.append(self._skip(stage))
        return _Tables(
            np.concatenate(ms),
            np.array(start, np.int64),
            np.array(step, np.int64),
            np.array(width_gene, np.int64),
            np.array(first_gene, np.int64),
            np.array(skip, np.int64),
            self._stem(),
            self._end(),
            not self.stem,
            self.space.cardinalities,
        )

    def _first_gene(self, stage: int, slot: int) -> int:
        return int(self.width_gene[stage]) + 1 + SLOT_GENES * slot

    def _skip(self, stage: int) -> int:
        return int(self.plan.skips[stage])

    def _slot(self, stage: int, slot: int) -> Floats:
        """The milliseconds of a slot's blocks, float64 `[channels, width, kind, kernel, expansion, keep]`."""
        first = self._first_gene(stage, slot)
        own = [int(self.space.cardinalities[first + i]) for i in range(SLOT_GENES)]
        widths = 1 if slot or not self.stem else int(self.space.cardinalities[self.width_gene[stage]])
        shape = (self._choices_of_channels(stage, slot), widths, *own)
        choice = np.indices(shape).reshape(_AXES, -1)
        genomes = np.zeros((choice.shape[1], len(self.space.gene_names)), np.int16)
        if widths > 1:
            genomes[:, self.width_gene[stage]] = choice[_WIDTH]
        self._let_in(genomes, stage, slot, choice[_CHANNELS])
        genomes[:, first : first + SLOT_GENES] = choice[_KIND:].T
        block = int(self.first_block[stage]) + slot
        return self._block_ms(self.space.blocks(genomes)[:, block : block + 1]).reshape(shape)

    def _choices_of_channels(self, stage: int, slot: int) -> int:
        source = stage if slot else stage - 1
        if source < 0:
            return int(self.plan.stem.size) if self.stem else 1
        gene = self.width_gene[source] if self.stem else self._first_gene(source, 0) + SLOT_GENES - 1
        return int(self.space.cardinalities[gene])

    def _let_in(self, genomes: Genomes, stage: int, slot: int, channels: Ints) -> None:
        """Sets the genes that decide which channels reach a slot, so that the choices `channels` do."""
        source = stage if slot else stage - 1
        if self.stem:
            genomes[:, self.width_gene[source] if source >= 0 else 0] = channels
        elif source >= 0:
            genomes[:, self._first_gene(source, 0) + SLOT_GENES - 1] = channels
            for between in range(1, slot if slot else int(self.plan.slots[source])):
                genomes[:, self._first_gene(source, between)] = self._skip(source)

    def _stem(self) -> Floats:
        if not self.stem:
            return np.array([self.profile.network_ms])
        genomes = np.zeros((self.plan.stem.size, len(self.space.gene_names)), np.int16)
        genomes[:, 0] = np.arange(self.plan.stem.size)
        return self.profile.network_ms + self._block_ms(self.space.blocks(genomes)[:, :1])

    def _end(self) -> Floats:
        """The milliseconds of what follows the blocks, for each choice of the channels that leave the last stage."""
        last = int(self.plan.slots.size) - 1
        genomes = np.zeros((self._choices_of_channels(last, 1), len(self.space.gene_names)), np.int16)
        self._let_in(genomes, last, 1, np.arange(len(genomes)))
        block = int(self.first_block[last])
        layers, behind = self._layers(self.space.blocks(genomes)[:, block : block + 1])
        ms: Floats = np.where(behind, layers, 0.0).sum(axis=1)
        return ms

    def _block_ms(self, blocks: BlockTable) -> Floats:
        layers, behind = self._layers(blocks)
        ms: Floats = np.where(behind, 0.0, layers).sum(axis=1)
        return ms

    def _layers(self, blocks: BlockTable) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Milliseconds of the layers of single blocks `[choices, layers]`, and which of them follow the block."""
        table = layers_of(self.plan, np.ascontiguousarray(blocks))
        ends = (table[:, :, 0] > 0).sum(axis=1) - (2 if self.stem else 1)
        return self.profile.layer_ms(table), np.arange(table.shape[1]) >= ends[:, None]


@njit(cache=True)
def _one(tables: _Tables, genome: npt.NDArray[np.int16]) -> float:
    channels = np.int64(genome[0]) if not tables.tabular else 0
    total: float = tables.stem_ms[channels]
    for s in range(tables.start.size):
        step = tables.step[s]
        first = tables.first_gene[s]
        width = np.int64(genome[tables.width_gene[s]])
        entry = tables.start[s] + channels * step[0] + width * step[1]
        for i in range(SLOT_GENES):
            entry += genome[first + i] * step[2 + i]
        total += tables.ms[entry]
        if not tables.tabular:
            channels = width
        elif genome[first] != tables.skip[s]:
            channels = np.int64(genome[first + SLOT_GENES - 1])
    total += tables.end_ms[channels]
    return total


@njit(cache=True, parallel=True)
def _gather(tables: _Tables, genomes: npt.NDArray[np.int16], out: Floats) -> int:
    """Fills `out` and returns how many genomes have a gene out of range; theirs are left as they are."""
    wrong = 0
    for n in prange(genomes.shape[0]):
        genome = genomes[n]
        fits = True
        for g in range(genome.size):
            fits &= (genome[g] >= 0) & (genome[g] < tables.cardinalities[g])
        if fits:
            out[n] = _one(tables, genome)
        else:
            wrong += 1
    return wrong
