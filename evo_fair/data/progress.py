"""Tells whoever wants to hear it how far the decoding of images is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Heard", "heard", "tell"]

Heard = Callable[[int, int], None]
"""Hears how many of how many images are decoded. What it raises ends the decoding, which can be gone on with."""

_by: ContextVar[Heard | None] = ContextVar("_by", default=None)


@contextmanager
def heard(by: Heard) -> Iterator[None]:
    """Lets `by` hear of the decoding of images in this thread while the block runs.

    Data sets are loaded deep within jobs, so that there is no way to hand a listener down to where images are decoded.
    """
    token = _by.set(by)
    try:
        yield
    finally:
        _by.reset(token)


def tell(done: int, images: int) -> None:
    """Says that `done` of `images` images are decoded."""
    if by := _by.get():
        by(done, images)
