"""A limit on the time of a block of Python that others wrote and that may never end."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["OutOfTime", "time_limit"]

_AGAIN = 0.5
"""Seconds until it is said once more; a bare `except` in the block can have caught it."""


class OutOfTime(BaseException):  # noqa: N818 - reads like KeyboardInterrupt, and like that `except Exception` lets it pass
    """A block took longer than its limit."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` within a block that runs for longer than `seconds`, in whatever thread that is.

    It is raised between two steps of Python, so that a single call of a library's compiled code is waited for.
    """
    thread, lock, ended = threading.get_ident(), threading.Lock(), threading.Event()

    def watch() -> None:
        if ended.wait(seconds):
            return
        while True:
            with lock:
                if ended.is_set():
                    return
                _raise_in(thread, OutOfTime)
            ended.wait(_AGAIN)

    threading.Thread(target=watch, name="time limit", daemon=True).start()
    try:
        yield
    finally:
        while not ended.is_set():
            try:
                with lock:
                    ended.set()
                    _raise_in(thread, None)  # takes back what was not raised yet
            except OutOfTime:
                continue


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    reference = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), reference)
