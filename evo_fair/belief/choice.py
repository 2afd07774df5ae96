"""Which networks to train next: those that are expected to enlarge the front of trained networks most.

The expected hypervolume improvement (Emmerich et al. 2006), taken one network after another: each is counted as
trained, with what is believed of it, before the next is looked for. What is uncertain can gain much and lose nothing,
so that it is tried; costs count by ratio, so that the fast end gets its share; and a second network beside a first one
gains little, so that they spread over the front.
"""

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats, Ints
from evo_fair.evolution.hypervolume import box_around, hypervolume_gains, non_dominated

__all__ = ["next_trainings"]


_DRAWS = 16
"""Draws of what networks may reach, the same for all, from Sobol's sequence: even, and no seed."""

_SHORTLIST = 300
"""Networks that are drawn for: those with the greatest gain if they were one standard error better than believed."""


def next_trainings(
    expected: npt.ArrayLike,
    errors: npt.ArrayLike,
    trained: npt.ArrayLike,
    n: int,
    allowed: npt.ArrayLike | None = None,
    *,
    hope: bool = True,
) -> Ints:
    """The `n` networks to train next, or as many as there are, in order.

    `expected` `[networks, objectives]`, all minimised, holds what is believed, and in the columns whose `errors` are
    all 0 what is known, such as latency. `trained` and `allowed` (all by default) are bool `[networks]`. The same
    arguments give the same networks.

    Without `hope` networks count as what is expected of them, and none is chosen that would not enlarge the front then.
    It is for networks that are not to be tried out: the most uncertain ones, of one kind mostly, would be taken before
    all others.
    """
    points, errors = np.asarray(expected, np.float64), np.asarray(errors, np.float64)
    costs = (errors == 0).all(axis=0) & (points > 0).all(axis=0)
    if not hope:
        errors = np.zeros_like(errors)
    points = np.where(costs, np.log(np.where(costs, points, 1.0)), points)
    free = ~np.asarray(trained, np.bool_)
    if allowed is not None:
        free &= np.asarray(allowed, np.bool_)
    if not free.any():
        return np.empty(0, np.int64)
    known = points[np.asarray(trained, np.bool_)]
    # The box is around what is worth it: networks that nobody would train would make all others look alike, and so
    # would those that nobody may train, where they are better than all others.
    counting = np.flatnonzero(free | np.asarray(trained, np.bool_))
    layer = counting[non_dominated((points - errors)[counting])]
    box = box_around(np.concatenate([(points - errors)[layer], points[layer], known]))
    normal = _normal_draws(points.shape[1]) if hope else np.zeros((1, points.shape[1]))
    chosen: list[int] = []
    front = known[non_dominated(known)]
    while len(chosen) < n and free.any():
        hoped = np.where(free, hypervolume_gains(points - errors, front, box), -1.0)
        shortlist = np.sort(np.argsort(-hoped, kind="stable")[:_SHORTLIST])
        shortlist = shortlist[free[shortlist]]
        gains = np.zeros(len(shortlist))
        for draw in normal:
            gains += hypervolume_gains(points[shortlist] + draw * errors[shortlist], front, box)
        if not (gains > 0).any():
            if not hope:
                break
            # Nothing is hoped for: the least known of all, as shares of the box, tells most.
            unknown = (errors[shortlist] / (box.reference - box.ideal)).sum(axis=1)
            gains = np.where(np.ptp(points[shortlist], axis=0).any(), unknown, 0.0)
        best = int(shortlist[gains.argmax()])
        chosen.append(best)
        free[best] = False
        front = np.concatenate([front, points[[best]]])
        front = front[non_dominated(front)]
    return np.array(chosen, np.int64)


def _normal_draws(objectives: int) -> Floats:
    """Standard normal numbers `[_DRAWS, objectives]`."""
    from scipy.stats import norm, qmc  # half a second that searches without trainings don't need

    # The points are multiples of 1 / _DRAWS, from 0 on: moved to the middle of their cells.
    even = qmc.Sobol(objectives, scramble=False).random(_DRAWS) + 0.5 / _DRAWS
    return np.asarray(norm.ppf(even))
