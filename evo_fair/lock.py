"""One job, one folder: a lock that is held from a job's begin to its end, and says who holds it.

The operating system gives the lock back however a process ends, so that a kill leaves none behind; the file that
carries it is removed at the end, and one that a kill left is taken over. Where a file system knows no locks nothing is
lost but this check.
"""

import inspect
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from evo_fair.errors import RunError, StorageError
from evo_fair.files import LOCK, guarded, storage_errors

__all__ = ["Held", "held", "one_job"]

P = ParamSpec("P")
R = TypeVar("R")

_PATIENCE = 0.2
"""Seconds between two looks at a lock that is waited for."""


class Held:
    """A lock that this process holds."""

    def __init__(self, path: Path, file: BinaryIO, what: str) -> None:
        self._path, self._file, self._what = path, file, what

    def check(self) -> None:
        """Raises `StorageError` where the folder was removed or replaced, so that work would go nowhere."""
        if not _same(self._path, self._file):
            raise StorageError(
                f"{self._path.parent} was removed or replaced while {self._what} was at work in it: put it back and "
                "go on with --resume, or choose another --out"
            )


_HELD: dict[tuple[Path, int], Held] = {}
"""The locks of this process by their file and the thread that took them: what a job calls may ask for its lock, too."""


@contextmanager
def held(folder: Path, what: str, name: str = "", *, wait: Callable[[str], None] | None = None) -> Iterator[Held]:
    """Holds the lock of `folder`, made if missing, while the block runs; `what` says for whom, as in `a search`.

    Several jobs with a `name` each can share a folder. Raises `RunError` where another process, or thread, holds it,
    naming that; with `wait` it is told once who does and the lock is waited for. While it is held, nothing is written
    below a folder that was removed meanwhile. Folders that this made and nothing came into are removed again.
    """
    path = folder.absolute() / f"{LOCK}{name and '.'}{name}"
    key = (path, threading.get_ident())
    if key in _HELD:
        yield _HELD[key]
        return
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    told = False
    while (file := _taken(path)) is None:
        holder = _holder(path)
        if wait is None:
            raise RunError(f"{holder} is at work in {folder}: wait until it has ended, or choose another --out")
        if not told:
            wait(f"{holder} is at work in {folder}: waiting until it has ended")
            told = True
        time.sleep(_PATIENCE)
    mine = _HELD[key] = Held(path, file, what)
    try:
        _sign(file, what)
        with guarded(path.parent, mine.check):
            yield mine
    finally:
        del _HELD[key]
        if _same(path, file):
            with suppress(OSError):
                path.unlink()
                for place in new:
                    place.rmdir()
        file.close()


def one_job(what: str, place: Callable[[Mapping[str, Any]], Path | None]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Holds the lock of the folder that `place` finds in a function's arguments while the function runs.

    There is none to hold for None and for a file, which the function refuses.
    """

    def around(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def locked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                arguments = signature.bind(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)  # which says what is wrong
            arguments.apply_defaults()
            folder = place(arguments.arguments)
            if folder is None or (folder.exists() and not folder.is_dir()):
                return function(*args, **kwargs)
            with held(folder, what):
                return function(*args, **kwargs)

        return locked

    return around


def _taken(path: Path) -> BinaryIO | None:
    """The lock's file, locked; None where another process has it."""
    while True:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)  # the one before may just have removed it
            file = path.open("a+b", buffering=0)  # closing it has nothing left to write, which a full disk would refuse
        try:
            _lock(file)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # no locks here
            return file
        if _same(path, file):  # else the one before has removed it meanwhile, and the next makes another
            return file
        file.close()


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _same(path: Path, file: BinaryIO) -> bool:
    """Whether the file at `path` is still the open one."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _sign(file: BinaryIO, what: str) -> None:
    signature = {
        "what": what,
        "process": os.getpid(),
        "machine": platform.node(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with suppress(OSError):  # a full disk: the lock holds without it
        file.truncate(0)
        file.write(json.dumps(signature).encode())


def _holder(path: Path) -> str:
    """Who holds a lock, in words."""
    try:
        content = json.loads(path.read_bytes()[:2000])
        who = [str(content[key])[:100] for key in ("what", "process", "machine", "since")]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return f"{who[0]} (process {who[1]} on {who[2]}, since {who[3]})"
