"""Steps of a supernet's training on an accelerator: all networks of a step forwards, then backwards in one go.

On the CPU each network has its own pass on its own core, see `nets.train`. An accelerator is kept busy by one graph of
them all: blocks that several begin with, on one batch, run once, and gradients are added up where they meet.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from evo_fair.nets.device import TorchDevice
from evo_fair.nets.supernet import Supernet, place_of
from evo_fair.space import Block, units_of

__all__ = ["fair_gradients_together", "gradients_together"]

_LARGE = 2**23
"""Numbers in a batch of inputs, 64 images of 209 pixels, from which networks go backwards one after the other."""


def gradients_together(
    device: TorchDevice,
    supernet: Supernet,
    x: torch.Tensor,
    y: torch.Tensor,
    genomes: Sequence[npt.NDArray[np.int16]],
    smoothing: float,
) -> torch.Tensor:
    """Sets every weight's gradient as `nets.train.gradients` does, but for rounding.

    `x` are normalised inputs `[batch, ...]` with labels `y` `[batch]`. Returns the first network's loss, a scalar that
    stays on the device.
    """
    architectures = [supernet.space.architecture(genome) for genome in genomes]
    _begin(supernet)
    features: dict[tuple[Block, ...], torch.Tensor] | None = None if x.numel() > _LARGE else {}
    logits = _logits(device, supernet, x, architectures[0], features)
    loss = functional.cross_entropy(logits, y, label_smoothing=smoothing)
    target = logits.detach().softmax(1)
    if features is None:
        loss.backward()  # type: ignore[no-untyped-call]
    total = loss
    for blocks in architectures[1:]:
        distance = functional.cross_entropy(_logits(device, supernet, x, blocks, features), target)
        if features is None:
            distance.backward()  # type: ignore[no-untyped-call]
        else:
            total = total + distance
    if features is not None:
        total.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def fair_gradients_together(
    device: TorchDevice,
    supernet: Supernet,
    x: torch.Tensor,
    y: torch.Tensor,
    genomes: Sequence[npt.NDArray[np.int16]],
    smoothing: float,
) -> torch.Tensor:
    """Sets every weight's gradient as `nets.train.fair_gradients` does, but for rounding.

    `x` are normalised inputs `[genomes * n, ...]` with labels `y`, the first n of them the first genome's. Returns the
    mean loss, a scalar that stays on the device.
    """
    architectures = [supernet.space.architecture(genome) for genome in genomes]
    _begin(supernet)
    losses = []
    for blocks, part, labels in zip(architectures, x.chunk(len(genomes)), y.chunk(len(genomes)), strict=True):
        loss = functional.cross_entropy(
            _logits(device, supernet, part, blocks, None), labels, label_smoothing=smoothing
        )
        if x.numel() > _LARGE:
            loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss)
    if x.numel() <= _LARGE:
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    used = Counter(place for blocks in architectures for place in _places(blocks))
    for name, weight in supernet.weights.items():
        networks = used.get(name.rpartition(".")[0], len(architectures) if name.startswith("classifier.") else 0)
        if networks > 1 and weight.grad is not None:
            weight.grad /= networks
    return torch.stack([loss.detach() for loss in losses]).mean()


def _begin(supernet: Supernet) -> None:
    """Puts all gradients to 0, those of weights that no network of the step uses, too."""
    torch._foreach_zero_([weight.grad for weight in supernet.weights.values() if weight.grad is not None])


def _logits(
    device: TorchDevice,
    supernet: Supernet,
    x: torch.Tensor,
    blocks: list[Block],
    features: dict[tuple[Block, ...], torch.Tensor] | None,
) -> torch.Tensor:
    """Logits `[n, labels]` in float32; `features` has what blocks that came first made, and takes what these make."""
    with device.autocast():
        return supernet.forward(x, blocks, features).float()


def _places(blocks: Sequence[Block]) -> set[str]:
    """The names of the weights that a network uses, each once."""
    return {place_of(block, unit) for block in blocks for unit in units_of(block)}
