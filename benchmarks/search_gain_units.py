"""Trainings of `search_gain` as units on disk: each is made once, and is there when its file is."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from headline_units import PARTS
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, NonFiniteError, RunError
from evo_fair.files import read_json, write_json
from evo_fair.nets import Network, Step, fit, initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.reference import build_reference
from evo_fair.problem import Problem, Training
from evo_fair.proxy import predict_labels
from evo_fair.space import SearchSpace

__all__ = ["Candidate", "Unit", "Workplace"]

FRONT, RANDOM = "front", "random"
_MOST_LABELS = 10  # a unit's predictions are a text with a digit a sample


@dataclass(frozen=True)
class Candidate:
    """A network that is trained: its role, and what is known of it before any training.

    `role` is `front`, `random` or the name of the family that is scaled in width; `pair` numbers a network of the front
    and the random one of the same latency; `genome` is None for a known network.
    """

    name: str
    role: str
    latency_ms: float
    params: int
    macs: int
    genome: tuple[int, ...] | None = None
    pair: int | None = None

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Candidate":
        """What `asdict` made of one, after JSON."""
        genome = facts["genome"]
        return cls(**{**facts, "genome": None if genome is None else tuple(genome)})


@dataclass(frozen=True, order=True)
class Unit:
    """One training from nothing: a network, for how long, with which seed."""

    network: str
    epochs: int
    seed: int

    @property
    def name(self) -> str:
        """Its file's name without the ending."""
        return f"{self.network}.e{self.epochs}.s{self.seed}"


class _OutOfTimeError(Exception):
    """The time given is over; the training's checkpoint is written."""


@dataclass(frozen=True)
class Workplace:
    """What units are trained with and on; finished ones are kept in `out`, checkpoints in `work`."""

    out: Path
    work: Path
    problem: Problem
    dataset: Dataset
    space: SearchSpace

    def __post_init__(self) -> None:
        if len(self.dataset.label_names) > _MOST_LABELS:
            raise EvoFairError(
                f"{self.problem.name} has {len(self.dataset.label_names)} labels, at most {_MOST_LABELS}: choose a "
                "problem with fewer"
            )

    def path(self, unit: Unit) -> Path:
        """The file of a finished unit."""
        return self.out / "units" / f"{unit.name}.json"

    def recipe(self, unit: Unit) -> Training:
        """The problem's own, for the unit's epochs."""
        return self.problem.training.model_copy(update={"epochs": unit.epochs})

    def made_of(self, unit: Unit, candidate: Candidate) -> dict[str, Any]:
        """All that the unit's weights depend on, beside its own fields."""
        ours = candidate.genome is not None
        return {
            "recipe": self.recipe(unit).of_one_network(),
            "data": self.dataset.fingerprint,
            "space": self.space.fingerprint if ours else None,
            "genome": list(candidate.genome or ()) if ours else None,
        }

    def network(self, candidate: Candidate) -> nn.Module:
        """The network, its weights torch's default."""
        if candidate.genome is None:
            return build_reference(candidate.name, self.space.labels)
        return Network(self.space.architecture(candidate.genome), self.space.labels)

    def find(self, unit: Unit, candidate: Candidate) -> dict[str, Any] | None:
        """The facts of a finished unit, or None; raises `RunError` for one that was made of something else."""
        path = self.path(unit)
        if not path.is_file():
            return None
        facts: dict[str, Any] = read_json(path, RunError)
        if facts.get("made_of") != self.made_of(unit, candidate):
            raise RunError(f"{path} was trained on other data or by another recipe: remove it, or give another --out")
        return facts

    def of_another_space(self, folder: Path, unit: Unit) -> dict[str, Any]:
        """The facts of a unit that lies in `folder`, of a network of another space on the same data by the same recipe.

        Raises `RunError` where it is missing, diverged or is of other data or another recipe.
        """
        path = folder / "units" / f"{unit.name}.json"
        if not path.is_file():
            raise RunError(f"{path} is missing: train that front first, with as many epochs and the same seeds")
        facts: dict[str, Any] = read_json(path, RunError)
        own = {"recipe": self.recipe(unit).of_one_network(), "data": self.dataset.fingerprint}
        if "diverged" in facts or {name: facts.get("made_of", {}).get(name) for name in own} != own:
            raise RunError(
                f"{path} diverged, or was trained on other data or by another recipe than {self.problem.name}"
            )
        return facts

    def make(self, unit: Unit, candidate: Candidate, until: float = float("inf")) -> dict[str, Any] | None:
        """Trains a unit unless it is there, writes what it predicts, and returns its facts.

        None if `until`, a time of `time.time`, comes before its end: it goes on from its last epoch the next time. A
        training that diverges is finished too: its facts say so in `diverged`, and hold no predictions.
        """
        if facts := self.find(unit, candidate):
            return facts
        if time.time() >= until:
            return None

        def watch(step: Step) -> None:
            if time.time() >= until and step.epoch < step.epochs:
                raise _OutOfTimeError

        train = self.dataset.part("train")
        inputs = self.dataset.inputs[train]
        scaling = Scaling.of(inputs)
        network = self.network(candidate)
        initialise(network, torch.Generator().manual_seed(unit.seed))
        checkpoint = self.work / f"{unit.name}.safetensors"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        facts = {**asdict(unit), "made_of": self.made_of(unit, candidate)}
        cpu = time.process_time()
        try:
            fit(
                network,
                inputs,
                self.dataset.labels[train],
                self.recipe(unit),
                unit.seed,
                normalise=scaling,
                on_epoch=watch,
                checkpoint=checkpoint,
            )
        except _OutOfTimeError:
            return None
        except NonFiniteError as error:
            facts["diverged"] = str(error)
        else:
            facts["cpu_seconds"] = round(time.process_time() - cpu, 1)  # of this call, if it was resumed
            facts |= {part: "".join(map(str, self._predicted(network, scaling, part))) for part in PARTS}
        write_json(self.path(unit), facts)
        checkpoint.unlink(missing_ok=True)
        return facts

    def _predicted(self, network: nn.Module, scaling: Scaling, part: str) -> Iterator[int]:
        with torch.no_grad():
            labels = predict_labels(network, scaling(self.dataset.inputs[self.dataset.part(part)]))
        return iter(labels.tolist())
