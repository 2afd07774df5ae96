"""The figures of a search's report: made by Bokeh here, filled by the page itself when it opens."""

from itertools import combinations
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from evo_fair.report.page_figures import finish, finite, range_of, scale_of

__all__ = ["front_figures", "search_figure"]

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
        "x": finite(columns[x["name"]]) if x["name"] else np.arange(1.0, count + 1),
        "y": finite(columns[y["name"]]),
    }
    plot: Any = figure(
        height=340,
        sizing_mode="stretch_width",
        tools=_TOOLS,
        active_drag=None,  # a finger that scrolls the page moves no figure
        active_scroll=None,
        x_axis_type=scale_of(values["x"]),
        y_axis_type=scale_of(values["y"]),
        x_range=range_of(values["x"], scale_of(values["x"])),
        y_range=range_of(values["y"], scale_of(values["y"])),
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
    finish(plot, f"{x['title']}, {x['better']}", f"{y['title']}, {y['better']}")
    title = f"{y['title']} and {x['title']}" if x["name"] else y["title"]
    return {"kind": "front", "title": title, "x": x["name"], "y": y["name"], "item": json_item(plot)}


def search_figure() -> dict[str, Any]:
    """How many networks of the final front had been found, over the networks evaluated; the page fills it."""
    plot: Any = figure(height=260, sizing_mode="stretch_width", tools="save", active_drag=None)
    source = ColumnDataSource({"x": [], "y": []}, name="course")
    plot.step("x", "y", source=source, mode="after", line_color=_WITHIN, line_width=2)
    marks = plot.scatter("x", "y", source=source, size=6, fill_color=_WITHIN, line_color=_WITHIN)
    plot.add_tools(HoverTool(tooltips=[("evaluated", "@x"), ("of the final front", "@y")], renderers=[marks]))
    finish(plot, "networks evaluated", "of them on the final front")
    return {"kind": "search", "title": "How the front was found", "x": "", "y": "", "item": json_item(plot)}
