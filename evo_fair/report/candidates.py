"""The networks that an operating point is chosen from: a run's front, an audit's or a pruning's table, any CSV."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from evo_fair.csv_tables import as_numbers, check_numbers, parse_table
from evo_fair.errors import ConstraintError, EvoFairError, RunError, quote
from evo_fair.evolution import parse_limit
from evo_fair.files import inside, read_text
from evo_fair.job_folder import such_as
from evo_fair.report.network_cards import read_card
from evo_fair.report.operating_point import Choice, choose, table_axes
from evo_fair.report.page_sheet import text_at
from evo_fair.report.run import Run, load_run

__all__ = ["choose_in", "read_candidates"]

_MEND = "give a CSV with a row a network"
_NO_NUMBERS = ("id", "genome", "base", "feasible")
TABLES = ("networks.csv", "pruned.csv", "front.csv")
"""What folders that are no run hold their networks in; an audit's front stands in where its large table is absent."""


def choose_in(source: Path, limits: Sequence[str], minimise: str | None = None, maximise: str | None = None) -> Choice:
    """The operating point of a run's folder, of an audit's or a pruning's, or of a CSV file; see `choose`.

    Without a goal it is the least latency of a run, the highest sparsity of a table that has one, and else the least
    `latency_ms` or `measured_ms`. Raises `ConstraintError` for a goal or limit of a test part, which is not to choose.
    """
    if (source / "run.toml").is_file():
        run = load_run(source)
        if run.front.empty:
            raise RunError(f"{source} has no network on its front: search on with --resume, or with wider constraints")
        given = minimise is not None or maximise is not None
        goal = minimise if given else "latency_ms"
        choice = choose(run.front, limits, minimise=goal, maximise=maximise, axes=run.axes)
        return replace(choice, caution=run.unfinished, worst_groups=_worst_groups(run, choice.point))
    if not (source.is_file() or _table_of(source)):
        raise RunError(
            f"there is no run in {source}, and no audit or pruning: give the folder of one, or a CSV of networks"
            f"{such_as(source, 'search', 'audit', 'pruning')}"
        )
    networks = read_candidates(source)
    _check_part(networks, [*(limit.name for limit in map(parse_limit, limits)), minimise, maximise])
    if minimise is None and maximise is None:
        maximise, minimise = ("sparsity", None) if "sparsity" in networks else (None, _cost_of(networks))
    goal, direction = (minimise, "min") if minimise is not None else (str(maximise), "max")
    axes = table_axes(networks, limits, goal, direction)
    choice = choose(networks, limits, minimise=minimise, maximise=maximise, axes=axes)
    if {"measured_ms", "accuracy_low"} <= set(networks):  # what `deploy` writes
        return replace(choice, of_test_part=True)
    return choice


def _worst_groups(run: Run, point: "pd.Series[Any] | None") -> dict[str, int]:
    """The groups whose accuracy is the point's `worst_group_accuracy`, with their samples, as its card has them.

    Empty where there is no such card, or it says something else.
    """
    worst = None if point is None else point.get("worst_group_accuracy")
    if point is None or worst is None:
        return {}
    grouping = text_at(run.configuration, "search", "group")
    try:
        groups = read_card(inside(run.path / "networks", f"{point['id']}.json")).groups.get(grouping, {})
    except EvoFairError:  # not written yet, or damaged: nothing that a choice depends on
        return {}
    accuracies = {name: group.correct / group.samples for name, group in groups.items() if group.samples}
    if not np.isclose(min(accuracies.values(), default=np.nan), worst):
        return {}
    return {f"{grouping}:{name}": groups[name].samples for name, one in accuracies.items() if np.isclose(one, worst)}


def read_candidates(source: Path) -> pd.DataFrame:
    """The table of a folder or CSV file, a row a network; without a column `id` the rows are numbered from 1.

    Where a metric is there of the validation part, too, as in a pruning's table, that is what its name stands for, so
    that the test part chooses nothing; its figures are then called `test_METRIC`. Raises `RunError` if it can't be read
    or is empty.
    """
    path = source if source.is_file() else (_table_of(source) or source)
    text = read_text(path, RunError, "CSV")
    if text.startswith("#"):  # how the table was made
        text = text.partition("\n")[2]
    table = parse_table(path, text, RunError, _MEND, ("id", "genome", "base"))
    check_numbers(path, table, [str(name) for name in table if _mostly_numbers(table[name])], RunError, _MEND)
    if table.empty:
        raise RunError(f"{path} lists no network: there is nothing to choose from")
    if "feasible" in table and not table["feasible"].isin([True, False]).all():
        value = table["feasible"][~table["feasible"].isin([True, False])].iloc[0]
        raise RunError(
            f"{path} says feasible = {quote(value)}: give True or False in each row, or leave the column out"
        )
    if both := [str(name) for name in table if f"validation_{name}" in table]:
        if thrice := next((name for name in both if f"test_{name}" in table), None):
            raise RunError(
                f"{path} has {quote(thrice)} beside those of the validation and the test part, and says not of which "
                "part it is: leave it out"
            )
        table = table.rename(columns={name: f"test_{name}" for name in both})
        table = table.rename(columns={f"validation_{name}": name for name in both})
    if "id" not in table:
        ids = pd.Series([f"row {number}" for number in range(1, len(table) + 1)], table.index, name="id")
        table = pd.concat([ids, table], axis=1)
    return table


def _mostly_numbers(column: "pd.Series[Any]") -> bool:
    """Whether most of a column's cells are numbers, so that a text among them is damage and not what it says."""
    if str(column.name) in _NO_NUMBERS or is_numeric_dtype(column) or any(isinstance(cell, bool) for cell in column):
        return False
    known = ~np.isnan(as_numbers(column))
    return bool(2 * known.sum() > column.notna().sum())


def _check_part(networks: pd.DataFrame, names: Sequence[str | None]) -> None:
    for name in names:
        if {name, f"{name}_low", "measured_ms"} <= set(networks):  # what `deploy` writes
            raise ConstraintError(
                f"{name!r} of deployed networks is of the test part, which would no longer tell how good the choice "
                "is: choose from the run, by the validation part"
            )
        plain = (name or "").removeprefix("test_")
        if name in networks and name != plain and plain in networks:
            raise ConstraintError(
                f"{name!r} is of the test part, which would no longer tell how good the choice is: use {plain!r}, "
                "of the validation part"
            )


def _cost_of(networks: pd.DataFrame) -> str:
    """What is made small without a wish: the latency."""
    found = next((name for name in ("latency_ms", "measured_ms") if name in networks), None)
    if found is None:
        raise ConstraintError("the table has no latency_ms to minimise: name a column to minimise or to maximise")
    return found


def _table_of(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)
