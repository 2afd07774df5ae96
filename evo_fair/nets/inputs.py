"""Raw inputs of networks: their statistics, their normalisation, and how they reach an accelerator."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import Floats, Ints, RawInputs, Selected
from evo_fair.nets.augment import augment, augment_tensor
from evo_fair.nets.device import CPU, TorchDevice

__all__ = ["Normalised", "Scaling", "TrainingInputs", "input_statistics", "normalise"]


_KEPT = 2**28
"""Bytes that normalised samples may take to be kept."""

_LARGE = 2**28
"""Bytes of images whose statistics are counted value by value, batch by batch."""

_COUNTED = 256
"""Images that are counted at a time."""


_LEAST_DEVIATION = 1e-3
_ROUNDING = 1e-6
"""The share of its mean by which a feature in float32 may vary that is constant but for rounding."""


def input_statistics(inputs: RawInputs | Selected) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and reciprocal standard deviation by channel, float32 `[channels]`, of inputs `[n, channels, ...]`.

    Channels of images vary by `_LEAST_DEVIATION` at least. Features that don't vary, or by rounding alone, keep their
    unit.
    """
    if inputs.nbytes > _LARGE and inputs.dtype == np.uint8:
        mean, deviation = _counted_statistics(inputs)
    else:
        axes = (0, *range(2, inputs.ndim))
        values = inputs[:]
        mean = values.mean(axes, dtype=np.float64)
        deviation = values.std(axes, dtype=np.float64)
    divisor = np.maximum(deviation, _LEAST_DEVIATION)
    if inputs.dtype != np.uint8:  # a feature can be small because of its unit, and vary in other parts alone
        varies = (deviation > _ROUNDING * np.abs(mean)) & (deviation > np.finfo(np.float32).tiny)
        divisor = np.where(varies | (deviation >= _LEAST_DEVIATION), deviation, 1.0)
    return mean.astype(np.float32), (1 / divisor).astype(np.float32)


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


def normalise(inputs: RawInputs | torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Raw inputs `[n, channels, ...]` as the float32 tensor `(x - mean) * scale`; images in channels-last layout.

    `mean` and `scale` are float32 `[channels]`. Those of a tensor come out on its device, else on that of `mean`.
    """
    if isinstance(inputs, torch.Tensor):
        x = inputs.to(torch.float32, copy=True)
    else:
        x = torch.from_numpy(inputs.astype(np.float32)).to(mean.device)
    shape = (-1,) + (1,) * (x.dim() - 2)
    mean, scale = mean.to(x.device).view(shape), scale.to(x.device).view(shape)
    x.sub_(mean).mul_(scale)  # in place: of large images there is no room for three copies
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


@dataclass(frozen=True)
class Scaling:
    """How raw inputs enter networks, as `(x - mean) * scale`; both are float32 `[channels]`."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, inputs: RawInputs | Selected) -> Self:
        """By the statistics of training inputs `[n, channels, ...]`: each channel gets mean 0 and deviation 1."""
        mean, scale = input_statistics(inputs)
        return cls(torch.from_numpy(mean), torch.from_numpy(scale))

    def __call__(self, inputs: RawInputs | torch.Tensor) -> torch.Tensor:
        """Raw inputs `[n, channels, ...]` as `normalise` gives them, float32 of the same shape."""
        return normalise(inputs, self.mean, self.scale)


class Normalised:
    """Samples of a data set as networks take them, normalised batch by batch when they are asked for.

    Has a length and slices, as the tensor `[n, channels, ...]` of all of them has, which may be larger than memory.
    Few samples are normalised once and `kept`, which is None of many. On an accelerator they are normalised there, and
    raw ones are held.
    """

    def __init__(self, samples: RawInputs | Selected, scaling: Scaling, device: TorchDevice = CPU) -> None:
        self._samples, self._scaling = samples, scaling
        self._raw = _Raw(samples, device) if device.accelerated else None
        self.shape = samples.shape
        large = 4 * int(np.prod(samples.shape)) > _KEPT
        self.kept = None if large or self._raw else scaling(samples[:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, batch: slice) -> torch.Tensor:
        if self._raw:
            return self._scaling(self._raw[batch])
        return self._scaling(self._samples[batch]) if self.kept is None else self.kept[batch]


class TrainingInputs:
    """The raw inputs that a network is trained on, augmented batch by batch: on the CPU, or where they are held.

    The draws are the same wherever that is.
    """

    def __init__(self, inputs: RawInputs | Selected, kinds: tuple[str, ...], device: TorchDevice = CPU) -> None:
        self._inputs, self._kinds = inputs, kinds
        self._raw = _Raw(inputs, device) if device.accelerated else None

    def batch(self, chosen: Ints, rng: np.random.Generator) -> RawInputs | torch.Tensor:
        """The samples `chosen` `[n]`, raw and augmented."""
        if self._raw:
            return augment_tensor(self._raw[chosen], self._kinds, rng)
        return augment(self._inputs[chosen], self._kinds, rng)


class _Raw:
    """Raw inputs as tensors on an accelerator: all are held there if there is room, else batches are sent."""

    def __init__(self, inputs: RawInputs | Selected, device: TorchDevice) -> None:
        self._inputs = Selected.all_of(inputs)
        self._where = device.where
        self._held = self._sent() if device.holds(inputs.nbytes) else None

    def __getitem__(self, rows: slice | Ints) -> torch.Tensor:
        if self._held is None:
            return torch.from_numpy(self._inputs[rows]).to(self._where)
        return self._held[rows if isinstance(rows, slice) else torch.from_numpy(rows).to(self._where)]

    def _sent(self) -> torch.Tensor:
        """All of them, sent a few megabytes at a time: they may lie on disk."""
        held = torch.from_numpy(self._inputs[:0]).new_empty(self._inputs.shape, device=self._where)
        first = 0
        for batch in self._inputs.batches():
            held[first : first + len(batch)].copy_(torch.from_numpy(batch))
            first += len(batch)
        return held
