"""Networks trained for themselves: their weights are kept, so that nobody trains the same one twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from evo_fair.data import Dataset
from evo_fair.export.tuning import Tuning, train_network
from evo_fair.files import inside, sha256_of, write_bytes
from evo_fair.job_folder import Piece
from evo_fair.nets import Network, Step
from evo_fair.nets.checkpoint import stored_tensors
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.fit import initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.layout import channels_last
from evo_fair.nets.tensors import read_tensors
from evo_fair.problem import Problem
from evo_fair.space import SearchSpace

__all__ = ["TRAININGS", "AloneTraining", "Beginning", "untrained_network"]

TRAININGS = "trainings"
"""The folder, in a run's, of the networks that its search trained."""


@dataclass(frozen=True)
class Beginning:
    """What the networks of genomes are before any training, where they are no supernet's.

    `make` gives the network of a genome `[genes]` with the weights that it begins with, `output_bias` the biases of a
    network's outputs, None where there are none. `sha256` is a hash of all that the weights depend on but the genome.
    `whole` is the network whose pruned forms they are, in evaluation mode.
    """

    make: Callable[[Sequence[int]], nn.Module]
    output_bias: Callable[[nn.Module], nn.Parameter | None]
    sha256: str
    whole: nn.Module

    def network(self, genome: Sequence[int], from_scratch: bool, seed: int) -> nn.Module:
        """The network of a genome as its training begins, `from_scratch` with random weights that `seed` gives."""
        network = self.make(genome)
        if from_scratch:
            initialise(network, torch.Generator().manual_seed(seed))
        return network


@dataclass(frozen=True)
class AloneTraining:
    """How networks are trained from nothing, or from their `beginning`, and the folder that keeps each.

    A network is kept as its weights, and a card with what they are of.

    A network whose files are whole, and of the same genome, recipe, seed and data, is not trained again. One that was
    broken off goes on after the epoch that it had reached.
    """

    folder: Path
    problem: Problem
    dataset: Dataset
    space: SearchSpace | None
    grouping: str
    tuning: Tuning
    seed: int
    beginning: Beginning | None = None
    device: TorchDevice = CPU

    def __post_init__(self) -> None:
        if not self.tuning.from_scratch and self.beginning is None:
            raise ValueError("a network trained alone starts from nothing: from_scratch has to be true")

    @cached_property
    def scaling(self) -> Scaling:
        """How raw inputs enter the networks: by the training part's statistics."""
        return Scaling.of(self.dataset.samples("train"))

    def network(self, name: str, genome: Sequence[int], on_epoch: Callable[[Step], None] | None = None) -> nn.Module:
        """The trained network of a genome, in evaluation mode: the one that is kept, else one trained and kept now."""
        network = self.untrained(genome)
        if self.take(name, genome, network):
            self._checkpoint(name).unlink(missing_ok=True)
            return network.eval()
        recipe = self.tuning.recipe(self.problem.training)
        train_network(
            network,
            self.dataset,
            self.grouping,
            self.tuning,
            recipe,
            self.seed,
            self.scaling,
            checkpoint=self._checkpoint(name),
            on_epoch=on_epoch,
            device=self.device,
            whole=self.beginning.whole if self.beginning else None,
        )
        self.keep(name, genome, network)
        return network

    def untrained(self, genome: Sequence[int]) -> nn.Module:
        """The network of a genome as its training begins."""
        if self.beginning is not None:
            return self.beginning.network(genome, self.tuning.from_scratch, self.seed)
        assert self.space is not None
        return untrained_network(self.space, genome, self.seed)

    def keep(self, name: str, genome: Sequence[int], network: nn.Module) -> None:
        """Writes the weights of a network that was trained so, and their card."""
        piece = self._piece(name)
        weights = piece.files["weights"]
        write_bytes(weights, save(stored_tensors(network), {"network": name}))
        facts = self._facts(genome)
        piece.finish({"format": 1, "id": name, "trained": facts, "weights": {"sha256": sha256_of(weights)}})
        self._checkpoint(name).unlink(missing_ok=True)

    def keeps(self, name: str, genome: Sequence[int]) -> bool:
        """Whether a network is kept, whole, and is of this genome, recipe, seed and data."""
        piece = self._piece(name)
        return piece.made and piece.content.get("trained") == self._facts(genome)

    def kept_files(self, name: str) -> dict[str, bytes]:
        """The files that are kept of a network by their names, its card last."""
        piece = self._piece(name)
        return {path.name: path.read_bytes() for path in (*piece.files.values(), piece.card)}

    def keep_files(self, name: str, files: Mapping[str, bytes]) -> None:
        """Keeps a network that was trained so elsewhere, by what `kept_files` said there."""
        for file, content in files.items():
            write_bytes(inside(self.folder, file), content)
        self._checkpoint(name).unlink(missing_ok=True)  # of a training that was broken off here

    def _checkpoint(self, name: str) -> Path:
        return inside(self.folder, f"{name}.checkpoint.safetensors")

    def take(self, name: str, genome: Sequence[int], network: nn.Module) -> bool:
        """Fills in the weights that are kept of a network; False, changing nothing, where there are none of its own."""
        if not self.keeps(name, genome):
            return False
        try:
            tensors, _ = read_tensors(self._piece(name).files["weights"])
        except ValueError:
            return False
        if _form(tensors) != _form(network.state_dict()):
            return False
        if len(self.dataset.input_shape) == 3:
            channels_last(network)  # as training leaves it: sums are rounded by their layout
        network.load_state_dict(tensors)
        return True

    def _piece(self, name: str) -> Piece:
        weights, card = (inside(self.folder, f"{name}.{kind}") for kind in ("safetensors", "json"))
        return Piece(card, {"weights": weights})

    def _facts(self, genome: Sequence[int]) -> dict[str, Any]:
        """All that the weights depend on."""
        groups = self.tuning.fairness_weight or self.tuning.balance_groups
        return {
            "genome": list(map(int, genome)),
            "from_scratch": self.tuning.from_scratch,
            **({} if self.beginning is None else {"begins": self.beginning.sha256}),
            "fairness_weight": self.tuning.fairness_weight,
            "balance_groups": self.tuning.balance_groups,
            **({"distillation": self.tuning.distillation} if self.tuning.distillation else {}),
            "grouping": self.grouping if groups else "",
            "seed": self.seed,
            "recipe": self.tuning.recipe(self.problem.training).of_one_network(),
            "data": self.dataset.fingerprint,
            "torch": torch.__version__,
            **self.device.facts(),
        }


def untrained_network(space: SearchSpace, genome: Sequence[int], seed: int) -> Network:
    """The network of a genome with random weights, from which a training with this seed begins."""
    network = Network(space.architecture(genome), space.labels)
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def _form(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
