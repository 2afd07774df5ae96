"""The Python API as a user meets it."""

import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w

import evo_fair as ef
from evo_fair import errors
from evo_fair.evolution import forget

from ..cli.conftest import problem_file

__all__ = ["problem_file"]


def test_import_is_light_and_every_public_name_is_there() -> None:
    code = (
        "import sys, evo_fair as ef\n"
        "assert not {'torch', 'numba', 'pandas', 'pymoo'} & set(sys.modules)\n"
        "assert set(ef.__all__) <= set(dir(ef))\n"
        "for name in ef.__all__: assert getattr(ef, name).__module__.startswith('evo_fair'), name\n"
        "import evo_fair.evolution.engine\n"
        "assert ef.search.__module__ == 'evo_fair.jobs.search'\n"
        "try: ef.serach\n"
        "except AttributeError as error: assert 'serach' in str(error)\n"
        "else: raise SystemExit('a wrong name was found')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_kind_of_error_is_public() -> None:
    kinds = {name for name in errors.__all__ if name.endswith("Error")}
    assert {name: getattr(ef, name) for name in kinds} == {name: getattr(errors, name) for name in kinds}
    assert kinds <= set(ef.__all__)


def test_one_name_where_a_list_belongs_is_refused(tmp_path: Path) -> None:
    for name, call in {
        "objectives": lambda: ef.search("digits", out=tmp_path, objectives="error"),
        "constraints": lambda: ef.search("digits", out=tmp_path, constraints="latency_ms <= 5"),
        "networks": lambda: ef.deploy(tmp_path, networks="all"),
        "references": lambda: ef.deploy(tmp_path, references=Path("a.onnx")),  # type: ignore[arg-type]
        "methods": lambda: ef.prune("digits", out=tmp_path, methods="magnitude"),
    }.items():
        with pytest.raises(ef.EvoFairError, match=f"{name} = .* is a single one: give a list"):
            call()


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ("budget '5' is no whole number", {"budget": "5"}),
        ("budget 2.5 is no whole number", {"budget": np.float32(2.5)}),
        ("population True is no whole number", {"population": True}),
        ("seed is None", {"seed": None}),
        ("seed -1 is negative", {"seed": np.int64(-1)}),
        ("jobs 0 is too few", {"jobs": np.int64(0)}),
        ("jobs 1000000 is too many", {"jobs": 10**6}),
        ("listener 3 is no evo_fair.Listener", {"listener": 3}),
        ("objectives = 3 is a single one: give a list", {"objectives": 3}),
        ("objectives: item 1 None is no text", {"objectives": [None]}),
        ("constraints = 0.5 is a single one: give a list", {"constraints": np.float32(0.5)}),
        ("group 3 is no text", {"group": 3}),
        ("algorithm None is no text", {"algorithm": None}),
        ("out None is no path", {"out": None}),
        ("problem None is no path", {"problem": None}),
    ],
)
def test_arguments_of_the_wrong_kind_are_one_line(told: str, wrong: dict[str, object], tmp_path: Path) -> None:
    arguments = {"problem": "digits", "out": tmp_path / "run", **wrong}
    with pytest.raises(ef.EvoFairError, match=f"^{told}") as caught:
        ef.search(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ef.load_problem(None),  # type: ignore[arg-type]
        lambda: ef.load_profile(None),  # type: ignore[arg-type]
        lambda: ef.load_run(None),  # type: ignore[arg-type]
        lambda: ef.read_layers(None),  # type: ignore[arg-type]
        lambda: ef.compare(None),  # type: ignore[arg-type]
        lambda: ef.train(None),  # type: ignore[arg-type]
        lambda: ef.train("digits", out=3),  # type: ignore[arg-type]
        lambda: ef.train_reference("cifar10", None),  # type: ignore[arg-type]
        lambda: ef.train_reference("cifar10", "mobilenet-v2", out=3),  # type: ignore[arg-type]
        lambda: ef.audit("digits", out="x", module=3),  # type: ignore[arg-type]
        lambda: ef.prune("digits", out="x", run=3, network="a"),  # type: ignore[arg-type]
        lambda: ef.prune("digits", out="x", structure=3),  # type: ignore[arg-type]
        lambda: ef.deploy(None),  # type: ignore[arg-type]
        lambda: ef.prune("digits", out="x", seeds=0),  # type: ignore[arg-type]
        lambda: ef.prune("digits", out="x", sparsities=0.5),  # type: ignore[arg-type]
        lambda: ef.prune("digits", out="x", epsilon="0.1"),  # type: ignore[arg-type]
    ],
)
def test_public_functions_refuse_what_is_nothing_to_them(call: Callable[[], object]) -> None:
    with pytest.raises(ef.EvoFairError):
        call()


@pytest.mark.slow
def test_numbers_of_numpy_give_the_run_that_pythons_give(problem_file: Path, tmp_path: Path) -> None:
    ef.search(str(problem_file), out=tmp_path / "a", objectives=["error", "params"], budget=6, population=4, seed=1)
    ef.search(
        problem_file,
        out=str(tmp_path / "b"),
        objectives=np.array(["error", "params"]),  # type: ignore[arg-type]
        budget=np.int64(6),  # type: ignore[arg-type]
        population=np.uint8(4),  # type: ignore[arg-type]
        seed=np.array(1),  # type: ignore[arg-type]
        jobs=np.int32(1),  # type: ignore[arg-type]
    )
    for name in ("run.toml", "journal.jsonl"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()


@pytest.mark.slow
def test_two_searches_in_two_threads_both_end(problem_file: Path, tmp_path: Path) -> None:
    def search(seed: int) -> int:
        return len(ef.search(str(problem_file), out=tmp_path / str(seed), budget=6, population=4, seed=seed).front)

    with ThreadPoolExecutor(2) as pool:
        assert all(size > 0 for size in pool.map(search, range(2)))
    alone = ef.search(str(problem_file), out=tmp_path / "alone", budget=6, population=4, seed=1)
    for name in ("run.toml", "journal.jsonl"):
        assert (alone.path / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


@pytest.mark.slow
def test_a_resumed_run_says_that_its_objective_has_another_source(problem_file: Path, tmp_path: Path) -> None:
    text = "@objective()\ndef own_gap(counts):\n    return counts.overall[:, 0, 0] / {}\n"

    def define(number: int) -> None:
        names = {"__name__": "__main__", "objective": ef.objective}
        exec(compile(text.format(number), "<cell>", "exec"), names)

    def search(resume: bool) -> ef.Run:
        chosen = ["error", "own_gap"]
        where = tmp_path / "run"
        return ef.search(str(problem_file), out=where, objectives=chosen, budget=6, population=4, resume=resume)

    try:
        define(7)
        assert list(search(resume=False).configuration["search"]["sources"]) == ["own_gap"]
        define(7)
        search(resume=True)
        define(8)
        with pytest.raises(ef.RunError, match="objective 'own_gap' has another source than when the run in"):
            search(resume=True)
        configuration = tomllib.loads((tmp_path / "run" / "run.toml").read_text())
        for damage in (3, "own_gap"):
            configuration["search"]["sources"] = damage
            (tmp_path / "run" / "run.toml").write_text(tomli_w.dumps(configuration))
            with pytest.raises(ef.RunError, match=r"was made with search\.sources\.own_gap = nothing, not"):
                search(resume=True)
    finally:
        forget("own_gap")


@pytest.mark.parametrize("limit", [False, True])
def test_a_measure_that_draws_random_numbers_is_refused_before_any_training(
    limit: bool, problem_file: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    noisy = ef.Objective("noisy", function=lambda counts: rng.random(len(counts)))
    ef.evolution.register(noisy)
    chosen = {"constraints": ["noisy<=1"]} if limit else {"objectives": ["error", "noisy"]}
    try:
        with pytest.raises(ef.ObjectiveError, match=r"'noisy' says .* and then .* of the same network"):
            ef.search(str(problem_file), out=tmp_path / "run", budget=6, population=4, **chosen)
    finally:
        forget("noisy")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("module", ["belief", "space", "latency", "fairness", "evolution", "report", "data"])
def test_rooms_below_the_networks_do_without_torch(module: str) -> None:
    code = f"import sys, evo_fair.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_search_begins_without_what_draws_its_figures() -> None:
    code = "import sys, evo_fair.jobs.search; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_search_with_objectives_of_the_users_own(problem_file: Path, tmp_path: Path) -> None:
    @ef.objective(direction="min")
    def worst_class_error(counts: ef.Counts) -> np.ndarray:
        totals = counts.overall.sum(axis=2)
        return 1 - (np.diagonal(counts.overall, axis1=1, axis2=2) / totals).min(axis=1)

    @ef.objective(direction="min", cheap=True)
    def layers_in_all(layers: np.ndarray) -> np.ndarray:
        return (layers[:, :, 0] > 0).sum(axis=1)

    class Heard(ef.Listener):
        generations = 0
        networks = 0

        def searching(self, progress: object) -> None:
            self.generations += 1

        def exporting(self, done: int, networks: int) -> None:
            self.networks = done

    heard = Heard()
    try:
        run = ef.search(
            ef.load_problem(str(problem_file)),
            objectives=["worst_class_error", "layers_in_all"],
            constraints=["params <= 5000"],
            budget=24,
            population=8,
            seed=3,
            jobs=1,
            out=tmp_path / "run",
            listener=heard,
        )
    finally:
        forget("worst_class_error")
        forget("layers_in_all")
    front = run.front
    assert isinstance(front, pd.DataFrame)
    assert front["params"].max() <= 5000
    assert front["layers_in_all"].is_monotonic_decreasing  # the front is sorted by the first objective
    assert heard.generations >= 3
    assert heard.networks == len(front)
    assert sum(record.evaluated for record in run.records) == 24
    point = run.operating_point(["worst_class_error <= 1"], minimise="latency_ms")
    assert point is not None
    assert point["latency_ms"] == front["latency_ms"].min()
    again = ef.load_run(tmp_path / "run")  # needs the registry no more
    pd.testing.assert_frame_equal(again.front, front)
    run.plot(tmp_path / "mine.pdf")
    assert (tmp_path / "mine.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_a_figure_that_cannot_be_drawn_keeps_no_network_from_being_written(problem_file: Path, tmp_path: Path) -> None:
    @ef.objective(cheap=True)
    def enormous(layers: np.ndarray) -> np.ndarray:
        return np.where(layers[:, :, 0].sum(axis=1) % 2, 1e300, 1e-300) * layers[:, :, 2].sum(axis=1)

    told: list[str] = []

    class Heard(ef.Listener):
        def undrawn(self, reason: str) -> None:
            told.append(reason)

    try:
        options = {"objectives": ["error", "enormous"], "budget": 12, "population": 6, "jobs": 1}
        run = ef.search(str(problem_file), out=tmp_path / "run", listener=Heard(), **options)
    finally:
        forget("enormous")
    assert len(told) == 1
    assert "pareto.png can't be drawn" in told[0]
    assert {path.stem for path in (tmp_path / "run" / "networks").glob("*.onnx")} == set(run.front["id"])


@pytest.mark.slow
def test_the_second_search_of_a_folder_hears_who_holds_it(problem_file: Path, tmp_path: Path) -> None:
    refused: list[ef.RunError] = []

    class Second(ef.Listener):
        def exporting(self, done: int, networks: int) -> None:
            if done == 1:
                thread = threading.Thread(target=self.begin)
                thread.start()
                thread.join()

        def begin(self) -> None:
            (tmp_path / "run" / "networks" / ".x.1.tmp.onnx").touch()  # as of a network that is being written
            for resume in (False, True):
                try:
                    ef.search(str(problem_file), out=tmp_path / "run", budget=12, population=6, jobs=1, resume=resume)
                except ef.RunError as error:
                    refused.append(error)

    ef.search(str(problem_file), out=tmp_path / "run", budget=12, population=6, jobs=1, listener=Second())
    assert len(refused) == 2
    assert all(f"a search (process {os.getpid()} on " in str(error) for error in refused)
    assert (tmp_path / "run" / "networks" / ".x.1.tmp.onnx").exists()
    assert not (tmp_path / "run" / ".lock").exists()


def test_strides_that_are_chosen_go_the_whole_way(problem_file: Path, tmp_path: Path) -> None:
    """Networks of several resolutions come from one supernet, and what is written is checked against torch."""
    problem = tmp_path / "strided.toml"
    problem.write_text(problem_file.read_text().replace("stride = 2", "stride = [1, 2]"))
    run = ef.search(problem, device="raspberry-pi-4", out=tmp_path / "run")
    cards = [json.loads((run.path / "networks" / f"{name}.json").read_text()) for name in run.front["id"]]
    strides = {(card["genome"]["stem.stride"], card["genome"]["stage1.stride"]) for card in cards}
    assert len(strides) > 1
    for card in cards:
        stem, first = card["architecture"][:2]
        assert (stem["stride"], first["stride"]) == (
            2 - card["genome"]["stem.stride"],
            2 - card["genome"]["stage1.stride"],
        )
        assert (first["h_in"], first["w_in"]) == (8 // stem["stride"],) * 2
        assert card["onnx"]["parity"]["samples"] > 100


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('device = "raspbery-pi-4"', r"tiny\.toml: \[search\] device: unknown device 'raspbery-pi-4'"),
        (
            'constraints = ["latency_m <= 3"]',
            r"tiny\.toml: \[search\] constraints: can't use the constraint 'latency_m",
        ),
        ('objectives = ["eror"]', r"tiny\.toml: \[search\] objectives: unknown objective 'eror'"),
    ],
)
def test_names_that_the_problem_file_has_wrong_are_said_with_file_and_key(
    line: str, told: str, problem_file: Path, tmp_path: Path
) -> None:
    kept = [one for one in problem_file.read_text().splitlines() if not one.startswith(line.split()[0])]
    problem = tmp_path / "tiny.toml"
    problem.write_text("\n".join([*kept, line]))
    with pytest.raises(ef.ProblemError, match=told):
        ef.search(problem, out=tmp_path / "run")
    given = {"device": "abacus", "constraints": ["latncy <= 3"], "objectives": ["eror"]}
    with pytest.raises(ef.EvoFairError) as caught:
        ef.search(problem_file, out=tmp_path / "run", **{line.split()[0]: given[line.split()[0]]})
    assert "toml" not in str(caught.value).split(":")[0], "what was given is not the file's"
