"""Registries: names, second entries, what is evo_fair's own, and what a block leaves behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evo_fair
from evo_fair.errors import PruningError, UnknownNameError
from evo_fair.registry import _ALL, Registry, restored_afterwards


@pytest.fixture
def registry() -> "Registry[object, str]":
    made: Registry[object, str] = Registry("part", PruningError, "plain", lambda: {"digest": "evo_fair.files:__dict__"})
    yield made
    _ALL.remove(made)


def test_a_part_is_found_by_its_name_with_its_traits(registry: Registry[object, str]) -> None:
    registry.add("mine", len, "odd")
    registry.add("other", max)
    assert registry["mine"] is len
    assert [registry.traits(name) for name in ("mine", "other")] == ["odd", "plain"]
    assert list(registry) == ["digest", "mine", "other"]
    assert registry.own_names() == ["mine", "other"]
    assert len(registry) == 3
    assert registry.get("none", 5) == 5


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(registry: Registry[object, str]) -> None:
    registry.add("mine", len)
    with pytest.raises(
        UnknownNameError,
        match=r"unknown part 'mime': expected one of digest, mine \(one of your own .*; did you mean 'mine'",
    ):
        registry["mime"]


@pytest.mark.parametrize("name", ["", "a b", "1st", "a/b", "../x", "x" * 101, None, 3, "é"])
def test_what_is_no_name_is_refused(registry: Registry[object, str], name: object) -> None:
    with pytest.raises(PruningError, match="is no name for a part: use letters, digits and _"):
        registry.add(name, len)  # type: ignore[arg-type]


def test_a_second_part_of_a_name_is_refused(registry: Registry[object, str]) -> None:
    registry.add("mine", len)
    with pytest.raises(PruningError, match="there is a part 'mine' already"):
        registry.add("mine", max, again=True)
    with pytest.raises(PruningError, match="there is a part 'mine' already"):
        registry.add("mine", len)
    registry.add("mine", len, again=True)  # the same once more


def test_what_is_evo_fairs_stays(registry: Registry[object, str]) -> None:
    for change in (lambda: registry.add("digest", len), lambda: registry.remove("digest")):
        with pytest.raises(PruningError, match=r"digest.*evo_fair"):
            change()


def test_a_block_leaves_nothing_behind(registry: Registry[object, str]) -> None:
    registry.add("before", len)
    with restored_afterwards():
        registry.remove("before")
        registry.add("within", max)
    assert registry.own_names() == ["before"]


def test_a_block_that_fails_leaves_nothing_behind_and_another_can_be_undone(registry: Registry[object, str]) -> None:
    def add(*names: str) -> None:
        for name in names:
            registry.add(name, max)

    with pytest.raises(PruningError), restored_afterwards(only_on_error=True):
        add("within", "no name")
    assert registry.own_names() == []
    with restored_afterwards(only_on_error=True) as undo:
        registry.add("within", max)
    assert registry.own_names() == ["within"]
    undo()
    assert registry.own_names() == []


FILES = {
    "evolution/strategy_alpha.py": """
from evo_fair.evolution.random_search import RandomSearch
from evo_fair.registries import strategy

@strategy("alpha")
class Alpha(RandomSearch):
    pass
""",
    "pruning/criterion_alpha.py": """
from evo_fair.pruning.criteria import magnitude_l1
from evo_fair.registries import criterion

@criterion(seedless=True)
def alpha(network, structure, samples, rng):
    return magnitude_l1(network, structure, samples, rng)
""",
    "pruning/method_beta.py": """
from evo_fair.pruning.ballot import ballot
from evo_fair.registries import method

@method()
def beta(dense, task, request):
    return ballot(dense, task, request)
""",
    "data/source_alpha.py": """
from evo_fair.data.source import source
from evo_fair.testing import small_dataset

@source(in_folder=False)
def alpha(request):
    return small_dataset()
""",
    "latency/onnx_op_alpha.py": """
from evo_fair.latency.onnx_operators import LayerCost, OwnOperator

ROWS = {"own.Alpha": OwnOperator("own.Alpha", lambda node: LayerCost("activation", 1, 1), None)}
""",
    "space/kind_alpha.py": """
from evo_fair.space.kinds import CB, KINDS, Kind

KINDS.add("ALPHA", Kind("ALPHA", CB.units, activated=False))
""",
}


def test_a_part_of_evo_fairs_own_is_one_file(tmp_path: Path) -> None:
    package = tmp_path / "evo_fair"
    shutil.copytree(Path(evo_fair.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for place, text in FILES.items():
        (package / place).write_text(text)
    check = """
from evo_fair.auditing.orders import order_names
from evo_fair.pruning import criterion_named
from evo_fair.pruning.methods import method_names
from evo_fair.registries import BLOCK_KINDS, CRITERIA, METHODS, OPERATORS, DATA_SOURCES, STRATEGIES
from evo_fair.space import find_kind

registries = STRATEGIES, CRITERIA, METHODS, DATA_SOURCES, OPERATORS, BLOCK_KINDS
for registry, name in zip(registries, ("alpha", "alpha", "beta", "alpha", "own.Alpha", "ALPHA")):
    assert name in registry.names() and registry.is_built_in(name) and name not in registry.own_names(), name
    assert registry[name] is not None
assert CRITERIA.traits("alpha").seedless and "alpha" in order_names()
assert {"alpha", "beta"} <= set(method_names())
assert find_kind("ALPHA_5x5").kernel == 5
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", check], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
