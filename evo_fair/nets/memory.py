"""Keeps freed memory in the process: a training step asks for the same large blocks again and again.

What the features of large images take is the exception: a few blocks of many sizes, up to a gigabyte each, that would
leave holes which the next ones don't fit in.
"""

import ctypes
import math
import mmap
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LARGE_INPUTS", "features_array", "give_back", "give_back_surplus", "keep_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_MOST = 2**31 - 1

_LARGE = 2**26
"""Bytes from which on an array of features is a mapping of its own."""

LARGE_INPUTS = 2**27
"""Bytes of images whose features take gigabytes: 512 images of 148 pixels."""

_SURPLUS = 5 * 2**29
"""Bytes from which on a process that computes with large images keeps nothing that is free."""


@cache
def keep_memory() -> None:
    """Tells glibc's allocator to give nothing back to the system until the process ends; elsewhere does nothing.

    By default each activation of megabytes is a mapping of its own, whose pages fault anew in every step: a fifth of
    the time that a small network's training takes. It changes no result.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _MOST)


def give_back(input_bytes: int) -> None:
    """Gives the system all that is free now, before so many bytes of images are computed with, if they are many.

    What a training or a search has kept is of other sizes, and would lie idle beside what comes.
    """
    if input_bytes >= LARGE_INPUTS:
        _trim()


def give_back_surplus() -> None:
    """Gives the system all that is free if the process holds more than 2.5 GiB: to be called between large networks.

    Features of large images are of many sizes, and leave holes that the next ones don't fit in.
    """
    if sys.platform == "linux" and _held() > _SURPLUS:
        _trim()


def _held() -> int:
    """The bytes of this process besides files that it has mapped; see proc_pid_statm(5)."""
    resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    return (resident - shared) * mmap.PAGESIZE


def _trim() -> None:
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def features_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array whose values are not set yet, as `numpy.empty` gives it; a large one goes back when it is freed."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _LARGE or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.empty(shape, dtype)
    mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # two megabytes a fault: by the page it takes as long as computing
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapping, dtype).reshape(shape)


def _of_glibc(name: str) -> Any:
    """A function of the C library, None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
