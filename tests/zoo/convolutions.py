"""Convolutional networks as people write them, for grey images of 8 by 8 pixels and ten labels."""

import torch
import torch.nn.functional as F
from torch import nn


class ViewCnn(nn.Module):
    """The first network of every course: `.view` behind convolutions, sizes worked out by hand."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 12, 3, padding=1)
        self.fc1 = nn.Linear(12 * 2 * 2, 20)
        self.fc2 = nn.Linear(20, 10)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        return self.fc2(self.drop(F.relu(self.fc1(x))))


def sequential():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 10)
    )


class Block(nn.Module):
    """A residual block whose last batch norm starts at 0, so that at first it computes nothing."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        nn.init.zeros_(self.bn2.weight)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return F.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2))
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean([2, 3]))


class ZeroPadding(nn.Module):
    """The shortcut of the first CIFAR networks: strided, the channels that lack filled with zeros."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 16, 3, 2, 1)
        self.last = nn.Conv2d(16, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.relu(self.conv(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(8 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.norm = nn.BatchNorm2d(20)
        self.head = nn.Linear(20, 10)

    def forward(self, x):
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(F.relu(layer(torch.cat(features, 1))))
        return self.head(F.adaptive_avg_pool2d(self.norm(torch.cat(features, 1)), 1).flatten(1))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 4, 1)
        self.up = nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.conv(x))
        gate = torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return self.head((x * gate).mean((2, 3)))


class UNet(nn.Module):
    """Down, up by a transposed convolution, and the way across."""

    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(1, 8, 3, padding=1)
        self.down2 = nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        one = F.relu(self.down1(x))
        two = F.relu(self.down2(F.max_pool2d(one, 2)))
        both = torch.cat([one, self.up(two)], dim=1)
        return self.head(F.relu(self.merge(both)).mean((2, 3)))


def grouped():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1, groups=4),
        nn.ReLU(),
        nn.Conv2d(16, 12, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


def depthwise():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 16, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.Hardswish(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def _normed(norm):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        norm,
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


def group_norm():
    return _normed(nn.GroupNorm(2, 8))


def layer_norm():
    return _normed(nn.LayerNorm([8, 8, 8]))


def instance_norm():
    return _normed(nn.InstanceNorm2d(8, affine=True))


def local_response_norm():
    return _normed(nn.LocalResponseNorm(3))


def prelu():
    return _normed(nn.PReLU(8))


def dropout2d():
    return _normed(nn.Dropout2d(0.1))


def _shuffle(x, groups):
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class ShuffleEarly(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.hidden = nn.Conv2d(16, 24, 1)
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = _shuffle(F.relu(self.conv(x)), 2)
        return self.head(F.relu(self.hidden(x)).mean((2, 3)))


class ShuffleLate(ShuffleEarly):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(24, 10)

    def forward(self, x):
        x = _shuffle(F.relu(self.hidden(F.relu(self.conv(x)))), 4)
        return self.last(x.mean((2, 3)))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 4, 1)
        self.b = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1))
        self.c = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(1, 2, 1))
        self.head = nn.Linear(12 * 16, 10)

    def forward(self, x):
        x = F.relu(torch.cat([self.a(x), self.b(x), self.c(x)], 1))
        return self.head(torch.flatten(F.avg_pool2d(x, 2), 1))


class Conv1d(nn.Module):
    """Rows as time steps."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(8, 12, 3, padding=1)
        self.hidden = nn.Linear(12, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(F.relu(self.hidden(F.relu(self.conv(x.squeeze(1))).mean(2))))


class Conv3d(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 6, (1, 3, 3), padding=(0, 1, 1))
        self.hidden = nn.Conv2d(6, 12, 3, 2)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        return self.head(F.relu(self.hidden(F.relu(self.conv(x.unsqueeze(2))).squeeze(2))).mean((2, 3)))


class DynamicConv(nn.Module):
    """Kernels mixed by a five-dimensional parameter."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(3, 8, 1, 3, 3))
        self.mix = nn.Parameter(torch.zeros(3))
        self.conv = nn.Conv2d(8, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        weight = (self.mix.softmax(0).view(3, 1, 1, 1, 1) * self.kernels).sum(0)
        return self.head(F.relu(self.conv(F.relu(F.conv2d(x, weight, padding=1)))).mean((2, 3)))


class StandardisedConv(nn.Conv2d):
    def forward(self, x):
        w = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        w = w / (w.std(dim=(1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, w, self.bias, self.stride, self.padding)


def weight_standardisation():
    return nn.Sequential(
        StandardisedConv(1, 8, 3, padding=1),
        nn.ReLU(),
        StandardisedConv(8, 12, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(192, 16),
        nn.ReLU(),
        nn.Linear(16, 10),
    )


class GatedByLast(nn.Module):
    """The last channel gates the others: followed blindly, indices are shifted for ever."""

    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 12, 3, padding=1)
        self.c1 = nn.Conv2d(12, 8, 1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        x = self.c0(x)
        x = F.relu(x) * torch.sigmoid(x[:, -1:])
        return self.f(F.relu(self.c1(x)).mean((2, 3)))


class OneByOne(nn.Module):
    """Channels taken one by one in a loop, and put together the other way round."""

    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 12, 3, padding=1)
        self.c1 = nn.Conv2d(12, 8, 1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.c0(x))
        parts = [x[:, i : i + 1] for i in reversed(range(x.shape[1]))]
        return self.f(F.relu(self.c1(torch.cat(parts, 1))).mean((2, 3)))


class Recurrence(nn.Module):
    """Each channel adds the one before it."""

    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 10, 3, padding=1)
        self.c1 = nn.Conv2d(10, 8, 1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        x = self.c0(x)
        total, parts = 0, []
        for i in range(x.shape[1]):
            total = torch.tanh(x[:, i : i + 1] + total)
            parts.append(total)
        return self.f(F.relu(self.c1(torch.cat(parts, 1))).mean((2, 3)))


class GatedBySelect(GatedByLast):
    """Right without its first channel, wrong without its last, which gates the others."""

    def forward(self, x):
        x = self.c0(x)
        x = F.relu(x) * torch.sigmoid(x[:, -1]).unsqueeze(1)
        return self.f(F.relu(self.c1(x)).mean((2, 3)))


class Maxout(nn.Module):
    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 12, 3, padding=1)
        self.c1 = nn.Conv2d(6, 8, 1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        a, b = self.c0(x).chunk(2, dim=1)
        return self.f(F.relu(self.c1(torch.max(a, b))).mean((2, 3)))


class PixelShuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 16, 3, 2, padding=1)
        self.c1 = nn.Conv2d(4, 8, 3, padding=1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        return self.f(F.relu(self.c1(F.pixel_shuffle(self.c0(x), 2))).mean((2, 3)))


class Interpolated(nn.Module):
    """Features of two sizes, brought together as in feature pyramids."""

    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 8, 3, padding=1)
        self.c1 = nn.Conv2d(8, 8, 3, 2, padding=1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.c0(x))
        y = F.interpolate(self.c1(x), size=x.shape[2:], mode="nearest")
        return self.f((x + y).mean((2, 3)))


class LayerScale(nn.Module):
    """A parameter of its own for each channel."""

    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 8, 3, padding=1)
        self.gamma = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.c1 = nn.Conv2d(8, 12, 1)
        self.f = nn.Linear(12, 10)

    def forward(self, x):
        return self.f(F.relu(self.c1(F.relu(self.c0(x) * self.gamma))).mean((2, 3)))


def channels_last():
    """Its owner wants it so."""
    return sequential().to(memory_format=torch.channels_last)


class WithOptions(nn.Module):
    """A forward with arguments beside its input, layers that are called by keyword, and a stride that it asks for."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.down = nn.Conv2d(8, 8, 1, 2)
        self.f = nn.Linear(8, 10)

    def forward(self, x, mask=None, *, scale=1.0):
        y = F.relu(self.norm(input=self.c(input=x)))
        y = F.relu(self.down(input=y))
        if mask is not None:
            y = y * mask
        return self.f(y.mean((2, 3))) * scale


class Gated(nn.Module):
    """The largest of all channels is added to each, so that none of them can leave."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(1, 8, 3, padding=1)
        self.d = nn.Conv2d(8, 12, 3, padding=1)
        self.f = nn.Linear(12, 10)

    def forward(self, x):
        y = self.c(x)
        y = F.relu(y) + y.amax(1, keepdim=True)
        return self.f(F.relu(self.d(y)).mean((2, 3)))


class Winners(nn.Module):
    """Four winners of all channels are found, for which four have to be there."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(1, 8, 3, padding=1)
        self.d = nn.Conv2d(8, 12, 3, padding=1)
        self.f = nn.Linear(12, 10)

    def forward(self, x):
        y = F.relu(self.c(x))
        y = y * (y >= y.topk(4, 1).values[:, -1:])
        return self.f(F.relu(self.d(y)).mean((2, 3)))
