"""How far a prediction may be off: what a fit leaves open of it, and what is like nothing that was measured.

Both are variances of the logarithm of milliseconds. What is left open comes from the covariance of a fit's unknowns
(`evo_fair.latency.design`): large for work that was measured little, or by another source only. To it belongs what is
unlike any anchor: the part of the corrections' prior that the features do not span. `Width` makes an interval of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit, prange
from scipy.sparse import csr_array

from evo_fair.arrays import Bools, Floats, Int32s
from evo_fair.latency.design import CORRECTION_SPREAD, PRICED, SPREAD, features_of
from evo_fair.latency.fit import Fit
from evo_fair.latency.model import Model, coordinates, layer_ms
from evo_fair.latency.terms import TERMS, kind_of, layer_terms
from evo_fair.layers import LayerTable

__all__ = ["LEVEL", "NORMAL", "Uncertainty", "Variances", "Width", "lower_root", "measured_terms"]


LEVEL = 0.9
"""The share of measurements that intervals are to hold."""
NORMAL = 1.645
"""How many standard deviations hold that share of a normal distribution."""


@dataclass(frozen=True)
class Variances:
    """Milliseconds, and variances of their logarithm, by network or by layer.

    `open` is what the fit leaves open of layers whose work was measured, and what is unlike any of its anchors;
    `strange` is all of layers with work that nobody measured.
    """

    ms: Floats
    open: Floats
    strange: Floats


@dataclass(frozen=True)
class Width:
    """What makes an interval of variances: what measurements scatter by, and how far what is left open reaches.

    An interval reaches from ms / exp(h) to ms * exp(h), where h * h = noise * noise + reach * reach * open +
    NORMAL * NORMAL * strange: of what was never measured only the prior is known.
    """

    noise: float
    reach: float

    def half(self, variances: Variances) -> Floats:
        """Half the width of intervals in natural logarithms, in the shape of the variances."""
        half: Floats = np.sqrt(self.noise**2 + self.reach**2 * variances.open + NORMAL**2 * variances.strange)
        return half


@dataclass(frozen=True)
class Uncertainty:
    """What a fit knows and does not know: its model, its anchors as layers, a root of its unknowns' covariance.

    `root` is `[unknowns, any]`; its product with its transpose is the covariance. `measured` says whose work was
    measured at all, bool `[terms]`.
    """

    model: Model
    anchors: Int32s
    root: Floats
    measured: Bools

    @classmethod
    def of_fit(cls, fit: Fit) -> "Uncertainty":
        """What a fit leaves open."""
        return cls(fit.model, fit.anchors, lower_root(fit.covariance), measured_terms(fit.never_measured))

    def of_networks(self, table: LayerTable, *, repeats: Floats | None = None, up_to_scale: bool = False) -> Variances:
        """The variances of networks, each `[networks]`; a layer runs `repeats` times, `[networks, layers]`.

        With `up_to_scale`, those that remain once one factor for all of these networks is known.
        """
        layers = _Layers(self, table, repeats)
        ms = layers.sums(layers.ms) + 1e-6 * self.model.network_price
        known = self._of_part(layers, table, ms, ~layers.strange, self._overhead, up_to_scale)
        if not layers.strange.any():
            return Variances(ms, known, np.zeros(len(ms)))
        return Variances(ms, known, self._of_part(layers, table, ms, layers.strange, 0.0, up_to_scale))

    def directions(self, table: LayerTable) -> Floats:
        """The slopes of the logarithms of networks' milliseconds along what is open, `[networks, directions]`.

        Their squares add up to the variances that the fit leaves, without what is unlike its anchors.
        """
        layers = _Layers(self, table)
        ms = layers.sums(layers.ms) + 1e-6 * self.model.network_price
        return (layers.sums(layers.slopes) + self._overhead) / ms[:, None]

    def _of_part(
        self,
        layers: "_Layers",
        table: LayerTable,
        ms: Floats,
        counted: Bools,
        overhead: Floats | float,
        up_to_scale: bool,
    ) -> Floats:
        """The variances `[networks]` that come of some of the distinct layers, and of `overhead`."""
        slopes: Floats = layers.sums(counted[:, None] * layers.slopes) + overhead
        slopes /= ms[:, None]
        if up_to_scale:
            slopes -= np.mean(slopes, axis=0)
        own_ms = counted * layers.ms
        alike: Floats = _alike(table, own_ms[layers.index] * layers.repeats)
        spanned = layers.sums(own_ms[:, None] * layers.features)
        unlike = np.maximum(alike - np.square(spanned).sum(axis=1), 0.0) / ms**2
        variances: Floats = np.square(slopes).sum(axis=1) + CORRECTION_SPREAD**2 * unlike
        return variances

    def of_layers(self, table: LayerTable) -> Variances:
        """The variances of layers, each `[networks, layers]`; 0 for padding."""
        layers = _Layers(self, table)
        real = layers.ms > 0
        left_open = np.square(layers.slopes / np.where(real, layers.ms, 1.0)[:, None]).sum(axis=1)
        unlike = np.maximum(1.0 - np.square(layers.features).sum(axis=1), 0.0)
        variances = (left_open + CORRECTION_SPREAD**2 * unlike) * real
        index = layers.index
        return Variances(layers.ms[index], (variances * ~layers.strange)[index], (variances * layers.strange)[index])

    @cached_property
    def _overhead(self) -> Floats:
        """The slope of a network's fixed milliseconds, times the root."""
        slope: Floats = 1e-6 * self.model.network_price * (SPREAD[-1] @ self.root[:PRICED])
        return slope


def measured_terms(never: Sequence[str]) -> Bools:
    """Which terms are not among those `never` measured, bool `[terms]`."""
    return np.array([term.name not in never for term in TERMS])


def lower_root(covariance: Floats) -> Floats:
    """The lower triangular matrix whose product with its transpose is `covariance`."""
    root: Floats = np.asarray(np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance))), np.float64)
    return root


class _Layers:
    """The distinct layers of a table: milliseconds, features, slopes along the root's columns, and who has them.

    `strange` are those with work that was never measured.
    """

    def __init__(self, known: Uncertainty, table: LayerTable, repeats: Floats | None = None) -> None:
        rows, index = np.unique(table.reshape(-1, table.shape[2]), axis=0, return_inverse=True)
        rows = np.ascontiguousarray(rows, np.int32)
        self.index = index.reshape(table.shape[:2])
        model = known.model
        worked = layer_terms(rows[:, None], model.bytes_per_value, model.block)[:, 0] * model.prices
        self.strange: Bools = np.asarray(worked[:, ~known.measured].any(axis=1), np.bool_)
        self.ms: Floats = layer_ms(model, rows[None])[0]
        worked *= (self.ms / np.maximum(worked.sum(axis=1), 1e-300))[:, None]
        self.features = features_of(known.anchors, rows)
        by_feature = CORRECTION_SPREAD * self.ms[:, None] * self.features
        self.slopes: Floats = np.hstack([worked @ SPREAD[:-1], by_feature]) @ known.root
        networks = np.repeat(np.arange(table.shape[0]), table.shape[1])
        shape = (table.shape[0], len(rows))
        self.repeats = np.ones(self.index.shape) if repeats is None else repeats
        self._counts = csr_array((self.repeats.ravel(), (networks, self.index.ravel())), shape=shape)

    def sums(self, values: Floats) -> Floats:
        """The sums over the layers of each network, `[networks, ...]`, of values of distinct layers `[layers, ...]`."""
        return np.asarray(self._counts @ values, np.float64)


@njit(cache=True, parallel=True)
def _alike(table: LayerTable, ms: Floats) -> Floats:
    """The sum over pairs of a network's layers of their milliseconds times their likeness, float64 `[networks]`."""
    out = np.zeros(table.shape[0])
    for n in prange(table.shape[0]):
        place = coordinates(table[n])
        for i in range(table.shape[1]):
            kind = kind_of(table[n, i])
            out[n] += ms[n, i] * ms[n, i]
            for j in range(i):
                if kind_of(table[n, j]) == kind:
                    distance = 0.0
                    for k in range(5):
                        distance += (place[i, k] - place[j, k]) ** 2
                    out[n] += 2.0 * ms[n, i] * ms[n, j] * np.exp(-0.5 * distance)
    return out
