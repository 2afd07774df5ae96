"""A run's folder: made once for one configuration, opened again only with the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from evo_fair.errors import RunError, quote
from evo_fair.evolution.journal import FORMAT
from evo_fair.files import is_trace, read_toml, storage_errors, write_text

__all__ = ["RunFolder", "check_new", "create_run", "has_begun", "open_run", "resume_run"]

_TABLES = (
    "data",
    "deploy",
    "device",
    "header",
    "network",
    "parts",
    "plugins",
    "problem",
    "proxy",
    "search",
    "space",
    "supernet",
    "versions",
)
"""The keys of `run.toml` that are tables in every run."""


@dataclass(frozen=True)
class RunFolder:
    """The folder and what `run.toml` says: all that the result depends on, as nested tables."""

    path: Path
    configuration: dict[str, Any]

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


def check_new(path: Path) -> None:
    """Raises `RunError` if there is something at `path`: a run, a folder of other things, a file."""
    if has_begun(path):
        raise RunError(f"{path} exists already: continue its run with --resume, or choose another --out")


def has_begun(path: Path) -> bool:
    """Whether there is anything at `path` to resume: False where nothing is, or a kill came before `run.toml`."""
    return path.exists() and not (path.is_dir() and _blank(path))


def create_run(path: Path, configuration: Mapping[str, Any]) -> RunFolder:
    """Makes the folder and its `run.toml`; raises `RunError` if there is something, and leaves that as it is.

    `configuration` holds what TOML knows: tables, arrays, texts, numbers and booleans. A `format` is added to it.
    """
    text = _toml(configuration)
    check_new(path)
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    write_text(path / "run.toml", text)
    return open_run(path)


def open_run(path: Path) -> RunFolder:
    """The run in a folder, for reading; raises `RunError` if there is none or its `run.toml` can't be read."""
    if not path.is_dir():
        raise RunError(f"there is no run in {path}: give the folder that a search wrote")
    if not (path / "run.toml").is_file():
        raise RunError(f"{path} holds no run.toml, so it is no run: give the folder that a search wrote")
    configuration = read_toml(path / "run.toml", RunError)
    form = configuration.pop("format", None)
    if not isinstance(form, int) or not 1 <= form <= FORMAT:
        raise RunError(
            f"{path / 'run.toml'} has the format {quote(form)}, and this evo_fair reads up to {FORMAT}: update it"
        )
    for key, value in configuration.items():
        if key in _TABLES and not isinstance(value, dict):
            raise RunError(f"{path / 'run.toml'}: {key} = {quote(value)} should be a table: restore the file")
    return RunFolder(path, configuration)


def resume_run(path: Path, configuration: Mapping[str, Any]) -> RunFolder:
    """The run in a folder, if it was made with this configuration.

    Raises `RunError` naming the first key that differs, with both values, and as `open_run` does.
    """
    run = open_run(path)
    import tomllib

    wanted = dict(_leaves(tomllib.loads(_toml(configuration))))
    there = dict(_leaves(run.configuration | {"format": FORMAT}))
    for key in [*wanted, *there]:
        if key not in wanted or key not in there or wanted[key] != there[key]:
            old, new = (quote(side[key]) if key in side else "nothing" for side in (there, wanted))
            raise RunError(
                f"the run in {path} was made with {key} = {old}, not {new}: "
                "resume it with the same settings, or choose another --out"
            )
    return run


def _toml(configuration: Mapping[str, Any]) -> str:
    try:
        return tomli_w.dumps({"format": FORMAT, **configuration})
    except (TypeError, ValueError) as reason:
        raise ValueError(f"a run's configuration holds what TOML has no form for: {reason}") from reason


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below `value` with its dotted key; arrays of plain values are one value."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _leaves(below, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{key}[{number}]")
    else:
        yield key, value


def _blank(path: Path) -> bool:
    """Whether a folder holds nothing, but for what a kill in the middle of making it left."""
    return all(is_trace(entry) for entry in path.iterdir())
