"""`evo-fair audit` as real processes: a whole one, one that is too large for its time, and one that is killed."""

import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from evo_fair.auditing.findings import LIMITS
from evo_fair.cli import main
from evo_fair.jobs.audit import NETWORKS

from ..commands import Commands
from .conftest import Command, refusal

SMALL = ("--networks", 90, "--criterion", "trained", "--criterion", "random", "--jobs", 1)


@pytest.fixture(scope="module")
def whole(evo_fair: Command, problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted audit."""
    out = tmp_path_factory.mktemp("audits") / "whole"
    done = evo_fair("audit", problem_file, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"the report: {out}/report.md" in done.stdout
    return out


def test_the_help_states_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"By default {NETWORKS:,} networks are cut" in said
    assert "Default: {} and {}.".format(*(f"'{limit.replace(' ', '')}'" for limit in LIMITS)) in said


@pytest.mark.slow
def test_report_names_who_loses_and_what_is_not_known(whole: Path) -> None:
    text = (whole / "report.md").read_text()
    for part in ("90 networks were measured", "loses most", "95 %", "Seeds: 0, 1, 2", "## What was not measured"):
        assert part in text
    assert "a second" not in text  # it is the same after an interruption
    for name in ("losses", "effects", "forecast", "pareto"):
        assert f"({name}.png)" in text
        assert (whole / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    losses = pd.read_csv(whole / "losses.csv")
    worst = losses[losses["band"] == "50 to 75 %"].sort_values("loss").iloc[-1]
    assert ((losses["low"] <= losses["loss"]) & (losses["loss"] <= losses["high"])).all()
    assert f"{100 * worst['loss']:.1f} [{100 * worst['low']:.1f}, {100 * worst['high']:.1f}]" in text


@pytest.mark.slow
def test_operating_point_of_an_audit_and_its_costs(whole: Path, evo_fair: Command) -> None:
    networks = pd.read_csv(whole / "networks.csv")
    limit = float(networks["worst_group_loss"].median())
    done = evo_fair("operating-point", whole, "--constraint", f"worst_group_loss<={limit}")
    within = networks[networks["worst_group_loss"] <= limit]
    best = within[within["sparsity"] == within["sparsity"].max()]["id"]
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] in set(best)
    assert f": without it the highest sparsity is {networks['sparsity'].max():g}" in done.stdout
    assert evo_fair("operating-point", whole, "--constraint", "accuracy>=2").stdout.startswith("none")


@pytest.mark.slow
def test_too_large_for_its_time_is_one_line(whole: Path, evo_fair: Command, problem_file: Path, tmp_path: Path) -> None:
    done = evo_fair("audit", problem_file, *SMALL, "--out", tmp_path / "a", "--time", 1e-6)
    assert done.returncode == 2
    assert "seconds more" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_killed_audit_goes_on_with_what_it_had(
    whole: Path, commands: Commands, problem_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "whole"
    arguments = ["audit", problem_file, *SMALL, "--out", out, "--resume"]
    process = commands.start(arguments)
    deadline = time.monotonic() + 120
    first = out / "parts" / "00000.networks.csv"
    while process.poll() is None and not first.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = first.stat().st_mtime_ns
    done = commands.start(arguments).done()
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == written
    for name in ("networks.csv", "losses.csv", "effects.csv", "forecast.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--imbalance", "x"], "unknown imbalance 'x'"),
        (["--constraint", "acuracy>=1"], "did you mean 'accuracy'"),
        (["--constraint", "accuracy"], "accuracy"),
        (["--constraint", "accuracy[clas:3]>=0.5"], "did you mean 'accuracy[class:3]'"),
        (["--network", "largest", "--constraint", "accuracy[class:x]>=0.5"], "unknown metric 'accuracy[class:x]'"),
        (["--network", "largest", "--constraint", "macs<=1e6"], "unknown metric 'macs'"),
        (["--structure", "structured"], "--structure is for the audit of one network"),
        (["--treatment", "none"], "--treatment is for the audit of one network"),
        (["--epochs", 1], "--epochs is for the audit of one network"),
        (["--network", "largest", "--networks", 10], "--networks is for audits of the supernet"),
        (["--network", "largest", "--jobs", 2], "--jobs is for audits of the supernet"),
        (["--network", "largest", "--treatment", "freeze"], "unknown treatment 'freeze'"),
        (["--network", "mobilenet-v9"], "unknown network 'mobilenet-v9'"),
        (["--run", "nowhere"], "name one of its ids with --network"),
        (["--weights", "w.safetensors"], "give it as --module file.py:function"),
        (["--networks", 0], "networks = 0"),
        (["--criterion", "size"], "unknown criterion 'size'"),
        (["--sparsity", 1], "sparsity 1 is not in [0, 1)"),
        (["--group", "sex"], "unknown group 'sex'"),
        (["--network", "largest", "--group", "sex"], "unknown group 'sex'"),
    ],
)
def test_wrong_arguments_are_one_line_before_anything_is_measured(
    arguments: list[object], message: str, problem_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, "audit", problem_file, *arguments, "--out", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("source", [[], ["--network", "largest"]])
@pytest.mark.parametrize(("resumed", "message"), [([], "exists already"), (["--resume"], "holds no audit.toml")])
def test_a_used_folder_is_refused_before_anything_is_trained(
    source: list[str],
    resumed: list[str],
    message: str,
    problem_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("words")
    assert message in refusal(capsys, "audit", problem_file, *source, *resumed, "--out", tmp_path / "a")
    assert not (tmp_path / "cache").exists()


def test_own_module_is_audited_with_treatments(
    problem_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Conv2d(1, 6, 3, 2), nn.BatchNorm2d(6), "
        "nn.ReLU(), nn.Flatten(), nn.Linear(54, 10))\n"
    )
    arguments = ["--criterion", "magnitude_l1", "--structure", "structured", "--scope", "global", "--epochs", "1"]
    arguments += ["--treatment", "none", "--treatment", "rewind", "--seeds", "2", "--out", str(tmp_path / "a")]
    with pytest.raises(SystemExit) as stop:
        main(["audit", str(problem_file), "--module", f"{tmp_path / 'own.py'}:network", *arguments])
    assert stop.value.code == 0
    assert f"the report: {tmp_path / 'a' / 'report.md'}" in capsys.readouterr().out
    networks = pd.read_csv(tmp_path / "a" / "networks.csv")
    # Three sparsities: none once, rewind with both seeds; and the dense network, which was trained first.
    assert networks["treatment"].value_counts().to_dict() == {"rewind": 6, "none": 4}
    assert networks["accuracy"][0] > 0.5


def test_what_does_not_suit_a_network_is_refused_before_it_is_trained(
    tmp_path: Path, problem_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), "
        "nn.Conv2d(4, 4, 3, 1), nn.Flatten(), nn.Linear(4, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    arguments = ["--module", f"{tmp_path / 'own.py'}:network", "--criterion", "magnitude_l1", "--criterion", "bn_scale"]
    assert "bn_scale has no value for the channels of" in refusal(capsys, "audit", problem_file, *arguments)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
