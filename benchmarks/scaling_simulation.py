"""How a job goes with more workers than were measured: pieces, their overhead, and one owner who takes what is ready.

A piece keeps a worker busy for what it took in one, and for the overhead of handing it out. The owner then takes each
result by itself, one after the other, and only then hands that worker the next piece. Workers begin after a start.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Generation", "Pieces", "simulated_pieces", "simulated_search"]


@dataclass(frozen=True)
class Pieces:
    """Independent pieces: seconds of each in a worker and with the owner, by piece; `overhead` and `start` for all."""

    worker: Sequence[float]
    owner: Sequence[float]
    overhead: float
    start: float


def simulated_pieces(pieces: Pieces, workers: int) -> float:
    """Seconds from the start to the last piece's end, with so many workers."""
    free = [pieces.start] * workers
    owner, end = 0.0, 0.0
    ready: list[tuple[float, int]] = []
    waiting = list(range(len(pieces.worker)))[::-1]
    while waiting or ready:
        while waiting and free:
            begun = heapq.heappop(free)
            piece = waiting.pop()
            heapq.heappush(ready, (begun + pieces.overhead + pieces.worker[piece], piece))
        done, piece = heapq.heappop(ready)
        owner = max(owner, done) + pieces.owner[piece]
        end = max(end, owner)
        heapq.heappush(free, owner)
    return end


@dataclass(frozen=True)
class Generation:
    """One generation of a search: what a worker takes for all of it, and what the owner takes besides.

    `shares` gives, by the number of parts that it is split into, the largest part's share of the work of the whole.
    """

    worker: float
    owner: float
    shares: dict[int, float]


def simulated_search(generations: Sequence[Generation], workers: int, overhead: float, start: float) -> float:
    """Seconds of a search whose generations follow each other, each as long as its largest part."""
    return start + sum(
        generation.owner + overhead + generation.worker * generation.shares[workers] for generation in generations
    )
