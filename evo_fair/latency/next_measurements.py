"""What to measure next: the layers and networks that would narrow the intervals of a front the most.

A measurement tells what a fit leaves open along one direction, up to its noise (Bayesian linear regression, as in
`evo_fair.latency.design`). The measurement that lowers the variances of the front's networks most, in sum, is taken;
then the one that lowers most what is left, and so on: greedy A-optimal design (Chaloner and Verdinelli 1995).
"""

import numpy as np

from evo_fair.arrays import Floats
from evo_fair.errors import ProfileError
from evo_fair.latency.campaign import Campaign
from evo_fair.latency.measurements import joined
from evo_fair.latency.profile import Profile
from evo_fair.latency.uncertainty import NORMAL
from evo_fair.layers import COLUMNS, LayerTable, Op

__all__ = ["MOST", "campaign_for"]


MOST = 60
"""Networks of a kit for a front: half an hour of a slow board at the most."""
LEAST_NOISE = 0.02
"""What repeated measurements of one network scatter by on a steady board."""
_ALONE = (Op.CONV, Op.DEPTHWISE, Op.LINEAR, Op.POOL)
"""Operators that make a network of one layer."""


def campaign_for(profile: Profile, front: LayerTable, most: int = MOST) -> Campaign:
    """Chooses among a front's networks and their single layers what to time; nothing of it is held out.

    `front` is int32 `[networks, layers, 8]`. Raises `ProfileError` for a profile without intervals, or a front without
    networks.
    """
    intervals = profile.file.intervals
    table, names = _candidates(front)
    if not len(table):
        raise ProfileError("the front has no networks: there is nothing to measure")
    known = profile.uncertainty
    noise = max(LEAST_NOISE, intervals.noise / NORMAL if intervals else 0.0)
    chosen = _greedy(known.directions(front), known.directions(table), noise, min(most, len(table)))
    return Campaign(tuple(names[i] for i in chosen), table[chosen], 0)


def _candidates(front: LayerTable) -> tuple[LayerTable, list[str]]:
    """Each distinct layer that can be timed alone, and each distinct network; their names."""
    rows = np.unique(front.reshape(-1, len(COLUMNS)), axis=0)
    rows = rows[np.isin(rows[:, 0], _ALONE)]
    networks = np.unique(front, axis=0)
    names = [f"layer-{i:03d}" for i in range(len(rows))] + [f"front-{i:03d}" for i in range(len(networks))]
    return joined([rows[:, None], networks]), names


def _greedy(front: Floats, candidates: Floats, noise: float, most: int) -> list[int]:
    """The places of the chosen candidates, the most telling first.

    `front` and `candidates` are slopes along what is open, `[networks, directions]`; each choice takes out of both what
    a measurement of it would tell.
    """
    front, candidates = front.copy(), candidates.copy()
    left = np.ones(len(candidates), np.bool_)
    chosen: list[int] = []
    for _ in range(most):
        told = np.square(front @ candidates.T).sum(axis=0) / (noise**2 + np.square(candidates).sum(axis=1))
        best = int(np.where(left, told, -1.0).argmax())
        chosen.append(best)
        left[best] = False
        direction = candidates[best].copy()
        length = float(direction @ direction)
        if length > 0:
            shrink = (1.0 - np.sqrt(noise**2 / (noise**2 + length))) / length
            front -= shrink * np.outer(front @ direction, direction)
            candidates -= shrink * np.outer(candidates @ direction, direction)
    return chosen
