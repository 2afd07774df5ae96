"""Which networks of a front are deployed when the user names none: a few that between them show what it holds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from evo_fair.errors import RunError, UnknownNameError
from evo_fair.evolution import Axis, to_minimise
from evo_fair.evolution.front import believed_columns

__all__ = ["choose_networks", "usual_choice"]


def usual_choice(front: pd.DataFrame, axes: Sequence[Axis]) -> list[str]:
    """The ids of the best network in each objective, and of the one nearest to being best in all of them.

    What is believed of an objective counts where that is there. Distance is Euclidean,
    with each objective scaled to 0 to 1 over the front; among equals the front's order
    decides.

    Args:
        front: The table of the front.
        axes: The objectives.
    """
    points = to_minimise(front[believed_columns(front, axes)].to_numpy(float), axes)
    span = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(span > 0, span, 1)
    rows = [*points.argmin(axis=0), (scaled**2).sum(axis=1).argmin()]
    return list(dict.fromkeys(str(front["id"].iloc[row]) for row in rows))


def choose_networks(front: pd.DataFrame, axes: Sequence[Axis], wanted: Sequence[str] | None) -> list[str]:
    """The ids of the front's networks that `wanted` names, `all` for every one; None for `usual_choice`.

    Raises `RunError` for a front without networks, `UnknownNameError` for an id that is
    not on it.

    Args:
        front: The table of the front.
        axes: The objectives.
        wanted: Ids, or `all`; None for `usual_choice`.
    """
    if front.empty:
        raise RunError(
            "the run's front is empty, so there is nothing to deploy: search on with --resume, or with wider "
            "constraints"
        )
    if not wanted:
        return usual_choice(front, axes)
    known = [str(name) for name in front["id"]]
    if "all" in wanted:
        return known
    for name in wanted:
        if name not in known:
            mend = ", or all" + ("; give --network once for each" if "," in name else "")
            raise UnknownNameError("network of the front", name, known, mend)
    return list(dict.fromkeys(wanted))
