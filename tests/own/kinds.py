"""Networks of many kinds that people bring, tiny, for 8 x 8 images of one channel and ten labels."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

Maker = Callable[[], nn.Module]


def unit(c_in: int, c_out: int, act: nn.Module | None = None, norm: nn.Module | None = None, **how: int) -> nn.Module:
    """A convolution of 3 x 3, a batch norm or another one, and an activation."""
    layer = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False, **how)
    return nn.Sequential(layer, norm or nn.BatchNorm2d(c_out), act or nn.ReLU())


def pooled(*parts: nn.Module, channels: int, bias: bool = True) -> nn.Module:
    """Parts with a classifier behind them."""
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10, bias=bias))


class Body(nn.Module):
    """A stem of 16 channels, something of its own, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last, self.head = unit(1, 16), unit(16, 16), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.middle(self.stem(x))).mean((2, 3)))

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        """What it does to maps of 16 channels."""
        return x


class Viewed(Body):
    """Views a map as a row, and calls functions instead of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(16 * 16, 24), nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.avg_pool2d(functional.relu(self.last(self.stem(x))), 2)
        return self.head(functional.dropout(functional.relu(self.hidden(x.view(x.size(0), -1))), 0.2, self.training))


class Shared(Body):
    """Calls one module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.again = unit(16, 16)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.again(x))


class Tied(Body):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.two.weight = self.one.weight

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(x)))


class Transposed(Body):
    """Halves a map and doubles it with a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(16, 16, 2, stride=2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.up(functional.max_pool2d(x, 2)))


class Attention(Body):
    """Lets pixels look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(rows).chunk(3, dim=-1)
        seen = self.out(torch.softmax(q @ k.transpose(1, 2) / 4, dim=-1) @ v)
        return x + seen.transpose(1, 2).reshape(x.shape)


class Multihead(Body):
    """The same with torch's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(2).transpose(1, 2)
        return x + self.attention(rows, rows, rows, need_weights=False)[0].transpose(1, 2).reshape(x.shape)


class Branches(Body):
    """Looks at its values to decide what to do."""

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) >= 0 else -x


class BySize(Body):
    """Looks at a size to decide what to do."""

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, 2) if x.shape[-1] >= 8 else x


class TwoInputs(Body):
    """Wants a second input."""

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return super().forward(x + other)


class Returns(Body):
    """Returns its features, too."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        return super().forward(x), x


class Shuffles(Body):
    """Works on half of the channels, and shuffles."""

    def __init__(self) -> None:
        super().__init__()
        self.one_half = unit(8, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        one, other = x.chunk(2, 1)
        x = torch.cat([one, self.one_half(other)], 1)
        return x.reshape(-1, 2, 8, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


class FixedBatch(Body):
    """Asks for the length of its batch in a way that exporting makes a constant of."""

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(len(x), 16, 64).reshape(x.shape)


class Scaled(Body):
    """Scales a residual by a parameter for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(16, 32, 1), nn.GELU(), nn.Conv2d(32, 16, 1))
        self.gamma = nn.Parameter(torch.full((16, 1, 1), 0.5))

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.gamma * self.inner(x)


class LayerNormed(Body):
    """A ConvNeXt block: layer norm over channels, linear layers on pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        return x + self.down(functional.gelu(self.up(y))).permute(0, 3, 1, 2)


class Spatial(Body):
    """Weighs pixels by the mean and the largest of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 3, padding=1)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.weigh(both))


class Squeezed(Body):
    """Squeeze and excitation with linear layers and a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(16, 8), nn.Linear(8, 16)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.excite(functional.silu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class Beside(Body):
    """Puts its input beside what a layer makes of it, and interpolates."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(1, 15)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, self.stem(x)], 1)
        x = functional.interpolate(functional.avg_pool2d(x, 2), scale_factor=2)
        return self.head(self.last(x).mean((2, 3)))


class Oblong(Body):
    """Kernels that are no squares, dilation, and a stride in one direction."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(
            nn.Conv2d(16, 16, (1, 3), padding=(0, 1)), nn.Conv2d(16, 16, (3, 1), padding=(1, 0)), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(16, 16, 3, (2, 1), 1), nn.ReLU(),
        )  # fmt: skip

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts(x)


def in_training() -> nn.Module:
    """A network that was not put into evaluation mode."""
    return pooled(unit(1, 16), nn.Dropout2d(0.2), unit(16, 16), channels=16).train()


WORKING: dict[str, Maker] = {
    "activations": lambda: pooled(
        unit(1, 16, nn.SiLU()),
        unit(16, 16, nn.Hardswish()),
        unit(16, 16, nn.LeakyReLU(0.1)),
        unit(16, 16, nn.ELU()),
        unit(16, 16, nn.Hardsigmoid()),
        unit(16, 16, nn.PReLU()),
        channels=16,
    ),
    "attention": Attention,
    "beside": Beside,
    "branches": Branches,
    "by size": BySize,
    "dropout": in_training,
    "group norm": lambda: pooled(unit(1, 16, norm=nn.GroupNorm(4, 16)), unit(16, 16), unit(16, 16), channels=16),
    "grouped": lambda: pooled(unit(1, 16), unit(16, 16, groups=4), unit(16, 16), unit(16, 16), channels=16),
    "instance norm": lambda: pooled(unit(1, 16, norm=nn.InstanceNorm2d(16)), unit(16, 16), channels=16),
    "layer norm": LayerNormed,
    "multihead": Multihead,
    "multiplied": lambda: pooled(unit(1, 16), unit(16, 32, groups=16), unit(32, 16), channels=16),
    "no bias": lambda: pooled(unit(1, 16), unit(16, 16), channels=16, bias=False),
    "norms without weights": lambda: pooled(
        unit(1, 16, norm=nn.BatchNorm2d(16, affine=False, momentum=None)), unit(16, 16), channels=16
    ),
    "oblong": Oblong,
    "plain": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 10)
    ),
    "scaled": Scaled,
    "shared": Shared,
    "shuffled": Shuffles,
    "spatial": Spatial,
    "squeezed": Squeezed,
    "tied": Tied,
    "transposed": Transposed,
    "viewed": Viewed,
}
"""Those that go the whole way."""

REFUSED: dict[str, Maker] = {
    "double": lambda: pooled(unit(1, 16), unit(16, 16), channels=16).double(),
    "half": lambda: pooled(unit(1, 16), unit(16, 16), channels=16).half(),
    "fixed batch": FixedBatch,
    "labels": lambda: nn.Sequential(unit(1, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7)),
    "no statistics": lambda: pooled(unit(1, 16, norm=nn.BatchNorm2d(16, track_running_stats=False)), channels=16),
    "returns": Returns,
    "three channels": lambda: pooled(unit(3, 16), unit(16, 16), channels=16),
    "two inputs": TwoInputs,
    "all group norm": lambda: pooled(unit(1, 16, norm=nn.GroupNorm(4, 16)), channels=16),
    "nothing to prune": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    "no layers": lambda: nn.Sequential(nn.AdaptiveAvgPool2d((2, 5)), nn.Flatten()),
}
"""Those that can't be searched."""
