"""Figures of reports that bring their points along: points over two rulers, and values with intervals in rows.

Bokeh draws them. Names from outside are plain text everywhere: no formula, no HTML comes of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, PlainText, Range1d
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from evo_fair.report.page_sheet import number
from evo_fair.show import visible

__all__ = ["Series", "SeriesLook", "finish", "finite", "look", "points_figure", "range_of", "rows_figure", "scale_of"]

RulerKind = Literal["linear", "log"]

_LOGARITHMIC = 20.0
"""An axis whose largest value is more than this many times the smallest is drawn logarithmically."""

_LONGEST = 26
"""Letters of a name beside a row; the table beside the figure has the whole of it."""

_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
_ON_SCREEN_ALONE = "@media print { :host { visibility: hidden; } }"
"""A toolbar is of no use on paper; its place stays, so that figures are as on the screen."""

# Told apart by colour-blind readers, and without any colour by their forms and lines.
_COLOURS = ("#0b3c5d", "#d06f00", "#3f8f5f", "#7b2d43", "#3f94d0", "#8e8e8e")
_MARKERS = {
    "diamond": "M14 1.5 L19.5 7 L14 12.5 L8.5 7 Z",
    "circle": "M9 7 a5 5 0 1 0 10 0 a5 5 0 1 0 -10 0 Z",
    "triangle": "M14 2 L19.5 12 L8.5 12 Z",
    "square": "M9.5 2.5 h9 v9 h-9 Z",
    "inverted_triangle": "M8.5 2 L19.5 2 L14 12 Z",
    "hex": "M9 7 L11.5 2.5 L16.5 2.5 L19 7 L16.5 11.5 L11.5 11.5 Z",
    "plus": "M14 2 V12 M9 7 H19",
}
"""Forms as Bokeh calls them, and as paths within 28 by 14 for a key."""
_DASHES = ("", "7 3", "2 3", "7 3 2 3")


@dataclass(frozen=True)
class SeriesLook:
    """How what belongs together is drawn: told apart by more than the colour."""

    colour: str
    marker: str
    dash: str
    filled: bool

    def key(self, name: str, line: bool) -> dict[str, Any]:
        """What a key shows of it."""
        fill = self.colour if self.filled else "#ffffff"
        path = _MARKERS[self.marker]
        return {"name": visible(name), "colour": self.colour, "dash": self.dash, "fill": fill, "path": path} | {
            "line": line
        }


def look(place: int) -> SeriesLook:
    """The look of the series at a place, from 0; the first 42 all differ."""
    forms = list(_MARKERS)
    turn = place // len(_COLOURS)
    return SeriesLook(
        _COLOURS[place % len(_COLOURS)],
        forms[place % len(forms)],
        _DASHES[(place + turn) % len(_DASHES)],
        turn % 2 == 0,
    )


@dataclass(frozen=True)
class Series:
    """Points that belong together, `x` and `y` `[n]`, called `ids` `[n]`, with the ends of intervals where known.

    `low` and `high` are of `y`, or of a row's value. With `line` the points `along` `[k, 2]`, by default they
    themselves in the order of x, are joined; `steps` joins them by steps.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    ids: Sequence[str]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    line: bool = False
    steps: bool = False
    along: npt.NDArray[np.float64] | None = None
    points: bool = True


def points_figure(
    section: str,
    title: str,
    rulers: tuple[str, str],
    series: Sequence[Series],
    *,
    log: bool = False,
    beside: str = "the table below holds the same numbers",
) -> dict[str, Any]:
    """Points over two rulers, named x first; each series has a look of its own and a place in the key.

    With `log` a ruler whose values differ much is logarithmic.
    """
    known = [one for one in series if len(one.x)]
    x, y, values = (_all(known, names) for names in (("x",), ("y", "low", "high"), ("y",)))
    # An interval that comes near 0 makes no ruler logarithmic on which the points themselves lie side by side.
    scales = (scale_of(x), scale_of(values) if scale_of(y) == "log" else "linear") if log else ("linear", "linear")
    plot: Any = figure(
        height=340,
        sizing_mode="stretch_width",
        tools=_TOOLS,
        active_drag=None,  # a finger that scrolls the page moves no figure
        active_scroll=None,
        x_axis_type=scales[0],
        y_axis_type=scales[1],
        x_range=range_of(x, scales[0]),
        y_range=range_of(y, scales[1]),
    )
    looks = [look(place) for place in range(len(series))]
    for place, (one, own) in enumerate(zip(series, looks, strict=True)):
        _draw(plot, place, one, own)
    tips = [("", "@id"), (visible(rulers[0]), "@x_told"), (visible(rulers[1]), "@y_told")]
    plot.add_tools(HoverTool(tooltips=tips, renderers=[one for one in plot.renderers if one.name.startswith("points")]))
    finish(plot, *rulers)
    key = [own.key(one.name, one.line) for one, own in zip(series, looks, strict=True)]
    return _figure(section, title, beside, key, plot)


def _draw(plot: Any, place: int, series: Series, own: SeriesLook) -> None:
    x, y = np.asarray(series.x, np.float64), np.asarray(series.y, np.float64)
    if series.line:
        path = series.along if series.along is not None else np.stack([x, y], 1)[np.argsort(x, kind="stable")]
        dash = [int(part) for part in own.dash.split()]
        drawn: dict[str, Any] = {"line_color": own.colour, "line_width": 2, "line_dash": dash, "name": f"line-{place}"}
        if series.steps:
            plot.step(path[:, 0], path[:, 1], mode="after", **drawn)
        else:
            plot.line(path[:, 0], path[:, 1], **drawn)
    source: dict[str, Any] = {"x": x, "y": y, "id": list(series.ids)}
    source |= {"x_told": [number(value) for value in x], "y_told": _told(y, series.low, series.high)}
    if series.low is not None and series.high is not None:
        ends: dict[str, Any] = {
            "x": x,
            "low": np.asarray(series.low, np.float64),
            "high": np.asarray(series.high, np.float64),
        }
        bars = ColumnDataSource(ends)
        plot.segment("x", "low", "x", "high", source=bars, line_color=own.colour, line_width=1.5, name=f"ends-{place}")
    if series.points:
        _mark(plot, place, ColumnDataSource(source), own)


def _mark(plot: Any, place: int, source: ColumnDataSource, own: SeriesLook) -> None:
    fill = own.colour if own.filled else "#ffffff"
    marks = {"marker": own.marker, "size": 10, "line_color": own.colour, "line_width": 1.5, "fill_color": fill}
    plot.scatter("x", "y", source=source, name=f"points-{place}", **marks)


def rows_figure(
    section: str,
    title: str,
    rows: Sequence[str],
    ruler: str,
    series: Sequence[Series],
    *,
    middle: float | None = None,
    beside: str = "the table below holds the same numbers",
) -> dict[str, Any]:
    """Values with intervals in named rows, the first on top; `x` of a series is the row's number, `y` the value.

    `middle` is a value to compare with, drawn as a line.
    """
    values = _all(series, ("y", "low", "high"))
    if middle is not None:
        values = np.append(values, middle)
    step = min(0.8 / max(1, len(series)), 0.3)
    plot: Any = figure(
        height=int(90 + len(rows) * max(26, 15 * len(series))),
        sizing_mode="stretch_width",
        tools=_TOOLS,
        active_drag=None,
        active_scroll=None,
        x_range=range_of(values, "linear"),
        y_range=Range1d(start=len(rows) - 0.4, end=-0.6),
    )
    if middle is not None:
        plot.add_layout(Span(dimension="height", location=middle, line_color="#444444", line_dash="dotted"))
    looks = [look(place) for place in range(len(series))]
    for place, (one, own) in enumerate(zip(series, looks, strict=True)):
        at = np.asarray(one.x, np.float64) + step * (place - (len(series) - 1) / 2)
        value = np.asarray(one.y, np.float64)
        if one.low is not None and one.high is not None:
            ends: dict[str, Any] = {
                "y": at,
                "low": np.asarray(one.low, np.float64),
                "high": np.asarray(one.high, np.float64),
            }
            drawn: dict[str, Any] = {"line_color": own.colour, "line_width": 2, "name": f"ends-{place}"}
            plot.segment("low", "y", "high", "y", source=ColumnDataSource(ends), **drawn)
        told = _told(value, one.low, one.high)
        _mark(plot, place, ColumnDataSource({"x": value, "y": at, "id": list(one.ids), "y_told": told}), own)
    tips = [("", "@id"), (visible(ruler), "@y_told")]
    plot.add_tools(HoverTool(tooltips=tips, renderers=[one for one in plot.renderers if one.name.startswith("points")]))
    finish(plot, ruler, "")
    plot.yaxis.ticker = FixedTicker(ticks=list(range(len(rows))))
    plot.yaxis.major_label_overrides = {number: PlainText(text=_cut(name)) for number, name in enumerate(rows)}
    plot.ygrid.visible = False
    key = [own.key(one.name, False) for one, own in zip(series, looks, strict=True)]
    return _figure(section, title, beside, key, plot)


def _figure(section: str, title: str, beside: str, key: list[dict[str, Any]], plot: Any) -> dict[str, Any]:
    shown = key if len(key) > 1 else []
    return {"section": section, "title": visible(title), "beside": beside, "key": shown, "item": json_item(plot)}


def _told(values: npt.NDArray[np.float64], low: Sequence[float] | None, high: Sequence[float] | None) -> list[str]:
    """Values as texts, with their intervals where these are known."""
    if low is None or high is None:
        return [number(value) for value in values]
    return [
        number(value) if np.isnan(least) or np.isnan(most) else f"{number(value)} ({number(least)} to {number(most)})"
        for value, least, most in zip(values, low, high, strict=True)
    ]


def _all(series: Sequence[Series], names: Sequence[str]) -> npt.NDArray[np.float64]:
    """All finite values of some attributes."""
    found = [
        np.asarray(value, np.float64) for one in series for name in names if (value := getattr(one, name)) is not None
    ]
    values = np.concatenate(found) if found else np.empty(0)
    return np.asarray(values[np.isfinite(values)])


def _cut(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def finish(plot: Any, x: str, y: str) -> None:
    """Names the rulers and gives a figure the looks of all."""
    plot.xaxis.axis_label, plot.yaxis.axis_label = PlainText(text=visible(x)), PlainText(text=visible(y))
    plot.xaxis.ticker.desired_num_ticks = 5
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    plot.toolbar.stylesheets = [_ON_SCREEN_ALONE]
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"


def finite(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """The values that are known."""
    return np.array([value for value in values if value is not None], np.float64)


def scale_of(values: npt.NDArray[np.float64]) -> RulerKind:
    """`log` for positive values whose largest is more than 20 times the smallest, else `linear`."""
    return "log" if len(values) and values.min() > 0 and values.max() / values.min() > _LOGARITHMIC else "linear"


def range_of(values: npt.NDArray[np.float64], scale: RulerKind) -> Range1d:
    """A view around the values that stays where it is while points change their kind."""
    if not len(values):
        return Range1d(start=0.0, end=1.0)
    low, high = float(values.min()), float(values.max())
    if scale == "log":
        margin = (high / low) ** 0.06
        return Range1d(start=low / margin, end=high * margin)
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
    return Range1d(start=low - margin, end=high + margin)
