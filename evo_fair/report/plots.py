"""The front as a figure: every pair of objectives, readable in print and without colour."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ruler
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter, StrMethodFormatter

from evo_fair.errors import EvoFairError, RunError
from evo_fair.files import atomic_write
from evo_fair.search import Axis, non_dominated, to_minimise

if TYPE_CHECKING:
    from evo_fair.report.run import Run

__all__ = ["pareto", "pareto_figure"]

Points = npt.NDArray[np.float64]

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "evo_fair",
}
# Nothing that changes from one day or version to the next may get into a file.
_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    ".svg": {"Creator": None, "Date": None},
}
_WIDTHS = {1: 3.4, 2: 5.2}
"""Inches by number of panels in a row: 3.4 is a paper's column; three take both columns, 7.0."""
_LOGARITHMIC = 20.0
"""An axis whose largest value is more than this many times the smallest is drawn logarithmically."""
_FRONTS = (
    ("D", "#0b3c5d", "-", True),
    ("o", "#d06f00", "--", False),
    ("^", "#4f8a5b", "-.", True),
    ("s", "#8e8e8e", ":", False),
    ("v", "#7b2d43", "-", True),
    ("h", "#3f94d0", "--", False),
)
"""Marker, colour, line and whether it is filled, of each run's front: told apart without the colour, too."""
Look = tuple[str, str, str, bool]


def pareto(runs: "Sequence[Run]", paths: Sequence[Path]) -> None:
    """Draws `pareto_figure` to each path, atomically; the suffix says the form. The same runs give the same bytes.

    Raises `EvoFairError` for a suffix other than .png, .pdf and .svg before anything is drawn.
    """
    for path in paths:
        if path.suffix not in _METADATA:
            raise EvoFairError(f"can't draw {path.name!r}: the name of a figure ends in {', '.join(_METADATA)}")
    with mpl.rc_context(_STYLE):
        figure = pareto_figure(runs)
        for path in paths:
            with atomic_write(path) as temporary:
                figure.savefig(temporary, dpi=300, metadata=_METADATA[path.suffix])


def pareto_figure(runs: "Sequence[Run]") -> Figure:
    """A panel for each pair of objectives, the earlier one upwards; a single objective stands over the generations.

    Of one run all networks are shown: the front as dark diamonds, the other feasible ones as rings, those that break a
    constraint as pale crosses, and declared limits as dotted lines; of several runs their fronts. A line joins what
    no other network of the run beats in the two objectives of the panel. The view fits the feasible networks; others
    can lie beyond it. Raises `RunError` for runs whose objectives differ.
    """
    axes = _common_axes(runs)
    pairs = [(Axis("generation"), axes[0])] if len(axes) == 1 else [(x, y) for y, x in combinations(axes, 2)]
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(_WIDTHS.get(columns, 7.0), 0.3 + 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (x, y) in zip(panels, pairs, strict=False):
        shown = [_points(run, x, y)[run.networks["feasible" if len(runs) == 1 else "front"]] for run in runs]
        _scale(panel, np.concatenate(shown), x, y)
        if len(runs) == 1:
            _draw_networks(panel, runs[0], x, y)
        else:
            for run, look in zip(runs, _looks(len(runs)), strict=True):
                best = _points(run, x, y)[run.networks["front"].to_numpy(bool)]
                _draw_front(panel, best, x, y, look, f"{run.path.name} ({len(best)})")
        panel.set_xlabel(_label(x))
        panel.set_ylabel(_label(y))
    for panel in panels[len(pairs) :]:
        panel.set_visible(False)
    handles, labels = (
        entries[::-1] if len(runs) == 1 else entries for entries in panels[0].get_legend_handles_labels()
    )
    columns_of_legend = min(len(labels), columns + 1 if columns > 1 else 2)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns_of_legend, frameon=False, markerscale=1.3)
    return figure


def _common_axes(runs: "Sequence[Run]") -> list[Axis]:
    """The runs' objectives; what they are called where the runs agree on it (two devices' latencies don't)."""
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = ([(axis.name, axis.direction) for axis in other.axes] for other in (first, run))
        if ours != theirs:
            names = [", ".join(name for name, _ in side) for side in (ours, theirs)]
            raise RunError(
                f"{first.path} searched {names[0]}, and {run.path} {names[1]}: draw runs with the same objectives"
            )
    together = zip(*(run.axes for run in runs), strict=True)
    return [axes[0] if len(set(axes)) == 1 else replace(axes[0], label="") for axes in together]


def _draw_networks(panel: Axes, run: "Run", x: Axis, y: Axis) -> None:
    points = _points(run, x, y)
    front = run.networks["front"].to_numpy(bool)
    feasible = run.networks["feasible"].to_numpy(bool)
    common: Any = {"linewidths": 0.6, "rasterized": len(points) > 5000}
    broken, dominated = points[~feasible], points[feasible & ~front]
    if len(broken):
        label = f"breaks a constraint ({len(broken)})"
        look: Any = {"s": 8, "c": "#c8c8c8", "marker": "x", "zorder": 1}
        panel.scatter(broken[:, 0], broken[:, 1], label=label, **look, **common)
    label = f"dominated ({len(dominated)})"
    look = {"s": 9, "c": "none", "edgecolors": "#8c8c8c", "marker": "o", "zorder": 2}
    panel.scatter(dominated[:, 0], dominated[:, 1], label=label, **look, **common)
    _draw_front(panel, points[front], x, y, _FRONTS[0], f"front ({front.sum()})")
    limits = {limit.name: limit.number for limit in run.limits}
    for axis, line in ((x, panel.axvline), (y, panel.axhline)):
        if axis.name in limits:
            line(limits[axis.name], color="black", linewidth=0.8, linestyle=(0, (1, 2)), zorder=3)


def _draw_front(panel: Axes, points: Points, x: Axis, y: Axis, look: Look, label: str) -> None:
    marker, colour, line, filled = look
    dots: Any = {"s": 14, "c": colour, "edgecolors": "white", "linewidths": 0.4}
    if not filled:
        dots = {"s": 20, "facecolors": "none", "edgecolors": colour, "linewidths": 0.9}
    panel.scatter(points[:, 0], points[:, 1], label=label, marker=marker, zorder=5, **dots)
    if x.name == "generation" or not len(points):
        return
    edge = points[non_dominated(to_minimise(points, (x, y)))]
    edge = edge[np.lexsort((edge[:, 1] * y.sign, edge[:, 0] * x.sign))]
    # From the best x to the worst, the border of what is dominated stays at a point's y until the next point, and
    # goes on from both ends to the worst values in view.
    worst_x, worst_y = panel.get_xlim()[x.sign > 0], panel.get_ylim()[y.sign > 0]
    edge = np.vstack([[edge[0, 0], worst_y], edge, [worst_x, edge[-1, 1]]])
    panel.step(edge[:, 0], edge[:, 1], where="post", color=colour, linewidth=0.7, linestyle=line, zorder=4)


def _points(run: "Run", x: Axis, y: Axis) -> Points:
    return np.asarray(run.networks[[x.name, y.name]].to_numpy(float))


def _looks(runs: int) -> list[Look]:
    return [_FRONTS[number % len(_FRONTS)] for number in range(runs)]


def _scale(panel: Axes, points: Points, x: Axis, y: Axis) -> None:
    if not len(points):
        return
    _scale_one(panel.xaxis, panel.set_xscale, panel.set_xlim, points[:, 0], x)
    _scale_one(panel.yaxis, panel.set_yscale, panel.set_ylim, points[:, 1], y)


def _scale_one(
    ruler: Ruler, set_scale: Callable[..., Any], set_limits: Callable[..., Any], values: Points, axis: Axis
) -> None:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _LOGARITHMIC:
        margin = (high / low) ** 0.06
        set_scale("log")
        set_limits(low / margin, high * margin)
        ruler.set_minor_formatter(NullFormatter())
        ruler.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
        set_limits(low - margin, high + margin)
        ruler.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=axis.name == "generation"))
    if high >= 1e4:
        ruler.set_major_formatter(EngFormatter(sep=""))


def _label(axis: Axis) -> str:
    return axis.title if axis.name == "generation" else f"{axis.title}\n{axis.better}"
