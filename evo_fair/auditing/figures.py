"""The figures of an audit: who loses with rising sparsity, the Pareto front, the regression, the forecast of flips."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from scipy.optimize import isotonic_regression

from evo_fair.auditing.flips import FlipForecast
from evo_fair.evolution import Axis, non_dominated, to_minimise
from evo_fair.report.style import axis_label, common_legend, folded, grid, looks, save_figure, scale
from evo_fair.show import figure_label

__all__ = ["draw_effects", "draw_forecast", "draw_losses", "draw_pareto"]

DARK, WARM = "#0b3c5d", "#d06f00"
_ROOM, _LINE = 16, 0.11
"""The lines of names that have room beside a panel of `grid`, and the inches that any other one makes it higher."""
_CHARACTER, _BESIDE = 3.7, 110.0
"""Points of a term's character, on the mean, and of what stands beside the terms in a panel of effects."""


def draw_losses(losses: pd.DataFrame, groupings: Sequence[str], paths: Sequence[Path]) -> None:
    """A panel a grouping: the mean loss of each group's accuracy by band of sparsity, with intervals.

    Where no network is in a band, because none lost a parameter, it is that of all
    networks.

    Args:
        losses: What `losses_by_group` gave.
        groupings: The groupings' names.
        paths: The figure's files; a suffix says the form.
    """
    by_band = losses[losses["band"] != "all"]
    shown = losses if by_band.empty else by_band

    def make() -> Figure:
        figure, panels, columns = grid(len(groupings))
        named = shown.drop_duplicates(["grouping", "group"])
        lines = max(_lines(named.loc[named["grouping"] == grouping, "group"]) for grouping in groupings)
        _make_higher(figure, lines, -(-len(panels) // columns))
        for panel, grouping in zip(panels, groupings, strict=True):
            table = shown[shown["grouping"] == grouping]
            bands = list(dict.fromkeys(table["band"]))
            groups = list(dict.fromkeys(table["group"]))
            shift = 0.3 / max(1, len(groups) - 1)
            ends = []
            for number, (group, look) in enumerate(zip(groups, looks(len(groups)), strict=True)):
                marker, colour, line, filled = look
                rows = table[table["group"] == group].set_index("band").loc[bands]
                x = np.arange(len(bands)) + (number - (len(groups) - 1) / 2) * shift
                value, low, high = (100 * rows[name].to_numpy(float) for name in ("loss", "low", "high"))
                panel.errorbar(
                    x,
                    value,
                    [np.maximum(value - low, 0), np.maximum(high - value, 0)],
                    color=colour,
                    linestyle=line,
                    marker=marker,
                    markersize=3,
                    markerfacecolor=colour if filled else "white",
                    linewidth=0.8,
                    elinewidth=0.5,
                )
                ends.append((float(value[-1]), group, colour))
            panel.axhline(0, color="black", linewidth=0.5)
            panel.set_xticks(range(len(bands)), [band.replace(" to ", " to\n") for band in bands])
            panel.set_xlim(-0.4, len(bands) - 0.15)
            panel.set_xlabel("sparsity")
            panel.set_ylabel(f"{folded(f'accuracy lost by {_words(grouping)} (points)')}\nlower is better")
            _label_ends(panel, ends, len(bands) - 0.75, 0.055 * _ROOM / max(_ROOM, lines))
        return figure

    save_figure(make, paths)


def draw_pareto(networks: pd.DataFrame, axes: Sequence[Axis], paths: Sequence[Path]) -> None:
    """A panel a pair of `axes`: all networks, those that no other beats in all of them, and the border of the pair.

    Args:
        networks: A row a network.
        axes: The objectives.
        paths: The figure's files; a suffix says the form.
    """

    def make() -> Figure:
        pairs = list(combinations(axes, 2))
        figure, panels, columns = grid(len(pairs))
        points = networks[[axis.name for axis in axes]].to_numpy(float)
        front = non_dominated(to_minimise(points, axes))
        for panel, (x, y) in zip(panels, pairs, strict=True):
            shown = networks[[x.name, y.name]].to_numpy(float)
            scale(panel, shown, x, y)
            common: Any = {"linewidths": 0, "rasterized": True}
            label = f"dominated ({np.count_nonzero(~front):,})"
            panel.scatter(shown[~front, 0], shown[~front, 1], s=2, c="#c4c4c4", label=label, zorder=1, **common)
            label = f"front of the {len(axes)} ({np.count_nonzero(front):,})"
            panel.scatter(shown[front, 0], shown[front, 1], s=5, c=DARK, label=label, zorder=2, **common)
            edge = shown[non_dominated(to_minimise(shown, (x, y)))]
            edge = np.unique(edge, axis=0)
            panel.plot(edge[:, 0], edge[:, 1], color=WARM, linewidth=1, label="front of the pair", zorder=3)
            panel.set_xlabel(axis_label(x))
            panel.set_ylabel(axis_label(y))
        common_legend(figure, panels, columns)
        return figure

    save_figure(make, paths)


def draw_effects(tables: Sequence[tuple[str, pd.DataFrame]], paths: Sequence[Path]) -> None:
    """A panel a regression, `(what it is of, table of effects)`: estimates in points with 95 % intervals.

    Args:
        tables: What each regression is of, and its effects.
        paths: The figure's files; a suffix says the form.
    """

    def make() -> Figure:
        sizes = [len(table) for _, table in tables]
        longest = [_CHARACTER * table["term"].str.len().max() + _BESIDE for _, table in tables]
        beside = sum(longest) <= 72 * 7.0  # else below each other
        figure = Figure(figsize=(7.0, 0.7 + 0.155 * max(sizes)), layout="constrained")
        if not beside:
            figure.set_figheight(sum(0.7 + 0.155 * size for size in sizes))
        ratios = None if beside else sizes
        shape = (1, len(tables)) if beside else (len(tables), 1)
        panels = figure.subplots(*shape, squeeze=False, height_ratios=ratios).ravel()
        for panel, (title, table) in zip(panels, tables, strict=True):
            y = np.arange(len(table))[::-1]
            value, low, high = (100 * table[name].to_numpy(float) for name in ("estimate", "low", "high"))
            panel.errorbar(
                value, y, xerr=[value - low, high - value], fmt="o", color=DARK, markersize=2.5, elinewidth=0.8
            )
            panel.axvline(0, color="black", linewidth=0.5)
            panel.set_yticks(y, [figure_label(term) for term in table["term"]])
            panel.set_ylim(-0.7, len(table) - 0.3)
            panel.set_xlabel(f"{folded(f'effect on accuracy by {_words(title)} (points)')}\nnegative is a loss")
        return figure

    save_figure(make, paths)


def draw_forecast(forecast: FlipForecast, paths: Sequence[Path]) -> None:
    """How well flips are told apart within each group, and the forecast share of flips beside the observed one.

    Of many groups those are named beside their points that are farthest off the
    forecast, as far as names have room.

    Args:
        forecast: The forecast.
        paths: The figure's files; a suffix says the form.
    """

    def make() -> Figure:
        figure, (left, right), _ = grid(2)
        fitted = forecast.quality[forecast.quality["score"] == "fitted"]
        names = [_name(row) for row in fitted.to_dict("records")]
        _make_higher(figure, _lines(names), 1)
        y = np.arange(len(fitted))[::-1]
        auc, low, high = (fitted[name].to_numpy(float) for name in ("auc", "low", "high"))
        left.errorbar(auc, y, xerr=[auc - low, high - auc], fmt="o", color=DARK, markersize=2.5, elinewidth=0.8)
        left.axvline(0.5, color="black", linewidth=0.5, linestyle=":")
        left.set_yticks(y, [folded(name) for name in names])
        left.set_xlabel("AUC of the forecast of flips\nhigher is better")
        risk = forecast.risk
        top = 1.12 * float(100 * risk[["forecast", "observed"]].to_numpy().max())
        right.plot([0, top], [0, top], color="black", linewidth=0.5, linestyle=":")
        kinds = list(dict.fromkeys(risk["grouping"]))
        points = []
        for (marker, colour, _, filled), kind in zip(looks(len(kinds)), kinds, strict=True):
            rows = risk[risk["grouping"] == kind]
            face = colour if filled else "none"
            x, seen = 100 * rows["forecast"], 100 * rows["observed"]
            right.scatter(x, seen, s=14, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.8)
            called = map(folded, rows["group"])
            points += [_Point(name, at_x, at_y, colour) for name, at_x, at_y in zip(called, x, seen, strict=True)]
        right.set_xlim(0, top)
        right.set_ylim(0, top)
        right.set_xlabel("flips forecast\nfrom the dense network (%)")
        right.set_ylabel("flips observed (%)")
        figure.draw_without_rendering()  # only then is it known how large the panel is
        _name_points(right, points, figure.dpi)
        return figure

    save_figure(make, paths)


class _Point(NamedTuple):
    """A point of a panel with the name that is to stand beside it."""

    name: str
    x: float
    y: float
    colour: str


def _name_points(panel: Axes, points: Sequence[_Point], dpi: float) -> None:
    """Writes names beside points where they have room, those first that are farthest off what was forecast."""
    centres = panel.transData.transform([(point.x, point.y) for point in points])
    size = 2 * dpi / 72  # two points to each side of a mark
    taken = [Bbox([centre - size, centre + size]) for centre in centres]
    for point in sorted(points, key=lambda point: abs(point.y - point.x), reverse=True):
        sides = (1, -1) if point.y >= point.x else (-1, 1)  # away from the diagonal, if possible
        for vertical, horizontal in product(sides, (-sides[0], sides[0])):
            text = panel.annotate(
                point.name,
                (point.x, point.y),
                (3 * horizontal, 2 * vertical),
                textcoords="offset points",
                fontsize=5.5,
                color=point.colour,
                ha="left" if horizontal > 0 else "right",
                va="bottom" if vertical > 0 else "top",
            )
            box = text.get_window_extent()
            within = panel.bbox.x0 <= box.x0 and box.x1 <= panel.bbox.x1 and box.y1 <= panel.bbox.y1
            if within and panel.bbox.y0 <= box.y0 and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


def _lines(names: Iterable[object]) -> int:
    """How many lines names take below each other."""
    return sum(folded(name).count("\n") + 1 for name in names)


def _make_higher(figure: Figure, lines: int, rows: int) -> None:
    """Makes room for so many lines of names beside each panel of a `grid` of so many rows."""
    figure.set_figheight(figure.get_figheight() + rows * _LINE * max(0, lines - _ROOM))


def _words(grouping: str) -> str:
    return grouping.replace("_", " ")


def _name(row: dict[Any, Any]) -> str:
    return "all samples" if row["grouping"] == "all" else str(row["group"])


def _label_ends(panel: Axes, ends: list[tuple[float, str, str]], x: float, line: float) -> None:
    """Writes names at the right ends of lines, apart where they would overlap; a `line` is a share of the height."""
    bottom, top = panel.get_ylim()
    highest = max((_lines([name]) for _, name, _ in ends), default=1)
    places = _spread([value for value, _, _ in ends], line * highest * (top - bottom))
    for (_, name, colour), place in zip(ends, places, strict=True):
        panel.annotate(folded(name), (x, float(place)), fontsize=6, color=colour, va="center", annotation_clip=False)


def _spread(values: Sequence[float], gap: float) -> npt.NDArray[np.float64]:
    """The values moved as little as needed for neighbours to lie at least `gap` apart."""
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    result = np.empty(len(values))
    result[order] = isotonic_regression(np.asarray(values, np.float64)[order] - steps).x + steps
    return result
