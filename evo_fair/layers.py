"""The layer table: networks as rows of eight integers, the one form that every cost model reads.

A table is int32 `[networks, layers, 8]` with the columns `COLUMNS`; rows of operator `Op.PADDING` (0) fill up shorter
networks. Batch norm and ReLU belong to the convolution or linear layer before them and have no row of their own.
An `add` row sums the output of the row before it and an earlier one. Its `kernel` column says how many rows back that
earlier output was produced (the row before the first counts as the network's input); 1 where it is not known, as in
measurements from elsewhere.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "COLUMNS",
    "C_IN",
    "C_OUT",
    "GROUPS",
    "H_IN",
    "KERNEL",
    "OP",
    "STRIDE",
    "W_IN",
    "LayerTable",
    "Op",
    "check_table",
    "macs",
    "params",
    "peak_memory_bytes",
]

LayerTable = npt.NDArray[np.int32]

COLUMNS = ("op", "c_in", "c_out", "kernel", "stride", "groups", "h_in", "w_in")
OP, C_IN, C_OUT, KERNEL, STRIDE, GROUPS, H_IN, W_IN = range(8)


class Op(IntEnum):
    """Operator of a layer row; the names in lower case are those of `layers.csv`."""

    PADDING = 0
    CONV = 1
    DEPTHWISE = 2
    LINEAR = 3
    POOL = 4
    GLOBAL_POOL = 5
    ADD = 6
    MUL = 7
    ACTIVATION = 8


_MOST = np.iinfo(np.int32).max
_CONV, _DEPTHWISE, _LINEAR = int(Op.CONV), int(Op.DEPTHWISE), int(Op.LINEAR)
_GLOBAL_POOL, _ADD, _MUL = int(Op.GLOBAL_POOL), int(Op.ADD), int(Op.MUL)


def check_table(table: object) -> LayerTable:
    """Checks a layer table.

    Args:
        table: Integers `[networks, layers, 8]`.

    Returns:
        The table as contiguous int32.

    Raises:
        ValueError: It has another shape or kind, an operator that is none, or numbers
            below 0 or beyond int32; the message says which.
    """
    array = np.asarray(table)
    if array.ndim != 3 or array.shape[2] != len(COLUMNS):
        raise ValueError(
            f"a layer table has the shape [networks, layers, {len(COLUMNS)}], got {list(array.shape)}: "
            "add a leading axis for a single network, table[None]"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"a layer table holds integers, got {array.dtype}: convert it with table.astype('int32')")
    if array.size and not (array.min() >= 0 and array.max() <= _MOST):
        raise ValueError(f"a layer table holds numbers from 0 to {_MOST}, got {array.min()} to {array.max()}")
    if array.size and (code := array[:, :, OP].max()) > max(Op):
        raise ValueError(f"operator {code} of a layer table is none: the codes from 0 to {max(Op)} are those of Op")
    return np.ascontiguousarray(array, dtype=np.int32)


@njit(cache=True)
def _macs_and_params(table: LayerTable) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    networks, layers = table.shape[0], table.shape[1]
    macs = np.zeros(networks, np.int64)
    params = np.zeros(networks, np.int64)
    for n in range(networks):
        for i in range(layers):
            row = table[n, i]
            if row[OP] == _CONV or row[OP] == _DEPTHWISE:
                weights = np.int64(row[C_OUT]) * (row[C_IN] // row[GROUPS]) * row[KERNEL] * row[KERNEL]
                height = (row[H_IN] + row[STRIDE] - 1) // row[STRIDE]
                width = (row[W_IN] + row[STRIDE] - 1) // row[STRIDE]
                macs[n] += weights * height * width
                params[n] += weights + row[C_OUT]
            elif row[OP] == _LINEAR:
                macs[n] += np.int64(row[C_IN]) * row[C_OUT]
                params[n] += np.int64(row[C_IN]) * row[C_OUT] + row[C_OUT]
    return macs, params


def macs(table: LayerTable) -> npt.NDArray[np.int64]:
    """Multiply-accumulates of each network for one sample; convolutions and linear layers count.

    Args:
        table: The layer table, int32 `[networks, layers, 8]`.

    Returns:
        int64 `[networks]`.
    """
    result: npt.NDArray[np.int64] = _macs_and_params(check_table(table))[0]
    return result


def params(table: LayerTable) -> npt.NDArray[np.int64]:
    """Weights and biases of each network as deployed; batch norm is folded into biases.

    Args:
        table: The layer table, int32 `[networks, layers, 8]`.

    Returns:
        int64 `[networks]`.
    """
    result: npt.NDArray[np.int64] = _macs_and_params(check_table(table))[1]
    return result


@njit(cache=True)
def _output_shape(row: npt.NDArray[np.int32]) -> tuple[int, int, int]:
    if row[OP] == _GLOBAL_POOL or row[OP] == _LINEAR:
        return row[C_OUT], 1, 1
    stride = max(row[STRIDE], 1)
    return row[C_OUT], (row[H_IN] + stride - 1) // stride, (row[W_IN] + stride - 1) // stride


@njit(cache=True)
def _latest_like(shapes: npt.NDArray[np.int64], before: int, row: npt.NDArray[np.int32]) -> int:
    """The latest tensor before `before` that has the input shape of `row`; -1 where there is none."""
    for t in range(before - 1, -1, -1):
        if shapes[t, 0] == row[C_IN] and shapes[t, 1] == row[H_IN] and shapes[t, 2] == row[W_IN]:
            return t
    return -1


@njit(cache=True)
def _peak_values(rows: LayerTable) -> np.int64:
    """The largest number of activation values alive at once; tensor 0 is the input, tensor i + 1 what row i makes."""
    n = 0
    while n < rows.shape[0] and rows[n, OP] > 0:
        n += 1
    shapes = np.ones((n + 1, 3), np.int64)
    last_use = np.full(n + 1, -1, np.int64)
    if n:
        shapes[0, 0], shapes[0, 1], shapes[0, 2] = rows[0, C_IN], rows[0, H_IN], rows[0, W_IN]
    for i in range(n):
        row = rows[i]
        shapes[i + 1, 0], shapes[i + 1, 1], shapes[i + 1, 2] = _output_shape(row)
        first = _latest_like(shapes, i + 1, row)
        if first < 0 or (row[OP] == _LINEAR and shapes[i].prod() == row[C_IN]):
            first = i
        last_use[first] = i
        if row[OP] == _ADD:
            second = i - row[KERNEL] + 1 if row[KERNEL] > 1 else _latest_like(shapes, first, row)
            if 0 <= second <= i:
                last_use[second] = i
        elif row[OP] == _MUL:
            second = i if first != i else _latest_like(shapes, first, row)
            if second >= 0:
                last_use[second] = i
    last_use[n] = n
    values = shapes[:, 0] * shapes[:, 1] * shapes[:, 2]
    peak: np.int64 = values[0]
    for i in range(n):
        alive = values[i + 1]
        for t in range(i + 1):
            if last_use[t] >= i:
                alive += values[t]
        peak = max(peak, alive)
    return peak


@njit(cache=True, nogil=True)
def _peak_values_of(table: LayerTable) -> npt.NDArray[np.int64]:
    peaks = np.empty(table.shape[0], np.int64)
    for n in range(table.shape[0]):
        peaks[n] = _peak_values(table[n])
    return peaks


def peak_memory_bytes(table: LayerTable, bytes_per_value: int = 4) -> npt.NDArray[np.int64]:
    """Bytes that each network needs at its worst moment: activations alive at once, and weights.

    A runtime is assumed that overwrites nothing in place and frees a tensor after its
    last use. While a layer runs its inputs, its output and whatever a later layer still
    reads are alive. A row reads the output of the row before it, or, where that does
    not have the row's input shape, the latest earlier tensor that has; an `add` also
    reads the tensor that its `kernel` column names, or with 1 the latest earlier one of
    the same shape; a `mul` also the row before it, such as the gate of
    squeeze-and-excite.

    Args:
        table: The layer table, int32 `[networks, layers, 8]`.
        bytes_per_value: Bytes of a number. Default: 4, as in fp32.

    Returns:
        int64 `[networks]`.
    """
    checked = check_table(table)
    weights: npt.NDArray[np.int64] = params(checked)
    activations: npt.NDArray[np.int64] = _peak_values_of(checked)
    return bytes_per_value * (weights + activations)
