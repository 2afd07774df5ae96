"""Docstrings of the public names: examples run, and every parameter is named with its default."""

import doctest
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

import evo_fair as ef
from evo_fair import extend, testing
from evo_fair.data import find_data, load_dataset
from evo_fair.data.table_settings import Column, TableSettings
from evo_fair.evolution.engine import Outcome, Progress
from evo_fair.evolution.evaluator import Space
from evo_fair.evolution.hypervolume import Box
from evo_fair.export import raw_rows
from evo_fair.fairness import METRICS
from evo_fair.jobs.reference import StoredReference
from evo_fair.latency.campaign import Campaign
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.onnx_operators import NodeFacts
from evo_fair.nets import Step
from evo_fair.plugins import unloaded_afterwards
from evo_fair.problem import Data, Fairness, ProxySettings, Search, Training
from evo_fair.proxy.supernets import StoredSupernet
from evo_fair.pruning.criteria import Scores
from evo_fair.pruning.removal import Mask
from evo_fair.pruning.samples import Samples
from evo_fair.pruning.structure import ChannelGroup, Member, Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.registries import CRITERIA
from evo_fair.space import SearchSpace
from evo_fair.space.schema import SpaceSchema, Stage, Stem
from tests.test_docs import small_problems

__all__ = ["small_problems"]

PUBLIC = {
    **{f"evo_fair.{name}": getattr(ef, name) for name in ef.__all__},
    **{f"extend.{name}": getattr(extend, name) for name in extend.__all__},
    **{f"testing.{name}": getattr(testing, name) for name in testing.__all__},
}
HANDED = (
    *(Box, ChannelGroup, Data, Dense, Fairness, Mask, Member, NodeFacts, Outcome, Progress, ProxySettings, Pruned),
    *(Request, Samples, Scores, Search, SearchSpace, Space, StoredReference, Structure, Task, Training),
    *(Campaign, Column, Measurements, SpaceSchema, Stage, Stem, Step, StoredSupernet, TableSettings),
    *METRICS.values(),
    *(CRITERIA[name] for name in CRITERIA if CRITERIA.is_built_in(name)),
    *(find_data, load_dataset, raw_rows),
)
"""What people are handed, or hand over, or choose by name, though it is not exported at the top."""
WITHOUT_EXAMPLE = {
    "evo_fair.FigureError",
    "evo_fair.NonFiniteError",
    "evo_fair.StorageError",
    "evo_fair.WorkerError",
    "extend.State",
}
"""Errors that no line or two can bring about, and the other name of a type."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECTION = re.compile(r"^(Args|Returns|Raises|Example):$", re.MULTILINE)


def _distinct() -> dict[str, Any]:
    """The public things by their first names: what `extend` names again is the same."""
    first: dict[int, str] = {}
    for name, thing in PUBLIC.items():
        first.setdefault(id(thing), name)
    return {name: PUBLIC[name] for name in first.values()}


def _callables() -> Iterator[tuple[str, Any]]:
    """Everything with parameters: functions, classes that are called, and their methods."""
    for name, thing in [*_distinct().items(), *((each.__name__, each) for each in HANDED)]:
        if not inspect.isclass(thing):
            if isinstance(thing, FunctionType):
                yield name, thing
            continue
        protocol = getattr(thing, "_is_protocol", False)
        if issubclass(thing, BaseModel) or ("__init__" in vars(thing) and not protocol) or issubclass(thing, tuple):
            yield name, thing
        for key, member in vars(thing).items():
            function = getattr(member, "__func__", member)
            own = isinstance(function, FunctionType) and function.__module__.startswith("evo_fair")
            if own and (not key.startswith("_") or (key == "__call__" and protocol)):
                yield f"{name}.{key}", function


CALLABLES = dict(_callables())


def _sections(thing: Any) -> dict[str, str]:
    """The text of each section of a docstring by its heading."""
    _, *parts = SECTION.split(inspect.getdoc(thing) or "")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _entries(thing: Any) -> dict[str, str]:
    """What is said of each parameter under `Args`."""
    text = _sections(thing).get("Args", "")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in found}


def _parameters(thing: Any) -> list[inspect.Parameter]:
    """A callable's own parameters; where pydantic takes further keys, they are `extra_data`."""
    of_others = ("self", "cls", "extra_data")
    return [each for each in inspect.signature(thing).parameters.values() if each.name not in of_others]


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_every_parameter_is_named_and_so_is_its_default(name: str) -> None:
    thing = CALLABLES[name]
    entries = _entries(thing)
    assert list(entries) == [each.name for each in _parameters(thing)]
    optional = [each.name for each in _parameters(thing) if each.default is not each.empty]
    assert [each for each in optional if "Default: " not in entries[each]] == []


@pytest.mark.parametrize("name", sorted(name for name, each in CALLABLES.items() if not inspect.isclass(each)))
def test_functions_say_what_they_return(name: str) -> None:
    function = CALLABLES[name]
    returned = inspect.signature(function).return_annotation
    nothing = returned in (None, "None", inspect.Signature.empty)
    assert ("Returns" in _sections(function)) != nothing


def test_public_names_have_examples() -> None:
    without = {name for name, thing in _distinct().items() if ">>>" not in (inspect.getdoc(thing) or "")}
    assert without == WITHOUT_EXAMPLE & set(_distinct())


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False)
    for name, thing in (_distinct() | CALLABLES).items():
        if inspect.getdoc(thing):
            yield from (test for test in finder.find(thing, name, module=False) if test.examples)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for the run that examples read; the first that needs it makes it."""
    return tmp_path_factory.mktemp("finished") / "digits"


@pytest.mark.parametrize("example", list(_examples()), ids=lambda test: test.name)
@pytest.mark.usefixtures("small_problems")
def test_examples_of_docstrings_run(example: doctest.DocTest, finished_run: Path) -> None:
    if "results/digits" in (example.docstring or ""):
        if not finished_run.exists():
            ef.search("digits", budget=16, population=8, out=finished_run)
        shutil.copytree(finished_run, "results/digits")
    example.globs = {"ef": ef, "np": np}
    with unloaded_afterwards():
        result = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert result.failed == 0
    assert result.attempted


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"extend.State"}))  # a type's other name
def test_public_names_say_what_they_are(name: str) -> None:
    own = PUBLIC[name].__doc__ or ""
    assert own.strip(), name
    assert not own.startswith(f"{getattr(PUBLIC[name], '__name__', '')}("), "the docstring is dataclass's own"
