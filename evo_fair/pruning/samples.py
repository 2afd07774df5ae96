"""The samples that a criterion looks at, and gradients of a network's loss on them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from evo_fair.errors import PruningError
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.strides import strides_first
from evo_fair.nets.threads import torch_threads
from evo_fair.pruning.structure import training_mode

__all__ = ["Gradients", "Samples", "batch_gradients", "sample_losses", "squared_gradients"]

BATCH = 64

Gradients = dict[str, torch.Tensor]
"""A gradient by parameter."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples that a criterion looks at.

    Args:
        x: Normalised inputs, float32 `[n, ...]`.
        labels: Their labels, int64 `[n]`.
        groups: Their groups, int16 `[n]`; -1 where the group is unknown.
        device: Where losses and gradients are computed; they come back from there.
            Default: the CPU, or wherever network and inputs are.

    Raises:
        ValueError: The shapes don't fit.
    """

    x: torch.Tensor
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int16]
    device: TorchDevice = CPU

    def __post_init__(self) -> None:
        for name, array in (("labels", self.labels), ("groups", self.groups)):
            if array.shape != (len(self.x),):
                raise ValueError(f"{name} have the shape [{len(self.x)}], one a sample, got {list(array.shape)}")

    def __len__(self) -> int:
        return len(self.x)

    def batches(self) -> Iterator[slice]:
        """The samples in batches.

        Returns:
            Slices of at most 64 samples.
        """
        for start in range(0, len(self), BATCH):
            yield slice(start, min(start + BATCH, len(self)))

    def chosen(self, rows: npt.NDArray[np.int64] | slice) -> "Samples":
        """Some of the samples.

        Args:
            rows: Which, int64 `[m]` or a slice.

        Returns:
            Those alone.
        """
        places = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(self.x.device)
        return Samples(self.x[places], self.labels[rows], self.groups[rows], self.device)

    def group_numbers(self) -> npt.NDArray[np.int64]:
        """The groups that occur.

        Returns:
            Their numbers, int64 `[n]`, ascending.

        Raises:
            PruningError: Fewer than two groups occur.
        """
        numbers = np.unique(self.groups[self.groups >= 0]).astype(np.int64)
        if len(numbers) < 2:
            raise PruningError(
                f"the samples hold {len(numbers)} group(s): a criterion that compares groups needs at least 2"
            )
        return numbers


def sample_losses(network: nn.Module, samples: Samples) -> npt.NDArray[np.float64]:
    """The cross-entropy of each sample, batch norm on its running statistics.

    Args:
        network: The network.
        samples: The samples.

    Returns:
        float64 `[n]`.
    """
    device = samples.device
    with torch.no_grad(), torch_threads(1), training_mode(network, False), device.at_work():
        placed = device.placed(network)
        parts = []
        for batch in samples.batches():
            x = device.sent(samples.x[batch])
            labels = torch.from_numpy(samples.labels[batch]).to(x.device)
            parts.append(functional.cross_entropy(placed(x), labels, reduction="none"))
    losses: npt.NDArray[np.float64] = torch.cat(parts).cpu().double().numpy()
    return losses


def batch_gradients(
    network: nn.Module, samples: Samples, weights: npt.NDArray[np.float64]
) -> Iterator[list[Gradients]]:
    """Batch by batch, the gradients of weighted sums of the samples' losses.

    Over all batches the gradients of a row add up to that of its whole sum.

    Args:
        network: The network.
        samples: The samples.
        weights: The weights of each sum, float64 `[sums, n]`.

    Returns:
        For each batch, the gradients of each sum by parameter.
    """
    device = samples.device
    placed = device.placed(network)
    tensors = dict(placed.named_parameters())
    back = {name: tensor.device for name, tensor in network.named_parameters()}
    with (
        torch_threads(1),
        training_mode(placed, False),
        _all_gradients(placed),
        strides_first(placed),
        device.at_work(),
    ):
        for batch in samples.batches():
            x = device.sent(samples.x[batch])
            labels = torch.from_numpy(samples.labels[batch]).to(x.device)
            losses = functional.cross_entropy(placed(x), labels, reduction="none")
            rows = torch.from_numpy(weights[:, batch]).to(losses.dtype).to(x.device)
            found: list[Gradients] = []
            for number, row in enumerate(rows):
                last = number + 1 == len(rows)
                got = torch.autograd.grad(
                    (losses * row).sum(), list(tensors.values()), retain_graph=not last, allow_unused=True
                )
                found.append(
                    {
                        name: (torch.zeros_like(tensor) if part is None else part).to(back[name])
                        for (name, tensor), part in zip(tensors.items(), got, strict=True)
                    }
                )
            yield found


def squared_gradients(network: nn.Module, samples: Samples) -> Gradients:
    """The mean over the samples of their squared gradients: the diagonal of the empirical Fisher matrix.

    It stands for the Hessian's diagonal of a trained network.

    Args:
        network: The network.
        samples: The samples.

    Returns:
        The means by parameter.
    """
    placed, x = samples.device.placed(network), samples.device.sent(samples.x)
    there = Samples(x, samples.labels, samples.groups)
    total: Gradients = {name: torch.zeros_like(tensor) for name, tensor in placed.named_parameters()}
    with samples.device.at_work():
        for number in range(len(samples)):
            single = there.chosen(slice(number, number + 1))
            for (gradients,) in batch_gradients(placed, single, np.ones((1, 1))):
                for name, gradient in gradients.items():
                    total[name] += gradient.square() / len(samples)
    back = dict(network.named_parameters())
    return {name: tensor.to(back[name].device) for name, tensor in total.items()}


class _all_gradients:  # noqa: N801 - reads like torch.no_grad
    """Lets every parameter of a network have a gradient for a block, frozen ones too."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._frozen = [p for p in self._network.parameters() if not p.requires_grad]
        self._network.requires_grad_(True)

    def __exit__(self, *_: object) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(False)
