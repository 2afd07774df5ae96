"""Jobs by workers write the files that they write without, killed workers or not."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import evo_fair as ef
from evo_fair.pruning.methods import METHODS

from ...cli.conftest import problem_file

__all__ = ["problem_file"]

pytestmark = pytest.mark.slow

MEASURED = ("timing.json", "deployed.csv")
"""Files that say how fast it went."""


def contents(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: b"" if Path(name).name in MEASURED else path.read_bytes() for name, path in sorted(files.items())}


def assert_same(folder: Path, wanted: Path) -> None:
    found, other = contents(folder), contents(wanted)
    assert list(found) == list(other)
    assert [name for name in found if found[name] != other[name]] == []


class Hearer(ef.Listener):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, line: str) -> None:
        self.warnings.append(line)


def test_prunings_by_functions_of_ones_own_that_kill_their_workers(problem_file: Path, tmp_path: Path) -> None:
    owner, marker = os.getpid(), tmp_path / "killed"

    def once(dense: Any, task: Any, request: Any) -> Any:
        if os.getpid() != owner and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return METHODS["magnitude"](dense, task, request)

    def always(dense: Any, task: Any, request: Any) -> Any:
        if os.getpid() != owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return METHODS["magnitude"](dense, task, request)

    settings: Any = {"methods": ["taylor", once, always], "epochs": 1}
    alone = ef.prune(str(problem_file), out=tmp_path / "alone", **settings)
    settings["out"] = tmp_path / "workers"
    hearer = Hearer()
    left = ef.prune(str(problem_file), workers=ef.Workers(2, leave_out=True), listener=hearer, **settings)
    assert marker.exists()
    (line,) = hearer.warnings
    assert line.startswith("always-0.5-0 ended 3 workers (the last by SIGKILL(-9))")
    assert left.equals(alone[alone["method"] != "always"])
    ef.prune(str(problem_file), resume=True, **settings)  # without workers
    assert_same(tmp_path / "workers", tmp_path / "alone")


def test_a_search_with_trainings_and_its_deployment(problem_file: Path, tmp_path: Path) -> None:
    settings: Any = {"budget": 24, "population": 8, "trainings": 5, "seed": 1}
    alone = ef.search(str(problem_file), out=tmp_path / "alone", jobs=1, **settings)
    run = ef.search(str(problem_file), out=tmp_path / "workers", workers=2, **settings)
    assert_same(run.path, alone.path)
    for given, workers in ((alone, None), (run, 1)):
        # one of these is trained already, the other is not
        chosen = [given.front["id"].iloc[0], given.front["id"].iloc[-1]]
        ef.deploy(given, networks=chosen, from_scratch=True, epochs=2, workers=workers)
    assert_same(run.path / "deployed", alone.path / "deployed")


def test_audits(problem_file: Path, tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "supernet": {"networks": 300, "criteria": ["trained", "random"], "sparsities": [0.3, 0.6]},
        "network": {"network": "largest", "criteria": ["magnitude_l1"], "treatments": ["none"], "seeds": [0]},
    }
    for name, given in settings.items():
        ef.audit(str(problem_file), out=tmp_path / f"{name}-alone", **given)
        ef.audit(str(problem_file), out=tmp_path / name, workers=2 if name == "supernet" else 1, **given)
        assert_same(tmp_path / name, tmp_path / f"{name}-alone")
