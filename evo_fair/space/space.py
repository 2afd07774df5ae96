"""The search space: which genomes there are, what they mean, and when two of them are the same network."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Genomes
from evo_fair.files import digest
from evo_fair.layers import LayerTable, macs
from evo_fair.space.blocks import Block
from evo_fair.space.decode import (
    BlockTable,
    blocks_of,
    canonical,
    kinds_of,
    layers_of,
    make_plan,
    skip_gene,
)
from evo_fair.space.genes import checked_genomes
from evo_fair.space.kinds import Hidden, definitions
from evo_fair.space.schema import SpaceSchema, Stage

__all__ = ["SearchSpace"]


class SearchSpace:
    """The networks of a schema, on inputs of a given shape and labels of a given number.

    Genomes are int16 `[networks, genes]`. The columns are `gene_names`, gene `i` takes
    the values `0 .. cardinalities[i] - 1`, and where `ordered[i]` holds neighbouring
    values mean neighbouring networks.

    The first `header` blocks are frozen to those of the largest network: every network
    has them, and their genes have one value, which stands in canonical genomes as in
    the space without a header. Other values given for them count as that one. Genomes
    of both spaces name the same networks by the same ids.

    Args:
        schema: What `[space]` says.
        input_shape: `(channels, height, width)`, or `(features,)` for a table.
        labels: How many labels there are.
        header: How many of the first blocks are frozen, the stem counted as one.
            Default: 0.

    Raises:
        ValueError: The input shape does not fit the schema.

    Example:
        >>> from evo_fair.testing import small_space
        >>> space = small_space()
        >>> genomes = space.sample(np.random.default_rng(0), 3)
        >>> space.decode(genomes).shape[0], len(space.ids(genomes)[0])
        (3, 12)
    """

    def __init__(self, schema: SpaceSchema, input_shape: tuple[int, ...], labels: int, header: int = 0) -> None:
        self.schema = schema
        self.input_shape = input_shape
        self.labels = labels
        shape = (input_shape[0], 1, 1) if len(input_shape) == 1 else input_shape
        if len(shape) != 3 or (schema.stem is None) != (len(input_shape) == 1):
            expected = "(features,)" if schema.stem is None else "(channels, height, width)"
            raise ValueError(f"input shape {input_shape} does not fit the space: expected {expected}")
        self.plan = make_plan(schema, (shape[0], shape[1], shape[2]), labels)
        self.kinds = kinds_of(schema)
        genes = list(self._genes())
        self.gene_names: tuple[str, ...] = tuple(name for name, _, _ in genes)
        self.cardinalities: Genomes = np.array([count for _, count, _ in genes], np.int16)
        self.ordered: npt.NDArray[np.bool_] = np.array([ordered for _, _, ordered in genes])
        self.block_names: tuple[str, ...] = tuple(self._block_names())
        self.fingerprint = digest(schema.model_dump_json(), str(input_shape), str(labels), *definitions(self.kinds))
        self.header = 0
        self._free = np.ones(len(genes), np.bool_)
        self._frozen = np.zeros(len(genes), np.int16)
        if header:
            self._freeze(header)
        self.cardinalities.flags.writeable = False  # strategies of the user's own see them
        self.ordered.flags.writeable = False

    def _freeze(self, blocks: int) -> None:
        if not 0 < blocks < len(self.block_names):
            raise ValueError(
                f"a header of {blocks} blocks: the space has {len(self.block_names)}, and at least one must stay free"
            )
        owners = [*self.block_names[:blocks], *(name.split(".")[0] for name in self.block_names[:blocks])]
        self._frozen = self.largest()
        self._free = np.array([gene.rpartition(".")[0] not in owners for gene in self.gene_names])
        self.cardinalities = np.where(self._free, self.cardinalities, 1).astype(np.int16)
        self.header = blocks

    def frozen(self, blocks: int) -> "SearchSpace":
        """This space with a header frozen; see the class.

        Args:
            blocks: How many of the first blocks are frozen, from the input on; 0 frees
                all.

        Returns:
            A new space.
        """
        return SearchSpace(self.schema, self.input_shape, self.labels, blocks)

    def _genes(self) -> Iterator[tuple[str, int, bool]]:
        if self.schema.stem:
            yield "stem.width", len(self.schema.stem.widths), True
            if len(self.schema.stem.strides) > 1:
                yield "stem.stride", len(self.schema.stem.strides), True
        for s, stage in enumerate(self.schema.stage, 1):
            yield f"stage{s}.width", max(1, len(stage.widths)), True
            if len(stage.strides) > 1:
                yield f"stage{s}.stride", len(stage.strides), True
            kinds = stage.blocks
            kernels = max(len(stage.kernels_of(kind)) for kind in kinds)
            for slot in range(1, stage.slots + 1):
                choices = len(kinds) if slot == 1 else max(len(kinds), skip_gene(kinds) + 1)
                yield f"stage{s}.slot{slot}.kind", choices, False
                yield f"stage{s}.slot{slot}.kernel", kernels, True
                yield f"stage{s}.slot{slot}.expansion", len(stage.expansions), True
                yield f"stage{s}.slot{slot}.keep", len(stage.levels), True

    def kind_choices(self, gene: int) -> list[int]:
        """The values of a kind gene that mean a block, not a skipped slot or the identity.

        Args:
            gene: The gene's number.

        Returns:
            The values.
        """
        return [value for value, kind in enumerate(self.stage_of(gene).blocks) if not kind.identity]

    def stage_of(self, gene: int) -> Stage:
        """The stage that a gene belongs to.

        Args:
            gene: The gene's number; not one of the stem's.

        Returns:
            The stage.
        """
        return self.schema.stage[int(self.gene_names[gene].split(".")[0].removeprefix("stage")) - 1]

    def _block_names(self) -> Iterator[str]:
        if self.schema.stem:
            yield "stem"
        for s, stage in enumerate(self.schema.stage, 1):
            for slot in range(1, stage.slots + 1):
                yield f"stage{s}.slot{slot}"

    def largest_blocks(self) -> Iterator[Block]:
        """A block for every kind of every slot, the stem first, at its largest; maps have no size.

        Returns:
            The blocks, in order.
        """
        stem = self.schema.stem
        c_in = self.input_shape[0]
        if stem:
            yield Block("stem", self.kinds[self.plan.stem_kind - 1], c_in, 0, stem.widths[-1], stem.kernel, 1, 0, 0, 0)
            c_in = stem.widths[-1]
        for s, stage in enumerate(self.schema.stage, 1):
            width = stage.outputs[-1]
            for slot in range(1, stage.slots + 1):
                for kind in stage.blocks:
                    if kind.identity and slot > 1:
                        continue
                    levels = stage.hidden_levels(kind, (c_in,), (width,))
                    yield Block(
                        name=f"stage{s}.slot{slot}",
                        kind=kind,
                        c_in=c_in,
                        hidden=levels[-1] if levels else 0,
                        c_out=width,
                        kernel=stage.kernels_of(kind)[-1],
                        stride=stage.strides[-1] if slot == 1 else 1,
                        shortcut=kind.shortcuts[slot > 1],
                        h_in=0,
                        w_in=0,
                    )
                c_in = width

    def check(self, genomes: npt.ArrayLike) -> Genomes:
        """Checks genomes.

        Args:
            genomes: Integers `[networks, genes]`.

        Returns:
            The genomes as int16.

        Raises:
            ValueError: They have another shape, or a gene is out of range; the message
                names the first.
        """
        array = checked_genomes(genomes, self.gene_names, self.cardinalities, self._free)
        return np.where(self._free, array, self._frozen) if self.header else array

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """Draws genomes, every gene uniformly, in canonical form; duplicates can occur.

        Args:
            rng: The Generator to draw with.
            n: How many genomes.

        Returns:
            int16 `[n, genes]`.
        """
        drawn = rng.integers(0, self.cardinalities, (n, self.cardinalities.size), dtype=np.int16)
        return self.canonical(drawn)

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        """Brings genomes to the one form that all genomes of the same network share.

        Args:
            genomes: Integers `[networks, genes]`.

        Returns:
            int16 `[networks, genes]`.

        Raises:
            ValueError: A gene is out of range.
        """
        form: Genomes = canonical(self.plan, self.check(genomes))
        return form

    def blocks(self, genomes: npt.ArrayLike) -> BlockTable:
        """The block table of genomes; see `evo_fair.space.decode`.

        Args:
            genomes: Integers `[networks, genes]`.

        Returns:
            int32 `[networks, blocks, 9]`.

        Raises:
            ValueError: A gene is out of range.
        """
        table: BlockTable = blocks_of(self.plan, self.check(genomes))
        return table

    def decode(self, genomes: npt.ArrayLike) -> LayerTable:
        """The layer table of genomes; see `evo_fair.layers`.

        Args:
            genomes: Integers `[networks, genes]`.

        Returns:
            int32 `[networks, layers, 8]`.

        Raises:
            ValueError: A gene is out of range.
        """
        table: LayerTable = layers_of(self.plan, self.blocks(genomes))
        return table

    def architecture(self, genome: npt.ArrayLike) -> list[Block]:
        """The blocks of one genome, without skipped slots.

        Args:
            genome: Integers `[genes]`.

        Returns:
            The blocks, in order.

        Raises:
            ValueError: A gene is out of range.
        """
        rows = self.blocks(np.asarray(genome)[None])[0]
        return [
            Block(name, self.kinds[row[0] - 1], *(int(value) for value in row[1:]))
            for name, row in zip(self.block_names, rows, strict=True)
            if row[0]
        ]

    def described(self, genome: npt.ArrayLike) -> list[dict[str, object]]:
        """The blocks of one genome as plain tables, for a network's card.

        Args:
            genome: Integers `[genes]`.

        Returns:
            A table for each block.
        """
        return [{**block._asdict(), "kind": block.kind.name} for block in self.architecture(genome)]

    def ids(self, genomes: npt.ArrayLike) -> list[str]:
        """The names of the genomes' networks.

        Args:
            genomes: Integers `[networks, genes]`.

        Returns:
            12 hex digits each, of a hash of the space and the canonical genome.
        """
        return [digest(self.fingerprint, row.tobytes())[:12] for row in self.canonical(genomes).astype("<i2")]

    def largest(self) -> Genomes:
        """The network with every ordered gene at its top and, slot by slot, the kind with the most MACs.

        Returns:
            Its genome, int16 `[genes]`.
        """
        top = (self.cardinalities - 1).astype(np.int16)
        return self._best_kinds(top, most=True)

    def smallest(self) -> Genomes:
        """The network with every ordered gene at its bottom, slots skipped, and the kinds with fewest MACs.

        Returns:
            Its genome, int16 `[genes]`.
        """
        return self._best_kinds(np.zeros_like(self.cardinalities), most=False)

    def _best_kinds(self, start: Genomes, most: bool) -> Genomes:
        genome = start.copy()
        for gene in np.flatnonzero(~self.ordered):
            variants = np.repeat(genome[None], self.cardinalities[gene], axis=0)
            variants[:, gene] = np.arange(self.cardinalities[gene])
            cost = macs(self.decode(variants))
            genome[gene] = cost.argmax() if most else cost.argmin()
        result: Genomes = self.canonical(genome[None])[0]
        return result

    def size(self) -> int:
        """How many different networks the space holds, exactly.

        Returns:
            The number of canonical genomes.
        """
        stem, frozen = self.schema.stem, self.header
        before = dict.fromkeys(stem.widths if stem else self.input_shape[:1], len(stem.strides) if stem else 1)
        if stem and frozen:
            before, frozen = {stem.widths[-1]: 1}, frozen - 1
        for stage in self.schema.stage:
            here = min(frozen, stage.slots)
            frozen -= here
            widths = stage.widths or (0,)
            before = {
                width: (1 if here else sum(_first(stage, c_in, width) * ways for c_in, ways in before.items()))
                * (1 + _choices(stage, width, width, 2)) ** (stage.slots - max(here, 1))
                for width in (widths[-1:] if here else widths)
            }
        return sum(before.values())

    @property
    def magnitude(self) -> str:
        """Its size in words: `10^13.2`."""
        return f"10^{math.log10(self.size()):.1f}"

    def __repr__(self) -> str:
        return f"SearchSpace({len(self.gene_names)} genes, {self.magnitude} networks)"


def _first(stage: Stage, c_in: int, width: int) -> int:
    """How many different blocks a stage can begin with between `c_in` and `width` channels."""
    return len(stage.strides) * _choices(stage, c_in, width, 1)


def _choices(stage: Stage, c_in: int, width: int, slot: int) -> int:
    """How many different blocks a slot can hold between `c_in` and `width` channels, none at all not counted."""
    total = 0
    for kind in stage.blocks:
        if kind.identity and slot > 1:
            continue
        units = len(stage.keep_channels) if kind.hidden == Hidden.UNITS else 1
        hidden = len(stage.hidden_levels(kind, (c_in,), (width,))) or units
        total += hidden * len(stage.kernels_of(kind))
    return total
