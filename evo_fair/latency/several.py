"""One profile of a board that several sources measured: runtimes or authors, each with its own scale and overhead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evo_fair.arrays import Floats
from evo_fair.errors import ProfileError
from evo_fair.latency.calibrate import Provenance, distinct_layers, finish, intervals_of, without_gross
from evo_fair.latency.coverage import by_network, misses
from evo_fair.latency.fit import FEWEST_NETWORKS, Fit
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.plausibility import Doubts, check_speed, examine
from evo_fair.latency.pooled import Pool, make_pool
from evo_fair.latency.profile import Profile
from evo_fair.latency.schema import BYTES_PER_VALUE, ProfileSource
from evo_fair.latency.terms import TERMS
from evo_fair.latency.validation import FOLDS, median_scores, score, shuffles_for

__all__ = ["MeasuredBy", "calibrate_together"]


@dataclass(frozen=True)
class MeasuredBy:
    """What one source measured: a name for it, the networks, and where they come from."""

    name: str
    measured: Measurements
    provenance: Provenance


def calibrate_together(
    name: str,
    sources: Sequence[MeasuredBy],
    donors: Sequence[Profile] = (),
    *,
    accept_implausible: bool = False,
    warn: Callable[[str], None] = lambda _warning: None,
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
) -> Profile:
    """Fits a profile of the first source to what all of them measured of one board.

    The profile predicts the times of the first source. What that one never measured comes from the others, in
    proportion. Validation leaves out networks of the first source, and those with the same layers of the others.
    Doubts are met as by `evo_fair.latency.calibrate.calibrate`. Raises `ProfileError` for sources of different
    precision or of equal names, and for one of fewer than 8 networks.
    """
    _check(sources)
    first = sources[0].provenance
    bytes_per_value = BYTES_PER_VALUE[first.precision]
    doubts: list[str] = []
    kept = []
    for source in sources:
        found = check_speed(source.measured).of(source.name).settle(accept_implausible)
        measured, others = without_gross(source.measured, bytes_per_value, accept_implausible)
        doubts += [*found, *(f"{source.name}: {doubt}" for doubt in others)]
        kept.append(measured)
    progress("fitting", 0, 1)
    pool = make_pool(kept, bytes_per_value)
    fits = pool.fit()
    progress("fitting", 1, 1)
    predicted = _held_out_ms(pool, kept, lambda done, total: progress("validating, folds", done, total))
    method = f"{FOLDS} folds by network, also of the other sources, median of {len(predicted)} shuffles"
    held_out = (method, median_scores(predicted, kept[0].latency_ms))
    for place, source in enumerate(sources):
        progress("examining sources", place, len(sources))
        expected = _unseen_ms(pool, fits, kept, place) if place else np.median(predicted, axis=0)
        doubts += _examined(kept[place], expected).of(source.name).settle(accept_implausible)
    progress("examining sources", len(sources), len(sources))
    for doubt in doubts:
        warn(doubt)
    progress("intervals", 0, 1)
    intervals = intervals_of(fits[0], pool.fit, kept)
    progress("intervals", 1, 1)
    records = [_record(source, kept[place], fits, place, pool) for place, source in enumerate(sources)]
    return finish(name, fits[0], kept, first, donors, held_out, doubts, intervals, records)


_FEWEST = -(-FEWEST_NETWORKS * FOLDS // (FOLDS - 1))
"""Networks of which enough for a fit remain without those of any fold."""


def _check(sources: Sequence[MeasuredBy]) -> None:
    """Raises `ProfileError` for sources that can't be one board's."""
    precisions = {source.provenance.precision for source in sources}
    if len(precisions) > 1:
        raise ProfileError(
            f"sources measured in {' and in '.join(sorted(precisions))}: fit a profile for each precision"
        )
    names = [source.name for source in sources]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ProfileError(f"two sources have the name {twice[0]!r}: give each measurement once, from its own folder")


def _held_out_ms(pool: Pool, sources: Sequence[Measurements], progress: Callable[[int, int], None]) -> Floats:
    """Milliseconds of the first source's networks by fits that saw none of the same layers, `[shuffles, networks]`."""
    measured = sources[0]
    shuffles = shuffles_for(len(measured.names))
    predicted = np.empty((shuffles, len(measured.names)))
    for shuffle in range(shuffles):
        for number, fold in enumerate(by_network(measured, shuffle), 1):
            missed = misses(pool.fit, sources, [fold])
            if missed is None:
                raise ProfileError(
                    f"{len(measured.names)} networks of the first source are too few to leave any out: measure at "
                    f"least {_FEWEST} different ones of it, or give a source of more networks first"
                )
            predicted[shuffle, fold] = missed.variances.ms
            progress(shuffle * FOLDS + number, shuffles * FOLDS)
    return predicted


def _unseen_ms(pool: Pool, fits: Sequence[Fit], sources: Sequence[Measurements], place: int) -> Floats:
    """Milliseconds of a source's networks by fits that did not see them; by the whole fit where too few others are."""
    measured = sources[place]
    expected = network_ms(fits[place].model, measured.table)
    missed = misses(pool.fit, sources, by_network(measured), place)
    if missed is not None:
        expected[missed.networks] = missed.variances.ms
    return expected


def _examined(measured: Measurements, expected: Floats) -> Doubts:
    judged = score(expected, measured.latency_ms)
    return examine(measured, expected, np.zeros(len(measured.names), np.bool_), judged.mape, judged.spearman)


def _record(source: MeasuredBy, measured: Measurements, fits: Sequence[Fit], place: int, pool: Pool) -> ProfileSource:
    """What a profile says of one of its sources."""
    measures = pool.measures(place)
    ratios = [np.log(fits[0].prices[term.name] / fits[place].prices[term.name]) for term in TERMS]
    return ProfileSource(
        name=source.name,
        runtime=source.provenance.runtime,
        source=source.provenance.source,
        licence=source.provenance.licence,
        networks=len(measured.names),
        distinct_layers=distinct_layers([measured]),
        scale=float(np.exp(np.mean(np.array(ratios)[measures]))),
        network_ms=1e-6 * fits[place].model.network_price,
        measures=tuple(term.name for term, own in zip(TERMS, measures, strict=True) if own),
    )
