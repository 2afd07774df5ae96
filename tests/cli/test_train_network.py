"""`evo-fair train --network`: reference networks by the problem's recipe."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from evo_fair.errors import RunError
from evo_fair.files import sha256_of
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.reference import find_reference, train_reference
from evo_fair.nets import Step
from evo_fair.problem import Problem, load_problem

from .conftest import Command, refusal

PROBLEM = """
title = "dark and bright images"
[data]
source = "image_folder"
image_size = 32
fractions = [0.6, 0.2, 0.2]
min_samples = 1
[fairness]
group = "site"
[space]
stem = { widths = [8], stride = 2 }
[[space.stage]]
slots = 1
kinds = ["CB"]
widths = [8]
keep_channels = [8]
[training]
epochs = 3
batch_size = 32
learning_rate = 0.02
[search]
objectives = ["error"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty images that their brightness tells apart, from two sites."""
    path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    lines = ["file,label,site"]
    for i in range(80):
        pixels = rng.integers(0, 128, (32, 32, 3)) + 127 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path / f"{i}.png")
        lines.append(f"{i}.png,{('dark', 'bright')[i % 2]},{('north', 'south')[i // 2 % 2]}")
    (path / "labels.csv").write_text("\n".join(lines) + "\n")
    (path / "lamps.toml").write_text(PROBLEM)
    return path


@pytest.fixture
def problem(folder: Path) -> Problem:
    return load_problem(str(folder / "lamps.toml"), data=folder)


@pytest.mark.slow
def test_weights_manifest_and_onnx_are_stored(folder: Path, tmp_path: Path, evo_fair: Command) -> None:
    arguments = ["train", folder / "lamps.toml", "--data", folder, "--network", "mobilenet-v3-small", "--seed", 3]
    done = evo_fair(*arguments, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mobilenet-v3-small 3/3: loss" in done.stderr
    assert {path.name.removeprefix("mobilenet-v3-small") for path in tmp_path.iterdir()} == {
        ".safetensors",
        ".json",
        ".onnx",
    }
    manifest = json.loads((tmp_path / "mobilenet-v3-small.json").read_text())
    weights = tmp_path / "mobilenet-v3-small.safetensors"
    assert manifest["sha256"] == sha256_of(weights)
    assert manifest["seed"] == 3
    assert manifest["pretrained"] is False
    assert manifest["training"]["epochs"] == 3
    assert manifest["command"] == "evo-fair train lamps.toml --network mobilenet-v3-small --seed 3"
    assert manifest["data"]["licence"] == "the user's own data"
    assert manifest["parameters"] == 2_542_856 - 998 * 1025  # two labels in place of a thousand
    assert manifest["onnx"]["sha256"] == sha256_of(tmp_path / "mobilenet-v3-small.onnx")
    groups = manifest["validation"]["groups"]["site"]
    assert sum(part["samples"] for part in groups.values()) == 16
    right = sum(part["correct"] for part in groups.values())
    assert manifest["validation"]["accuracy"] == pytest.approx(right / 16)
    assert load_file(weights)["0.0.weight"].shape == (16, 3, 3, 3)


class KilledError(Exception):
    pass


@pytest.mark.slow
def test_a_broken_off_training_goes_on_to_the_same_weights(problem: Problem, tmp_path: Path) -> None:
    class Killer(Listener):
        def tuning(self, network: str, step: Step) -> None:
            if step.epoch == 2:
                raise KilledError

    straight = train_reference(problem, "squeezenet", out=tmp_path / "straight")
    with pytest.raises(KilledError):
        train_reference(problem, "squeezenet", out=tmp_path / "broken", listener=Killer())
    resumed = train_reference(problem, "squeezenet", out=tmp_path / "broken")
    assert resumed.manifest == straight.manifest
    assert resumed.path.read_bytes() == straight.path.read_bytes()
    assert resumed.onnx.read_bytes() == straight.onnx.read_bytes()


def test_wrong_input_is_refused_in_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = "mobilenet-v2, mobilenet-v3-small, squeezenet, mnasnet, proxylessnas-mobile, resnet-18, efficientnet-lite0"
    own = ["train", folder / "lamps.toml", "--data", folder]
    line = refusal(capsys, *own, "--network", "mobilnet-v2")
    widths = "(mobilenet-v2 and resnet-18 also in widths from 0.1 to 1, such as mobilenet-v2-0.35)"
    assert line == (
        f"evo-fair: unknown network 'mobilnet-v2': expected one of {known} {widths}; did you mean 'mobilenet-v2'?"
    )
    assert "seed -1 is negative" in refusal(capsys, *own, "--network", "resnet-18", "--seed", -1)
    assert "--seed is for --network" in refusal(capsys, *own, "--seed", 1)
    digits = refusal(capsys, "train", "digits", "--network", "resnet-18")
    assert "the samples of digits have the shape [1, 8, 8]" in digits


@pytest.mark.parametrize("network", ["squeezenet", "mobilenet-v2-0.1"])
def test_by_default_the_cache_takes_it(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    brief = problem.model_copy(update={"training": problem.training.model_copy(update={"epochs": 1})})
    stored = train_reference(brief, network)
    assert stored.path.is_relative_to(tmp_path / "references")
    assert stored.path.parent.name.startswith("lamps-")
    dataset = brief.dataset()
    assert find_reference(brief, dataset, network, 0) == stored.onnx
    with pytest.raises(
        RunError, match=rf"{network} is not trained for these data: 'evo-fair train lamps\.toml --network"
    ):
        find_reference(brief, dataset, network, 1)
    stored.onnx.write_bytes(b"half")
    with pytest.raises(RunError, match="not trained"):
        find_reference(brief, dataset, network, 0)
