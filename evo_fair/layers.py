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
from numba import njit, prange

__all__ = ["COLUMNS", "LayerTable", "Op", "check_table", "macs", "params"]

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


_CONV, _DEPTHWISE, _LINEAR = int(Op.CONV), int(Op.DEPTHWISE), int(Op.LINEAR)


def check_table(table: object) -> LayerTable:
    """Returns `table` as contiguous int32 `[networks, layers, 8]`; raises `ValueError` saying what it is instead."""
    array = np.asarray(table)
    if array.ndim != 3 or array.shape[2] != len(COLUMNS):
        raise ValueError(
            f"a layer table has the shape [networks, layers, {len(COLUMNS)}], got {list(array.shape)}: "
            "add a leading axis for a single network, table[None]"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"a layer table holds integers, got {array.dtype}: convert it with table.astype('int32')")
    return np.ascontiguousarray(array, dtype=np.int32)


@njit(cache=True, parallel=True)
def _macs_and_params(table: LayerTable) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    networks, layers = table.shape[0], table.shape[1]
    macs = np.zeros(networks, np.int64)
    params = np.zeros(networks, np.int64)
    for n in prange(networks):
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
    """Multiply-accumulates of each network for one sample, int64 `[networks]`; convolutions and linear layers count."""
    result: npt.NDArray[np.int64] = _macs_and_params(check_table(table))[0]
    return result


def params(table: LayerTable) -> npt.NDArray[np.int64]:
    """Weights and biases of each network as deployed, int64 `[networks]`; batch norm is folded into biases."""
    result: npt.NDArray[np.int64] = _macs_and_params(check_table(table))[1]
    return result
