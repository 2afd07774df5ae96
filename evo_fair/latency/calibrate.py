"""From measurements to a profile: fit, validation on held-out networks, fitted ranges, provenance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evo_fair.latency.fit import Fit, fit_model
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.profile import Profile, measured_ranges
from evo_fair.latency.schema import BYTES_PER_VALUE, SCHEMA, Precision, check_profile
from evo_fair.latency.terms import NETWORK_CALLS, TERMS
from evo_fair.latency.validation import FOLDS, SHUFFLES, Scores, cross_validate

__all__ = ["Provenance", "calibrate"]

_RULE = (
    "a price that no measured layer speaks about is the geometric mean, over these devices, of its ratio to the price "
    "of pointwise_macs, times this device's price of pointwise_macs"
)


@dataclass(frozen=True)
class Provenance:
    """What a profile says of where its measurements come from."""

    device: str
    runtime: str = "not recorded"
    precision: Precision = "fp32"
    cores: str = "not recorded"
    threads: int | None = None
    source: str = "measurements of the user's own"
    licence: str = "the user's own"
    notes: str = ""


def calibrate(
    name: str,
    measured: Measurements,
    provenance: Provenance,
    donors: Sequence[Profile] = (),
    held_out: tuple[str, Scores] | None = None,
) -> Profile:
    """Fits a profile to measured networks and validates it on networks that the fit did not see.

    `donors` supply the prices of work that was never measured. `held_out` is a method and its scores where validation
    networks were measured apart; otherwise the networks are held out in five folds, the median of ten shuffles.
    Raises `ProfileError` for too few networks, a donor without the price, or a name that can't be a file's.
    """
    bytes_per_value = BYTES_PER_VALUE[provenance.precision]
    fit = fit_model(measured, bytes_per_value)
    if held_out is None and (scores := cross_validate(measured, bytes_per_value)) is not None:
        held_out = (f"{FOLDS} folds by network, median of {SHUFFLES} shuffles", scores)
    prices, carried = _carry_over(fit, donors)
    distinct = np.unique(measured.table.reshape(-1, measured.table.shape[2]), axis=0)
    content = {
        "schema": SCHEMA,
        "name": name,
        "device": {"name": provenance.device, "cores": provenance.cores, "threads": provenance.threads},
        "runtime": provenance.runtime,
        "precision": provenance.precision,
        "source": provenance.source,
        "licence": provenance.licence,
        "notes": provenance.notes,
        "fitted": {
            "networks": len(measured.names),
            "distinct_layers": int((distinct[:, 0] > 0).sum()),
            "ranges": measured_ranges(measured.table),
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
    }
    return Profile(check_profile(content, f"profile {name!r}"))


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
        speaking = [donor.file for donor in donors if term not in donor.file.fitted.never_measured]
        if speaking:
            ratios = [file.prices[term] / file.prices[reference] for file in speaking]
            prices[term] = fit.prices[reference] * float(np.exp(np.mean(np.log(ratios))))
            terms.append(term)
    if not terms:
        return prices, None
    return prices, {"terms": tuple(terms), "devices": tuple(donor.name for donor in donors), "rule": _RULE}
