"""From genomes to block tables to layer tables, for whole populations at once (Numba).

A block table is int32 `[networks, blocks, 9]` with the columns `BLOCK_COLUMNS`: the stem, where there is one, as a CB
block, then every slot in order; `kind` 0 is a skipped slot. `shortcut` is 0 for none, 1 for the identity and 2 for a
1x1 convolution. The first slot of a stage has no identity shortcut, because its input belongs to another stage.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from evo_fair.layers import LayerTable, Op
from evo_fair.space.schema import Kind, SpaceSchema

__all__ = ["BLOCK_COLUMNS", "BlockTable", "Genomes", "Plan", "blocks_of", "canonical", "layers_of", "make_plan"]

Genomes = npt.NDArray[np.int16]
BlockTable = npt.NDArray[np.int32]
_Ints = npt.NDArray[np.int32]

BLOCK_COLUMNS = ("kind", "c_in", "hidden", "c_out", "kernel", "stride", "shortcut", "h_in", "w_in")
KIND, C_IN, HIDDEN, C_OUT, KERNEL, STRIDE, SHORTCUT, H_IN, W_IN = range(9)

_MB, _DB, _RB, _CB, _FC = int(Kind.MB), int(Kind.DB), int(Kind.RB), int(Kind.CB), int(Kind.FC)
_CONV, _DEPTHWISE, _LINEAR = int(Op.CONV), int(Op.DEPTHWISE), int(Op.LINEAR)
_GLOBAL_POOL, _ADD = int(Op.GLOBAL_POOL), int(Op.ADD)

SLOT_GENES = 4  # kind, kernel, expansion, keep
MOST_LAYERS_OF_A_BLOCK = 5


class Plan(NamedTuple):
    """A space's choices as arrays that compiled code reads; lists of unequal length are filled up with zeros."""

    input_shape: _Ints  # channels, height, width
    labels: int
    stem: _Ints  # [choices of the stem's width]; empty for a tabular space
    stem_kernel: int
    stem_stride: int
    slots: _Ints  # [stages]
    strides: _Ints  # [stages]
    widths: _Ints  # [stages, choices]
    kinds: _Ints  # [stages, choices], 0 ends the list
    kernels: _Ints  # [stages, kinds of `Kind`, choices], 0 ends the list
    expansions: _Ints  # [stages, choices]
    keep: _Ints  # [stages, choices]


def make_plan(schema: SpaceSchema, input_shape: tuple[int, int, int], labels: int) -> Plan:
    """The plan of `schema` for inputs `(channels, height, width)`; a table of features has the shape `(n, 1, 1)`."""
    stages = schema.stage
    kernels = [[stage.kernels_of(kind) for kind in Kind] for stage in stages]
    return Plan(
        input_shape=np.array(input_shape, np.int32),
        labels=labels,
        stem=np.array(schema.stem.widths if schema.stem else (), np.int32),
        stem_kernel=schema.stem.kernel if schema.stem else 0,
        stem_stride=schema.stem.stride if schema.stem else 1,
        slots=np.array([stage.slots for stage in stages], np.int32),
        strides=np.array([stage.stride for stage in stages], np.int32),
        widths=_padded([stage.widths or (0,) for stage in stages]),
        kinds=_padded([(*(Kind[name] for name in stage.kinds), 0) for stage in stages]),
        kernels=np.stack([_padded(row, 3) for row in kernels]),
        expansions=_padded([stage.expansions for stage in stages]),
        keep=_padded([stage.keep_channels for stage in stages]),
    )


def _padded(rows: list[tuple[int, ...]], length: int = 0) -> _Ints:
    length = max(length, *(len(row) for row in rows))
    return np.array([[*row, *[0] * (length - len(row))] for row in rows], np.int32)


@njit(cache=True, nogil=True)
def blocks_of(plan: Plan, genomes: Genomes) -> BlockTable:
    """The block table, int32 `[networks, blocks, 9]`, of genomes `[networks, genes]`."""
    stem = 1 if plan.stem.size else 0
    blocks = np.zeros((genomes.shape[0], stem + plan.slots.sum(), 9), np.int32)
    for n in range(genomes.shape[0]):
        _decode(plan, genomes[n], blocks[n])
    return blocks


@njit(cache=True, nogil=True)
def canonical(plan: Plan, genomes: Genomes) -> Genomes:
    """The one genome among all that mean the same network: unused genes are 0, used ones the smallest that do."""
    blocks = blocks_of(plan, genomes)
    result = genomes.copy()
    for n in range(genomes.shape[0]):
        _reduce(plan, blocks[n], result[n])
    return result


@njit(cache=True, nogil=True)
def layers_of(plan: Plan, blocks: BlockTable) -> LayerTable:
    """The layer table, int32 `[networks, layers, 8]`, of a block table: blocks, global pooling, classifier."""
    table = np.zeros((blocks.shape[0], blocks.shape[1] * MOST_LAYERS_OF_A_BLOCK + 2, 8), np.int32)
    for n in range(blocks.shape[0]):
        _lay_out(plan, blocks[n], table[n])
    return table


@njit(cache=True)
def _decode(plan: Plan, genome: Genomes, rows: BlockTable) -> None:
    channels, height, width = plan.input_shape[0], plan.input_shape[1], plan.input_shape[2]
    gene, block = 0, 0
    if plan.stem.size:
        stem = rows[0]
        stem[KIND], stem[C_IN], stem[C_OUT] = _CB, channels, plan.stem[genome[0]]
        stem[KERNEL], stem[STRIDE], stem[H_IN], stem[W_IN] = plan.stem_kernel, plan.stem_stride, height, width
        channels, height, width = stem[C_OUT], _halved(height, plan.stem_stride), _halved(width, plan.stem_stride)
        gene, block = 1, 1
    for s in range(plan.slots.size):
        c_stage = plan.widths[s, genome[gene]]
        gene += 1
        for slot in range(plan.slots[s]):
            kind = plan.kinds[s, genome[gene]]
            if kind:
                row = rows[block]
                keep = plan.keep[s, genome[gene + 3]]
                row[KIND], row[C_IN], row[C_OUT], row[H_IN], row[W_IN] = kind, channels, c_stage, height, width
                row[STRIDE] = plan.strides[s] if slot == 0 else 1
                row[KERNEL] = plan.kernels[s, kind, genome[gene + 1]]
                if row[KERNEL] == 0:  # fewer kernels are open to this kind than to others of the stage
                    row[KERNEL] = plan.kernels[s, kind, 0]
                row[SHORTCUT] = 1 if slot else 2
                if kind == _MB:
                    row[HIDDEN] = min(keep, plan.expansions[s, genome[gene + 2]] * channels)
                elif kind == _RB:
                    row[HIDDEN] = min(keep, c_stage)
                elif kind == _FC:
                    row[SHORTCUT] = 0
                    row[C_OUT], row[KERNEL] = keep, 1
                channels, height, width = row[C_OUT], _halved(height, row[STRIDE]), _halved(width, row[STRIDE])
            gene += SLOT_GENES
            block += 1


@njit(cache=True)
def _reduce(plan: Plan, rows: BlockTable, genome: Genomes) -> None:
    gene = 1 if plan.stem.size else 0
    block = gene
    for s in range(plan.slots.size):
        gene += 1
        for _ in range(plan.slots[s]):
            row = rows[block]
            kind, hidden = row[KIND], row[HIDDEN]
            if kind == 0 or kind == _FC or plan.kernels[s, kind, genome[gene + 1]] == 0:
                genome[gene + 1] = 0
            expansion, keep = 0, 0
            if kind == _MB:
                while plan.expansions[s, expansion] * row[C_IN] < hidden:
                    expansion += 1
            if kind in (_MB, _RB):
                while plan.keep[s, keep] < hidden:
                    keep += 1
            elif kind == _FC:
                keep = genome[gene + 3]
            genome[gene + 2], genome[gene + 3] = expansion, keep
            gene += SLOT_GENES
            block += 1


@njit(cache=True)
def _lay_out(plan: Plan, rows: BlockTable, table: LayerTable) -> None:
    layer = 0
    channels, height, width = plan.input_shape[0], plan.input_shape[1], plan.input_shape[2]
    for i in range(rows.shape[0]):
        row = rows[i]
        if row[KIND]:
            layer += _put_block(table[layer:], row)
            channels = row[C_OUT]
            height, width = _halved(row[H_IN], row[STRIDE]), _halved(row[W_IN], row[STRIDE])
    if plan.stem.size:
        _put(table[layer], _GLOBAL_POOL, channels, channels, height, 1, 1, height, width)
        layer += 1
    _put(table[layer], _LINEAR, channels, plan.labels, 1, 1, 1, 1, 1)


@njit(cache=True)
def _halved(size: int, stride: int) -> int:
    return (size + stride - 1) // stride


@njit(cache=True)
def _put(row: _Ints, op: int, c_in: int, c_out: int, kernel: int, stride: int, groups: int, h: int, w: int) -> None:
    row[0], row[1], row[2], row[3] = op, c_in, c_out, kernel
    row[4], row[5], row[6], row[7] = stride, groups, h, w


@njit(cache=True)
def _put_block(rows: LayerTable, b: _Ints) -> int:
    """Writes the layers of block `b` into `rows` and returns how many there are."""
    c_in, hidden, c_out, kernel, stride = b[C_IN], b[HIDDEN], b[C_OUT], b[KERNEL], b[STRIDE]
    h, w = b[H_IN], b[W_IN]
    h_out, w_out = _halved(h, stride), _halved(w, stride)
    n = 0
    if b[SHORTCUT] == 2:
        _put(rows[0], _CONV, c_in, c_out, 1, stride, 1, h, w)
        n = 1
    start = n
    if b[KIND] == _MB:
        _put(rows[n], _CONV, c_in, hidden, 1, 1, 1, h, w)
        _put(rows[n + 1], _DEPTHWISE, hidden, hidden, kernel, stride, hidden, h, w)
        _put(rows[n + 2], _CONV, hidden, c_out, 1, 1, 1, h_out, w_out)
        n += 3
    elif b[KIND] == _DB:
        _put(rows[n], _DEPTHWISE, c_in, c_in, kernel, stride, c_in, h, w)
        _put(rows[n + 1], _CONV, c_in, c_out, 1, 1, 1, h_out, w_out)
        n += 2
    elif b[KIND] == _RB:
        _put(rows[n], _CONV, c_in, hidden, kernel, stride, 1, h, w)
        _put(rows[n + 1], _CONV, hidden, c_out, kernel, 1, 1, h_out, w_out)
        n += 2
    elif b[KIND] == _CB:
        _put(rows[n], _CONV, c_in, c_out, kernel, stride, 1, h, w)
        n += 1
    elif b[KIND] == _FC:
        _put(rows[n], _LINEAR, c_in, c_out, 1, 1, 1, 1, 1)
        n += 1
    if b[SHORTCUT]:  # the other operand left the input's row, or the shortcut's, this many rows back
        _put(rows[n], _ADD, c_out, c_out, n - start + 1, 1, 1, h_out, w_out)
        n += 1
    return n
