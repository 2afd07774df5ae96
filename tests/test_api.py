"""The Python API as a user meets it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import evo_fair as ef
from evo_fair import errors
from evo_fair.search import forget

from .cli.conftest import problem_file

__all__ = ["problem_file"]


def test_import_is_light_and_every_public_name_is_there() -> None:
    code = (
        "import sys, evo_fair as ef\n"
        "assert not {'torch', 'numba', 'pandas', 'pymoo'} & set(sys.modules)\n"
        "assert set(ef.__all__) <= set(dir(ef))\n"
        "for name in ef.__all__: assert getattr(ef, name).__module__.startswith('evo_fair'), name\n"
        "import evo_fair.search.engine\n"
        "assert ef.search.__module__ == 'evo_fair.api'\n"
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


@pytest.mark.parametrize("module", ["space", "latency", "fairness", "search", "report", "data"])
def test_rooms_below_the_networks_do_without_torch(module: str) -> None:
    code = f"import sys, evo_fair.{module}; assert 'torch' not in sys.modules"
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
