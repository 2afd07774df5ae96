"""The errors that evo_fair raises on purpose; each message names the value, what was expected, and how to fix it."""

import reprlib
from collections.abc import Sequence
from numbers import Number
from pathlib import PurePath
from typing import Any

__all__ = [
    "OWN_PARTS",
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
    "did_you_mean",
    "in_a_line",
    "quote",
]

OWN_PARTS = " (one of your own has to be registered first, by --plugin on the command line)"
"""The end of a list of parts' names that is not closed."""

LONGEST_MESSAGE = 1200
"""Characters of a message at most: what a file says can be quoted in it, however long that is."""


class EvoFairError(Exception):
    """Base of all of them: the command line prints its message on one line and exits with 2.

    A message is one line. One too long to be read keeps its beginning and its end,
    where the remedy stands. Halves of characters, which JSON can hold and no terminal
    can print, are written out.

    Args:
        message: The value, what was expected, and how to fix it. Default: nothing.

    Example:
        >>> try:
        ...     ef.load_problem("digit")
        ... except ef.EvoFairError as error:
        ...     print(error)
        unknown problem 'digit': ... did you mean 'digits'?
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
    """A file of the user's own parts is missing, fails, or registers something malformed.

    Example:
        >>> ef.load_plugin("nothing.py")
        Traceback (most recent call last):
        evo_fair.errors.PluginError: plugin nothing.py does not exist: ...
    """


class ProblemError(EvoFairError, ValueError):
    """A problem file, or a value in it, is wrong.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("wrong.toml").write_text("title = 'no data'")
        >>> ef.load_problem("wrong.toml")
        Traceback (most recent call last):
        evo_fair.errors.ProblemError: wrong.toml: ...
    """


class DataError(EvoFairError, ValueError):
    """A data set is missing, damaged or too small for what was asked.

    Example:
        >>> ef.load_problem("ham10000", data="nowhere").dataset()
        Traceback (most recent call last):
        evo_fair.errors.DataError: the data folder nowhere does not exist; ...
    """


class DataWarning(UserWarning):
    """Data can be used as they are, but may not mean what their user thinks; the command line shows it on one line."""


class ProfileError(EvoFairError, ValueError):
    """A device profile, or measurements to fit one, are wrong.

    Example:
        >>> ef.calibrate("my-board", latency="latency.csv")
        Traceback (most recent call last):
        evo_fair.errors.ProfileError: --layers is missing: ...
    """


class ObjectiveError(EvoFairError, ValueError):
    """An objective is unknown, registered twice, or does not fit the problem.

    Example:
        >>> ef.objective(direction="up")(len)
        Traceback (most recent call last):
        evo_fair.errors.ObjectiveError: direction 'up' of objective 'len': expected 'min' or 'max'
    """


class ConstraintError(EvoFairError, ValueError):
    """A constraint can't be parsed or names nothing that can be measured.

    Example:
        >>> ef.load_run("results/digits").operating_point(["accuracy is high"], minimise="latency_ms")
        Traceback (most recent call last):
        evo_fair.errors.ConstraintError: ...
    """


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of an error's line that asks for the name of `known` that is closest to `name`; empty if none is close.

    Args:
        name: The name that was given.
        known: The names that exist.

    Example:
        >>> from evo_fair.errors import did_you_mean
        >>> did_you_mean("hour", ["age", "hours"])
        "; did you mean 'hours'?"
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    if not close and len(name) >= _LEAST_BEGUN:  # a name that was cut short
        begun = {one for one in known if one.startswith(name)}
        close = list(begun) if len(begun) == 1 else []
    return f"; did you mean {close[0]!r}?" if close else ""


_LEAST_BEGUN = 3
"""Letters that tell of which name they are the beginning."""


_MOST_LISTED = 40
"""Names in an error's line: all of a registry's, and not all networks of a front."""


class UnknownNameError(EvoFairError, LookupError):
    """A name is not among those that exist; the message lists them, or the first of very many.

    Args:
        kind: What it is a name of, such as `problem`.
        name: The name.
        known: The names that exist.
        mend: What else can be given, in words. Default: nothing.
        opening: What stands before the names that exist. Default: that the name is
            unknown, and one of them was expected.
        near: Names that are not listed but may have been meant, such as those of files
            beside the one that is not there. Default: none.

    Example:
        >>> ef.load_problem("digitz")
        Traceback (most recent call last):
        evo_fair.errors.UnknownNameError: unknown problem 'digitz': ... did you mean 'digits'?
    """

    def __init__(
        self, kind: str, name: str, known: list[str], mend: str = "", opening: str = "", near: Sequence[str] = ()
    ) -> None:
        opening = opening or f"unknown {kind} {name!r}: expected one of"
        listed = ", ".join(known[:_MOST_LISTED]) or "(none)"
        if len(known) > _MOST_LISTED:
            listed += f" and {len(known) - _MOST_LISTED} more"
        super().__init__(
            f"{opening} {listed}{mend}{did_you_mean(str(name), [*known, *near])}"
        )  # in Python, a name can be anything


class UndefinedMetricError(EvoFairError, ValueError):
    """A fairness metric has no value on these samples, for instance a rate over no positives.

    Example:
        >>> from evo_fair.fairness.metrics import unfairness
        >>> one_group = ef.Counts(np.ones((1, 1, 2, 2), int), np.zeros((1, 2, 2), int), ("all",), ("no", "yes"))
        >>> unfairness(one_group)
        Traceback (most recent call last):
        evo_fair.errors.UndefinedMetricError: unfairness needs at least 2 group(s), got 1 (all); ...
    """


class PruningError(EvoFairError, ValueError):
    """A network, or a part of it, can't be pruned as asked.

    Example:
        >>> ef.prune("digits", sparsities=[1.5], out="results/pruned")
        Traceback (most recent call last):
        evo_fair.errors.PruningError: ...
    """


class RunError(EvoFairError, ValueError):
    """A run folder exists, is missing, is damaged, or belongs to another configuration.

    Example:
        >>> ef.load_run("results/nothing")
        Traceback (most recent call last):
        evo_fair.errors.RunError: ...
    """


class FigureError(EvoFairError, ValueError):
    """Values that can't be drawn, such as those near the end of the range of numbers."""


class StorageError(EvoFairError, OSError):
    """A file could not be written: a full disk, a read-only folder."""


class NonFiniteError(EvoFairError, ArithmeticError):
    """An objective gave NaN or infinity."""


class AuditError(EvoFairError, ValueError):
    """An audit is empty, too large for its time, or its folder is damaged or made with other settings.

    Example:
        >>> ef.audit("digits", networks=1, out="results/audited")
        Traceback (most recent call last):
        evo_fair.errors.AuditError: networks = 1: an audit needs 3 or more, a dense one and two pruned ones
    """


class WorkerError(EvoFairError, RuntimeError):
    """Workers can't be had, or a piece of a job has ended several of them."""


def check_list(name: str, values: object) -> None:
    """Refuses one text, path or number where a list belongs: its letters would be taken for names.

    Args:
        name: What the argument is called.
        values: What was given.

    Raises:
        EvoFairError: It is a single one.
    """
    if isinstance(values, str | PurePath):
        raise EvoFairError(f"{name} = {str(values)!r} is a single one: give a list, [{str(values)!r}]")
    if isinstance(values, bytes | bytearray):  # whose items are numbers
        raise EvoFairError(f"{name} = {quote(values)} is a single one, of bytes: give a list, as [...]")
    if isinstance(values, Number) or getattr(values, "ndim", None) == 0:  # NumPy's scalars and arrays of one number
        raise EvoFairError(f"{name} = {values} is a single one: give a list, [{values}]")


def quote(value: object) -> str:
    """What stands for a value in a message.

    Args:
        value: Any value.

    Returns:
        It as Python writes it, at most some 80 characters and four items deep.
    """
    try:
        return " ".join(_QUOTES.repr(value).split())
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return f"<{type(value).__name__} of too many digits>"


_QUOTES = reprlib.Repr()
_QUOTES.maxstring = _QUOTES.maxother = 80
_QUOTES.maxlevel = 4
_QUOTES.maxlist = _QUOTES.maxtuple = _QUOTES.maxdict = 12


def in_a_line(error: BaseException) -> str:
    """What another library's error says, or else its kind.

    Args:
        error: The error.

    Returns:
        One line of at most 200 characters.
    """
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
