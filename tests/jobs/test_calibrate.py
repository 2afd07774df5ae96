"""`ef.calibrate`: measurements become a profile, doubts are heard and kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evo_fair as ef
from evo_fair.evolution import Axis, create_run, describe
from evo_fair.latency.measurements import write_latency, write_layers

NETWORKS = 24


class Hearer(ef.Listener):
    def __init__(self) -> None:
        self.stages: dict[str, tuple[int, int]] = {}
        self.warnings: list[str] = []

    def calibrating(self, stage: str, done: int, total: int) -> None:
        self.stages[stage] = (done, total)

    def warned(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Networks of the digits' space on a device three times as slow as a Pi 4; one is a hundred times off."""
    space = ef.load_problem("digits").search_space((1, 8, 8), 10)
    table = space.decode(np.unique(space.sample(np.random.default_rng(0), NETWORKS), axis=0))
    names = [f"n{i}" for i in range(len(table))]
    ms = 3 * ef.load_profile("raspberry-pi-4").latency_ms(table)
    ms[4] *= 100
    write_layers(tmp_path / "layers.csv", names, table)
    write_latency(tmp_path / "latency.csv", names, ms)
    return {"layers": tmp_path / "layers.csv", "latency": tmp_path / "latency.csv"}


def test_measurements_become_a_profile(files: dict[str, Any], tmp_path: Path) -> None:
    hearer = Hearer()
    made = ef.calibrate("own", out=tmp_path / "own.json", board="my board", listener=hearer, **files)
    assert ef.load_profile(tmp_path / "own.json").sha256 == made.profile.sha256
    assert made.profile.file.device.name == "my board"
    assert len(made.measured.names) == len(made.measured.latency_ms)
    assert "fitting" in hearer.stages
    assert all(done == total for done, total in hearer.stages.values())
    assert list(made.warnings) == hearer.warnings
    assert any("'n4'" in line for line in made.warnings), "the outlier is named"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"layers": "layers.csv"}, "--latency is missing"),
        ({"board": "mine"}, "--board is only for measurements"),
        ({"carry_from": "pixel-3"}, "carry_from = .* is a single one: give a list"),
        ({"layers": "a.csv", "latency": "b.csv", "keep": "kept"}, "--keep is for what is measured here"),
        ({"layers": "a.csv", "latency": "b.csv", "minutes": 5.0}, "--minutes is for what is measured here"),
        ({"layers": "a.csv", "latency": "b.csv", "seed": 0}, "--seed is for what is measured here"),
        ({"layers": "a.csv", "latency": "b.csv", "problem": "digits"}, "--problem is for what is measured here"),
        ({"minutes": "long"}, "minutes 'long' is no finite number"),
        ({"problem": "digits", "seed": -1}, "seed -1 is negative"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ef.EvoFairError, match=told):
        ef.calibrate("own", **wrong)


def test_a_name_that_no_profile_can_have_is_refused_before_anything_is_fitted(files: dict[str, Any]) -> None:
    hearer = Hearer()
    with pytest.raises(ef.EvoFairError, match="profile name 'my board': expected up to 64 letters"):
        ef.calibrate("my board", listener=hearer, **files)
    assert not hearer.stages


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 3} for name in ("board", "cores", "runtime", "precision", "source", "licence", "layers", "latency")),
        *({name: [3]} for name in ("runtime", "layers", "latency")),
        {"precision": "fp33"},
        {"threads": 0},
    ],
)
def test_arguments_of_another_kind_are_refused_in_one_line(wrong: dict[str, Any], files: dict[str, Any]) -> None:
    with pytest.raises(ef.EvoFairError) as caught:
        ef.calibrate("own", **files | wrong)
    assert "\n" not in str(caught.value)
    assert next(iter(wrong)) in str(caught.value)


def test_a_machine_is_not_timed_on_no_thread() -> None:
    with pytest.raises(ef.ProfileError, match=r"threads 0 .* have to be above 0"):
        ef.calibrate("own", threads=0, minutes=0.01, problem="digits")


def test_a_kit_says_what_it_measures(tmp_path: Path) -> None:
    campaign = ef.calibration_kit(tmp_path / "kit", problem="digits")
    written = {path.stem for path in (tmp_path / "kit" / "networks").glob("*.onnx")}
    assert written == set(campaign.names)
    with pytest.raises(ef.EvoFairError, match="exists and is not empty"):
        ef.calibration_kit(tmp_path / "kit", problem="digits")


@pytest.mark.parametrize("whole", [{"problem": "digits"}, {"seed": 0}])
def test_a_kit_of_a_run_takes_nothing_of_a_whole_space(whole: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ef.EvoFairError, match=f"--{next(iter(whole))} is for a kit of a whole space"):
        ef.calibration_kit(tmp_path / "kit", run=tmp_path, **whole)


def test_a_run_of_a_network_of_its_own_has_no_kit(tmp_path: Path) -> None:
    """Its genomes are none of the problem's space, in which they could mean other networks."""
    configuration = {
        "search": {"algorithm": "nsga2", "objectives": describe([Axis("latency_ms")]), "group": "class"},
        "device": {"name": "raspberry-pi-5", "sha256": "a1"},
        "network": {"name": "mine"},
    }
    create_run(tmp_path / "run", configuration)
    with pytest.raises(ef.RunError, match="searched a network of its own, and a kit has layers of a problem's space"):
        ef.calibration_kit(tmp_path / "kit", run=tmp_path / "run")
    assert not (tmp_path / "kit").exists()


def test_a_kit_of_a_run_that_says_no_device_is_refused(tmp_path: Path) -> None:
    configuration = {"search": {"algorithm": "nsga2", "objectives": describe([Axis("error")]), "group": "class"}}
    create_run(tmp_path / "run", configuration)
    with pytest.raises(ef.RunError, match="does not say which device was searched for: give one"):
        ef.calibration_kit(tmp_path / "kit", run=tmp_path / "run")
    with pytest.raises(ef.RunError, match="does not say which problem was searched"):
        ef.calibration_kit(tmp_path / "kit", run=tmp_path / "run", device="raspberry-pi-5")
