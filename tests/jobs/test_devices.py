"""Several devices in one job: which profiles they are, and a search for two of them from end to end."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import evo_fair as ef
from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import resolve
from evo_fair.jobs.devices import card_facts, device_facts, load_devices, objectives_on, recorded_on, searched_devices
from evo_fair.jobs.searched_run import profiles_of
from evo_fair.latency import load_profile
from evo_fair.report.candidates import choose_in

from ..cli.conftest import problem_file

__all__ = ["problem_file"]

BOARD, PHONE = "raspberry-pi-4", "pixel-3"
ON_BOARD, ON_PHONE = f"latency_ms[{BOARD}]", f"latency_ms[{PHONE}]"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The phone's profile as a file."""
    load_profile(PHONE).write(tmp_path / "own.json")
    return tmp_path / "own.json"


@pytest.mark.parametrize("given", [BOARD, [BOARD], (BOARD, PHONE), [Path("hardware_profiles") / f"{PHONE}.json"]])
def test_one_device_or_several_are_loaded_in_their_order(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(ef.__file__).parent.parent)
    names = [given] if isinstance(given, str) else [Path(one).name.removesuffix(".json") for one in given]
    assert [profile.name for profile in load_devices(given)] == names


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([BOARD, PHONE, BOARD], f"device {BOARD!r} is given twice"),
        ([BOARD, "pixel3"], "unknown device 'pixel3': .*; did you mean 'pixel-3'"),
        ([], "names no device"),
        (3, "device 3 is no device: give a name, a path, or a list"),
        ({BOARD: 1}, "is no device"),
        ([BOARD, None], "device None is no path"),
        ([f"{BOARD}, {PHONE}"], "unknown device 'raspberry-pi-4, pixel-3'"),
    ],
)
def test_wrong_devices_are_one_line(given: Any, told: str) -> None:
    with pytest.raises(EvoFairError, match=told) as caught:
        load_devices(given)
    assert "\n" not in str(caught.value)


def test_a_name_and_a_file_of_the_same_profile_are_one_device(own: Path) -> None:
    with pytest.raises(EvoFairError, match=f"'{PHONE}' and '.*own.json' are one profile, '{PHONE}', given twice"):
        load_devices([PHONE, own])
    content = json.loads(own.read_text())
    own.write_text(json.dumps(content | {"notes": "changed"}))
    with pytest.raises(EvoFairError, match=f"are two profiles of one name, '{PHONE}': give one of them another 'name'"):
        load_devices([PHONE, own])
    own.write_text(json.dumps(content | {"name": "my-phone"}))
    assert [profile.name for profile in load_devices([PHONE, own])] == [PHONE, "my-phone"]


def test_a_problems_latency_is_one_for_each_device() -> None:
    one, two = load_devices(BOARD), load_devices([BOARD, PHONE])
    assert objectives_on(one, ["error", "latency_ms"]) == ["error", "latency_ms"]
    assert objectives_on(two, ["error", "latency_ms", "params"]) == ["error", ON_BOARD, ON_PHONE, "params"]
    assert objectives_on(two, ["latency_ms", ON_PHONE]) == ["latency_ms", ON_PHONE]


def recorded(given: str | list[str], objectives: list[str], constraints: list[str]) -> list[str]:
    profiles = load_devices(given)
    devices = searched_devices(profiles, objectives, constraints)
    return [measure.name for measure in recorded_on(profiles, devices, resolve(objectives, devices))]


def test_of_one_device_is_written_what_always_was() -> None:
    one = load_devices(BOARD)
    assert recorded(BOARD, ["error"], ["latency_ms <= 5"]) == ["latency_ms", "params", "macs", "peak_memory_bytes"]
    assert recorded(BOARD, ["error", "latency_ms"], []) == ["params", "macs", "peak_memory_bytes"]
    assert device_facts(one) == {"device": {"name": BOARD, "sha256": one[0].sha256}}
    assert card_facts(one) == ({"device": BOARD}, {"profile": one[0].sha256})


def test_every_device_is_recorded_whatever_is_asked_for() -> None:
    sizes = ["params", "macs", "peak_memory_bytes"]
    assert recorded([BOARD, PHONE], ["error"], []) == ["latency_ms", *sizes, ON_BOARD, ON_PHONE]
    assert recorded([BOARD, PHONE], ["latency_ms"], []) == ["latency_ms", *sizes, ON_PHONE]
    assert recorded(BOARD, ["error"], [f"{ON_BOARD} <= 5"]) == ["latency_ms", *sizes, ON_BOARD]


@pytest.fixture(scope="module")
def run(problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ef.Run:
    return search(problem_file, tmp_path_factory.mktemp("two") / "run")


def search(problem_file: Path, out: Path, **options: Any) -> ef.Run:
    options = {"device": [BOARD, PHONE], "constraints": ["latency_ms[pixel-3] <= 0.03"]} | options
    return ef.search(str(problem_file), out=out, budget=12, population=6, jobs=1, **options)


@pytest.mark.slow
def test_a_search_for_two_devices_knows_both(run: ef.Run) -> None:
    assert [axis.name for axis in run.axes] == ["error", "unfairness", ON_BOARD, ON_PHONE]
    table = pd.read_csv(run.path / "front.csv")
    assert (table["latency_ms"] == table[ON_BOARD]).all()
    assert (table[ON_PHONE] <= 0.03).all()
    assert list(run.devices) == [BOARD, PHONE]
    for name in run.front["id"]:
        card = json.loads((run.path / "networks" / f"{name}.json").read_text())
        assert (card["device"], card["devices"]) == (BOARD, [BOARD, PHONE])
        assert {ON_BOARD, ON_PHONE} <= set(card["objectives"])
        assert card["hashes"]["profiles"] == run.devices


@pytest.mark.slow
def test_the_operating_point_knows_every_device(run: ef.Run) -> None:
    fastest = run.front[ON_PHONE].min()
    for source in (run.path, run.path / "front.csv"):
        choice = choose_in(source, [f"{ON_BOARD} <= 1"], minimise=ON_PHONE)
        assert choice.point is not None
        assert choice.point[ON_PHONE] == fastest
        assert choose_in(source, ["latency_ms <= 0"]).point is None
        with pytest.raises(EvoFairError, match="did you mean 'latency_ms\\[pixel-3\\]'"):
            choose_in(source, ["latency_ms[pixel-1] <= 1"])


@pytest.mark.slow
def test_a_resumed_search_goes_on_for_the_same_devices_only(run: ef.Run, problem_file: Path) -> None:
    before = (run.path / "journal.jsonl").read_bytes()
    search(problem_file, run.path, resume=True)
    assert (run.path / "journal.jsonl").read_bytes() == before
    for device in (BOARD, [PHONE, BOARD], [BOARD, PHONE, "pixel-1"]):
        with pytest.raises(EvoFairError, match=r"was made with|unknown device 'pixel-3'"):
            search(problem_file, run.path, resume=True, device=device)


@pytest.mark.slow
def test_a_deployment_predicts_for_every_device_of_the_run(run: ef.Run) -> None:
    table = ef.deploy(run, networks=[str(run.front["id"].iloc[0])], epochs=0, out=run.path / "out")
    assert [name for name in map(str, table) if name.startswith("predicted_ms")] == [
        f"predicted_ms[{BOARD}]",
        f"predicted_ms[{PHONE}]",
        f"predicted_ms_low[{PHONE}]",
        f"predicted_ms_high[{PHONE}]",
    ]
    with pytest.raises(EvoFairError, match="is given twice"):
        ef.deploy(run, devices=[BOARD, BOARD], out=run.path / "none")


@pytest.mark.slow
def test_a_list_of_one_device_is_that_device(problem_file: Path, tmp_path: Path) -> None:
    listed = tmp_path / problem_file.name
    listed.write_text(problem_file.read_text().replace("[search]", f'[search]\ndevice = ["{BOARD}"]'))
    a = search(problem_file, tmp_path / "a", device=None, constraints=None)
    b = search(listed, tmp_path / "b", device=None, constraints=None)
    for name in ("run.toml", "journal.jsonl", "front.csv"):
        assert (a.path / name).read_bytes() == (b.path / name).read_bytes()


def test_a_damaged_list_of_devices_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('format = 1\ndevices = ["a"]\n[search]\nobjectives = [{ name = "error" }]\n')
    with pytest.raises(RunError, match=r"devices = \['a'\] should be tables"):
        ef.load_run(tmp_path)


def test_a_run_goes_on_with_the_profile_that_it_began_with() -> None:
    """Those of before intervals have the hash of the profile without them, and none are recorded."""
    profile = load_devices(PHONE)[0]
    before = profile.without_intervals
    (found,) = load_devices(PHONE, {PHONE: before.sha256})
    assert found.sha256 == before.sha256
    assert searched_devices([found], ["error"], []).ends == {}
    for recorded in ({PHONE: profile.sha256}, {PHONE: "another"}, {BOARD: before.sha256}):
        assert load_devices(PHONE, recorded)[0].has_intervals


def test_a_deployment_takes_the_run_s_device_for_what_it_is_now() -> None:
    profile = load_devices(PHONE)[0]
    for sha256 in (profile.sha256, profile.without_intervals.sha256):
        assert profiles_of(SimpleNamespace(devices={PHONE: sha256}), None) == [profile]  # type: ignore[arg-type]
    assert profiles_of(SimpleNamespace(devices={PHONE: "another"}), None) == []  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_search_of_before_intervals_goes_on(problem_file: Path, tmp_path: Path) -> None:
    load_devices(PHONE)[0].without_intervals.write(tmp_path / "then.json")
    options = {"device": tmp_path / "then.json", "constraints": ["latency_ms <= 0.03"]}
    run = search(problem_file, tmp_path / "run", **options)
    before = (run.path / "journal.jsonl").read_bytes()
    again = search(problem_file, run.path, resume=True, **{**options, "device": PHONE})
    assert (run.path / "journal.jsonl").read_bytes() == before
    assert "latency_ms_high" not in again.front
