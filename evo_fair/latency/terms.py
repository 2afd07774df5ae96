"""What a layer makes a processor do, as counts of work (padded MACs, values moved, calls) that a profile prices.

The terms follow how inference runtimes on CPUs work: convolutions are matrix products on packed operands, channels are
padded to a block, a kernel above 1x1 copies patches (im2col), depthwise layers are bound by
loads and cost more with a stride, and what does not fit into the cache costs extra for the share that spills.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from evo_fair.layers import LayerTable, Op

__all__ = ["CACHE_BYTES", "KINDS", "NETWORK_CALLS", "TERMS", "WINDOWED", "Term", "add_terms", "kind_of", "layer_terms"]


@dataclass(frozen=True)
class Term:
    """A kind of work: its name, its group (compute, memory or calls) and its usual price in pointwise MACs.

    Usual prices are round figures for Arm Cortex-A cores, the same for all devices. A fit starts from them; whatever
    a device's measurements say about a term soon outweighs them (`evo_fair.latency.fit`).
    """

    name: str
    group: int
    usual: float


COMPUTE, MEMORY, CALLS = range(3)

TERMS = (
    Term("pointwise_macs", COMPUTE, 1.0),
    Term("conv_macs", COMPUTE, 1.0),
    Term("stem_macs", COMPUTE, 3.0),
    Term("grouped_macs", COMPUTE, 1.5),
    Term("depthwise_small_macs", COMPUTE, 5.0),
    Term("depthwise_small_strided_macs", COMPUTE, 5.0),
    Term("depthwise_large_macs", COMPUTE, 5.0),
    Term("depthwise_large_strided_macs", COMPUTE, 5.0),
    Term("conv_in_values", MEMORY, 20.0),
    Term("conv_out_values", MEMORY, 20.0),
    Term("conv_weight_values", MEMORY, 20.0),
    Term("conv_patch_values", MEMORY, 20.0),
    Term("grouped_values", MEMORY, 20.0),
    Term("depthwise_in_values", MEMORY, 10.0),
    Term("depthwise_out_values", MEMORY, 10.0),
    Term("linear_weight_values", MEMORY, 10.0),
    Term("pool_window_values", MEMORY, 5.0),
    Term("global_pool_values", MEMORY, 10.0),
    Term("add_values", MEMORY, 30.0),
    Term("mul_values", MEMORY, 100.0),
    Term("activation_values", MEMORY, 20.0),
    Term("spilled_weight_values", MEMORY, 5.0),
    Term("spilled_values", MEMORY, 5.0),
    Term("conv_calls", CALLS, 1e5),
    Term("depthwise_calls", CALLS, 1e5),
    Term("linear_calls", CALLS, 1e5),
    Term("other_calls", CALLS, 1e5),
    Term("group_calls", CALLS, 2e4),
    Term("stem_patch_values", MEMORY, 20.0),
)
NETWORK_CALLS = Term("network_calls", CALLS, 3e5)

KINDS = (
    "padding",
    "pointwise",
    "conv",
    "stem",
    "grouped",
    "depthwise",
    "linear",
    "pool",
    "global_pool",
    "add",
    "mul",
    "activation",
)

CACHE_BYTES = 2**19
_STEM_CHANNELS = 4

_CONV, _DEPTHWISE, _LINEAR = int(Op.CONV), int(Op.DEPTHWISE), int(Op.LINEAR)
_POOL, _GLOBAL_POOL, _ADD, _MUL = int(Op.POOL), int(Op.GLOBAL_POOL), int(Op.ADD), int(Op.MUL)
_N_TERMS = len(TERMS)
_LAST_KIND = len(KINDS) - 1
WINDOWED = (_CONV, _DEPTHWISE, _POOL)  # operators whose kernel column is a kernel
_Row = npt.NDArray[np.int32]


@njit(cache=True)
def kind_of(row: _Row) -> int:
    """The index in `KINDS` of a layer row int32 `[8]`: operators that runtimes compute in different ways."""
    if row[0] == _CONV:
        if row[5] > 1:
            return 4
        if row[3] == 1:
            return 1
        return 3 if row[1] <= _STEM_CHANNELS else 2
    return min(row[0] + 3, _LAST_KIND) if row[0] > 0 else 0


@njit(cache=True)
def _padded(channels: int, block: int) -> float:
    return float((channels + block - 1) // block * block)


@njit(cache=True)
def add_terms(row: _Row, bytes_per_value: float, block: int, out: npt.NDArray[np.float64]) -> None:
    """Adds the counts of one layer row int32 `[8]` to `out`, float64 `[len(TERMS)]`.

    Channels are padded to multiples of `block`, as SIMD kernels and blocked layouts do; those of an input image and of
    linear layers are not.
    """
    op, kernel, stride, groups = row[0], row[3], row[4], row[5]
    if op <= 0:
        return
    c_in, c_out = float(row[1]), float(row[2])
    if op != _LINEAR and (op != _CONV or groups == 1):
        c_in = c_in if row[1] <= _STEM_CHANNELS else _padded(row[1], block)
        c_out = _padded(row[2], block)
    pixels_in = float(row[6]) * row[7]
    pixels = float((row[6] + stride - 1) // stride) * ((row[7] + stride - 1) // stride)
    area = float(kernel) * kernel
    read = c_in * (pixels * area if kernel < stride else pixels_in)
    written = c_in if op == _GLOBAL_POOL else c_out * pixels
    weights = 0.0
    if op == _CONV:
        weights = c_out * (c_in / groups) * area
        work = _padded(row[2] // groups, block) * c_in * area * pixels
        out[23] += 1.0
        out[10] += weights
        stem = kernel > 1 and groups == 1 and row[1] <= _STEM_CHANNELS
        if kernel > 1 or groups > 1:
            out[28 if stem else 11] += c_in * area * pixels
        if groups > 1:
            out[3] += work
            out[12] += read + written
            out[27] += groups
        else:
            out[2 if stem else 0 if kernel == 1 else 1] += work
            out[8] += read
            out[9] += written
    elif op == _DEPTHWISE:
        weights = c_out * area
        out[4 + (1 if stride > 1 else 0) + (2 if kernel > 3 else 0)] += c_out * area * pixels
        out[13] += read
        out[14] += written
        out[24] += 1.0
    elif op == _LINEAR:
        weights = c_in * c_out
        out[15] += weights
        out[25] += 1.0
    else:
        out[26] += 1.0
        if op == _POOL:
            out[16] += c_in * pixels * area
        elif op == _GLOBAL_POOL:
            out[17] += read
        else:
            out[18 if op == _ADD else 19 if op == _MUL else 20] += written
    needed = (read + written + weights) * bytes_per_value
    spilled = 1.0 - CACHE_BYTES / needed if needed > CACHE_BYTES else 0.0
    if op in (_CONV, _LINEAR):
        out[21] += weights * spilled
    out[22] += (read + written) * spilled


@njit(cache=True, parallel=True)
def _layer_terms(table: LayerTable, bytes_per_value: float, block: int) -> npt.NDArray[np.float64]:
    out = np.zeros((table.shape[0], table.shape[1], _N_TERMS))
    for n in prange(table.shape[0]):
        for i in range(table.shape[1]):
            add_terms(table[n, i], bytes_per_value, block, out[n, i])
    return out


def layer_terms(table: LayerTable, bytes_per_value: float, block: int) -> npt.NDArray[np.float64]:
    """The counts of work of each layer, float64 `[networks, layers, len(TERMS)]`; see `add_terms`."""
    result: npt.NDArray[np.float64] = _layer_terms(table, float(bytes_per_value), int(block))
    return result
