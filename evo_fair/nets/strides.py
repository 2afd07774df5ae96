"""1x1 convolutions with a stride, around a fault of oneDNN's that ends processes or spoils gradients.

The gradient of such a convolution's weights writes beyond its workspace where the input is channels-last and has fewer
channels than a vector register holds (https://github.com/uxlfoundation/oneDNN/issues/6035, open in torch 2.13). What
the stride leaves out can be left out before the convolution, which changes no bit and costs little on so few channels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

__all__ = ["convolve", "strides_first"]

_REGISTER = 16
"""Float32 values of the widest vector register."""


def convolve(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int) -> torch.Tensor:
    """A convolution of `x` `[n, channels, height, width]` that is padded by half its kernel, rounded down."""
    kernel = weight.shape[2]
    if _may_fail(x.shape[1], kernel, stride, groups):
        x, stride = x[:, :, ::stride, ::stride], 1
    return functional.conv2d(x, weight, None, stride, kernel // 2, 1, groups)


@contextmanager
def strides_first(network: nn.Module) -> Iterator[None]:
    """A block in which a network's convolutions that may meet the fault leave out what they stride over beforehand."""
    strided = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
        and type(module).forward is nn.Conv2d.forward
        and _may_fail(module.in_channels, max(module.kernel_size), max(module.stride), module.groups)
        and module.padding in ((0, 0), "valid")
    ]
    for module in strided:
        module.forward = _Striding(module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in strided:
            del module.forward


def _may_fail(channels: int, kernel: int, stride: int, groups: int) -> bool:
    return kernel == 1 and stride > 1 and groups == 1 and channels < _REGISTER


class _Striding:
    """The forward of a 1x1 convolution that takes every so-many-th row and column of its input, and has no stride."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._module = module

    def __call__(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - as torch calls it
        """What the convolution with its stride gives."""
        module = self._module
        down, across = module.stride
        x = input[..., ::down, ::across]
        return functional.conv2d(x, module.weight, module.bias, 1, 0, module.dilation, module.groups)
