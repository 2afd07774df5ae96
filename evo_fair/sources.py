"""Where a user's own function or class comes from: whether two are one definition, and a hash of what it says."""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

from evo_fair.files import digest

__all__ = ["is_redefinition", "source_hash"]

_Function = Callable[..., Any]
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_FIRST_SEEN: dict[int, tuple[object, Any]] = {}
"""What lists, sets and dicts held when they were hashed first, by where they are, and themselves, so that they stay."""


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

    Where there is no source, of its compiled code. Helpers are functions, classes and objects; constants are plain
    values, arrays, and lists, dicts and the like of them.

    Args:
        function: The function or class, or an object or a method of one.
    """
    return digest(*_texts(function, set()))


def _texts(part: Any, seen: set[int]) -> Iterator[str]:
    """The texts of a function, class, method or object, then those of what its own module wraps around it."""
    inner = inspect.unwrap(part) if callable(part) else part
    if id(inner) in seen:
        return
    seen.add(id(inner))
    if isinstance(inner, FunctionType | type):
        yield from _definition(inner, seen)
    elif isinstance(inner, MethodType):
        yield from _texts(inner.__func__, seen)
        yield from _texts(inner.__self__, seen)
    elif isinstance(inner, partial):
        given = [*inner.args, *inner.keywords.values()]
        if all(isinstance(value, _PLAIN) for value in given):
            yield repr((inner.args, inner.keywords))
        else:
            yield from _values((inner.args, inner.keywords), str(_module_of(inner)), seen)
        yield from _texts(inner.func, seen)
    else:
        in_c = getattr(inner, "__qualname__", "")
        yield from [in_c] if in_c else _definition(type(inner), seen)
        yield from _state(inner, seen)
    while part is not inner:
        if isinstance(part, FunctionType) and part.__globals__.get("__name__") == part.__module__:
            yield _source(part.__code__) or repr(_code(part.__code__))
            yield from _taken(part, seen)
        part = part.__wrapped__


def _source(shown: FunctionType | CodeType | type) -> str:
    """The source of a function, of code or of a class; empty where there is none."""
    try:
        return textwrap.dedent(inspect.getsource(shown)).rstrip()
    except (OSError, TypeError):
        return ""


def _definition(shown: FunctionType | type, seen: set[int]) -> Iterator[str]:
    """What a function or class says, and what it takes."""
    source = _source(shown)
    if isinstance(shown, FunctionType):
        yield source or repr(_code(shown.__code__))
        yield from _taken(shown, seen)
        return
    yield source or shown.__qualname__
    # Those of properties and of static and class methods, too.
    parts = [getattr(value, "fget", None) or getattr(value, "__func__", value) for value in vars(shown).values()]
    methods = [part for part in parts if isinstance(part, FunctionType)]
    if not source:
        yield from (repr(_code(method.__code__)) for method in methods)
        yield from _named({name: value for name, value in vars(shown).items() if not name.startswith("__")}, "", seen)
    for base in shown.__bases__:
        if base.__module__ == shown.__module__:
            yield from _texts(base, seen)
    for method in methods:
        yield from _taken(method, seen)


def _state(shown: object, seen: set[int]) -> Iterator[str]:
    """What an object's attributes are."""
    slots = [name for kind in type(shown).__mro__ for name in vars(kind).get("__slots__", ()) if hasattr(shown, name)]
    state = {name: getattr(shown, name) for name in slots if name != "__dict__"} | getattr(shown, "__dict__", {})
    yield repr(sorted((name, value) for name, value in state.items() if isinstance(value, _PLAIN)))
    others = {name: value for name, value in state.items() if not isinstance(value, _PLAIN)}
    yield from _named(others, type(shown).__module__, seen)


def _taken(function: FunctionType, seen: set[int]) -> Iterator[str]:
    """What a function takes from around it: constants, and the texts of helpers of its own module."""
    yield from _named({**_global_values(function), **_bound(function)}, function.__module__, seen)


def _named(values: Mapping[str, Any], module: str, seen: set[int]) -> Iterator[str]:
    for name, value in sorted(values.items()):
        if isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(v, _PLAIN) for v in value)):
            yield f"{name} = {value!r}"
            continue
        texts = list(_values(value, module, seen))
        if texts or _module_of(value) == module:
            yield name
        yield from texts


def _values(value: Any, module: str, seen: set[int]) -> Iterator[str]:
    """A value's texts, the same in every process; none for what comes from other modules than `module`."""
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif type(value).__module__ == "numpy" and hasattr(value, "tobytes") and not value.dtype.hasobject:
        yield f"{value.dtype.str} {value.shape} {digest(value.tobytes())}"
    elif isinstance(value, set | frozenset):
        yield repr(sorted(repr(one) for one in _as_first_seen(value) if isinstance(one, _PLAIN)))
    elif isinstance(value, list | tuple | dict):
        if id(value) in seen:  # it holds itself
            return
        held = _as_first_seen(value)
        yield f"{type(value).__name__} of {len(held)}"
        for one in [part for pair in held.items() for part in pair] if isinstance(held, dict) else held:
            yield from _values(one, module, seen | {id(value)})
    elif _module_of(value) == module:
        yield from _texts(value, seen)


def _as_first_seen(value: Any) -> Any:
    """What a container held when it was hashed first: one that a part fills, as a cache or a log, makes it no other."""
    kind = next((kind for kind in (list, set, dict) if isinstance(value, kind)), None)
    return _FIRST_SEEN.setdefault(id(value), (value, kind(value)))[1] if kind else value


def _module_of(value: object) -> object:
    """The name of the module that defines a function or class, or an object's class."""
    return getattr(value.func if isinstance(value, partial) else value, "__module__", None)


def _bound(function: FunctionType) -> dict[str, Any]:
    """What the function was made with: closed-over values and defaults, by name."""
    bound: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            bound[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            bound[name] = None
    keywords = function.__kwdefaults__
    plain = not keywords or all(isinstance(value, _PLAIN) for value in keywords.values())
    return bound | {"defaults": function.__defaults__, "keyword defaults": repr(keywords) if plain else keywords}


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
