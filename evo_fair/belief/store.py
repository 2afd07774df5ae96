"""The files of beliefs in a run's folder: `trainings.csv`, what trained networks reached, and `beliefs.csv`.

`trainings.csv` has a row a training, in the order in which they were made: `id`, `epochs`, `seed`, and for each
predictive objective its value on the validation part and `<objective>_uncertainty`, the standard error of that.
`beliefs.csv` has a row an evaluated network, in the journal's order: `id`, and for each predictive objective
`<objective>_believed` and `<objective>_uncertainty`, a mean and its standard error.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evo_fair.csv_tables import check_filled, read_table_of_numbers
from evo_fair.errors import RunError, quote
from evo_fair.evolution.front import BELIEVED, UNCERTAINTY
from evo_fair.files import write_text

__all__ = [
    "BELIEVED",
    "UNCERTAINTY",
    "TrainingResult",
    "read_beliefs",
    "read_trainings",
    "write_beliefs",
    "write_trainings",
]

_AGAIN = "restore it, or remove it and go on with --resume, which makes it again"


@dataclass(frozen=True)
class TrainingResult:
    """One network's training: for how long, with which seed, and what it reached, with standard errors.

    `torch_device` is where it was trained, empty for the CPU.
    """

    id: str
    epochs: int
    seed: int
    values: Mapping[str, float]
    uncertainties: Mapping[str, float]
    torch_device: str = ""


def write_trainings(path: Path, trainings: Sequence[TrainingResult]) -> None:
    """Writes `trainings.csv`, every number in full."""
    rows = [
        {"id": one.id, "epochs": one.epochs, "seed": one.seed}
        | dict(one.values)
        | {f"{name}{UNCERTAINTY}": value for name, value in one.uncertainties.items()}
        | ({"torch_device": one.torch_device} if one.torch_device else {})
        for one in trainings
    ]
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def read_trainings(path: Path, objectives: Sequence[str], known: Collection[str]) -> list[TrainingResult]:
    """The trainings in a file, none where there is no file; `known` are the ids that can stand there.

    Raises `RunError` naming the row, counted from 1 below the header, and the column where it is damaged.
    """
    if not path.exists():
        return []
    errors = [f"{name}{UNCERTAINTY}" for name in objectives]
    table = _read(path, [*objectives, "epochs", "seed", *errors], known)
    for column, least in (("epochs", 1), ("seed", 0), *((name, 0) for name in errors)):
        whole = column in ("epochs", "seed")
        for row, value in enumerate(table[column], 1):
            if value < least or (whole and not float(value).is_integer()):
                raise RunError(f"{path}, row {row}, column {quote(column)}: {value} can't be: {_AGAIN}")
    return [
        TrainingResult(
            str(row["id"]),
            int(row["epochs"]),
            int(row["seed"]),
            {name: float(row[name]) for name in objectives},
            {name: float(row[f"{name}{UNCERTAINTY}"]) for name in objectives},
            row["torch_device"] if isinstance(row.get("torch_device"), str) else "",
        )
        for row in table.to_dict("records")
    ]


def write_beliefs(path: Path, beliefs: pd.DataFrame) -> None:
    """Writes `beliefs.csv`, every number in full."""
    write_text(path, beliefs.to_csv(index=False, lineterminator="\n"))


def read_beliefs(
    path: Path, objectives: Sequence[str], evaluated: Sequence[str], *, ended: bool = True
) -> pd.DataFrame | None:
    """The beliefs in a file of the networks `evaluated`, its first column `id`, each with both columns or neither.

    Which of the `objectives` are believed about, the file says. None where a run that has not `ended` evaluated more
    since. Raises `RunError` where it is damaged, or is of other networks.
    """
    table = _read(path, [], evaluated)
    names = [name for name in objectives if f"{name}{BELIEVED}" in table or f"{name}{UNCERTAINTY}" in table]
    columns = [f"{name}{end}" for name in names for end in (BELIEVED, UNCERTAINTY)]
    check_filled(path, table, columns, RunError, _AGAIN)
    if extra := next((str(name) for name in table if name not in ("id", *columns)), None):
        raise RunError(f"{path} has a column {quote(extra)}, which is of no objective of the run: {_AGAIN}")
    for name in names:
        if (table[f"{name}{UNCERTAINTY}"] < 0).any():
            row = int((table[f"{name}{UNCERTAINTY}"] < 0).to_numpy().argmax()) + 1
            raise RunError(f"{path}, row {row}, column {quote(name + UNCERTAINTY)}: it is below 0: {_AGAIN}")
    known = set(table["id"])
    if missing := next((name for name in evaluated if name not in known), None):
        if not ended:
            return None
        raise RunError(f"{path} says nothing of network {quote(missing)} of the journal: {_AGAIN}")
    return table[["id", *columns]]


def _read(path: Path, numbers: Sequence[str], known: Collection[str]) -> pd.DataFrame:
    table = read_table_of_numbers(path, RunError, _AGAIN, texts=("id", "torch_device"), filled=("id", *numbers))
    allowed = set(known)
    seen: set[str] = set()
    for row, name in enumerate(table["id"], 1):
        if name not in allowed:
            raise RunError(f"{path}, row {row}: {quote(name)} is no evaluated network of the journal: {_AGAIN}")
        if name in seen:
            raise RunError(f"{path}, row {row}: {quote(name)} stands there already: {_AGAIN}")
        seen.add(name)
    return table
