"""Raw inputs of networks: their statistics and their normalisation."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import RawInputs

__all__ = ["Scaling", "input_statistics", "normalise"]


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
    x = (x - mean.view(shape)) * scale.view(shape)
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
