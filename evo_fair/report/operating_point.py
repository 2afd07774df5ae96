"""The operating point: the network to deploy, under limits that were declared before looking."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from evo_fair.errors import ConstraintError, UnknownNameError
from evo_fair.search import Axis, non_dominated, objective_direction, parse_limit, to_minimise

__all__ = ["operating_point"]


def operating_point(
    networks: pd.DataFrame, limits: Sequence[str], minimise: str, axes: Sequence[Axis] = ()
) -> "pd.Series[Any] | None":
    """The row of the network with the smallest `minimise` among those that meet all `limits`, or None.

    `networks` is a front, or any table with a row a network and the columns that are named; rows that aren't
    `feasible`, if it says so, are out, and so are rows that another one dominates in the objectives `axes`. Among
    equals the first objective decides, then the next, then the id. A value that was not measured meets no limit.
    Raises `ConstraintError` for a limit that can't be read or names no column, and for a `minimise` that is better the
    higher it is; `UnknownNameError` for one that is no column.
    """
    names = [str(name) for name in networks if is_numeric_dtype(networks[name]) and not is_bool_dtype(networks[name])]
    if minimise not in names:
        raise UnknownNameError("metric", minimise, names)
    if _direction(minimise, axes) == "max":
        raise ConstraintError(
            f"{minimise!r} is better the higher it is: minimise another metric, and give this one a floor, "
            f"as in '{minimise} >= 0.75'"
        )
    kept = networks[minimise].notna().to_numpy(bool, copy=True)
    if "feasible" in networks:
        kept &= networks["feasible"].to_numpy(bool)
    kept[kept] = non_dominated(_points(networks[kept], axes)) if axes else True
    for text in limits:
        limit = parse_limit(text)
        if limit.name not in names:
            raise ConstraintError(f"can't use the limit {text!r}: {UnknownNameError('metric', limit.name, names)}")
        kept &= limit.met(networks[limit.name])
    if not kept.any():
        return None
    rows = networks[kept]
    keys = [rows[minimise].to_numpy(float), *_points(rows, axes).T, rows["id"].to_numpy(str)]
    return rows.iloc[int(np.lexsort(keys[::-1])[0])]


def _points(rows: pd.DataFrame, axes: Sequence[Axis]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return to_minimise(rows[[axis.name for axis in axes]].to_numpy(float), axes)


def _direction(name: str, axes: Sequence[Axis]) -> str:
    declared = {axis.name: axis.direction for axis in axes}
    return "max" if name.startswith("accuracy[") else declared.get(name) or objective_direction(name)
