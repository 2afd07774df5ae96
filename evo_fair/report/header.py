"""The frozen header of a run: its table, and a figure of the variation of feature maps between groups by layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from evo_fair.files import write_text
from evo_fair.report.style import folded, save_figure
from evo_fair.show import figure_label

__all__ = ["header_figure", "write_header"]


def write_header(
    folder: Path, rows: Sequence[Mapping[str, Any]], group: str, threshold: float | None, networks: tuple[str, str]
) -> None:
    """Writes `header.csv` (a row a layer) and `header.png`; `networks` is the size of the space before and after."""
    table = pd.DataFrame(rows)
    write_text(folder / "header.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    save_figure(lambda: header_figure(table, group, threshold, networks), [folder / "header.png"])


def header_figure(table: pd.DataFrame, group: str, threshold: float | None, networks: tuple[str, str]) -> Figure:
    """Blocks' outputs as a line of diamonds, the layers inside blocks as rings, the frozen header on grey ground."""
    outputs = table[table["layer"] == "output"]
    figure = Figure(figsize=(max(5.2, 0.6 + 0.17 * len(outputs)), 2.6), layout="constrained")
    panel = figure.subplots()
    inner = table[table["layer"] != "output"]
    frozen = outputs.index[outputs["frozen"]]
    if len(frozen):
        panel.axvspan(0.5, frozen[-1] + 0.5, color="#e4e4e4", zorder=0, label="frozen header")
    panel.scatter(
        inner.index,
        inner["variation"],
        s=9,
        facecolors="none",
        edgecolors="#8c8c8c",
        linewidths=0.6,
        label="inside a block",
    )
    panel.plot(
        outputs.index,
        outputs["variation"],
        marker="D",
        markersize=3.5,
        color="#0b3c5d",
        linewidth=0.7,
        label="output of a block",
    )
    if threshold is not None:
        panel.axhline(threshold, color="black", linewidth=0.8, linestyle=(0, (1, 2)), label="threshold")
    panel.set_ylim(bottom=0)
    panel.set_xlim(-0.5, len(table) - 0.5)
    panel.set_xticks(
        outputs.index,
        [figure_label(name) for name in outputs["block"]],
        rotation=45,
        ha="right",
        rotation_mode="anchor",
    )
    panel.set_ylabel(f"variation of feature maps\n{folded(f'between groups ({group})')}")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    figure.supxlabel(f"networks to choose from: {networks[0]}, with the header frozen {networks[1]}", fontsize=7)
    return figure
