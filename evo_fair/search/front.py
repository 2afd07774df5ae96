"""The networks of a journal as a table, and its front: the feasible networks that no other one dominates."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from evo_fair.errors import RunError
from evo_fair.files import write_text
from evo_fair.search.hypervolume import non_dominated
from evo_fair.search.objectives import Axis, to_minimise
from evo_fair.search.record import Record

__all__ = ["front_of", "genome_of", "networks_frame", "read_front", "write_front"]

_ABOUT = ["generation", "evaluated", "feasible", "front", "violation"]


def networks_frame(records: Sequence[Record], axes: Sequence[Axis]) -> pd.DataFrame:
    """A row a network, in the journal's order.

    The columns: `id`, `generation`, `evaluated`, `feasible`, `front`, `violation`, the objectives of `axes`, the other
    metrics, `accuracy[grouping:group]` for every group, and `genome`, its genes as text with blanks between them. What
    was not measured is NaN.
    """
    rows = []
    for record in records:
        limited = {text.rsplit(" ", 2)[0]: value for text, value in record.constraints.items()}
        groups = {
            f"accuracy[{grouping}:{group}]": value
            for grouping, part in (record.groups or {}).items()
            for group, value in part.items()
        }
        rows.append(
            {"id": record.id, "generation": record.generation}
            | {"evaluated": record.evaluated, "feasible": record.feasible, "front": False}
            | {"violation": record.violation}
            | {axis.name: record.objectives.get(axis.name, np.nan) for axis in axes}
            | {**record.metrics, **record.objectives, **limited}
            | groups
            | {"genome": " ".join(map(str, record.genome))}
        )
    frame = pd.DataFrame(rows, columns=_columns(rows, axes))
    numbers = frame.columns.difference(["id", "genome"], sort=False)
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    feasible = frame["feasible"].to_numpy(bool)
    points = to_minimise(frame.loc[feasible, [axis.name for axis in axes]].to_numpy(float), axes)
    front = np.zeros(len(frame), np.bool_)
    front[np.flatnonzero(feasible)[non_dominated(points)]] = True
    frame["front"] = front
    return frame


def front_of(networks: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    """The front's rows of a `networks_frame`, best first by the first objective, then the next, then the id.

    Networks with equal objectives all stay. Columns on how a network was found are left out, and those without a value.
    """
    rows = networks[networks["front"].to_numpy(bool)].drop(columns=_ABOUT)
    names = [axis.name for axis in axes]
    keys = to_minimise(rows[names].to_numpy(float), axes).T
    order = np.lexsort([rows["id"].to_numpy(str), *keys[::-1]])
    front = rows.iloc[order].reset_index(drop=True)
    return front.loc[:, front.notna().any() | front.empty]


def write_front(path: Path, front: pd.DataFrame) -> None:
    """Writes a front as CSV, every number in full."""
    write_text(path, front.to_csv(index=False, lineterminator="\n"))


def read_front(path: Path) -> pd.DataFrame:
    """Reads what `write_front` wrote; raises `RunError` if it is missing or damaged."""
    try:
        front = pd.read_csv(StringIO(path.read_text(encoding="utf-8")), dtype={"id": str, "genome": str})
    except OSError as reason:
        raise RunError(f"cannot read {path}: {reason.strerror or reason}") from reason
    except ValueError as reason:
        raise RunError(f"{path} is no front ({reason}): make it again from its journal") from reason
    if missing := {"id", "genome"} - set(front.columns):
        raise RunError(f"{path} has no column {', '.join(sorted(missing))}: make it again from its journal")
    return front


def genome_of(text: str) -> tuple[int, ...]:
    """The genes of a `genome` column's text."""
    return tuple(map(int, text.split()))


def _columns(rows: Sequence[dict[str, object]], axes: Sequence[Axis]) -> list[str]:
    """All columns in reading order; evaluated networks, which have all of them, are asked first."""
    names = dict.fromkeys(["id", *_ABOUT, *(axis.name for axis in axes)])
    for row in sorted(rows, key=lambda row: not row["evaluated"]):
        names |= dict.fromkeys(row)
    names.pop("genome", None)
    return [*names, "genome"]
