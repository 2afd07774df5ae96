"""Decoded images in the user's cache: an array on disk that is checked, image by image, before it is used.

A file is an `.npy` file, which NumPy can map into memory, with the hash of each image behind the array: so one rename
puts both in place. A disk's flipped bits or a hole of zeros would else be wrong data that nobody notices.
"""

import hashlib
import math
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from evo_fair.files import atomic_write

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


def write_images(path: Path, shape: tuple[int, ...], images: Iterable[bytes]) -> None:
    """Writes the pixels of images, each in turn, and their hashes, atomically; `shape` is that of all together."""
    # Row by row rather than through a memory map, where a full disk would kill the process.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        _write_header(file, shape)
        hashes = []
        for pixels in images:
            file.write(pixels)
            hashes.append(_hash(pixels))
        file.write(b"".join(hashes))


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
