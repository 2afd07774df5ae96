"""The journal: an append-only file with a line for every network that a search looked at, whole after any kill."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from evo_fair.errors import RunError, StorageError, in_a_line, quote
from evo_fair.evolution.evaluator import Space
from evo_fair.evolution.genomes import wrong_network
from evo_fair.evolution.objectives import Axis
from evo_fair.evolution.record import Record, parse_line
from evo_fair.files import size_of, storage_errors

__all__ = ["FORMAT", "Journal", "check_objectives", "check_records", "damaged", "read_journal"]

FORMAT = 1
"""The form of journals and checkpoints, kept in `run.toml`; a higher one was written by a later evo_fair."""


def read_journal(path: Path) -> list[Record]:
    """The records of a journal, without a last line that was cut.

    The file is left as it is.

    Args:
        path: The file; one that isn't there reads as empty.

    Returns:
        The records, in order.

    Raises:
        RunError: A line is damaged.
    """
    return _parse(path, _read(path))


def check_records(path: Path, records: Sequence[Record], space: Space, axes: Sequence[Axis]) -> None:
    """Holds a journal's records to the space that it is of and to its objectives.

    Args:
        path: The file, for the message.
        records: The records.
        space: The space.
        axes: The objectives.

    Raises:
        RunError: A line has genes that the space doesn't have, an id that is not the
            genome's own, or lacks an objective; the message names the first.
    """
    if fault := wrong_network(space, [record.id for record in records], [record.genome for record in records]):
        raise damaged(path, fault[0] + 1, fault[1])
    check_objectives(path, records, axes)


def check_objectives(path: Path, records: Sequence[Record], axes: Sequence[Axis]) -> None:
    """Refuses a journal that lacks an objective of an evaluated network, or has two values of one.

    Args:
        path: The file, for the message.
        records: The records.
        axes: The objectives.

    Raises:
        RunError: The message names the first such line.
    """
    for number, record in enumerate(records, 1):
        for axis in axes:
            if record.evaluated and axis.name not in record.objectives:
                raise damaged(path, number, f"it has no objective {quote(axis.name)}")
        for name, value in record.objectives.items():
            if record.metrics.get(name, value) != value:
                fault = f"{quote(name)} is {value} among its objectives, and {record.metrics[name]} among its metrics"
                raise damaged(path, number, fault)


class Journal:
    """A journal open for appending, by one process at a time.

    Opening it takes away a last line that was cut. What lies in it already is expected to be appended again, in order,
    by the search that goes over the same ground: such lines are compared and not written twice. `skip` sets the
    number of lines that are taken as done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors(path):
            self._file: BinaryIO = path.open("ab")
        try:
            self._lock()
            content = _read(path)
            self.records = _parse(path, content)
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                self._cut(whole)
        except BaseException:
            self._file.close()
            raise
        self._lines = content[:whole].splitlines(keepends=True)
        self._size = whole
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def skip(self, lines: int) -> None:
        """Takes the first `lines` lines as done."""
        self._position = lines

    def append(self, records: Sequence[Record]) -> None:
        """Writes the records that aren't in the journal yet, and returns once they are on the disk.

        Args:
            records: The records, in order.

        Raises:
            RunError: The journal holds another network in their place.
            StorageError: They can't be written; the journal is left as it was.
        """
        self._check_there()
        lines = [record.line() for record in records]
        known = self._lines[self._position : self._position + len(lines)]
        for number, (line, there) in enumerate(zip(lines, known, strict=False), self._position + 1):
            if line != there:
                raise RunError(
                    f"line {number} of {self.path} is not what this search gives there: the journal, or the code, "
                    "has changed since; search again with another --out"
                )
        self._write(b"".join(lines[len(known) :]))
        self._lines += lines[len(known) :]
        self.records += records[len(known) :]
        self._position += len(lines)

    def _write(self, content: bytes) -> None:
        if not content:
            return
        with storage_errors(self.path):
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(self._file.fileno(), view) :]
                os.fsync(self._file.fileno())
            except BaseException:
                # Half a generation does no harm, but less than a line would be cut at the next start anyway.
                with suppress(OSError):
                    self._cut(self._size)
                raise
        self._size += len(content)

    def _check_there(self) -> None:
        """What is written to a file that was deleted is lost, and nobody hears of it."""
        try:
            there = os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            there = False
        if not there:
            raise StorageError(
                f"{self.path} was removed or replaced while the search was writing it: put it back and go on with "
                "--resume, or search again with another --out"
            )

    def _cut(self, size: int) -> None:
        with storage_errors(self.path):
            os.ftruncate(self._file.fileno(), size)
            os.fsync(self._file.fileno())

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another search is writing {self.path}: wait for it, or choose another --out") from None
        except OSError:
            # A file system without locks: nothing is lost but this check.
            return


def _read(path: Path) -> bytes:
    try:
        size_of(path, RunError)
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as reason:
        raise RunError(f"cannot read {path}: {reason.strerror or reason}") from reason


def _parse(path: Path, content: bytes) -> list[Record]:
    records: list[Record] = []
    seen: set[str] = set()
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n")[:-1], 1):
        try:
            record = parse_line(line)
            if record.id in seen:
                raise ValueError(f"network {record.id} stands there already")
            if records and record.generation < records[-1].generation:
                raise ValueError(f"generation {record.generation} comes after {records[-1].generation}")
        except (ValueError, RecursionError) as reason:
            raise damaged(path, number, in_a_line(reason)) from reason
        seen.add(record.id)
        records.append(record)
    return records


def damaged(path: Path, number: int, reason: str) -> RunError:
    """The error about a line of a journal, counted from 1.

    Args:
        path: The file.
        number: The line's number.
        reason: What is wrong with it.
    """
    return RunError(
        f"line {number} of {path} is damaged ({reason}): restore the file, or search again with another --out"
    )
