"""What a layer makes a processor do, as counts of work (padded MACs, values moved, calls) that a profile prices.

The terms follow how inference runtimes on CPUs work: convolutions are matrix products on packed operands, channels are
padded to a block, a kernel above 1x1 copies patches (im2col), depthwise layers are bound by
loads and cost more with a stride, and what does not fit into the cache costs extra for the share that spills.
"""

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from evo_fair.layers import C_IN, C_OUT, GROUPS, H_IN, KERNEL, OP, STRIDE, W_IN, LayerTable, Op

__all__ = [
    "CACHE_BYTES",
    "KINDS",
    "NETWORK_CALLS",
    "TERMS",
    "WINDOWED",
    "Term",
    "Work",
    "add_terms",
    "kind_of",
    "layer_terms",
]


class Work(IntEnum):
    """The kinds of work; the values are places in the counts of a layer. A new one goes to the end."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        del name, start, last_values
        return count

    POINTWISE_MACS = auto()
    CONV_MACS = auto()
    STEM_MACS = auto()
    GROUPED_MACS = auto()
    DEPTHWISE_SMALL_MACS = auto()
    DEPTHWISE_SMALL_STRIDED_MACS = auto()
    DEPTHWISE_LARGE_MACS = auto()
    DEPTHWISE_LARGE_STRIDED_MACS = auto()
    CONV_IN_VALUES = auto()
    CONV_OUT_VALUES = auto()
    CONV_WEIGHT_VALUES = auto()
    CONV_PATCH_VALUES = auto()
    GROUPED_VALUES = auto()
    DEPTHWISE_IN_VALUES = auto()
    DEPTHWISE_OUT_VALUES = auto()
    LINEAR_WEIGHT_VALUES = auto()
    POOL_WINDOW_VALUES = auto()
    GLOBAL_POOL_VALUES = auto()
    ADD_VALUES = auto()
    MUL_VALUES = auto()
    ACTIVATION_VALUES = auto()
    SPILLED_WEIGHT_VALUES = auto()
    SPILLED_VALUES = auto()
    CONV_CALLS = auto()
    DEPTHWISE_CALLS = auto()
    LINEAR_CALLS = auto()
    OTHER_CALLS = auto()
    GROUP_CALLS = auto()
    STEM_PATCH_VALUES = auto()


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

_USUAL = {
    Work.POINTWISE_MACS: (COMPUTE, 1.0),
    Work.CONV_MACS: (COMPUTE, 1.0),
    Work.STEM_MACS: (COMPUTE, 3.0),
    Work.GROUPED_MACS: (COMPUTE, 1.5),
    Work.DEPTHWISE_SMALL_MACS: (COMPUTE, 5.0),
    Work.DEPTHWISE_SMALL_STRIDED_MACS: (COMPUTE, 5.0),
    Work.DEPTHWISE_LARGE_MACS: (COMPUTE, 5.0),
    Work.DEPTHWISE_LARGE_STRIDED_MACS: (COMPUTE, 5.0),
    Work.CONV_IN_VALUES: (MEMORY, 20.0),
    Work.CONV_OUT_VALUES: (MEMORY, 20.0),
    Work.CONV_WEIGHT_VALUES: (MEMORY, 20.0),
    Work.CONV_PATCH_VALUES: (MEMORY, 20.0),
    Work.GROUPED_VALUES: (MEMORY, 20.0),
    Work.DEPTHWISE_IN_VALUES: (MEMORY, 10.0),
    Work.DEPTHWISE_OUT_VALUES: (MEMORY, 10.0),
    Work.LINEAR_WEIGHT_VALUES: (MEMORY, 10.0),
    Work.POOL_WINDOW_VALUES: (MEMORY, 5.0),
    Work.GLOBAL_POOL_VALUES: (MEMORY, 10.0),
    Work.ADD_VALUES: (MEMORY, 30.0),
    Work.MUL_VALUES: (MEMORY, 100.0),
    Work.ACTIVATION_VALUES: (MEMORY, 20.0),
    Work.SPILLED_WEIGHT_VALUES: (MEMORY, 5.0),
    Work.SPILLED_VALUES: (MEMORY, 5.0),
    Work.CONV_CALLS: (CALLS, 1e5),
    Work.DEPTHWISE_CALLS: (CALLS, 1e5),
    Work.LINEAR_CALLS: (CALLS, 1e5),
    Work.OTHER_CALLS: (CALLS, 1e5),
    Work.GROUP_CALLS: (CALLS, 2e4),
    Work.STEM_PATCH_VALUES: (MEMORY, 20.0),
}
TERMS = tuple(Term(work.name.lower(), *_USUAL[work]) for work in Work)
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
_POINTWISE, _DENSE, _STEM, _GROUPED = (KINDS.index(name) for name in ("pointwise", "conv", "stem", "grouped"))
_LAST_KIND = len(KINDS) - 1
_BEFORE_DEPTHWISE = KINDS.index("depthwise") - _DEPTHWISE  # from there on kinds are in the order of operators
WINDOWED = (_CONV, _DEPTHWISE, _POOL)  # operators whose kernel column is a kernel
_Row = npt.NDArray[np.int32]


@njit(cache=True)
def kind_of(row: _Row) -> int:
    """The index in `KINDS` of a layer row int32 `[8]`: operators that runtimes compute in different ways."""
    if row[OP] == _CONV:
        if row[GROUPS] > 1:
            return _GROUPED
        if row[KERNEL] == 1:
            return _POINTWISE
        return _STEM if row[C_IN] <= _STEM_CHANNELS else _DENSE
    return min(row[OP] + _BEFORE_DEPTHWISE, _LAST_KIND) if row[OP] > 0 else 0


@njit(cache=True)
def _padded(channels: int, block: int) -> float:
    return float((channels + block - 1) // block * block)


@njit(cache=True)
def add_terms(row: _Row, bytes_per_value: float, block: int, out: npt.NDArray[np.float64]) -> None:
    """Adds the counts of one layer row int32 `[8]` to `out`, float64 `[len(TERMS)]`, at the places of `Work`.

    Channels are padded to multiples of `block`, as SIMD kernels and blocked layouts do; those of an input image and of
    linear layers are not.
    """
    op, kernel, stride, groups = row[OP], row[KERNEL], row[STRIDE], row[GROUPS]
    if op <= 0:
        return
    c_in, c_out = float(row[C_IN]), float(row[C_OUT])
    if op != _LINEAR and (op != _CONV or groups == 1):
        c_in = c_in if row[C_IN] <= _STEM_CHANNELS else _padded(row[C_IN], block)
        c_out = _padded(row[C_OUT], block)
    pixels_in = float(row[H_IN]) * row[W_IN]
    pixels = float((row[H_IN] + stride - 1) // stride) * ((row[W_IN] + stride - 1) // stride)
    area = float(kernel) * kernel
    read = c_in * (pixels * area if kernel < stride else pixels_in)
    written = c_in if op == _GLOBAL_POOL else c_out * pixels
    weights = 0.0
    if op == _CONV:
        weights = c_out * (c_in / groups) * area
        work = _padded(row[C_OUT] // groups, block) * c_in * area * pixels
        out[Work.CONV_CALLS] += 1.0
        out[Work.CONV_WEIGHT_VALUES] += weights
        stem = kernel > 1 and groups == 1 and row[C_IN] <= _STEM_CHANNELS
        if kernel > 1 or groups > 1:
            out[Work.STEM_PATCH_VALUES if stem else Work.CONV_PATCH_VALUES] += c_in * area * pixels
        if groups > 1:
            out[Work.GROUPED_MACS] += work
            out[Work.GROUPED_VALUES] += read + written
            out[Work.GROUP_CALLS] += groups
        else:
            out[Work.STEM_MACS if stem else Work.POINTWISE_MACS if kernel == 1 else Work.CONV_MACS] += work
            out[Work.CONV_IN_VALUES] += read
            out[Work.CONV_OUT_VALUES] += written
    elif op == _DEPTHWISE:
        weights = c_out * area
        small = Work.DEPTHWISE_SMALL_STRIDED_MACS if stride > 1 else Work.DEPTHWISE_SMALL_MACS
        large = Work.DEPTHWISE_LARGE_STRIDED_MACS if stride > 1 else Work.DEPTHWISE_LARGE_MACS
        out[large if kernel > 3 else small] += c_out * area * pixels
        out[Work.DEPTHWISE_IN_VALUES] += read
        out[Work.DEPTHWISE_OUT_VALUES] += written
        out[Work.DEPTHWISE_CALLS] += 1.0
    elif op == _LINEAR:
        weights = c_in * c_out
        out[Work.LINEAR_WEIGHT_VALUES] += weights
        out[Work.LINEAR_CALLS] += 1.0
    else:
        out[Work.OTHER_CALLS] += 1.0
        if op == _POOL:
            out[Work.POOL_WINDOW_VALUES] += c_in * pixels * area
        elif op == _GLOBAL_POOL:
            out[Work.GLOBAL_POOL_VALUES] += read
        else:
            moved = Work.ADD_VALUES if op == _ADD else Work.MUL_VALUES if op == _MUL else Work.ACTIVATION_VALUES
            out[moved] += written
    needed = (read + written + weights) * bytes_per_value
    spilled = 1.0 - CACHE_BYTES / needed if needed > CACHE_BYTES else 0.0
    if op in (_CONV, _LINEAR):
        out[Work.SPILLED_WEIGHT_VALUES] += weights * spilled
    out[Work.SPILLED_VALUES] += (read + written) * spilled


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
