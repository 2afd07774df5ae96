"""Lets one thread of the process at a time into a function whose libraries, or files, bear no more."""

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import ParamSpec, TypeVar

__all__ = ["one_at_a_time"]

P = ParamSpec("P")
R = TypeVar("R")


def one_at_a_time(function: Callable[P, R]) -> Callable[P, R]:
    """Makes further threads wait until the one that is in `function` has left it; it may call it again from within."""
    lock = RLock()

    @wraps(function)
    def alone(*arguments: P.args, **named: P.kwargs) -> R:
        with lock:
            return function(*arguments, **named)

    return alone
