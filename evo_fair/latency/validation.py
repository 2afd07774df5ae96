"""How well a fit predicts networks that it did not see: folds by network, repeated over shuffles.

Networks with the same layers are in one fold: else a fit would know of them from their twins.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from evo_fair.arrays import Floats
from evo_fair.latency.fit import FEWEST_NETWORKS, fit_model
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import network_ms

__all__ = ["Agreement", "held_out_ms", "median_scores", "score", "shuffles_for"]


FOLDS = 5
SHUFFLES = 10
_PREDICTIONS = 3000  # so many single out the error well enough: the more networks, the fewer shuffles


@dataclass(frozen=True)
class Agreement:
    """Mean absolute error in percent, percent of networks within 10 %, and two rank correlations."""

    networks: int
    mape: float
    within_10_percent: float
    spearman: float
    kendall: float

    def as_dict(self) -> dict[str, float]:
        """The scores by name."""
        return asdict(self)


def score(predicted: Floats, measured: Floats) -> Agreement:
    """Compares predicted with measured milliseconds, float64 `[networks]`."""
    error = np.abs(predicted / measured - 1.0)
    ranked = len(measured) > 1 and np.ptp(measured) > 0 and np.ptp(predicted) > 0
    return Agreement(
        networks=len(measured),
        mape=float(100 * error.mean()),
        within_10_percent=float(100 * (error <= 0.1).mean()),
        spearman=float(spearmanr(predicted, measured)[0]) if ranked else 0.0,
        kendall=float(kendalltau(predicted, measured)[0]) if ranked else 0.0,
    )


def shuffles_for(networks: int) -> int:
    """How many shuffles `calibrate` makes of so many networks: 10 of up to 300, 1 of 3,000 and more."""
    return min(SHUFFLES, max(1, _PREDICTIONS // max(networks, 1)))


def held_out_ms(
    measured: Measurements,
    bytes_per_value: float = 4.0,
    folds: int = FOLDS,
    shuffles: int = SHUFFLES,
    progress: Callable[[int, int], None] = lambda _done, _folds: None,
) -> Floats | None:
    """Milliseconds that fits predict for networks they did not see, float64 `[shuffles, networks]`.

    None where leaving a fold out leaves too few networks to fit. `progress` hears the folds done and their number.
    """
    n = len(measured.names)
    parts = measured.folds(folds)
    if not all(map(len, parts)) or n - max(map(len, parts)) < FEWEST_NETWORKS:
        return None
    predicted = np.empty((shuffles, n))
    for shuffle in range(shuffles):
        for number, held_out in enumerate(measured.folds(folds, shuffle), 1):
            seen = np.setdiff1d(np.arange(n), held_out)
            fit = fit_model(measured.part(seen), bytes_per_value)
            predicted[shuffle, held_out] = network_ms(fit.model, measured.table[held_out])
            progress(shuffle * folds + number, shuffles * folds)
    return predicted


def median_scores(predicted: Floats, measured: Floats) -> Agreement:
    """The median over shuffles of the scores of predictions `[shuffles, networks]`."""
    results = [score(row, measured) for row in predicted]
    median = {name: float(np.median([result.as_dict()[name] for result in results])) for name in results[0].as_dict()}
    return Agreement(**{**median, "networks": len(measured)})  # type: ignore[arg-type]
