"""A comparison of runs as Markdown, as CSV, and as a figure."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evo_fair.errors import RunError
from evo_fair.evolution import Axis, non_dominated
from evo_fair.evolution.hypervolume import Points
from evo_fair.files import read_text, storage_errors, write_json, write_text
from evo_fair.job_folder import COMPARISONS
from evo_fair.report.compare import Comparison, mean_interval
from evo_fair.report.compare_tables import (
    SURFACE,
    attainment_frame,
    facts_of_comparison,
    fronts_frame,
    pairs_frame,
    traces_frame,
)
from evo_fair.report.page import REPORT
from evo_fair.report.page_kinds import PAGE_KINDS
from evo_fair.report.style import Look, axis_label, common_legend, folded, grid, looks, save_figure, scale
from evo_fair.show import markdown, markdown_table

__all__ = ["check_place", "comparison_figure", "comparison_markdown", "write_comparison"]

TEXT = "compare.md"
TABLES = ("compare.csv", "runs.csv", "attainment.csv", "fronts.csv", "traces.csv", "pairs.csv")
FIGURES = ("compare.png", "compare.pdf")
_HEAD = ("", "runs", "networks evaluated", "on the front", "hypervolume", "95 % interval", "median surface")
"""The headings of the first table of the text."""


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes text, tables, figures and at last the facts into a folder, and returns their paths.

    An earlier comparison there is replaced, and its report leaves. Raises `RunError` where the folder is a file, holds
    another job, or holds files of these names that are no comparison's.
    """
    check_place(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (COMPARISONS.file, REPORT):  # until the facts are there again, it is not finished
            (folder / name).unlink(missing_ok=True)
    tables = (
        comparison.by_label,
        comparison.by_run,
        attainment_frame(comparison),
        fronts_frame(comparison),
        traces_frame(comparison),
        pairs_frame(comparison),
    )
    write_text(folder / TEXT, comparison_markdown(comparison))
    for name, table in zip(TABLES, tables, strict=True):
        write_text(folder / name, table.to_csv(index=False, lineterminator="\n"))
    save_figure(lambda: comparison_figure(comparison), [folder / name for name in FIGURES])
    write_json(folder / COMPARISONS.file, {"format": COMPARISONS.newest, **facts_of_comparison(comparison)})
    return [folder / name for name in (TEXT, *TABLES, *FIGURES, COMPARISONS.file)]


def check_place(folder: Path) -> None:
    """Raises `RunError` for a place that a comparison must not be written to: a file, or a folder with other things."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file: give a folder for the comparison")
    kind = next((kind for kind in PAGE_KINDS if kind.is_in(folder)), None)
    if kind is not None and kind.command != "evo-fair compare":
        raise RunError(f"{folder} holds {kind.named}: give another folder for the comparison")
    if kind is None and not _began(folder):
        for name in (TEXT, *TABLES, *FIGURES, REPORT):
            if (folder / name).exists():
                raise RunError(f"{folder} holds a {name} that is no comparison's: give another folder")


def _began(folder: Path) -> bool:
    """Whether a comparison there was killed before its facts were written, or is of a version that wrote none."""
    path = folder / TEXT
    return path.is_file() and read_text(path, RunError).startswith(markdown_table(_HEAD, []).splitlines()[0])


def comparison_markdown(comparison: Comparison) -> str:
    """Tables: hypervolumes, whose front dominates whose, whose hypervolume is larger; and the box they rest on."""
    rows = [
        [
            row["label"],
            f"{row['runs']}",
            f"{row['evaluated']:,.0f}",
            f"{row['front']:.1f}",
            f"{row['hypervolume']:.4f}",
            _interval(row["runs"], row["low"], row["high"]),
            "-" if np.isnan(row["attained"]) else f"{row['attained']:.4f}",
        ]
        for _, row in comparison.by_label.iterrows()
    ]
    parts = [markdown_table(_HEAD, rows), _box(comparison)]
    if len(comparison.groups) > 1:
        parts += [
            "The share of a row's front that a column's front dominates (mean over pairs of runs):\n",
            _matrix(comparison.dominated),
            "In how many of the pairs of runs a row's hypervolume is larger than a column's:\n",
            _matrix(comparison.larger),
        ]
    return "\n".join(parts)


def _interval(runs: int, low: float, high: float) -> str:
    if np.isnan(low):
        return "one run" if runs == 1 else "two runs"
    return f"{low:.4f} to {high:.4f}"


def comparison_figure(comparison: Comparison) -> Figure:
    """A panel for each pair of objectives, and one of the hypervolume over the networks evaluated.

    In the former a line is what half of a label's runs attain in the two objectives, and the shade around it reaches
    from what a quarter to what three quarters do; in the latter, the mean over the runs and its interval.
    """
    numbers = list(combinations(range(len(comparison.axes)), 2))
    figure, panels, columns = grid(len(numbers) + 1)
    styles = dict(zip(comparison.groups, looks(len(comparison.groups)), strict=True))
    signs = np.array([axis.sign for axis in comparison.axes])
    for panel, (y, x) in zip(panels, numbers, strict=False):
        pair = comparison.axes[x], comparison.axes[y]
        everything = np.concatenate(comparison.fronts)[:, [x, y]] * signs[[x, y]]
        scale(panel, everything, *pair)
        for label, look in styles.items():
            surfaces = [comparison.surface(label, share, (x, y)) for share in (25.0, 50.0, 75.0)]
            _draw_surfaces(panel, surfaces, pair, look, len(comparison.runs) > len(styles))
        panel.set_xlabel(axis_label(pair[0]))
        panel.set_ylabel(axis_label(pair[1]))
    _draw_traces(panels[-1], comparison, styles)
    common_legend(figure, panels[-1:], columns)
    return figure


def _draw_surfaces(panel: Axes, surfaces: list[Points], pair: tuple[Axis, Axis], look: Look, shaded: bool) -> None:
    signs = np.array([axis.sign for axis in pair])
    corners = np.array([panel.get_xlim()[pair[0].sign > 0], panel.get_ylim()[pair[1].sign > 0]]) * signs
    steps = []
    for surface in surfaces:
        points = surface[non_dominated(surface)]
        points = points[np.argsort(points[:, 0], kind="stable")]
        # From the best x on: beyond the view's worst values, then down the stairs, then on to the worst x.
        ends = [[points[0, 0], max(corners[1], points[0, 1])]], [[max(corners[0], points[-1, 0]), points[-1, 1]]]
        steps.append(np.vstack([ends[0], points, ends[1]]))
    _, colour, line, _ = look
    if shaded:
        at = np.unique(np.concatenate([step[:, 0] for step in steps]))
        low, high = (_stairs(steps[number], at, corners[1]) * signs[1] for number in (0, 2))
        panel.fill_between(at * signs[0], low, high, step="post", color=colour, alpha=0.18, linewidth=0)
    middle = steps[1] * signs
    panel.step(middle[:, 0], middle[:, 1], where="post", color=colour, linestyle=line, linewidth=1.0)


def _stairs(step: Points, at: Points, worst: float) -> Points:
    """The height of stairs at each x of `at`: the worst before they begin."""
    place = np.searchsorted(step[:, 0], at, side="right") - 1
    return np.asarray(np.where(place < 0, max(worst, step[0, 1]), step[np.maximum(place, 0), 1]))


def _draw_traces(panel: Axes, comparison: Comparison, styles: dict[str, Look]) -> None:
    for label, (_, colour, line, _) in styles.items():
        traces = [t for t, own in zip(comparison.traces, comparison.labels, strict=True) if own == label]
        length = min(map(len, traces))
        together = np.array([trace[:length] for trace in traces])
        mean, low, high = np.array([mean_interval(column) for column in together.T]).T
        evaluations = np.arange(1, length + 1)
        named = folded(f"{label} ({len(traces)})")
        panel.plot(evaluations, mean, color=colour, linestyle=line, linewidth=1.0, label=named)
        if len(traces) > 1:
            panel.fill_between(evaluations, low, high, color=colour, alpha=0.18, linewidth=0)
    panel.set_xlabel("networks evaluated")
    panel.set_ylabel("hypervolume\nhigher is better")


def _box(comparison: Comparison) -> str:
    def corner(values: Points) -> str:
        return ", ".join(
            f"{markdown(axis.name)} {value * axis.sign:.6g}"
            for axis, value in zip(comparison.axes, values, strict=True)
        )

    made = "was given" if comparison.chosen_box else "holds all fronts, is a tenth larger at the worse end"
    return (
        "Hypervolume is the share of a box that a front dominates. "
        f"The box {made}, and is the same for all runs. Best corner: {corner(comparison.box.ideal)}. "
        f"Reference point: {corner(comparison.box.reference)}. {SURFACE} "
        "Intervals are Student's, over the runs of a label.\n"
    )


def _matrix(frame: pd.DataFrame) -> str:
    rows = [
        [str(name), *("" if np.isnan(value) else f"{100 * value:.0f} %" for value in values)]
        for name, values in zip(frame.index, frame.to_numpy(float), strict=True)
    ]
    return markdown_table(["", *frame.columns], rows)
