"""Parts of your own in Python: registered, or handed over as objects; searched, resumed, deployed and pruned."""

import dataclasses
import functools
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import evo_fair as ef
from evo_fair.evolution import Constraint, Objective, resolve
from evo_fair.plugins import load_plugin, load_plugins, loaded_files, unloaded_afterwards
from evo_fair.registries import CRITERIA, STRATEGIES, modules_in
from evo_fair.registry import Registry
from evo_fair.testing import check_criterion, check_method, check_objective, check_source, check_strategy, small_dataset

from .own_parts import PLUGIN, PROBLEM


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with unloaded_afterwards():
        yield


@pytest.fixture
def mine() -> ModuleType:
    """The parts of the plugin without their registrations: functions and a class as a notebook has them."""
    module = ModuleType("mine")
    text = "\n".join(line for line in PLUGIN.split("\n") if not line.startswith("@ef."))
    exec(compile(text, "<notebook>", "exec"), vars(module))  # a notebook's cell
    return module


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> ef.Problem:
    """The problem on data that are handed over."""
    path = tmp_path_factory.mktemp("given") / "stripes.toml"
    path.write_text(PROBLEM.replace('source = "stripes"\nbands = 3', 'source = "digits"'))
    return ef.load_problem(path).with_data(small_dataset())


def test_objects_go_through_search_resume_and_deploy(given: ef.Problem, mine: ModuleType, tmp_path: Path) -> None:
    worst = Objective("worst_class_error", "min", function=mine.worst_class_error)
    layers = Objective("layers_in_all", "min", cheap=True, function=mine.layers_in_all)
    options: dict[str, Any] = {
        "algorithm": mine.Walk,
        "objectives": ["error", worst, layers],
        "constraints": ["worst_class_error <= 1", Constraint("layers_in_all", "<=", 40.0, layers)],
        "budget": 8,
        "population": 4,
    }
    run = ef.search(given, out=tmp_path / "run", **options)
    assert list(run.front)[1:4] == ["error", "worst_class_error", "layers_in_all"]
    assert run.configuration["search"]["algorithm"] == "Walk"
    assert set(run.configuration["search"]["sources"]) == {"worst_class_error", "layers_in_all"}
    assert set(run.configuration["parts"]) == {"algorithm Walk"}
    assert run.configuration["problem"]["data"]["source"] == "given"

    shutil.copytree(tmp_path / "run", tmp_path / "half")
    lines = (tmp_path / "run/journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "half/journal.jsonl").write_bytes(b"".join(lines[:3]))
    ef.search(given, out=tmp_path / "half", resume=True, **options)
    assert (tmp_path / "half/journal.jsonl").read_bytes() == b"".join(lines)

    class Walk(mine.Walk):  # type: ignore[name-defined,misc]
        def ask(self, n: int) -> Any:
            return super().ask(n)

    with pytest.raises(ef.RunError, match=r"the algorithm Walk is another one than when .* began"):
        ef.search(given, out=tmp_path / "half", resume=True, **options | {"algorithm": Walk})

    best = str(run.front["id"][0])
    with pytest.raises(ef.DataError, match=r"were given in Python: give them again, .*deploy\(run, data=dataset\)"):
        ef.deploy(run, networks=[best], epochs=0)
    table = ef.deploy(run, networks=[best], epochs=0, data=small_dataset())
    assert table["id"].tolist() == [best]
    with pytest.raises(ef.RunError):
        ef.deploy(run, networks=[best], epochs=0, data=small_dataset(seed=1), out=tmp_path / "other")


def test_an_object_with_settings_and_a_partial_are_strategies(
    given: ef.Problem, mine: ModuleType, tmp_path: Path
) -> None:
    class Settings:
        """A strategy with settings of its own, which `begin` sets up."""

        name = "walk_by_settings"

        def __init__(self, step: int) -> None:
            self.step = step

        def begin(self, space: Any, rng: Any, population: int, objectives: Any) -> Any:
            return mine.Walk(space, rng, population, objectives)

    def walk(space: Any, rng: Any, population: int, objectives: Any, step: int) -> Any:
        return mine.Walk(space, rng, population, objectives)

    for algorithm, name in ((Settings(2), "walk_by_settings"), (functools.partial(walk, step=3), "walk")):
        run = ef.search(given, out=tmp_path / name, algorithm=algorithm, budget=4, population=4, objectives=["error"])
        assert run.configuration["search"]["algorithm"] == name
    assert not STRATEGIES.own_names()


def test_functions_are_methods_and_criteria(given: ef.Problem, mine: ModuleType, tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": [mine.cut_and_train, mine.smallest_output, "taylor"], "epochs": 1}
    table = ef.prune(given, out=tmp_path / "pruned", **options)
    assert table["method"].tolist() == ["dense", "cut_and_train", "smallest_output", "taylor"]
    (tmp_path / "pruned/smallest_output-0.5-0.json").unlink()
    again = ef.prune(given, out=tmp_path / "pruned", resume=True, **options)
    pd.testing.assert_frame_equal(table, again)
    with pytest.raises(ef.RunError, match="was made with the method cut_and_train: give it again"):
        ef.prune(given, out=tmp_path / "pruned", resume=True, methods=["taylor"], epochs=1)
    rewound = ef.prune(given, out=tmp_path / "rewound", methods=[mine.smallest_output], treatment="none", epochs=1)
    assert rewound["iterations"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda p, out: ef.search(p, out=out, objectives=[len]), "does not say whether it is to be small or large"),
        (lambda p, out: ef.search(p, out=out, objectives=[Objective("mine")]), "objective 'mine' has no function"),
        (lambda p, out: ef.search(p, out=out, objectives=[Objective("error", function=len)]), "'error' already"),
        (lambda p, out: ef.search(p, out=out, objectives=[Objective("a b", function=len)]), "'a b' is no name"),
        (lambda p, out: ef.search(p, out=out, constraints=[len]), "is no constraint: write one as in"),
        (lambda p, out: ef.search(p, out=out, algorithm=3), "algorithm 3 is no text, and no strategy"),
        (lambda p, out: ef.search(p, out=out, algorithm=len), "algorithm 'len' can't be called with (space, rng"),
        (lambda p, out: ef.prune(p, out=out, methods=[3]), "methods: item 1 3 is no text"),
        (lambda p, out: ef.prune(p, out=out, methods=[len]), "len is called neither with (dense, task, request)"),
        (lambda p, out: ef.prune(p, out=out, methods=[lambda a, b, c: a]), "'<lambda>' is no name for a method"),
        (lambda p, out: p.with_data(3), "with_data gives int: it has to give an evo_fair.data.Dataset"),
    ],
)
def test_objects_that_are_no_parts_are_one_line(call: Any, told: str, given: ef.Problem, tmp_path: Path) -> None:
    with pytest.raises(ef.EvoFairError) as caught:
        call(given, tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out/run.toml").exists()


def test_data_that_do_not_suit_the_problem_are_refused(given: ef.Problem) -> None:
    data = small_dataset()
    table = ef.Dataset(
        **{name: getattr(data, name) for name in ("name", "labels", "label_names", "groupings", "split", "units")},
        inputs=np.zeros((len(data), 5), np.float32),
        positive=(),
        licence="none",
    )
    with pytest.raises(ef.ProblemError, match="the data are a table, which the space of stripes is not for"):
        given.with_data(table)
    with pytest.raises(ef.ProblemError, match=r"stripes\.toml: \[fairness\] group: unknown group 'site'"):
        given.with_data(ef.load_problem("digits").dataset())


def test_inputs_without_a_value_are_refused(given: ef.Problem) -> None:
    data = small_dataset()
    with pytest.raises(ef.EvoFairError, match=r"with_data has inputs of the shape \[1, 0, 8\], which hold nothing"):
        given.with_data(dataclasses.replace(data, inputs=data.inputs[:, :, :0]))


@pytest.mark.parametrize("reordered", ["labels", "names"])
def test_classes_that_are_not_the_labels_are_refused(reordered: str, given: ef.Problem) -> None:
    """As where samples or names were put in another order, and the grouping was not."""
    data = small_dataset()
    change = {"labels": data.labels[::-1]} if reordered == "labels" else {"label_names": data.label_names[::-1]}
    with pytest.raises(ef.EvoFairError, match=r"'class' that is not that of its labels: make it with class_grouping"):
        given.with_data(dataclasses.replace(data, **change))


def test_a_plugin_is_the_same_in_python_and_its_parts_pass_the_kit(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "stripes.toml").write_text(PROBLEM)
    ef.load_plugin(tmp_path / "mine.py")
    check_objective("worst_class_error")
    check_objective("layers_in_all")
    check_strategy("Walk")
    check_criterion("smallest_output")
    check_method("cut_and_train")
    check_source("stripes", bands=3)
    assert ef.load_problem(tmp_path / "stripes.toml").dataset().name == "small"
    assert loaded_files() == ((tmp_path / "mine.py").resolve(),)
    load_plugins(loaded_files())  # once is enough


def test_worker_processes_know_the_parts_of_plugins(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    load_plugin(tmp_path / "mine.py")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=load_plugins, initargs=(loaded_files(),)) as pool:
        (here,) = resolve(["layers_in_all"])
        there = pool.submit(resolve, ["layers_in_all"]).result()[0]
    assert there.measure(np.ones((2, 3, 8), np.int32)).tolist() == [3, 3]
    assert there.function is here.function  # it is known by the plugin's name on both sides


def test_an_own_setting_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    load_plugin(tmp_path / "mine.py")
    (tmp_path / "stripes.toml").write_text(PROBLEM.replace("bands = 3", "bands = 'three'"))
    with pytest.raises(ef.ProblemError, match=r"data: bands: expected a whole number, got 'three'"):
        ef.load_problem(tmp_path / "stripes.toml")


def test_an_edited_plugin_takes_the_place_of_what_it_registered(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import evo_fair as ef\n@ef.criterion()\ndef first(a, b, c, d): ...\n")
    load_plugin(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("import evo_fair as ef\n\n\n@ef.criterion()\ndef second(a, b, c, d): ...\n")
    load_plugin(tmp_path / "mine.py")
    assert CRITERIA.own_names() == ["second"]
    (tmp_path / "mine.py").write_text("import evo_fair as ef\n@ef.criterion()\ndef third(a, b, c, d): ...\n1 / 0\n")
    with pytest.raises(ef.PluginError, match="line 4: ZeroDivisionError"):
        load_plugin(tmp_path / "mine.py")
    assert CRITERIA.own_names() == []


def test_a_plugin_imports_what_lies_beside_it_and_that_is_recorded(tmp_path: Path) -> None:
    from evo_fair.plugins import facts

    text = "import evo_fair as ef\nfrom helper_of_mine import value\n@ef.criterion()\ndef beside(a, b, c, d): ...\n"
    hashes = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "mine.py").write_text(text)
        (folder / "helper_of_mine.py").write_text(f"value = {number}\n")
        with unloaded_afterwards():
            load_plugin(folder / "mine.py")
            hashes.append(facts()["plugins"])
    assert hashes[0].keys() == hashes[1].keys() == {"helper_of_mine.py", "mine.py"}
    assert hashes[0]["mine.py"] == hashes[1]["mine.py"]
    assert hashes[0]["helper_of_mine.py"] != hashes[1]["helper_of_mine.py"]
    assert facts() == {}
    (tmp_path / "1/helper_of_mine.py").write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ef.PluginError, match=r"mine.py, in helper_of_mine.py, line 2: ZeroDivisionError"):
        load_plugin(tmp_path / "1/mine.py")


def test_a_plugin_is_run_again_where_what_it_imports_from_beside_it_was_edited(tmp_path: Path) -> None:
    lines = ["import evo_fair as ef", "from helper_of_mine import value", "@ef.objective()"]
    lines += ["def edited(counts):", "    return value"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    given = []
    with unloaded_afterwards():
        for value in (1, 20, 20):
            (tmp_path / "helper_of_mine.py").write_text(f"value = {value}\n")
            load_plugin(tmp_path / "mine.py")
            given.append(resolve(["edited"])[0].function)
    assert [function(None) for function in given] == [1, 20, 20]
    assert given[1] is given[2]


def test_packages_beside_a_plugin_are_recorded_and_those_of_an_environment_there_are_not(tmp_path: Path) -> None:
    from evo_fair.plugins import facts, loaded_modules

    for folder in ("package_of_mine", ".venv/lib/site-packages/installed_of_mine"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()
        (tmp_path / folder / "inner.py").write_text("value = 1\n")
    lines = ["import sys", f"sys.path.append({str(tmp_path / '.venv/lib/site-packages')!r})"]
    lines += ["from installed_of_mine.inner import value", "from package_of_mine.inner import value"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    hashes = []
    for number in (1, 2):
        (tmp_path / "package_of_mine/inner.py").write_text(f"value = {number}\n")
        with unloaded_afterwards():
            load_plugin(tmp_path / "mine.py")
            hashes.append(facts()["plugins"])
            assert {"package_of_mine", "package_of_mine.inner"} < set(loaded_modules())
            assert "installed_of_mine.inner" not in loaded_modules()
    assert hashes[0].keys() == {"mine.py", "package_of_mine/__init__.py", "package_of_mine/inner.py"}
    different = {name for name in hashes[0] if hashes[0][name] != hashes[1][name]}
    assert different == {"package_of_mine/inner.py"}


def test_two_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text("")
    load_plugin(tmp_path / "a/mine.py")
    with pytest.raises(ef.PluginError, match="have one name, by which runs record them: rename one"):
        load_plugin(tmp_path / "b/mine.py")


def test_a_part_defined_again_in_a_notebook_takes_its_own_place() -> None:
    cell = "import evo_fair as ef\n@ef.strategy()\nclass Again:\n    def __init__(self, s, r, p, o): self.n = {}\n"
    for number in (1, 2):
        exec(compile(cell.format(number), f"<cell {number}>", "exec"), {"__name__": "__main__"})
    assert STRATEGIES["Again"](1, 2, 3, 4).n == 2
    with pytest.raises(ef.EvoFairError, match="there is an algorithm 'Again' already"):
        exec(compile(cell.format(3), "<cell 3>", "exec"), {"__name__": "another"})
    ef.forget("Again", "algorithm")
    assert "Again" not in STRATEGIES


@pytest.mark.parametrize("call", [ef.load_plugin, ef.forget])
def test_what_is_no_path_and_no_name_is_one_line(call: Any) -> None:
    with pytest.raises(ef.EvoFairError, match=r"^(plugin 3 is no path|unknown objective '3')"):
        call(3)


def test_a_criterion_that_orders_like_an_unknown_one_is_refused() -> None:
    with pytest.raises(ef.UnknownNameError, match=r"unknown criterion 'magnitude_l3'.* did you mean 'magnitude_l"):
        ef.criterion("nearly_l2", orders_alike="magnitude_l3")
    assert callable(ef.criterion("nearly_l2", orders_alike="magnitude_l2"))


def test_every_name_of_the_projects_own_is_registered_by_its_home() -> None:
    from evo_fair.registry import _ALL

    for registry in _ALL:
        for name in registry:
            if registry.is_built_in(name):
                assert registry[name] is not None


def test_a_part_of_the_projects_own_is_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "evo_fair" / "pruning"
    folder.mkdir(parents=True)
    (folder / "criterion_alpha.py").write_text("")
    monkeypatch.setattr("evo_fair.registry._PACKAGE", tmp_path / "evo_fair")
    assert modules_in("evo_fair.pruning", "criterion_") == {"alpha": "evo_fair.pruning.criterion_alpha"}
    assert issubclass(Registry, dict) is False
