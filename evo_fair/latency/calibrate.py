"""From measurements to a profile: fit, validation on held-out networks, fitted ranges, provenance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evo_fair.errors import ProfileError
from evo_fair.latency.coverage import Fitter, leave_out
from evo_fair.latency.fit import FEWEST_NETWORKS, Fit, fit_model
from evo_fair.latency.measurements import Measurements, joined
from evo_fair.latency.model import network_ms
from evo_fair.latency.plausibility import GROSS, Doubts, check_speed, examine, gross_outliers
from evo_fair.latency.profile import Profile, measured_ranges
from evo_fair.latency.schema import (
    BYTES_PER_VALUE,
    LONGEST_TEXT,
    SCHEMA,
    HeldBack,
    Intervals,
    Precision,
    ProfileSource,
    check_profile,
    write_root,
)
from evo_fair.latency.terms import NETWORK_CALLS, TERMS
from evo_fair.latency.uncertainty import LEVEL, lower_root
from evo_fair.latency.validation import FOLDS, Agreement, held_out_ms, median_scores, score, shuffles_for

__all__ = ["Provenance", "calibrate", "distinct_layers", "finish", "intervals_of", "without_gross"]

_RULE = (
    "a price that no measured layer speaks about is the geometric mean, over these devices, of its ratio to the price "
    "of pointwise_macs, times this device's price of pointwise_macs"
)


@dataclass(frozen=True)
class Provenance:
    """What a profile says of where its measurements come from; raises `ProfileError` for a precision that is none."""

    device: str
    runtime: str = "not recorded"
    precision: Precision = "fp32"
    cores: str = "not recorded"
    threads: int | None = None
    source: str = "measurements of the user's own"
    licence: str = "the user's own"
    notes: str = ""

    def __post_init__(self) -> None:
        if self.precision not in BYTES_PER_VALUE:
            raise ProfileError(f"precision {self.precision!r}: expected one of {', '.join(BYTES_PER_VALUE)}")


def calibrate(
    name: str,
    measured: Measurements,
    provenance: Provenance,
    donors: Sequence[Profile] = (),
    held_out: tuple[str, Agreement] | None = None,
    *,
    accept_implausible: bool = False,
    warn: Callable[[str], None] = lambda _warning: None,
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
) -> Profile:
    """Fits a profile to measured networks and validates it on networks that the fit did not see.

    `donors` supply the prices of work that was never measured. `held_out` is a method and its scores where validation
    networks were measured apart; otherwise the networks are held out in five folds, the median of up to ten shuffles.
    `warn` hears of outliers and of other doubts; those that took over 20 times more or less than they should are kept
    out of the fit. `progress` hears the stage, how much of it is done, and of how much. Raises `ProfileError` for too
    few networks, a donor without the price, a name that can't be a file's, and for measurements that can't be right,
    unless they are accepted, which the profile's notes then say.
    """
    bytes_per_value = BYTES_PER_VALUE[provenance.precision]
    doubts = list(check_speed(measured).settle(accept_implausible))
    timed = len(measured.names)
    measured, others = without_gross(measured, bytes_per_value, accept_implausible)
    all_the_same = bool(others) and len(measured.names) == timed  # too many to leave out, and accepted
    doubts += others
    progress("fitting", 0, 1)
    fit = fit_model(measured, bytes_per_value)
    progress("fitting", 1, 1)
    expected = network_ms(fit.model, measured.table)
    if held_out is None:
        shuffles = shuffles_for(len(measured.names))
        predicted = held_out_ms(
            measured,
            bytes_per_value,
            shuffles=shuffles,
            progress=lambda done, folds: progress("validating, folds", done, folds),
        )
        if predicted is not None:
            expected = np.median(predicted, axis=0)
            how_often = f", median of {shuffles} shuffles" if shuffles > 1 else ""
            twins = len(set(measured.layers_of())) < len(measured.names)
            together = ", those with the same layers together" if twins else ""
            method = f"{FOLDS} folds by network{together}{how_often}"
            held_out = (method, median_scores(predicted, measured.latency_ms))
    judged = held_out[1] if held_out else score(expected, measured.latency_ms)
    none = np.zeros(len(measured.names), np.bool_)
    if not all_the_same:
        doubts += examine(measured, expected, none, judged.mape, judged.spearman).settle(accept_implausible)
    for doubt in doubts:
        warn(doubt)
    progress("intervals", 0, 1)
    intervals = intervals_of(fit, lambda kept: (fit_model(measured.part(kept[0]), bytes_per_value),), [measured])
    progress("intervals", 1, 1)
    return finish(name, fit, [measured], provenance, donors, held_out, doubts, intervals)


def finish(
    name: str,
    fit: Fit,
    sources: Sequence[Measurements],
    provenance: Provenance,
    donors: Sequence[Profile],
    held_out: tuple[str, Agreement] | None,
    doubts: Sequence[str],
    intervals: Intervals,
    records: Sequence[ProfileSource] = (),
) -> Profile:
    """The profile of a fit; `records` say what came from which of the `sources`, where there are several."""
    prices, carried = _carry_over(fit, donors)
    ranges = measured_ranges(joined([measured.table for measured in sources]))
    content = {
        "schema": SCHEMA,
        "name": name,
        "device": {"name": provenance.device, "cores": provenance.cores, "threads": provenance.threads},
        "runtime": provenance.runtime,
        "precision": provenance.precision,
        "source": provenance.source,
        "licence": provenance.licence,
        "notes": " ".join([provenance.notes, *(f"Warning: {doubt}." for doubt in doubts)]).strip()[:LONGEST_TEXT],
        "fitted": {
            "networks": sum(len(measured.names) for measured in sources),
            "distinct_layers": distinct_layers(sources),
            "ranges": ranges,
            "never_measured": fit.never_measured,
        },
        "carried_over": carried,
        "validation": None if held_out is None else {"method": held_out[0], **held_out[1].as_dict()},
        "channel_block": fit.model.block,
        "prices": prices,
        "anchors": [
            {"layer": tuple(int(value) for value in layer), "weight": float(weight)}
            for layer, weight in zip(fit.anchors, fit.weights, strict=True)
        ],
        "sources": tuple(records) or None,
        "intervals": intervals,
    }
    return Profile(check_profile(content, f"profile {name!r}"))


def intervals_of(fit: Fit, fitter: Fitter, sources: Sequence[Measurements]) -> Intervals:
    """The intervals of the first source, whose `fit` is given: as wide as networks that are left out ask for.

    How many of those the intervals hold is counted with widths that were set without them.
    """
    left_out = leave_out(fit, fitter, sources)
    width = left_out.width
    return Intervals(
        level=LEVEL,
        noise=width.noise,
        reach=width.reach,
        held=tuple(
            HeldBack(left_out=what, measurements=len(held), percent=100 * float(held.mean()))
            for what, held in left_out.held
        ),
        root=write_root(lower_root(fit.covariance)),
    )


def distinct_layers(sources: Sequence[Measurements]) -> int:
    """How many different layers the networks of all sources have."""
    table = joined([measured.table for measured in sources])
    return int((np.unique(table.reshape(-1, table.shape[2]), axis=0)[:, 0] > 0).sum())


def without_gross(
    measured: Measurements, bytes_per_value: float, accepted: bool
) -> tuple[Measurements, tuple[str, ...]]:
    """The networks that a fit can take, and warnings that name the others; all of them where that many are accepted."""
    gross = gross_outliers(measured, bytes_per_value)
    if not gross.any():
        return measured, ()
    seen = np.flatnonzero(~gross)
    if len(seen) < FEWEST_NETWORKS:
        doubts = Doubts(f"{gross.sum()} of {len(gross)} latencies are over {GROSS:g} times off what the others say")
        return measured, doubts.settle(accepted)
    doubts = examine(
        measured, network_ms(fit_model(measured.part(seen), bytes_per_value).model, measured.table), gross, 0, 1
    )
    if doubts.refusal:
        return measured, doubts.settle(accepted)
    return measured.part(seen), doubts.warnings


def _carry_over(fit: Fit, donors: Sequence[Profile]) -> tuple[dict[str, float], dict[str, object] | None]:
    """The fitted prices, with those of never measured terms taken from `donors` by the stated rule."""
    if not donors or not fit.never_measured:
        return fit.prices, None
    reference = TERMS[0].name
    prices = dict(fit.prices)
    terms = []
    for term in fit.never_measured:
        if term == NETWORK_CALLS.name:
            continue
        files = [donor.file for donor in donors]
        speaking = [file for file in files if term in file.prices and term not in file.fitted.never_measured]
        if speaking:
            ratios = [file.prices[term] / file.prices[reference] for file in speaking]
            prices[term] = fit.prices[reference] * float(np.exp(np.mean(np.log(ratios))))
            terms.append(term)
    if not terms:
        return prices, None
    return prices, {"terms": tuple(terms), "devices": tuple(donor.name for donor in donors), "rule": _RULE}
