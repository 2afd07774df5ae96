"""`evo-fair audit` as real processes: a whole one, one that is too large for its time, and one that is killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from .conftest import Command

pytestmark = pytest.mark.slow

SMALL = ("--networks", 90, "--criterion", "trained", "--criterion", "random", "--jobs", 1)


@pytest.fixture(scope="module")
def whole(evo_fair: Command, problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted audit."""
    out = tmp_path_factory.mktemp("audits") / "whole"
    done = evo_fair("audit", problem_file, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"the report: {out}/report.md" in done.stdout
    return out


def test_report_names_who_loses_and_what_is_not_known(whole: Path) -> None:
    text = (whole / "report.md").read_text()
    for part in ("90 networks were measured", "loses most", "95 %", "Seeds: 0, 1, 2", "## What was not measured"):
        assert part in text
    for name in ("losses", "effects", "forecast", "pareto"):
        assert f"({name}.png)" in text
        assert (whole / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    losses = pd.read_csv(whole / "losses.csv")
    worst = losses[losses["band"] == "50 to 75 %"].sort_values("loss").iloc[-1]
    assert ((losses["low"] <= losses["loss"]) & (losses["loss"] <= losses["high"])).all()
    assert f"{100 * worst['loss']:.1f} [{100 * worst['low']:.1f}, {100 * worst['high']:.1f}]" in text


def test_operating_point_of_an_audit_and_its_costs(whole: Path, evo_fair: Command) -> None:
    networks = pd.read_csv(whole / "networks.csv")
    limit = float(networks["worst_group_loss"].median())
    done = evo_fair("operating-point", whole, "--constraint", f"worst_group_loss<={limit}")
    within = networks[networks["worst_group_loss"] <= limit]
    best = within[within["sparsity"] == within["sparsity"].max()]["id"]
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] in set(best)
    assert f"without it the highest sparsity is {networks['sparsity'].max():g}" in done.stdout
    assert evo_fair("operating-point", whole, "--constraint", "accuracy>=2").stdout.startswith("none")


def test_too_large_for_its_time_is_one_line(whole: Path, evo_fair: Command, problem_file: Path, tmp_path: Path) -> None:
    done = evo_fair("audit", problem_file, *SMALL, "--out", tmp_path / "a", "--time", 1e-6)
    assert done.returncode == 2
    assert "seconds more" in done.stderr.splitlines()[-1]


def test_killed_audit_goes_on_with_what_it_had(
    whole: Path, command_line: list[str], problem_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "whole"
    arguments = [*command_line, "audit", str(problem_file), *map(str, SMALL), "--out", str(out), "--resume"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    first = out / "parts" / "00000.networks.csv"
    while process.poll() is None and not first.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    written = first.stat().st_mtime_ns
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == written
    for name in ("networks.csv", "losses.csv", "effects.csv", "forecast.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
