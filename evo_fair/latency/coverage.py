"""Intervals that hold what they promise: their width is set by measurements that a fit did not see.

Networks are left out in folds, each alike to others that stay; in kinds, whole clusters of networks that share how
their time is spent; and, where several sources measured a board, source by source. The first kind says what
measurements scatter by, the others how far what is left open reaches (`evo_fair.latency.uncertainty.Width`); both as
quantiles of the misses, as in cross-conformal prediction (Vovk 2015).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evo_fair.arrays import Bools, Floats, Ints
from evo_fair.latency.fit import FEWEST_NETWORKS, Fit
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.terms import TERMS, layer_terms
from evo_fair.latency.uncertainty import LEVEL, NORMAL, Uncertainty, Variances, Width

__all__ = ["Fitter", "Kept", "Misses", "by_kind", "by_network", "by_source", "covered", "misses", "width_of"]

Kept = Sequence[Ints]
Fitter = Callable[[Kept], Sequence[Fit]]
"""Fits the networks that are kept of each source, int64 `[n]`, and returns the fit of each source."""

FOLDS = 5
KINDS = 5
_ROUNDS = 20
SHORTEST_REACH = 0.25
"""Of what is left open: networks that were measured together are more alike than those to come."""
_USUAL = np.array([term.usual for term in TERMS])


@dataclass(frozen=True)
class Misses:
    """How far predictions of networks that a fit did not see were off, in logarithms, and what was known of them."""

    error: Floats
    variances: Variances

    def joined(self, other: "Misses") -> "Misses":
        """Those of both."""
        one, two = self.variances, other.variances
        both = (np.concatenate(pair) for pair in ((one.ms, two.ms), (one.open, two.open), (one.strange, two.strange)))
        return Misses(np.concatenate([self.error, other.error]), Variances(*both))


def by_network(measured: Measurements, seed: int = 0) -> list[Ints]:
    """Five folds of networks."""
    return np.array_split(np.random.default_rng(seed).permutation(len(measured.names)), FOLDS)


def by_kind(measured: Measurements) -> list[Ints]:
    """Up to five clusters of networks, by the shares that kinds of work have in what they cost at usual prices."""
    from sklearn.cluster import KMeans

    work = np.array([(layer_terms(network[None], 4.0, 8)[0] * _USUAL).sum(axis=0) for network in measured.table])
    shares = np.sqrt(work / np.maximum(work.sum(axis=1, keepdims=True), 1e-300))
    clusters = min(KINDS, len(np.unique(shares.round(9), axis=0)))
    label = KMeans(clusters, n_init=10, random_state=0).fit(shares).labels_
    return [np.flatnonzero(label == one) for one in range(clusters)]


def misses(fitter: Fitter, sources: Sequence[Measurements], left_out: Sequence[Ints], source: int = 0) -> Misses | None:
    """What the fits to all but `left_out` networks of a source miss of those; None where too few remain every time.

    Networks with the same layers are left out of all sources: else a fit would know of them from elsewhere.
    """
    alike = [_layers_of(measured) for measured in sources]
    found: Misses | None = None
    for part in left_out:
        unseen = {alike[source][i] for i in part}
        kept = [np.flatnonzero([name not in unseen for name in names]) for names in alike]
        if len(kept[source]) < FEWEST_NETWORKS:
            continue
        new = _missed(fitter(kept)[source], sources[source].part(part))
        found = new if found is None else found.joined(new)
    return found


def by_source(fitter: Fitter, sources: Sequence[Measurements]) -> list[Misses]:
    """What the others miss of each source in turn, once one factor for all of its networks is known."""
    found = []
    for source, measured in enumerate(sources):
        kept = [np.arange(0 if other == source else len(one.names)) for other, one in enumerate(sources)]
        found.append(_missed(fitter(kept)[source], measured, up_to_scale=True))
    return found


def width_of(near: Misses | None, far: Sequence[Misses], noise: float) -> Width:
    """The width that holds nine in ten `near` misses, and nine in ten of the `far` ones, each of which counts alike.

    `noise` is what the fit takes measurements to scatter by, where there are no misses to tell.
    """
    width = Width(NORMAL * noise, NORMAL)
    for _ in range(_ROUNDS):
        scatter, reach = width.noise, width.reach
        if near is not None:
            beyond = near.error**2 - Width(0.0, reach).half(near.variances) ** 2
            level = min(1.0, LEVEL * (1 + 1 / len(beyond)))
            scatter = float(np.sqrt(max(np.quantile(beyond, level, method="higher"), 0.0)))
        if far:
            needed = np.concatenate([_needed_reach(one, scatter) for one in far])
            weights = np.concatenate([np.full(len(one.error), 1 / len(one.error)) for one in far])
            reach = float(np.quantile(needed, LEVEL, weights=weights, method="inverted_cdf"))
        width = Width(scatter, max(reach, SHORTEST_REACH))
    return width


def _needed_reach(missed: Misses, noise: float) -> Floats:
    """The reach with which each interval would just hold its measurement, `[networks]`."""
    beyond = missed.error**2 - Width(noise, 0.0).half(missed.variances) ** 2
    needed: Floats = np.sqrt(np.maximum(beyond, 0.0) / np.maximum(missed.variances.open, 1e-300))
    return needed


def covered(missed: Misses, width: Width) -> Bools:
    """Which measurements lie within their intervals, bool `[networks]`."""
    within: Bools = np.abs(missed.error) <= width.half(missed.variances)
    return within


def _missed(fit: Fit, measured: Measurements, *, up_to_scale: bool = False) -> Misses:
    variances = Uncertainty.of_fit(fit).of_networks(measured.table, up_to_scale=up_to_scale)
    error = np.log(measured.latency_ms / variances.ms)
    return Misses(error - np.median(error) if up_to_scale else error, variances)


def _layers_of(measured: Measurements) -> list[bytes]:
    """What a network's layers are, whatever their order and its name."""
    found = []
    for network in measured.table:
        rows = network[network[:, 0] > 0]
        found.append(rows[np.lexsort(rows.T)].tobytes())
    return found
