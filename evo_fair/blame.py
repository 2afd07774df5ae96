"""Where in a user's own code something went wrong, and errors that say so on one line."""

import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from evo_fair.errors import EvoFairError, in_a_line, quote

__all__ = ["blamed", "check_takes", "is_theirs", "lines_of", "place_of", "set_default_device"]

_INSTALLED = {"site-packages", "dist-packages"}
_TORCH = find_spec("torch")  # which may be built from its source, in a folder of any name
_NOT_THEIRS = tuple(
    Path(place).resolve()
    for place in (
        Path(__file__).parent,
        sysconfig.get_path("stdlib"),
        *((_TORCH and _TORCH.submodule_search_locations) or ()),
    )
)


def place_of(error: BaseException) -> str:
    """The innermost line of the user's own code that an error came through, as `mine.py:12`; empty where none is.

    Args:
        error: The error.
    """
    theirs = [f"{path.name}:{line}" for path, line in lines_of(error) if is_theirs(path.resolve())]
    return theirs[-1] if theirs else ""


def lines_of(error: BaseException) -> Iterator[tuple[Path, int]]:
    """The lines of files that an error came through, the outermost first.

    Args:
        error: The error.
    """
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_file():
            yield path, trace.tb_lineno
        trace = trace.tb_next


def is_theirs(path: Path, below: Path | None = None) -> bool:
    """Whether a file is the user's own: of no installed package, of neither Python, torch nor evo_fair.

    Args:
        path: The file's path, resolved.
        below: A folder of the user's that it lies in, which may itself be among
            installed packages. Default: none.
    """
    parts = path.parts if below is None else path.relative_to(below).parts
    return not _INSTALLED & set(parts) and not any(path.is_relative_to(library) for library in _NOT_THEIRS)


@contextmanager
def blamed(kind: str, name: str, error: type[EvoFairError], mend: str = "fix it") -> Iterator[None]:
    """A block that runs a part of the user's own: whatever it raises becomes `error`, which names the part and line.

    An error of evo_fair's passes as it is, and so does Ctrl-C. What the part switches of torch's, such as gradients, is
    put back.

    Args:
        kind: What kind of part it is, in words.
        name: The part's name.
        error: The kind of error to raise.
        mend: What to do about it. Default: fix it.
    """
    try:
        with _torch_as_before():
            yield
    except EvoFairError:
        raise
    except (Exception, SystemExit) as reason:  # the user's own code can fail in any way
        place = place_of(reason)
        where = f" ({place})" if place else ""
        what = "ends the process" if isinstance(reason, SystemExit) else f"fails with {type(reason).__name__}"
        raise error(f"{kind} {name!r} {what}: {in_a_line(reason)}{where}; {mend}") from reason


@contextmanager
def _torch_as_before() -> Iterator[None]:
    """A block after which torch computes as it did before, if it was loaded by then."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    gradients, dtype, device = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()
    try:
        yield
    finally:
        if torch.is_grad_enabled() != gradients:
            torch.set_grad_enabled(gradients)
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        set_default_device(torch, device)


def set_default_device(torch: Any, device: Any) -> None:
    """Makes `device` torch's default, if it is another; what was set first goes, so that a block's comes to light.

    torch asks a default that is set at every call. One that is set within `with torch.device()` stands in that block's
    place: where it stays, or is set once more, the block ends with an `AssertionError`.

    Args:
        torch: The library, which is not imported for this.
        device: The device.
    """
    for default in (None, device):
        if torch.get_default_device() != device:
            torch.set_default_device(default)


def check_takes(
    kind: str, name: str, function: Callable[..., Any], arguments: tuple[str, ...], error: type[EvoFairError]
) -> None:
    """Raises `error` for what can't be called with these arguments, by position.

    Args:
        kind: What kind of part it is, in words.
        name: The part's name.
        function: The function or class.
        arguments: The arguments' names.
        error: The kind of error to raise.
    """
    if not callable(function):
        raise error(f"{kind} {name!r} is {quote(function)}: give a function of ({', '.join(arguments)})")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of those written in C tell none
        return
    try:
        signature.bind(*arguments)
    except TypeError as reason:
        raise error(
            f"{kind} {name!r} can't be called with ({', '.join(arguments)}), as it will be: {reason}; fix its arguments"
        ) from None
