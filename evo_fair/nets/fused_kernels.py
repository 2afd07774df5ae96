"""Compiled loops of batch norm and activation over rows of channels, and of depthwise convolutions' weights.

Arrays are float32 `[rows, width]` and contiguous, statistics by column float64 `[width]`. Sums are taken in float32
over a few rows that stay in cache and added up in float64, always in the same order.
"""

from typing import Any

import numpy as np
from numba import njit

__all__ = [
    "affine_clamp",
    "affine_clamp_add",
    "gradient_sums",
    "gradient_sums_add",
    "input_gradient",
    "input_gradient_add",
    "moments",
    "weight_gradient",
]

_CHUNK = 16384
"""Numbers of an array that are passed over twice while they are in cache: 64 KiB."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def moments(x: Any, mean: Any, squares: Any) -> None:
    """Each column's mean and sum of squared deviations from it, put together chunk by chunk (Chan et al. 1983)."""
    rows, width = x.shape
    chunk = max(1, _CHUNK // width)
    near, spread = np.empty(width, np.float32), np.empty(width, np.float32)
    mean[:] = 0.0
    squares[:] = 0.0
    for start in range(0, rows, chunk):
        end = min(start + chunk, rows)
        near[:] = 0
        spread[:] = 0
        for r in range(start, end):
            for c in range(width):
                near[c] += x[r, c]
        part = np.float32(1 / (end - start))
        for c in range(width):
            near[c] *= part
        for r in range(start, end):
            for c in range(width):
                deviation = x[r, c] - near[c]
                spread[c] += deviation * deviation
        share = (end - start) / end
        for c in range(width):
            step = np.float64(near[c]) - mean[c]
            mean[c] += step * share
            squares[c] += np.float64(spread[c]) + step * step * (start * share)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def affine_clamp(x: Any, scale: Any, shift: Any, low: Any, high: Any, out: Any) -> None:
    """`x * scale + shift` between `low` and `high`; what is not a number stays none."""
    rows, width = x.shape
    for r in range(rows):
        for c in range(width):
            value = x[r, c] * scale[c] + shift[c]
            value = low if value < low else value
            out[r, c] = high if value > high else value


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def affine_clamp_add(x: Any, added: Any, scale: Any, shift: Any, low: Any, high: Any, out: Any) -> None:
    """`affine_clamp` of `x * scale + shift + added`."""
    rows, width = x.shape
    for r in range(rows):
        for c in range(width):
            value = x[r, c] * scale[c] + shift[c] + added[r, c]
            value = low if value < low else value
            out[r, c] = high if value > high else value


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def gradient_sums(
    x: Any, gradient: Any, scale: Any, shift: Any, mean: Any, low: Any, high: Any, plain: Any, weighted: Any
) -> None:
    """Sums over rows of the gradient where `affine_clamp` let `x` through, alone and times `x - mean`."""
    rows, width = x.shape
    chunk = max(1, _CHUNK // width)
    near, spread = np.empty(width, np.float32), np.empty(width, np.float32)
    plain[:] = 0.0
    weighted[:] = 0.0
    for start in range(0, rows, chunk):
        near[:] = 0
        spread[:] = 0
        for r in range(start, min(start + chunk, rows)):
            for c in range(width):
                value = x[r, c] * scale[c] + shift[c]
                passed = gradient[r, c] if (value > low) & (value < high) else np.float32(0)
                near[c] += passed
                spread[c] += passed * (x[r, c] - mean[c])
        for c in range(width):
            plain[c] += near[c]
            weighted[c] += spread[c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def gradient_sums_add(
    x: Any, gradient: Any, out: Any, mean: Any, low: Any, high: Any, plain: Any, weighted: Any
) -> None:
    """`gradient_sums` where something was added: what was let through is seen from the clamped `out`."""
    rows, width = x.shape
    chunk = max(1, _CHUNK // width)
    near, spread = np.empty(width, np.float32), np.empty(width, np.float32)
    plain[:] = 0.0
    weighted[:] = 0.0
    for start in range(0, rows, chunk):
        near[:] = 0
        spread[:] = 0
        for r in range(start, min(start + chunk, rows)):
            for c in range(width):
                passed = gradient[r, c] if (out[r, c] > low) & (out[r, c] < high) else np.float32(0)
                near[c] += passed
                spread[c] += passed * (x[r, c] - mean[c])
        for c in range(width):
            plain[c] += near[c]
            weighted[c] += spread[c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def input_gradient(
    x: Any,
    gradient: Any,
    scale: Any,
    shift: Any,
    mean: Any,
    low: Any,
    high: Any,
    slope: Any,
    offset: Any,
    result: Any,
) -> None:
    """`scale` times the gradient that was let through, plus `slope * (x - mean) + offset`."""
    rows, width = x.shape
    for r in range(rows):
        for c in range(width):
            value = x[r, c] * scale[c] + shift[c]
            passed = gradient[r, c] if (value > low) & (value < high) else np.float32(0)
            result[r, c] = passed * scale[c] + (x[r, c] - mean[c]) * slope[c] + offset[c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def input_gradient_add(
    x: Any,
    gradient: Any,
    out: Any,
    scale: Any,
    mean: Any,
    low: Any,
    high: Any,
    slope: Any,
    offset: Any,
    result: Any,
    of_added: Any,
) -> None:
    """`input_gradient` where something was added; `of_added` gets the gradient that was let through."""
    rows, width = x.shape
    for r in range(rows):
        for c in range(width):
            passed = gradient[r, c] if (out[r, c] > low) & (out[r, c] < high) else np.float32(0)
            of_added[r, c] = passed
            result[r, c] = passed * scale[c] + (x[r, c] - mean[c]) * slope[c] + offset[c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def weight_gradient(x: Any, gradient: Any, stride: Any, result: Any) -> None:
    """Of a depthwise convolution with padding for odd kernels, float64 `[kernel, kernel, channels]`.

    `x` is `[images, height, width, channels]`, `gradient` the one of the convolution's output, in the same layout.
    """
    images, height, width, channels = x.shape
    kernel = result.shape[0]
    reach = kernel // 2
    part = np.empty((kernel, kernel, channels), np.float32)
    result[:] = 0.0
    for i in range(images):
        part[:] = 0
        for a in range(gradient.shape[1]):
            top = a * stride - reach
            for b in range(gradient.shape[2]):
                left = b * stride - reach
                for u in range(max(0, -top), min(kernel, height - top)):
                    for v in range(max(0, -left), min(kernel, width - left)):
                        for c in range(channels):
                            part[u, v, c] += gradient[i, a, b, c] * x[i, top + u, left + v, c]
        for u in range(kernel):
            for v in range(kernel):
                for c in range(channels):
                    result[u, v, c] += part[u, v, c]
