"""`evo-fair deploy`: what it writes, that it goes on after a kill, and what it refuses."""

import json
import os
import shutil
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import evo_fair as ef
from evo_fair.cli import main
from evo_fair.cli.deploy import say_unpredicted
from evo_fair.data import Dataset
from evo_fair.errors import RunError, WorkerError
from evo_fair.evolution import create_run
from evo_fair.nets.fair_training import DEFAULT_FAIRNESS_WEIGHT, FAIR_TRAINING_CODE

from ..commands import Commands
from .conftest import Command, refusal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("searched") / "run"
    ef.search(ef.load_problem(str(problem_file)), out=out, jobs=1)
    return out


@pytest.fixture(scope="module")
def ids(run: Path) -> list[str]:
    return [str(name) for name in ef.load_run(run).front["id"][:2]]


@pytest.fixture(scope="module")
def whole(run: Path, ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, fine-tuned without a break, with 8-bit versions and a reference."""
    out = tmp_path_factory.mktemp("deployed") / "whole"
    reference = run / "networks" / f"{ids[0]}.onnx"
    ef.deploy(
        run,
        networks=ids,
        epochs=12,
        int8=True,
        references=[reference],
        devices=["raspberry-pi-4", "raspberry-pi-4-int8"],
        out=out,
    )
    return out


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": str})


def test_table_holds_every_file_with_its_figures(whole: Path, ids: list[str]) -> None:
    rows = table(whole / "deployed.csv")
    assert rows[["id", "role", "precision"]].to_numpy().tolist() == [
        [ids[0], "front", "fp32"],
        [ids[0], "front", "int8"],
        [ids[1], "front", "fp32"],
        [ids[1], "front", "int8"],
        [ids[0], "reference", "fp32"],
    ]
    assert (rows["measured_ms"] > 0).all()
    floats = rows["precision"] == "fp32"
    assert (rows["predicted_ms[raspberry-pi-4]"].notna() == floats).all()
    assert (rows["predicted_ms[raspberry-pi-4-int8]"].notna() == ~floats).all()
    for name in ("accuracy", "balanced_accuracy", "unfairness[class]", "worst_group_accuracy[class]"):
        assert (rows[f"{name}_low"] <= rows[name]).all()
        assert (rows[name] <= rows[f"{name}_high"]).all()


def test_accuracy_is_that_of_the_file_on_the_test_split(whole: Path, ids: list[str], problem_file: Path) -> None:
    rows = table(whole / "deployed.csv")
    dataset = ef.load_problem(str(problem_file)).dataset()
    test = dataset.part("test")
    card = json.loads((whole / f"{ids[1]}.json").read_text())
    mean, scale = (np.float32(card["input"][key])[:, None, None] for key in ("mean", "scale"))
    session = onnxruntime.InferenceSession(whole / f"{ids[1]}.onnx")
    logits = session.run(None, {"input": (dataset.inputs[test].astype(np.float32) - mean) * scale})[0]
    right = logits.argmax(1) == dataset.labels[test]
    assert rows["accuracy"][2] == pytest.approx(right.mean())
    assert rows["onnx_bytes"][2] == (whole / f"{ids[1]}.onnx").stat().st_size
    assert card["trained"]["recipe"]["epochs"] == 12


def test_training_on_helps_a_supernet_of_two_epochs(whole: Path) -> None:
    """The reference is the first network as the search left it."""
    accuracy = table(whole / "deployed.csv")["accuracy"]
    assert accuracy[0] > accuracy[4] + 0.02


def test_cards_say_what_the_test_part_says(whole: Path, ids: list[str], problem_file: Path) -> None:
    dataset = ef.load_problem(str(problem_file)).dataset()
    rows = table(whole / "deployed.csv").set_index(["id", "precision", "role"])
    for name in ids:
        card = json.loads((whole / f"{name}.json").read_text())
        assert set(card["test"]) == {"fp32", "int8"}
        assert set(card["searched"]["objectives"]) >= set(card["searched"]["believed"]) > set()
        for precision, figures in card["test"].items():
            row = rows.loc[(name, precision, "front")]
            assert {"accuracy", "unfairness[class]", "accuracy[class:3]"} <= set(figures)
            for metric, found in figures.items():
                assert found["value"] == pytest.approx(row[metric])
                for end in ("low", "high"):
                    assert found[end] == pytest.approx(row[f"{metric}_{end}"])
            labels = dataset.labels[dataset.part("test")]
            assert figures["accuracy"]["samples"] == len(labels)
            assert figures["accuracy[class:3]"]["samples"] == (labels == 3).sum()
            assert "samples" not in figures["unfairness[class]"]


def test_resume_keeps_what_is_there_and_adds_networks(run: Path, whole: Path, ids: list[str], tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(whole, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.onnx")}
    third = str(ef.load_run(run).front["id"][2])
    rows = ef.deploy(run, networks=[*ids, third], epochs=12, int8=True, out=out, resume=True)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.onnx") if path.name in before} == before
    assert rows["id"].unique().tolist() == [*ids, third]
    rows = ef.deploy(run, networks=[third], epochs=12, int8=True, out=out, resume=True)
    assert rows["id"].unique().tolist() == [third, *ids], "those that were there before stay in the table"
    with pytest.raises(RunError, match=r"made with deploy.epochs = 12, not 11"):
        ef.deploy(run, networks=ids, epochs=11, int8=True, out=out, resume=True)


def test_damaged_network_is_made_again_the_same(run: Path, whole: Path, ids: list[str], tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(whole, out)
    (out / f"{ids[0]}.onnx").write_bytes(b"half")
    ef.deploy(run, networks=ids, epochs=12, int8=True, out=out, resume=True)
    assert (out / f"{ids[0]}.onnx").read_bytes() == (whole / f"{ids[0]}.onnx").read_bytes()


def test_kill_and_resume_give_the_same_networks(
    run: Path, whole: Path, ids: list[str], commands: Commands, evo_fair: Command, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    options = ["--network", ids[0], "--network", ids[1], "--epochs", "12", "--int8", "--out", str(out)]
    process = commands.start(["deploy", run, *options])
    deadline = time.monotonic() + 60
    while not list(out.glob("*.checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(out.glob("*.checkpoint.safetensors"))
    assert not (out / "deployed.csv").exists()
    assert "exists already" in evo_fair("deploy", run, *options).stderr
    done = evo_fair("deploy", run, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert "95 % intervals" in done.stdout
    for name in ids:
        for suffix in (".onnx", ".int8.onnx", ".json"):
            assert (out / f"{name}{suffix}").read_bytes() == (whole / f"{name}{suffix}").read_bytes()
    assert not [path for path in out.iterdir() if path.name.startswith(".") or "checkpoint" in path.name]


def test_from_scratch_needs_no_supernet_and_writes_into_the_run(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    text = (copy / "run.toml").read_text()
    start = text.index("[supernet]")
    (copy / "run.toml").write_text(text[:start] + '[supernet]\nsha256 = "gone"\n' + text[text.index("[data]") :])
    with pytest.raises(RunError, match=r"supernet of the run .* is not there"):
        ef.deploy(copy, epochs=1)
    rows = ef.deploy(copy, from_scratch=True, balance_groups=True, fairness_weight=1.0, epochs=1)
    assert 1 <= len(rows) <= 4
    assert len(table(copy / "deployed.csv")) == len(rows)
    assert len(list((copy / "deployed").glob("*.onnx"))) == len(rows)


def logits_of(path: Path, dataset: Dataset, card: dict[str, Any]) -> np.ndarray:
    """What a file says of the validation part, `[n, labels]`."""
    mean, scale = (np.float32(card["input"][key])[:, None, None] for key in ("mean", "scale"))
    inputs = dataset.inputs[dataset.part("validation")].astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    return np.asarray(session.run(None, {"input": (inputs - mean) * scale})[0])


def test_even_groups_moves_the_files_outputs_and_says_so(
    run: Path, ids: list[str], problem_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, even = tmp_path / "plain", tmp_path / "even"
    name = ids[0]
    reference = run / "networks" / f"{name}.onnx"
    ef.deploy(run, networks=[name], epochs=1, out=plain)
    options = ["--network", name, "--epochs", 1, "--even-groups", 0.02, "--int8", "--reference", reference]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in ["deploy", run, *options, "--out", even]])
    assert stop.value.code == 0
    dataset = ef.load_problem(str(problem_file)).dataset()
    before, after = (json.loads((folder / f"{name}.json").read_text()) for folder in (plain, even))
    assert "even_groups" not in before
    evened = after["even_groups"]
    offsets = np.array([evened["offsets"][label] for label in dataset.label_names])
    assert np.ptp(offsets) > 0
    moved = logits_of(even / f"{name}.onnx", dataset, after) - logits_of(plain / f"{name}.onnx", dataset, before)
    assert moved == pytest.approx(np.broadcast_to(offsets, moved.shape), abs=1e-3)
    held = evened["held_out"]
    assert held["accuracy"] >= held["accuracy_without"] - 0.02
    rows = table(even / "deployed.csv")
    assert rows["role"].tolist() == ["front", "front", "reference"]
    for column, value in {
        "even_groups": 0.02,
        "even_strength": evened["strength"],
        "held_out_accuracy_lost": held["accuracy_without"] - held["accuracy"],
        "held_out_group_variance_lost": held["group_variance_without"] - held["group_variance"],
    }.items():
        assert rows[column].tolist() == pytest.approx([value, value, np.nan], nan_ok=True)
    assert not {"even_groups", "even_strength"} & set(table(plain / "deployed.csv"))
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{name}: outputs moved at a strength of {evened['strength']:g}; on" in printed
    (first, *_) = rows[rows["precision"] == "fp32"].to_dict("records")
    worst = first["worst_group_accuracy[class]"]
    (group, *_) = (label for label in dataset.label_names if first[f"accuracy[class:{label}]"] == worst)
    told = printed[printed.index("the worst group of class: ") :]
    assert f"'{group}' of {name}, {worst:.3f} [" in told
    assert told.count("' of ") < len(dataset.label_names)
    for other, said in ((0.05, "0.05"), (None, "nothing")):
        with pytest.raises(RunError, match=rf"made with deploy.even_groups = 0.02, not {said}"):
            ef.deploy(run, networks=[name], epochs=1, even_groups=other, int8=True, out=even, resume=True)


def test_the_default_fairness_weight_is_the_one_that_the_help_states(
    run: Path, ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fair"
    with pytest.raises(SystemExit) as stop:
        main(
            [
                str(argument)
                for argument in (
                    *("deploy", run, "--network", ids[0], "--epochs", 1),
                    *("--fairness-weight", "default", "--out", out),
                )
            ]
        )
    assert stop.value.code == 0
    settings = tomllib.loads((out / "run.toml").read_text())["deploy"]
    assert settings["fairness_weight"] == DEFAULT_FAIRNESS_WEIGHT
    assert settings["fair_training_code"] == FAIR_TRAINING_CODE
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["deploy", "--help"])
    assert f"default for {DEFAULT_FAIRNESS_WEIGHT}" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    text = (out / "run.toml").read_text()
    (out / "run.toml").write_text(text.replace(f"fair_training_code = {FAIR_TRAINING_CODE}\n", ""))
    with pytest.raises(RunError, match=r"made with deploy.fair_training_code = nothing, not 2"):
        ef.deploy(run, networks=[ids[0]], epochs=1, fairness_weight="default", out=out, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "nobody"], "unknown network of the front 'nobody'"),
        (["--epochs", -1], "epochs -1 is too few"),
        (["--epochs", 0, "--from-scratch"], "epochs 0 is too few"),
        (["--learning-rate", 0], "learning rate 0"),
        (["--learning-rate", 1e6], "training diverged in epoch 1"),
        (["--fairness-weight", -2], "fairness weight -2"),
        (["--fairness-weight", "much"], "'much' is no weight: give a number of 0 or more, or default"),
        (["--fairness-weight", "nan"], "fairness weight nan"),
        (["--distillation", 0.5], "follows the whole network of your own that was searched, and the run in"),
        (["--distillation", -1], "distillation -1 is no share of the loss"),
        (["--even-groups", 1], "even groups 1 is outside [0, 1): give the share of accuracy that may be lost"),
        (["--even-groups", "nan"], "even groups nan is no finite number: give one"),
        (["--device", "abacus"], "unknown device 'abacus'"),
        (["--reference", "nowhere.onnx"], "there is no file nowhere.onnx: give the path of an .onnx file"),
        (["--reference", "mobilenet-v4"], "unknown reference network 'mobilenet-v4': expected one of mobilenet-v2"),
        (
            ["--reference", "mobilenet-v2"],
            "mobilenet-v2 is not trained for these data: 'evo-fair train tiny.toml --network",
        ),
        (["--reference", "text.onnx"], "text.onnx is no ONNX model"),
        (["--seed", -1], "seed -1 is negative"),
        (["--out", "full"], "full exists already"),
        (["--out", "full", "--resume"], "full holds no run.toml"),
        (["--int9"], "No such option: --int9"),
    ],
)
def test_wrong_input_is_one_line(
    options: list[object],
    message: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "text.onnx").write_text("no model")
    out = [] if "--out" in options else ["--out", "deployed"]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in ["deploy", run, *out, *options]])
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert message in captured.err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("deployed/*.onnx"))


def test_a_deployment_of_which_no_network_survived_its_workers_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.jobs.deploy.make_files", lambda *_: [])  # all were left out
    with pytest.raises(WorkerError, match=r"^no network of .*made survived its workers: .* --resume$"):
        ef.deploy(run, epochs=1, out=tmp_path / "made")


def test_a_search_that_has_not_ended_is_warned_of(run: Path, ids: list[str], evo_fair: Command, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "begun", ignore=shutil.ignore_patterns("front.csv"))
    told = evo_fair("deploy", tmp_path / "begun", "--network", ids[0], "--epochs", "0")
    assert told.returncode == 0, told.stderr
    assert "warning: the search in" in told.stdout + told.stderr
    assert "its front may change; go on with" in told.stdout + told.stderr


def test_what_is_no_run_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "there is no run in /nowhere" in refusal(capsys, "deploy", "/nowhere")
    assert "holds no run.toml" in refusal(capsys, "deploy", tmp_path)


def test_a_deployment_goes_on_in_no_folder_of_another_job(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", {"search": {"objectives": [{"name": "error"}]}})
    create_run(run.path / "deployed", {"deploy": {"seed": 0}})
    told = (
        f"{run.path} is the folder of a search: give that of a deployment, such as {run.path / 'deployed'}, or choose"
    )
    assert told in refusal(capsys, "deploy", run.path, "--out", run.path, "--resume")
    told = f"{run.path / 'deployed'} is the folder of a deployment: give that of a search, such as {run.path}"
    assert told in refusal(capsys, "deploy", run.path / "deployed")
    assert told in refusal(capsys, "card", run.path / "deployed", "abc")


def test_it_is_said_on_which_devices_nothing_is_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    devices = [{"name": "pixel-3", "sha256": "a1"}, {"name": "my-board", "sha256": "b2"}]
    search = {"objectives": [{"name": "error"}]}
    path = create_run(tmp_path / "run", {"search": search, "device": devices[0], "devices": devices}).path
    table = pd.DataFrame({"predicted_ms[pixel-3]": [1.0]})
    say_unpredicted(path, table, [])
    assert "no latency is predicted on my-board, whose profiles don't come with evo_fair" in capsys.readouterr().out
    say_unpredicted(path, table, ["pixel-3"])
    assert capsys.readouterr().out == ""
    say_unpredicted(path, table.iloc[:, :0], [])
    assert "no latency is predicted: " in capsys.readouterr().out
