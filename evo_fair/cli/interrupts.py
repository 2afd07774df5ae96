"""Ctrl-C: one line that says how to go on, and no interrupt that gets lost within a library."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

__all__ = ["Check", "resumable", "saved"]

Check = Callable[[], None]
"""Raises `KeyboardInterrupt` if there was one that nobody saw; to be called between steps."""


def saved(folder: Path, otherwise: str) -> str:
    """What an interrupt leaves in a run's folder; `otherwise` where the run had not begun."""
    from evo_fair.search import has_begun

    return "the state is saved" if has_begun(folder) else otherwise


@contextmanager
def resumable(command: str, state: Callable[[], str]) -> Iterator[Check]:
    """Ends the process with code 130 when it is interrupted, saying `state()` and the command that goes on.

    Python raises `KeyboardInterrupt` wherever it stands; where that is a `__del__` or a library's bare `except`, the
    interrupt is gone and the work goes on. What this yields raises it again.
    """
    unseen = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal unseen
        unseen = True
        raise KeyboardInterrupt

    def check() -> None:
        if unseen:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    # Else the process was started deaf to it, someone else listens, or nobody may.
    ours = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {state()}, go on with: {command}", err=True)
        sys.exit(130)  # not typer's exit, for which `main` would say once more that there was an interrupt
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
