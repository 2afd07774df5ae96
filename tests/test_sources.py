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


def test_functions_without_a_source_have_a_hash() -> None:
    hashes = {source_hash(run_cell(number, "<nowhere>")) for number in (7, 8)}
    assert len(hashes) == 2
    assert source_hash(run_cell(7, "<nowhere else>")) in hashes
    assert source_hash(len) != source_hash(max)
    partials = [functools.partial(int, base=base) for base in (2, 8)]
    assert source_hash(partials[0]) != source_hash(partials[1])
