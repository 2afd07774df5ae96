"""The operating point: the network to deploy, under limits that were declared before looking, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from evo_fair.arguments import as_text, as_texts
from evo_fair.errors import ConstraintError, EvoFairError, UnknownNameError, quote
from evo_fair.evolution import Axis, Limit, non_dominated, objective_direction, parse_limit, to_minimise
from evo_fair.evolution.front import BELIEVED

__all__ = [
    "Choice",
    "LimitCost",
    "as_believed",
    "better_direction",
    "choose",
    "numeric_columns",
    "operating_point",
    "table_axes",
]


@dataclass(frozen=True)
class LimitCost:
    """What one limit costs: `best` is the goal's best value without that limit alone, None where there still is none.

    `cost` is by how much the limit makes the goal worse, never negative; None where there is nothing to compare.
    Where no network meets the limit, whatever the others, `nearest` is the value that comes nearest to it.
    """

    limit: str
    best: float | None
    cost: float | None
    nearest: float | None = None


@dataclass(frozen=True)
class Choice:
    """The operating point, or None, with the goal that it is best in and what each limit costs.

    `point` is a row as it was measured. `believed` has the columns of the goal and the limits for which what is
    believed counts instead, each with what is believed of the point, NaN where there is none. `caution` says what makes
    the choice provisional; it is empty where nothing does. `of_test_part`: are accuracies the test part's?
    `worst_groups` are the groups whose accuracy is the worst group's, with their samples in the validation part, where
    those are known.
    """

    goal: Axis
    point: "pd.Series[Any] | None"
    costs: tuple[LimitCost, ...]
    believed: Mapping[str, float]
    caution: str = ""
    of_test_part: bool = False
    worst_groups: Mapping[str, int] = field(default_factory=dict)


def operating_point(
    networks: pd.DataFrame,
    limits: Sequence[str],
    minimise: str | None = None,
    axes: Sequence[Axis] = (),
    *,
    maximise: str | None = None,
) -> "pd.Series[Any] | None":
    """The row of the network with the smallest `minimise`, or largest `maximise`, within all `limits`, or None.

    `networks` is a front, or any table with a row a network and the columns that are named; rows that aren't
    `feasible`, if it says so, are out, and so are rows that another one within the limits dominates in the objectives
    `axes`. Among equals the first objective decides, then the next, then the id. A value that was not measured meets no
    limit.
    Where the table says what is believed of an objective, that counts for it, in limits and as the goal; so it does for
    the accuracy that is 1 less an error.
    Raises `ConstraintError` for a limit that can't be read or names no column, for a goal that is better the other way
    round, and for none or two; `UnknownNameError` for one that is no column.
    """
    return choose(networks, limits, minimise=minimise, maximise=maximise, axes=axes).point


def choose(
    networks: pd.DataFrame,
    limits: Sequence[str],
    *,
    minimise: str | None = None,
    maximise: str | None = None,
    axes: Sequence[Axis] = (),
) -> Choice:
    """The best network in one goal within all limits, as `operating_point` finds it, and what each limit costs.

    The goal is to `minimise` one column or to `maximise` one; a column whose better direction is known is refused in
    the other one. Without a column `id` the first of equal rows is taken.
    """
    limits = as_texts("limits", limits)
    if (double := networks.columns[networks.columns.duplicated()]).size:
        raise EvoFairError(f"the table has two columns {quote(double[0])}: rename one")
    goal = _goal(networks, minimise, maximise, axes)
    _check_table(networks, axes)
    measured, networks = networks, as_believed(networks)
    kept = networks[goal.name].notna().to_numpy(bool, copy=True)
    if "feasible" in networks:
        kept &= networks["feasible"].to_numpy(bool)
    parsed = [_limit(text, networks) for text in limits]
    met = [limit.met(networks[limit.name]) for limit in parsed]
    point = _best(networks, kept & np.all([np.ones_like(kept), *met], axis=0), goal, axes)
    values = networks[goal.name].astype(float).tolist()
    costs = []
    for number, limit in enumerate(parsed):
        others = [within for i, within in enumerate(met) if i != number]
        without = _best(networks, kept & np.all([np.ones_like(kept), *others], axis=0), goal, axes)
        best = None if without is None else values[without]
        cost = abs(best - values[point]) if best is not None and point is not None else None
        nearest = None if (kept & met[number]).any() else _nearest(limit, networks[limit.name][kept])
        costs.append(LimitCost(limit.text, best, cost, nearest))
    believed = {
        name: float("nan") if point is None else float(networks[name].iloc[point])
        for name in dict.fromkeys([goal.name, *(limit.name for limit in parsed)])
        if not networks[name].equals(measured[name])
    }
    return Choice(goal, None if point is None else measured.iloc[point], tuple(costs), believed)


def _check_table(networks: pd.DataFrame, axes: Sequence[Axis]) -> None:
    """Raises `UnknownNameError` for an objective that the table lacks, `EvoFairError` for a wrong `feasible`."""
    names = numeric_columns(networks)
    if missing := next((axis.name for axis in axes if axis.name not in names), None):
        raise UnknownNameError("objective", missing, names)
    if "feasible" in networks and not (known := networks["feasible"].isin([True, False])).all():
        value = networks["feasible"][~known].iloc[0]
        raise EvoFairError(
            f"the table says feasible = {quote(value)}: give True or False in each row, or leave the column out"
        )


def _nearest(limit: Limit, values: "pd.Series[Any]") -> float | None:
    """The value that comes nearest to a limit that none meets; None where there is no value."""
    known = values.dropna().astype(float)
    if known.empty:
        return None
    return float(known.max() if limit.relation == ">=" else known.min())


def as_believed(networks: pd.DataFrame) -> pd.DataFrame:
    """The table with what is believed in the place of what was measured, where it says so."""
    found = {}
    for name in networks:
        error = f"{str(name).removesuffix('accuracy')}error{BELIEVED}"
        if f"{name}{BELIEVED}" in networks:
            found[str(name)] = networks[f"{name}{BELIEVED}"]
        elif str(name).endswith("accuracy") and error in networks:
            found[str(name)] = 1.0 - networks[error]
    return networks.assign(**found) if found else networks


def table_axes(networks: pd.DataFrame, limits: Sequence[str], goal: str, direction: str) -> tuple[Axis, ...]:
    """The objectives of a table that declares none: the goal, what limits name, and sparsity and accuracy if it has
    them. Those are wanted in their own direction whatever their limits; another that has limits from above and below is
    none."""
    wanted: dict[str, set[str]] = {goal: {direction}}
    for limit in map(parse_limit, limits):
        wanted.setdefault(limit.name, set()).add("max" if limit.relation == ">=" else "min")
    for name, way in (("sparsity", "max"), ("accuracy", "max"), (goal, direction)):
        if name in networks:
            wanted[name] = {way}
    numeric = set(numeric_columns(networks))
    return tuple(
        Axis(name, "max" if "max" in ways else "min")
        for name, ways in wanted.items()
        if len(ways) == 1 and name in numeric
    )


def _best(
    networks: pd.DataFrame, kept: "np.ndarray[Any, np.dtype[np.bool_]]", goal: Axis, axes: Sequence[Axis]
) -> int | None:
    """The place of the best row among those `kept`, None where there is none."""
    if not kept.any():
        return None
    places = np.flatnonzero(kept)
    places = places[non_dominated(_points(networks.iloc[places], axes))] if axes else places
    rows = networks.iloc[places]
    name = rows["id"].to_numpy(str) if "id" in rows else places
    keys = [rows[goal.name].to_numpy(float) * goal.sign, *_points(rows, axes).T, name]
    return int(places[np.lexsort(keys[::-1])[0]])


def _goal(networks: pd.DataFrame, minimise: str | None, maximise: str | None, axes: Sequence[Axis]) -> Axis:
    name = minimise if minimise is not None else maximise
    if name is None or (minimise is not None and maximise is not None):
        raise ConstraintError("an operating point has one goal: give a column to minimise, or one to maximise")
    name, names = as_text("minimise" if minimise is not None else "maximise", name), numeric_columns(networks)
    if name not in names:
        raise UnknownNameError("metric", name, names)
    if minimise is not None and better_direction(name, axes) == "max":
        raise ConstraintError(
            f"{name!r} is better the higher it is: minimise another metric, and give this one a floor, "
            f"as in '{name} >= 0.75'; or maximise it"
        )
    if maximise is not None and better_direction(name, axes) == "min":
        raise ConstraintError(f"{name!r} is better the lower it is: minimise it, or maximise another metric")
    return Axis(name, "min" if minimise is not None else "max")


def _limit(text: str, networks: pd.DataFrame) -> Limit:
    limit = parse_limit(text)
    names = numeric_columns(networks)
    if limit.name not in names and (plain := limit.name.removesuffix("_believed")) in names:
        raise ConstraintError(f"can't use the limit {text!r}: write {plain}, which goes by what is believed")
    if limit.name not in names:
        raise ConstraintError(f"can't use the limit {text!r}: {UnknownNameError('metric', limit.name, names)}")
    return limit


def numeric_columns(networks: pd.DataFrame) -> list[str]:
    """The columns that a limit or a goal can be about: those of numbers, whose name is a text."""
    named = (name for name in networks if isinstance(name, str))
    return [name for name in named if is_numeric_dtype(networks[name]) and not is_bool_dtype(networks[name])]


def _points(rows: pd.DataFrame, axes: Sequence[Axis]) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = to_minimise(rows[[axis.name for axis in axes]].to_numpy(float), axes)
    return np.where(np.isnan(points), np.inf, points)  # what was not measured beats nothing


def better_direction(name: str, axes: Sequence[Axis]) -> str | None:
    """Which way a column is better, where that is stated; None of others."""
    declared = {axis.name: axis.direction for axis in axes}
    if name.startswith("accuracy[") or name == "sparsity":
        return "max"
    return declared.get(name) or objective_direction(name)
