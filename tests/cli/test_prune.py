"""`evo-fair prune`: a network of the user's own from end to end, and wrong input in one line."""

from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from evo_fair.cli import main
from evo_fair.prune_networks import prune

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


def test_own_module_becomes_checked_onnx_and_a_table(own: Path, tmp_path: Path, problem_file: Path) -> None:
    namespace: dict[str, object] = {}
    exec(OWN, namespace)
    network = namespace["network"]()  # type: ignore[operator]
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    out = tmp_path / "pruned"
    settings = {
        "out": out,
        "methods": ["magnitude", "fairgrape"],
        "sparsities": [0.5],
        "module": f"{own}:network",
        "weights": tmp_path / "own.safetensors",
        "epochs": 1,
    }
    table = prune(str(problem_file), **settings)  # type: ignore[arg-type]
    assert table["name"].tolist() == ["dense", "magnitude-0.5-0", "fairgrape-0.5-0"]
    pd.testing.assert_frame_equal(pd.read_csv(out / "pruned.csv")[["name", "params"]], table[["name", "params"]])
    assert table["sparsity_reached"].tolist() == [0, 0.5, 0.5]
    assert (table["params"][1:] < table["params"][0]).all()
    assert (table["latency_ms"][1:] < table["latency_ms"][0]).all()
    assert table["iterations"].tolist() == [0, 9, 9]
    assert table["degradation_fairness"][0] == 0
    assert (table["cwv"] >= 0).all()
    assert (table["performance_fairness"] == table["accuracy_gap"]).all()
    assert (table["largest_logit_difference"] < 1e-4).all()
    session = onnxruntime.InferenceSession(str(out / "magnitude-0.5-0.onnx"))
    assert session.run(None, {"input": np.zeros((3, 1, 8, 8), np.float32)})[0].shape == (3, 10)

    # What is there is taken as it is; other settings are refused.
    stamp = (out / "magnitude-0.5-0.onnx").stat().st_mtime_ns
    again = prune(str(problem_file), resume=True, **{**settings, "seeds": [0, 1], "methods": ["magnitude"]})  # type: ignore[arg-type]
    assert again["name"].tolist() == ["dense", "magnitude-0.5-0", "magnitude-0.5-1"]
    assert (out / "magnitude-0.5-0.onnx").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="was made with other settings"):
        prune(str(problem_file), resume=True, **{**settings, "epochs": 2})  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsity", "1.0"], "sparsity 1 is outside [0, 1)"),
        (["--sparsity", "-0.1"], "sparsity -0.1 is outside [0, 1)"),
        (["--method", "balot"], "unknown method 'balot'"),
        (["--structure", "blocks"], "unknown structure 'blocks'"),
        (["--scope", "local"], "unknown scope 'local'"),
        (["--seed", "-1"], "seed -1 is negative"),
        (["--seed", "1", "--seed", "1"], "is given twice"),
        (["--epsilon", "2"], "epsilon 2 is outside [0, 1)"),
        (["--epochs", "-1"], "epochs -1 is negative"),
        (["--ratio", "second"], "write LAYER=0.5"),
        (["--ratio", "second=1.5"], "the share of layer 'second', 1.5 is outside [0, 1)"),
        (["--ratio", "second=0.5", "--sparsity", "0.5"], "leave one out"),
        (["--network", "mobilenet-v9"], "unknown network 'mobilenet-v9'"),
        (["--network", "gone.safetensors"], "gone.safetensors does not exist"),
        (["--weights", "w.safetensors"], "give --module file.py:function"),
        (["--run", "results/none"], "name one of its ids with --network"),
        (["--module", "own.py"], "write file.py:function"),
        (["--module", "gone.py:network"], "gone.py does not exist"),
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
            ["--ratio", "out=0.5", "--weights", "own.safetensors"],
            "layer 'out' can't be pruned: its channels",
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
    namespace: dict[str, object] = {}
    exec(OWN, namespace)
    for name, made in (("own", "network"), ("seven", "seven")):
        save_file(namespace[made]().state_dict(), tmp_path / f"{name}.safetensors")  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, "prune", problem_file, "--module", f"{own}:{function}", *arguments)
    # The way to the layer's message names it in the outputs' own words.
    assert message.replace("layer 'out' can't be pruned: its", "its") in line


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
    text = text.replace('group = "class"', 'group = "site"').replace(
        "image_size = 64", "image_size = 8\nmin_samples = 1"
    )
    problem.write_text(text)
    line = refusal(capsys, "prune", problem, "--data", tmp_path, "--out", tmp_path / "out")
    assert "'south' has" in line
    assert "test" in line
    assert not (tmp_path / "out").exists()


def test_torch_is_seeded_by_the_own_module_alone(own: Path) -> None:
    from evo_fair.pruning.given import load_module

    first, second = (load_module(f"{own}:network").state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
