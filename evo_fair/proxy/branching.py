"""Work that branches: each piece gives further ones, and several threads do them."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

__all__ = ["do_all"]

P = TypeVar("P")
"""A piece of work."""

H = TypeVar("H")
"""What a thread works with, and no other at the same time."""


def do_all(
    begin: Sequence[P],
    work: Callable[[P, H], Iterable[P]],
    hands: Sequence[H],
    on_thread: Callable[[Callable[[], None]], None] = lambda run: run(),
) -> None:
    """Does all pieces of work, and those that each gives; the newest first, so that few results are held at a time.

    Args:
        begin: The pieces to begin with.
        work: Does a piece with one of `hands`, and gives the pieces that follow from it.
        hands: One for each thread; the first is the caller's.
        on_thread: Calls what a thread does from beginning to end. Default: as it is.
    """
    waiting, changed = list(reversed(begin)), threading.Condition()
    busy, failed = 0, False

    def next_piece() -> list[P]:
        nonlocal busy
        with changed:
            changed.wait_for(lambda: waiting or not busy or failed)
            if failed or not waiting:
                return []
            busy += 1
            return [waiting.pop()]

    def worker(hand: H) -> None:
        nonlocal busy, failed
        try:
            while piece := next_piece():
                following = list(work(piece.pop(), hand))
                with changed:
                    busy -= 1
                    waiting.extend(reversed(following))
                    changed.notify_all()
        except BaseException:
            with changed:
                failed = True
                changed.notify_all()
            raise

    mine, *others = (partial(worker, hand) for hand in hands)
    if not others:
        on_thread(mine)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(on_thread, other) for other in others]
        on_thread(mine)
    for one in running:
        one.result()
