"""Trainings of the headline as units on disk: each is made once, and is there when its file is."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import NonFiniteError, RunError
from evo_fair.export.card import write_onnx
from evo_fair.export.export import export_onnx
from evo_fair.export.tuning import Tuning, train_network
from evo_fair.files import digest, read_json, write_bytes, write_json
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.nets import Network, Supernet
from evo_fair.nets.fair_training import FAIR_TRAINING_CODE
from evo_fair.nets.fit import initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.reference import REFERENCES, build_reference
from evo_fair.problem import Problem, Training
from evo_fair.proxy import calibration_samples, predict_logits
from evo_fair.proxy.supernets import StoredSupernet
from evo_fair.pruning.task import content_of
from evo_fair.space import SearchSpace

REFERENCE_NAMES = tuple(REFERENCES)
OPTIONS = ("plain", "fair", "balanced")
STARTS = ("scratch", "tuned")
PARTS = ("validation", "test")

Genomes = dict[str, npt.NDArray[np.int16]]


@dataclass(frozen=True, order=True)
class Unit:
    """One training: a network, where its weights start, what the training does for groups, how long, which seed."""

    network: str
    start: str
    option: str
    epochs: int
    seed: int

    @property
    def name(self) -> str:
        """Its file's name, and that of its folder while it is made."""
        return f"{self.network}.{self.start}.{self.option}.e{self.epochs}.s{self.seed}"

    @property
    def variant(self) -> tuple[str, str, str, int]:
        """All but the seed."""
        return self.network, self.start, self.option, self.epochs


@dataclass(frozen=True)
class Workplace:
    """What units are trained with and on; finished ones are kept in `out`, all else in `work`.

    `gain` are results of `search_gain`, whose trainings stand beside them.
    """

    out: Path
    work: Path
    problem: Problem
    dataset: Dataset
    space: SearchSpace
    stored: StoredSupernet
    supernet: Supernet
    genomes: Genomes
    fairness_weight: float
    gain: Path

    @property
    def units(self) -> Path:
        """The folder of finished units, a file each."""
        return self.out / "units"

    @property
    def scaling(self) -> Scaling:
        """The same for all networks: by channel, from the training part."""
        return Scaling(self.supernet.mean, self.supernet.scale)

    def made_of(self, unit: Unit) -> dict[str, Any]:
        """All that the unit's weights depend on, beside its own fields."""
        tuning, recipe = self.training(unit)
        ours = unit.network in self.genomes
        code = {"fair_training_code": FAIR_TRAINING_CODE} if tuning.fairness_weight else {}
        # A known network that is tuned goes on from `first_of` it, which all else here describes.
        return {
            "recipe": recipe.of_one_network(),
            "fairness_weight": tuning.fairness_weight,
            **code,
            "group": self.problem.fairness.group,
            "data": self.dataset.fingerprint,
            "supernet": self.stored.sha256 if ours and unit.start == "tuned" else "none",
            "genome": self.genomes[unit.network].tolist() if ours else None,
        }

    def training(self, unit: Unit) -> tuple[Tuning, Training]:
        """How the unit is trained: both sides by the same recipe and for as many epochs."""
        tuning = Tuning(
            from_scratch=unit.start == "scratch",
            epochs=unit.epochs,
            fairness_weight=self.fairness_weight if unit.option == "fair" else 0.0,
            balance_groups=unit.option == "balanced",
        )
        return tuning, tuning.recipe(self.problem.training)

    def network(self, unit: Unit) -> nn.Module:
        """The unit's network before this training: for 'tuned', a known one is trained plainly first (`first_of`)."""
        ours = unit.network in self.genomes
        if unit.start == "tuned":
            return self.extracted(unit.network) if ours else self.trained(first_of(unit))
        if ours:
            network: nn.Module = Network(self.space.architecture(self.genomes[unit.network]), self.space.labels)
        else:
            network = build_reference(unit.network, len(self.dataset.label_names))
        initialise(network, torch.Generator().manual_seed(unit.seed))
        return network

    def extracted(self, network: str) -> Network:
        """A network of the space with the supernet's weights."""
        found = self.supernet.extract(self.genomes[network])
        chosen = calibration_samples(self.dataset, self.problem.proxy.calibration_samples)
        found.calibrate(self.scaling(self.dataset.inputs[chosen]))
        return found

    def trained(self, unit: Unit) -> nn.Module:
        """The unit's network after its training."""
        network = self.network(unit)
        self.train(unit, network)
        return network

    def make(self, unit: Unit) -> dict[str, Any]:
        """Trains a unit unless it is there, exports and checks it, and writes what it predicts; returns its facts.

        A training that diverges is finished too: its facts say so in `diverged`, and hold no predictions. Units that
        say no `fair_training_code` are of the time of the unbounded fairness term, and stay.
        """
        folder, path = self.work / unit.name, self.units / f"{unit.name}.json"
        if path.is_file():
            facts: dict[str, Any] = read_json(path, RunError)
            wanted = self.made_of(unit)
            if "fair_training_code" not in facts["made_of"]:
                wanted.pop("fair_training_code", None)
            if facts["made_of"] != wanted:
                raise RunError(f"{path} was made of something else: remove it, or give another --out")
            return facts
        network = self.network(unit)
        started = time.perf_counter()
        try:
            self.train(unit, network)
        except NonFiniteError as error:
            facts = {**asdict(unit), "made_of": self.made_of(unit), "diverged": str(error)}
            write_json(path, facts)
            return facts
        seconds = time.perf_counter() - started
        final = for_inference(network)
        predicted = {}
        for part in PARTS:
            x = self.scaling(self.dataset.inputs[self.dataset.part(part)])
            logits = predict_logits(final, x)
            if part == "validation":
                parity = write_onnx(folder / "network.onnx", final, self.dataset, self.scaling, x, logits)
            predicted[part] = "".join(map(str, logits.argmax(1)))
        graph = read_onnx(folder / "network.onnx")
        facts = {
            **asdict(unit),
            "made_of": self.made_of(unit),
            "params": graph.params,
            "macs": graph.macs,
            "onnx_bytes": (folder / "network.onnx").stat().st_size,
            "largest_logit_difference": parity.largest_difference,
            "training_seconds_of_this_call": round(seconds, 1),
            **predicted,
        }
        write_json(path, facts)
        return facts

    def train(self, unit: Unit, network: nn.Module) -> None:
        """Trains a unit's network, or takes its weights from the file in the unit's folder where they are kept."""
        folder = self.work / unit.name
        trained = folder / f"trained-{digest(json.dumps(self.made_of(unit), sort_keys=True))[:12]}.safetensors"
        if trained.is_file():
            network.load_state_dict(load(trained.read_bytes()))
            network.to(memory_format=torch.channels_last)  # as training leaves it, so that the last bits agree
            return
        folder.mkdir(parents=True, exist_ok=True)
        tuning, recipe = self.training(unit)
        checkpoint = folder / "checkpoint.safetensors"
        train_network(
            network,
            self.dataset,
            self.problem.fairness.group,
            tuning,
            recipe,
            unit.seed,
            self.scaling,
            checkpoint=checkpoint,
        )
        write_bytes(trained, content_of(network))
        checkpoint.unlink(missing_ok=True)

    def architecture(self, network: str) -> Path:
        """The ONNX file of a network before training, for its latency, which no weight changes; written if need be."""
        path = self.work / "architectures" / f"{network}.onnx"
        if not path.is_file():
            untrained = self.network(Unit(network, "scratch", "plain", 0, 0))
            final = for_inference(untrained)
            export_onnx(final, self.dataset.input_shape, path)
        return path


def first_of(unit: Unit) -> Unit:
    """The training that a known network is tuned from: plain, for as many epochs, one for all seeds like a supernet."""
    return replace(unit, start="scratch", option="plain", seed=0)


def for_inference(network: nn.Module) -> nn.Module:
    """The network as it is exported: batch norm folded where that is ours to do."""
    return network.folded() if isinstance(network, Network) else network.eval().requires_grad_(False)


def finished_units(units: Path) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """The units that are in the folder, with their facts, but for those that diverged."""
    return ((unit, facts) for unit, facts in read_units(units) if "diverged" not in facts)


def diverged_units(units: Path, epochs: int) -> list[Unit]:
    """The units of so many epochs whose training diverged."""
    return [unit for unit, facts in read_units(units) if "diverged" in facts and unit.epochs == epochs]


def read_units(units: Path) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """All units that are in the folder, with their facts."""
    for path in sorted(units.glob("*.json")):
        facts = read_json(path, RunError)
        yield Unit(**{key: facts[key] for key in ("network", "start", "option", "epochs", "seed")}), facts


def labels_of(facts: dict[str, Any], part: str) -> npt.NDArray[np.uint8]:
    """The labels that a unit predicts for the samples of a part, uint8 `[samples]`."""
    return np.frombuffer(facts[part].encode(), np.uint8) - ord("0")
