"""A network that is not the project's own, for `own_network.py`: inverted residuals with squeeze and excitation.

    python benchmarks/own_network.py faces benchmarks/squeezed_network.py:squeezed

Blocks as of MobileNetV3 (Howard and others 2019), fewer of them, for images of 32 to 96 pixels and two labels.
"""

import torch
from torch import nn
from torch.nn import functional

EXPANSION = 4
BLOCKS = ((32, 64), (64, 96), (96, 160))
"""Channels in and out of a stage: its first block halves the side of its images, the second adds to them."""


class SqueezedBlock(nn.Module):
    """An inverted residual with squeeze and excitation; what comes in is added where the shape stays."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        hidden = EXPANSION * c_in
        self.expand = nn.Sequential(nn.Conv2d(c_in, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6())
        depthwise = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(hidden), nn.Hardswish())
        self.squeeze, self.excite = nn.Conv2d(hidden, hidden // 4, 1), nn.Conv2d(hidden // 4, hidden, 1)
        self.project = nn.Sequential(nn.Conv2d(hidden, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.adds = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images in, images out."""
        y = self.depthwise(self.expand(x))
        gate = functional.hardsigmoid(self.excite(functional.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        y = self.project(y * gate)
        return x + y if self.adds else y


def squeezed() -> nn.Module:
    """A stem of stride 2, three stages of two blocks, a classifier."""
    first = BLOCKS[0][0]
    stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU6())
    blocks = []
    for c_in, c_out in BLOCKS:
        blocks += [SqueezedBlock(c_in, c_out, 2), SqueezedBlock(c_out, c_out, 1)]
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(BLOCKS[-1][1], 2))
