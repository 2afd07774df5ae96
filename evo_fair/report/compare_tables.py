"""What a comparison of runs leaves in its folder for others to read: its facts, and tables of all that was compared."""

from typing import Any

import numpy as np
import pandas as pd

from evo_fair.evolution import describe
from evo_fair.evolution.hypervolume import Points
from evo_fair.report.compare import Comparison

__all__ = [
    "SURFACE",
    "attainment_frame",
    "facts_of_comparison",
    "fronts_frame",
    "pairs_frame",
    "traces_frame",
]

SURFACE = (
    "The hypervolume of a label counts all networks that its runs evaluated. The median surface is what half of its "
    "runs attain with their fronts. A front holds what is believed best, so its hypervolume can be the smaller one."
)
"""What tells the two hypervolumes of a comparison apart, in words for its readers."""


def facts_of_comparison(comparison: Comparison) -> dict[str, Any]:
    """The objectives, and the corners of the box that hypervolumes are shares of, in the objectives' own signs."""
    signs = np.array([axis.sign for axis in comparison.axes])
    box = comparison.box
    return {
        "objectives": describe(comparison.axes),
        "box": {
            "ideal": (box.ideal * signs).tolist(),
            "reference": (box.reference * signs).tolist(),
            "given": comparison.chosen_box is not None,
        },
    }


def attainment_frame(comparison: Comparison) -> pd.DataFrame:
    """The surfaces that a quarter, half and three quarters of each label's runs attain, in the objectives' own signs.

    A row a point: `label`, `percentile`, the objectives. Empty for more than three objectives.
    """
    names = [axis.name for axis in comparison.axes]
    parts = [pd.DataFrame(columns=["label", "percentile", *names])]
    signs = np.array([axis.sign for axis in comparison.axes])
    for label in comparison.groups if len(names) <= 3 else ():
        for percentile in (25, 50, 75):
            points = comparison.surface(label, percentile) * signs
            part = pd.DataFrame(points[np.lexsort(points.T[::-1])], columns=names)
            part.insert(0, "percentile", percentile)
            part.insert(0, "label", label)
            parts.append(part)
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def fronts_frame(comparison: Comparison) -> pd.DataFrame:
    """A row a network of a run's front: `label`, `run` (its folder), `id`, the objectives."""
    names = [axis.name for axis in comparison.axes]
    parts = [
        run.front[["id", *names]].assign(label=label, run=str(run.path))
        for label, run in zip(comparison.labels, comparison.runs, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)[["label", "run", "id", *names]]


def traces_frame(comparison: Comparison) -> pd.DataFrame:
    """A row a change of a run's hypervolume: `label`, `run`, `evaluated` (networks until then), `hypervolume`.

    A run's last row is of all its networks.
    """
    parts = [
        _changes(trace).assign(label=label, run=str(run.path))
        for label, run, trace in zip(comparison.labels, comparison.runs, comparison.traces, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)[["label", "run", "evaluated", "hypervolume"]]


def _changes(trace: Points) -> pd.DataFrame:
    changed = np.diff(trace, prepend=np.nan) != 0
    changed[-1] = True
    places = np.flatnonzero(changed)
    return pd.DataFrame({"evaluated": places + 1, "hypervolume": trace[places]})


def pairs_frame(comparison: Comparison) -> pd.DataFrame:
    """A row a pair of labels: `label`, `other`, `dominated`, `larger`, as the tables of a `Comparison` have them."""
    rows = [
        {"label": a, "other": b, "dominated": comparison.dominated.loc[a, b], "larger": comparison.larger.loc[a, b]}
        for a in comparison.groups
        for b in comparison.groups
        if a != b
    ]
    return pd.DataFrame(rows, columns=["label", "other", "dominated", "larger"])
