"""SqueezeNet 1.1 (Iandola et al. 2016; 1.1 is its authors' release of the same accuracy at 2.4 times less work)."""

import torch
from torch import nn

__all__ = ["squeezenet"]


class Fire(nn.Module):
    """A squeezing 1x1 convolution, then 1x1 and 3x3 convolutions beside each other."""

    def __init__(self, c_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, squeezed, 1)
        self.points = nn.Conv2d(squeezed, expanded, 1)
        self.areas = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, c_in, height, width]` to `[n, 2 * expanded, height, width]`."""
        x = nn.functional.relu(self.squeeze(x))
        return nn.functional.relu(torch.cat([self.points(x), self.areas(x)], 1))


def squeezenet(labels: int) -> nn.Module:
    """SqueezeNet 1.1 for a number of labels; it has no batch norm."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
        nn.Dropout(0.5),
        nn.Conv2d(512, labels, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
