"""Raw inputs of networks: their statistics and their normalisation."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import Floats, RawInputs, Selected

__all__ = ["Normalised", "Scaling", "input_statistics", "normalise"]


_KEPT = 2**28
"""Bytes that normalised samples may take to be kept."""

_LARGE = 2**28
"""Bytes of images whose statistics are counted value by value, batch by batch."""

_COUNTED = 256
"""Images that are counted at a time."""


def input_statistics(inputs: RawInputs | Selected) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and reciprocal standard deviation by channel, float32 `[channels]`, of inputs `[n, channels, ...]`."""
    if inputs.nbytes > _LARGE and inputs.dtype == np.uint8:
        mean, deviation = _counted_statistics(inputs)
    else:
        axes = (0, *range(2, inputs.ndim))
        mean = inputs[:].mean(axes, dtype=np.float64)
        deviation = inputs[:].std(axes, dtype=np.float64)
    return mean.astype(np.float32), (1 / np.maximum(deviation, 1e-3)).astype(np.float32)


def _counted_statistics(inputs: RawInputs | Selected) -> tuple[Floats, Floats]:
    """Mean and standard deviation by channel of images, by how often each of the 256 values is there.

    NumPy would take eight bytes a value, twice.
    """
    counts = np.zeros((inputs.shape[1], 256), np.int64)
    for first in range(0, len(inputs), _COUNTED):
        batch = inputs[first : first + _COUNTED]
        counts += [np.bincount(batch[:, channel].ravel(), minlength=256) for channel in range(len(counts))]
    values, numbers = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / numbers
    return mean, np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / numbers)


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
    Few samples are normalised once and `kept`, which is None of many.
    """

    def __init__(self, samples: RawInputs | Selected, scaling: Scaling) -> None:
        self._samples, self._scaling = samples, scaling
        self.shape = samples.shape
        large = 4 * int(np.prod(samples.shape)) > _KEPT
        self.kept = None if large else scaling(samples[:])

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, batch: slice) -> torch.Tensor:
        return self._scaling(self._samples[batch]) if self.kept is None else self.kept[batch]
