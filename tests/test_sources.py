"""Own objectives: defined again they replace themselves, others are refused, and changed sources show."""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evo_fair.errors import ObjectiveError
from evo_fair.evolution import forget, objective, objective_names, resolve
from evo_fair.sources import source_hash

CELL = """
from evo_fair.evolution import objective
@objective()
def gap(counts):
    return counts.overall[:, 0, 0] / {number}
"""


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    before = set(objective_names())
    yield
    for name in set(objective_names()) - before:
        forget(name)


def run_cell(number: int, file: str, module: str = "__main__") -> Callable[..., Any]:
    """Runs a notebook's cell."""
    names: dict[str, Any] = {"__name__": module}
    exec(compile(CELL.format(number=number), file, "exec"), names)
    return names["gap"]


def load(path: Path, text: str) -> Any:
    """Imports a file, or imports it again, as a module of one name."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("people", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("number", "file"), [(7, "<cell 1>"), (8, "<cell 2>"), (8, "<cell 1>")])
def test_a_cell_that_runs_twice_replaces_its_objective(number: int, file: str) -> None:
    run_cell(7, "<cell 1>")
    again = run_cell(number, file)
    assert resolve(["gap"])[0].function is again


def test_a_reloaded_module_replaces_its_objective(tmp_path: Path) -> None:
    load(tmp_path / "people.py", CELL.format(number=7))
    again = load(tmp_path / "people.py", CELL.format(number=8))
    assert resolve(["gap"])[0].function is again.gap


def test_two_definitions_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match="an objective 'gap' already"):
        load(tmp_path / "people.py", CELL.format(number=7) + CELL.format(number=8))


def test_a_function_of_another_module_is_refused() -> None:
    first = run_cell(7, "<cell 1>")
    with pytest.raises(ObjectiveError, match="an objective 'gap' already"):
        run_cell(7, "<cell 1>", "elsewhere")
    assert resolve(["gap"])[0].function is first


def test_what_a_factory_makes_of_other_values_is_refused() -> None:
    def make(number: int) -> None:
        @objective()
        def share(counts: Any) -> Any:
            return counts.overall[:, 0, 0] / number

    make(7)
    make(7)
    with pytest.raises(ObjectiveError, match="an objective 'share' already"):
        make(8)


def test_a_wrong_redefinition_leaves_the_first() -> None:
    first = run_cell(7, "<cell 1>")
    names: dict[str, Any] = {"__name__": "__main__"}
    with pytest.raises(ObjectiveError, match="'down'"):
        exec(compile(CELL.format(number=8).replace("objective()", "objective('down')"), "<cell 1>", "exec"), names)
    assert resolve(["gap"])[0].function is first


WHOLE = "FLOOR = {floor}\ndef helper(x):\n    return {helped}\ndef gap(counts):\n    return helper(counts) + {own}\n"


@pytest.mark.parametrize("changed", [{"floor": 2}, {"helped": "x - FLOOR"}, {"own": 1}])
def test_a_hash_changes_with_the_source_its_helpers_and_constants(changed: dict[str, object], tmp_path: Path) -> None:
    before = {"floor": 1, "helped": "x + FLOOR", "own": 0}
    first = source_hash(load(tmp_path / "a.py", WHOLE.format(**before)).gap)
    assert source_hash(load(tmp_path / "b.py", "import os\n\n" + WHOLE.format(**before)).gap) == first
    assert source_hash(load(tmp_path / "c.py", WHOLE.format(**before | changed)).gap) != first


HELD = """
import functools
import numpy as np
VALUE = {value}
class Helper:
    def __init__(self, value):
        self.value = value
    @staticmethod
    def weigh(counts):
        return counts * VALUE
    def __call__(self, counts):
        return counts * self.value
    def begin(self, counts):
        return counts * {own}
def scaled(function):
    return functools.wraps(function)(lambda counts: function(counts) * {own})
@functools.cache
def helper(counts):
    return counts * {own}
helpers = [helper]
def takes(counts):
    return counts * VALUE
def with_default(counts, weights=VALUE, *, function=helper):
    return counts * weights
def makes(value):
    return lambda counts: counts * value
@scaled
def wrapped(counts):
    return counts
def calls_one_of_a_list(counts):
    return helpers[0](counts)
def calls_a_class(counts):
    return Helper.weigh(counts)
closes_over = makes(VALUE)
holds = Helper(VALUE)
method = Helper(1).begin
method_of_what_holds = Helper(VALUE).begin
bound = functools.partial(with_default, weights=VALUE, function=Helper(VALUE))
"""


@pytest.mark.parametrize("name", ["takes", "with_default", "closes_over", "holds", "method_of_what_holds", "bound"])
@pytest.mark.parametrize(
    ("value", "other"),
    [
        ("[1, 2]", "[1, 3]"),
        ("((1, 2), 3)", "((1, 4), 3)"),
        ("{'a': [1]}", "{'a': [2]}"),
        ("{1, 2}", "{1, 3}"),
        ("np.arange(2000)", "np.arange(2000) - (np.arange(2000) == 1000)"),
        ("np.int64(1)", "np.int64(2)"),
    ],
)
def test_a_hash_changes_with_lists_and_arrays_that_a_part_holds(
    name: str, value: str, other: str, tmp_path: Path
) -> None:
    first, again, changed = (
        source_hash(getattr(load(tmp_path / f"{number}.py", HELD.format(value=one, own=1)), name))
        for number, one in enumerate((value, value, other))
    )
    assert again == first
    assert changed != first


CACHES = """
LOG, KNOWN, SEEN = [], {}, set()
def keeps(counts, also=[]):
    also.append(1)
    LOG.append(2)
    SEEN.add(3)
    return KNOWN.setdefault(4, counts)
"""


def test_a_part_that_fills_a_cache_or_a_log_stays_itself(tmp_path: Path) -> None:
    """A search that a notebook broke off goes on there; another list in the place of the log is another part."""
    module = load(tmp_path / "caches.py", CACHES)
    before = source_hash(module.keeps)
    module.keeps(5)
    assert all((module.LOG, module.KNOWN, module.SEEN))
    assert source_hash(module.keeps) == before
    module.LOG = [2]
    assert source_hash(module.keeps) != before


@pytest.mark.parametrize("name", ["wrapped", "calls_one_of_a_list", "calls_a_class", "holds", "method"])
@pytest.mark.parametrize("written", [True, False])
def test_a_hash_changes_with_wrappers_methods_and_classes(name: str, written: bool, tmp_path: Path) -> None:
    def part(own: int) -> Any:
        text = HELD.format(value=own, own=own)
        if written:
            return getattr(load(tmp_path / f"{own}.py", text), name)
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, "<cell 1>", "exec"), names)
        return names[name]

    assert source_hash(part(7)) == source_hash(part(7))
    assert source_hash(part(7)) != source_hash(part(8))


def test_functions_without_a_source_have_a_hash() -> None:
    hashes = {source_hash(run_cell(number, "<nowhere>")) for number in (7, 8)}
    assert len(hashes) == 2
    assert source_hash(run_cell(7, "<nowhere else>")) in hashes
    assert source_hash(len) != source_hash(max)
    partials = [functools.partial(int, base=base) for base in (2, 8)]
    assert source_hash(partials[0]) != source_hash(partials[1])
