"""Ctrl-C: one line that says how to go on, and no interrupt that gets lost within a library."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from evo_fair.show import say

__all__ = ["Check", "deaf_to_the_end", "resumable", "saved"]

_COMPILING = "numba:compiler_lock"

Check = Callable[[], None]
"""Raises `KeyboardInterrupt` if there was one that nobody saw; to be called between steps."""


def saved(folder: Path, otherwise: str) -> str:
    """What an interrupt leaves in a run's folder; `otherwise` where the run had not begun."""
    from evo_fair.evolution import has_begun

    return "the state is saved" if has_begun(folder) else otherwise


@contextmanager
def resumable(command: str, state: Callable[[], str]) -> Iterator[Check]:
    """Ends the process with code 130 when it is interrupted, saying `state()` and the command that goes on.

    Python raises `KeyboardInterrupt` wherever it stands; where that is a `__del__` or a library's bare `except`, the
    interrupt is gone and the work goes on. What this yields raises it again. While Numba compiles, where an interrupt
    would be lost or end the process with a fault of LLVM's, it waits until that is done.
    """
    unseen = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal unseen
        first, unseen = not unseen, True
        if not _within_compiler():
            raise KeyboardInterrupt
        if first:
            _interrupt_behind_compiler()

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
    except (KeyboardInterrupt, SystemError) as stop:
        if isinstance(stop, SystemError) and not unseen:  # compiled code that was interrupted raises it instead
            raise
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would end what is said here
        say(f"interrupted; {state()}, go on with: {command}", err=True)
        sys.exit(130)  # not typer's exit, for which `main` would say once more that there was an interrupt
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def deaf_to_the_end() -> None:
    """Ignores further interrupts: the process is ending, which takes a second, and has said all there is to say."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _within_compiler() -> bool:
    """Whether this thread is within Numba's compiler."""
    if "numba.core.compiler_lock" not in sys.modules:
        return False
    from numba.core.compiler_lock import global_compiler_lock

    within: bool = global_compiler_lock.is_locked()  # type: ignore[no-untyped-call]
    return within


def _interrupt_behind_compiler() -> None:
    """Interrupts the process once more when this thread has left Numba's compiler."""
    from numba.core import event

    class Leaving(event.Listener):
        def on_start(self, _event: event.Event) -> None:
            """Nothing: the compiler may be entered again from within."""

        def on_end(self, _event: event.Event) -> None:
            if not _within_compiler():
                event.unregister(_COMPILING, self)  # type: ignore[no-untyped-call]
                signal.raise_signal(signal.SIGINT)

    event.register(_COMPILING, Leaving())  # type: ignore[no-untyped-call]
