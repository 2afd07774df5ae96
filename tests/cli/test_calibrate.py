"""`evo-fair calibrate`: measurements become a profile that predicts, a kit is written, wrong input takes one line."""

import itertools
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evo_fair.cli import app
from evo_fair.latency import load_profile, this_machine
from evo_fair.latency.campaign import make_campaign
from evo_fair.latency.measure import Timings
from evo_fair.latency.measurements import Measurements, write_latency, write_layers
from evo_fair.problem import load_problem

from .conftest import refusal


@pytest.fixture(scope="module")
def measured() -> Measurements:
    """Networks of the digits' space, with the Pi 4's own predictions as measurements."""
    space = load_problem("digits").search_space((1, 8, 8), 10)
    table = space.decode(np.unique(space.sample(np.random.default_rng(0), 24), axis=0))
    ms = 3 * load_profile("raspberry-pi-4").latency_ms(table)
    return Measurements(tuple(f"n{i}" for i in range(len(table))), table, ms)


@pytest.fixture
def files(measured: Measurements, tmp_path: Path) -> list[str]:
    write_layers(tmp_path / "layers.csv", measured.names, measured.table)
    write_latency(tmp_path / "latency.csv", measured.names, measured.latency_ms)
    return ["calibrate", "--layers", str(tmp_path / "layers.csv"), "--latency", str(tmp_path / "latency.csv")]


def test_measurements_become_a_profile(files: list[str], measured: Measurements, tmp_path: Path) -> None:
    out = tmp_path / "own.json"
    record = ["--board", "my board", "--threads", "2", "--runtime", "mine", "--source", "me", "--licence", "CC0"]
    result = CliRunner().invoke(app, [*files, "--name", "own", "--out", str(out), *record])
    assert result.exit_code == 0, result.output
    assert f"fitted to {len(measured.names)} networks" in result.output
    assert "5 folds by network" in result.output
    profile = load_profile(out)
    assert profile.name == "own"
    assert (profile.file.device.name, profile.file.device.threads) == ("my board", 2)
    assert (profile.file.runtime, profile.file.source, profile.file.licence) == ("mine", "me", "CC0")
    assert (profile.file.precision, profile.file.device.cores) == ("fp32", "not recorded")
    np.testing.assert_allclose(profile.latency_ms(measured.table), measured.latency_ms, rtol=0.05)


def test_several_sources_become_one_profile(files: list[str], measured: Measurements, tmp_path: Path) -> None:
    few = measured.part(np.arange(len(measured.names) - 4))
    write_layers(tmp_path / "other" / "layers.csv", few.names, few.table)
    write_latency(tmp_path / "other" / "latency.csv", few.names, 2 * few.latency_ms)
    other = ["--layers", str(tmp_path / "other" / "layers.csv"), "--latency", str(tmp_path / "other" / "latency.csv")]
    record = ["--source", "me", "--source", "you", "--licence", "CC0", "--board", "a board"]
    out = tmp_path / "own.json"
    result = CliRunner().invoke(app, [*files, *other, "--name", "own", "--out", str(out), *record])
    assert result.exit_code == 0, result.output
    assert "intervals held" in result.output
    profile = load_profile(out)
    assert profile.file.sources is not None
    assert [(one.source, one.licence) for one in profile.file.sources] == [("me", "CC0"), ("you", "CC0")]
    assert [one.networks for one in profile.file.sources] == [len(measured.names), len(few.names)]
    assert profile.file.sources[1].scale == pytest.approx(0.5, rel=0.1)
    np.testing.assert_allclose(profile.latency_ms(measured.table), measured.latency_ms, rtol=0.05)


def test_a_folder_takes_the_profile_by_its_name(files: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*files, "--name", "own", "--out", str(tmp_path / "profiles")])
    assert result.exit_code == 0, result.output
    assert load_profile(tmp_path / "profiles" / "own.json").name == "own"


def test_prices_can_be_carried_over(files: list[str], tmp_path: Path) -> None:
    arguments = [*files, "--name", "own", "--out", str(tmp_path / "own.json"), "--carry-from", "pixel-3"]
    result = CliRunner().invoke(app, arguments)
    assert "carried over from pixel-3" in result.output
    carried = load_profile(tmp_path / "own.json").file.carried_over
    assert carried is not None
    assert "grouped_macs" in carried.terms


def test_a_kit_is_written_for_the_problem_that_is_asked_for(tmp_path: Path) -> None:
    kit = tmp_path / "my kit"
    result = CliRunner().invoke(app, ["calibrate", "--kit", str(kit), "--problem", "digits", "--name", "my-board"])
    assert result.exit_code == 0, result.output
    assert (kit / "measure.py").is_file()
    assert len(list((kit / "networks").glob("*.onnx"))) > 100
    measured = ["--layers", f"{kit}/layers.csv", "--latency", f"{kit}/latency.csv"]
    assert shlex.split(result.output.splitlines()[-1]) == ["evo-fair", "calibrate", *measured, "--name", "my-board"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda latency: latency.replace("latency_ms", "ms"), "line 1: column 'latency_ms' is missing"),
        (lambda latency: latency.replace("n3,", "n3,-"), "line 5: latency_ms of 'n3' is '-"),
        (lambda latency: latency.replace("n3,", "n3,x"), "line 5: latency_ms of 'n3' is 'x"),
        (lambda latency: latency.replace("n3,", "m3,"), "network 'm3' has no layers"),
        (lambda latency: "\n".join(latency.splitlines()[:6]), "times 5 networks, too few to fit a profile: measure at"),
    ],
)
def test_damaged_measurements_are_refused(
    damage: Callable[[str], str],
    message: str,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "latency.csv"
    path.write_text(damage(path.read_text()))
    line = refusal(capsys, *files, "--out", tmp_path / "own.json")
    assert message in line
    assert str(path) in line
    assert not (tmp_path / "own.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "x.csv"], "--latency is missing"),
        (["--latency", "x.csv"], "--layers is missing"),
        (["--layers", "x", "--latency", "y", "--layers", "z"], "--latency is missing: measurements are two files"),
        (["--layers", "x", "--latency", "y", "--source", "a", "--source", "b"], "--source is given 2 times for 1"),
        (["--run", "results"], "--run is for --kit"),
        (["--kit", "k", "--device", "pixel-3"], "--device for --run"),
        (["--layers", "x.csv", "--latency", "y.csv", "--kit", "k"], "--kit and --layers exclude each other"),
        (["--layers", "x.csv", "--latency", "y.csv"], "cannot read x.csv"),
        (["--kit", "k", "--problem", "nothing"], "unknown problem 'nothing'"),
        (["--threads", "0"], "--threads"),
        (["--seed", "-1"], "--seed"),
        (["--precision", "int8"], "--precision is only for measurements: leave it out, or give --layers and --latency"),
        (["--carry-from", "pixel-3"], "--carry-from is only for measurements"),
        (["--board", "mine"], "--board is only for measurements"),
        (["--kit", "k", "--name", "my board"], "profile name 'my board': expected up to 64 letters"),
        (["--kit", "k", "--minutes", "5"], "--minutes is not for writing a kit: leave it out"),
        (["--kit", "k", "--out", "b.json"], "--out is not for writing a kit"),
        (["--kit", "k", "--accept-implausible"], "--accept-implausible is not for writing a kit"),
        (["--kit", "k", "--run", "r", "--seed", "3"], "--seed is for a kit of a whole space"),
        (["--kit", "k", "--cores", "4"], "--cores is only for measurements"),
        (["--kit", "k", "--runtime", "mine"], "--runtime is only for measurements"),
        (["--source", "me"], "--source is only for measurements"),
        (["--licence", "CC0"], "--licence is only for measurements"),
        (["--precision", "fp8"], "--precision"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(capsys, "calibrate", *arguments)
    assert not list(tmp_path.iterdir())


def test_implausible_measurements_are_refused_unless_they_are_accepted(
    files: list[str], measured: Measurements, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.json"
    mixed = np.where(np.arange(len(measured.names)) % 3, measured.latency_ms, measured.latency_ms / 1000)
    write_latency(tmp_path / "latency.csv", measured.names, mixed)
    line = refusal(capsys, *files, "--out", out)
    assert "as where seconds and milliseconds are mixed" in line
    assert "add --accept-implausible" in line
    assert not out.exists()
    result = CliRunner().invoke(app, [*files, "--out", str(out), "--accept-implausible"])
    assert result.exit_code == 0, result.output
    assert "warning: implausible, and accepted: " in result.output
    assert "Warning: implausible, and accepted: " in load_profile(out).file.notes


def test_an_outlier_is_named(files: list[str], measured: Measurements, tmp_path: Path) -> None:
    ms = measured.latency_ms.copy()
    ms[4] *= 100
    write_latency(tmp_path / "latency.csv", measured.names, ms)
    result = CliRunner().invoke(app, [*files, "--out", str(tmp_path / "own.json")])
    assert result.exit_code == 0, result.output
    assert f"warning: outliers, over 3 times off what the others say: 'n4': measured {ms[4]:.4g} ms" in result.output


@pytest.mark.parametrize("accepted", [False, True])
def test_an_unsteady_machine_gets_no_profile_unless_it_is_accepted(
    accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = make_campaign(load_problem("digits").search_space((1, 8, 8), 10))
    ms = 3 * load_profile("raspberry-pi-4").latency_ms(campaign.table)
    paces = itertools.cycle([1.0, 2.0])
    monkeypatch.setattr(this_machine, "measure", lambda *_, **__: Timings(list(campaign.names), [next(paces) * ms] * 5))
    monkeypatch.setattr(this_machine, "open_session", lambda model, threads: None)
    monkeypatch.setattr(this_machine, "pin", lambda threads: None)
    out, kept = tmp_path / "own.json", tmp_path / "kept"
    arguments = ["calibrate", "--problem", "digits", "--out", str(out), "--keep", str(kept)]
    if accepted:
        result = CliRunner().invoke(app, [*arguments, "--accept-implausible"])
        assert result.exit_code == 0, result.output
        assert "warning: the machine was not steady (10 rounds; " in result.output
    else:
        line = refusal(capsys, *arguments)
        assert "the machine was not steady (10 rounds; " in line
        assert "repeats differ by" in line
    assert out.exists() is accepted
    assert (kept / "latency.csv").is_file()
