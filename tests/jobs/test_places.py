"""Jobs on another device than the ordinary CPU: they run, say where, and go on there alone."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import evo_fair as ef
from evo_fair.belief import TrainingResult, read_trainings, write_trainings
from evo_fair.jobs.places import place_of_job
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.problem import load_problem
from evo_fair.proxy.supernets import find_supernet, train_and_store

from ..cli.conftest import problem_file, refusal

__all__ = ["problem_file"]

AWAY: Any = TorchDevice("cpu", accelerated=True, half=torch.bfloat16)
"""The way of a GPU, on the CPU. What is made so says that it was."""

NETWORK = """
import torch
from torch import nn


def network():
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.ReLU(), *last)
"""


class Hearer(ef.Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, line: str) -> None:
        self.notes.append(line)


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@pytest.mark.parametrize("command", ["train", "search", "prune", "audit"])
def test_a_device_that_is_not_there_is_one_line(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = refusal(capsys, command, "digits", "--out", tmp_path / "out", "--torch-device", "cuda:99")
    assert line.startswith("evo-fair: torch device 'cuda:99' is not there: torch sees ")
    assert "cpu" in line.partition("give ")[2]
    assert not (tmp_path / "out").exists()


def test_a_job_goes_on_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    hearer = Hearer()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert place_of_job("auto", {}, hearer) == place_of_job("auto", None, hearer) == CPU
    with pytest.raises(ef.EvoFairError, match="'cuda', on which the job began, is not there"):
        place_of_job("auto", {"torch_device": "cuda"}, hearer)
    with pytest.raises(ef.EvoFairError, match="'cpu' is another than 'cuda', on which the job began"):
        place_of_job("cpu", {"torch_device": "cuda"}, hearer)
    assert not hearer.notes
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert place_of_job("auto", {"torch_device": "cuda"}, hearer).name == "cuda"
    assert not hearer.notes
    assert place_of_job("auto", {}, hearer) == CPU
    assert hearer.notes == ["torch device: cpu, where the job began"]


def test_trainings_say_where_they_were_made_unless_it_is_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "trainings.csv"
    made = [TrainingResult(name, 2, 0, {"error": 0.5}, {"error": 0.1}, "cuda") for name in ("a", "b")]
    write_trainings(path, made)
    assert path.read_text().splitlines()[0] == "id,epochs,seed,error,error_uncertainty,torch_device"
    assert read_trainings(path, ["error"], ["a", "b"]) == made
    write_trainings(path, [TrainingResult("a", 2, 0, {"error": 0.5}, {"error": 0.1})])
    assert path.read_text().splitlines()[0] == "id,epochs,seed,error,error_uncertainty"


@pytest.mark.slow
def test_supernets_of_devices_are_kept_apart_and_found_from_everywhere(problem_file: Path) -> None:
    problem = load_problem(problem_file)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    away = train_and_store(problem, dataset, space, device=AWAY)
    assert away.manifest["torch_device"] == "cpu"
    assert find_supernet(problem, dataset, space, AWAY) == away
    here = train_and_store(problem, dataset, space)
    assert "torch_device" not in here.manifest
    assert here.path != away.path
    assert find_supernet(problem, dataset, space) == here
    assert find_supernet(problem, dataset, space, AWAY) == away
    assert find_supernet(problem, dataset, space, AWAY, here.sha256) == here
    here.path.unlink()
    gpu = TorchDevice("cuda", accelerated=True)
    assert find_supernet(problem, dataset, space, gpu) is None  # the way of these tests is no device of users'


@pytest.mark.slow
def test_a_search_and_what_follows_it(problem_file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": 8, "population": 4, "trainings": 1}
    run = ef.search(str(problem_file), out=tmp_path / "run", torch_device=AWAY, **options)
    assert run.configuration["proxy"]["torch_device"] == "cpu"
    assert pd.read_csv(run.path / "trainings.csv")["torch_device"].tolist() == ["cpu"]
    (card,) = (run.path / "trainings").glob("*.json")
    assert json.loads(card.read_text())["trained"]["torch_device"] == "cpu"
    table = ef.deploy(run, networks=[run.front["id"][0]], epochs=1, even_groups=0.1, torch_device=AWAY)
    assert len(table) == 1
    assert toml(run.path / "deployed" / "run.toml")["torch_device"] == "cpu"
    told = json.loads((run.path / "deployed" / f"{run.front['id'][0]}.json").read_text())
    assert told["trained"]["torch_device"] == "cpu"


@pytest.mark.slow
def test_a_pruning_by_workers_carries_its_device(problem_file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": ["taylor", "bifp"], "epochs": 1, "torch_device": AWAY}
    here = ef.prune(str(problem_file), out=tmp_path / "here", **options)
    there = ef.prune(str(problem_file), out=tmp_path / "there", workers=1, **options)
    assert here.equals(there)
    settings = json.loads((tmp_path / "here" / "settings.json").read_text())
    assert settings["torch_device"] == "cpu"
    assert json.loads((tmp_path / "here" / "dense.json").read_text())["torch_device"] == "cpu"
    plain = ef.prune(str(problem_file), out=tmp_path / "plain", **options | {"torch_device": "cpu"})
    assert "torch_device" not in json.loads((tmp_path / "plain" / "settings.json").read_text())
    with pytest.raises(ef.RunError, match="was made with torch_device = nothing, not 'cpu'"):
        ef.prune(str(problem_file), out=tmp_path / "plain", resume=True, **options)
    assert (plain["accuracy"] - here["accuracy"]).abs().max() < 0.2


@pytest.mark.slow
def test_a_network_of_ones_own(problem_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NETWORK)
    module = f"{tmp_path / 'mine.py'}:network"
    options: dict[str, Any] = {"budget": 6, "population": 3, "module": module, "constraints": []}
    run = ef.search(str(problem_file), out=tmp_path / "run", torch_device=AWAY, **options)
    assert run.configuration["proxy"] == {"code": 2, "torch_device": "cpu", "precision": "fp32", "kind": "own"}


@pytest.mark.slow
def test_audits(problem_file: Path, tmp_path: Path) -> None:
    made = ef.audit(str(problem_file), out=tmp_path / "nets", networks=8, criteria=["trained"], torch_device=AWAY)
    assert made.folder.configuration["torch_device"] == "cpu"
    grid: dict[str, Any] = {"criteria": ["taylor"], "sparsities": [0.5], "seeds": [0], "treatments": ["finetune"]}
    one = ef.audit(str(problem_file), out=tmp_path / "one", network="largest", epochs=1, torch_device=AWAY, **grid)
    assert one.folder.configuration["torch_device"] == "cpu"
