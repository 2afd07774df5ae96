"""A limit on the time of a block of Python that others wrote and that may never end."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["OutOfTime", "time_limit"]

_AGAIN = 0.5
"""Seconds until it is said once more; a bare `except` in the block can have caught it."""


class OutOfTime(BaseException):
    """A block took longer than its limit; `except Exception` in the block lets it pass, as it does an interrupt."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` within a block that runs for longer than `seconds`, in whatever thread that is.

    It is raised between two steps of Python, so that a single call of a library's compiled code is waited for.
    """
    thread, lock = threading.get_ident(), threading.Lock()
    late, ended = threading.Event(), threading.Event()

    def watch() -> None:
        if ended.wait(seconds):
            return
        while True:
            with lock:
                if ended.is_set():
                    return
                late.set()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))
            ended.wait(_AGAIN)

    try:
        threading.Thread(target=watch, name="time limit", daemon=True).start()
        yield
    finally:
        while not ended.is_set():
            try:
                with lock:
                    ended.set()
            except OutOfTime:
                continue
        if late.is_set():
            _catch_what_is_left()


def _catch_what_is_left() -> None:
    """Lets what was not raised yet be raised here: to take it back would leave Python 3.11 on the watch for ever."""
    with suppress(OutOfTime):
        for _ in range(1000):
            pass
