"""Raw inputs of networks: their statistics and their normalisation."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import RawInputs

__all__ = ["Normalised", "Scaling", "input_statistics", "normalise"]


_KEPT = 2**28
"""Bytes that normalised samples may take to be kept."""


def input_statistics(inputs: RawInputs) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and reciprocal standard deviation by channel, float32 `[channels]`, of inputs `[n, channels, ...]`."""
    axes = (0, *range(2, inputs.ndim))
    mean = inputs.mean(axes, dtype=np.float64)
    deviation = inputs.std(axes, dtype=np.float64)
    return mean.astype(np.float32), (1 / np.maximum(deviation, 1e-3)).astype(np.float32)


def normalise(inputs: RawInputs, mean: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Raw inputs `[n, channels, ...]` as the float32 tensor `(x - mean) * scale`; images in channels-last layout.

    `mean` and `scale` are float32 `[channels]`.
    """
    x = torch.from_numpy(inputs.astype(np.float32))
    shape = (-1,) + (1,) * (x.dim() - 2)
    x.sub_(mean.view(shape)).mul_(scale.view(shape))  # in place: of large images there is no room for three copies
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


@dataclass(frozen=True)
class Scaling:
    """How raw inputs enter networks, as `(x - mean) * scale`; both are float32 `[channels]`."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, inputs: RawInputs) -> Self:
        """By the statistics of training inputs `[n, channels, ...]`: each channel gets mean 0 and deviation 1."""
        mean, scale = input_statistics(inputs)
        return cls(torch.from_numpy(mean), torch.from_numpy(scale))

    def __call__(self, inputs: RawInputs) -> torch.Tensor:
        """Raw inputs `[n, channels, ...]` as `normalise` gives them, float32 of the same shape."""
        return normalise(inputs, self.mean, self.scale)


class Normalised:
    """Samples of a data set as networks take them, normalised batch by batch when they are asked for.

    Has a length and slices, as the tensor `[n, channels, ...]` of all of them has, which may be larger than memory.
    Few samples are normalised once and kept.
    """

    def __init__(self, inputs: RawInputs, samples: npt.NDArray[np.int64], scaling: Scaling) -> None:
        self._inputs, self._samples, self._scaling = inputs, samples, scaling
        large = 4 * len(samples) * int(np.prod(inputs.shape[1:])) > _KEPT
        self._kept = None if large else scaling(inputs[samples])

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, batch: slice) -> torch.Tensor:
        if self._kept is not None:
            return self._kept[batch]
        return self._scaling(self._inputs[self._samples[batch]])
