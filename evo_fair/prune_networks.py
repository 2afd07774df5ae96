"""Fair pruning of one network, the API's part of it: data, network, methods, files and the table wired together."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from torch import nn

from evo_fair import __version__
from evo_fair.deploy.card import file_facts, write_onnx
from evo_fair.errors import PruningError, RunError, UnknownNameError
from evo_fair.files import digest, read_json, remove_leftovers, sha256_of, write_bytes, write_json, write_text
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.nets import Network, Supernet, initialise
from evo_fair.nets.reference import REFERENCES
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy import calibration_samples, predict_logits
from evo_fair.proxy.supernets import ensure_supernet
from evo_fair.pruning.given import load_module, load_weights
from evo_fair.pruning.measure import (
    check_groups,
    degradation_fairness,
    metrics_of,
    performance_fairness,
    size_of,
)
from evo_fair.pruning.methods import METHODS, method_named
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.selection import SCOPES, STRUCTURES, Scope, StructureKind, check_sparsity
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task, state_of
from evo_fair.report import load_run

__all__ = ["prune"]

Told = Callable[[str], None]


@dataclass(frozen=True)
class _Unit:
    """One network to make; the sparsity is None where shares by layer are given."""

    method: str
    sparsity: float | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}-{'given' if self.sparsity is None else format(self.sparsity, 'g')}-{self.seed}"


def prune(
    problem: Problem | str,
    *,
    out: str | Path,
    methods: Sequence[str] = ("magnitude",),
    sparsities: Sequence[float] = (0.5,),
    seeds: Sequence[int] = (0,),
    structure: str = "structured",
    scope: str = "global",
    ratios: Mapping[str, float] | None = None,
    network: str | None = None,
    run: str | Path | None = None,
    module: str | None = None,
    weights: str | Path | None = None,
    group: str | None = None,
    epochs: int | None = None,
    epsilon: float = 0.01,
    device: str | Path | None = None,
    resume: bool = False,
    told: Told | None = None,
) -> pd.DataFrame:
    """Prunes one network by each of `methods`, to each of `sparsities`, with each of `seeds`; returns the table.

    The network is `network` (a reference network's name, or a `.safetensors` file that `train --network` stored
    beside its manifest; with `run` the id of a network of that run), or `module`, `file.py:function` of the user's own,
    with `weights`; without any of these the problem's largest is trained. A name, or a module without weights, is
    trained first, by the problem's recipe. `ratios` are shares by layer in the place of sparsities. `epochs` is what
    each method may train, by default a quarter of the recipe's; `epsilon` the accuracy that `ballot` and `evo` may
    lose. Writes `NAME.onnx` (checked against torch), `NAME.json` and `pruned.csv` to `out`, test part; rows that are
    there are not made again with `resume`. Raises `EvoFairError` of the kind that fits for wrong input.
    """
    told = told or (lambda _: None)
    problem = load_problem(problem) if isinstance(problem, str) else problem
    units = _units(methods, sparsities, seeds, ratios)
    if structure not in STRUCTURES:
        raise UnknownNameError("structure", structure, list(STRUCTURES))
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, list(SCOPES))
    if not 0 <= epsilon < 1:
        raise PruningError(f"epsilon {epsilon:g} is outside [0, 1): give the share of accuracy that may be lost")
    if epochs is not None and epochs < 0:
        raise PruningError(f"epochs {epochs} is negative: give 0 or more")
    _check_source(network, run, module, weights)
    profile = load_profile(problem.search.device if device is None else device)
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise RunError(f"{folder} holds something already: name another folder, or go on with --resume")
    task = Task(problem.dataset(), group or problem.fairness.group, problem.training)
    for part in ("train", "validation", "test"):
        check_groups(task, part)
    dense, name = _dense(task, problem, network, run, module, weights, folder, told)
    traced = task.structure(dense.network)
    kind: StructureKind = "structured" if structure == "structured" else "unstructured"
    where: Scope = "uniform" if scope == "uniform" else "global"
    spent = max(1, problem.training.epochs // 4) if epochs is None else epochs
    settings = {
        "format": 1,
        "evo_fair": __version__,
        "problem": problem.model_dump(mode="json", exclude={"folder"}, exclude_none=True),
        "data": task.dataset.fingerprint,
        "network": name,
        "structure": kind,
        "scope": where,
        "ratios": dict(ratios) if ratios else None,
        "group": task.group,
        "epochs": spent,
        "epsilon": epsilon,
        "device": profile.sha256,
        "dense": digest(save({key: value.contiguous() for key, value in dense.network.state_dict().items()})),
    }
    _check_layers(traced, ratios, kind)
    _begin(folder, settings)
    press = _Press(task, dense, name, traced, profile, folder)
    if not press.done("dense"):
        press.write_dense()
    for number, unit in enumerate(units, 1):
        if not press.done(unit.name):
            request = Request(unit.sparsity or 0.0, kind, where, unit.seed, spent, ratios, epsilon)
            press.write(unit, METHODS[unit.method](dense, task, request), request)
        told(f"{unit.name}: {number} of {len(units)} networks")
    return press.table(["dense", *(unit.name for unit in units)])


class _Press:
    """Writes networks with their cards, and the table of them."""

    def __init__(
        self, task: Task, dense: Dense, name: str, structure: Structure, profile: Profile, folder: Path
    ) -> None:
        self.task, self.dense, self.name, self.structure = task, dense, name, structure
        self.profile, self.folder = profile, folder
        self.x = task.normalise(task.dataset.inputs[task.dataset.part("validation")])
        self.before = {grouping: task.counts(dense.network, "test", grouping) for grouping in task.dataset.groupings}
        self.before[task.group] = task.counts(dense.network, "test")

    def done(self, name: str) -> bool:
        """Whether a network and its card are there."""
        return (self.folder / f"{name}.json").is_file() and (self.folder / f"{name}.onnx").is_file()

    def write_dense(self) -> None:
        """The network that was pruned, for comparison."""
        parameters = list(self.dense.network.parameters())
        size = {"sparsity_reached": 0.0, "params": sum(p.numel() for p in parameters)}
        size["nonzero_params"] = sum(int(p.count_nonzero()) for p in parameters)
        asked = {"method": "dense", "structure": "", "scope": "", "sparsity": 0.0, "seed": ""}
        self._write("dense", self.dense.network, asked, size, 0, {})

    def write(self, unit: _Unit, pruned: Pruned, request: Request) -> None:
        """A pruned network: smaller where channels left, else with zeros."""
        network = pruned.network
        if pruned.mask.keep is not None:
            network = remove_channels(network, self.structure.groups, pruned.mask.keep)
        asked = {
            "method": unit.method,
            "structure": request.kind,
            "scope": request.scope,
            "sparsity": unit.sparsity,
            "seed": unit.seed,
        }
        size = dict(size_of(pruned, self.structure, network))
        self._write(unit.name, network, asked, size, pruned.iterations, pruned.notes)

    def _write(
        self,
        name: str,
        network: nn.Module,
        asked: Mapping[str, Any],
        size: Mapping[str, Any],
        iterations: int,
        notes: Mapping[str, float],
    ) -> None:
        task, path = self.task, self.folder / f"{name}.onnx"
        deployed = (network.folded() if isinstance(network, Network) else copy.deepcopy(network)).eval()
        counts = task.counts(network, "test")
        parity = write_onnx(path, deployed, task.dataset.input_shape, self.x, predict_logits(deployed, self.x))
        row = {"name": name, "network": self.name, **asked, "group": task.group, **size}
        row |= {"bytes": path.stat().st_size, "iterations": iterations}
        row["latency_ms"] = float(self.profile.latency_ms(read_onnx(path).table)[0])
        row |= metrics_of(counts)
        row["performance_fairness"] = performance_fairness(counts)
        row["degradation_fairness"] = degradation_fairness(self.before[task.group], counts)
        row["largest_logit_difference"] = parity.largest_difference
        facts = file_facts(path, parity, task.dataset, task.scaling)
        write_json(
            self.folder / f"{name}.json", {"format": 1, "row": row, "part": "test", "notes": dict(notes), **facts}
        )

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """All rows, written to `pruned.csv`."""
        frame = pd.DataFrame([read_json(self.folder / f"{name}.json", RunError)["row"] for name in names])
        write_text(self.folder / "pruned.csv", frame.to_csv(index=False, lineterminator="\n"))
        return frame


def _units(
    methods: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int], ratios: Mapping[str, float] | None
) -> list[_Unit]:
    for method in methods:
        method_named(method)
    for sparsity in sparsities:
        check_sparsity(sparsity)
    for layer, ratio in (ratios or {}).items():
        check_sparsity(ratio, f"the share of layer {layer!r},")
    for seed in seeds:
        if seed < 0:
            raise PruningError(f"seed {seed} is negative: give 0 or more")
    units = [_Unit(*unit) for unit in product(methods, [None] if ratios else sparsities, seeds)]
    if not units:
        raise PruningError("nothing to do: give at least one method, sparsity and seed")
    if len({unit.name for unit in units}) < len(units):
        raise PruningError("a method, sparsity or seed is given twice: give each once")
    return units


def _check_source(network: str | None, run: object, module: str | None, weights: object) -> None:
    if module is not None and (network is not None or run is not None):
        raise PruningError("a network and a module are given: give one of --network and --module")
    if weights is not None and module is None:
        raise PruningError("weights are given without the module that they belong to: give --module file.py:function")
    if run is not None and network is None:
        raise PruningError("a run is given without the network: name one of its ids with --network")


def _check_layers(structure: Structure, ratios: Mapping[str, float] | None, kind: StructureKind) -> None:
    """Finds out before any training whether the layers that were named can be pruned."""
    for layer in ratios or ():
        if kind == "structured":
            structure.group_of(layer)
        elif f"{layer}.weight" not in structure.weights:
            known = ", ".join(weight.removesuffix(".weight") for weight in structure.weights)
            raise PruningError(
                f"layer {layer!r} can't be pruned: it is no convolution or linear layer; expected one of {known}"
            )
    if kind == "structured" and not structure.groups:
        why = "; ".join(f"{layer}: {reason}" for layer, reason in structure.fixed.items())
        raise PruningError(f"no layer of the network can lose channels ({why}): use --structure unstructured")


def _begin(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "settings.json"
    if path.is_file():
        if read_json(path, RunError) != settings:
            raise RunError(f"{folder} was made with other settings, data or software: name another folder")
        remove_leftovers(folder)
    else:
        write_json(path, settings)


def _dense(
    task: Task,
    problem: Problem,
    network: str | None,
    run: str | Path | None,
    module: str | None,
    weights: str | Path | None,
    folder: Path,
    told: Told,
) -> tuple[Dense, str]:
    """The network to prune, trained, and its name in tables."""
    epochs = problem.training.epochs
    if run is not None:
        assert network is not None
        return Dense(_of_run(task, problem, run, network), None, epochs), network
    if module is not None:
        own = load_module(module)
        task.check_outputs(own)
        if weights is not None:
            load_weights(own, Path(weights))
            task.check_outputs(own)
            return Dense(own.eval(), None, epochs), module.rpartition(":")[2]
        return _trained(task, own, folder, told), module.rpartition(":")[2]
    if network is not None and network.endswith(".safetensors"):
        path = Path(network)
        stored = _reference(path, task)
        return Dense(stored.eval(), None, epochs), path.stem
    labels = len(task.dataset.label_names)
    if network is None:
        space = problem.search_space(task.dataset.input_shape, labels)
        return _trained(task, Network(space.architecture(space.largest()), labels), folder, told), "largest"
    if network not in REFERENCES:
        raise UnknownNameError("network", network, sorted(REFERENCES), ", or a .safetensors file of 'train --network'")
    made = REFERENCES[network](labels)
    task.check_outputs(made)
    return _trained(task, made, folder, told), network


def _trained(task: Task, network: nn.Module, folder: Path, told: Told) -> Dense:
    """Trains a network from the recipe's seed, or takes what was stored beside the results."""
    initialise(network, torch.Generator().manual_seed(task.recipe.seed))
    early = state_of(network)
    task.check_outputs(network)
    path = folder / "dense.safetensors"
    key = digest(
        task.recipe.model_dump_json(), task.dataset.fingerprint, save({n: t.contiguous() for n, t in early.items()})
    )
    manifest = folder / "dense.training.json"
    if path.is_file() and manifest.is_file():
        facts = read_json(manifest, RunError)
        if facts == {"training": key, "sha256": sha256_of(path)}:
            load_weights(network, path)
            return Dense(network.eval(), early, task.recipe.epochs)
    told(f"training the network to prune, {task.recipe.epochs} epochs")
    task.train(network, task.recipe.epochs, task.recipe.seed)
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
    write_json(manifest, {"training": key, "sha256": sha256_of(path)})
    return Dense(network.eval(), early, task.recipe.epochs)


def _reference(path: Path, task: Task) -> nn.Module:
    """What `train --network` stored: its manifest, beside it, names the network."""
    manifest = path.with_suffix(".json")
    if not path.is_file() or not manifest.is_file():
        lacking = path if not path.is_file() else manifest
        raise PruningError(
            f"{lacking} does not exist: name the .safetensors file of 'train --network', its .json beside it"
        )
    facts = read_json(manifest, PruningError)
    name = facts.get("network") if isinstance(facts, dict) else None
    if name not in REFERENCES:
        raise PruningError(f"{manifest} names no reference network: bring your own network with --module and --weights")
    labels = facts.get("labels")
    if labels != list(task.dataset.label_names):
        raise PruningError(
            f"{path} tells apart {len(labels or [])} labels, not the {len(task.dataset.label_names)} of "
            f"{task.dataset.name}: train it on this problem"
        )
    network = REFERENCES[name](len(labels))
    load_weights(network, path)
    task.check_outputs(network)
    return network


def _of_run(task: Task, problem: Problem, run: str | Path, name: str) -> nn.Module:
    """A network of a run with the supernet's weights, batch norms calibrated."""
    opened = load_run(Path(run))
    space = problem.search_space(task.dataset.input_shape, len(task.dataset.label_names))
    records = {record.id: record for record in opened.records}
    if name not in records:
        known = sorted(record.id for record in opened.front_records)
        raise UnknownNameError("network", name, known, f" of the run {run}")
    supernet = Supernet.load(ensure_supernet(problem, task.dataset, space).path, space)
    network = supernet.extract(np.array(records[name].genome, np.int16))
    chosen = calibration_samples(task.dataset, problem.proxy.calibration_samples)
    network.calibrate(supernet.normalise(task.dataset.inputs[chosen]))
    return network.eval()
