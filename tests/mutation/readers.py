"""The readers of files, as a table: how to make a sound file, and what reads it.

To add one, write a function that makes the file (and whatever lies beside it) in a folder and gives its content, one
that reads the file at a path as the package does, and a row of `READERS`. A reader may also assert: that a damaged
checkpoint changes nothing, for instance.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
import torch
from PIL import Image

from evo_fair.auditing import store
from evo_fair.auditing.dense import DenseFacts
from evo_fair.belief import TrainingResult, read_trainings, write_beliefs, write_trainings
from evo_fair.data.image_folder import load_image_folder
from evo_fair.evolution import create_run, describe, search
from evo_fair.export.alone import AloneTraining
from evo_fair.export.choice import choose_networks
from evo_fair.export.reference import _scaling
from evo_fair.export.tuning import Tuning
from evo_fair.export.workshop import Workshop
from evo_fair.files import sha256_of, shipped_or_path
from evo_fair.jobs.pruned_folder import PRUNINGS, PrunedFolder
from evo_fair.jobs.searched_run import profiles_of, searched_problem
from evo_fair.latency import load_profile
from evo_fair.latency.measurements import read_latency, read_layers
from evo_fair.layers import macs, params, peak_memory_bytes
from evo_fair.nets import Network, Supernet, fit, train_supernet
from evo_fair.problem import Training, load_problem
from evo_fair.proxy import supernets
from evo_fair.pruning.given_weights import load_weights
from evo_fair.report import load_run
from evo_fair.report.candidates import choose_in
from evo_fair.report.compare import compare
from evo_fair.report.table import front_markdown
from evo_fair.space import SearchSpace, SpaceSchema

from ..cli.conftest import PROBLEM
from ..evolution.fakes import GOALS, FakeEvaluator, FakeSpace, make_plan
from ..nets.conftest import STAGE, random_supernet

__all__ = ["READERS", "Reader"]


@dataclass(frozen=True)
class Reader:
    """One row: `kind` is one of `mutators.KINDS`, `share` how many of the asked-for inputs a slow one gets."""

    name: str
    file: str
    kind: str
    make: Callable[[Path], bytes]
    read: Callable[[Path], object]
    share: float = 1.0


# --- the files of a search ---

FAKES = FakeSpace()
PLAN = make_plan("latency_ms <= 5", budget=24)


@cache
def _searched() -> tuple[bytes, bytes]:
    """The journal and the checkpoint, after its second generation, of a search."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        journal, checkpoint = Path(name) / "journal.jsonl", Path(name) / "checkpoint.npz"
        kept: list[bytes] = []
        search(PLAN, FAKES, FakeEvaluator(), journal, checkpoint, lambda _: kept.append(checkpoint.read_bytes()))
        return journal.read_bytes(), kept[1]


def _configuration() -> dict[str, Any]:
    problem = load_problem("digits")
    searched = {"algorithm": "nsga2", "group": "class", "constraints": ["latency_ms <= 5"], "seed": 0}
    return {
        "search": {**searched, "objectives": describe(GOALS), "initial": "spread"},
        "device": {"name": "raspberry-pi-4", "sha256": load_profile("raspberry-pi-4").sha256},
        "data": {"name": "digits", "fingerprint": "17c6"},
        "supernet": {"sha256": "719a"},
        "space": {"networks": "10^6.0", "fingerprint": "834b"},
        "problem": problem.model_dump(mode="json", exclude={"folder"}, exclude_none=True),
    }


def _make_run(folder: Path, file: str) -> bytes:
    (folder / "run.toml").unlink(missing_ok=True)
    run = create_run(folder, _configuration())
    run.journal.write_bytes(_searched()[0])
    if file != "journal.jsonl":
        _write_beliefs(folder)
    if file == "front.csv":
        load_run(folder).write_front()
        run.journal.unlink()  # it goes before
    return (folder / file).read_bytes()


def _write_beliefs(folder: Path) -> None:
    evaluated = [record.id for record in load_run(folder).records if record.evaluated]
    columns = {f"error{end}": np.linspace(0.1, 0.4, len(evaluated)) for end in ("_believed", "_uncertainty")}
    write_beliefs(folder / "beliefs.csv", pd.DataFrame({"id": evaluated} | columns))


def _trainings(folder: Path) -> bytes:
    values = [TrainingResult(name, 5, 0, {"error": 0.1}, {"error": 0.01}) for name in ("a", "b", "c")]
    write_trainings(folder / "trainings.csv", values)
    return (folder / "trainings.csv").read_bytes()


def _read_run(path: Path) -> None:
    """All that reports make of a run."""
    run = load_run(path.parent)
    front_markdown(run.front, run.axes)
    run.believed()
    choose_networks(run.front, run.axes, None)
    choose_in(path.parent, ["error <= 0.5"])
    if (path.parent / "journal.jsonl").exists():
        _ = compare([run]).by_label
    profiles_of(run, None)
    searched_problem(run, None)


def _resume(path: Path) -> None:
    """A search goes on from a checkpoint: whatever that says, to the same journal."""
    journal = path.with_name("journal.jsonl")
    journal.write_bytes(_searched()[0])
    search(PLAN, FAKES, FakeEvaluator(), journal, path)
    assert journal.read_bytes() == _searched()[0]
    path.unlink()


def _resume_journal(path: Path) -> None:
    """A search goes on from a journal: every network that it then holds is one of the space, by its own name."""
    path.with_name("checkpoint.npz").unlink(missing_ok=True)
    records = search(PLAN, FAKES, FakeEvaluator(), path, path.with_name("checkpoint.npz")).records
    assert [record.id for record in records] == FAKES.ids([record.genome for record in records])


# --- problems, profiles, measurements ---


def _read_problem(path: Path) -> None:
    problem = load_problem(str(path))
    space = problem.search_space((1, 8, 8), 10)
    space.ids(space.sample(np.random.default_rng(0), 2))


TABLE = np.array([[[1, 3, 8, 3, 1, 1, 32, 32], [2, 8, 8, 3, 2, 8, 32, 32], [3, 8, 10, 1, 1, 1, 1, 1]]], np.int32)


def _read_profile(path: Path) -> None:
    profile = load_profile(path)
    assert np.isfinite(profile.latency_ms(TABLE)).all()
    assert np.isfinite(profile.layer_ms(TABLE)).all()
    profile.extrapolated(TABLE)


def _layers_csv(_: Path) -> bytes:
    rows = [
        "network,op,c_in,c_out,kernel,stride,groups,h_in,w_in",
        "a,conv,3,16,3,2,1,32,32",
        "a,depthwise,16,16,3,1,16,16,16",
        "b,linear,64,10,1,1,1,1,1",
    ]
    return "\n".join(rows).encode() + b"\n"


def _read_layers(path: Path) -> None:
    _, table = read_layers(path)
    for cost in (macs, params, peak_memory_bytes):
        assert (cost(table) >= 0).all()
    assert np.isfinite(load_profile("raspberry-pi-4").latency_ms(table)).all()


def _labels_csv(folder: Path) -> bytes:
    for number in range(8):
        Image.new("RGB", (8, 8), (number, 20 * number, 0)).save(folder / f"{number}.png")
    rows = [
        f"{number}.png,{'cat' if number % 2 else 'dog'},{'f' if number % 3 else 'm'},u{number}" for number in range(8)
    ]
    return "\n".join(["file,label,sex,unit", *rows]).encode() + b"\n"


def _read_labels(path: Path) -> None:
    load_image_folder("own", path.parent, 8, (0.5, 0.25, 0.25), np.random.default_rng(0))


# --- tables of networks ---


def _deployed(_: Path) -> bytes:
    rows = ["id,role,precision,params,measured_ms,accuracy,accuracy_low", "a1,front,fp32,100,0.5,0.9,0.8"]
    return "\n".join([*rows, "b2,front,int8,90,0.25,0.85,0.7"]).encode() + b"\n"


def _pruned(_: Path) -> bytes:
    rows = ["name,method,sparsity,accuracy,validation_accuracy,latency_ms", "dense,dense,0.0,0.9,0.91,2.0"]
    return "\n".join([*rows, "m-0.5-0,magnitude,0.5,0.8,0.82,1.0"]).encode() + b"\n"


def _read_candidates(path: Path) -> None:
    choose_in(path, ["params <= 1000"] if path.name == "deployed.csv" else ["accuracy >= 0.5"])


# --- an audit's folder ---


def _make_audit(folder: Path, file: str) -> bytes:
    plan = pd.DataFrame({"id": ["x", "y"], "base": "x", "genome": "1 2", "order": "trained", "dense": [True, False]})
    configuration = {"source": "proxy", "part_size": 256, "group": "sex", "groupings": ["sex"]}
    (folder / "audit.toml").unlink(missing_ok=True)
    made = store.AuditFolder(folder, configuration)
    (folder / "parts").mkdir()
    store.write_table(folder / "plan.csv", plan)
    (folder / "audit.toml").write_text(tomli_w.dumps({"format": 1, **configuration}))
    (folder / "timing.json").write_text('{"networks": 2, "seconds": 1.5, "rate": 1.3, "jobs": 1}')
    rows = [["x", "sex", "f", "NA", 3, 2], ["y", "sex", "m", "b", 4, 1]]
    networks = pd.DataFrame({"id": ["x", "y"], "accuracy": [0.5, 0.25], "accuracy[sex:f]": [0.5, None]})
    made.write_part(0, networks, pd.DataFrame(rows, columns=store.ROW_COLUMNS), np.zeros((2, 7), np.uint8))
    return (folder / file).read_bytes()


def _read_audit(path: Path) -> None:
    folder = (
        path if (path / "audit.toml").exists() else path.parent.parent if path.parent.name == "parts" else path.parent
    )
    audit = store.open_audit(folder)
    audit = store.AuditFolder(folder, {**audit.configuration, "part_size": 256})
    _ = audit.timing, audit.networks, audit.rows, audit.predictions


def _resume_audit(path: Path) -> None:
    folder = path.parent
    plan = pd.DataFrame({"id": ["x", "y"], "base": "x", "genome": "1 2", "order": "trained", "dense": [True, False]})
    configuration = {"source": "proxy", "part_size": 256, "group": "sex", "groupings": ["sex"]}
    audit = store.start_audit(folder, configuration, plan, resume=True)
    assert audit.plan["order"].tolist() == ["trained", "trained"]
    _ = audit.networks


def _facts(folder: Path) -> bytes:
    counts = {"class": np.array([0, 1, 0], np.int16), "sex": np.array([0, 1, -1], np.int16)}
    names = {"class": ("a", "b"), "sex": ("f", "m")}
    share = dict.fromkeys(names, np.array([0.5, 0.5]))
    complexity = dict.fromkeys(names, np.array([[0.5, 0.5]]))
    logits = np.zeros((1, 3, 2), np.float32)
    DenseFacts(("x",), logits, np.array([0, 1, 0]), np.arange(3), counts, names, share, complexity).write(
        folder / "dense.npz"
    )
    return (folder / "dense.npz").read_bytes()


# --- weights, trainings, cards ---

SPACE = SearchSpace(
    SpaceSchema.model_validate({"stem": {"widths": [8, 16]}, "stage": [{**STAGE, "slots": 1, "keep_channels": [8]}]}),
    (3, 8, 8),
    4,
)
RECIPE = Training(epochs=2, batch_size=8, learning_rate=0.05)
INPUTS = np.random.default_rng(0).integers(0, 256, (16, 3, 8, 8), np.uint8)
LABELS = np.arange(16) % 4


def _supernet(folder: Path) -> bytes:
    random_supernet(SPACE).save(folder / "supernet.safetensors")
    return (folder / "supernet.safetensors").read_bytes()


def _read_supernet(path: Path) -> None:
    loaded = Supernet.load(path, SPACE)
    assert loaded.extract(SPACE.largest()) is not None


def _manifest(folder: Path) -> bytes:
    _supernet(folder)
    return json.dumps({"sha256": sha256_of(folder / "supernet.safetensors"), "validation": {"a": [1]}}).encode()


def _read_manifest(path: Path) -> None:
    stored = supernets._read(path.with_name("supernet.safetensors"), path)
    assert stored is None or stored.sha256 == sha256_of(stored.path)


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 4))


def _normalise(inputs: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(inputs, np.float32) / 255)


class _StopError(Exception):
    """Ends a training after its first epoch."""


def _stop(_: object) -> None:
    raise _StopError


def _fitted(checkpoint: Path | None, on_epoch: Callable[[Any], None] | None = None) -> list[torch.Tensor]:
    network = _network()
    fit(
        network,
        INPUTS,
        LABELS,
        RECIPE,
        0,
        normalise=_normalise,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return [tensor.clone() for tensor in network.state_dict().values()]


@cache
def _undisturbed_fit() -> list[torch.Tensor]:
    return _fitted(None)


def _training(folder: Path) -> bytes:
    with contextlib.suppress(_StopError):
        _fitted(folder / "a.checkpoint.safetensors", _stop)
    return (folder / "a.checkpoint.safetensors").read_bytes()


def _resume_training(path: Path) -> None:
    """A training ends with the weights of an undisturbed one, whatever its checkpoint says."""
    try:
        weights = _fitted(path)
    finally:
        path.unlink(missing_ok=True)
    assert all(torch.equal(*pair) for pair in zip(weights, _undisturbed_fit(), strict=True))


def _trained_supernet(checkpoint: Path | None, on_epoch: Callable[[Any], None] | None = None) -> Supernet:
    return train_supernet(SPACE, INPUTS, LABELS, RECIPE, 0, on_epoch, checkpoint=checkpoint)


@cache
def _undisturbed_supernet() -> Supernet:
    return _trained_supernet(None)


def _supernet_training(folder: Path) -> bytes:
    with contextlib.suppress(_StopError):
        _trained_supernet(folder / "training.safetensors", _stop)
    return (folder / "training.safetensors").read_bytes()


def _resume_supernet(path: Path) -> None:
    weights = _trained_supernet(path).weights
    for name, weight in _undisturbed_supernet().weights.items():
        assert torch.equal(weights[name], weight), name


def _weights(_: Path) -> bytes:
    from safetensors.torch import save

    return save(dict(_network().state_dict()))


def _workshop_card(folder: Path) -> bytes:
    (folder / "x.onnx").write_bytes(b"some network")
    return json.dumps({"id": "x", "onnx": {"sha256": sha256_of(folder / "x.onnx"), "bytes": 12}}).encode()


def _read_workshop_card(path: Path) -> None:
    anything: Any = None
    workshop = Workshop(path.parent, anything, anything, anything, None, "sex", anything, 0, True, {})
    workshop.finished("x")


@cache
def _alone_facts() -> AloneTraining:
    problem = load_problem("digits")
    dataset = _digits()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    return AloneTraining(Path(), problem, dataset, space, "class", Tuning(from_scratch=True), 0)


def _alone(folder: Path, file: str = "x.safetensors") -> bytes:
    training = replace(_alone_facts(), folder=folder)
    network = Network(training.space.architecture(training.space.smallest()), training.space.labels)
    training.keep("x", training.space.smallest(), network)
    return (folder / file).read_bytes()


def _take_alone(path: Path) -> None:
    """What is damaged is not taken, and leaves the network as it was."""
    training = replace(_alone_facts(), folder=path.parent)
    network = Network(training.space.architecture(training.space.smallest()), training.space.labels)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if not training.take("x", training.space.smallest(), network):
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def _pruned_card(folder: Path) -> bytes:
    (folder / "x.onnx").write_bytes(b"some network")
    facts = {"sha256": sha256_of(folder / "x.onnx"), "bytes": 12}
    return json.dumps({"format": 1, "row": {"name": "x", "accuracy": 0.5}, "onnx": facts}).encode()


def _read_pruned_card(path: Path) -> None:
    results = PrunedFolder.__new__(PrunedFolder)
    results.folder = path.parent
    if results.finished("x"):
        results.table(["x"])


def _settings(_: Path) -> bytes:
    return json.dumps({"format": 1, "data": "17c6", "epochs": 3, "problem": {"name": "digits"}}).encode()


def _reference_card(_: Path) -> bytes:
    about = {"shape": [1, 8, 8], "mean": [1.0], "scale": [0.5]}
    fingerprint = _digits().fingerprint
    return json.dumps({"input": about, "labels": list("0123456789"), "data": {"fingerprint": fingerprint}}).encode()


@cache
def _digits() -> Any:
    return load_problem("digits").dataset()


READERS = [
    Reader("journal of a report", "journal.jsonl", "jsonl", partial(_make_run, file="journal.jsonl"), _read_run, 0.5),
    Reader("journal of a resumed search", "journal.jsonl", "jsonl", lambda _: _searched()[0], _resume_journal, 0.5),
    Reader("front", "front.csv", "csv", partial(_make_run, file="front.csv"), _read_run),
    Reader("beliefs", "beliefs.csv", "csv", partial(_make_run, file="beliefs.csv"), _read_run),
    Reader("trainings", "trainings.csv", "csv", _trainings, lambda path: read_trainings(path, ["error"], "abc")),
    Reader("network trained alone", "x.safetensors", "safetensors", _alone, _take_alone, 0.5),
    Reader("card of a network trained alone", "x.json", "json", partial(_alone, file="x.json"), _take_alone, 0.5),
    Reader("run", "run.toml", "toml", partial(_make_run, file="run.toml"), _read_run, 0.5),
    Reader("checkpoint of a search", "checkpoint.npz", "npz", lambda _: _searched()[1], _resume, 0.5),
    Reader("problem", "own.toml", "toml", lambda _: PROBLEM.encode(), _read_problem),
    Reader(
        "problem of a table",
        "own.toml",
        "toml",
        lambda _: shipped_or_path("adult", "problems", ".toml", "problem").read_bytes(),
        lambda path: load_problem(str(path)).search_space((12,), 2),
    ),
    Reader(
        "profile",
        "own.json",
        "json",
        lambda _: shipped_or_path("raspberry-pi-4", "hardware_profiles", ".json", "device").read_bytes(),
        _read_profile,
    ),
    Reader("layers", "layers.csv", "csv", _layers_csv, _read_layers),
    Reader("latency", "latency.csv", "csv", lambda _: b"network,latency_ms\na,1.5\nb,20.0\n", read_latency),
    Reader("labels", "labels.csv", "csv", _labels_csv, _read_labels, 0.5),
    Reader("deployed networks", "deployed.csv", "csv", _deployed, _read_candidates),
    Reader("pruned networks", "pruned.csv", "csv", _pruned, _read_candidates),
    Reader("audit", "audit.toml", "toml", partial(_make_audit, file="audit.toml"), _read_audit),
    Reader("audit's plan", "plan.csv", "csv", partial(_make_audit, file="plan.csv"), _resume_audit),
    Reader("audit's timing", "timing.json", "json", partial(_make_audit, file="timing.json"), _read_audit, 0.3),
    Reader(
        "audit's networks",
        "parts/00000.networks.csv",
        "csv",
        partial(_make_audit, file="parts/00000.networks.csv"),
        _read_audit,
    ),
    Reader(
        "audit's rows",
        "parts/00000.rows.csv.gz",
        "bytes",
        partial(_make_audit, file="parts/00000.rows.csv.gz"),
        _read_audit,
    ),
    Reader("audit's predictions", "parts/00000.npz", "npz", partial(_make_audit, file="parts/00000.npz"), _read_audit),
    Reader("audit's dense networks", "dense.npz", "npz", _facts, DenseFacts.read),
    Reader("supernet", "supernet.safetensors", "safetensors", _supernet, _read_supernet),
    Reader("supernet's manifest", "manifest.json", "json", _manifest, _read_manifest),
    Reader("training", "a.checkpoint.safetensors", "safetensors", _training, _resume_training, 0.3),
    Reader("supernet's training", "training.safetensors", "safetensors", _supernet_training, _resume_supernet, 0.1),
    Reader("weights", "own.safetensors", "safetensors", _weights, lambda path: load_weights(_network(), path)),
    Reader("deployed network's card", "x.json", "json", _workshop_card, _read_workshop_card),
    Reader("pruned network's card", "x.json", "json", _pruned_card, _read_pruned_card),
    Reader(
        "pruning's settings",
        "settings.json",
        "json",
        _settings,
        lambda path: PRUNINGS.resume(path.parent, json.loads(_settings(path))),
    ),
    Reader(
        "reference's card",
        "x.json",
        "json",
        _reference_card,
        lambda path: _scaling(path.with_suffix(".onnx"), _digits()),
    ),
]
"""ONNX files and images have readers of their own to add."""
