"""Docstrings of the public names: their examples run, and functions name every parameter."""

import doctest
import inspect
import re
from collections.abc import Iterator

import numpy as np
import pytest

import evo_fair as ef
from evo_fair import extend, testing
from tests.test_docs import small_problems

__all__ = ["small_problems"]

PUBLIC = {
    **{f"evo_fair.{name}": getattr(ef, name) for name in ef.__all__},
    **{f"extend.{name}": getattr(extend, name) for name in extend.__all__},
    **{f"testing.{name}": getattr(testing, name) for name in testing.__all__},
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NAMED = (
    "compare",
    "criterion",
    "deploy",
    "forget",
    "load_plugin",
    "load_problem",
    "load_profile",
    "load_run",
    "method",
    "objective",
    "onnx_operator",
    "read_layers",
    "search",
    "source",
    "strategy",
    "train",
    "train_reference",
)
"""Functions whose docstrings name every parameter, under `Args` or in the text."""


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False)
    seen = set()
    for name, thing in PUBLIC.items():
        if id(thing) not in seen and inspect.getdoc(thing):
            seen.add(id(thing))
            yield from (test for test in finder.find(thing, name, module=False) if test.examples)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda test: test.name)
@pytest.mark.usefixtures("small_problems")
def test_examples_of_docstrings_run(example: doctest.DocTest) -> None:
    example.globs = {"ef": ef, "np": np}
    result = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert result.failed == 0
    assert result.attempted


@pytest.mark.parametrize("name", NAMED)
def test_functions_name_every_parameter_and_what_they_raise(name: str) -> None:
    function = getattr(ef, name)
    text = inspect.getdoc(function) or ""
    said = re.findall(r"^    (\w+): ", text.partition("Args:")[2], re.MULTILINE) + re.findall(r"`(\w+)`", text)
    missing = [each for each in inspect.signature(function).parameters if each not in said]
    assert missing == []
    assert "Raises:" in text


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"extend.State"}))  # a type's other name
def test_public_names_say_what_they_are(name: str) -> None:
    own = PUBLIC[name].__doc__ or ""
    assert own.strip(), name
    assert not own.startswith(f"{getattr(PUBLIC[name], '__name__', '')}("), "the docstring is dataclass's own"
