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
        (module, module.stride)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
        and _may_fail(module.in_channels, max(module.kernel_size), max(module.stride), module.groups)
        and module.padding in ((0, 0), "valid")
    ]
    hooks = []
    for module, (down, across) in strided:
        hooks.append(module.register_forward_pre_hook(_Every(down, across)))
        module.stride = (1, 1)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, stride in strided:
            module.stride = stride


def _may_fail(channels: int, kernel: int, stride: int, groups: int) -> bool:
    return kernel == 1 and stride > 1 and groups == 1 and channels < _REGISTER


class _Every:
    """Keeps every so-many-th row and column of a module's input."""

    def __init__(self, down: int, across: int) -> None:
        self.down, self.across = down, across

    def __call__(self, _module: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        (x,) = inputs
        return x[..., :: self.down, :: self.across]
