"""From genomes to block tables to layer tables, for whole populations at once (Numba).

A block table is int32 `[networks, blocks, 9]` with the columns `BLOCK_COLUMNS`: the stem, where there is one, as a CB
block, then every slot in order; `kind` 0 is a skipped slot, and else the number that the plan gives to the kind.
`shortcut` is one of `evo_fair.space.kinds.Shortcut`. The first slot of a stage has no identity shortcut, because its
input belongs to another stage.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from evo_fair.arrays import Genomes, Int32s
from evo_fair.layers import LayerTable, Op
from evo_fair.space.kinds import CB, KINDS, Channels, Hidden, Kind, Shortcut, squeezed_width
from evo_fair.space.schema import SpaceSchema

__all__ = [
    "BLOCK_COLUMNS",
    "BlockTable",
    "Plan",
    "blocks_of",
    "canonical",
    "kinds_of",
    "layers_of",
    "make_plan",
    "skip_gene",
]

BlockTable = npt.NDArray[np.int32]

BLOCK_COLUMNS = ("kind", "c_in", "hidden", "c_out", "kernel", "stride", "shortcut", "h_in", "w_in")
KIND, C_IN, HIDDEN, C_OUT, KERNEL, STRIDE, SHORTCUT, H_IN, W_IN = range(9)

_EXPANSION, _WIDTH, _UNITS = int(Hidden.EXPANSION), int(Hidden.WIDTH), int(Hidden.UNITS)
_PROJECTION = int(Shortcut.PROJECTION)
_CONV, _DEPTHWISE, _LINEAR = int(Op.CONV), int(Op.DEPTHWISE), int(Op.LINEAR)
_GLOBAL_POOL, _ADD, _MUL, _ACTIVATION = int(Op.GLOBAL_POOL), int(Op.ADD), int(Op.MUL), int(Op.ACTIVATION)
_SQUEEZED = int(Channels.SQUEEZED)

SLOT_GENES = 4  # kind, kernel, expansion, keep
_LEAST_UNITS = 3
_NUMBERED = ("MB", "DB", "RB", "CB", "FC")  # 1 to 5 in every plan; other kinds follow as a space uses them

RULES = ("hidden", "first_shortcut", "later_shortcut", "expansion")
_RULE_HIDDEN, _RULE_FIRST, _RULE_EXPANSION = 0, 1, 3
_UNIT_TAKES, _UNIT_GIVES, _UNIT_KERNEL, _UNIT_STRIDED, _UNIT_DEPTHWISE = range(5)
_BLOCKS_OWN = -1  # a unit with the block's kernel


class Plan(NamedTuple):
    """A space's choices as arrays that compiled code reads; lists of unequal length are filled up with zeros."""

    input_shape: Int32s  # channels, height, width
    labels: int
    stem: Int32s  # [choices of the stem's width]; empty for a tabular space
    stem_kernel: int
    stem_strides: Int32s  # [choices]; more than one have a gene
    slots: Int32s  # [stages]
    strides: Int32s  # [stages, choices]; 0 ends the list, and more than one have a gene
    widths: Int32s  # [stages, choices]
    kinds: Int32s  # [stages, choices], 0 ends the list
    skips: Int32s  # [stages], the kind gene that means no block in slots after the first
    kernels: Int32s  # [stages, kinds, choices], 0 ends the list
    expansions: Int32s  # [stages, choices]
    keep: Int32s  # [stages, choices]
    rules: Int32s  # [kinds, RULES]; expansion 0: by the gene
    units: Int32s  # [kinds, units, 5]: takes, gives, kernel, strided, depthwise; takes 0 ends the list
    stem_kind: int


def make_plan(schema: SpaceSchema, input_shape: tuple[int, int, int], labels: int) -> Plan:
    """The plan of `schema` for inputs `(channels, height, width)`; a table of features has the shape `(n, 1, 1)`.

    Args:
        schema: What `[space]` says.
        input_shape: `(channels, height, width)`.
        labels: How many labels there are.
    """
    stages = schema.stage
    kinds = kinds_of(schema)
    numbers = {kind.name: number for number, kind in enumerate(kinds, 1)}
    kernels = [[(0,), *(stage.kernels_of(kind) for kind in kinds)] for stage in stages]
    return Plan(
        input_shape=np.array(input_shape, np.int32),
        labels=labels,
        stem=np.array(schema.stem.widths if schema.stem else (), np.int32),
        stem_kernel=schema.stem.kernel if schema.stem else 0,
        stem_strides=np.array(schema.stem.strides if schema.stem else (1,), np.int32),
        slots=np.array([stage.slots for stage in stages], np.int32),
        strides=_padded([stage.strides for stage in stages], 2),
        widths=_padded([stage.widths or (0,) for stage in stages]),
        kinds=_padded([(*(numbers[name] for name in stage.kinds), 0) for stage in stages]),
        skips=np.array([skip_gene(stage.blocks) for stage in stages], np.int32),
        kernels=np.stack([_padded(row, 3) for row in kernels]),
        expansions=_padded([stage.expansions for stage in stages]),
        keep=_padded([stage.levels for stage in stages]),
        rules=np.array([(0, 0, 0, 0), *map(_rules, kinds)], np.int32),
        units=_unit_table(kinds),
        stem_kind=numbers[CB.name],
    )


def kinds_of(schema: SpaceSchema) -> tuple[Kind, ...]:
    """The kinds whose numbers stand in block tables of a space, from 1 on.

    Args:
        schema: What `[space]` says.
    """
    used = [kind for stage in schema.stage for kind in stage.blocks]
    return tuple(dict.fromkeys([*(KINDS[name] for name in _NUMBERED), *used]))


def skip_gene(kinds: tuple[Kind, ...]) -> int:
    """The kind gene that means no block in later slots: the identity's, or one more where no kind is the identity.

    Args:
        kinds: The kinds of a stage.
    """
    return next((number for number, kind in enumerate(kinds) if kind.identity), len(kinds))


def _rules(kind: Kind) -> tuple[int, ...]:
    return (kind.hidden, *kind.shortcuts, kind.expansion or 0)


def _unit_table(kinds: tuple[Kind, ...]) -> Int32s:
    # As long as the layers need: channel weights come with a mean, an activation and a product.
    lengths = (len(kind.units) + 3 * len(list(kind.giving(Channels.SQUEEZED))) for kind in kinds)
    table = np.zeros((len(kinds) + 1, max(_LEAST_UNITS, *lengths), 5), np.int32)
    for number, kind in enumerate(kinds, 1):
        for place, unit in enumerate(kind.units):
            kernel = _BLOCKS_OWN if unit.kernel is None else unit.kernel
            table[number, place] = (unit.takes, unit.gives, kernel, unit.strided, unit.depthwise)
    return table


def _padded(rows: list[tuple[int, ...]], length: int = 0) -> Int32s:
    length = max(length, *(len(row) for row in rows))
    return np.array([[*row, *[0] * (length - len(row))] for row in rows], np.int32)


@njit(cache=True, nogil=True, error_model="numpy")
def blocks_of(plan: Plan, genomes: Genomes) -> BlockTable:
    """The block table, int32 `[networks, blocks, 9]`, of genomes `[networks, genes]`.

    Args:
        plan: The space's plan.
        genomes: The genomes, int16 `[networks, genes]`.
    """
    stem = 1 if plan.stem.size else 0
    blocks = np.zeros((genomes.shape[0], stem + plan.slots.sum(), 9), np.int32)
    for n in range(genomes.shape[0]):
        _decode(plan, genomes[n], blocks[n])
    return blocks


@njit(cache=True, nogil=True, error_model="numpy")
def canonical(plan: Plan, genomes: Genomes) -> Genomes:
    """The one genome among all that mean the same network: unused genes are 0, used ones the smallest that do.

    Args:
        plan: The space's plan.
        genomes: The genomes, int16 `[networks, genes]`.
    """
    blocks = blocks_of(plan, genomes)
    result = genomes.copy()
    for n in range(genomes.shape[0]):
        _reduce(plan, blocks[n], result[n])
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def layers_of(plan: Plan, blocks: BlockTable) -> LayerTable:
    """The layer table, int32 `[networks, layers, 8]`, of a block table: blocks, global pooling, classifier.

    Args:
        plan: The space's plan.
        blocks: The block table, int32 `[networks, blocks, 9]`.
    """
    table = np.zeros((blocks.shape[0], blocks.shape[1] * (plan.units.shape[1] + 2) + 2, 8), np.int32)
    for n in range(blocks.shape[0]):
        _lay_out(plan, blocks[n], table[n])
    return table


# What runs for every genome is inlined: each call would count the references to all of the plan's arrays up and down.
@njit(cache=True, inline="always", error_model="numpy")
def _decode(plan: Plan, genome: Genomes, rows: BlockTable) -> None:
    channels, height, width = plan.input_shape[0], plan.input_shape[1], plan.input_shape[2]
    gene, block = 0, 0
    if plan.stem.size:
        stem = rows[0]
        stem[KIND], stem[C_IN], stem[C_OUT] = plan.stem_kind, channels, plan.stem[genome[0]]
        gene, block = 1, 1
        stride = plan.stem_strides[0]
        if plan.stem_strides.size > 1:
            stride = plan.stem_strides[genome[gene]]
            gene += 1
        stem[KERNEL], stem[STRIDE], stem[H_IN], stem[W_IN] = plan.stem_kernel, stride, height, width
        channels, height, width = stem[C_OUT], _halved(height, stride), _halved(width, stride)
    for s in range(plan.slots.size):
        c_stage = plan.widths[s, genome[gene]]
        gene += 1
        stride = plan.strides[s, 0]
        if plan.strides[s, 1]:
            stride = plan.strides[s, genome[gene]]
            gene += 1
        for slot in range(plan.slots[s]):
            kind = plan.kinds[s, genome[gene]]
            if slot and genome[gene] == plan.skips[s]:
                kind = 0
            if kind:
                row = rows[block]
                keep = plan.keep[s, genome[gene + 3]]
                row[KIND], row[C_IN], row[C_OUT], row[H_IN], row[W_IN] = kind, channels, c_stage, height, width
                row[STRIDE] = stride if slot == 0 else 1
                row[KERNEL] = plan.kernels[s, kind, genome[gene + 1]]
                if row[KERNEL] == 0:  # fewer kernels are open to this kind than to others of the stage
                    row[KERNEL] = plan.kernels[s, kind, 0]
                row[SHORTCUT] = plan.rules[kind, _RULE_FIRST + (1 if slot else 0)]
                rule = plan.rules[kind, _RULE_HIDDEN]
                if rule == _EXPANSION:
                    row[HIDDEN] = min(keep, _expansion(plan, s, kind, genome[gene + 2]) * channels)
                elif rule == _WIDTH:
                    row[HIDDEN] = min(keep, c_stage)
                elif rule == _UNITS:
                    row[C_OUT] = keep
                channels, height, width = row[C_OUT], _halved(height, row[STRIDE]), _halved(width, row[STRIDE])
            gene += SLOT_GENES
            block += 1


@njit(cache=True, inline="always", error_model="numpy")
def _reduce(plan: Plan, rows: BlockTable, genome: Genomes) -> None:
    block = 1 if plan.stem.size else 0
    gene = block + (1 if plan.stem_strides.size > 1 else 0)
    for s in range(plan.slots.size):
        gene += 2 if plan.strides[s, 1] else 1
        for _ in range(plan.slots[s]):
            row = rows[block]
            kind, hidden = row[KIND], row[HIDDEN]
            rule = plan.rules[kind, _RULE_HIDDEN]
            if kind == 0 or plan.kernels[s, kind, genome[gene + 1]] == 0:
                genome[gene + 1] = 0
            expansion, keep = 0, 0
            if rule == _EXPANSION:
                while _expansion(plan, s, kind, expansion) * row[C_IN] < hidden:
                    expansion += 1
            if rule in (_EXPANSION, _WIDTH):
                while plan.keep[s, keep] < hidden:
                    keep += 1
            elif rule == _UNITS:
                keep = genome[gene + 3]
            genome[gene + 2], genome[gene + 3] = expansion, keep
            gene += SLOT_GENES
            block += 1


@njit(cache=True, error_model="numpy")
def _expansion(plan: Plan, stage: int, kind: int, gene: int) -> int:
    own: int = plan.rules[kind, _RULE_EXPANSION]
    chosen: int = plan.expansions[stage, gene]
    return own if own else chosen


@njit(cache=True, inline="always", error_model="numpy")
def _lay_out(plan: Plan, rows: BlockTable, table: LayerTable) -> None:
    layer = 0
    channels, height, width = plan.input_shape[0], plan.input_shape[1], plan.input_shape[2]
    for i in range(rows.shape[0]):
        row = rows[i]
        if row[KIND]:
            layer += _put_block(table[layer:], row, plan.units[row[KIND]])
            channels = row[C_OUT]
            height, width = _halved(row[H_IN], row[STRIDE]), _halved(row[W_IN], row[STRIDE])
    if plan.stem.size:
        _put(table[layer], _GLOBAL_POOL, channels, channels, height, 1, 1, height, width)
        layer += 1
    _put(table[layer], _LINEAR, channels, plan.labels, 1, 1, 1, 1, 1)


@njit(cache=True, error_model="numpy")
def _halved(size: int, stride: int) -> int:
    return (size + stride - 1) // stride


@njit(cache=True)
def _put(row: Int32s, op: int, c_in: int, c_out: int, kernel: int, stride: int, groups: int, h: int, w: int) -> None:
    row[0], row[1], row[2], row[3] = op, c_in, c_out, kernel
    row[4], row[5], row[6], row[7] = stride, groups, h, w


@njit(cache=True)
def _put_block(rows: LayerTable, b: Int32s, units: Int32s) -> int:
    """Writes the layers of block `b` with the units `[units, 5]` into `rows` and returns how many there are."""
    h, w = b[H_IN], b[W_IN]
    n = 0
    if b[SHORTCUT] == _PROJECTION:
        _put(rows[0], _CONV, b[C_IN], b[C_OUT], 1, b[STRIDE], 1, h, w)
        n = 1
    start = n
    for i in range(units.shape[0]):
        unit = units[i]
        if unit[_UNIT_TAKES] == 0:
            break
        if unit[_UNIT_TAKES] == _SQUEEZED:
            c_out = b[unit[_UNIT_GIVES]]
            _put(rows[n], _LINEAR, squeezed_width(c_out), c_out, 1, 1, 1, 1, 1)
            _put(rows[n + 1], _ACTIVATION, c_out, c_out, 1, 1, 1, 1, 1)
            _put(rows[n + 2], _MUL, c_out, c_out, 1, 1, 1, h, w)
            n += 3
            continue
        c_in = b[unit[_UNIT_TAKES]]
        if unit[_UNIT_GIVES] == _SQUEEZED:
            _put(rows[n], _GLOBAL_POOL, c_in, c_in, h, 1, 1, h, w)
            _put(rows[n + 1], _LINEAR, c_in, squeezed_width(c_in), 1, 1, 1, 1, 1)
            n += 2
            continue
        c_out = b[unit[_UNIT_GIVES]]
        kernel = b[KERNEL] if unit[_UNIT_KERNEL] == _BLOCKS_OWN else unit[_UNIT_KERNEL]
        stride = b[STRIDE] if unit[_UNIT_STRIDED] else 1
        if kernel == 0:
            _put(rows[n], _LINEAR, c_in, c_out, 1, 1, 1, 1, 1)
        elif unit[_UNIT_DEPTHWISE]:
            _put(rows[n], _DEPTHWISE, c_in, c_out, kernel, stride, c_in, h, w)
        else:
            _put(rows[n], _CONV, c_in, c_out, kernel, stride, 1, h, w)
        h, w = _halved(h, stride), _halved(w, stride)
        n += 1
    if b[SHORTCUT]:  # the other operand left the input's row, or the shortcut's, this many rows back
        _put(rows[n], _ADD, b[C_OUT], b[C_OUT], n - start + 1, 1, 1, h, w)
        n += 1
    return n
