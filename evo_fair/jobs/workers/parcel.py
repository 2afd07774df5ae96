"""What all pieces of a job need, packed once: a file that workers map into memory, or bytes that are sent to them.

Arrays that nobody may change lie in the file as they are, so that workers on one machine share one copy of the data.
Arrays that are a file's already, such as decoded images, are not copied: a worker maps the same file if it sees it.
"""

import hashlib
import mmap
import os
import pickle
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import numpy.typing as npt

from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.files import storage_errors
from evo_fair.plugins import loaded_modules
from evo_fair.pruning.given import given_modules
from evo_fair.registries import BLOCK_KINDS, CRITERIA, METHODS, OPERATORS
from evo_fair.registry import own_parts, take_up

__all__ = ["NotHere", "Parcel", "Ticket", "opened"]

_LEAST = 2**16
"""Bytes from which an array is laid beside the rest."""

_NEEDED = tuple(registry.kind for registry in (BLOCK_KINDS, CRITERIA, METHODS, OPERATORS))
"""The kinds of parts of the user's own that are looked up by name while a piece is made."""

_ALIGNED = 64
_HEAD = struct.Struct("<Q")
_numbers = count()


class NotHere(Exception):  # noqa: N818 - no fault: the content is then sent
    """A file that a parcel names is not on this machine, or is another."""


class Ticket(NamedTuple):
    """What a worker needs to open a parcel: where it lies, and what it must be."""

    digest: str
    path: str
    threads: int
    versions: tuple[tuple[str, str], ...]


class Parcel:
    """A callable of one piece, packed into a file of `folder` until it is closed.

    Raises `EvoFairError` where something in it can't be sent to another process.
    """

    def __init__(self, work: Any, folder: Path, hashed: bool) -> None:
        self._work = work
        self._hashed = hashed
        self.path = folder / f".parcel.{os.getpid()}-{next(_numbers)}.tmp"
        parts = _packed(work, hashed, by_path=True)
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self.path.open("wb") as file:
                    self.digest = _written(parts, file)
            except BaseException:
                self.path.unlink(missing_ok=True)  # there may be no room for it, and then it takes what there is
                raise

    def content(self) -> bytes:
        """The same with all that it needs, for a worker that does not see this machine's files."""
        buffer = BytesIO()
        _written(_packed(self._work, self._hashed, by_path=False), buffer)
        return buffer.getvalue()

    def close(self) -> None:
        """Removes the file; workers that opened it keep what they have until their next piece."""
        self.path.unlink(missing_ok=True)


def opened(path: str, digest: str, content: bytes | None) -> Any:
    """What a parcel holds, from its file or from the `content` that was sent; raises `NotHere`."""
    if content is not None:
        return _unpacked(memoryview(content))
    try:
        with Path(path).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as reason:
        raise NotHere(path) from reason
    if _hash(mapped) != digest:  # nothing is unpickled but what the job has packed
        raise NotHere(path)
    return _unpacked(memoryview(mapped))


def _hash(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()


def _packed(work: Any, hashed: bool, *, by_path: bool) -> list[Any]:
    """The pickle, and behind it the buffers that it points to."""
    stream, buffers = BytesIO(), list[pickle.PickleBuffer]()

    def beside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.readonly and raw.nbytes >= _LEAST:
            buffers.append(buffer)
            return False
        return True

    try:
        with _by_value(), _deep():
            _Pickler(stream, beside, hashed, by_path).dump((_OwnParts(), work))
    except EvoFairError:
        raise
    except Exception as reason:  # what a user hands over can fail to be pickled in any way
        raise EvoFairError(
            f"a part of this job can't be sent to workers ({type(reason).__name__}: {in_a_line(reason)}): keep no open "
            "file, lock or generator in networks and parts of your own, or leave out --workers"
        ) from reason
    return [stream.getvalue(), *(buffer.raw() for buffer in buffers)]


@contextmanager
def _deep() -> Iterator[None]:
    """Long chains of layers nest deeply."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 10_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _written(parts: Sequence[Any], file: Any) -> str:
    """Writes parts, each with its length before it and aligned; returns the hash of all."""
    total, place = hashlib.sha256(), 0

    def put(content: Any) -> None:
        nonlocal place
        file.write(content)
        total.update(content)
        place += len(content)

    put(_HEAD.pack(len(parts)))
    for part in parts:
        put(_HEAD.pack(len(part)))
    for part in parts:
        put(bytes(-place % _ALIGNED))
        put(part)
    return total.hexdigest()


def _unpacked(content: memoryview) -> Any:
    content = content.toreadonly()
    (number,) = _HEAD.unpack_from(content)
    lengths = [_HEAD.unpack_from(content, _HEAD.size * (1 + place))[0] for place in range(number)]
    place, parts = _HEAD.size * (1 + number), []
    for length in lengths:
        place += -place % _ALIGNED
        parts.append(content[place : place + length])
        place += length
    with _deep():
        own, work = pickle.loads(parts[0], buffers=parts[1:])
    return own, work


class _OwnParts:
    """The parts that users have registered: they are registered where this is unpickled, which comes first."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _taken_up, (own_parts(_NEEDED),)


def _taken_up(parts: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Registers parts and returns them: another parcel may bring others before this one is used again."""
    take_up(parts)
    return parts


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # joblib tells no types
    """Pickles arrays of a mapped file as its path, unless all is to be sent."""

    def __init__(self, file: BytesIO, beside: Any, hashed: bool, by_path: bool) -> None:
        super().__init__(file, protocol=5, buffer_callback=beside)
        self._hashed, self._by_path = hashed, by_path

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled: see `pickle.Pickler.reducer_override`."""
        if self._by_path and isinstance(obj, np.ndarray) and obj.nbytes >= _LEAST:
            mapped = _file_of(obj)
            if mapped is not None:
                path, offset = mapped
                digest = _hash(obj.reshape(-1).view(np.uint8)) if self._hashed else ""
                return _mapped, (str(path), offset, obj.dtype.str, obj.shape, _stamp(path), digest)
        return super().reducer_override(obj)


def _file_of(array: npt.NDArray[Any]) -> tuple[Path, int] | None:
    """The file, and the place in it, of an array that is part of one mapped into memory; None for any other."""
    base: Any = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    if base is None or base.filename is None or base.mode != "r" or not array.flags.c_contiguous:
        return None
    first = base  # slices of a map keep its offset, which is that of the whole
    while isinstance(first.base, np.memmap):
        first = first.base
    return Path(str(first.filename)).absolute(), int(first.offset) + array.ctypes.data - first.ctypes.data


def _stamp(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def _mapped(
    path: str, offset: int, dtype: str, shape: tuple[int, ...], stamp: tuple[int, int, int], digest: str
) -> npt.NDArray[Any]:
    """The array at a place of a file, if that is the file that it was; raises `NotHere`."""
    try:
        array = np.memmap(path, np.dtype(dtype), "r", offset, shape)
        if _stamp(Path(path)) != stamp and (not digest or _hash(array.reshape(-1).view(np.uint8)) != digest):
            raise NotHere(path)
    except (OSError, ValueError) as reason:
        raise NotHere(path) from reason
    return array


@contextmanager
def _by_value() -> Iterator[None]:
    """A block in which the user's own modules that no worker could import are pickled with all that is in them."""
    added = []
    for name in (*loaded_modules(), *given_modules()):
        module = sys.modules.get(name)
        if module is not None and name not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(module)
            added.append(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
