"""The report's figures: made by Bokeh here, filled by the page itself when it opens."""

from itertools import combinations
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, HoverTool, PlainText, Range1d
from bokeh.models.annotations import Span
from bokeh.plotting import figure

__all__ = ["front_figures", "search_figure"]

_LOGARITHMIC = 20.0
"""An axis whose largest value is more than this many times the smallest is drawn logarithmically."""

_TOOLS = "pan,wheel_zoom,box_zoom,reset,save,tap"
# Told apart by colour-blind readers; every kind of point has a form of its own, too.
_OTHER, _OUTSIDE, _WITHIN, _CHOSEN, _LIMIT = "#8e8e8e", "#d06f00", "#0b3c5d", "#b0004b", "#444444"
_LOOKS: dict[str, dict[str, Any]] = {
    "others": {"marker": "circle", "size": 5, "line_color": _OTHER, "line_alpha": 0.6, "fill_alpha": 0.0},
    "outside": {"marker": "x", "size": 8, "line_color": _OUTSIDE, "line_alpha": 0.8},
    "within": {"marker": "diamond", "size": 10, "fill_color": _WITHIN, "fill_alpha": 0.8, "line_alpha": 0.0},
    "chosen": {"marker": "star", "size": 22, "line_color": "#ffffff", "fill_color": _CHOSEN, "level": "overlay"},
}
"""Each kind of point, in the order of drawing. What is chosen has a layer of its own: it moves without the others."""

Columns = dict[str, list[float | None]]


def front_figures(axes: list[dict[str, str]], columns: Columns) -> list[dict[str, Any]]:
    """A figure for each pair of objectives: `title`, `text` for screen readers, and Bokeh's `item`.

    A single objective stands over the networks' places, from best to worst. The points are empty: the page fills the
    sources `others`, `outside`, `within` and `chosen`, whose columns are `id`, `x` and `y`.
    """
    pairs = list(combinations(axes, 2)) or [(axes[0], _PLACE)]
    return [_front_figure(x, y, columns) for y, x in pairs]


_PLACE = {"name": "", "direction": "min", "title": "place on the front", "better": "first is best"}


def _front_figure(x: dict[str, str], y: dict[str, str], columns: Columns) -> dict[str, Any]:
    count = len(columns[y["name"]])
    values = {
        "x": _finite(columns[x["name"]]) if x["name"] else np.arange(1.0, count + 1),
        "y": _finite(columns[y["name"]]),
    }
    plot: Any = figure(
        height=340,
        sizing_mode="stretch_width",
        tools=_TOOLS,
        active_drag=None,  # a finger that scrolls the page moves no figure
        active_scroll=None,
        x_axis_type=_scale(values["x"]),
        y_axis_type=_scale(values["y"]),
        x_range=_range(values["x"]),
        y_range=_range(values["y"]),
        output_backend="canvas",
    )
    shown: list[Any] = []
    for name, marks in _LOOKS.items():
        source = ColumnDataSource({"id": [], "x": [], "y": []}, name=name)
        unselected = {f"nonselection_{key}": value for key, value in marks.items() if key.endswith("alpha")}
        shown.append(plot.scatter("x", "y", source=source, name=f"points-{name}", **marks, **unselected))
    look: dict[str, Any] = {"visible": False, "line_color": _LIMIT, "line_dash": "dotted", "level": "overlay"}
    plot.add_layout(Span(dimension="height", name="limit-x", **look))
    plot.add_layout(Span(dimension="width", name="limit-y", **look))
    tips = [("network", "@id"), (x["name"] or "place", "@x{%.5g}"), (y["name"], "@y{%.5g}")]
    plot.add_tools(HoverTool(tooltips=tips, formatters={"@x": "printf", "@y": "printf"}, renderers=shown))
    _finish(plot, f"{x['title']}, {x['better']}", f"{y['title']}, {y['better']}")
    title = f"{y['title']} and {x['title']}" if x["name"] else y["title"]
    return {"kind": "front", "title": title, "x": x["name"], "y": y["name"], "item": json_item(plot)}


def search_figure() -> dict[str, Any]:
    """How many networks of the final front had been found, over the networks evaluated; the page fills it."""
    plot: Any = figure(height=260, sizing_mode="stretch_width", tools="save", active_drag=None)
    source = ColumnDataSource({"x": [], "y": []}, name="course")
    plot.step("x", "y", source=source, mode="after", line_color=_WITHIN, line_width=2)
    marks = plot.scatter("x", "y", source=source, size=6, fill_color=_WITHIN, line_color=_WITHIN)
    plot.add_tools(HoverTool(tooltips=[("evaluated", "@x"), ("of the final front", "@y")], renderers=[marks]))
    _finish(plot, "networks evaluated", "of them on the final front")
    return {"kind": "search", "title": "How the front was found", "x": "", "y": "", "item": json_item(plot)}


def _finish(plot: Any, x: str, y: str) -> None:
    plot.xaxis.axis_label, plot.yaxis.axis_label = PlainText(text=x), PlainText(text=y)  # no formula comes of a label
    plot.xaxis.ticker.desired_num_ticks = 5
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"


def _finite(values: list[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([value for value in values if value is not None], np.float64)


def _scale(values: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    return "log" if len(values) and values.min() > 0 and values.max() / values.min() > _LOGARITHMIC else "linear"


def _range(values: np.ndarray[Any, np.dtype[np.float64]]) -> Range1d:
    """A view around the values that stays where it is while points change their kind."""
    if not len(values):
        return Range1d(start=0.0, end=1.0)
    low, high = float(values.min()), float(values.max())
    if _scale(values) == "log":
        margin = (high / low) ** 0.06
        return Range1d(start=low / margin, end=high * margin)
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
    return Range1d(start=low - margin, end=high + margin)
