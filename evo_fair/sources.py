"""Where a user's own function or class comes from: whether two are one definition, and a hash of what it says."""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from evo_fair.files import digest

__all__ = ["is_redefinition", "source_hash"]

_Function = Callable[..., Any]
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def is_redefinition(old: Any, new: Any) -> bool:
    """Whether `new` is `old` defined again: by a notebook's cell that ran twice, edited or not, or a module's reload.

    Two definitions in one file, functions of two modules, and what a factory makes of other values are different ones.
    Of classes the first methods are compared.
    """
    if old is new:
        return True
    if isinstance(old, type) and isinstance(new, type):
        return _named_alike(old, new) and all(map(is_redefinition, _methods(old)[:1], _methods(new)[:1]))
    old, new = (inspect.unwrap(one) if callable(one) else one for one in (old, new))
    if not isinstance(old, FunctionType) or not isinstance(new, FunctionType):
        return False
    if not _named_alike(old, new):
        return False
    before, now = old.__code__, new.__code__
    if before is now:
        return repr(_bound(old)) == repr(_bound(new))
    files = [Path(code.co_filename).is_file() for code in (before, now)]
    if not any(files):
        return True  # a cell's text is no file, and its name another one after every edit
    if not all(files) or before.co_filename != now.co_filename:
        return False
    return before.co_firstlineno == now.co_firstlineno or _code(before) == _code(now)


def _named_alike(old: Any, new: Any) -> bool:
    return (old.__module__, old.__qualname__) == (new.__module__, new.__qualname__)


def _methods(shown: type) -> list[FunctionType]:
    """The functions that a class's own body defines, in its order."""
    return [value for value in vars(shown).values() if isinstance(value, FunctionType)]


def source_hash(function: _Function) -> str:
    """SHA-256, in hex, of a function's or class's source and of what it takes from its module: helpers and constants.

    Where there is no source, of its compiled code.

    Args:
        function: The function or class.
    """
    return digest(*_texts(function, set()))


def _texts(function: Any, seen: set[int]) -> Iterator[str]:
    function = inspect.unwrap(function) if callable(function) else function
    if id(function) in seen:
        return
    seen.add(id(function))
    inner = getattr(function, "func", None)  # functools.partial
    if inner is not None and not isinstance(function, FunctionType):
        yield repr((function.args, function.keywords))
        yield from _texts(inner, seen)
        return
    shown = function if isinstance(function, FunctionType | type) else type(function)
    try:
        yield textwrap.dedent(inspect.getsource(shown)).rstrip()
    except (OSError, TypeError):
        code = getattr(shown, "__code__", None)
        named = getattr(function, "__qualname__", "") or getattr(shown, "__qualname__", "")
        yield repr(_code(code)) if code else named
        if isinstance(function, type):
            yield from (repr(_code(method.__code__)) for method in _methods(function))
    if isinstance(function, type):
        for base in function.__bases__:
            if base.__module__ == function.__module__:
                yield from _texts(base, seen)
        for method in _methods(function):
            yield from _taken(method, seen)
        return
    if not isinstance(function, FunctionType):
        state = getattr(function, "__dict__", {})
        yield repr(sorted((name, value) for name, value in state.items() if isinstance(value, _PLAIN)))
        return
    yield from _taken(function, seen)


def _taken(function: FunctionType, seen: set[int]) -> Iterator[str]:
    """What a function takes from around it: plain values, and the texts of functions of its own module."""
    for name, value in sorted({**_global_values(function), **_bound(function)}.items()):
        if isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(v, _PLAIN) for v in value)):
            yield f"{name} = {value!r}"
        elif isinstance(value, FunctionType) and value.__module__ == function.__module__:
            yield name
            yield from _texts(value, seen)


def _bound(function: FunctionType) -> dict[str, Any]:
    """What the function was made with: closed-over values and defaults, by name."""
    bound: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            bound[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            bound[name] = None
    return bound | {"defaults": function.__defaults__, "keyword defaults": repr(function.__kwdefaults__)}


def _global_values(function: FunctionType) -> dict[str, Any]:
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    return {name: function.__globals__[name] for name in names if name in function.__globals__}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _code(code: CodeType) -> tuple[Any, ...]:
    """What compiled code does, without where it stands."""
    constants = tuple(_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars)
