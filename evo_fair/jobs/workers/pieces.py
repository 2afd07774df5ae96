"""Pieces that are files: workers make them in a folder of their own, and the job's owner writes them into its."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from evo_fair.files import write_bytes
from evo_fair.job_folder import make_missing
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers.team import Team

__all__ = ["FileWork", "Maker", "make_files"]

P = TypeVar("P")


Maker = Callable[[P, Path, Listener], None]
"""Writes the files of a piece into a folder; the listener hears what there is to say of it."""


@dataclass(frozen=True)
class Made:
    """A piece as a worker has made it: its files by name, and what was noted and warned of meanwhile."""

    files: dict[str, bytes]
    said: tuple[tuple[str, str], ...]


class _Hearer(Listener):
    """Keeps what is said, for the job's own listener to hear."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def noted(self, line: str) -> None:
        """Keeps it."""
        self.said.append(("noted", line))

    def warned(self, line: str) -> None:
        """Keeps it."""
        self.said.append(("warned", line))


@dataclass(frozen=True)
class FileWork(Generic[P]):
    """What a worker calls with a piece: makes its files in a folder that is gone afterwards, and returns them."""

    make: Maker[P]

    def __call__(self, piece: P) -> Made:
        """The files of a piece."""
        hearer = _Hearer()
        with TemporaryDirectory(prefix="evo-fair-") as folder:
            self.make(piece, Path(folder), hearer)
            files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        return Made(files, tuple(hearer.said))


def make_files(
    team: Team | None,
    pieces: Sequence[P],
    made: Callable[[P], bool],
    make: Maker[P],
    name: Callable[[P], str],
    folder: Path,
    heard: Callable[[P, int], None],
    listener: Listener,
) -> list[P]:
    """Makes the pieces that are not there yet, here or by a team; returns those that are there in the end, in order.

    A piece's files begin with its `name`, and its card, `NAME.json`, is written last. `heard` gets each piece once it
    is there, and how many are; what is left of a training of it that was broken off is removed first.
    """

    def is_there(piece: P, done: int) -> None:
        (folder / f"{name(piece)}.checkpoint.safetensors").unlink(missing_ok=True)
        heard(piece, done)

    if team is None:
        make_missing(pieces, made, lambda piece: make(piece, folder, listener), is_there)
        return list(pieces)
    there = [made(piece) for piece in pieces]
    missing = [number for number, found in enumerate(there) if not found]
    for done, piece in enumerate((piece for piece, found in zip(pieces, there, strict=True) if found), 1):
        is_there(piece, done)
    if not missing:
        return list(pieces)
    said = set()
    with team.loaded(FileWork(make)) as load:
        for one, result in team.each(load, [pieces[number] for number in missing], name):
            piece = pieces[missing[one]]
            _write(result.files, folder, name(piece))
            for way, line in result.said:
                if line not in said:  # each worker says it for itself
                    getattr(listener, way)(line)
                said.add(line)
            there[missing[one]] = True
            is_there(piece, sum(there))
    return [piece for piece, found in zip(pieces, there, strict=True) if found]


def _write(files: dict[str, bytes], folder: Path, piece: str) -> None:
    for name in sorted(files, key=lambda name: (name == f"{piece}.json", name)):
        write_bytes(folder / name, files[name])
