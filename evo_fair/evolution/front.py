"""The networks of a journal as a table, and its front: the feasible networks that no other one dominates."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evo_fair.csv_tables import check_filled, read_table_of_numbers
from evo_fair.errors import RunError, quote
from evo_fair.evolution.evaluator import Space
from evo_fair.evolution.genomes import wrong_network
from evo_fair.evolution.hypervolume import non_dominated
from evo_fair.evolution.objectives import Axis, to_minimise
from evo_fair.evolution.record import Record, is_id
from evo_fair.files import write_text

__all__ = [
    "BELIEVED",
    "UNCERTAINTY",
    "believed_columns",
    "check_front",
    "front_of",
    "genome_of",
    "networks_frame",
    "read_front",
    "write_front",
]

BELIEVED, UNCERTAINTY = "_believed", "_uncertainty"
"""How the columns' names end that hold what is believed of an objective, and its standard error."""

_GENOME = re.compile(r"[0-9]{1,5}( [0-9]{1,5})*")
_ABOUT = ["generation", "evaluated", "feasible", "front", "violation"]


def networks_frame(
    records: Sequence[Record], axes: Sequence[Axis], beliefs: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The journal as a table, a row a network.

    The columns: `id`, `generation`, `evaluated`, `feasible`, `front`, `violation`, the
    objectives as measured with the frozen weights, the columns of `beliefs`, the other
    metrics, `accuracy[grouping:group]` for every group, and `genome`, its genes as text
    with blanks between them. What was not measured is NaN.

    Args:
        records: The journal's records, in order.
        axes: The objectives.
        beliefs: A table by `id`: `<objective>_believed`, by which the front is then
            taken, and `<objective>_uncertainty`, its standard error. Default: none.

    Returns:
        The table, in the journal's order.
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
    if beliefs is not None:
        frame = _with_beliefs(frame, axes, beliefs)
    feasible = frame["feasible"].to_numpy(bool)
    points = to_minimise(frame.loc[feasible, believed_columns(frame, axes)].to_numpy(float), axes)
    front = np.zeros(len(frame), np.bool_)
    front[np.flatnonzero(feasible)[non_dominated(points)]] = True
    frame["front"] = front
    return frame


def front_of(networks: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    """The front's rows, best first by the first objective, then the next, then the id.

    What is believed of an objective counts where that is there. Networks with equal
    objectives all stay. Columns on how a network was found are left out, and those
    without a value.

    Args:
        networks: What `networks_frame` gave.
        axes: The objectives.

    Returns:
        The table of the front.
    """
    rows = networks[networks["front"].to_numpy(bool)].drop(columns=_ABOUT)
    keys = to_minimise(rows[believed_columns(rows, axes)].to_numpy(float), axes).T
    order = np.lexsort([rows["id"].to_numpy(str), *keys[::-1]])
    front = rows.iloc[order].reset_index(drop=True)
    return front.loc[:, front.notna().any() | front.empty]


def believed_columns(networks: pd.DataFrame, axes: Sequence[Axis]) -> list[str]:
    """The columns that objectives are taken from: what is believed of them, or else what was measured.

    Args:
        networks: What `networks_frame` gave.
        axes: The objectives.

    Returns:
        A column's name for each objective.
    """
    return [f"{axis.name}{BELIEVED}" if f"{axis.name}{BELIEVED}" in networks else axis.name for axis in axes]


def write_front(path: Path, front: pd.DataFrame) -> None:
    """Writes a front as CSV, every number in full.

    Args:
        path: The file.
        front: The table of the front.

    Raises:
        StorageError: The file can't be written.
    """
    write_text(path, front.to_csv(index=False, lineterminator="\n"))


def read_front(path: Path, axes: Sequence[Axis] = ()) -> pd.DataFrame:
    """Reads what `write_front` wrote.

    Args:
        path: The file.
        axes: The objectives that have to be there. Default: none.

    Returns:
        The table of the front.

    Raises:
        RunError: It is missing or damaged; the message names the row, counted from 1
            below the header, and the column.
    """
    mend = _mend(path)
    filled = ["id", *(axis.name for axis in axes), "genome"]
    front = read_table_of_numbers(path, RunError, mend, texts=("id", "genome"), filled=filled)
    for pair in ((f"{axis.name}{BELIEVED}", f"{axis.name}{UNCERTAINTY}") for axis in axes):
        if any(column in front for column in pair):
            check_filled(path, front, pair, RunError, mend)
    for row, (name, genome) in enumerate(zip(front["id"], front["genome"], strict=True), 1):
        if not is_id(name):
            raise RunError(f"{path}, row {row}, column 'id': {quote(name)} is no network's id: {mend}")
        try:
            genome_of(genome)
        except ValueError:
            raise RunError(f"{path}, row {row}, column 'genome': {quote(genome)} is no genome: {mend}") from None
    if twice := front["id"][front["id"].duplicated()].tolist():
        raise RunError(f"{path} has two rows with the id {quote(twice[0])}: {mend}")
    return front


def _mend(path: Path) -> str:
    """What to do about a damaged front: with a journal beside it, everything in it is there again."""
    if path.with_name("journal.jsonl").exists():
        return "delete it, and 'evo-fair search' with --resume makes it again from journal.jsonl"
    return "restore it, or search again"


def genome_of(text: str) -> tuple[int, ...]:
    """The genes of a `genome` column's text.

    Args:
        text: Genes with blanks between them.

    Returns:
        The genes.

    Raises:
        ValueError: It is anything else.
    """
    if not _GENOME.fullmatch(text):
        raise ValueError(f"{quote(text)} is no genome")
    return tuple(map(int, text.split()))


def check_front(path: Path, front: pd.DataFrame, space: Space) -> None:
    """Refuses a front with a network that a space does not have.

    Args:
        path: The run's folder, for the message.
        front: The table of the front.
        space: The run's space.

    Raises:
        RunError: A row has genes out of range, or an id that is not its genome's own;
            the message names it.
    """
    if fault := wrong_network(space, front["id"].tolist(), [genome_of(text) for text in front["genome"]]):
        raise RunError(f"the front of {path} is damaged, network {fault[0] + 1} of it: {fault[1]}; restore its files")


def _with_beliefs(frame: pd.DataFrame, axes: Sequence[Axis], beliefs: pd.DataFrame) -> pd.DataFrame:
    """The frame with the columns of `beliefs` behind the objectives."""
    believed = beliefs.set_index("id").reindex(frame["id"])
    at = list(frame.columns).index(axes[-1].name) + 1
    added = believed.set_axis(frame.index)
    return pd.concat([frame.iloc[:, :at], added, frame.iloc[:, at:]], axis=1)


def _columns(rows: Sequence[dict[str, object]], axes: Sequence[Axis]) -> list[str]:
    """All columns in reading order; evaluated networks, which have all of them, are asked first."""
    names = dict.fromkeys(["id", *_ABOUT, *(axis.name for axis in axes)])
    for row in sorted(rows, key=lambda row: not row["evaluated"]):
        names |= dict.fromkeys(row)
    names.pop("genome", None)
    return [*names, "genome"]
