"""`evo-fair search` as real processes: what it leaves behind, whatever happens to it."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from evo_fair.problem import load_problem

from ..commands import Commands
from .conftest import Command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(evo_fair: Command, problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted run with one worker."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = evo_fair("search", problem_file, "--out", out, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    return out


def test_run_folder_holds_what_the_design_says(run: Path) -> None:
    front = pd.read_csv(run / "front.csv", dtype={"id": str})
    names = {
        "beliefs.csv",
        "checkpoint.npz",
        "findings.txt",
        "front.csv",
        "journal.jsonl",
        "networks",
        "pareto.pdf",
        "pareto.png",
        "run.toml",
    }
    assert {path.name for path in run.iterdir()} == names
    assert len(front) >= 3
    for name in front["id"]:
        card = json.loads((run / "networks" / f"{name}.json").read_text())
        assert card["onnx"]["parity"]["largest_logit_difference"] <= 1e-4
        session = onnxruntime.InferenceSession(run / "networks" / f"{name}.onnx")
        assert session.get_inputs()[0].shape[1:] == [1, 8, 8]
    assert len(list((run / "networks").iterdir())) == 2 * len(front)


def test_cards_agree_with_the_front(run: Path) -> None:
    front = pd.read_csv(run / "front.csv", dtype={"id": str})
    for row in front.itertuples():
        card = json.loads((run / "networks" / f"{row.id}.json").read_text())
        groups = card["groups"]["class"].values()
        accuracy = sum(g["correct"] for g in groups) / sum(g["samples"] for g in groups)
        assert accuracy == pytest.approx(1 - row.error, abs=1e-12)
        assert card["objectives"]["latency_ms"] == row.latency_ms


def test_two_workers_write_the_same_journal(run: Path, evo_fair: Command, problem_file: Path, tmp_path: Path) -> None:
    done = evo_fair("search", problem_file, "--out", tmp_path / "run", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    for name in ("journal.jsonl", "front.csv", "run.toml"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes()


def test_three_kills_and_resumes_give_the_same_journal(
    run: Path, commands: Commands, problem_file: Path, tmp_path: Path
) -> None:
    moments = random.Random(7)
    out = tmp_path / "run"
    arguments = ["search", problem_file, "--out", out, "--jobs", 1, "--resume"]
    kills = 0
    for lines in sorted(moments.sample(range(1, 24), 3)):  # of 40: the last ones are written in no time
        process = commands.start(arguments)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            journal = out / "journal.jsonl"
            if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
                time.sleep(moments.random() * 0.05)
                break
            time.sleep(0.002)
        assert process.poll() is None, f"it ended before {lines} lines were seen"
        kills += 1
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert kills == 3
    done = commands.start(arguments).done()
    assert done.returncode == 0, done.stderr
    for name in ("journal.jsonl", "front.csv", "run.toml"):
        assert (out / name).read_bytes() == (run / name).read_bytes()


def test_journal_cut_in_the_middle_of_a_line_resumes_from_the_line_before(
    run: Path, evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    journal = out / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-100])
    done = evo_fair("search", problem_file, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert journal.read_bytes() == (run / "journal.jsonl").read_bytes()


def test_kill_during_export_leaves_no_unchecked_network(
    run: Path, evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    (out / "networks" / ".abc.1.tmp.onnx").write_bytes(b"half a network")
    assert evo_fair("search", problem_file, "--out", out, "--resume").returncode == 0
    assert {path.name for path in (out / "networks").iterdir()} == {path.name for path in (run / "networks").iterdir()}


def test_interrupt_says_how_to_go_on(command_line: list[str], problem_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    arguments = [*command_line, "search", str(problem_file), "--out", str(out), "--jobs", "1", "--budget", "5000"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (out / "checkpoint.npz").exists():  # before, an interrupt takes back what it breaks into
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    last = errors.strip().splitlines()[-1]
    assert last.startswith("interrupted; the state is saved, go on with: evo-fair search")
    assert f"'{out}'" in last
    assert last.endswith("--resume")


def test_second_run_refuses_the_folder_and_resume_of_a_finished_run_changes_nothing(
    run: Path, evo_fair: Command, problem_file: Path
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    again = evo_fair("search", problem_file, "--out", run)
    assert again.returncode == 2
    assert again.stderr.strip() == (
        f"evo-fair: {run} exists already: continue its run with --resume, or choose another --out"
    )
    other = evo_fair("search", problem_file, "--out", run, "--resume", "--seed", 1)
    assert other.returncode == 2
    assert "was made with search.seed = 0, not 1" in other.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    resumed = evo_fair("search", problem_file, "--out", run, "--resume", "--jobs", 2)
    assert resumed.returncode == 0, resumed.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_that_does_not_say_how_it_began_goes_on_as_one_that_began_at_random(
    run: Path, evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    """Runs of the time before evolutions began with networks of all sizes."""
    out = tmp_path / "run"
    out.mkdir()
    said = 'initial = "spread"\n'
    configuration = (run / "run.toml").read_text()
    assert said in configuration
    (out / "run.toml").write_text(configuration.replace(said, ""))
    done = evo_fair("search", problem_file, "--out", out, "--resume", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert (out / "run.toml").read_text() == configuration.replace(said, "")
    first = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    space = load_problem(str(problem_file)).search_space((1, 8, 8), 10)
    assert first["genome"] == space.sample(np.random.default_rng(0), 12)[0].tolist()
    assert first["genome"] != json.loads((run / "journal.jsonl").read_text().splitlines()[0])["genome"]


def test_constraint_keeps_slow_networks_from_the_proxy(
    run: Path, evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    limit = pd.read_csv(run / "front.csv")["latency_ms"].median()
    out = tmp_path / "run"
    done = evo_fair("search", problem_file, "--out", out, "--constraint", f"latency_ms<={limit}", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    slow = [record for record in records if record["metrics"]["latency_ms"] > limit]
    assert slow
    assert all("groups" not in record for record in slow)
    assert sum("groups" in record for record in records) == 40
    assert pd.read_csv(out / "front.csv")["latency_ms"].max() <= limit


def test_plot_and_operating_point_read_the_run(run: Path, evo_fair: Command, tmp_path: Path) -> None:
    figure = tmp_path / "fronts.svg"
    assert evo_fair("plot", run, "--out", figure).returncode == 0
    assert figure.read_text().startswith("<?xml")
    front = pd.read_csv(run / "front.csv", dtype={"id": str})
    floor = front["accuracy"].median()
    point = evo_fair("operating-point", run, "--constraint", f"accuracy>={floor}")
    best = front[front["accuracy"] >= floor].sort_values("latency_ms").iloc[0]
    assert point.returncode == 0, point.stderr
    assert best["id"] in point.stdout
    goal = "it has the lowest latency_ms within the limits; --minimise or --maximise names another goal"
    assert f"{goal}, such as --minimise error\n" in point.stdout
    assert re.search(r"^worst_group_accuracy is that of class:\d, .*\d+ samples? of the validation", point.stdout, re.M)
    assert re.search(
        r"limit accuracy >= 0\.\d+ costs [\d.e-]+ of latency_ms: without it the lowest latency_ms is", point.stdout
    )
    assert f"accuracy is read as {best['accuracy']:g} and believed to be 0." in point.stdout
    assert "warning" not in point.stdout
    shutil.copytree(run, tmp_path / "begun", ignore=shutil.ignore_patterns("front.csv", "beliefs.csv"))
    begun = evo_fair("operating-point", tmp_path / "begun", "--constraint", f"accuracy>={floor}")
    assert re.search(r"warning: the search in .* has not ended: \d+ of \d+ networks .* by what was read", begun.stdout)
    none = evo_fair("operating-point", run, "--constraint", "accuracy>=1.1").stdout
    assert none.startswith("none")
    assert "limit accuracy >= 1.1 is met by no network: the highest believed accuracy is 0." in none
    percent = evo_fair("operating-point", run, "--constraint", "accuracy>=70").stdout
    assert "(it is a share: write 0.7 for 70 %)" in percent
    assert "it is a share" not in evo_fair("operating-point", run, "--constraint", "accuracy>=101").stdout
    asked = evo_fair("operating-point", run, "--constraint", "accuracy_believed>=0.1")
    assert "write accuracy, which goes by what is believed" in asked.stderr
