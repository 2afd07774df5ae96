"""The folder in which a run's networks are trained, exported and checked, one after the other, each once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.export.alone import AloneTraining, Beginning, untrained_network
from evo_fair.export.card import Describes, file_facts, network_card, write_onnx
from evo_fair.export.columns import file_inputs
from evo_fair.export.evenness import even_outputs
from evo_fair.export.export import TOLERANCE, onnx_logits, tolerance_of
from evo_fair.export.quantise import quantise_onnx
from evo_fair.export.tuning import Tuning, train_network
from evo_fair.files import inside, sha256_of
from evo_fair.job_folder import Piece
from evo_fair.nets import Network, Step, Supernet
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.nets.network import for_inference
from evo_fair.problem import Problem
from evo_fair.proxy import calibration_samples, predict_logits
from evo_fair.space import SearchSpace

__all__ = ["Workshop"]


@dataclass(frozen=True)
class Workshop:
    """What networks are made from, and the folder that they go into; `supernet` is None where they start anew.

    Those of a search without a supernet start from their `beginning`.
    `even_groups` is the accuracy that may be lost to outputs moved for groups to be right evenly; None moves none.
    Networks that `alone` has trained are taken from there. Networks are trained, and their outputs evened, on
    `device`; what their files are checked against, and their cards say, is the CPU's.
    """

    folder: Path
    problem: Problem
    dataset: Dataset
    space: Describes
    supernet: Supernet | None
    grouping: str
    tuning: Tuning
    seed: int
    int8: bool
    hashes: dict[str, str]
    even_groups: float | None = None
    alone: AloneTraining | None = None
    beginning: Beginning | None = None
    device: TorchDevice = CPU

    @cached_property
    def scaling(self) -> Scaling:
        """How raw inputs enter the networks: as the supernet has it, else by the training part's own statistics."""
        if self.supernet is not None:
            return Scaling(self.supernet.mean, self.supernet.scale)
        return Scaling.of(self.dataset.samples("train"))

    def files(self, name: str) -> dict[str, Path]:
        """The ONNX files of a network by precision."""
        paths = {"fp32": inside(self.folder, f"{name}.onnx")}  # names come from a run's table
        return paths | {"int8": inside(self.folder, f"{name}.int8.onnx")} if self.int8 else paths

    def elsewhere(self, folder: Path) -> "Workshop":
        """The same with another folder for what it makes."""
        return self if folder == self.folder else replace(self, folder=folder)

    def is_trained(self, name: str, genome: Sequence[int]) -> bool:
        """Whether `alone` keeps the network of a genome as it is to be trained here."""
        return self.alone is not None and self.alone.keeps(name, genome)

    def finished(self, name: str) -> bool:
        """Whether a network is there, whole: its card is written last and knows the hashes of its files."""
        return self.piece(name).made

    def make(self, name: str, genome: Sequence[int], on_epoch: Callable[[Step], None] | None = None) -> None:
        """Trains a network, writes and checks its files and then its card; goes on where it was broken off."""
        scaling = self.scaling
        recipe = self.tuning.recipe(self.problem.training)
        network = self._untrained(genome)
        checkpoint = inside(self.folder, f"{name}.checkpoint.safetensors")
        if self.alone is None or not self.alone.take(name, genome, network):
            train_network(
                network,
                self.dataset,
                self.grouping,
                self.tuning,
                recipe,
                self.seed,
                scaling,
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                device=self.device,
                whole=self.beginning.whole if self.beginning else None,
            )
        final = for_inference(network)
        evened = {}
        if self.even_groups is not None:
            bias = self._output_bias(final)
            evened["even_groups"] = even_outputs(
                final, self.dataset, self.grouping, scaling, self.even_groups, bias, self.device
            )
        validation = Normalised(self.dataset.samples("validation"), scaling)
        logits = predict_logits(final, validation)
        files = self.files(name)
        allowed = TOLERANCE if self.beginning is None else tolerance_of(logits)
        parity = write_onnx(files["fp32"], final, self.dataset, scaling, validation, logits, allowed)
        predictions = logits.argmax(1).astype(np.uint8)[None]
        groupings = dict.fromkeys((self.grouping, *self.problem.fairness.groupings))
        counts = {group: self.dataset.counts(predictions, "validation", group) for group in groupings}
        facts = {
            "problem": self.problem.name,
            "data": {"name": self.dataset.name, "licence": self.dataset.licence},
            "trained": {
                **asdict(self.tuning),
                "grouping": self.grouping,
                "seed": self.seed,
                "recipe": recipe.of_one_network(),
                **self.device.described(),
            },
            **evened,
            "hashes": self.hashes,
        }
        card = network_card(name, genome, self.space, counts, facts)
        card |= file_facts(files["fp32"], parity, self.dataset, scaling)
        if self.int8:
            card["int8"] = self._quantised(files, predictions[0])
        self.piece(name).finish(card)
        checkpoint.unlink(missing_ok=True)

    def piece(self, name: str) -> Piece:
        """The network's files, and its card."""
        files = dict(zip(("onnx", "int8"), self.files(name).values(), strict=False))
        return Piece(inside(self.folder, f"{name}.json"), files)

    def _output_bias(self, network: nn.Module) -> nn.Parameter:
        if isinstance(network, Network):
            return network.classifier.bias
        bias = self.beginning.output_bias(network) if self.beginning else None
        if bias is None:
            raise EvoFairError(
                "the network's outputs have no biases that could be moved to make groups even: leave out --even-groups"
            )
        return bias

    def _untrained(self, genome: Sequence[int]) -> nn.Module:
        if self.beginning is not None:
            return self.beginning.network(genome, self.tuning.from_scratch, self.seed)
        if self.supernet is None:
            assert isinstance(self.space, SearchSpace)
            return untrained_network(self.space, genome, self.seed)
        network = self.supernet.extract(genome)
        network.calibrate(self._calibration())  # running statistics start from what the weights are used to
        return network

    def _calibration(self) -> torch.Tensor:
        chosen = calibration_samples(self.dataset, self.problem.proxy.calibration_samples)
        return self.scaling(self.dataset.inputs[chosen])

    def _quantised(self, files: dict[str, Path], expected: npt.NDArray[np.uint8]) -> dict[str, Any]:
        chosen = calibration_samples(self.dataset, self.problem.proxy.calibration_samples)
        quantise_onnx(files["fp32"], files["int8"], self._inputs(files["fp32"], chosen))
        validation = self._inputs(files["int8"], self.dataset.part("validation"))
        same = onnx_logits(files["int8"], validation).argmax(1) == expected
        return {
            "bytes": files["int8"].stat().st_size,
            "sha256": sha256_of(files["int8"]),
            "validation_labels_as_fp32": float(same.mean()),
        }

    def _inputs(self, path: Path, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return file_inputs(path, self.dataset, self.scaling, samples)
