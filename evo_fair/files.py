"""Reading and writing files safely: atomic writes, shipped files, the user's cache, paths that stay in their folder."""

import errno
import hashlib
import json
import math
import os
import re
import stat
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from evo_fair.errors import DataWarning, EvoFairError, StorageError, UnknownNameError, in_a_line, quote

if TYPE_CHECKING:
    from evo_fair.arrays import Selected

__all__ = [
    "LARGEST_TEXT",
    "LEFTOVERS",
    "LOCK",
    "atomic_write",
    "cache_folder",
    "digest",
    "guarded",
    "inside",
    "is_recorded",
    "is_trace",
    "parse_json",
    "read_cached_json",
    "read_json",
    "read_text",
    "read_toml",
    "remove_leftovers",
    "say_namesake",
    "sha256_of",
    "shipped_names",
    "shipped_or_path",
    "size_of",
    "storage_errors",
    "user_path",
    "write_bytes",
    "write_json",
    "write_text",
]

_PACKAGE = Path(__file__).resolve().parent


def _shipped_folder(kind: str) -> Path:
    """`problems/` or `hardware_profiles/`: inside the wheel, or beside the package in a checkout."""
    in_wheel = _PACKAGE / "_shipped" / kind
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / kind


def shipped_names(kind: str, suffix: str) -> list[str]:
    """The names, without `suffix`, of the files that evo_fair ships in the folder `kind`."""
    return sorted(path.name.removesuffix(suffix) for path in _shipped_folder(kind).glob(f"*{suffix}"))


def shipped_or_path(name: str, kind: str, suffix: str, what: str) -> Path:
    """The file that `name` means: a shipped one by its bare name, or the path of the user's own.

    Anything with a separator or ending in `suffix` is a path. Raises `UnknownNameError` listing the shipped names.
    """
    shipped = shipped_names(kind, suffix)
    if name.endswith(suffix) or "/" in name or os.sep in name:
        path = user_path(name)
        if not path.is_file():
            fault = f"{name!r} is a folder" if path.is_dir() else f"there is no file {name!r}"
            opening = f"{fault}: give the path of the {what}'s {suffix} file, or one of"
            beside = sorted(str(other) for other in path.parent.glob(f"*{suffix}") if other.is_file())
            raise UnknownNameError(what, name, shipped, opening=opening, near=beside)
        return path
    if name not in shipped:
        own, mend = f"{name}{suffix}", f", or the path of a {suffix} file"
        if user_path(name).is_file():
            mend += f", which {name} is not"
        elif user_path(own).is_file():
            mend += f" such as {own}, which is there"
        raise UnknownNameError(what, name, shipped, mend)
    return _shipped_folder(kind) / f"{name}{suffix}"


def say_namesake(found: Path, what: str) -> None:
    """Warns where the file `found`, which comes with evo_fair, was named, and one of the user's own is called so."""
    own = user_path(found.name)
    if own.is_file() and not own.samefile(found):
        warnings.warn(
            f"{found.stem} is the {what} that comes with evo_fair: for the file {own} that is here, write {own}",
            DataWarning,
            stacklevel=3,
        )


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again: under `EVO_FAIR_CACHE`, else the user's cache. Created if missing."""
    import platformdirs

    root = os.environ.get("EVO_FAIR_CACHE") or platformdirs.user_cache_dir("evo_fair", appauthor=False)
    folder = user_path(root).joinpath(*parts)
    with storage_errors(folder, ", or name a folder of yours in EVO_FAIR_CACHE"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def user_path(name: str | Path, error: type[EvoFairError] = EvoFairError) -> Path:
    """The path that the user gave, `~` resolved, whether it exists or not; raises `error` if it can't be looked up."""
    with _odd_paths(name, error):
        path = Path(name).expanduser()
        path.exists()
    return path


def inside(folder: Path, name: str) -> Path:
    """The path `name` below `folder`, links resolved; it need not exist.

    Raises `EvoFairError` for one that leads out of it, by `..`, root or link, and for one that can't be looked up.
    """
    with _odd_paths(name, EvoFairError):
        path = (folder / name).resolve()
        path.exists()
    if not path.is_relative_to(folder.resolve()):
        if link := _link_out(folder, name):
            raise EvoFairError(
                f"{name!r} leads out of {folder}: {link} is a symbolic link to {link.resolve()}; put a "
                "copy of that in the link's place"
            )
        raise EvoFairError(f"{name!r} leads out of {folder}: give a path relative to and below that folder")
    return path


def _link_out(folder: Path, name: str) -> Path | None:
    """The link by which a path that is written as one below `folder` leaves it; None where `..` or a root does."""
    below = Path(os.path.normpath(folder / name))
    if not below.is_relative_to(os.path.normpath(folder)):
        return None
    steps = [folder.joinpath(*Path(name).parts[:end]) for end in range(1, len(Path(name).parts) + 1)]
    return next((one for one in steps if one.is_symlink() and not one.resolve().is_relative_to(folder.resolve())), None)


@contextmanager
def _odd_paths(name: str | Path, error: type[EvoFairError]) -> Iterator[None]:
    """Turns what Python raises for an unknown user's home, a name too long, a NUL or a loop of links into `error`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as reason:
        why = getattr(reason, "strerror", None) or in_a_line(reason)
        raise error(f"{str(name)!r} is no path that can be looked up ({why}): give another") from reason


@contextmanager
def storage_errors(path: Path, otherwise: str = "") -> Iterator[None]:
    """Turns the system's refusal to write `path` into a `StorageError` that says what to do, also `otherwise`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {path}: {_why_not(path, error, otherwise)}") from error


def _why_not(path: Path, error: OSError, otherwise: str) -> str:
    """What stands in the way of writing `path`, and what to do about it."""
    blocking = next((one for one in (path, *path.parents) if _is_no_folder(one)), None)
    if error.errno in {errno.ENOTDIR, errno.EEXIST} and blocking is not None:
        return f"{blocking} is a file; give a folder in its place"
    broken = next((one for one in (path, *path.parents) if one.is_symlink() and not one.exists()), None)
    if error.errno == errno.EEXIST and broken is not None:
        return (
            f"{broken} is a symbolic link to {broken.readlink()}, where nothing is; make that folder, or give another"
        )
    if error.errno == errno.EISDIR and path.is_dir():
        return f"{path} is a folder; give a file, or take the folder away"
    return f"{error.strerror or error}; make room or permit writing there{otherwise}, then run it again"


def _is_no_folder(path: Path) -> bool:
    return path.exists() and not path.is_dir()


_GUARDS: dict[Path, Callable[[], None]] = {}


@contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Calls `check`, which may refuse, before anything is written below `folder` while the block runs."""
    _GUARDS[folder] = check
    try:
        yield
    finally:
        _GUARDS.pop(folder, None)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Hands out a temporary path beside `path`, and renames it to `path` once the block has ended without an error."""
    for folder, check in list(_GUARDS.items()):
        if path.absolute().is_relative_to(folder):
            check()
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{get_ident()}.tmp{path.suffix}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


LEFTOVERS = ".*.tmp*"
"""What temporary files of `atomic_write` are called, which only a killed process leaves behind."""


LOCK = ".lock"
"""How the files begin that carry the locks of `evo_fair.lock`."""


def is_trace(path: Path) -> bool:
    """Whether a file is nothing but what a killed process leaves behind: a temporary file or a lock's."""
    return path.match(LEFTOVERS) or path.name.startswith(LOCK)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Removes the temporary files that a killed process left in `folder`; none may be writing there now.

    In a folder that may hold things of others only those of the files called `names`.
    """
    stems = [Path(name).stem for name in names]
    for pattern in [f"{dots}{stem}.*.tmp*" for stem in stems for dots in (".", "..")] or [LEFTOVERS]:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Writes `content` to `path` atomically as indented JSON; refuses NaN and infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


LARGEST_TEXT = 2**25
LARGEST_TOML = 2**20
"""Bytes at most of a text that is read whole, and of a TOML file, whose parser is slow; far more than any needs."""

_LEAST, _MOST = -(2**63), 2**63 - 1
_DEEPEST_KEY = 32
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*+{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_DEEPEST_KEY}}}", re.MULTILINE)
"""A dotted key of more parts, for which Python's parser takes the square of their number: a minute for 200 kB."""


def size_of(path: Path, error: type[EvoFairError] = EvoFairError) -> int:
    """How many bytes a file has; raises `error` for a pipe or a device, which may have no end, or never begin."""
    about = path.stat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise error(f"{path} is a pipe or a device, and no file: put the file in its place")
    return about.st_size


def read_text(
    path: Path, error: type[EvoFairError] = EvoFairError, kind: str = "text", largest: int = LARGEST_TEXT
) -> str:
    """The content of a file in UTF-8, of a `kind` such as JSON; raises `error` if it can't be read or is too large."""
    try:
        size = size_of(path, error)
        if size > largest:
            raise error(f"{path} has {size:,} bytes, and at most {largest:,} are read: is it the right file?")
        return path.read_text(encoding="utf-8")
    except OSError as reason:
        raise error(f"cannot read {path}: {reason.strerror or reason}") from reason
    except UnicodeDecodeError as reason:
        raise error(
            f"{path} is not valid {kind} ({in_a_line(reason)}): save it as text in UTF-8, or replace it"
        ) from reason


def read_json(path: Path, error: type[EvoFairError] = EvoFairError) -> Any:
    """The content of a JSON file; raises `error` naming the file and line when it can't be read or parsed."""
    text = read_text(path, error, "JSON")
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid JSON ({in_a_line(reason)}): fix or replace the file") from reason


def read_cached_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that can be made anew; empty where it is missing, damaged, or holds anything else."""
    try:
        content = read_json(path)
    except EvoFairError:
        return {}
    return content if isinstance(content, dict) else {}


def parse_json(text: str) -> Any:
    """The content of a JSON text; raises `ValueError`, also for numbers that are not finite or beyond 64 bits.

    Halves of UTF-16 pairs are refused, too: no file can hold them.
    """
    content = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    if "\\u" in text:
        json.dumps(content, ensure_ascii=False).encode()
    return content


def read_toml(path: Path, error: type[EvoFairError] = EvoFairError) -> dict[str, Any]:
    """The content of a TOML file; raises `error` naming the file and line when it can't be read or parsed."""
    text = read_text(path, error, "TOML", LARGEST_TOML).removeprefix("\ufeff")  # some editors begin files with it
    if long := _LONG_KEY.search(text):
        line = text.count("\n", 0, long.start()) + 1
        raise error(f"{path}, line {line}: a key of more than {_DEEPEST_KEY} parts: fix the file")
    try:
        content = tomllib.loads(text)
        _check_toml(content)
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid TOML ({in_a_line(reason)}){_line_of(reason, text)}: fix the file") from reason
    return content


_CURES = {
    "Invalid value": 'write numbers as 0.5, true and false small, and text in straight quotes, as "my text"',
    "Unescaped '\\'": "write / between folders, or the text in single quotes",
    "Invalid hex value": "write / between folders, or the text in single quotes",
    "Expected newline": "write one value a line, numbers with a decimal point, and text in straight quotes",
    "Expected '=' after a key": "write each line as key = value",
    "Cannot overwrite": "give each key once",
    "Cannot declare": "give each section once",
}
"""What mends the commonest faults of a TOML file, by how Python's parser begins to speak of them."""
_LONGEST_LINE = 80


def _line_of(reason: Exception, text: str) -> str:
    """What the line of TOML says that the parser names, and what mends it where that is known; or nothing."""
    fault = str(reason)
    if not (place := re.search(r"\(at (?:line (\d+),|end of document)", fault)):
        return ""
    lines = text.split("\n") if place[1] else text.rstrip().split("\n")
    line = lines[int(place[1] or 0) - 1].strip()
    shown = "".join(one if one.isprintable() else "?" for one in line)[:_LONGEST_LINE]  # as it is: quoting doubles \\
    cures = [f"; {cure}" for beginning, cure in _CURES.items() if fault.startswith(beginning)]
    return f", where it says '{shown}'" + "".join(cures)


def _check_toml(value: Any, key: str = "") -> None:
    """Raises `ValueError` for whole numbers beyond 64 bits, which TOML does not have, though Python's parser does."""
    if isinstance(value, dict):
        for name, below in value.items():
            _check_toml(below, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for below in value:
            _check_toml(below, key)
    elif isinstance(value, int) and not _LEAST <= value <= _MOST:
        raise ValueError(f"{quote(key)} is a number beyond 64 bits")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hex, as sha256sum prints it; raises `EvoFairError` for a pipe or a device."""
    size_of(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_recorded(path: Path, manifest: Path, *place: str) -> bool:
    """Whether `path` has the SHA-256 that `manifest`, a JSON file, records under the keys `place` and `sha256`.

    False, too, where one of the two is missing or can't be read: what was made once can be made again.
    """
    found: Any = read_cached_json(manifest)
    for key in (*place, "sha256"):
        found = found.get(key) if isinstance(found, dict) else None
    try:
        return bool(found is not None and found == sha256_of(path))
    except (OSError, EvoFairError):
        return False


def digest(*parts: "bytes | str | Path | Selected") -> str:
    """SHA-256, in hex, over texts, bytes, arrays and the contents of files, each set off by its length."""
    total = hashlib.sha256()
    for part in parts:
        if not isinstance(part, bytes | str | Path):
            total.update(part.nbytes.to_bytes(8, "little"))
            for batch in part.batches():
                total.update(batch.tobytes())
            continue
        content = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "little"))
        total.update(content)
    return total.hexdigest()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond the range of numbers")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not _LEAST <= (number := int(text)) <= _MOST:
        raise ValueError(f"{text[:40]} is beyond the range of whole numbers")
    return number
