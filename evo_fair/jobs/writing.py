"""Writing the networks of a front, several at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from evo_fair.nets.threads import torch_threads

__all__ = ["FrontNetwork", "Written", "in_threads"]

T = TypeVar("T")

Written = Callable[[int], None]
"""Hears how many networks have been written and checked."""


class FrontNetwork(NamedTuple):
    """A network to write: its id, its genome, and the facts that its card states."""

    name: str
    genome: Sequence[int]
    facts: dict[str, Any]


def in_threads(write: Callable[[T], None], pieces: Sequence[T], threads: int, written: Written) -> None:
    """Calls `write` for every piece, `threads` at a time; raises what the first piece that fails in their order raises.

    `written` is called in this thread, in the order of the pieces; what it raises ends the work.
    """
    with torch_threads(1), ThreadPoolExecutor(threads, "writing") as pool:
        writing = [pool.submit(write, piece) for piece in pieces]
        try:
            for done, one in enumerate(writing, 1):
                one.result()
                written(done)
        finally:
            pool.shutdown(cancel_futures=True)
