"""The memory-bound layers of a training step, each in as few passes over memory as it takes.

Batch norm on a batch's own statistics, what is added to it and its activation are one function here, forwards and
backwards, where torch takes three. The gradient of a depthwise convolution's weights is computed here where torch's is
slow. Both are for float32 images in channels-last layout on the CPU; everything else goes torch's way. The kernels run
on one thread. It pays in networks of MobileNetV2's size; in the small ones of a search calling costs what it saves.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from evo_fair.nets.fused_kernels import (
    affine_clamp,
    affine_clamp_add,
    gradient_sums,
    gradient_sums_add,
    input_gradient,
    input_gradient_add,
    moments,
    weight_gradient,
)

__all__ = ["IDENTITY", "RELU", "RELU6", "Clamp", "batch_statistics", "clamp_of", "run_unit"]

_WIDTH = 512
"""Pixels of few channels are taken together as one row of at most so many numbers, which vectorises better."""

_SMALL = 4
"""Feature maps of so few pixels, and kernels above 3x3: there torch's gradient of depthwise weights is slow."""


class Clamp(NamedTuple):
    """The activations that are a clamp: between `low` and `high`."""

    low: float
    high: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Torch's way."""
        return x if self == IDENTITY else functional.relu(x) if self == RELU else x.clamp(*self)


IDENTITY = Clamp(-math.inf, math.inf)
RELU = Clamp(0.0, math.inf)
RELU6 = Clamp(0.0, 6.0)


def clamp_of(module: nn.Module) -> Clamp | None:
    """The clamp that an activation is, or None for any other."""
    return {nn.ReLU: RELU, nn.ReLU6: RELU6}.get(type(module))


def run_unit(
    x: torch.Tensor, layer: nn.Conv2d, norm: nn.BatchNorm2d, clamp: Clamp, added: torch.Tensor | None = None
) -> torch.Tensor:
    """`clamp(norm(layer(x)) + added)`; in training the running statistics are updated, as torch does."""
    fused = norm.training and norm.affine and norm.track_running_stats and norm.momentum and torch.is_grad_enabled()
    slow = fused and _is_slow(layer, x) and _is_image(x)
    y: torch.Tensor
    y = _Depthwise.apply(x, layer.weight, layer.stride[0]) if slow else layer(x)  # type: ignore[no-untyped-call]
    if not (fused and _is_image(y)):
        y = norm(y)
        return clamp(y if added is None else y + added)
    y, mean, variance = _NormClamp.apply(y, norm.weight, norm.bias, norm.eps, clamp, added)  # type: ignore[no-untyped-call]
    samples = y.numel() // y.shape[1]
    assert norm.momentum is not None
    running_mean, running_variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert running_mean is not None
    assert running_variance is not None
    assert batches is not None
    with torch.no_grad():
        running_mean.lerp_(mean, norm.momentum)
        running_variance.lerp_(variance * (samples / max(1, samples - 1)), norm.momentum)
        batches.add_(1)
    return y


def batch_statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance by channel of inputs `[n, channels, ...]`, float32 `[channels]` each.

    Of channels-last images they take a fortieth of the time that torch needs.
    """
    if not _is_image(x):
        variance, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
        return mean, variance
    rows = _rows(x)
    means, squares = np.empty((2, rows.shape[1]))
    moments(rows, means, squares)
    found = _by_channel(means, squares, x.shape[1], len(rows))
    mean, variance = (torch.from_numpy(part.astype(np.float32)) for part in found)
    return mean, variance


def _is_image(x: torch.Tensor) -> bool:
    """Whether the kernels take it."""
    return (
        x.dim() == 4
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _is_slow(layer: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether a convolution is one of those whose weights' gradient takes torch long."""
    kernel, stride = layer.kernel_size, layer.stride
    depthwise = layer.groups == layer.in_channels == layer.out_channels > 1 and layer.bias is None
    square = kernel[0] == kernel[1] and stride[0] == stride[1] and kernel[0] % 2 == 1
    padded = layer.padding == (kernel[0] // 2,) * 2 and layer.padding_mode == "zeros" and layer.dilation == (1, 1)
    return depthwise and square and padded and (kernel[0] > 3 or x.shape[2] * x.shape[3] <= _SMALL)


class _NormClamp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        epsilon: float,
        clamp: Clamp,
        added: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        channels = x.shape[1]
        rows = _rows(x)
        mean, squares = np.empty((2, rows.shape[1]))
        moments(rows, mean, squares)
        mean, variance = _by_channel(mean, squares, channels, len(rows))
        inverse = 1 / np.sqrt(variance + epsilon)
        scale = gamma.detach().numpy() * inverse
        shift = beta.detach().numpy() - mean * scale
        out = torch.empty_like(x)
        scales, shifts = _tiled(rows, scale, shift)
        low, high = np.float32(clamp.low), np.float32(clamp.high)
        if added is None:
            affine_clamp(rows, scales, shifts, low, high, _rows(out))
        else:
            affine_clamp_add(rows, _rows(_channels_last(added)), scales, shifts, low, high, _rows(out))
        ctx.save_for_backward(x, out if added is not None else None)
        ctx.known = mean, inverse, scale, shift, low, high
        statistics = torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(variance.astype(np.float32))
        ctx.mark_non_differentiable(*statistics)
        return out, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        x, out = ctx.saved_tensors
        mean, inverse, scale, shift, low, high = ctx.known
        rows, above = _rows(x), _rows(_channels_last(gradient))
        scales, shifts, means = _tiled(rows, scale, shift, mean)
        plain, weighted = np.empty((2, rows.shape[1]))
        if out is None:
            gradient_sums(rows, above, scales, shifts, means, low, high, plain, weighted)
        else:
            gradient_sums_add(rows, above, _rows(out), means, low, high, plain, weighted)
        channels = len(scale)
        plain, weighted = (part.reshape(-1, channels).sum(0) for part in (plain, weighted))
        pixels = x.numel() // channels
        slope, offset = _tiled(rows, -scale * inverse**2 * weighted / pixels, -scale * plain / pixels)
        result = torch.empty_like(x)
        of_added = None
        if out is None:
            input_gradient(rows, above, scales, shifts, means, low, high, slope, offset, _rows(result))
        else:
            of_added = torch.empty_like(x)
            input_gradient_add(
                rows, above, _rows(out), scales, means, low, high, slope, offset, _rows(result), _rows(of_added)
            )
        gammas, betas = (torch.from_numpy(part.astype(np.float32)) for part in (weighted * inverse, plain))
        return result, gammas, betas, None, None, of_added


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = _channels_last(gradient)
        kernel = weight.shape[2]
        of_inputs = None
        if ctx.needs_input_grad[0]:
            padding, mask = [kernel // 2] * 2, [True, False, False]
            of_inputs = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, [ctx.stride] * 2, padding, [1, 1], False, [0, 0], x.shape[1], mask
            )[0]
        found = np.empty((kernel, kernel, x.shape[1]))
        images, above = (tensor.detach().permute(0, 2, 3, 1).numpy() for tensor in (x, gradient))
        weight_gradient(images, above, ctx.stride, found)
        return of_inputs, torch.from_numpy(found.astype(np.float32)).permute(2, 0, 1)[:, None], None


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _rows(x: torch.Tensor) -> npt.NDArray[np.float32]:
    """A view of channels-last images as `[rows, width]`: a pixel's channels a row, or those of several pixels."""
    channels = x.shape[1]
    pixels = x.numel() // channels
    together = 1
    while 2 * together * channels <= _WIDTH and pixels % (2 * together) == 0:
        together *= 2
    rows: npt.NDArray[np.float32] = x.detach().permute(0, 2, 3, 1).view(-1, together * channels).numpy()
    return rows


def _by_channel(
    mean: npt.NDArray[np.float64], squares: npt.NDArray[np.float64], channels: int, rows: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and biased variance by channel, of columns that hold the channels several times over."""
    parts, spread = mean.reshape(-1, channels), squares.reshape(-1, channels)
    middle = parts.mean(0)
    return middle, (spread.sum(0) / rows + ((parts - middle) ** 2).sum(0)) / len(parts)


def _tiled(rows: npt.NDArray[np.float32], *by_channel: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[np.float32]]:
    """What is given by channel, by column."""
    return [np.tile(part.astype(np.float32), rows.shape[1] // len(part)) for part in by_channel]
