"""The report of a search: the front as columns, the networks' cards, the course of the search."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evo_fair.csv_tables import read_table_of_numbers
from evo_fair.errors import RunError
from evo_fair.evolution import Axis
from evo_fair.evolution.devices import LATENCY, device_named, plain_name
from evo_fair.evolution.front import BELIEVED, UNCERTAINTY, believed_columns
from evo_fair.report.network_cards import network_cards
from evo_fair.report.operating_point import as_believed, better_direction, numeric_columns
from evo_fair.report.page_search_figures import front_figures, search_figure
from evo_fair.report.page_sheet import Sheet, between, facts_of, groups_in, number, text_at, trade_off
from evo_fair.report.run import Run, load_run
from evo_fair.show import counted, visible

__all__ = ["search_sheet"]

_SHOWN = ("accuracy", "worst_group_accuracy")
"""Metrics that have a slider from the start, beside the objectives."""

_REMAKE = "run 'evo-fair deploy' again"


def search_sheet(folder: Path) -> Sheet:
    """The page of a search's run; raises `RunError` for one that is damaged or has no front."""
    run = load_run(folder)
    content = _content(run)
    figures = front_figures(content["axes"], content["table"]["columns"])
    if content["search"] is not None:
        figures.append(search_figure())
    sections = [
        ("choose", "Choose a network"),
        ("card", "Its card"),
        *([("deployed", "Deployed networks")] if content["deployed"] is not None else []),
        ("search", "How the search went"),
        ("caveats", "What the figures can't say"),
    ]
    titles = [axis["title"] for axis in content["axes"]]
    networks = counted(len(run.front), "network")
    return Sheet(
        title=text_at(run.configuration, "problem", "title") or content["name"],
        lead=f"Report of the search {content['name']}: {networks} on the front, {trade_off(titles)}.",
        template="page_search.html",
        sections=sections,
        content=content,
        figures=figures,
        code=("page_search_choose.js", "page_search.js"),
        data=content,
    )


def _content(run: Run) -> dict[str, Any]:
    """All that the page shows, as plain values for JSON; raises `RunError` for a run without a front."""
    front = run.front
    if front.empty:
        raise RunError(f"{run.path} has no network on its front: search on with --resume, or with wider constraints")
    whole = (run.path / "journal.jsonl").exists()
    axes = [_axis(axis) for axis in run.axes]
    return {
        "name": run.path.resolve().name,
        "facts": _facts(run),
        "axes": axes,
        "limits": [limit.text for limit in run.limits],
        "table": _table(front, run.axes),
        "others": _others(run.networks, run.axes) if whole else None,
        "cards": network_cards(run.path / "networks", [str(name) for name in front["id"]], run.devices),
        "search": _course(run.networks, run.axes) if whole else None,
        "findings": [visible(line) for line in run.findings],
        "deployed": _deployed(run.path / "deployed.csv"),
        "caveats": _caveats(run, front, whole),
    }


def _axis(axis: Axis) -> dict[str, str]:
    return {"name": axis.name, "direction": axis.direction, "title": visible(axis.title), "better": axis.better}


def _table(front: pd.DataFrame, axes: tuple[Axis, ...]) -> dict[str, Any]:
    """The front by column, as an operating point is chosen from it: what is believed stands for what was measured."""
    believed = as_believed(front)
    names = [name for name in numeric_columns(front) if not name.endswith((BELIEVED, UNCERTAINTY))]
    if any(device_named(name) is not None for name in names):  # what is the first's has its device's name, too
        names = [name for name in names if name != LATENCY]
    order = np.argsort(front["id"].to_numpy(str), kind="stable")
    rank = np.empty(len(front), np.int64)
    rank[order] = np.arange(len(front))
    objectives = [axis.name for axis in axes]
    return {
        "ids": [str(name) for name in front["id"]],
        "rank": rank.tolist(),
        "columns": {name: _numbers(believed[name]) for name in names},
        "uncertainty": {
            name: _numbers(front[f"{name}{UNCERTAINTY}"]) for name in names if f"{name}{UNCERTAINTY}" in front
        },
        "directions": {name: better_direction(name, axes) for name in names},
        "titles": {name: _title(name, not believed[name].equals(front[name])) for name in names}
        | {axis.name: visible(axis.title) for axis in axes},
        "shown": [*objectives, *(name for name in _SHOWN if name in names and name not in objectives)],
        "goal": next((name for name in names if plain_name(name) == LATENCY), objectives[0]),
    }


def _title(name: str, believed: bool) -> str:
    """A column's title; it says where it is believed, because accuracies of groups, which are as read, differ then."""
    return visible(f"{name}, believed" if believed else name)


def _numbers(column: "pd.Series[Any]") -> list[float | None]:
    return [value if np.isfinite(value) else None for value in column.astype(float).tolist()]


def _others(networks: pd.DataFrame, axes: tuple[Axis, ...]) -> dict[str, Any]:
    """The evaluated networks off the front: their ids and objectives, and whether they met the run's limits."""
    rows = networks[networks["evaluated"].to_numpy(bool) & ~networks["front"].to_numpy(bool)]
    taken = believed_columns(rows, axes)
    return {
        "ids": [str(name) for name in rows["id"]],
        "feasible": rows["feasible"].to_numpy(bool).tolist(),
        "columns": {axis.name: _numbers(rows[name]) for axis, name in zip(axes, taken, strict=True)},
    }


def _course(networks: pd.DataFrame, axes: tuple[Axis, ...]) -> list[dict[str, Any]]:
    """By generation, added up: networks looked at, evaluated, feasible, of the final front; the best values so far."""
    taken = believed_columns(networks, axes)
    rows = []
    for generation in sorted(networks["generation"].unique()):
        until = networks[networks["generation"] <= generation]
        feasible = until[until["feasible"].to_numpy(bool) & until["evaluated"].to_numpy(bool)]
        best = {}
        for axis, name in zip(axes, taken, strict=True):
            value = feasible[name].max() if axis.direction == "max" else feasible[name].min()
            best[axis.name] = float(value) if np.isfinite(value) else None
        rows.append(
            {
                "generation": int(generation) + 1,  # as the terminal counts
                "networks": len(until),
                "evaluated": int(until["evaluated"].sum()),
                "feasible": len(feasible),
                "front": int(until["front"].sum()),
                "best": best,
            }
        )
    return rows


def _deployed(path: Path) -> dict[str, Any] | None:
    """The table of deployed networks: a row a file, a figure with its interval in one cell; no groups, of which the
    deployment's own report tells."""
    if not path.exists():
        return None
    table = read_table_of_numbers(path, RunError, _REMAKE, texts=("id", "role", "precision"), filled=["id"])
    by_group = {column for columns in groups_in(table).values() for column in columns.values()}
    names = [
        str(name)
        for name in table
        if not str(name).endswith(("_low", "_high")) and name not in by_group and bool(table[name].notna().any())
    ]
    rows = [[_cell(row, name) for name in names] for row in table.to_dict("records")]
    return {"columns": [visible(name) for name in names], "rows": rows}


def _cell(row: dict[Any, Any], name: str) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return between(number(row[name]), number(low), number(high))


def _facts(run: Run) -> list[tuple[str, str]]:
    """What was searched, as pairs of a name and a text; what `run.toml` does not say is left out."""
    known = run.configuration
    facts = [
        ("problem", text_at(known, "problem", "name")),
        ("data", text_at(known, "data", "name")),
        ("licence of the data", text_at(known, "data", "licence")),
        ("fairness between", text_at(known, "search", "group")),
        ("network", text_at(known, "network", "name")),
        ("the whole network's", _whole(run)),
        ("devices" if len(run.devices) > 1 else "device", ", ".join(run.devices)),
        ("strategy", text_at(known, "search", "algorithm")),
        ("budget", text_at(known, "search", "budget")),
        ("seed", text_at(known, "search", "seed")),
        ("networks in the space", text_at(known, "space", "networks")),
        ("limits of the search", "; ".join(limit.text for limit in run.limits) or "none"),
        ("evo_fair", text_at(known, "versions", "evo_fair")),
    ]
    return facts_of(facts)


def _whole(run: Run) -> str:
    """What the search found of the whole network whose pruned forms it looked at; empty where there is none."""
    if run.whole is None:
        return ""
    row = run.networks.set_index("id").loc[run.whole]
    return ", ".join(f"{axis.title} {row[axis.name]:.4g}" for axis in run.axes if np.isfinite(row[axis.name]))


_CHOSEN_BY = (
    "The figures are of the samples that chose these networks, the validation part. On others they tend to be worse, "
    "and a network can break a limit that it meets here. 'evo-fair deploy' measures on the test part."
)
_FROZEN = "The front's accuracy is that of the supernet's frozen weights. A network's own training changes it."
_PRUNED = "The front's accuracy is that of the network's own weights, pruned and not trained on. Training changes it."
_BELIEVED = (
    "Where an objective has a standard error, the page shows and compares what is believed of it, which is the "
    "measured value drawn towards what networks of that size usually reach."
)
_PREDICTED = "Latency is predicted from a fitted profile of the device, not measured on it."
_INTERVALS = (
    "Intervals of groups (Wilson, 95 %) take samples as independent. Where several belong to one person or lesion, "
    "they are too narrow. A group of few samples says little, whatever its accuracy."
)
_NO_JOURNAL = "This folder holds the front without its journal: how the search went is not known."


def _caveats(run: Run, front: pd.DataFrame, whole: bool) -> list[str]:
    """What the figures can't say, in plain sentences."""
    believed = any(f"{axis.name}{BELIEVED}" in front for axis in run.axes)
    always = [_PREDICTED, _INTERVALS]
    weights = _PRUNED if "network" in run.configuration else _FROZEN
    ended = [f"{run.unfinished[0].upper()}{run.unfinished[1:]}."] if run.unfinished else []
    return [*ended, _CHOSEN_BY, weights, *([_BELIEVED] if believed else []), *always, *([] if whole else [_NO_JOURNAL])]
