"""What is wrong with a problem file, in words of its own: which key, what it should be, and where it belongs."""

import json
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from evo_fair.errors import did_you_mean, quote

__all__ = ["fault_of", "in_plain_words"]

_LONGEST_EXAMPLE = 40
_GROUP = 'group = "class", which compares the labels, or the name of a column of groups'
_TO_WRITE = {
    "title": 'write title = "..." at the top of the file, a sentence on what it is about',
    "data": 'write [data] and below it source = "image_folder", or another source',
    "data.source": 'write source = "image_folder", or another source',
    "fairness": f"write [fairness] and below it {_GROUP}",
    "fairness.group": f"write {_GROUP}",
}
"""What is to be written where a key of a problem file is missing that needs an explanation."""
_OF_SEVERAL = re.compile(r"(tuple|dict)\[")
"""What pydantic adds to a place whose value may be of several kinds."""
_OF_A_NAME = "[key]"
"""What it adds to a place where a table's own name is wrong."""
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false, without quotes",
    "string_type": "a text in quotes",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} in the list",
    "too_long": "at most {max_length} in the list",
}
"""What pydantic's kinds of faults have to be instead, with the figures that it gives."""


def fault_of(error: ValidationError, file: type[BaseModel], not_in_it: tuple[str, ...] = ()) -> str:
    """The first thing that is wrong, its key first; an unknown key goes before all others.

    Args:
        error: What pydantic found.
        file: The model of a whole file.
        not_in_it: Those of the model's own keys that no file can hold. Default: none.

    Returns:
        One line.
    """
    found: list[Any] = list(error.errors(include_url=False))
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])  # a misspelt key is missing, too
    first = _of_the_kind_meant(first, found)
    parts = [part for part in first["loc"] if part != _OF_A_NAME and not _OF_SEVERAL.match(str(part))]
    place = ".".join(str(part + 1 if isinstance(part, int) else part)[:80] for part in parts)
    if first["type"] == "extra_forbidden":
        message = _unknown_key(first["loc"], file, not_in_it)
    else:
        message = in_plain_words(first, file)
    return f"{place}: {message}" if place else message


def _of_the_kind_meant(first: Any, found: list[Any]) -> Any:
    """Of a value that may be of several kinds, the fault of the kind that it comes nearest to, the deepest one."""
    several = next((place for place, part in enumerate(first["loc"]) if _OF_SEVERAL.match(str(part))), None)
    if several is None:
        return first
    place = first["loc"][:several]
    return max((one for one in found if one["loc"][:several] == place), key=lambda one: len(one["loc"]))


def in_plain_words(fault: Any, whole: Any, name: str = "") -> str:
    """What pydantic says in words of Python, in those of a problem file, and the value that was found.

    Args:
        fault: One of the faults that pydantic found, but no unknown key.
        whole: The kind of value that it looked at.
        name: What that value is called. Default: nothing, it is the whole file.

    Returns:
        The message, without the place.
    """
    kind, given = fault["type"], fault["input"]
    message = str(fault["msg"]).removeprefix("Value error, ")
    if kind == "missing":
        place = ".".join(map(str, fault["loc"]))
        return f"it is missing: {_TO_WRITE.get(place, 'add it')}"
    if kind == "value_error":
        return message
    wanted = _kind_at(whole, fault["loc"])
    named = ".".join([*([name] if name else []), *(part for part in fault["loc"] if isinstance(part, str))])
    if kind in ("tuple_type", "list_type"):
        if isinstance(given, dict) and _model(_item(wanted)) is not None:
            return f"there can be several of them: write [[{named}]], in double brackets"
        message = f"expected {_list_like(wanted, given)}"
    elif kind in ("model_type", "dict_type"):
        if isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
            return f"there is one of them: write [{named}], in single brackets"
        message = f"expected a table of keys, such as {_example_of_a_table(wanted)}"
    elif kind in _EXPECTED:
        message = f"expected {_EXPECTED[kind].format(**fault.get('ctx', {}))}"
    return f"{message}, got {quote(given)}"


def _unknown_key(place: tuple[int | str, ...], file: type[BaseModel], not_in_it: tuple[str, ...]) -> str:
    """Where a key belongs that is not one of its section; else which one of the section may have been meant."""
    key, section = str(place[-1]), _model(_kind_at(file, place[:-1]))
    homes = [(above, own) for name, above, own in _keys(file) if name == key and (above or name not in not_in_it)]
    known = [] if section is None else [name for name in section.model_fields if name not in not_in_it]
    if not homes:
        return f"there is no such key: fix its name, or take it out{did_you_mean(key, known)}"
    meant = did_you_mean(key, [name for name in known if key in (f"{name}s", name.removesuffix("s"))])
    if sections := [own for _, own in homes if own]:
        return f"there is no such key here: write {' or '.join(sections)}{meant}"
    told = [f"under {above}" if above else "at the top of the file, before all sections" for above, _ in homes]
    return f"there is no such key here: it belongs {' or '.join(told)}{meant}"


def _keys(model: type[BaseModel], path: str = "", heading: str = "") -> Iterator[tuple[str, str, str]]:
    """Each key of a file, the heading that it stands under and, where it is a section, its own heading."""
    for name, field in model.model_fields.items():
        below = f"{path}.{name}" if path else name
        inner, own = _model(field.annotation), f"[{below}]"
        if inner is None and (inner := _model(_item(field.annotation))) is not None:
            if get_origin(_bare(field.annotation)) is dict:
                below = f"{below}.NAME"
                own = f"[{below}]"
            else:
                own = f"[[{below}]]"
        yield name, heading, "" if inner is None else own
        if inner is not None:
            yield from _keys(inner, below, own)


def _list_like(wanted: Any, given: object) -> str:
    """A list in words, with an example: one of the value that was given alone, where that fits."""
    bare = _bare(wanted)
    if get_origin(bare) is tuple and Ellipsis not in get_args(bare):
        return f"a list of {len(get_args(bare))} in brackets"
    return f"a list in brackets, such as {_example(_bare(_item(wanted)), given)}"


def _example(bare: Any, given: object) -> str:
    values = get_args(bare) if get_origin(bare) is Literal else ()
    if bare is str or (values and all(isinstance(value, str) for value in values)):
        fits = isinstance(given, str) and len(given) <= _LONGEST_EXAMPLE and (not values or given in values)
        return json.dumps([given] if fits else list(values[:2]) or ["a", "b"], ensure_ascii=False)
    fits = isinstance(given, float | int if bare is float else int) and not isinstance(given, bool)
    if values:
        fits &= given in values
    return json.dumps([given] if fits else list(values) or [1, 2])


def _example_of_a_table(wanted: Any) -> str:
    """A table of the keys that a section can't do without, or else of its first one."""
    section = _model(wanted)
    if section is None:
        return f"{{ NAME = {_example_of(_item(wanted))} }}"
    keys = {name: field for name, field in section.model_fields.items() if field.is_required()}
    keys = keys or dict(list(section.model_fields.items())[:1])
    return f"{{ {', '.join(f'{name} = {_example_of(field.annotation)}' for name, field in keys.items())} }}"


def _example_of(wanted: Any) -> str:
    bare = _bare(wanted)
    if _model(bare) is not None or get_origin(bare) is dict:
        return _example_of_a_table(bare)
    if get_origin(bare) in (list, tuple):
        return _example(_bare(_item(bare)), None)
    if get_origin(bare) is Literal:
        return json.dumps(get_args(bare)[0])
    return '"..."' if bare is str else "1"


def _kind_at(kind: Any, place: tuple[int | str, ...]) -> Any:
    """The kind of value that may stand at a place within one of a kind; None where that is not known."""
    for part in place:
        if _OF_SEVERAL.match(str(part)):
            continue
        section = _model(kind)
        if section is None:
            kind = _item(kind)
        else:
            field = section.model_fields.get(str(part))
            kind = field.annotation if field else None
    return kind


def _item(kind: Any) -> Any:
    """The kind of a list's items or of a table's values; None of other kinds."""
    bare = _bare(kind)
    found = get_args(bare) if get_origin(bare) in (list, tuple, dict) else ()
    return (found[-1] if get_origin(bare) is dict else found[0]) if found else None


def _model(kind: Any) -> type[BaseModel] | None:
    """The model of a section; None for any other kind."""
    bare = _bare(kind)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _bare(kind: Any) -> Any:
    """A kind without what is annotated, and the first of several."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(one for one in get_args(kind) if one is not NoneType))
    return kind
