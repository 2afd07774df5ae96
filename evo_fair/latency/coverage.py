"""Intervals that hold what they promise: their width is set by measurements that a fit did not see.

Networks are left out in folds, each alike to others that stay; in kinds, whole clusters of networks that share how
their time is spent; and, where several sources measured a board, source by source. The first kind says what
measurements scatter by, the others how far what is left open reaches (`evo_fair.latency.uncertainty.Width`); both as
quantiles of the misses, as in cross-conformal prediction (Vovk 2015, "Cross-conformal predictors"). How many hold is
counted with widths that were set without the networks that are judged (`LeftOut.held`), and by `judge` also with fits
and all that is chosen without them.

Sources count alike, however many networks they have, as groups do in Dunn, Wasserman and Ramdas 2023 ("Distribution-
free prediction sets for two-layer hierarchical models"). No method promises nine in ten networks of a source never
seen without at least nine sources that were (Lee, Barber and Willett 2023, "Distribution-free inference with
hierarchical data").
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evo_fair.arrays import Bools, Floats, Ints
from evo_fair.latency.fit import FEWEST_NETWORKS, Fit
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.terms import TERMS, layer_terms
from evo_fair.latency.uncertainty import LEVEL, NORMAL, Uncertainty, Variances, Width

__all__ = [
    "Fitter",
    "Kept",
    "LeftOut",
    "Misses",
    "by_kind",
    "by_network",
    "by_source",
    "covered",
    "judge",
    "leave_out",
    "misses",
    "width_of",
    "without_alike",
]

Kept = Sequence[Ints]
Fitter = Callable[[Kept], Sequence[Fit]]
"""Fits the networks that are kept of each source, int64 `[n]`, and returns the fit of each source."""

FOLDS = 5
KINDS = 5
MOST_LEFT_OUT = 1000
FEWEST_MISSES = 9
"""Of fewer not even the largest bounds nine in ten to come (`_level`): as if no network had been left out."""
_ROUNDS = 20
SHORTEST_REACH = 0.25
"""Of what is left open: networks that were measured together are more alike than those to come."""
_USUAL = np.array([term.usual for term in TERMS])


@dataclass(frozen=True)
class Misses:
    """How far predictions of networks that a fit did not see were off, in logarithms, and what was known of them.

    `networks` are their places in their source, and `part` says which were left out together, each int64 `[n]`.
    """

    error: Floats
    variances: Variances
    networks: Ints
    part: Ints

    def joined(self, other: "Misses") -> "Misses":
        """Those of both; the parts of the other follow one's own."""
        one, two = self.variances, other.variances
        both = (np.concatenate(pair) for pair in ((one.ms, two.ms), (one.open, two.open), (one.strange, two.strange)))
        return Misses(
            np.concatenate([self.error, other.error]),
            Variances(*both),
            np.concatenate([self.networks, other.networks]),
            np.concatenate([self.part, other.part + self.part.max(initial=-1) + 1]),
        )

    def some(self, chosen: Bools) -> "Misses":
        """Those that are chosen, bool `[n]`."""
        of = self.variances
        variances = Variances(of.ms[chosen], of.open[chosen], of.strange[chosen])
        return Misses(self.error[chosen], variances, self.networks[chosen], self.part[chosen])

    def without(self, networks: Ints) -> "Misses | None":
        """Those of other networks, None where there are no others."""
        chosen = ~np.isin(self.networks, networks)
        return self.some(chosen) if chosen.any() else None

    @property
    def parts(self) -> Iterator["Misses"]:
        """Those that were left out together, part by part."""
        for part in np.unique(self.part):
            yield self.some(self.part == part)


@dataclass(frozen=True)
class LeftOut:
    """What fits to a board's measurements miss of its first source, near and far, and of each source from the others.

    The first of `others`, where there are any, is the first source again. `noise` is what the fit takes measurements to
    scatter by.
    """

    near: Misses | None
    kinds: Misses | None
    others: tuple[Misses, ...]
    noise: float

    @property
    def width(self) -> Width:
        """The width of intervals for the first source."""
        return width_of(self.near, [one for one in (self.kinds, *self.others) if one is not None], self.noise)

    def without(self, networks: Ints) -> "LeftOut":
        """The same without some networks of the first source, int64 `[n]`."""
        near, kinds, *first = (
            None if one is None else one.without(networks) for one in (self.near, self.kinds, *self.others[:1])
        )
        others = (*(one for one in first if one is not None), *self.others[1:])
        return LeftOut(near, kinds, others, self.noise)

    @property
    def held(self) -> tuple[tuple[str, Bools], ...]:
        """Which measurements intervals hold whose width is set without them: what was left out, and bool `[n]`."""
        found = [
            (name, np.concatenate([covered(part, self.without(part.networks).width) for part in missed.parts]))
            for name, missed in (("networks, in folds", self.near), ("kinds of networks", self.kinds))
            if missed is not None
        ]
        if self.others:
            held = [covered(one, self._without_source(place).width) for place, one in enumerate(self.others)]
            found.append(("each source in turn, up to one factor", np.concatenate(held)))
        return tuple(found)

    def _without_source(self, place: int) -> "LeftOut":
        rest = self.others[:place] + self.others[place + 1 :]
        return replace(self, others=rest) if place else LeftOut(None, None, rest, self.noise)


def by_network(measured: Measurements, seed: int = 0) -> list[Ints]:
    """Five folds of networks, those with the same layers in one; see `Measurements.folds`."""
    return measured.folds(FOLDS, seed)


def by_kind(measured: Measurements) -> list[Ints]:
    """Up to five clusters of networks, by the shares that kinds of work have in what they cost at usual prices."""
    from sklearn.cluster import KMeans

    work = np.array([(layer_terms(network[None], 4.0, 8)[0] * _USUAL).sum(axis=0) for network in measured.table])
    shares = np.sqrt(work / np.maximum(work.sum(axis=1, keepdims=True), 1e-300))
    clusters = min(KINDS, len(np.unique(shares.round(9), axis=0)))
    label = KMeans(clusters, n_init=10, random_state=0).fit(shares).labels_
    return [np.flatnonzero(label == one) for one in range(clusters)]


def misses(fitter: Fitter, sources: Sequence[Measurements], left_out: Sequence[Ints], source: int = 0) -> Misses | None:
    """What the fits to all but `left_out` networks of a source miss of those; None where too few remain every time."""
    found: Misses | None = None
    for part in left_out:
        kept = without_alike(sources, part, source)
        if len(kept[source]) < FEWEST_NETWORKS:
            continue
        new = _missed(fitter(kept)[source], sources[source], part)
        found = new if found is None else found.joined(new)
    return found


def without_alike(sources: Sequence[Measurements], networks: Ints, source: int = 0) -> list[Ints]:
    """What remains of each source without some `networks` of one, int64 `[n]` each.

    Networks with the same layers are left out of all sources: else a fit would know of them from elsewhere.
    """
    alike = [measured.layers_of() for measured in sources]
    unseen = {alike[source][i] for i in networks}
    return [np.flatnonzero([name not in unseen for name in names]) for names in alike]


def leave_out(fit: Fit, fitter: Fitter, sources: Sequence[Measurements]) -> LeftOut:
    """What is missed of a board's first source, to which `fit` is fitted with the others.

    Of more than a thousand networks so many are left out in turn. Where fewer than `FEWEST_MISSES` can be, none is.
    """
    first = sources[0]
    some = np.sort(np.random.default_rng(0).permutation(len(first.names))[:MOST_LEFT_OUT])
    near = misses(fitter, sources, [some[part] for part in by_network(first.part(some))])
    kinds = misses(fitter, sources, [some[part] for part in by_kind(first.part(some))])
    near, kinds = (one if one is not None and len(one.error) >= FEWEST_MISSES else None for one in (near, kinds))
    return LeftOut(near, kinds, tuple(by_source(fitter, sources)) if len(sources) > 1 else (), fit.noise)


def by_source(fitter: Fitter, sources: Sequence[Measurements]) -> list[Misses]:
    """What the others miss of each source in turn, once one factor for all of its networks is known."""
    found = []
    for source, measured in enumerate(sources):
        networks = np.arange(len(measured.names))
        if len(networks):
            kept = [np.arange(0 if other == source else len(one.names)) for other, one in enumerate(sources)]
            found.append(_missed(fitter(kept)[source], measured, networks, up_to_scale=True))
    return found


def judge(
    make_fitter: Callable[[Sequence[Measurements]], Fitter],
    sources: Sequence[Measurements],
    kept: Kept,
    source: int = 0,
) -> tuple[Misses, Width]:
    """What is missed of a source's networks that are not `kept`, and how wide intervals are without them.

    Fits, what they choose, and the width come of the kept networks alone, int64 `[n]` of each source: nothing that is
    judged has a part in its interval. Of a source of which none is kept one factor is known.
    """
    alone = len(kept[source]) == 0
    others = [place for place in range(len(sources)) if place != source]
    order = [*others, source] if alone else [source, *others]
    seen = [sources[place].part(kept[place]) for place in order]
    fitter = make_fitter(seen)
    fits = fitter([np.arange(len(measured.names)) for measured in seen])
    rest = np.setdiff1d(np.arange(len(sources[source].names)), kept[source])
    missed = _missed(fits[order.index(source)], sources[source], rest, up_to_scale=alone)
    return missed, leave_out(fits[0], fitter, seen).width


def width_of(near: Misses | None, far: Sequence[Misses], noise: float) -> Width:
    """The width that holds nine in ten `near` misses, and nine in ten of the `far` ones, each of which counts alike.

    `noise` is what the fit takes measurements to scatter by, where there are no misses to tell.
    """
    width = Width(NORMAL * noise, NORMAL)
    for _ in range(_ROUNDS):
        scatter, reach = width.noise, width.reach
        if near is not None:
            beyond = near.error**2 - Width(0.0, reach).half(near.variances) ** 2
            scatter = float(np.sqrt(max(np.quantile(beyond, _level(len(beyond)), method="higher"), 0.0)))
        if far:
            needed = np.concatenate([_needed_reach(one, scatter) for one in far])
            weights = np.concatenate([np.full(len(one.error), 1 / len(one.error)) for one in far])
            reach = float(np.quantile(needed, _level(len(needed)), weights=weights, method="inverted_cdf"))
        width = Width(scatter, max(reach, SHORTEST_REACH))
    return width


def _level(networks: int) -> float:
    """The share of so many misses that an interval has to hold, to hold `LEVEL` of those to come (Vovk 2015)."""
    return min(1.0, LEVEL * (1 + 1 / networks))


def _needed_reach(missed: Misses, noise: float) -> Floats:
    """The reach with which each interval would just hold its measurement, `[networks]`."""
    beyond = missed.error**2 - Width(noise, 0.0).half(missed.variances) ** 2
    needed: Floats = np.sqrt(np.maximum(beyond, 0.0) / np.maximum(missed.variances.open, 1e-300))
    return needed


def covered(missed: Misses, width: Width) -> Bools:
    """Which measurements lie within their intervals, bool `[networks]`."""
    within: Bools = np.abs(missed.error) <= width.half(missed.variances)
    return within


def _missed(fit: Fit, measured: Measurements, networks: Ints, *, up_to_scale: bool = False) -> Misses:
    own = measured.part(networks)
    variances = Uncertainty.of_fit(fit).of_networks(own.table, up_to_scale=up_to_scale)
    error = np.log(own.latency_ms / variances.ms)
    together = np.zeros(len(networks), np.int64)
    return Misses(error - np.median(error) if up_to_scale else error, variances, networks, together)
