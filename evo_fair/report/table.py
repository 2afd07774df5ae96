"""The front as a table for people: in the terminal, and as Markdown."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype

from evo_fair.evolution import Axis
from evo_fair.evolution.devices import LATENCY, device_named
from evo_fair.evolution.front import BELIEVED, UNCERTAINTY
from evo_fair.report.run import Run
from evo_fair.show import counted, markdown_table
from evo_fair.tables import Table

__all__ = ["front_markdown", "front_table"]

_BESIDE = ("accuracy", "worst_group_accuracy", "latency_ms", "params", "macs")
"""What a reader wants to see of a network whether it was an objective or not."""

_READ = ("accuracy", "worst_group_accuracy")
"""Those that stay what the frozen weights gave where the objectives beside them are believed."""


def front_table(run: Run, rows: int = 20) -> Table:
    """The front of a run for the terminal; of a longer one `rows` networks spread evenly over it."""
    shown = _spread(run.front, rows)
    title = f"{counted(len(run.front), 'network')} on the front"
    if len(shown) < len(run.front):
        title = f"{title}, all in front.csv; {len(shown)} shown, spread evenly over it"
    table = Table(title)
    for number, heading in enumerate(_headings(run.front, run.axes)):
        table.add_column(heading, justify="right" if number else "left")
    for cells in _cells(shown, run.axes):
        table.add_row(*cells)
    return table


def front_markdown(front: pd.DataFrame, axes: Sequence[Axis]) -> str:
    """A front as a Markdown table, every network of it."""
    return markdown_table(_headings(front, axes), _cells(front, axes))


def _columns(front: pd.DataFrame, axes: Sequence[Axis]) -> list[str]:
    names = [axis.name for axis in axes]
    return names + [name for name in _beside(front) if name in front and name not in names]


def _beside(front: pd.DataFrame) -> list[str]:
    """`_BESIDE`, with the latency on each device in the place of that on the first where devices are named."""
    on_devices = [str(name) for name in front if device_named(str(name)) is not None]
    return [each for name in _BESIDE for each in (on_devices or [name] if name == LATENCY else [name])]


def _headings(front: pd.DataFrame, axes: Sequence[Axis]) -> list[str]:
    titles = {axis.name: f"{axis.title} {'↑' if axis.direction == 'max' else '↓'}" for axis in axes}
    if any(f"{axis.name}{BELIEVED}" in front for axis in axes):
        titles |= {name: f"{name} as read".replace("_", " ") for name in _READ if name not in titles}
    return ["network", *(titles.get(name, name.replace("_", " ")) for name in _columns(front, axes))]


def _cells(front: pd.DataFrame, axes: Sequence[Axis]) -> list[list[str]]:
    columns = [front["id"].tolist(), *(_believed_texts(front, name) for name in _columns(front, axes))]
    return [list(row) for row in zip(*columns, strict=True)]


def _believed_texts(front: pd.DataFrame, name: str) -> list[str]:
    """What is believed of an objective, with its standard error, where that is there; else what was measured."""
    if f"{name}{BELIEVED}" not in front:
        return _texts(front[name])
    pairs = zip(_texts(front[f"{name}{BELIEVED}"]), _texts(front[f"{name}{UNCERTAINTY}"]), strict=True)
    return [f"{value} ± {error}" for value, error in pairs]


def _texts(values: "pd.Series[float]") -> list[str]:
    """One form for a whole column: whole numbers, or as many decimals as its size calls for, or three digits.

    The four decimals of what is below 1 would leave nothing of an energy in joules.
    """
    largest = values.abs().max()
    decimals = 0 if is_integer_dtype(values) else 4 if largest <= 1 else 3 if largest < 10 else 2
    form = ".3g" if 0 < largest < 1e-4 else f",.{decimals}f"
    return ["-" if pd.isna(value) else f"{value:{form}}" for value in values]


def _spread(front: pd.DataFrame, rows: int) -> pd.DataFrame:
    return front.iloc[np.unique(np.linspace(0, len(front) - 1, min(rows, len(front))).round().astype(int))]
