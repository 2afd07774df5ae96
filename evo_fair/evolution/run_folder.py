"""A run's folder: made once for one configuration, opened again only with the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo_fair.errors import RunError, quote
from evo_fair.job_folder import RUNS

__all__ = ["RunFolder", "check_new", "create_run", "has_begun", "open_run", "resume_run"]

check_new = RUNS.check_new
has_begun = RUNS.has_begun


@dataclass(frozen=True)
class RunFolder:
    """The folder and what `run.toml` says: all that the result depends on, as nested tables."""

    path: Path
    configuration: dict[str, Any]

    @property
    def devices(self) -> dict[str, str]:
        """The devices of a search, the first first: name -> SHA-256 of the profile; {} where none is named."""
        several = self.configuration.get("devices") or [self.configuration.get("device", {})]
        named = [one for one in several if isinstance(one.get("name"), str)]
        return {one["name"]: str(one.get("sha256")) for one in named}

    @property
    def journal(self) -> Path:
        """`journal.jsonl`."""
        return self.path / "journal.jsonl"

    @property
    def checkpoint(self) -> Path:
        """`checkpoint.npz`."""
        return self.path / "checkpoint.npz"

    @property
    def front(self) -> Path:
        """`front.csv`."""
        return self.path / "front.csv"

    @property
    def networks(self) -> Path:
        """The folder of the front's networks."""
        return self.path / "networks"


def create_run(path: Path, configuration: Mapping[str, Any]) -> RunFolder:
    """Makes a run's folder and its `run.toml`.

    Args:
        path: The folder.
        configuration: What TOML knows: tables, arrays, texts, numbers and booleans. A
            `format` is added to it.

    Returns:
        The folder.

    Raises:
        RunError: There is something already; it is left as it is.
    """
    return RunFolder(path, RUNS.begin(path, configuration))


def open_run(path: Path) -> RunFolder:
    """The run in a folder, for reading.

    Args:
        path: The folder.

    Returns:
        The folder.

    Raises:
        RunError: There is none, or its `run.toml` can't be read.
    """
    configuration = RUNS.read(path)
    devices = configuration.get("devices", [])
    if not (isinstance(devices, list) and all(isinstance(one, dict) for one in devices)):
        raise RunError(f"{path / 'run.toml'}: devices = {quote(devices)} should be tables: restore the file")
    return RunFolder(path, configuration)


def resume_run(path: Path, configuration: Mapping[str, Any]) -> RunFolder:
    """The run in a folder, if it was made with this configuration.

    Args:
        path: The folder.
        configuration: The configuration.

    Returns:
        The folder.

    Raises:
        RunError: A key differs, which the message names with both values; or as
            `open_run` raises.
    """
    return RunFolder(path, RUNS.resume(path, configuration))
