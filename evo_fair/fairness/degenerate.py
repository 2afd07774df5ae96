"""Rates and changes that are alike in every resample: a bootstrap finds them without noise, which few units can't show.

A group of ten that is all right is all right in every resample, and yet one in ten of its kind may be wrong. A group of
one unit has the same share in every resample, whatever it is. Its noise comes from what is known of a share of so few
instead: the posterior from Jeffreys' prior (Brown, Cai and DasGupta 2001), and Wilson's interval.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats
from evo_fair.fairness.rates import Rates
from evo_fair.fairness.wilson import wilson_ends

__all__ = ["effective_sizes", "ends_where_alike", "shares_with_spread", "without_spread"]

_ROUNDING = 1e-9
"""Shares that differ by less do so by rounding: those of a million samples differ by a thousand times that."""


def without_spread(resampled: Floats) -> npt.NDArray[np.bool_]:
    """Which values are the same on every resample, but for rounding.

    Args:
        resampled: The values on every resample, float64 `[replicates, ...]`.

    Returns:
        bool `[...]`.
    """
    return np.asarray(np.ptp(resampled, axis=0) < _ROUNDING)


def shares_with_spread(rates: Rates, resampled: Rates, units: int | None = None) -> Floats:
    """The shares of resamples; those of rates of 0, 1 or one unit are drawn as samples from their posterior would be.

    The draws are the same for the same rates and number of resamples.

    Args:
        rates: The rates of one network, `[1, ...]`.
        resampled: Its rates on every resample, `[replicates, ...]`.
        units: As in `effective_sizes`. Default: unknown.

    Returns:
        0 to 1, float64 `[replicates, ...]`.
    """
    shares, sizes = resampled.shares, effective_sizes(rates, resampled, units)
    extreme = (rates.part[0] == 0) | (rates.part[0] == rates.whole[0])
    alike = extreme | (without_spread(shares) & (sizes < rates.whole[0]))  # of few units
    if not alike.any():
        return shares
    rng = np.random.default_rng(0)  # what is drawn depends on nothing but how much there is to draw
    whole = np.rint(sizes[alike]).astype(np.int64)
    part = rates.shares[0][alike] * whole
    chances = rng.beta(part + 0.5, whole - part + 0.5, (len(shares), len(whole)))
    shares[:, alike] = rng.binomial(whole, chances) / whole
    return shares


def effective_sizes(rates: Rates, resampled: Rates, units: int | None = None) -> Floats:
    """Of how many independent samples each rate is, at least 1: those of a unit say little more than one of them.

    Where n of N units hold a rate's samples, their number has a relative variance of
    1 / n - 1 / N between resamples. That gives at most the number of samples, and to the
    noise of the resamples, three standard errors, it gives no less.

    Args:
        rates: The rates of one network, `[1, ...]`.
        resampled: Its rates on every resample, `[replicates, ...]`.
        units: How many units there are, N. Default: unknown, and taken for many; a rate
            of a large part of them then seems to be of more than it is.

    Returns:
        1 to the number of samples, float64 `[...]`.
    """
    sizes = rates.whole[0].astype(np.float64)
    variance = resampled.whole.var(axis=0) / sizes**2 + (1 / units if units else 0.0)
    found = np.divide(1.0, variance, out=sizes.copy(), where=variance > 0)
    found[found > sizes * (1 - 3 * np.sqrt(2 / len(resampled.whole)))] = np.inf
    return np.asarray(np.clip(found, 1.0, sizes))


def ends_where_alike(
    ends: Floats, values: Floats, alike: npt.NDArray[np.bool_], sizes: npt.NDArray[Any], level: float = 0.95
) -> Floats:
    """The ends of means of changes from -1 to 1, at least as wide as a mean of `sizes` changes must be that are alike.

    By Wilson's interval of none of them, a share of the others' kind may be otherwise, as
    far as the range of changes lets it.

    Args:
        ends: The lower and the upper ends by bootstrap, `[2, n]`.
        values: The means, -1 to 1, `[n]`.
        alike: Whether the changes of a mean are all the same, `[n]`.
        sizes: How many independent changes there are, `[n]`.
        level: The share of intervals that hold the true value. Default: 0.95.

    Returns:
        The lower and the upper ends, -1 to 1, float64 `[2, n]`.
    """
    found = np.array(ends, np.float64)
    if alike.any():
        some = wilson_ends(np.zeros(int(alike.sum())), sizes[alike], level)[1]
        value = values[alike]
        found[0, alike] = np.minimum(found[0, alike], value - some * (1 + value))
        found[1, alike] = np.maximum(found[1, alike], value + some * (1 - value))
    return found.clip(-1.0, 1.0)
