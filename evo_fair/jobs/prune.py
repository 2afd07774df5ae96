"""Fair pruning of one network, the API's part of it: data, network, methods, files and the table wired together."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from evo_fair import __version__
from evo_fair.arguments import as_number, as_numbers, as_parts, as_path, as_whole, as_wholes
from evo_fair.data import check_samples
from evo_fair.errors import EvoFairError, PruningError, RunError, UnknownNameError, in_a_line
from evo_fair.export.card import file_facts, write_onnx
from evo_fair.fairness import group_accuracy
from evo_fair.files import is_recorded, is_trace, read_cached_json, read_json, remove_leftovers, write_json, write_text
from evo_fair.jobs.dense import Source, dense_network
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.latency.predict import predict
from evo_fair.lock import one_job
from evo_fair.nets import Network
from evo_fair.plugins import check_facts, facts
from evo_fair.problem import Problem, as_problem
from evo_fair.proxy import predict_logits
from evo_fair.pruning.criteria import check_criteria
from evo_fair.pruning.measure import degradation_fairness, metrics_of, parameters_in, performance_fairness, sparsity_of
from evo_fair.pruning.methods import MAGNITUDE, PRUNING_CODE, ChosenMethod, choose_method
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.selection import (
    SCOPES,
    STRUCTURES,
    Scope,
    StructureKind,
    check_prunable,
    check_sparsity,
    shares_by_part,
)
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.pruning.treatments import Treatment

__all__ = ["prune"]

VALIDATION = "validation_"
"""Begins the names of a table's figures of the validation part, by which networks can be chosen."""


@dataclass(frozen=True)
class _Unit:
    """One network to make; the sparsity is None where shares by layer are given."""

    method: str
    sparsity: float | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}-{'given' if self.sparsity is None else format(self.sparsity, 'g')}-{self.seed}"


@one_job("a pruning", lambda given: as_path("out", given["out"]))
def prune(
    problem: Problem | str | Path,
    *,
    out: str | Path,
    methods: Sequence[str | Callable[..., Any]] = ("magnitude",),
    sparsities: Sequence[float] = (0.5,),
    seeds: Sequence[int] = (0,),
    structure: StructureKind = "structured",
    scope: Scope | None = None,
    ratios: Mapping[str, float] | None = None,
    treatment: Treatment | None = None,
    rounds: int | None = None,
    network: str | None = None,
    run: str | Path | None = None,
    module: str | None = None,
    weights: str | Path | None = None,
    group: str | None = None,
    epochs: int | None = None,
    epsilon: float = 0.01,
    device: str | Path | None = None,
    resume: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Prunes one network by each of `methods`, to each of `sparsities`, with each of `seeds`; returns the table.

    A method is a name, or a function of your own: a method or a criterion, see `evo_fair.extend`. Where the network
    comes from, `network`, `run`, `module` and `weights` say: see `jobs.dense.Source`. `ratios` are shares by layer
    in the place of sparsities. `treatment` and `rounds` are for `magnitude` and criteria, see `choose_method`. `epochs`
    is what each method may train, by default a quarter of the recipe's; `epsilon` the accuracy that `ballot` and `evo`
    may lose. `scope` is `global` unless given, and refused for a method that has another of its
    own. Writes `NAME.onnx` (checked against torch), `NAME.json` and `pruned.csv`, a row a
    network, to `out`; figures are of the test part, those called `validation_METRIC` of that one; a latency that can't
    be told is left empty. With `resume`
    networks that are there are not made again. Raises `EvoFairError` of the kind that fits for wrong input.
    """
    asked, seeds = as_parts("methods", methods), as_wholes("seeds", seeds)
    sparsities = as_numbers("sparsities", sparsities)
    rounds, epochs = as_whole("rounds", rounds), as_whole("epochs", epochs)
    epsilon = as_number("epsilon", epsilon) or 0.0
    ratios = {name: as_number(f"ratios: {name}", ratio) for name, ratio in (ratios or {}).items()} or None
    problem = as_problem(problem)
    every = [choose_method(one, treatment, rounds) for one in asked]
    chosen = {one.name: one for one in every}
    units = _units([one.name for one in every], sparsities, seeds, ratios)
    _check_methods(every, structure, scope, ratios)
    scope = scope or "global"
    if rounds is not None and rounds > 1 and ratios:
        raise PruningError("shares by layer are for one shot: leave out --rounds, or --ratio")
    if not 0 <= epsilon < 1:
        raise PruningError(f"epsilon {epsilon:g} is outside [0, 1): give the share of accuracy that may be lost")
    if epochs is not None and epochs < 0:
        raise PruningError(f"epochs {epochs} is negative: give 0 or more")
    source = Source(network, run, module, weights)
    profile = load_profile(problem.search.devices[0] if device is None else device)
    folder = as_path("out", out)
    _check_folder(folder, resume)
    task = Task(problem.dataset(), group or problem.fairness.group, problem.training)
    check_samples(task.dataset, (task.group,), 1)

    def check(network: nn.Module) -> Structure:
        found = task.structure(network)
        check_prunable(found, structure)
        shares_by_part(found, ratios or {}, structure)
        few = task.samples(np.random.default_rng(0), 2)
        criteria = {name: one.criterion for name, one in chosen.items() if one.criterion and name != MAGNITUDE}
        check_criteria(criteria, network, found, few)
        return found

    dense, name = dense_network(problem, task, source, told, check, structure == "structured")
    traced = check(dense.network)
    spent = max(1, problem.training.epochs // 4) if epochs is None else epochs
    settings = {
        "format": 1,
        "evo_fair": __version__,
        "code": PRUNING_CODE,
        "problem": problem.model_dump(mode="json", exclude={"folder"}, exclude_none=True),
        "data": task.dataset.fingerprint,
        "network": name,
        "structure": structure,
        "scope": scope,
        "ratios": dict(ratios) if ratios else None,
        "treatment": treatment,
        "rounds": rounds,
        "group": task.group,
        "epochs": spent,
        "epsilon": epsilon,
        "device": profile.sha256,
        "dense": task.fingerprint(dense.network),
        **facts({f"method {one.name}": one.code for one in every}),
    }
    _begin(folder, settings)
    results = _Results(task, dense, name, traced, profile, folder, told)
    if not results.finished("dense"):
        results.write_dense()
    for number, unit in enumerate(units, 1):
        if not results.finished(unit.name):
            request = Request(unit.sparsity or 0.0, structure, scope, unit.seed, spent, ratios, epsilon)
            method = chosen[unit.method]
            pruned = method.prune(dense, task, request)
            results.write(unit, pruned, request, method.traits.own_scope)
            if (lost := pruned.notes.get("held_out_accuracy_lost", 0.0)) > epsilon:
                told(f"{unit.name} misses its limit: validation accuracy {lost:.4f} below dense, not {epsilon:g}")
        told(f"{unit.name}: {number} of {len(units)} networks")
    return results.table(["dense", *(unit.name for unit in units)])


class _Results:
    """Writes pruned networks with their cards, and the table of them."""

    def __init__(
        self,
        task: Task,
        dense: Dense,
        name: str,
        structure: Structure,
        profile: Profile,
        folder: Path,
        told: Callable[[str], None],
    ) -> None:
        self.task, self.dense, self.name, self.structure = task, dense, name, structure
        self.profile, self.folder, self.told = profile, folder, told
        self.untold = False
        self.x = task.normalise(task.dataset.inputs[task.dataset.part("validation")])
        self.before = {part: task.counts(dense.network, part) for part in ("test", "validation")}

    def finished(self, name: str) -> bool:
        """Whether a network is there, whole: its card is written last and knows the hash of its file."""
        card = self.folder / f"{name}.json"
        row = read_cached_json(card).get("row")  # a damaged card's network is made anew
        named = isinstance(row, dict) and row.get("name") == name
        return named and is_recorded(card.with_suffix(".onnx"), card, "onnx")

    def write_dense(self) -> None:
        """The network that was pruned, for comparison."""
        asked = {"method": "dense", "structure": "", "scope": "", "seed": "", "target": 0.0}
        self._write("dense", self.dense.network, asked, 0.0, 0, {})

    def write(self, unit: _Unit, pruned: Pruned, request: Request, own_scope: str) -> None:
        """A pruned network: smaller where channels left, else with zeros."""
        network = pruned.network
        if pruned.mask.keep is not None:
            network = remove_channels(network, self.structure.groups, pruned.mask.keep)
        asked = {
            "method": unit.method,
            "structure": request.kind,
            "scope": own_scope or request.scope,
            "seed": unit.seed,
            "target": unit.sparsity,
        }
        sparsity = sparsity_of(pruned, self.structure)
        self._write(unit.name, network, asked, sparsity, pruned.iterations, pruned.notes)

    def _write(
        self,
        name: str,
        network: nn.Module,
        asked: Mapping[str, Any],
        sparsity: float,
        iterations: int,
        notes: Mapping[str, float],
    ) -> None:
        task, path = self.task, self.folder / f"{name}.onnx"
        deployed = (network.folded() if isinstance(network, Network) else copy.deepcopy(network)).eval()
        parity = write_onnx(path, deployed, task.dataset, task.scaling, self.x, predict_logits(deployed, self.x))
        row = {"name": name, "network": self.name, **asked, "group": task.group, "sparsity": sparsity}
        graph = self._graph(path)
        row |= {**parameters_in(path, graph), "bytes": path.stat().st_size, "iterations": iterations}
        known = graph is not None and not graph.time_at_least  # a lower bound is no latency to compare
        row["latency_ms"] = predict(graph, self.profile).latency_ms if graph and known else None
        row |= self._measured(network, "test")
        row |= {f"{VALIDATION}{metric}": value for metric, value in self._measured(network, "validation").items()}
        row["largest_logit_difference"] = parity.largest_difference
        facts = file_facts(path, parity, task.dataset, task.scaling)
        write_json(
            self.folder / f"{name}.json", {"format": 1, "row": row, "part": "test", "notes": dict(notes), **facts}
        )

    def _graph(self, path: Path) -> GraphLayers | None:
        """The layers of an ONNX file; None, which is said once, where the latency model does not know them."""
        try:
            return read_onnx(path)
        except EvoFairError as error:
            if not self.untold:
                reason = in_a_line(error).replace(str(path), path.name)
                self.told(f"its latency is unknown, which keeps nothing from being pruned: {reason}")
            self.untold = True
            return None

    def _measured(self, network: nn.Module, part: str) -> dict[str, float | None]:
        counts = self.task.counts(network, part)
        names = self.task.dataset.grouping(self.task.group).names
        groups = {f"accuracy[{name}]": float(x) for name, x in zip(names, group_accuracy(counts)[0], strict=True)}
        return {
            **metrics_of(counts),
            **groups,
            "performance_fairness": performance_fairness(counts),
            "degradation_fairness": degradation_fairness(self.before[part], counts),
        }

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """All rows, written to `pruned.csv`."""
        frame = pd.DataFrame([read_json(self.folder / f"{name}.json", RunError)["row"] for name in names])
        write_text(self.folder / "pruned.csv", frame.to_csv(index=False, lineterminator="\n"))
        return frame


def _units(
    methods: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int], ratios: Mapping[str, float] | None
) -> list[_Unit]:
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


def _check_methods(
    methods: Sequence[ChosenMethod], structure: StructureKind, scope: Scope | None, ratios: Mapping[str, float] | None
) -> None:
    """Raises `UnknownNameError` or `PruningError` for what there is not, or what one of the methods can't do."""
    for what, value, known in (("structure", structure, STRUCTURES), ("scope", scope or "global", SCOPES)):
        if value not in known:
            raise UnknownNameError(what, value, list(known))
    for method in methods:
        name, traits = method.name, method.traits
        if traits.weights_alone and structure == "structured":
            raise PruningError(f"{name} takes out single weights, no channels: use --structure unstructured")
        if not traits.takes_shares and ratios:
            raise PruningError(f"{name} takes no shares by layer: leave out --ratio, or {name}")
        own = traits.own_scope or scope
        if scope is not None and scope != own:
            raise PruningError(f"{name} has a scope of its own, {own}: leave out --scope {scope}, or {name}")


def _check_folder(folder: Path, resume: bool) -> None:
    """Raises `RunError` where the folder holds something else than the beginning of a pruning that is to go on."""
    if not folder.exists() or (folder.is_dir() and all(is_trace(path) for path in folder.iterdir())):
        return
    if not (folder / "settings.json").is_file():
        raise RunError(f"{folder} holds something that is no pruning: name another folder with --out")
    if not resume:
        raise RunError(f"{folder} holds a pruning already: go on with --resume, or name another folder with --out")


def _begin(folder: Path, settings: dict[str, Any]) -> None:
    """Writes the settings, or compares them with those that are there; raises `RunError` naming what differs."""
    path = folder / "settings.json"
    if path.is_file():
        there = read_json(path, RunError)
        if not isinstance(there, dict):
            raise RunError(f"{path} holds no settings: restore it, or name another folder with --out")
        check_facts(there, settings, folder, RunError)
        differing = [key for key, value in settings.items() if there.get(key) != value]
        if differing:
            raise RunError(f"{folder} was made with another {', '.join(differing)}: name another folder with --out")
    else:
        write_json(path, settings)
    remove_leftovers(folder)
