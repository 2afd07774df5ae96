"""The front as a figure: every pair of objectives, readable in print and without colour."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evo_fair.evolution import Axis, non_dominated, to_minimise
from evo_fair.evolution.front import UNCERTAINTY, believed_columns
from evo_fair.evolution.hypervolume import Points
from evo_fair.report.drawn import Drawn, common_axes, path_ends
from evo_fair.report.style import Look, axis_label, common_legend, folded, grid, looks, save_figure, scale

__all__ = ["pareto", "pareto_figure", "short_names"]


def pareto(runs: Sequence[Drawn], paths: Sequence[Path]) -> None:
    """Draws `pareto_figure` to each path, atomically; the suffix says the form. The same runs give the same bytes.

    Raises `EvoFairError` for a suffix other than .png, .pdf and .svg before anything is drawn.
    """
    save_figure(lambda: pareto_figure(runs), paths)


def pareto_figure(runs: Sequence[Drawn]) -> Figure:
    """A panel for each pair of objectives, the earlier one upwards; a single objective stands over the generations.

    Of one run all networks are shown: the front as dark diamonds, the other feasible ones as rings, those that break a
    constraint as pale crosses, the whole network whose pruned forms they are as a square, and declared limits as dotted
    lines; of several runs their fronts. A line joins what no other network of the run beats in the two objectives of
    the panel. Where all runs have beliefs, these are shown,
    on a single run's front with bars of a standard error either way. The view fits the feasible networks; others can
    lie beyond it. Raises `RunError` for runs whose objectives differ.
    """
    axes = common_axes(runs)
    pairs = [(Axis("generation"), axes[0])] if len(axes) == 1 else [(x, y) for y, x in combinations(axes, 2)]
    single, believed = len(runs) == 1, all(run.beliefs is not None for run in runs)
    figure, panels, columns = grid(len(pairs))
    for panel, (x, y) in zip(panels, pairs, strict=True):
        shown = [_points(run, x, y, believed)[run.networks["feasible" if single else "front"]] for run in runs]
        scale(panel, np.concatenate(shown), x, y)
        if single:
            _draw_networks(panel, runs[0], x, y)
        else:
            names = short_names([run.path for run in runs])
            for run, name, look in zip(runs, names, looks(len(runs)), strict=True):
                best = _points(run, x, y, believed)[run.networks["front"].to_numpy(bool)]
                _draw_front(panel, best, x, y, look, folded(f"{name} ({len(best)})"))
        panel.set_xlabel(axis_label(x))
        panel.set_ylabel(axis_label(y))
    common_legend(figure, panels, columns, backwards=single)
    return figure


def short_names(paths: Sequence[Path]) -> list[str]:
    """The ends of the paths, each as many parts long as it takes to tell them apart."""
    return path_ends([path.resolve() for path in paths])


def _draw_errors(panel: Axes, run: Drawn, x: Axis, y: Axis) -> None:
    """Bars of a standard error either way, of the front's networks."""
    rows = run.networks[run.networks["front"].to_numpy(bool)]
    points = rows[believed_columns(rows, (x, y))].to_numpy(float)
    bars = [
        rows[f"{axis.name}{UNCERTAINTY}"].to_numpy(float) if f"{axis.name}{UNCERTAINTY}" in rows else None
        for axis in (x, y)
    ]
    if len(points) and any(bar is not None for bar in bars):
        look: Any = {"fmt": "none", "ecolor": looks(1)[0][1], "elinewidth": 0.5, "alpha": 0.5, "zorder": 4}
        panel.errorbar(points[:, 0], points[:, 1], xerr=bars[0], yerr=bars[1], label="± standard error", **look)


def _draw_networks(panel: Axes, run: Drawn, x: Axis, y: Axis) -> None:
    points = _points(run, x, y, run.beliefs is not None)
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
    view = panel.get_xlim(), panel.get_ylim()
    _draw_errors(panel, run, x, y)
    panel.set(xlim=view[0], ylim=view[1])
    whole = points[(run.networks["id"] == run.whole).to_numpy(bool)]
    if np.isfinite(whole).all(1).any():  # one that breaks a limit may have been left unevaluated
        look = {"s": 26, "c": "none", "edgecolors": "black", "marker": "s", "zorder": 6}
        panel.scatter(whole[:, 0], whole[:, 1], label="whole network", **look, **common)
    _draw_front(panel, points[front], x, y, looks(1)[0], f"front ({front.sum()})", "unbeaten in this pair")
    dotted: Any = {"color": "black", "linewidth": 0.8, "linestyle": (0, (1, 2))}
    for limit in run.limits:
        for axis, line in ((x, panel.axvline), (y, panel.axhline)):
            if axis.name == limit.name:
                line(limit.number, label="limit of the search", zorder=3, **dotted)


def _draw_front(
    panel: Axes, points: Points, x: Axis, y: Axis, look: Look, label: str, line_label: str | None = None
) -> None:
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
    drawn: Any = {"color": colour, "linewidth": 0.7, "linestyle": line, "zorder": 4}
    panel.step(edge[:, 0], edge[:, 1], where="post", label=line_label, **drawn)


def _points(run: Drawn, x: Axis, y: Axis, believed: bool) -> Points:
    """The networks in two objectives: what is believed of the evaluated, or what was measured."""
    columns = believed_columns(run.networks, (x, y)) if believed else [x.name, y.name]
    return np.asarray(run.networks[columns].to_numpy(float))
