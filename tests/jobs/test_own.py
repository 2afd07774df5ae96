"""A network that people bring, the whole way: searched, resumed, trained, deployed, reported."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import evo_fair as ef
from evo_fair.export.export import onnx_logits
from evo_fair.job_folder import RUNS
from evo_fair.jobs.own import own_of_run
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets.distillation import Teacher

from ..cli.conftest import problem_file
from ..own.conftest import digits_task, made

__all__ = ["problem_file"]

SMALL = {"budget": 18, "population": 6, "seed": 3, "jobs": 2}


def trained(name: str) -> nn.Module:
    """A network after two epochs of the digits' recipe."""
    network = made(name)
    digits_task().train(network, 2, 0, rate=0.2)
    return network


@pytest.fixture(scope="module", params=["squeezed", pytest.param("dense", marks=pytest.mark.slow)])
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ef.Run, nn.Module]:
    """A search of each of the networks, with two trainings."""
    network = trained(request.param)
    folder = tmp_path_factory.mktemp("own") / "run"
    orders = ["magnitude_l2", "taylor"]
    run = ef.search("digits", out=folder, module=network, orders=orders, trainings=2, training_epochs=1, **SMALL)
    return run, network


def test_the_front_is_of_pruned_forms_of_the_network(searched: tuple[ef.Run, nn.Module]) -> None:
    run, network = searched
    whole = sum(tensor.numel() for tensor in network.parameters())
    assert len(run.front) >= 2
    assert run.front["params"].min() < whole / 2
    assert run.front["error"].min() < 0.5
    told = run.configuration["network"]
    assert told["orders"] == ["magnitude_l2", "taylor"]
    assert len(told["weights"]) == len(told["source"]) == 64
    assert "supernet" not in run.configuration


def test_it_begins_with_uniform_prunings_as_far_as_half_of_the_budget_goes(searched: tuple[ef.Run, nn.Module]) -> None:
    run, network = searched
    task = digits_task()
    origin = own_of_run(run.path, run.configuration, ef.load_problem("digits"), task.dataset, task.group, network)
    first = [record.genome for record in run.records if record.generation == 0]
    assert first[:9] == [tuple(genome) for genome in origin.space.known_genomes()[:9].tolist()]
    assert len(first) == 9 + 6
    assert run.configuration["search"]["initial"] == "known"


def test_its_files_take_the_time_that_the_journal_says(searched: tuple[ef.Run, nn.Module]) -> None:
    run, _ = searched
    profile = ef.load_profile(run.configuration["device"]["name"])
    for record in run.front_records:
        graph = read_onnx(run.path / "networks" / f"{record.id}.onnx")
        assert predict(graph, profile).latency_ms == record.objectives["latency_ms"]
        assert graph.macs == record.metrics["macs"]


def test_its_files_predict_what_the_search_counted(searched: tuple[ef.Run, nn.Module]) -> None:
    run, _ = searched
    dataset = ef.load_problem("digits").dataset()
    part = dataset.part("validation")
    for record in run.front_records[:3]:
        path = run.path / "networks" / f"{record.id}.onnx"
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["hashes"]["network"] == run.configuration["network"]["weights"]
        layers = [row for row in card["architecture"] if "layer" in row]
        assert all(0 < row["channels"] <= row["of"] for row in layers)
        x = digits_task().normalise(dataset.inputs[part]).contiguous().numpy()
        error = float((onnx_logits(path, x).argmax(1) != dataset.labels[part]).mean())
        assert error == pytest.approx(record.objectives["error"], abs=1.01 / len(part))


def test_a_search_broken_off_comes_to_the_same_end(searched: tuple[ef.Run, nn.Module], tmp_path: Path) -> None:
    run, network = searched

    class StopError(Exception):
        pass

    class Stops(ef.Listener):
        def searching(self, progress: object) -> None:
            raise StopError

    orders = ["magnitude_l2", "taylor"]
    given = {"module": network, "orders": orders, "trainings": 2, "training_epochs": 1, **SMALL}
    with pytest.raises(StopError):
        ef.search("digits", out=tmp_path / "run", listener=Stops(), **given)  # type: ignore[arg-type]
    del given["orders"]  # they are those of the run
    again = ef.search("digits", out=tmp_path / "run", resume=True, **{**given, "jobs": 1})  # type: ignore[arg-type]
    for name in ("run.toml", "journal.jsonl", "front.csv", "trainings.csv"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes(), name


def test_deployed_networks_start_from_the_pruned_weights(searched: tuple[ef.Run, nn.Module], tmp_path: Path) -> None:
    run, network = searched
    best = str(run.front["id"].iloc[run.front["error"].argmin()])
    table = ef.deploy(run, module=network, networks=[best], epochs=0, out=tmp_path / "untrained")
    groups = json.loads((tmp_path / "untrained" / f"{best}.json").read_text())["groups"]["class"].values()
    error = 1 - sum(group["correct"] for group in groups) / sum(group["samples"] for group in groups)
    record = next(record for record in run.front_records if record.id == best)
    assert error == pytest.approx(record.objectives["error"], abs=0.01)
    assert table["macs"].tolist() == [record.metrics["macs"]]
    after = ef.deploy(run, module=network, networks=[best], epochs=2, out=tmp_path / "trained")
    assert after["accuracy"].iloc[0] > 0.8


def test_what_the_search_trained_is_taken_over(
    searched: tuple[ef.Run, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, network = searched
    names = set(pd.read_csv(run.path / "trainings.csv")["id"]) & set(run.front["id"])
    if not names:
        pytest.skip("none of the trained networks is on the front")
    monkeypatch.setattr("evo_fair.export.workshop.train_network", None)  # calling it would fail
    ef.deploy(run, module=network, networks=sorted(names)[:1], epochs=1, seed=3, out=tmp_path / "deployed")


def test_a_pruned_form_follows_the_whole_network_where_it_is_asked_to(
    searched: tuple[ef.Run, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, network = searched
    name = str(run.front["id"].iloc[run.front["latency_ms"].argmin()])
    followed: list[tuple[nn.Module, float]] = []
    make = Teacher.of

    def noted(network: nn.Module, share: float, *, images: bool) -> Teacher:
        followed.append((network, share))
        return make(network, share, images=images)

    monkeypatch.setattr(Teacher, "of", noted)
    for share in (0.0, 0.5, 1.0):
        out = tmp_path / str(share)
        ef.deploy(run, module=network, networks=[name], epochs=1, distillation=share, out=out)
        assert json.loads((out / f"{name}.json").read_text())["trained"]["distillation"] == share
        assert ("distillation" in RUNS.read(out)["deploy"]) is (share > 0)
    assert [share for _, share in followed] == [0.5, 1.0]
    for teacher, _ in followed:
        own = teacher.state_dict()
        assert all(torch.equal(own[name], tensor) for name, tensor in network.state_dict().items())
    assert len({(tmp_path / str(share) / f"{name}.onnx").read_bytes() for share in (0.0, 0.5, 1.0)}) == 3
    out = tmp_path / "0.5"
    with pytest.raises(ef.RunError, match=r"was made with deploy.distillation = 0.5, not 1.0"):
        ef.deploy(run, module=network, networks=[name], epochs=1, distillation=1.0, out=out, resume=True)


def test_even_groups_move_the_biases_of_its_outputs(searched: tuple[ef.Run, nn.Module], tmp_path: Path) -> None:
    run, network = searched
    name = str(run.front["id"].iloc[0])
    ef.deploy(run, module=network, networks=[name], epochs=0, even_groups=np.float32(0.02), out=tmp_path / "even")
    assert json.loads((tmp_path / "even" / f"{name}.json").read_text())["even_groups"]["epsilon"] == 0.02


@pytest.mark.slow
def test_its_runs_are_compared_and_give_operating_points(searched: tuple[ef.Run, nn.Module], tmp_path: Path) -> None:
    run, network = searched
    orders = ["magnitude_l2", "taylor"]
    other = ef.search("digits", out=tmp_path / "b", module=network, orders=orders, **{**SMALL, "seed": 4})
    assert len(ef.compare([run, other]).by_run) == 2
    point = run.operating_point(["error <= 0.9"], "latency_ms")
    assert point is not None
    assert point["error"] <= 0.9


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    network = trained("squeezed")
    runs = [ef.search("digits", out=tmp_path / str(jobs), module=network, **{**SMALL, "jobs": jobs}) for jobs in (1, 3)]
    assert len({(run.path / "journal.jsonl").read_bytes() for run in runs}) == 1


def test_other_weights_and_other_code_are_refused(searched: tuple[ef.Run, nn.Module], tmp_path: Path) -> None:
    run, network = searched
    with pytest.raises(ef.RunError, match=r"of a network of your own, .*: give its code again with --module"):
        ef.deploy(run, out=tmp_path / "a")
    with pytest.raises(ef.RunError, match=r"the code of .* is another than when the run"):
        ef.deploy(run, module=nn.Sequential(network), out=tmp_path / "a")
    changed = made("squeezed" if isinstance(network, nn.Sequential) else "dense")
    given = {"orders": ["magnitude_l2", "taylor"], **SMALL}
    with pytest.raises(ef.RunError, match=r"was made with network.weights = "):
        ef.search("digits", out=run.path, module=changed, resume=True, **given)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_damaged_file_of_the_run_is_refused(tmp_path: Path) -> None:
    network = trained("squeezed")
    run = ef.search("digits", out=tmp_path / "run", module=network, **{**SMALL, "budget": 4, "population": 4})
    weights, orders = (run.path / "own" / f"{name}.safetensors" for name in ("weights", "orders"))
    kept = orders.read_bytes()
    orders.write_bytes(kept[:-9])
    with pytest.raises(ef.RunError, match=r"orders\.safetensors is not what the run was searched with"):
        ef.deploy(run, module=network, out=tmp_path / "a")
    orders.write_bytes(kept)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ef.RunError, match=r"weights\.safetensors is not what the run was searched with"):
        ef.deploy(run, module=network, out=tmp_path / "a")


FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, labels=10):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.last = nn.Linear(16, labels)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.last(x.mean((2, 3)))


def network():
    return Net()


def eleven():
    return Net(11)


def fails():
    raise ValueError("no such thing")


def number():
    return 3


def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file, with weights beside it."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine_own.py").write_text(FILE)
    names: dict[str, object] = {}
    exec(FILE, names)  # ours, above
    network = names["network"]()  # type: ignore[operator]
    digits_task().train(network, 2, 0)
    save_file(
        {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}, folder / "w.safetensors"
    )
    save_file({"first.weight": torch.zeros(8, 1, 3, 3)}, folder / "few.safetensors")
    return folder


@pytest.mark.slow
def test_a_file_and_a_module_of_a_package_are_the_same_network(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine)
    journals = [
        (
            ef.search("digits", out=tmp_path / str(number), module=module, weights=mine / "w.safetensors", **SMALL).path
            / "journal.jsonl"
        ).read_bytes()
        for number, module in enumerate([f"{mine}/mine_own.py:network", "mine_own:network"])
    ]
    assert journals[0] == journals[1]


@pytest.mark.parametrize(
    ("module", "weights", "more", "told"),
    [
        ("missing.py:network", None, {}, "missing.py does not exist"),
        ("mine_own.py:netwrk", None, {}, "has no function 'netwrk'"),
        ("no_such_module_of_mine:network", None, {}, "fails with ModuleNotFoundError"),
        ("mobilenet_v2", None, {}, "unknown network 'mobilenet_v2': expected one of .*; did you mean 'mobilenet-v2'"),
        (
            "mine_own.py:",
            None,
            {},
            "'mine_own.py:' names no network: write file.py:function or package.module:function",
        ),
        ("mine_own.py", None, {}, "'mine_own.py' names a file without a function: write mine_own.py:network"),
        ("mobilenet-v2", "w.safetensors", {}, "weights are given for the reference network mobilenet-v2"),
        ("mine_own.py:fails", None, {}, "fails with ValueError: no such thing"),
        ("mine_own.py:number", None, {}, "returns int: it has to return a torch.nn.Module"),
        ("mine_own.py:eleven", None, {}, "has 10 labels: it has to return logits"),
        ("mine_own.py:network", "few.safetensors", {}, "does not fit the network: the file has no 'first.bias'"),
        ("mine_own.py:network", "none.safetensors", {}, "none.safetensors do not exist"),
        ("mine_own.py:network", "w.safetensors", {"orders": ["taylr"]}, "unknown criterion 'taylr'"),
        ("mine_own.py:network", "w.safetensors", {"orders": []}, "no criterion orders the channels"),
        (
            "mine_own.py:network",
            "w.safetensors",
            {"orders": ["lamp", "lamp"]},
            "the order by 'lamp' is asked for twice",
        ),
        ("mine_own.py:network", "w.safetensors", {"orders": ["bn_scale"]}, "bn_scale has no value for the channels"),
        (
            "mine_own.py:network",
            "w.safetensors",
            {"freeze_header": 1},
            "a header is a supernet's: leave out --freeze-header, or --module",
        ),
        ("mine_own.py:network", "w.safetensors", {"precision": "bf16"}, "is evaluated in fp32"),
        ("mine_own.py:fixed", None, {}, "no layer of the network can lose channels"),
        (None, "w.safetensors", {}, "weights are given without the network that they are for"),
        (None, None, {"orders": ["lamp"]}, "orders are given without the network that they are for"),
        (7, None, {}, "module 7 is neither a text nor a torch.nn.Module"),
    ],
)
def test_wrong_input_is_one_line(
    module: object,
    weights: str | None,
    more: dict[str, object],
    told: str,
    mine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(mine)
    with pytest.raises(ef.EvoFairError, match=told.replace("(", r"\(")) as caught:
        ef.search("digits", out=tmp_path / "run", module=module, weights=weights, **{**SMALL, **more})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_module_for_a_run_of_a_supernet_is_refused(problem_file: Path, tmp_path: Path) -> None:
    run = ef.search(str(problem_file), out=tmp_path / "run", budget=4, population=4, seed=0)
    with pytest.raises(ef.EvoFairError, match="searched no network of your own"):
        ef.deploy(run, module=made("dense"))
