"""Mean and variance by channel, to the bit as torch has them, at the speed of memory.

torch takes the numbers of a channel one after the other, with a division that waits for the one before. Here each
number waits for that of its own channel only, so that the processor works on many channels at once. The sums are the
same, in the same order (Welford 1962, in float64).
"""

import numpy as np
import torch
from numba import njit

from evo_fair.arrays import Float32s, Floats

__all__ = ["mean_and_variance"]


def mean_and_variance(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance, each `[channels]`, of float32 features `[n, channels, ...]`: what `torch.var_mean` has.

    Features that lie in memory in another way than networks here have them are left to torch.
    """
    rows = _rows(x)
    if rows is None:
        variance, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
        return mean, variance
    means, squares = np.zeros((2, rows.shape[1]))
    _accumulate(rows, means, squares)
    return (
        torch.from_numpy(means.astype(np.float32)),
        torch.from_numpy((squares / len(rows)).astype(np.float32)),
    )


def _rows(x: torch.Tensor) -> Float32s | None:
    """Features as `[numbers of a channel, channels]` without a copy; None where memory has another order."""
    # Of one channel torch splits the numbers between threads, and another order of sums rounds otherwise.
    if x.dtype != torch.float32 or x.device.type != "cpu" or x.dim() not in (2, 4) or x.shape[1] < 2 or not x.numel():
        return None
    ordered = x.permute(0, 2, 3, 1) if x.dim() == 4 else x
    if not ordered.is_contiguous():
        return None
    rows: Float32s = ordered.detach().reshape(-1, x.shape[1]).numpy()
    return rows


@njit(cache=True, nogil=True)
def _accumulate(rows: Float32s, means: Floats, squares: Floats) -> None:
    """Adds `rows` to the means and the sums of squared distances of no numbers yet."""
    for number in range(rows.shape[0]):
        count = np.float64(number + 1)
        for channel in range(rows.shape[1]):
            value = np.float64(rows[number, channel])
            distance = value - means[channel]
            mean = means[channel] + distance / count
            squares[channel] += distance * (value - mean)
            means[channel] = mean
