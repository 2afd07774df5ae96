"""`evo-fair search --module` and `evo-fair deploy` of its run, as processes."""

from pathlib import Path

import pytest

from .conftest import Command

FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.last = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.last(x.mean((2, 3)))


def network():
    return Net()
"""


@pytest.mark.slow
def test_from_a_file_without_weights_to_deployed_networks(
    evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    module, out = f"{tmp_path}/mine.py:network", tmp_path / "run"
    options = ["--module", module, "--budget", 8, "--population", 4, "--jobs", 1, "--out", out]
    searched = evo_fair("search", problem_file, *options, "--order", "magnitude_l1", "--order", "lamp")
    assert searched.returncode == 0, searched.stderr
    assert "training network" in searched.stderr
    assert (out / "front.csv").is_file()
    again = evo_fair("search", problem_file, *options, "--order", "magnitude_l1", "--order", "lamp", "--resume")
    assert again.returncode == 0, again.stderr
    other = evo_fair("search", problem_file, *options, "--order", "lamp", "--resume")
    assert other.returncode == 2
    assert "network.orders = ['magnitude_l1', 'lamp'], not ['lamp']" in other.stderr
    bare = evo_fair("deploy", out, "--epochs", 0)
    assert bare.returncode == 2
    assert bare.stderr.count("\n") == 1
    assert "give its code again with --module" in bare.stderr
    deployed = evo_fair("deploy", out, "--epochs", 1, "--module", module)
    assert deployed.returncode == 0, deployed.stderr
    assert (out / "deployed.csv").is_file()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--module", "none.py:network"], "none.py does not exist"),
        (["--module", "mine"], "file.py:function or package.module:function"),
        (
            ["--weights", "w.safetensors"],
            "they are for: give it with --module, or leave out --weights",
        ),
        (
            ["--order", "lamp"],
            "they are for: give it with --module, or leave out --order",
        ),
        (["--module", "resnet-18", "--order", "lampe"], "unknown criterion 'lampe'"),
        (["--module", "resnet-18", "--torch-device", "cuda:99"], "'cuda:99' is not there"),
    ],
)
def test_wrong_options_are_one_line(evo_fair: Command, options: list[str], told: str, tmp_path: Path) -> None:
    refused = evo_fair("search", "digits", "--out", tmp_path / "run", *options)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert told in refused.stderr
