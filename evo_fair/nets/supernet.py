"""The supernet: one set of weights that holds every network of a search space as a slice of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from evo_fair.arrays import RawInputs
from evo_fair.errors import DataError
from evo_fair.files import write_bytes
from evo_fair.nets.inputs import normalise
from evo_fair.nets.network import BN_EPSILON, Network
from evo_fair.nets.strides import convolve
from evo_fair.nets.tensors import check_tensors, read_tensors
from evo_fair.nets.topology import run_blocks
from evo_fair.space import Block, SearchSpace, Unit, units_of

__all__ = ["Supernet", "place_of"]


@dataclass(frozen=True)
class Supernet:
    """Weights by name, `stage1.slot2.MB.expand.weight` for instance, and the normalisation of the inputs.

    A network takes the first channels of each weight and the central part of each kernel. `mean` and `scale` are
    float32 `[channels]`: a raw input `x` enters as `(x - mean) * scale`.
    """

    space: SearchSpace
    weights: dict[str, torch.Tensor]
    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def initialise(
        cls,
        space: SearchSpace,
        generator: torch.Generator,
        mean: npt.NDArray[np.float32],
        scale: npt.NDArray[np.float32],
    ) -> "Supernet":
        """A supernet with random weights (He et al. 2015, fan-out for convolutions) drawn from `generator`."""
        weights: dict[str, torch.Tensor] = {}
        for place, unit in _largest_units(space):
            fan = unit.c_in if unit.kernel == 0 else unit.kernel**2 * (1 if unit.depthwise else unit.c_out)
            weight = torch.randn(unit.weight_shape, generator=generator, device=generator.device) * (2 / fan) ** 0.5
            weights[f"{place}.weight"] = weight
            weights[f"{place}.gamma"] = torch.ones(unit.c_out, device=weight.device)
            weights[f"{place}.beta"] = torch.zeros(unit.c_out, device=weight.device)
        features = space.architecture(space.largest())[-1].c_out
        device = generator.device
        drawn = torch.randn(space.labels, features, generator=generator, device=device)
        weights["classifier.weight"] = drawn * features**-0.5
        weights["classifier.bias"] = torch.zeros(space.labels, device=device)
        centre, deviations = (torch.from_numpy(part.copy()).to(device) for part in (mean, scale))
        return cls(space, weights, centre, deviations)

    def to(self, device: torch.device) -> "Supernet":
        """The same on a device, itself where it is there already."""
        if self.mean.device == device:
            return self
        weights = {name: weight.detach().to(device) for name, weight in self.weights.items()}
        return Supernet(self.space, weights, self.mean.to(device), self.scale.to(device))

    def normalise(self, inputs: RawInputs | torch.Tensor) -> torch.Tensor:
        """Raw inputs `[n, channels, ...]` as the float32 tensor that networks take; images in channels-last layout."""
        return normalise(inputs, self.mean, self.scale)

    def forward(
        self, x: torch.Tensor, blocks: list[Block], known: dict[tuple[Block, ...], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Logits `[n, labels]` of one architecture for normalised inputs, batch norm on the batch's own statistics.

        `known` has what other architectures' first blocks have made of the same inputs, and takes what these make.
        """
        features = run_blocks(blocks, x, self._apply, known)
        classifier = self.weights["classifier.weight"][:, : features.shape[1]]
        return functional.linear(features, classifier, self.weights["classifier.bias"])

    def _apply(self, block: Block, unit: Unit, x: torch.Tensor) -> torch.Tensor:
        weight, gamma, beta = self.slices(block, unit)
        if unit.kernel == 0:
            y = functional.linear(x, weight)
        else:
            groups = unit.c_in if unit.depthwise else 1
            y = convolve(x, weight, unit.stride, groups)
        return functional.batch_norm(y, None, None, gamma, beta, training=True, eps=BN_EPSILON)

    def slices(self, block: Block, unit: Unit) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Views of the weight, gamma and beta that `unit` of `block` uses."""
        place = place_of(block, unit)
        weight = self.weights[f"{place}.weight"]
        weight = weight[: unit.c_out, : unit.weight_shape[1]]
        if unit.kernel:
            margin = (weight.shape[2] - unit.kernel) // 2
            weight = weight[:, :, margin : margin + unit.kernel, margin : margin + unit.kernel]
        return weight, self.weights[f"{place}.gamma"][: unit.c_out], self.weights[f"{place}.beta"][: unit.c_out]

    def extract(self, genome: npt.ArrayLike) -> Network:
        """The stand-alone network of a genome `[genes]`, with copies of its slices; to `calibrate` before use."""
        blocks = self.space.architecture(genome)
        with torch.device("meta"):  # the initial weights would only be thrown away
            network = Network(blocks, self.space.labels)
        for block in blocks:
            for unit in units_of(block):
                network.unit(block, unit.name).fill(*self.slices(block, unit))
        network.classifier = self.classifier(blocks[-1].c_out)
        return network

    def classifier(self, features: int) -> nn.Linear:
        """The classifier of networks with so many features, with copies of the weights."""
        with torch.device("meta"):
            classifier = nn.Linear(features, self.space.labels)
        weight, bias = self.weights["classifier.weight"], self.weights["classifier.bias"]
        classifier.weight = nn.Parameter(weight.detach()[:, :features].clone(memory_format=torch.contiguous_format))
        classifier.bias = nn.Parameter(bias.detach().clone())
        return classifier

    def save(self, path: Path) -> None:
        """Writes the weights as safetensors, atomically."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()}
        tensors |= {"input.mean": self.mean.cpu(), "input.scale": self.scale.cpu()}
        write_bytes(path, save(tensors, {"space": self.space.fingerprint}))

    @classmethod
    def load(cls, path: Path, space: SearchSpace) -> "Supernet":
        """Reads what `save` wrote; raises `DataError` when the file is damaged or belongs to another space."""
        try:
            tensors, metadata = read_tensors(path)
            if metadata.get("space") == space.fingerprint:
                check_tensors(tensors, _shapes(space))
        except ValueError as error:
            raise DataError(
                f"cannot read the supernet {path}: {error}; train it again with 'evo-fair train'"
            ) from error
        if metadata.get("space") != space.fingerprint:
            raise DataError(f"{path} is the supernet of another search space: train this one with 'evo-fair train'")
        mean, scale = tensors.pop("input.mean"), tensors.pop("input.scale")
        return cls(space, tensors, mean, scale)


def _shapes(space: SearchSpace) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a supernet's file, by name."""
    shapes: dict[str, tuple[int, ...]] = {"input.mean": space.input_shape[:1], "input.scale": space.input_shape[:1]}
    for place, unit in _largest_units(space):
        shapes[f"{place}.weight"] = unit.weight_shape
        shapes[f"{place}.gamma"] = shapes[f"{place}.beta"] = (unit.c_out,)
    features = space.architecture(space.largest())[-1].c_out
    return shapes | {"classifier.weight": (space.labels, features), "classifier.bias": (space.labels,)}


def _largest_units(space: SearchSpace) -> Iterator[tuple[str, Unit]]:
    """Every unit of every kind at its largest, as `(place, unit)`; a slot's shortcut once for each of its kinds."""
    for block in space.largest_blocks():
        for unit in units_of(block):
            yield place_of(block, unit), unit


def place_of(block: Block, unit: Unit) -> str:
    """The name of a unit's weights; the kinds of a slot share their shortcut."""
    return f"{block.name}.shortcut" if unit.name == "shortcut" else f"{block.name}.{block.kind.name}.{unit.name}"
