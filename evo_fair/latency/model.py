"""The latency model: priced work of a layer, times a correction that reaches as far as similar layers were measured.

    ms(layer) = 1e-6 * (counts . prices) * exp(sum over anchors a of weight_a * likeness(layer, a))
    ms(network) = 1e-6 * network_price + sum over layers of ms(layer)

`likeness` is a Gaussian in the binary logarithms of channels, size, kernel and stride, one octave wide, between layers
of one kind, and 0 between kinds: away from what was measured the correction ends and the priced work remains.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from evo_fair.arrays import Floats
from evo_fair.latency.terms import KINDS, TERMS, WINDOWED, add_terms, kind_of
from evo_fair.layers import LayerTable

__all__ = ["Model", "coordinates", "layer_ms", "likeness", "make_model", "network_ms"]


_N_TERMS = len(TERMS)
_N_KINDS = len(KINDS)
_LARGEST_CORRECTION = 1.0  # four standard deviations of the fit's prior
_FEW = 256
"""Networks up to which it takes longer to wake the threads, and to wait for them on a busy machine, than to go on."""


class Model(NamedTuple):
    """A profile's numbers as compiled code reads them; anchors are sorted by kind."""

    prices: Floats  # [terms], ns
    network_price: float  # ns
    bytes_per_value: float
    block: int  # channels are padded to multiples of it
    anchors: Floats  # [anchors, 5], coordinates
    weights: Floats  # [anchors]
    starts: npt.NDArray[np.int64]  # [kinds + 1], where the anchors of each kind begin


@njit(cache=True)
def _coordinates(row: npt.NDArray[np.int32]) -> tuple[float, float, float, float, float]:
    kernel = row[3] if row[0] in WINDOWED else 1  # elsewhere the column holds something else
    return (
        np.log2(max(row[1], 1)),
        np.log2(max(row[2], 1)),
        0.5 * np.log2(max(float(row[6]) * row[7], 1.0)),
        np.log2(max(kernel, 1)),
        np.log2(max(row[4], 1)),
    )


@njit(cache=True)
def coordinates(rows: npt.NDArray[np.int32]) -> Floats:
    """The place of layer rows int32 `[rows, 8]` in the space of `likeness`, float64 `[rows, 5]`, in octaves."""
    out = np.empty((rows.shape[0], 5))
    for i in range(rows.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3], out[i, 4] = _coordinates(rows[i])
    return out


@njit(cache=True)
def likeness(a: npt.NDArray[np.int32], b: npt.NDArray[np.int32]) -> Floats:
    """How alike layers are, float64 `[len(a), len(b)]` in 0 to 1, for rows int32 `[rows, 8]`."""
    place_a, place_b = coordinates(a), coordinates(b)
    out = np.zeros((a.shape[0], b.shape[0]))
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            if kind_of(a[i]) == kind_of(b[j]):
                distance = 0.0
                for k in range(5):
                    distance += (place_a[i, k] - place_b[j, k]) ** 2
                out[i, j] = np.exp(-0.5 * distance)
    return out


def make_model(
    prices: npt.ArrayLike,
    network_price: float,
    bytes_per_value: float,
    block: int,
    anchors: npt.NDArray[np.int32],
    weights: npt.ArrayLike,
) -> Model:
    """The model of prices in ns `[terms]` and of anchor layers int32 `[anchors, 8]` with their weights `[anchors]`."""
    anchors = np.ascontiguousarray(np.asarray(anchors, np.int32).reshape(-1, 8))
    kinds = np.array([kind_of(row) for row in anchors], np.int64)
    order = np.argsort(kinds, kind="stable")
    starts = np.searchsorted(kinds[order], np.arange(_N_KINDS + 1)).astype(np.int64)
    return Model(
        np.ascontiguousarray(prices, np.float64),
        float(network_price),
        float(bytes_per_value),
        int(block),
        coordinates(np.ascontiguousarray(anchors[order])),
        np.ascontiguousarray(np.asarray(weights, np.float64)[order]),
        starts,
    )


@njit(cache=True)
def _one_layer(model: Model, row: npt.NDArray[np.int32], counts: Floats) -> float:
    if row[0] <= 0:
        return 0.0
    counts[:] = 0.0
    add_terms(row, model.bytes_per_value, model.block, counts)
    total = 0.0
    for t in range(_N_TERMS):
        total += counts[t] * model.prices[t]
    kind = kind_of(row)
    place = _coordinates(row)
    correction = 0.0
    for a in range(model.starts[kind], model.starts[kind + 1]):
        distance = 0.0
        for k in range(5):
            distance += (place[k] - model.anchors[a, k]) ** 2
        correction += model.weights[a] * np.exp(-0.5 * distance)
    ms: float = 1e-6 * total * np.exp(min(max(correction, -_LARGEST_CORRECTION), _LARGEST_CORRECTION))
    return ms


@njit(cache=True, parallel=True)
def layer_ms(model: Model, table: LayerTable) -> Floats:
    """Milliseconds of each layer, float64 `[networks, layers]`; 0 for padding."""
    out = np.empty((table.shape[0], table.shape[1]))
    for n in prange(table.shape[0]):
        counts = np.empty(_N_TERMS)
        for i in range(table.shape[1]):
            out[n, i] = _one_layer(model, table[n, i], counts)
    return out


def network_ms(model: Model, table: LayerTable) -> Floats:
    """Milliseconds of each network, float64 `[networks]`; a network's sum does not depend on its neighbours."""
    return (_in_turn if len(table) <= _FEW else _side_by_side)(model, table)


@njit(cache=True)
def _one_network(model: Model, layers: LayerTable, counts: Floats) -> float:
    total = 1e-6 * model.network_price
    for i in range(layers.shape[0]):
        total += _one_layer(model, layers[i], counts)
    return total


@njit(cache=True)
def _in_turn(model: Model, table: LayerTable) -> Floats:
    out = np.empty(table.shape[0])
    counts = np.empty(_N_TERMS)
    for n in range(table.shape[0]):
        out[n] = _one_network(model, table[n], counts)
    return out


@njit(cache=True, parallel=True)
def _side_by_side(model: Model, table: LayerTable) -> Floats:
    out = np.empty(table.shape[0])
    for n in prange(table.shape[0]):
        out[n] = _one_network(model, table[n], np.empty(_N_TERMS))
    return out
