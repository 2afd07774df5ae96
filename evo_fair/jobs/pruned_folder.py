"""The folder of a pruning: each network as checked ONNX with a card that measures it, and the table of them all."""

import copy
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from evo_fair.errors import EvoFairError, RunError, in_a_line
from evo_fair.export.card import file_facts, write_onnx
from evo_fair.export.examine import Examination, Examiner
from evo_fair.fairness import group_accuracy
from evo_fair.files import read_json, write_text
from evo_fair.job_folder import PRUNINGS, Piece
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.prune_settings import PruneUnit
from evo_fair.latency import Profile
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets import Network
from evo_fair.proxy import predict_logits
from evo_fair.pruning.measure import degradation_fairness, metrics_of, parameters_in, performance_fairness, sparsity_of
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task

__all__ = ["PRUNINGS", "VALIDATION", "PrunedFolder"]

VALIDATION = "validation_"
"""Begins the names of a table's figures of the validation part, by which networks can be chosen."""


class PrunedFolder:
    """Writes pruned networks of one dense one, called `name`, with their cards, and the table of them."""

    def __init__(
        self,
        task: Task,
        dense: Dense,
        name: str,
        structure: Structure,
        profile: Profile,
        folder: Path,
        listener: Listener,
    ) -> None:
        self.task, self.dense, self.name, self.structure = task, dense, name, structure
        self.profile, self.folder, self.listener = profile, folder, listener
        self._untold: set[str] = set()  # what was noted: shared by those elsewhere
        self.before = {part: task.counts(dense.network, part) for part in ("test", "validation")}
        self.examiner = Examiner(task.dataset, "test", (task.group,), seed=0)
        self.beside_dense = Examiner(task.dataset, "test", tuple(dict.fromkeys((task.group, "class"))), seed=0)
        self.predicted_before = task.predictions(dense.network, "test")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "x"}

    @cached_property
    def x(self) -> torch.Tensor:
        """The validation part as networks take it, on which files are checked."""
        return self.task.normalise(self.task.dataset.inputs[self.task.dataset.part("validation")])

    def elsewhere(self, folder: Path, listener: Listener) -> "PrunedFolder":
        """The same for networks in another folder, of which another listener hears."""
        _ = self.x  # once for all
        other = copy.copy(self)
        other.folder, other.listener = folder, listener
        return other

    def finished(self, name: str) -> bool:
        """Whether a network is there, whole: its card is written last and knows the hash of its file."""
        piece = self._piece(name)
        row = piece.content.get("row")  # a damaged card's network is made anew
        return isinstance(row, dict) and row.get("name") == name and piece.made

    def others(self, names: Collection[str]) -> list[str]:
        """The networks in the folder besides `names`, which an earlier call asked for, by their names."""
        found = sorted(path.stem for path in self.folder.glob("*.json"))
        return [name for name in found if name not in names and self.finished(name)]

    def write_dense(self) -> None:
        """Writes the network that was pruned, for comparison."""
        asked = {"method": "dense", "structure": "", "scope": "", "seed": "", "target": 0.0}
        self._write("dense", self.dense.network, asked, 0.0, 0, {})

    def write(self, unit: PruneUnit, pruned: Pruned, request: Request, own_scope: str) -> None:
        """Writes a pruned network: smaller where channels left, else with zeros."""
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
        task, piece = self.task, self._piece(name)
        path = piece.files["onnx"]
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
        predicted = task.predictions(network, "test")
        told = {
            "figures": _plain(self.examiner.examine(predicted)),
            "changes": _plain(self.beside_dense.changes(self.predicted_before, predicted)),
        }
        where = task.device.described()
        piece.finish({"format": 1, "row": row, "part": "test", "notes": dict(notes), **where, **told, **facts})

    def _piece(self, name: str) -> Piece:
        return Piece(self.folder / f"{name}.json", {"onnx": self.folder / f"{name}.onnx"})

    def _graph(self, path: Path) -> GraphLayers | None:
        """The layers of an ONNX file; None, which is said once, where the latency model does not know them."""
        try:
            return read_onnx(path)
        except EvoFairError as error:
            if not self._untold:
                reason = in_a_line(error).replace(str(path), path.name)
                self.listener.noted(f"its latency is unknown, which keeps nothing from being pruned: {reason}")
            self._untold.add("latency")
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
        """The rows of the networks `names`, which are written to `pruned.csv`, too."""
        frame = pd.DataFrame([read_json(self.folder / f"{name}.json", RunError)["row"] for name in names])
        write_text(self.folder / "pruned.csv", frame.to_csv(index=False, lineterminator="\n"))
        return frame


def _plain(examination: Examination) -> dict[str, dict[str, float | None]]:
    """Each figure with the ends of its interval, None where those are not known."""
    return {
        name: {end: None if np.isnan(value) else value for end, value in found._asdict().items()}
        for name, found in examination.items()
    }
