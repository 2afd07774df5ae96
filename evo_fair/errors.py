"""The errors that evo_fair raises on purpose; each message names the value, what was expected, and the mend."""

import reprlib
from numbers import Number
from pathlib import PurePath
from typing import Any

__all__ = [
    "AuditError",
    "ConstraintError",
    "DataError",
    "DataWarning",
    "EvoFairError",
    "FigureError",
    "NonFiniteError",
    "ObjectiveError",
    "PluginError",
    "ProblemError",
    "ProfileError",
    "PruningError",
    "RunError",
    "StorageError",
    "UndefinedMetricError",
    "UnknownNameError",
    "WorkerError",
    "check_list",
    "in_a_line",
    "quote",
]

LONGEST_MESSAGE = 1200
"""Characters of a message at most: what a file says can be quoted in it, however long that is."""


class EvoFairError(Exception):
    """Base of all of them: the command line prints its message on one line and exits with 2.

    A message is one line. One too long to be read keeps its beginning and its end, where the mend stands. Halves of
    characters, which JSON can hold and no terminal can print, are written out.
    """

    def __init__(self, message: object = "") -> None:
        text = " ".join(str(message).splitlines()).encode("utf-8", "backslashreplace").decode()
        if len(text) > LONGEST_MESSAGE:
            tail = LONGEST_MESSAGE // 3
            text = f"{text[: LONGEST_MESSAGE - tail - 5]} ... {text[-tail:]}"
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        # By default a class is called with `args`, which are the message and not what its `__init__` takes. A pool
        # whose worker sends an error that can't be read back waits for it for ever.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[EvoFairError], arguments: tuple[Any, ...], state: dict[str, Any]) -> EvoFairError:
    """An error as it was pickled, without a call of its class's `__init__`."""
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class PluginError(EvoFairError, ValueError):
    """A file of the user's own parts is missing, fails, or registers something malformed."""


class ProblemError(EvoFairError, ValueError):
    """A problem file, or a value in it, is wrong."""


class DataError(EvoFairError, ValueError):
    """A data set is missing, damaged or too small for what was asked."""


class DataWarning(UserWarning):
    """Data can be used as they are, but may not mean what their user thinks; the command line shows it on one line."""


class ProfileError(EvoFairError, ValueError):
    """A device profile, or measurements to fit one, are wrong."""


class ObjectiveError(EvoFairError, ValueError):
    """An objective is unknown, registered twice, or does not fit the problem."""


class ConstraintError(EvoFairError, ValueError):
    """A constraint can't be parsed or names nothing that can be measured."""


class UnknownNameError(EvoFairError, LookupError):
    """A name is not among those that exist; the message lists them."""

    def __init__(self, kind: str, name: str, known: list[str], mend: str = "") -> None:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}: expected one of {', '.join(known) or '(none)'}{mend}{hint}")


class UndefinedMetricError(EvoFairError, ValueError):
    """A fairness metric has no value on these samples, for instance a rate over no positives."""


class PruningError(EvoFairError, ValueError):
    """A network, or a part of it, can't be pruned as asked."""


class RunError(EvoFairError, ValueError):
    """A run folder exists, is missing, is damaged, or belongs to another configuration."""


class FigureError(EvoFairError, ValueError):
    """Values that can't be drawn, such as those near the end of the range of numbers."""


class StorageError(EvoFairError, OSError):
    """A file could not be written: a full disk, a read-only folder."""


class NonFiniteError(EvoFairError, ArithmeticError):
    """An objective gave NaN or infinity."""


class AuditError(EvoFairError, ValueError):
    """An audit is empty, too large for its time, or its folder is damaged or made with other settings."""


class WorkerError(EvoFairError, RuntimeError):
    """Workers can't be had, or a piece of a job has ended several of them."""


def check_list(name: str, values: object) -> None:
    """Raises `EvoFairError` for one text, path or number where a list belongs: letters would be taken for names."""
    if isinstance(values, str | PurePath):
        raise EvoFairError(f"{name} = {str(values)!r} is a single one: give a list, [{str(values)!r}]")
    if isinstance(values, Number) or getattr(values, "ndim", None) == 0:  # NumPy's scalars and arrays of one number
        raise EvoFairError(f"{name} = {values} is a single one: give a list, [{values}]")


def quote(value: object) -> str:
    """What stands for a value in a message: as Python writes it, at most some 80 characters and four items deep."""
    return " ".join(_QUOTES.repr(value).split())


_QUOTES = reprlib.Repr()
_QUOTES.maxstring = _QUOTES.maxother = 80
_QUOTES.maxlevel = 4
_QUOTES.maxlist = _QUOTES.maxtuple = _QUOTES.maxdict = 12


def in_a_line(error: BaseException) -> str:
    """What another library's error says, or else its kind, on one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
