"""Normalised samples as the kernels read them, channels innermost; where they are many, some at a time."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from evo_fair.arrays import Float32s
from evo_fair.nets.inputs import Normalised

__all__ = ["AskedSamples", "SampleRows", "channels_innermost"]


def channels_innermost(x: torch.Tensor) -> Float32s:
    """Inputs `[n, channels, height, width]`, or `[n, features]`, as `[n, height, width, channels]`."""
    rows: Float32s = (x.permute(0, 2, 3, 1) if x.dim() == 4 else x[:, None, None]).contiguous().numpy()
    return rows


class SampleRows:
    """Normalised samples as rows `[n, height, width, channels]`, too many to be held: some at a time are made."""

    dtype = np.dtype(np.float32)

    def __init__(self, samples: Normalised) -> None:
        self._samples = samples
        n, channels, *size = samples.shape
        self.shape: tuple[int, ...] = (n, *(size or (1, 1)), channels)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """How much memory all of them would take."""
        return self.dtype.itemsize * math.prod(self.shape)

    def parts(self) -> Iterator[tuple[slice, Float32s]]:
        """All samples in order, a few megabytes at a time, and where they stand."""
        step = max(1, _PART // (4 * math.prod(self.shape[1:])))
        for first in range(0, len(self), step):
            place = slice(first, first + step)
            yield place, channels_innermost(self._samples[place])


AskedSamples = Float32s | SampleRows
"""Samples `[n, height, width, channels]`."""

_PART = 2**26
"""Bytes of samples that are made at a time."""
