"""Arguments of the public functions as plain Python: NumPy's numbers and texts are theirs, and wrong kinds one line."""

import math
import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, overload

import numpy as np

from evo_fair.errors import EvoFairError, check_list, quote

__all__ = [
    "as_flag",
    "as_name",
    "as_number",
    "as_numbers",
    "as_parts",
    "as_path",
    "as_text",
    "as_texts",
    "as_whole",
    "as_wholes",
    "check_seeds",
    "only_number",
]


_LARGEST = 2**63 - 1


def _scalar(value: object) -> object:
    """What stands in an array of one number; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


@overload
def as_whole(name: str, value: None) -> None: ...
@overload
def as_whole(name: str, value: object) -> Any: ...
def as_whole(name: str, value: object) -> int | None:
    """A whole number as an `int`, 10.0 and NumPy's among them; None stays.

    Raises `EvoFairError` for anything else, and for one beyond 64 bits, which files of a job could not hold.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
    """
    value = _scalar(value)
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise EvoFairError(f"{name} {quote(value)} is no whole number: give one")
    if not isinstance(value, Integral) and not _as_float(value).is_integer():
        told = value if isinstance(value, float | np.floating) else quote(value)
        raise EvoFairError(f"{name} {told} is no whole number: give one")
    whole = int(value) if isinstance(value, Integral) else int(float(value))
    if not -_LARGEST <= whole <= _LARGEST:
        raise EvoFairError(f"{name} {quote(whole)} is too large: give one of at most {_LARGEST}")
    return whole


def _as_float(value: Real) -> float:
    """A number as a float, infinity where it is beyond their range, as whole numbers and fractions can be."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


@overload
def as_number(name: str, value: None) -> None: ...
@overload
def as_number(name: str, value: object) -> Any: ...
def as_number(name: str, value: object) -> float | None:
    """A finite number as a `float`, -0.0 as 0.0; None stays. Raises `EvoFairError` for anything else.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
    """
    value = _scalar(value)
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real) or not np.isfinite(_as_float(value)):
        raise EvoFairError(f"{name} {quote(value)} is no finite number: give one")
    # The shortest text that names a float32 is what was meant: 0.3 and not 0.30000001192092896.
    return (float(str(value)) if isinstance(value, np.floating) else float(value)) + 0.0


def only_number(value: object) -> object:
    """The value of a file's key for a number, for pydantic, which takes true for 1 and a number in quotes for one.

    Raises `ValueError` for these.

    Args:
        value: What the file has.
    """
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"{str(value).lower()} is no number")
    if isinstance(value, str | bytes):
        raise ValueError(f"expected a number without quotes, got {quote(value)}")
    return value


def as_flag(name: str, value: object) -> bool:
    """True or False, NumPy's among them; raises `EvoFairError` for anything else: the text `no` would count as True.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
    """
    value = _scalar(value)
    if not isinstance(value, bool | np.bool_):
        raise EvoFairError(f"{name} {quote(value)} is neither True nor False: give one of them")
    return bool(value)


def as_text(name: str, value: object) -> str:
    """A text as a `str`; raises `EvoFairError` for anything else.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
    """
    value = _scalar(value)
    if not isinstance(value, str):
        raise EvoFairError(f"{name} {quote(value)} is no text: give one")
    return str(value)


def as_name(name: str, value: object) -> str:
    """A text that is not empty, as a `str`; raises `EvoFairError` for anything else.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
    """
    text = as_text(name, value)
    if not text.strip():
        raise EvoFairError(f"{name} {text!r} is empty: give a name, or leave it out")
    return text


def as_path(name: str, value: object) -> Path:
    """A text or path as a `Path`; raises `EvoFairError` for anything else, and for an empty text.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str) or not os.fspath(value):
        raise EvoFairError(f"{name} {quote(value)} is no path: give a text or a pathlib.Path")
    if "\0" in os.fspath(value):
        raise EvoFairError(f"{name} {quote(os.fspath(value))} holds a NUL, which no path can: give another")
    return Path(value)


def as_texts(name: str, values: object) -> tuple[str, ...]:
    """A list of texts as a tuple of `str`; raises `EvoFairError` for a single one and for other things in it.

    Args:
        name: What the argument is called, for the message.
        values: What was given.
    """
    return tuple(as_text(f"{name}: item {place}", value) for place, value in enumerate(_listed(name, values), 1))


def as_parts(name: str, values: object, kind: type = object) -> tuple[Any, ...]:
    """A list of names and of parts of the user's own, functions or of a `kind`, as a tuple, the names as `str`.

    Raises `EvoFairError` as `as_texts` does.

    Args:
        name: What the argument is called, for the message.
        values: What was given.
        kind: The class of parts that are objects. Default: object.
    """
    own = () if kind is object else (kind,)
    return tuple(
        value if callable(value) or isinstance(value, own) else as_text(f"{name}: item {place}", value)
        for place, value in enumerate(_listed(name, values), 1)
    )


def as_wholes(name: str, values: object) -> tuple[int, ...]:
    """A list of whole numbers as a tuple of `int`; raises `EvoFairError` as `as_whole` and `as_texts` do.

    Args:
        name: What the argument is called, for the message.
        values: What was given.
    """
    return tuple(
        as_whole(f"{name}: item {place}", _some(name, value)) for place, value in enumerate(_listed(name, values), 1)
    )


def as_numbers(name: str, values: object) -> tuple[float, ...]:
    """A list of numbers as a tuple of `float`; raises `EvoFairError` as `as_number` and `as_texts` do.

    Args:
        name: What the argument is called, for the message.
        values: What was given.
    """
    return tuple(
        as_number(f"{name}: item {place}", _some(name, value)) for place, value in enumerate(_listed(name, values), 1)
    )


def _some(name: str, value: object) -> object:
    if value is None:
        raise EvoFairError(f"{name} holds None: take it out, or give a number")
    return value


def _listed(name: str, values: object) -> Iterable[object]:
    check_list(name, values)
    if values is None or isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise EvoFairError(f"{name} = {quote(values)} is no list: give one, as [...]")
    return values


def check_seeds(seeds: Iterable[int], error: type[EvoFairError] = EvoFairError) -> None:
    """Raises an `error` for a negative seed, which nothing can be drawn with.

    Args:
        seeds: The seeds.
        error: The kind of error. Default: `EvoFairError`.
    """
    for seed in seeds:
        if seed < 0:
            raise error(f"seed {seed} is negative: give 0 or more")
