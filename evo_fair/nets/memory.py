"""Keeps freed memory in the process: a training step asks for the same large blocks again and again."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["keep_memory", "returned_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
_MOST = 2**31 - 1
_MAPPINGS = 65_536
"""Blocks that may be mappings of their own: glibc's default."""

_LARGE_BLOCK = 2**25
"""Bytes from which on a block is given back, within `returned_memory`: the most that glibc takes."""

_LARGE_FEATURES = 2**27
"""Bytes of images beyond which their features are too large to leave holes of: 512 images of 148 pixels."""


@cache
def keep_memory() -> None:
    """Tells glibc's allocator to give nothing back to the system until the process ends; elsewhere does nothing.

    By default each activation of megabytes is a mapping of its own, whose pages fault anew in every step: a fifth of
    the time that a small network's training takes. It changes no result.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _MOST)


@contextmanager
def returned_memory(input_bytes: int) -> Iterator[None]:
    """Within, large blocks go back to the system once they are freed, where `input_bytes` of images are computed with.

    Features of large images are few and of many sizes, each up to a gigabyte: kept, they would leave holes that the
    next ones don't fit in, as much again as what is in use. What is free at the begin and at the end goes back, too.
    For few or small images it does nothing, as elsewhere than with glibc. It changes no result.
    """
    mallopt, trim = _of_glibc("mallopt"), _of_glibc("malloc_trim")
    if input_bytes < _LARGE_FEATURES or not mallopt or not trim:
        yield
        return
    keep_memory()
    trim(0)
    mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
    mallopt(_M_MMAP_MAX, _MAPPINGS)
    try:
        yield
    finally:
        mallopt(_M_MMAP_MAX, 0)
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library, None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
