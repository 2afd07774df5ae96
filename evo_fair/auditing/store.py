"""An audit's folder: `audit.toml`, the plan, and what was measured in parts that are each written once and whole.

A part is three files, predictions, rows and the networks' table, and a card with their hashes. The table comes last and
marks it as finished. A kill leaves the part that was under way unfinished, and every finished one as it is; one whose
files are no longer those that were written is measured anew.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.arrays import read_arrays
from evo_fair.csv_tables import check_numbers, parse_table, read_table_of_numbers
from evo_fair.errors import AuditError, in_a_line
from evo_fair.files import (
    LARGEST_TEXT,
    atomic_write,
    read_cached_json,
    read_text,
    remove_leftovers,
    sha256_of,
    storage_errors,
    write_bytes,
)
from evo_fair.job_folder import AUDITS, Piece

__all__ = ["AUDITS", "ROW_COLUMNS", "AuditFolder", "open_audit", "start_audit", "write_table"]

_FILES = ("npz", "rows.csv.gz", "networks.csv")
_TEXTS = ("id", "base", "criterion", "order", "scope", "structure", "treatment", "genome")
"""Columns of the plan that are no numbers, though a criterion or a network may be called NA or 7."""

_REMOVE = "remove the part's files and go on with --resume"
ROW_COLUMNS = ("id", "grouping", "group", "class", "samples", "correct")
"""A row: how many samples of a class and group a network was asked for, and how many of them it got right."""


@dataclass(frozen=True)
class AuditFolder:
    """The folder and what `audit.toml` says."""

    path: Path
    configuration: dict[str, Any]

    @property
    def table(self) -> Path:
        """`networks.csv`: a row a network, written at the end; what operating points are chosen from."""
        return self.path / "networks.csv"

    def read_table(self) -> pd.DataFrame:
        """The table in `networks.csv`, of a finished audit."""
        return _read_networks(self.table, "write it anew with --resume")

    @cached_property
    def plan(self) -> pd.DataFrame:
        """The networks to be audited, in order."""
        return _read_plan(self.path / "plan.csv")

    @property
    def parts(self) -> list[npt.NDArray[np.int64]]:
        """The plan's row numbers by part: up to `part_size` networks that share an order of channels."""
        size = int(self.configuration["part_size"])
        order = self.plan["order"].to_numpy(str)
        runs = np.split(np.arange(len(order)), np.flatnonzero(order[1:] != order[:-1]) + 1)
        return [run[start : start + size] for run in runs for start in range(0, len(run), size)]

    @property
    def timing(self) -> dict[str, Any] | None:
        """How fast all calls measured: `networks`, `seconds`, `rate` and the last one's `jobs`; None where none was."""
        noted = read_cached_json(self.path / "timing.json")
        known = {name: noted.get(name) for name in ("networks", "seconds", "rate", "jobs")}
        return known if all(isinstance(value, int | float) for value in known.values()) else None

    def finished(self, part: int) -> bool:
        """Whether a part has been measured, and is as it was written.

        Args:
            part: The part's number.
        """
        piece = self._piece(part)
        if not piece.card.is_file():  # earlier versions wrote none
            return self._file(part, "networks.csv").is_file()
        return piece.made

    def write_part(
        self, part: int, networks: pd.DataFrame, rows: pd.DataFrame, predictions: npt.NDArray[np.uint8]
    ) -> None:
        """Writes what was measured of a part: a row a network, a row a class, group and network, and `[networks, n]`
        predictions.

        Args:
            part: The part's number.
            networks: A row a network.
            rows: A row a class, group and network.
            predictions: Predicted labels, uint8 `[networks, n]`.
        """
        with atomic_write(self._file(part, "npz")) as temporary:
            np.savez_compressed(temporary, predictions=predictions)
        write_table(self._file(part, "rows.csv.gz"), rows)
        piece = self._piece(part)
        with atomic_write(piece.files["networks.csv"]) as table:
            write_table(table, networks)
            # Before the table gets its name: one without a card would count as an earlier version's.
            files = {**piece.files, "networks.csv": table}
            piece.finish({kind: {"sha256": sha256_of(path)} for kind, path in files.items()})

    @cached_property
    def networks(self) -> pd.DataFrame:
        """The plan's columns and the metrics of every network that was measured, in the plan's order."""
        if not self._measured:
            raise AuditError(f"{self.path} holds no measured network yet: go on with it, evo-fair audit ... --resume")
        found = []
        for number, rows in self._measured:
            path = self._file(number, "networks.csv")
            found.append(read_table_of_numbers(path, AuditError, _REMOVE, texts=("id",), filled=("id",)))
            if found[-1]["id"].tolist() != self.plan["id"].iloc[rows].tolist():
                raise AuditError(f"{path} is not of the networks of its part: {_REMOVE}")
            if list(found[-1]) != list(found[0]):
                raise AuditError(f"{path} has other columns than the parts before it: {_REMOVE}")
        measured = pd.concat(found, ignore_index=True)
        known = self.plan.drop(columns=[name for name in self.plan if name in measured and name != "id"])
        return known.merge(measured, on="id", how="inner", validate="one_to_one")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Every row of the finished parts, with the columns `ROW_COLUMNS`."""
        rows = pd.concat([_read_rows(self._file(number, "rows.csv.gz")) for number, _ in self._measured])
        return rows.reset_index(drop=True).astype(dict.fromkeys(("id", "grouping", "group", "class"), "category"))

    @cached_property
    def predictions(self) -> npt.NDArray[np.uint8]:
        """Predictions of the networks of `networks`, in their order: uint8 `[networks, samples]`."""
        found: list[npt.NDArray[np.uint8]] = []
        for number, rows in self._measured:
            path = self._file(number, "npz")
            try:
                array = read_arrays(path)["predictions"]
            except (OSError, KeyError, ValueError) as reason:
                raise AuditError(f"{path} is damaged ({in_a_line(reason)}): {_REMOVE}") from reason
            samples = found[0].shape[1:] if found else array.shape[1:]
            if array.dtype != np.uint8 or array.ndim != 2 or array.shape != (len(rows), *samples):
                raise AuditError(f"{path} has predictions of another shape than its part: {_REMOVE}")
            found.append(array)
        return np.concatenate(found)

    @cached_property
    def _measured(self) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """The finished parts: each one's number and its rows of the plan."""
        return [(number, rows) for number, rows in enumerate(self.parts) if self.finished(number)]

    def _piece(self, part: int) -> Piece:
        return Piece(self._file(part, "json"), {kind: self._file(part, kind) for kind in _FILES})

    def _file(self, part: int, kind: str) -> Path:
        return self.path / "parts" / f"{part:05d}.{kind}"


def start_audit(path: Path, configuration: Mapping[str, Any], plan: pd.DataFrame, resume: bool) -> AuditFolder:
    """Makes the folder, or with `resume` opens the one that is there if it was made with this configuration.

    Raises `AuditError` if there is something else, or if a setting differs, naming it.

    Args:
        path: The audit's folder.
        configuration: The audit's settings.
        plan: The plan's table.
        resume: Whether to open a folder that is there.
    """
    if AUDITS.goes_on(path, resume):
        facts = AUDITS.resume(path, configuration)
        text = plan.to_csv(index=False, lineterminator="\n")
        if read_text(path / "plan.csv", AuditError, "CSV") != text:  # it names networks, layers' orders and files
            raise AuditError(f"{path / 'plan.csv'} is not the plan of this audit: restore it, or choose another --out")
        _remove_leftovers(path)
        return AuditFolder(path, facts)
    with storage_errors(path):
        (path / "parts").mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    write_table(path / "plan.csv", plan)
    return AuditFolder(path, AUDITS.begin(path, configuration))


def open_audit(path: Path) -> AuditFolder:
    """The audit in a folder, for reading; raises `AuditError` if there is none.

    Args:
        path: The audit's folder.
    """
    return AuditFolder(path, AUDITS.read(path))


def _remove_leftovers(path: Path) -> None:
    for place in (path, path / "parts"):
        remove_leftovers(place)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as CSV, packed where the name ends in .gz; the same table gives the same bytes.

    Args:
        path: The file.
        table: The table.
    """
    content = table.to_csv(index=False, lineterminator="\n").encode()
    # Packed here, not by pandas, which puts the name of the file, a temporary one, into its header.
    write_bytes(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _read_networks(path: Path, mend: str) -> pd.DataFrame:
    """The table in a file: a row a network, with columns of the plan."""
    return parse_table(path, read_text(path, AuditError, "CSV"), AuditError, mend, _TEXTS)


def _read_plan(path: Path) -> pd.DataFrame:
    plan = _read_networks(path, "restore it")
    if missing := {"id", "order"} - set(plan):
        raise AuditError(f"{path} has no column {sorted(missing)[0]!r}: restore it")
    return plan


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST_TEXT * 16 + 1)
        if len(content) > LARGEST_TEXT * 16:
            raise ValueError("it unpacks to more than any part has")
        text = content.decode()
    except (OSError, EOFError, ValueError, zlib.error) as reason:
        raise AuditError(f"{path} is damaged ({in_a_line(reason)}): {_REMOVE}") from reason
    rows = parse_table(path, text, AuditError, _REMOVE, ROW_COLUMNS[:4], gaps=False)  # a group can be called NA
    if tuple(rows) != ROW_COLUMNS:
        raise AuditError(f"{path} has not the columns {', '.join(ROW_COLUMNS)}: {_REMOVE}")
    check_numbers(path, rows, ROW_COLUMNS[4:], AuditError, _REMOVE)
    return rows
