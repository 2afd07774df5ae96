"""Decoded images in the user's cache: an array on disk that is checked, image by image, before it is used.

A file is an `.npy` file, which NumPy can map into memory, with the hash of each image behind the array: so one rename
puts both in place. A disk's flipped bits or a hole of zeros would else be wrong data that nobody notices.
"""

import hashlib
import io
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from evo_fair.data.progress import tell
from evo_fair.files import storage_errors

__all__ = ["DecodedImages", "read_images", "write_images"]

HASH_BYTES = 16
_CHUNK = 2**24
"""Bytes that a thread hashes at a time."""


class DecodedImages(NamedTuple):
    """Images as read-only uint8 `[images, ...]`, and the hash of each one's pixels as uint8 `[images, 16]`."""

    pixels: npt.NDArray[np.uint8]
    hashes: npt.NDArray[np.uint8]


_checked: dict[Path, tuple[tuple[int, int, int], npt.NDArray[np.uint8]]] = {}
"""Which files this process has checked: what the file system said of each then, and its hashes."""
_lock = threading.Lock()


def read_images(path: Path, shape: tuple[int, ...]) -> DecodedImages | None:
    """What `write_images` wrote, as a memory map that several processes share; None where it is absent or damaged.

    All of it is hashed, in threads, when a process first reads it.
    """
    try:
        about = path.stat()
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        if pixels.shape != shape or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
            return None
        recorded = np.fromfile(path, np.uint8, offset=pixels.offset + pixels.nbytes)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    if recorded.size != len(pixels) * HASH_BYTES:
        return None
    hashes = recorded.reshape(len(pixels), HASH_BYTES)
    stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
    with _lock:
        if path in _checked and _checked[path][0] == stamp:
            return DecodedImages(pixels, _checked[path][1])
        if not np.array_equal(_hashes(pixels), hashes):
            return None
        _checked[path] = (stamp, hashes)
    return DecodedImages(pixels, hashes)


def write_images(path: Path, shape: tuple[int, ...], images_from: Callable[[int], Iterable[bytes]]) -> None:
    """Writes the pixels of images and their hashes; `shape` is that of all together.

    `images_from` gives the pixels of each image in turn, from the one with the given number on. What is written is kept
    beside `path` until all is there, and gone on with where a call was broken off; one process at a time may do so.
    """
    pixels, hashes = (path.with_name(f"{path.stem}.{what}.part") for what in ("pixels", "hashes"))
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _append(pixels, hashes, shape, images_from)
            pixels.replace(path)
        except OSError:  # a full disk, which half a cache would keep full
            pixels.unlink(missing_ok=True)
            hashes.unlink(missing_ok=True)
            raise
        hashes.unlink()


def _append(pixels: Path, hashes: Path, shape: tuple[int, ...], images_from: Callable[[int], Iterable[bytes]]) -> None:
    """Writes what is not in the files yet: each image and its hash in turn, and at the end all hashes behind them."""
    done = _left(pixels, hashes, shape)
    mode: Literal["r+b", "wb"] = "r+b" if done else "wb"
    # Row by row rather than through a memory map, where a full disk would kill the process.
    with pixels.open(mode) as file, hashes.open(mode, buffering=0) as beside:
        _write_header(file, shape)
        file.seek(file.tell() + done * math.prod(shape[1:]))
        beside.seek(done * HASH_BYTES)
        for part in (file, beside):
            part.truncate()
        for image in images_from(done):
            file.write(image)
            beside.write(_hash(image))
            done += 1
            tell(done, shape[0])
        file.write(hashes.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def _left(pixels: Path, hashes: Path, shape: tuple[int, ...]) -> int:
    """How many images a call that was broken off has left, whole; 0 where it has left nothing."""
    size = math.prod(shape[1:])
    expected = io.BytesIO()
    _write_header(expected, shape)
    header = expected.getvalue()
    try:
        recorded = np.fromfile(hashes, np.uint8)
        count = min(recorded.size // HASH_BYTES, (pixels.stat().st_size - len(header)) // size, shape[0])
        with pixels.open("rb") as file:
            if count < 1 or file.read(len(header)) != header:
                return 0
        rows = np.memmap(pixels, np.uint8, "r", len(header), (count, size))
    except (OSError, ValueError):
        return 0
    whole = (_hashes(rows) == recorded[: count * HASH_BYTES].reshape(count, HASH_BYTES)).all(axis=1)
    return count if whole.all() else int(whole.argmin())


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _hash(pixels: bytes | memoryview) -> bytes:
    return hashlib.sha256(pixels).digest()[:HASH_BYTES]


def _hashes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The hash of each image, `[images, 16]`; threads, since hashing runs outside Python's lock."""
    rows = pixels.reshape(len(pixels), math.prod(pixels.shape[1:]))
    size = max(1, _CHUNK // max(1, rows.shape[1]))

    def chunk(start: int) -> bytes:
        return b"".join(_hash(row.data) for row in rows[start : start + size])

    with ThreadPoolExecutor(cpu_count()) as pool:
        parts: Iterator[bytes] = pool.map(chunk, range(0, len(rows), size))
        found = b"".join(parts)
    return np.frombuffer(found, np.uint8).reshape(len(rows), HASH_BYTES)
