"""Whether measured latencies can be right: units that were mixed up, rows that were shuffled, single outliers.

A fit finds prices for any numbers. What gives wrong ones away is how far networks lie from what a fit to the others
expects of them, and how fast the device would be.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats
from evo_fair.errors import ProfileError
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.terms import TERMS, layer_terms
from evo_fair.layers import macs

__all__ = ["GROSS", "Doubts", "check_speed", "examine", "gross_outliers"]


OUTLYING = 3.0
"""A network that took so many times more or less than expected was measured wrongly: fits of real boards are within
20 % for nine networks in ten."""
GROSS = 20.0
"""Between networks whose work is priced as usual, up to one factor for all: beyond it a fit would bend to a network."""
MOST_OUTLYING = 0.1
"""Of the networks: more are no slips, but another unit or other rows."""
WORST_ERROR, WORST_RANKS, WRONG_ORDER = 40.0, 0.7, 15.0
"""A held-out error in percent that no measured device has come near, and a rank correlation with an error that says the
same of devices on which all networks are nearly equal."""
FASTEST, SLOWEST = 500.0, 0.03
"""Billions of multiply-accumulates a second at batch 1, of the median network: a large GPU's, a microcontroller's."""
_NAMED = 5


@dataclass(frozen=True)
class Doubts:
    """What speaks against measurements: a reason to refuse them, empty if there is none, and warnings."""

    refusal: str = ""
    warnings: tuple[str, ...] = ()

    def settle(self, accepted: bool) -> tuple[str, ...]:
        """All warnings, the refusal among them if it is `accepted`; raises `ProfileError` if it is not."""
        if not self.refusal:
            return self.warnings
        if not accepted:
            raise ProfileError(f"{self.refusal}; fix the measurements, or add --accept-implausible if they are right")
        return (f"implausible, and accepted: {self.refusal}", *self.warnings)

    def of(self, source: str) -> "Doubts":
        """The same, each beginning with the name of the source of the measurements."""
        refusal = f"{source}: {self.refusal}" if self.refusal else ""
        return Doubts(refusal, tuple(f"{source}: {warning}" for warning in self.warnings))


def check_speed(measured: Measurements) -> Doubts:
    """Whether the device's speed can be, whatever its networks are to each other; tells seconds from milliseconds."""
    work = macs(measured.table).astype(np.float64)
    counted = work > 0
    if not counted.any():
        return Doubts()
    speed = _middle(work[counted] / (1e6 * measured.latency_ms[counted]))
    if speed > FASTEST:
        return Doubts(
            f"the median network would do {speed:,.0f} billion multiply-accumulates a second, more than any board: "
            "latency_ms looks like seconds, so multiply it by 1,000"
        )
    if speed < SLOWEST:
        slow = (
            f"the median network does {1000 * speed:,.1f} million multiply-accumulates a second, as few as a "
            "microcontroller: if latency_ms is in microseconds, divide it by 1,000 and calibrate again"
        )
        return Doubts(warnings=(slow,))
    return Doubts()


def gross_outliers(measured: Measurements, bytes_per_value: float = 4.0) -> npt.NDArray[np.bool_]:
    """The networks, bool `[networks]`, that took over 20 times more or less than usual prices of their work say.

    One factor for all, the median's, is taken out first. Such a network would draw a fit to itself: it is kept out.
    """
    usual = np.array([term.usual for term in TERMS])
    expected = np.zeros(len(measured.names))
    for start in range(0, len(expected), 1000):
        part = slice(start, start + 1000)
        expected[part] = (layer_terms(measured.table[part], bytes_per_value, 8) @ usual).sum(axis=1)
    ratio = np.log(measured.latency_ms / np.maximum(expected, 1.0))
    outlying: npt.NDArray[np.bool_] = np.abs(ratio - _middle(ratio)) > np.log(GROSS)
    return outlying


def examine(
    measured: Measurements, expected: Floats, gross: npt.NDArray[np.bool_], mape: float, spearman: float
) -> Doubts:
    """Holds measured milliseconds against the `expected` ones `[networks]`, which fits to other networks gave.

    `mape` in percent and `spearman` are those of the networks that are not `gross`, bool `[networks]`.
    """
    ratio = measured.latency_ms / expected
    off = np.exp(np.abs(np.log(ratio)))
    outlying = np.flatnonzero((off > OUTLYING) | gross)
    outlying = outlying[np.argsort(-off[outlying], kind="stable")]
    named = ", ".join(
        f"{measured.names[i][:60]!r}: measured {measured.latency_ms[i]:.4g} ms, expected {expected[i]:.4g} ms"
        for i in outlying[:_NAMED]
    )
    more = f", and {len(outlying) - _NAMED} more" if len(outlying) > _NAMED else ""
    networks = len(measured.names)
    if len(outlying) > max(1, MOST_OUTLYING * networks):
        unit = ", as where seconds and milliseconds are mixed" if np.median(off[outlying]) > 300 else ""
        return Doubts(
            f"{len(outlying)} of {networks} latencies are over {OUTLYING:g} times off what the others say{unit} "
            f"({named}{more})"
        )
    warnings = (
        () if not len(outlying) else (f"outliers, over {OUTLYING:g} times off what the others say: {named}{more}",)
    )
    if mape > WORST_ERROR or (spearman < WORST_RANKS and mape > WRONG_ORDER):
        return Doubts(
            f"networks that a fit does not see are predicted {mape:.0f} % wrong on average (Spearman {spearman:.2f}): "
            "latencies and layers hardly have to do with each other, as where rows are shuffled",
            warnings,
        )
    return Doubts(warnings=warnings)


def _middle(values: Floats) -> float:
    """A median that is one of the values: between two units, each of half of the networks, there is none."""
    return float(np.percentile(values, 50, method="lower"))
