"""`evo-fair prune`: a network of the user's own from end to end, and wrong input in one line."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from evo_fair.cli import main
from evo_fair.errors import PruningError, RunError, UnknownNameError
from evo_fair.export.reference import open_reference
from evo_fair.files import read_json, write_json
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.prune import prune
from evo_fair.jobs.reference import find_reference
from evo_fair.jobs.search import search
from evo_fair.latency import load_profile
from evo_fair.problem import load_problem
from evo_fair.pruning.methods import PRUNING_CODE
from evo_fair.report.candidates import choose_in

from .conftest import refusal

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, labels):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 12, 3, 2, 1)
        self.out = nn.Linear(12, labels)

    def forward(self, x):
        y = torch.relu(self.norm(self.first(x)))
        return self.out(torch.relu(self.second(y)).mean((2, 3)))

def network():
    torch.manual_seed(0)
    return Net(10)

def seven():
    return Net(7)

def broken():
    raise RuntimeError("no weights here")

def text():
    return "network"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


class Heard(Listener):
    """Keeps what is said, and whose epochs were told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.epochs: list[str] = []

    def noted(self, line: str) -> None:
        self.lines.append(line)

    def warned(self, line: str) -> None:
        self.lines.append(line)

    def tuning(self, network: str, step: object) -> None:
        self.epochs.append(network)


def save_own(folder: Path) -> None:
    """The weights of two of the functions, as safetensors of their names."""
    namespace: dict[str, Any] = {}
    exec(OWN, namespace)
    for name in ("network", "seven"):
        save_file(namespace[name]().state_dict(), folder / f"{name}.safetensors")


def test_own_module_becomes_checked_onnx_and_a_table(own: Path, tmp_path: Path, problem_file: Path) -> None:
    save_own(tmp_path)
    out = tmp_path / "pruned"
    settings = {
        "out": out,
        "methods": ["magnitude", "fairgrape"],
        "sparsities": [0.5],
        "module": f"{own}:network",
        "weights": tmp_path / "network.safetensors",
        "epochs": 1,
    }
    table = prune(str(problem_file), **settings)  # type: ignore[arg-type]
    assert table["name"].tolist() == ["dense", "magnitude-0.5-0", "fairgrape-0.5-0"]
    pd.testing.assert_frame_equal(pd.read_csv(out / "pruned.csv")[["name", "params"]], table[["name", "params"]])
    assert table["sparsity"].tolist() == table["target"].tolist() == [0, 0.5, 0.5]
    assert table["params"][0] == table["nonzero_params"][0] == (72 + 8) + (8 * 9 * 12 + 12) + (12 * 10 + 10)
    assert (table["params"][1:] < table["params"][0]).all()
    assert (table["latency_ms"][1:] < table["latency_ms"][0]).all()
    assert table["iterations"].tolist() == [0, 9, 9]
    assert table["degradation_fairness"][0] == 0
    assert (table["cwv"] >= 0).all()
    assert (table["performance_fairness"] == table["accuracy_gap"]).all()
    assert (table["largest_logit_difference"] < 1e-4).all()
    assert table["validation_degradation_fairness"][0] == 0
    by_class = table[[f"accuracy[{digit}]" for digit in range(10)]]
    assert np.allclose(by_class.min(axis=1), table["worst_group_accuracy"])
    assert np.allclose(by_class.max(axis=1) - by_class.min(axis=1), table["performance_fairness"])
    assert (table["validation_accuracy"] - table["accuracy"]).abs().between(1e-9, 0.2).any(), "of another part"
    point = choose_in(out, [], maximise="accuracy").point
    assert point is not None
    assert point["accuracy"] == pytest.approx(table["validation_accuracy"].max())
    assert point["test_accuracy"] == pytest.approx(table.set_index("name")["accuracy"][point["name"]])
    session = onnxruntime.InferenceSession(str(out / "magnitude-0.5-0.onnx"))
    assert session.run(None, {"input": np.zeros((3, 1, 8, 8), np.float32)})[0].shape == (3, 10)

    # What is there is taken as it is; other settings are refused.
    stamp = (out / "magnitude-0.5-0.onnx").stat().st_mtime_ns
    again = prune(str(problem_file), resume=True, **{**settings, "seeds": [0, 1], "methods": ["magnitude"]})  # type: ignore[arg-type]
    others = sorted(set(table["name"]) - {"dense", "magnitude-0.5-0"})
    assert others, "methods that were asked for first, and stay in the table"
    assert again["name"].tolist() == ["dense", "magnitude-0.5-0", "magnitude-0.5-1", *others]
    rows = again.set_index("name").loc[others]
    pd.testing.assert_frame_equal(rows, table.set_index("name").loc[others], check_dtype=False)
    assert (out / "magnitude-0.5-0.onnx").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="was made with epochs = 1, not 2: resume it with the same settings"):
        prune(str(problem_file), resume=True, **{**settings, "epochs": 2})  # type: ignore[arg-type]
    made = read_json(out / "settings.json")
    assert made.pop("code") == PRUNING_CODE
    write_json(out / "settings.json", made)  # as before there was a code
    with pytest.raises(ValueError, match=f"was made with code = nothing, not {PRUNING_CODE}: resume it"):
        prune(str(problem_file), resume=True, **settings)  # type: ignore[arg-type]


def test_methods_follow_the_dense_network_where_they_are_asked_to(
    own: Path, tmp_path: Path, problem_file: Path
) -> None:
    save_own(tmp_path)
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 1}
    written = set()
    for share in (0.0, 0.5):
        out = tmp_path / str(share)
        prune(str(problem_file), out=out, methods=["magnitude", "ballot"], distillation=share, **settings)  # type: ignore[arg-type]
        assert read_json(out / "settings.json").get("distillation", 0.0) == share
        written |= {(out / f"{method}-0.5-0.onnx").read_bytes() for method in ("magnitude", "ballot")}
    assert len(written) == 4
    with pytest.raises(ValueError, match=r"was made with distillation = 0\.5, not nothing: resume it"):
        prune(str(problem_file), out=tmp_path / "0.5", methods=["magnitude"], resume=True, **settings)  # type: ignore[arg-type]


def test_dense_networks_are_told_apart_by_what_they_compute(
    tmp_path: Path, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two modules that hold the same tensors; each is trained once, and read from the cache it gives the same table."""
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "own.py"
    own.write_text(
        OWN + "\n\nclass Sine(Net):\n    def forward(self, x):\n        return super().forward(torch.sin(x))\n"
    )
    own.write_text(own.read_text() + "\n\ndef sine():\n    torch.manual_seed(0)\n    return Sine(10)\n")
    heard = Heard()
    tables = {}
    for number, name in enumerate(("network", "sine", "network", "sine")):
        settings = {"methods": ["taylor"], "module": f"{own}:{name}", "epochs": 0, "listener": heard}
        tables[number] = prune(str(problem_file), out=tmp_path / str(number), **settings)  # type: ignore[arg-type]
    assert [line for line in heard.lines if "training" in line] == [
        "training network, 2 epochs",
        "training sine, 2 epochs",
    ]
    assert not tables[0].equals(tables[1])
    for first, again in ((0, 2), (1, 3)):
        assert tables[first].equals(tables[again])
        for file in ("pruned.csv", "dense.onnx", "taylor-0.5-0.onnx"):
            paths = (tmp_path / str(number) / file for number in (first, again))
            assert len({path.read_bytes() for path in paths}) == 1, file


def test_dense_networks_are_told_apart_by_how_they_train(
    tmp_path: Path, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout and batch norm's momentum are in no tensor, and in evaluation mode change nothing."""
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    heard = Heard()
    for number, (dropped, momentum) in enumerate(((0.1, 0.1), (0.8, 0.1), (0.1, 0.01), (0.1, 0.1))):
        (tmp_path / "own.py").write_text(
            "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), "
            f"nn.BatchNorm2d(4, momentum={momentum}), nn.Flatten(), nn.Dropout({dropped}), nn.Linear(36, 10))\n"
        )
        settings = {"module": f"{tmp_path / 'own.py'}:network", "epochs": 0, "listener": heard}
        prune(str(problem_file), out=tmp_path / str(number), **settings)  # type: ignore[arg-type]
    assert sum("training" in line for line in heard.lines) == 3


def test_what_a_module_draws_comes_from_the_seed(
    tmp_path: Path, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "drawn.py"
    own.write_text(
        "import torch\nfrom torch import nn\n\n\nclass Shift(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.by = nn.Parameter(torch.randn(1, 8, 8))\n\n"
        "    def forward(self, x):\n        return x + self.by\n\n\ndef network():\n"
        "    return nn.Sequential(Shift(), nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 10))\n"
    )
    settings = {"module": f"{own}:network", "epochs": 0, "out": tmp_path / "a"}
    first = prune(str(problem_file), **settings)  # type: ignore[arg-type]
    state = torch.random.get_rng_state()
    assert prune(str(problem_file), resume=True, **settings).equals(first)  # type: ignore[arg-type]
    assert torch.equal(state, torch.random.get_rng_state()), "global state is left alone"


def test_shares_by_layer_from_the_command_line(
    own: Path, tmp_path: Path, problem_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pruned"
    arguments = ["prune", str(problem_file), "--module", f"{own}:network", "--ratio", "second=0.75", "--epochs", "0"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--out", str(out)])
    assert stop.value.code == 0
    assert "magnitude-given-0" in capsys.readouterr().out
    table = pd.read_csv(out / "pruned.csv").set_index("name")
    # 3 of 12 channels stay: 9 * 8 weights and a bias each, and as many rows of 10 in the last layer.
    assert table.loc["dense", "params"] - table.loc["magnitude-given-0", "params"] == 9 * (72 + 1 + 10)
    with pytest.raises(SystemExit):
        main([*arguments, "--structure", "unstructured", "--out", str(tmp_path / "weights")])
    weights = pd.read_csv(tmp_path / "weights" / "pruned.csv").set_index("name")
    assert (weights["params"] == table.loc["dense", "params"]).all()
    zeros = weights["params"] - weights["nonzero_params"]
    assert zeros.tolist() == [0, 0.75 * 12 * 72]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsity", "1.0"], "sparsity 1 is outside [0, 1)"),
        (["--sparsity", "-0.1"], "sparsity -0.1 is outside [0, 1)"),
        (["--method", "balot"], "unknown method 'balot'"),
        (["--structure", "blocks"], "unknown structure 'blocks'"),
        (["--scope", "local"], "unknown scope 'local'"),
        (
            ["--method", "magnitude", "--method", "evo", "--scope", "uniform"],
            "evo has a scope of its own, searched: leave out --scope uniform, or evo",
        ),
        (["--method", "fair-scratch", "--scope", "global"], "fair-scratch has a scope of its own, uniform: leave out"),
        (["--seed", "-1"], "seed -1 is negative"),
        (["--seed", "1", "--seed", "1"], "is given twice"),
        (["--epsilon", "2"], "epsilon 2 is outside [0, 1)"),
        (["--epochs", "-1"], "epochs -1 is negative"),
        (["--ratio", "second"], "write LAYER=0.5"),
        (["--ratio", "second=1.5"], "the share of layer 'second', 1.5 is outside [0, 1)"),
        (["--ratio", "second=0.5", "--sparsity", "0.5"], "leave one out"),
        (["--network", "mobilenet-v9"], "unknown network 'mobilenet-v9'"),
        (["--network", "gone.safetensors"], "gone.safetensors does not exist"),
        (["--weights", "w.safetensors"], "give it as --module file.py:function"),
        (["--run", "results/none"], "name one of its ids with --network"),
        (["--module", "own.py"], "write own.py:network where its network() returns"),
        (["--module", "gone.py:network"], "gone.py does not exist"),
        (["--module", "~nosuchuser/own.py:network"], "is no path that can be looked up"),
        (["--treatment", "freeze"], "unknown treatment 'freeze'"),
        (["--method", "ballot", "--treatment", "rewind"], "ballot has rounds and a training of its own"),
        (["--method", "bifp", "--rounds", "2"], "bifp has rounds and a training of its own"),
        (
            ["--method", "safecompress"],
            "safecompress takes out single weights, no channels: use --structure unstructured",
        ),
        (
            ["--method", "magnitude", "--method", "evo", "--ratio", "0=0.5"],
            "evo takes no shares by layer: leave out --ratio, or evo",
        ),
        (["--method", "bifp", "--ratio", "0=0.5"], "bifp takes no shares by layer"),
        (["--method", "fair-scratch", "--ratio", "0=0.5"], "fair-scratch takes no shares by layer"),
        (
            ["--method", "safecompress", "--structure", "unstructured", "--ratio", "0=0.5"],
            "safecompress takes no shares by layer",
        ),
        (["--rounds", "0"], "rounds 0 is less than 1"),
        (["--rounds", "2", "--ratio", "second=0.5"], "leave out --rounds, or --ratio"),
        (["--network", "mobilenet-v2"], "reference networks take images of 3 channels"),
        (["--network", "abc", "--run", "results/none"], "there is no run in results/none"),
        (["--network", "largest", "--module", "own.py:network"], "give one of --network and --module"),
        (["--group", "sex"], "unknown group 'sex'"),
        (["--device", "abacus"], "unknown device 'abacus'"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    problem_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(capsys, "prune", problem_file, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("seven", [], "the network's outputs for 2 samples are [2, 7], but digits has 10 labels"),
        ("broken", [], "fails with RuntimeError: no weights here"),
        ("text", [], "returns str: it has to return a torch.nn.Module"),
        ("lost", [], "has no function 'lost'"),
        (
            "network",
            ["--ratio", "out=0.5", "--weights", "network.safetensors"],
            "the channels of layer 'out' can't be pruned: its channels are the network's outputs",
        ),
        ("network", ["--ratio", "lost=0.5", "--weights", "network.safetensors"], "there is no layer of that name"),
        (
            "network",
            ["--ratio", "norm=0.5", "--structure", "unstructured", "--weights", "network.safetensors"],
            "layer 'norm' can't be pruned: it is no convolution or linear layer",
        ),
        ("network", ["--weights", "seven.safetensors"], "does not fit the network"),
        ("network", ["--weights", "own.py"], "is no safetensors file"),
    ],
)
def test_wrong_networks_are_one_line(
    function: str,
    arguments: list[str],
    message: str,
    own: Path,
    tmp_path: Path,
    problem_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_own(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert message in refusal(capsys, "prune", problem_file, "--module", f"{own}:{function}", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "magnitude", "--method", "bn_scale"], "bn_scale has no value for the channels of 'second'"),
        (["--ratio", "lost=0.5"], "there is no layer of that name"),
    ],
)
def test_what_does_not_suit_a_network_is_refused_before_it_is_trained(
    arguments: list[str],
    message: str,
    own: Path,
    tmp_path: Path,
    problem_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    assert message in refusal(capsys, "prune", problem_file, "--module", f"{own}:network", *arguments)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_group_without_samples_in_a_split_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    rows = ["file,label,site,split"]
    for number in range(24):
        split = ("train", "validation", "test")[number % 3]
        site = "north" if split == "test" or number % 2 else "south"
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number // 3 % 2]},{site},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    problem = tmp_path / "folder.toml"
    text = Path(__file__).resolve().parents[2].joinpath("problems", "image_folder.toml").read_text()
    text = text.replace('group = "class"', 'group = "site"').replace("image_size = 64", "image_size = 8")
    text = text.replace("min_samples = 10", "min_samples = 1")
    problem.write_text(text)
    line = refusal(capsys, "prune", problem, "--data", tmp_path, "--out", tmp_path / "out")
    assert "'south' has" in line
    assert "test" in line
    assert not (tmp_path / "out").exists()


def test_rounds_and_treatment_reach_the_method(own: Path, tmp_path: Path, problem_file: Path) -> None:
    save_own(tmp_path)
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 4}
    one, three, none = (
        prune(str(problem_file), out=tmp_path / name, **settings, **given).set_index("name").loc["magnitude-0.5-0"]  # type: ignore[arg-type]
        for name, given in (("one", {}), ("three", {"rounds": 3}), ("none", {"treatment": "none"}))
    )
    # A quarter of the epochs goes to each of the first two rounds, half to the last; BatchNorm alone tells none apart.
    assert (one["iterations"], three["iterations"], none["iterations"]) == (36, 36, 0)
    card = read_json(tmp_path / "three" / "magnitude-0.5-0.json")
    assert card["notes"] == {"rounds": 3}
    dense = read_json(tmp_path / "three" / "dense.json")["row"]
    for name, change in card["changes"].items():
        own = name.replace("class:", "")
        assert change["value"] == pytest.approx(card["row"][own] - dense[own])
    assert card["figures"]["accuracy"]["value"] == pytest.approx(card["row"]["accuracy"])
    assert card["figures"]["accuracy"]["low"] < card["row"]["accuracy"] < card["figures"]["accuracy"]["high"]
    assert none["accuracy"] < one["accuracy"]


def test_the_table_says_the_scope_that_a_method_has(
    own: Path, tmp_path: Path, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.pruning.evo.BUDGET", 6)
    monkeypatch.setattr("evo_fair.pruning.evo.POPULATION", 3)
    save_own(tmp_path)
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 0}
    methods = ["magnitude", "fair-scratch", "evo"]
    table = prune(str(problem_file), out=tmp_path / "a", methods=methods, **settings)  # type: ignore[arg-type]
    assert table["scope"].tolist() == ["", "global", "uniform", "searched"]
    table = prune(str(problem_file), out=tmp_path / "b", methods=methods[:2], scope="uniform", **settings)  # type: ignore[arg-type]
    assert table["scope"].tolist() == ["", "uniform", "uniform"]


def test_a_missed_limit_of_accuracy_is_told(tmp_path: Path, problem_file: Path) -> None:
    heard = Heard()
    for sparsity in (0.0, 0.9):  # nothing, or nearly all of a trained network, which is not trained on
        given = {"methods": ["ballot"], "sparsities": [sparsity], "epochs": 0, "listener": heard}
        prune(str(problem_file), out=tmp_path / f"{sparsity}", **given)  # type: ignore[arg-type]
    lost = read_json(tmp_path / "0.9" / "ballot-0.9-0.json")["notes"]["held_out_accuracy_lost"]
    (line,) = [line for line in heard.lines if "misses its limit" in line]
    said = f"ballot-0.9-0 misses its limit: validation accuracy {lost:.4f} below dense, not epsilon 0.01; "
    assert line == said + "prune less, train longer or allow more with --epsilon"


def test_largest_network_is_trained_once_for_all_folders(
    tmp_path: Path, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    heard = Heard()
    first, second = (
        prune(str(problem_file), out=tmp_path / name, epochs=0, network=network, listener=heard)
        for name, network in (("a", None), ("b", "largest"))
    )
    assert [line for line in heard.lines if line.startswith("training")] == ["training largest, 2 epochs"]
    pd.testing.assert_frame_equal(first, second)
    assert first["accuracy"][0] > 0.5


@pytest.mark.slow
def test_network_of_a_run(tmp_path: Path, problem_file: Path) -> None:
    """It computes what the run's own ONNX file does, and another problem or data are refused."""
    out = tmp_path / "run"
    search(str(problem_file), budget=12, population=6, jobs=1, out=out)
    name = str(pd.read_csv(out / "front.csv", dtype={"id": str})["id"][0])
    prune(str(problem_file), out=tmp_path / "pruned", run=out, network=name, epochs=0)
    x = np.random.default_rng(0).normal(size=(8, 1, 8, 8)).astype(np.float32)
    logits = [
        onnxruntime.InferenceSession(str(path)).run(None, {"input": x})[0]
        for path in (out / "networks" / f"{name}.onnx", tmp_path / "pruned" / "dense.onnx")
    ]
    assert np.allclose(*logits, atol=1e-4)
    other = tmp_path / "other.toml"
    other.write_text(problem_file.read_text().replace("widths = [4, 8, 16]", "widths = [4, 8, 12]"))
    with pytest.raises(RunError, match="the space of other is not the one of the run"):
        prune(str(other), out=tmp_path / "o", run=out, network=name)
    other.write_text(problem_file.read_text().replace("[fairness]", "split_seed = 1\n[fairness]"))
    with pytest.raises(RunError, match="the data of other is not the one of the run"):
        prune(str(other), out=tmp_path / "o", run=out, network=name)
    with pytest.raises(UnknownNameError, match="unknown network 'abc'"):
        prune(str(problem_file), out=tmp_path / "o", run=out, network="abc")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet-v3-small", "mobilenet-v2-0.1"])
def test_reference_networks_by_name_and_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A name takes what `train --network` has in the cache; a file is the same network."""
    from PIL import Image

    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    rows = ["file,label"]
    for i in range(60):
        pixels = rng.integers(0, 128, (32, 32, 3)) + 127 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{('dark', 'bright')[i % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    text = Path(__file__).resolve().parents[2].joinpath("problems", "image_folder.toml").read_text()
    (tmp_path / "lamps.toml").write_text(
        re.sub(r"epochs = \d+", "epochs = 1", text)
        .replace("image_size = 64", "image_size = 32")
        .replace("min_samples = 10", "min_samples = 1")
    )
    problem = load_problem(str(tmp_path / "lamps.toml"), data=tmp_path)
    heard = Heard()
    lines = heard.lines
    settings = {"epochs": 0, "listener": heard, "seeds": (0,)}
    with pytest.raises(PruningError, match="bn_scale has no value"):
        prune(problem, out=tmp_path / "a", network="squeezenet", methods=["bn_scale"], **settings)  # type: ignore[arg-type]
    assert lines == [], "refused before it was trained"
    by_name = prune(problem, out=tmp_path / "a", network=name, **settings)  # type: ignore[arg-type]
    assert lines == [f"training {name}, 1 epochs"]
    assert heard.epochs == [name]
    (stored,) = (tmp_path / "cache" / "references").glob(f"*/{name}.safetensors")
    by_file = prune(problem, out=tmp_path / "b", network=str(stored), **settings)  # type: ignore[arg-type]
    assert sum(line.startswith("training") for line in lines) == 1
    pd.testing.assert_frame_equal(by_name, by_file)
    assert by_name["params"][1] < by_name["params"][0]
    manifest = read_json(stored.with_suffix(".json"))
    onnx = stored.with_suffix(".onnx")
    assert open_reference(onnx, problem.dataset()).scaling is not None
    data = manifest["data"] | {"fingerprint": "another split"}
    write_json(stored.with_suffix(".json"), manifest | {"data": data})
    with pytest.raises(PruningError, match="was trained on other data or another split"):
        prune(problem, out=tmp_path / "c", network=str(stored))
    assert open_reference(onnx, problem.dataset()).scaling is None, "timed, not examined"
    write_json(stored.with_suffix(".json"), manifest)
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(
        PruningError, match=rf"{name}\.safetensors is not the file that .*json was written for: it is dam"
    ):
        prune(problem, out=tmp_path / "c", network=str(stored))
    with pytest.raises(RunError, match=f"{name} is not trained for these data"):
        find_reference(problem, problem.dataset(), name, 0)
    prune(problem, out=tmp_path / "d", network=name, **settings)  # type: ignore[arg-type]
    assert stored.read_bytes() == whole, "made anew"
    write_json(stored.with_suffix(".json"), manifest | {"labels": ["dark", "bright", "dim"]})
    with pytest.raises(PruningError, match=r"was trained for the labels \['dark', 'bright', 'dim'\]"):
        prune(problem, out=tmp_path / "c", network=str(stored))


def test_a_killed_pruning_goes_on(own: Path, tmp_path: Path, problem_file: Path) -> None:
    """Broken off between two networks; the first is not made again, and the table is that of an unbroken one."""
    save_own(tmp_path)
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 1, "seeds": (0, 1)}

    class Stops(Listener):
        def pruned(self, network: str, done: int, networks: int) -> None:
            assert (network, networks) == ("magnitude-0.5-0", 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(str(problem_file), out=tmp_path / "a", listener=Stops(), **settings)  # type: ignore[arg-type]
    stamp = (tmp_path / "a" / "magnitude-0.5-0.onnx").stat().st_mtime_ns
    resumed = prune(str(problem_file), out=tmp_path / "a", resume=True, **settings)  # type: ignore[arg-type]
    assert (tmp_path / "a" / "magnitude-0.5-0.onnx").stat().st_mtime_ns == stamp
    pd.testing.assert_frame_equal(resumed, prune(str(problem_file), out=tmp_path / "b", **settings))  # type: ignore[arg-type]


def test_no_shares_by_layer_are_none(own: Path, tmp_path: Path, problem_file: Path) -> None:
    save_own(tmp_path)
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 0}
    table = prune(str(problem_file), out=tmp_path / "a", ratios={}, **settings)  # type: ignore[arg-type]
    assert table["sparsity"].tolist() == [0, 0.5]


def test_what_a_kill_before_the_settings_left_is_begun_anew(own: Path, tmp_path: Path, problem_file: Path) -> None:
    save_own(tmp_path)
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 0}
    for resume in (False, True):
        out = tmp_path / f"out{resume}"
        out.mkdir()
        (out / ".settings.7.tmp.json").write_text("half")
        assert len(prune(str(problem_file), out=out, resume=resume, **settings)) == 2  # type: ignore[arg-type]
        assert not (out / ".settings.7.tmp.json").exists()


def test_folders_of_something_else_are_left_alone(own: Path, tmp_path: Path, problem_file: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    for resume, told in ((False, "holds something that is no pruning"), (True, "holds no settings.json, so it is no")):
        with pytest.raises(RunError, match=told):
            prune(str(problem_file), out=tmp_path, module=f"{own}:network", resume=resume)


def test_a_pruning_of_before_intervals_goes_on(own: Path, tmp_path: Path, problem_file: Path) -> None:
    save_own(tmp_path)
    load_profile("pixel-3").without_intervals.write(tmp_path / "then.json")
    settings = {"module": f"{own}:network", "weights": tmp_path / "network.safetensors", "epochs": 0}
    first = prune(str(problem_file), out=tmp_path / "a", device=tmp_path / "then.json", **settings)  # type: ignore[arg-type]
    again = prune(str(problem_file), out=tmp_path / "a", device="pixel-3", resume=True, **settings)  # type: ignore[arg-type]
    assert again.equals(first)
