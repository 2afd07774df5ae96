"""What the mobile families are built of: convolution units, inverted residuals, squeeze and excitation."""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from evo_fair.nets.fused import IDENTITY, clamp_of, run_unit

__all__ = [
    "ConvUnit",
    "InvertedResidual",
    "SqueezeExcite",
    "conv_unit",
    "mobile_network",
    "scaled_channels",
    "stages",
]

Activation = type[nn.Module]


class ConvUnit(nn.Sequential):
    """A convolution, its batch norm and perhaps an activation; something can be added before the activation."""

    def forward(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """`activation(norm(convolution(x)) + added)`."""
        layer, norm, *activations = self
        assert isinstance(layer, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        clamp = clamp_of(activations[0]) if activations else IDENTITY
        y = run_unit(x, layer, norm, clamp or IDENTITY, added)
        return y if clamp else activations[0](y)


def conv_unit(
    c_in: int,
    c_out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = nn.ReLU6,
    epsilon: float = 1e-5,
) -> ConvUnit:
    """A convolution, its batch norm and, unless that is None, its activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out, epsilon),
    ]
    return ConvUnit(*layers, *([activation()] if activation else []))


class SqueezeExcite(nn.Module):
    """Scales channels by what a small network makes of their means (Hu et al. 2018), with a hard sigmoid."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` `[n, channels, height, width]`, scaled."""
        scaled: torch.Tensor = x * self.gate(x)
        return scaled


class InvertedResidual(nn.Module):
    """Expand 1x1 (unless `hidden` is `c_in`), depthwise, project 1x1 (Sandler et al. 2018), with a shortcut if it fits.

    `squeezed` channels of squeeze and excitation follow the depthwise convolution unless they are 0.
    """

    def __init__(
        self,
        c_in: int,
        hidden: int,
        c_out: int,
        kernel: int,
        stride: int,
        activation: Activation = nn.ReLU6,
        epsilon: float = 1e-5,
        squeezed: int = 0,
    ) -> None:
        super().__init__()
        expand = [conv_unit(c_in, hidden, 1, 1, 1, activation, epsilon)] if hidden != c_in else []
        excite = [SqueezeExcite(hidden, squeezed)] if squeezed else []
        self.body = nn.Sequential(
            *expand,
            conv_unit(hidden, hidden, kernel, stride, hidden, activation, epsilon),
            *excite,
            conv_unit(hidden, c_out, 1, 1, 1, None, epsilon),
        )
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, c_in, height, width]` to `[n, c_out, height / stride, width / stride]`."""
        *inner, last = self.body
        y = x
        for module in inner:
            y = module(y)
        out: torch.Tensor = last(y, x if self.shortcut else None)
        return out


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8 that is at least 8.

    As published MobileNets do (`make_divisible` in TensorFlow's slim): a rounding that would lose more than a tenth of
    the channels goes up instead.
    """
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def stages(rows: Iterable[tuple[int, int, int, int, int]], width: float = 1.0) -> Iterator[tuple[int, int, int, int]]:
    """Blocks `(kernel, expansion, c_out, stride)` of the table that papers print: `(..., c_out, repeats, stride)`.

    `width` scales the channels of all blocks, see `scaled_channels`.
    """
    for kernel, expansion, c_out, repeats, stride in rows:
        for repeat in range(repeats):
            yield kernel, expansion, scaled_channels(c_out, width), stride if repeat == 0 else 1


def mobile_network(
    blocks: Iterable[tuple[int, int, int, int]],
    labels: int,
    activation: Activation,
    epsilon: float = 1e-5,
    dropout: float = 0.2,
    stem: int = 32,
) -> nn.Sequential:
    """A stem, inverted residuals `(kernel, expansion, c_out, stride)`, 1,280 features, a classifier."""
    layers: list[nn.Module] = [conv_unit(3, stem, 3, 2, 1, activation, epsilon)]
    c_in = stem
    for kernel, expansion, c_out, stride in blocks:
        layers.append(InvertedResidual(c_in, expansion * c_in, c_out, kernel, stride, activation, epsilon))
        c_in = c_out
    layers += [conv_unit(c_in, 1280, 1, 1, 1, activation, epsilon), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(1280, labels))
