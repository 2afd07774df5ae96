"""An audit's folder: `audit.toml`, the plan, and what was measured in parts that are each written once and whole.

A part is three files: predictions, rows, and the networks' table, which comes last and marks it as finished. A kill
leaves the part that was under way unfinished, and every finished one as it is.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tomli_w

from evo_fair.errors import AuditError, quote
from evo_fair.files import (
    atomic_write,
    is_trace,
    read_json,
    read_text,
    read_toml,
    storage_errors,
    write_bytes,
    write_text,
)

__all__ = ["ROW_COLUMNS", "AuditFolder", "find_audit", "open_audit", "start_audit", "write_table"]

FORMAT = 1
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

    @cached_property
    def plan(self) -> pd.DataFrame:
        """The networks to be audited, in order."""
        return _read(self.path / "plan.csv")

    @property
    def parts(self) -> list[npt.NDArray[np.int64]]:
        """The plan's row numbers by part: up to `part_size` networks that share an order of channels."""
        size = int(self.configuration["part_size"])
        order = self.plan["order"].to_numpy(str)
        runs = np.split(np.arange(len(order)), np.flatnonzero(order[1:] != order[:-1]) + 1)
        return [run[start : start + size] for run in runs for start in range(0, len(run), size)]

    @property
    def timing(self) -> dict[str, Any] | None:
        """How fast the last call measured: `networks`, `seconds`, `rate` and `jobs`; None where none was noted."""
        path = self.path / "timing.json"
        return dict(read_json(path, AuditError)) if path.is_file() else None

    def finished(self, part: int) -> bool:
        """Whether a part has been measured."""
        return self._file(part, "networks.csv").is_file()

    def write_part(
        self, part: int, networks: pd.DataFrame, rows: pd.DataFrame, predictions: npt.NDArray[np.uint8]
    ) -> None:
        """Writes what was measured of a part: a row a network, a row a class, group and network, and `[networks, n]`
        predictions."""
        with atomic_write(self._file(part, "npz")) as temporary:
            np.savez_compressed(temporary, predictions=predictions)
        write_table(self._file(part, "rows.csv.gz"), rows)
        write_table(self._file(part, "networks.csv"), networks)

    @cached_property
    def networks(self) -> pd.DataFrame:
        """The plan's columns and the metrics of every network that was measured, in the plan's order."""
        numbers = [number for number in range(len(self.parts)) if self.finished(number)]
        if not numbers:
            raise AuditError(f"{self.path} holds no measured network yet: go on with it, evo-fair audit ... --resume")
        measured = pd.concat([_read(self._file(number, "networks.csv")) for number in numbers], ignore_index=True)
        known = self.plan.drop(columns=[name for name in self.plan if name in measured and name != "id"])
        return known.merge(measured, on="id", how="inner", validate="one_to_one")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Every row of the finished parts, with the columns `ROW_COLUMNS`."""
        numbers = [number for number in range(len(self.parts)) if self.finished(number)]
        rows = pd.concat([_read(self._file(number, "rows.csv.gz")) for number in numbers], ignore_index=True)
        return rows.astype(dict.fromkeys(("id", "grouping", "group", "class"), "category"))

    @cached_property
    def predictions(self) -> npt.NDArray[np.uint8]:
        """Predictions of the networks of `networks`, in their order: uint8 `[networks, samples]`."""
        found = []
        for number in range(len(self.parts)):
            if self.finished(number):
                with np.load(self._file(number, "npz"), allow_pickle=False) as file:
                    found.append(file["predictions"])
        return np.concatenate(found)

    def _file(self, part: int, kind: str) -> Path:
        return self.path / "parts" / f"{part:05d}.{kind}"


def start_audit(path: Path, configuration: Mapping[str, Any], plan: pd.DataFrame, resume: bool) -> AuditFolder:
    """Makes the folder, or with `resume` opens the one that is there if it was made with this configuration.

    Raises `AuditError` if there is something else, or if a setting differs, naming it.
    """
    if folder := find_audit(path, resume):
        wanted, there = _flat(configuration), _flat(folder.configuration)
        for key in wanted | there:
            if wanted.get(key) != there.get(key):
                raise AuditError(
                    f"the audit in {path} was made with {key} = {quote(there.get(key))}, not {quote(wanted.get(key))}: "
                    "resume it with the same settings, or choose another --out"
                )
        text = plan.to_csv(index=False, lineterminator="\n")
        if read_text(path / "plan.csv", AuditError, "CSV") != text:  # it names networks, layers' orders and files
            raise AuditError(f"{path / 'plan.csv'} is not the plan of this audit: restore it, or choose another --out")
        return folder
    with storage_errors(path):
        (path / "parts").mkdir(parents=True, exist_ok=True)
    write_table(path / "plan.csv", plan)
    write_text(path / "audit.toml", tomli_w.dumps({"format": FORMAT, **configuration}))
    return AuditFolder(path, dict(configuration))


def find_audit(path: Path, resume: bool) -> AuditFolder | None:
    """The audit that is to go on in a folder, None where one can begin; raises `AuditError` if neither is so."""
    if not path.exists() or (path.is_dir() and _blank(path)):
        return None
    if not resume:
        raise AuditError(f"{path} exists already: continue its audit with --resume, or choose another --out")
    return open_audit(path)


def _blank(folder: Path) -> bool:
    """Whether there is nothing yet but what a kill before `audit.toml` was written leaves behind."""
    left = {path.name for path in folder.iterdir() if not is_trace(path)}
    return left <= {"parts", "plan.csv"} and not any(folder.glob("parts/*"))


def open_audit(path: Path) -> AuditFolder:
    """The audit in a folder, for reading; raises `AuditError` if there is none."""
    if not (path / "audit.toml").is_file():
        raise AuditError(f"{path} holds no audit.toml, so it is no audit: give the folder that evo-fair audit wrote")
    configuration = read_toml(path / "audit.toml", AuditError)
    form = configuration.pop("format", None)
    if form != FORMAT:
        raise AuditError(f"{path / 'audit.toml'} has the format {form!r}, and this evo_fair reads {FORMAT}: update it")
    return AuditFolder(path, configuration)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as CSV, packed where the name ends in .gz; the same table gives the same bytes."""
    content = table.to_csv(index=False, lineterminator="\n").encode()
    # Packed here, not by pandas, which puts the name of the file, a temporary one, into its header.
    write_bytes(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _read(path: Path) -> pd.DataFrame:
    texts = {"id": str, "base": str, "genome": str, "order": str, "group": str, "class": str}
    try:
        if path.suffix == ".gz":
            return pd.read_csv(path, dtype=texts, compression="gzip", keep_default_na=False)
        return pd.read_csv(StringIO(path.read_text(encoding="utf-8")), dtype=texts)
    except OSError as reason:
        raise AuditError(f"cannot read {path}: {reason.strerror or reason}") from reason
    except ValueError as reason:
        raise AuditError(f"{path} is damaged ({reason}): remove the part's files and go on with --resume") from reason


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {
            name: item for k, below in value.items() for name, item in _flat(below, f"{key}.{k}".strip(".")).items()
        }
    return {key: list(value) if isinstance(value, tuple) else value}
