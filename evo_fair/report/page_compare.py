"""The report of a comparison: the fronts of two or more runs, their hypervolumes, and whose front dominates whose."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evo_fair.csv_tables import read_table_of_numbers
from evo_fair.errors import RunError
from evo_fair.evolution import Axis
from evo_fair.job_folder import COMPARISONS
from evo_fair.report.compare_tables import SURFACE
from evo_fair.report.drawn import path_ends
from evo_fair.report.page_figures import Series, points_figure
from evo_fair.report.page_sheet import Sheet, SheetTable, between, number, percent, section, trade_off
from evo_fair.show import counted, visible

__all__ = ["comparison_sheet"]

_MEND = "run 'evo-fair compare' again"


class _Box(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    ideal: list[float]
    reference: list[float]
    given: bool


class _Facts(BaseModel):
    """What `compare.json` says."""

    model_config = ConfigDict(frozen=True)

    objectives: list[Axis] = Field(min_length=1)
    box: _Box


def comparison_sheet(folder: Path) -> Sheet:
    """The page of a comparison's folder; raises `RunError` where something is missing or damaged."""
    facts = _facts(folder)
    names = [axis.name for axis in facts.objectives]
    fronts = _read(folder / "fronts.csv", ("label", "run", "id"), names)
    runs = _read(folder / "runs.csv", ("label", "run"), ("evaluated", "front", "hypervolume"))
    labels = _read(folder / "compare.csv", ("label",), ("runs", "hypervolume"))
    called = dict(zip(runs["run"], path_ends([Path(run) for run in runs["run"]]), strict=True))
    fronts["run"] = [called.get(run, run) for run in fronts["run"]]
    parts = {
        "fronts": ("The fronts", _fronts(folder, fronts, facts.objectives)),
        "indicators": ("Hypervolume", _hypervolumes(folder, labels, facts, called)),
        "pairs": ("Whose front dominates whose", _pairs(folder)),
        "runs": ("The runs", _runs(runs)),
        "caveats": ("What the figures can't say", section(lines=_CAVEATS)),
    }
    titles = [axis.title for axis in facts.objectives]
    named = ", ".join(labels["label"])
    return Sheet.of_parts(
        title=f"{counted(len(runs), 'run')} compared",
        lead=f"Report of the comparison {folder.resolve().name}: {named}, {trade_off(titles)}.",
        parts=parts,
    )


def _facts(folder: Path) -> _Facts:
    content = COMPARISONS.read(folder)
    try:
        return _Facts.model_validate(content)
    except ValidationError as reason:
        first = reason.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(f"{folder / COMPARISONS.file} is damaged ({place}: {first['msg']}): {_MEND}") from reason


def _read(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    return read_table_of_numbers(path, RunError, _MEND, texts=texts, filled=(*texts, *numbers))


# ---- the fronts


def _fronts(folder: Path, fronts: pd.DataFrame, axes: Sequence[Axis]) -> dict[str, Any]:
    names = [axis.name for axis in axes]
    figures = []
    for y, x in combinations(range(len(axes)), 2):
        title = f"{axes[y].title} and {axes[x].title}"
        rulers = (f"{axes[x].title}, {axes[x].better}", f"{axes[y].title}, {axes[y].better}")
        series = [_front(str(label), rows, names[x], names[y]) for label, rows in _by_label(fronts)]
        figures.append(points_figure("fronts", title, rulers, series, log=True, beside=_BESIDE))
    text = ["Each point is a network of a run's front; a key's box hides and shows a label."]
    attained = folder / "attainment.csv"
    if len(axes) == 1:
        text = []
    tables = [_networks(str(label), rows, axes) for label, rows in _by_label(fronts)]
    if attained.exists() and len(axes) in (2, 3):
        tables += _attained(_read(attained, ("label",), ("percentile", *names)), axes)
    return section(text=text, figures=figures, tables=tables)


_BESIDE = "the tables below hold the networks"


def _by_label(table: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    return list(table.groupby("label", sort=False))


def _front(label: str, rows: pd.DataFrame, x: str, y: str) -> Series:
    ids = [f"{visible(row['id'])} of {visible(row['run'])}" for row in rows.to_dict("records")]
    return Series(label, rows[x].tolist(), rows[y].tolist(), ids)


def _networks(label: str, rows: pd.DataFrame, axes: Sequence[Axis]) -> SheetTable:
    cells = [
        [str(row["id"]), str(row["run"]), *(number(row[axis.name]) for axis in axes)] for row in rows.to_dict("records")
    ]
    return SheetTable(f"Networks of the fronts: {label}", ["network", "run", *(axis.title for axis in axes)], cells)


def _attained(table: pd.DataFrame, axes: Sequence[Axis]) -> list[SheetTable]:
    """What half of a label's runs attain: the median surface; of a single run it is the front."""
    heads = [axes[0].title, *(axis.title for axis in axes[1:])]
    half = table[table["percentile"] == 50]
    return [
        SheetTable(
            f"What half of the runs attain: {label}",
            heads,
            [[number(row[axis.name]) for axis in axes] for row in rows.to_dict("records")],
        )
        for label, rows in _by_label(half)
    ]


# ---- indicators


def _hypervolumes(folder: Path, labels: pd.DataFrame, facts: _Facts, called: Mapping[str, str]) -> dict[str, Any]:
    traces = _read(folder / "traces.csv", ("label", "run"), ("evaluated", "hypervolume"))
    series = [
        Series(
            f"{label}: {called.get(str(run), str(run))}",
            rows["evaluated"].tolist(),
            rows["hypervolume"].tolist(),
            [str(label)] * len(rows),
            line=True,
            steps=True,
            points=len(rows) <= 30,
        )
        for (label, run), rows in traces.groupby(["label", "run"], sort=False)
    ]
    rulers = ("networks evaluated", "hypervolume, higher is better")
    figure = points_figure("indicators", "Hypervolume over the search", rulers, series)
    heads = ["label", "runs", "networks evaluated", "on the front", "hypervolume (95 %)", "median surface"]
    rows = [
        [
            str(row["label"]),
            number(row["runs"]),
            number(row["evaluated"]),
            number(row["front"]),
            between(*(number(row[name]) for name in ("hypervolume", "low", "high"))),
            number(row["attained"]),
        ]
        for row in labels.to_dict("records")
    ]
    ends = {name: ", ".join(_corner(getattr(facts.box, name), facts.objectives)) for name in ("ideal", "reference")}
    made = "was given" if facts.box.given else "holds all fronts, is a tenth larger at the worse end"
    text = [
        f"Hypervolume is the share of a box that a front dominates. The box {made}, and is the same for all runs.",
        f"Best corner: {ends['ideal']}. Reference point: {ends['reference']}.",
        SURFACE,
        "Intervals are Student's for the mean over a label's runs; fewer than three runs have none.",
    ]
    return section(text=text, figures=[figure], tables=[SheetTable("Hypervolume by label", heads, rows)])


def _corner(values: Sequence[float], axes: Sequence[Axis]) -> list[str]:
    return [f"{axis.title} {value:.6g}" for axis, value in zip(axes, values, strict=False)]


def _pairs(folder: Path) -> dict[str, Any]:
    table = read_table_of_numbers(
        folder / "pairs.csv",
        RunError,
        _MEND,
        texts=("label", "other"),
        filled=("label", "other", "dominated", "larger"),
    )
    if table.empty:
        return section(text=["All runs have one label: there are no pairs to compare."])
    names = list(dict.fromkeys(table["label"]))
    return section(
        tables=[
            SheetTable(
                "Share of a row's front that a column's front dominates",
                ["", *names],
                _matrix(table, "dominated", names),
            ),
            SheetTable(
                "Pairs of runs in which a row's hypervolume is larger", ["", *names], _matrix(table, "larger", names)
            ),
        ]
    )


def _matrix(table: pd.DataFrame, name: str, labels: list[str]) -> list[list[str]]:
    values = {(row["label"], row["other"]): row[name] for row in table.to_dict("records")}
    return [[a, *("" if a == b else percent(values.get((a, b), np.nan)) for b in labels)] for a in labels]


def _runs(runs: pd.DataFrame) -> dict[str, Any]:
    heads = ["run", "label", "seed", "networks evaluated", "on the front", "hypervolume"]
    rows = [
        [
            str(row["run"]),
            str(row["label"]),
            *(number(row[name]) for name in ("seed", "evaluated", "front", "hypervolume")),
        ]
        for row in runs.to_dict("records")
    ]
    return section(tables=[SheetTable("All runs", heads, rows)])


_CAVEATS = (
    "The objectives are those that the searches measured, on the validation part and with weights that networks share.",
    "A larger hypervolume there is no proof of better networks: compare what 'evo-fair deploy' makes of them.",
    "One run of a strategy says nothing of how much its result depends on the seed: compare several seeds a label.",
    "Hypervolume depends on its box: of fronts that are compared with others, the numbers change.",
)
