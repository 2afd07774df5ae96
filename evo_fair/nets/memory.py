"""Keeps freed memory in the process: a training step asks for the same large blocks again and again."""

import ctypes
import sys
from functools import cache

__all__ = ["keep_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_MOST = 2**31 - 1


@cache
def keep_memory() -> None:
    """Tells glibc's allocator to give nothing back to the system until the process ends; elsewhere does nothing.

    By default each activation of megabytes is a mapping of its own, whose pages fault anew in every step: a fifth of
    the time that a small network's training takes. It changes no result.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, _MOST)
