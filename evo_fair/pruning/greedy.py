"""The order in which groups in turn choose what matters most to them, so that each keeps its share of importance."""

import numpy as np
import numpy.typing as npt
from numba import njit

from evo_fair.arrays import Floats

__all__ = ["shares_kept"]


def shares_kept(importance: Floats) -> Floats:
    """Places from 1 (chosen first) down to 1/n, float64 `[n]`, by importance `[groups, n]` of n parts to each group.

    Again and again the group that has kept the smallest share of its total so far
    chooses what matters most to it among what is left; ties go to the first. After
    FairGRAPE (2022).

    Args:
        importance: What each part is worth to each group, float64 `[groups, n]`.
    """
    totals = importance.sum(axis=1, keepdims=True)
    shares = np.divide(importance, totals, out=np.zeros_like(importance), where=totals > 0)
    wishes = np.argsort(-shares, axis=1, kind="stable")
    order: npt.NDArray[np.int64] = _choose(shares, wishes)
    n = importance.shape[1]
    places = np.empty(n)
    places[order] = np.arange(n, 0, -1) / max(n, 1)
    return places


@njit(cache=True)
def _choose(shares: Floats, wishes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    groups, n = shares.shape
    order = np.empty(n, np.int64)
    taken = np.zeros(n, np.bool_)
    kept = np.zeros(groups)
    for g in range(groups):
        if not shares[g].any():  # nothing is worth anything to it, and it leaves the choice to others
            kept[g] = np.inf
    ahead = np.zeros(groups, np.int64)
    for place in range(n):
        group = kept.argmin()
        while taken[wishes[group, ahead[group]]]:
            ahead[group] += 1
        part = wishes[group, ahead[group]]
        order[place] = part
        taken[part] = True
        for g in range(groups):
            kept[g] += shares[g, part]
    return order
