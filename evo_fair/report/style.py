"""How figures look and how they are saved: one style, told apart without colour, the same bytes for the same data."""

import textwrap
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ruler
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from evo_fair.errors import EvoFairError, FigureError, in_a_line
from evo_fair.evolution import Axis
from evo_fair.evolution.hypervolume import Points
from evo_fair.files import atomic_write
from evo_fair.one_at_a_time import one_at_a_time
from evo_fair.show import figure_label, visible

__all__ = ["Look", "axis_label", "common_legend", "folded", "grid", "looks", "save_figure", "scale"]


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
    "text.usetex": False,
    "text.parse_math": True,  # what makes "\\$" of `figure_label` a "$"
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
_DECADES = 300.0
"""A logarithmic axis of less than this ratio has numbers at 2 and 5 times the powers of ten, too."""
_FRONTS = (
    ("D", "#0b3c5d", "-", True),
    ("o", "#d06f00", "--", False),
    ("^", "#4f8a5b", "-.", True),
    ("s", "#8e8e8e", ":", False),
    ("v", "#7b2d43", "-", True),
    ("h", "#3f94d0", "--", False),
    ("D", "#c02f6a", ":", False),
    ("o", "#5b4a9e", "-", True),
    ("^", "#c9a227", "--", False),
    ("s", "#1f1f1f", "-.", True),
    ("v", "#2aa198", ":", False),
    ("h", "#a0522d", "-", True),
)
"""Marker, colour, line and whether it is filled, of each run's front: told apart without the colour, too."""
_LONGEST_LINE, _FOLDED_LINE = 38, 28
"""Characters of a label that stands on one line, as long as a panel, and of the lines of one that does not."""
_USUAL_LINES, _LINE = 3, 0.15
"""The lines of a legend that a figure has room for, and the inches that any other one makes it higher."""
_CHARACTER, _BESIDE_TEXT = 3.95, 34.0
"""Points of a legend's width: a character's, on the mean, and those of an entry's marker and of the space around it."""
Look = tuple[str, str, str, bool]


@one_at_a_time  # the style is set for the whole process
def save_figure(make: Callable[[], Figure], paths: Sequence[Path]) -> None:
    """Makes a figure in this style and draws it to each path, atomically; the suffix says the form.

    Raises `EvoFairError` for a suffix other than .png, .pdf and .svg before anything is drawn, `FigureError` for
    values that can't be drawn.
    """
    for path in paths:
        if path.suffix not in _METADATA:
            raise EvoFairError(f"can't draw {path.name!r}: the name of a figure ends in {', '.join(_METADATA)}")
    try:
        with mpl.rc_context(_STYLE), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of sums near the end of the range
            warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of letters that the font lacks
            figure = make()
            for path in paths:
                with atomic_write(path) as temporary:
                    figure.savefig(temporary, dpi=300, metadata=_METADATA[path.suffix])
    except EvoFairError:
        raise
    except (ArithmeticError, ValueError) as reason:
        raise FigureError(
            f"{', '.join(path.name for path in paths)} can't be drawn ({in_a_line(reason)}): a value lies near the end "
            "of the range of numbers; scale that objective"
        ) from reason


def grid(panels: int) -> tuple[Figure, list[Axes], int]:
    """A figure with so many panels, at most three in a row; those panels and the number of columns."""
    columns = min(panels, 3)
    rows = -(-panels // columns)
    figure = Figure(figsize=(_WIDTHS.get(columns, 7.0), 0.3 + 2.3 * rows), layout="constrained")
    all_panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel in all_panels[panels:]:
        panel.set_visible(False)
    return figure, all_panels[:panels], columns


def common_legend(figure: Figure, panels: Sequence[Axes], columns: int, backwards: bool = False) -> None:
    """One legend above all panels, of what is drawn in them, each label once; `backwards` lists the last one first.

    Lines come after markers then. Bars of errors come after all else.
    """
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    entries = [(handle, label) for label, handle in found.items()][:: -1 if backwards else 1]
    if backwards:
        entries.sort(key=lambda entry: isinstance(entry[0], Line2D))
    entries.sort(key=lambda entry: isinstance(entry[0], ErrorbarContainer))
    handles, labels = [entry[0] for entry in entries], [entry[1] for entry in entries]
    width = min(len(labels), columns + 1 if columns > 1 else 2)
    while width > 1 and _legend_size(labels, width)[0] > 72 * figure.get_figwidth():
        width -= 1
    more = max(0, _legend_size(labels, width)[1] - _USUAL_LINES)
    figure.set_figheight(figure.get_figheight() + _LINE * more)
    figure.legend(handles, labels, loc="outside upper center", ncols=width, frameon=False, markerscale=1.3)


def _legend_size(labels: Sequence[str], columns: int) -> tuple[float, int]:
    """About how wide a legend is, in points, and how many lines high.

    Its entries go down the columns, of which the first ones may have one more.
    """
    rows, longer = divmod(len(labels), columns)
    entries = iter(label.split("\n") for label in labels)
    parts = [list(islice(entries, rows + (column < longer))) for column in range(columns)]
    width = sum(_BESIDE_TEXT + _CHARACTER * max(len(line) for lines in part for line in lines) for part in parts)
    return width, max(sum(map(len, part)) for part in parts)


def looks(fronts: int) -> list[Look]:
    """Marker, colour, line and whether it is filled, of each of so many fronts: no two of up to 144 are the same."""
    found = []
    for number in range(fronts):
        turn, place = divmod(number, len(_FRONTS))
        marker, _, line, filled = _FRONTS[place]
        colour = _FRONTS[(place + turn) % len(_FRONTS)][1]
        found.append((marker, colour, line, filled))
    return found


def folded(text: object) -> str:
    """The text for a label in a figure, on as many lines as it takes to fit beside a panel.

    Args:
        text: The text.
    """
    shown = visible(text)
    return "\n".join(map(figure_label, [shown] if len(shown) <= _LONGEST_LINE else textwrap.wrap(shown, _FOLDED_LINE)))


def scale(panel: Axes, points: Points, x: Axis, y: Axis) -> None:
    """Fits a panel's view and rulers to points `[n, 2]`, logarithmic where they span much."""
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
        ruler.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < _DECADES else (1.0,)))
        ruler.set_minor_formatter(NullFormatter())
        ruler.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
        set_limits(low - margin, high + margin)
        ruler.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=axis.name == "generation"))
    if high >= 1e4:
        ruler.set_major_formatter(EngFormatter(sep=""))


def axis_label(axis: Axis) -> str:
    """What stands beside a ruler."""
    title = folded(axis.title)
    return title if axis.name == "generation" else f"{title}\n{axis.better}"
