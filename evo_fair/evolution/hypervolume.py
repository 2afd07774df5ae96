"""Hypervolume: how much of a box of objective values a front dominates, in one number that follows a search."""

from dataclasses import dataclass

import moocore
import numpy as np
import numpy.typing as npt

__all__ = [
    "Box",
    "HypervolumeTracker",
    "box_around",
    "hypervolume",
    "hypervolume_gains",
    "hypervolume_trace",
    "non_dominated",
]

Points = npt.NDArray[np.float64]

_EXACT = 6
"""Objectives up to which volumes are exact: beyond, the time grows so fast that a few hundred points take hours."""

_DIRECTIONS, _FEW_DIRECTIONS = 2**14, 2**10
"""Directions along which larger ones are measured: of a front, and of each of thousands of points."""


@dataclass(frozen=True)
class Box:
    """The part of objective space, all minimised, that is measured.

    Args:
        ideal: The best corner, float64 `[m]`.
        reference: The worst corner, float64 `[m]`.
    """

    ideal: Points
    reference: Points


def non_dominated(points: Points) -> npt.NDArray[np.bool_]:
    """Which points no other one dominates; equal points all stay.

    Args:
        points: Points, all minimised, float64 `[n, m]`.

    Returns:
        bool `[n]`.
    """
    if not len(points):
        return np.zeros(0, np.bool_)
    if not np.isfinite(points).all():
        # moocore ends the process at an infinity below. Domination is a matter of order, and so of ranks.
        points = np.stack([np.unique(column, return_inverse=True)[1] for column in points.T], axis=1).astype(np.float64)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), np.bool_)


def hypervolume(points: Points, box: Box) -> float:
    """The volume that points dominate below the reference, as a share of the box's.

    Points better than the box's ideal count fully, so it can exceed 1. Points beyond
    the reference don't count. From seven objectives on it is right to about a
    hundredth.

    Args:
        points: Points, all minimised, float64 `[n, m]`.
        box: The box.

    Returns:
        The share, 0 or more.
    """
    inside = points[(points < box.reference).all(axis=1)] if len(points) else points
    if not len(inside):
        return 0.0
    width = box.reference - box.ideal
    # Scaled first: the volume of a box of milliseconds times megabytes is needlessly large or small.
    scaled = (inside - box.reference) / width
    if scaled.shape[1] == 1:
        return float(-scaled.min())
    return _volume(scaled, _DIRECTIONS)


def hypervolume_gains(points: Points, front: Points, box: Box) -> Points:
    """By how much each point alone would enlarge the hypervolume of a front.

    The gain of a point is what it dominates itself, less what the front dominates of
    that: the front moved into the point's own corner.

    Args:
        points: Points, all minimised, float64 `[n, m]`.
        front: The front's points, all minimised, float64 `[k, m]`.
        box: The box that gains are shares of.

    Returns:
        The gains, float64 `[n]`.
    """
    width = box.reference - box.ideal
    scaled = np.minimum((points - box.reference) / width, 0.0)
    corner = (front - box.reference) / width
    gains: Points = np.prod(-scaled, axis=1)
    if scaled.shape[1] <= _EXACT:
        for i in np.flatnonzero(gains):
            gains[i] -= _volume(np.maximum(corner, scaled[i]))
    elif len(front):
        # As a share of the point's own corner, estimated alike: what is dominated gains nothing.
        whole = _volume(-np.ones((1, scaled.shape[1])), _FEW_DIRECTIONS)
        for i in np.flatnonzero(gains):
            gains[i] *= 1.0 - _volume(np.maximum(corner / -scaled[i], -1.0), _FEW_DIRECTIONS) / whole
    return gains


def _volume(points: Points, directions: int = _DIRECTIONS) -> float:
    """The volume that points `[n, m]` dominate below the origin; with many objectives it is taken along directions.

    That is by Deng and Zhang (2019), with directions that are always the same: more points never have less.
    """
    origin = np.zeros(points.shape[1])
    if points.shape[1] <= _EXACT:
        return float(moocore.hypervolume(points, ref=origin))
    points = points[(points < 0).all(axis=1)]
    if not len(points):
        return 0.0
    return float(moocore.hv_approx(points, ref=origin, nsamples=directions, method="DZ2019-HW"))


def hypervolume_trace(points: Points, box: Box) -> Points:
    """The hypervolume after each of the points, in the order in which they were found.

    A point with a NaN or infinity, such as an infeasible one's, changes nothing.

    Args:
        points: Points, all minimised, float64 `[n, m]`.
        box: The box that hypervolumes are shares of.

    Returns:
        float64 `[n]`.
    """
    volumes = np.zeros(len(points))
    front, volume = np.empty((0, points.shape[1])), 0.0
    for number, point in enumerate(points):
        if np.isfinite(point).all() and not (front <= point).all(axis=1).any():
            front = np.concatenate([front[~(point <= front).all(axis=1)], point[None]])
            volume = hypervolume(front, box)
        volumes[number] = volume
    return volumes


def box_around(points: Points) -> Box:
    """The box of points, its reference a tenth of their range beyond the worst value of each objective.

    Where all values are the same, their size (or 1, if it is 0) stands for the range.

    Args:
        points: Points, all minimised, float64 `[n, m]`.

    Returns:
        The box.
    """
    best, worst = points.min(axis=0), points.max(axis=0)
    size = np.where(worst > best, worst - best, np.where(worst != 0, np.abs(worst), 1.0))
    return Box(best, worst + 0.1 * size)


class HypervolumeTracker:
    """Follows the front of a search; its box is fixed, once and for all, by the first generation with a feasible one.

    The box is that around all networks evaluated until then, feasible or not, and so depends on the journal alone.
    """

    def __init__(self, objectives: int) -> None:
        self._seen = np.empty((0, objectives))
        self._front = np.empty((0, objectives))
        self.box: Box | None = None

    def add(self, points: Points, feasible: npt.NDArray[np.bool_]) -> None:
        """Takes a generation's evaluated networks.

        Args:
            points: Their objectives, all minimised, float64 `[n, m]`.
            feasible: Whether each keeps every limit, bool `[n]`.
        """
        if self.box is None:
            self._seen = np.concatenate([self._seen, points])
            if feasible.any():
                self.box = box_around(self._seen)
        front = np.concatenate([self._front, points[feasible]])
        self._front = front[non_dominated(front)]

    @property
    def value(self) -> float:
        """The hypervolume of all feasible networks so far; 0 before there is one."""
        return 0.0 if self.box is None else hypervolume(self._front, self.box)
