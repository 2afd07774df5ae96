"""Folders that an earlier version wrote are resumed: every finished piece is taken, and nothing is made again."""

import re
import shutil
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import evo_fair as ef
from evo_fair.auditing.plan import Grid
from evo_fair.auditing.store import open_audit
from evo_fair.jobs.audit_network import NetworkGrid, audit_network
from evo_fair.jobs.audit_supernet import audit_proxy
from evo_fair.jobs.dense import NetworkSource, dense_network
from evo_fair.proxy.supernets import _folder as cached_supernet
from evo_fair.pruning.task import Task

KEPT = Path(__file__).parent / "kept"
NETWORK = "06ed930102fc"
SEARCH: dict[str, Any] = {"budget": 12, "population": 6, "jobs": 1, "objectives": ["error", "latency_ms"]}


class Hearer(ef.Listener):
    """Notes what is made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def training(self, step: object) -> None:
        self.made.append("an epoch of the supernet")

    def searching(self, progress: object) -> None:
        self.made.append("a generation")

    def tuning(self, network: str, step: object) -> None:
        self.made.append(f"an epoch of {network}")

    def audited(self, done: int, networks: int, rate: float) -> None:
        self.made.append("a part of an audit")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy, as if it had been made with the libraries that are here, and the supernet in the cache."""
    root = tmp_path_factory.mktemp("kept") / "folders"
    shutil.copytree(KEPT, root)
    libraries = {name: version(name) for name in ("numpy", "pymoo", "torch", "onnxruntime")} | {
        "evo_fair": ef.__version__
    }
    for path in [*root.rglob("*.toml"), *root.rglob("*.json")]:
        text = path.read_text()
        for name, here in libraries.items():
            text = re.sub(rf'(?m)^({name} = |\s*"{name}": )"[^"]*"', rf'\g<1>"{here}"', text)
        path.write_text(text)
    manifest = root / "supernet" / "manifest.json"  # it tells builds of one version apart
    manifest.write_text(re.sub(r'("torch": )"[^"]*"', rf'\g<1>"{torch.__version__}"', manifest.read_text()))
    problem = problem_in(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVO_FAIR_CACHE", str(root.parent / "cache"))
        dataset = problem.dataset()
        space = problem.search_space(dataset.input_shape, len(dataset.label_names))
        shutil.copytree(root / "supernet", cached_supernet(problem, dataset, space), dirs_exist_ok=True)
        yield root


@pytest.fixture(scope="module")
def dense(kept: Path) -> Any:
    """The network of the search that was pruned and audited; its hash, which tells machines apart, is this one's."""
    problem = problem_in(kept)
    task = Task(problem.dataset(), problem.fairness.group, problem.training)
    dense, _ = dense_network(problem, task, NetworkSource(NETWORK, kept / "search"))
    here = task.fingerprint(dense.network)
    for path, key in (
        (kept / "prune" / "settings.json", '"dense": '),
        (kept / "audit-network" / "audit.toml", "sha256 = "),
    ):
        path.write_text(re.sub(rf'{key}"[0-9a-f]{{64}}"', f'{key}"{here}"', path.read_text()))
    return dense


def problem_in(root: Path) -> ef.Problem:
    return ef.load_problem(str(root / "tiny.toml"))


def marks(folder: Path, *patterns: str) -> dict[str, tuple[int, int]]:
    """Which files there are, and when each was written."""
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    assert paths
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def test_a_search_goes_on(kept: Path) -> None:
    journal = (kept / "search" / "journal.jsonl").read_bytes()
    before = ef.load_run(kept / "search").front
    hearer = Hearer()
    run = ef.search(problem_in(kept), out=kept / "search", resume=True, listener=hearer, **SEARCH)
    assert hearer.made == []
    assert (kept / "search" / "journal.jsonl").read_bytes() == journal
    pd.testing.assert_frame_equal(run.front, before)
    assert NETWORK in set(run.front["id"].astype(str))


def test_a_search_with_trainings_goes_on(kept: Path) -> None:
    folder = kept / "search-trainings"
    before = marks(folder, "trainings/*", "trainings.csv", "journal.jsonl")
    hearer = Hearer()
    options = SEARCH | {"trainings": 2, "training_epochs": 1}
    run = ef.search(problem_in(kept), out=folder, resume=True, listener=hearer, **options)
    assert hearer.made == []
    assert marks(folder, "trainings/*", "trainings.csv", "journal.jsonl") == before
    assert run.beliefs is not None


def test_a_deployment_goes_on(kept: Path) -> None:
    before, hearer = marks(kept / "deploy", "*.onnx"), Hearer()
    options: dict[str, Any] = {"networks": [NETWORK], "epochs": 1, "out": kept / "deploy"}
    table = ef.deploy(kept / "search", resume=True, listener=hearer, **options)
    assert hearer.made == []
    assert marks(kept / "deploy", "*.onnx") == before
    assert table["id"].tolist() == [NETWORK]


def test_a_pruning_goes_on(kept: Path, dense: object) -> None:
    before, hearer = marks(kept / "prune", "*.onnx", "*-0.json", "dense.json"), Hearer()
    options: dict[str, Any] = {"network": NETWORK, "run": kept / "search", "sparsities": [0.5], "epochs": 1}
    table = ef.prune(problem_in(kept), out=kept / "prune", resume=True, listener=hearer, **options)
    assert hearer.made == []
    assert marks(kept / "prune", "*.onnx", "*-0.json", "dense.json") == before
    assert table["name"].tolist() == ["dense", "magnitude-0.5-0"]


@pytest.mark.parametrize("folder", ["search", "prune", "audit-network", "audit-supernet"])
def test_a_changed_recipe_is_refused_by_its_name_before_anything_is_trained(
    folder: str, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text((kept / "tiny.toml").read_text().replace("epochs = 2", "epochs = 9"))
    problem, out = ef.load_problem(str(path)), kept / folder
    for place in ("supernet.ensure_supernet", "prune.dense_network"):
        monkeypatch.setattr(f"evo_fair.jobs.{place}", None)  # calling it would fail
    monkeypatch.setattr("evo_fair.jobs.audit.dense_network", None)
    told = r"was made with problem\.training\.epochs = 2, not 9: resume it with the same settings"
    jobs: dict[str, Any] = {
        "search": partial(ef.search, **SEARCH),
        "prune": partial(ef.prune, network="largest"),
        "audit-network": partial(ef.audit, network="largest"),
        "audit-supernet": ef.audit,
    }
    with pytest.raises(ef.EvoFairError, match=told):
        jobs[folder](problem, out=out, resume=True)


def test_an_audit_of_a_supernet_goes_on(kept: Path) -> None:
    folder, hearer = kept / "audit-supernet", Hearer()
    before, networks = marks(folder, "parts/*"), open_audit(folder).networks
    grid = Grid(6, ("trained",), ("uniform", "random"), (0.2, 0.4, 0.6), (0, 1))
    audit = audit_proxy(problem_in(kept), grid, out=folder, jobs=1, resume=True, listener=hearer)
    assert hearer.made == []
    assert marks(folder, "parts/*") == before
    pd.testing.assert_frame_equal(audit.networks, networks)


def test_an_audit_of_a_network_goes_on(kept: Path, dense: Any) -> None:
    folder, hearer = kept / "audit-network", Hearer()
    before, networks = marks(folder, "parts/*"), open_audit(folder).networks
    grid = NetworkGrid(("magnitude_l1",), ("structured",), ("global",), ("none",), (0.3, 0.5), (0,), 1)
    audit = audit_network(problem_in(kept), grid, dense, NETWORK, out=folder, resume=True, listener=hearer)
    assert hearer.made == []
    assert marks(folder, "parts/*") == before
    pd.testing.assert_frame_equal(audit.networks, networks)


def test_a_trained_reference_is_taken(kept: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["file,label,site"]
    for i in range(40):
        pixels = rng.integers(0, 128, (32, 32, 3)) + 127 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{('dark', 'bright')[i % 2]},{('north', 'south')[i // 2 % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    problem = ef.load_problem(str(kept / "lamps.toml"), data=tmp_path)
    task, hearer = Task(problem.dataset(), "site", problem.training), Hearer()
    stored = kept / "reference" / "mobilenet-v2-0.1.safetensors"
    dense, name = dense_network(problem, task, NetworkSource(str(stored)), hearer)
    assert hearer.made == []
    assert name == "mobilenet-v2-0.1"
    assert sum(weight.numel() for weight in dense.network.parameters()) == 88_642
