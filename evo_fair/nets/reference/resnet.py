"""ResNet-18 (He et al. 2016, table 1)."""

import torch
from torch import nn

from evo_fair.nets.reference.parts import conv_unit, scaled_channels

__all__ = ["resnet_18"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_unit(c_in, c_out, 3, stride, activation=nn.ReLU), conv_unit(c_out, c_out, 3, activation=nn.ReLU)
        )
        projected = stride > 1 or c_in != c_out
        self.shortcut = conv_unit(c_in, c_out, 1, stride, activation=None) if projected else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, c_in, height, width]` to `[n, c_out, height / stride, width / stride]`."""
        first, second = self.body
        y: torch.Tensor = second(first(x), self.shortcut(x))
        return y


def resnet_18(labels: int, width: float = 1.0) -> nn.Module:
    """ResNet-18 for a number of labels, the channels of all its layers scaled by `width`."""
    c_in = scaled_channels(64, width)
    layers: list[nn.Module] = [conv_unit(3, c_in, 7, 2, activation=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    for stage, channels in enumerate((64, 128, 256, 512)):
        c_out = scaled_channels(channels, width)
        layers += [BasicBlock(c_in, c_out, 2 if stage else 1), BasicBlock(c_out, c_out, 1)]
        c_in = c_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, labels))
