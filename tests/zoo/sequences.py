"""Recurrent networks and transformers on the rows or patches of an image, and people's own layers."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize


class RowLstm(nn.Module):
    def __init__(self, **how):
        super().__init__()
        self.embed = nn.Linear(8, 12)
        self.lstm = nn.LSTM(12, 10, batch_first=True, **how)
        self.hidden = nn.Linear(20 if how.get("bidirectional") else 10, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        out, _ = self.lstm(F.relu(self.embed(x.squeeze(1))))
        return self.head(F.relu(self.hidden(out[:, -1])))


def bidirectional():
    return RowLstm(bidirectional=True, num_layers=2)


class RowGru(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.gru = nn.GRU(48, 10)
        self.head = nn.Linear(10, 10)

    def forward(self, x):
        x = F.relu(self.conv(x)).permute(2, 0, 1, 3).flatten(2)
        return self.head(self.gru(x)[1][0])


class Attention(nn.Module):
    """Self-attention written by hand over the pixels of a feature map."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, 2, 1)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 12)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = F.relu(self.stem(x)).flatten(2).transpose(1, 2)
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        x = self.out((weights @ v).transpose(1, 2).reshape(n, t, c))
        return self.head(F.gelu(x).mean(1))


class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = self.embed(x.squeeze(1))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head(self.norm(x + self.mlp(x)).mean(1))


class Vit(nn.Module):
    """Patches, a class token and positions."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 12, 2, 2)
        self.token = nn.Parameter(torch.zeros(1, 1, 12))
        self.positions = nn.Parameter(torch.randn(1, 17, 12) * 0.02)
        layer = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.encoder(x)[:, 0])


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Linear(8, 16)
        self.back = nn.Linear(16, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = x.squeeze(1)
        x = x + self.back(F.gelu(self.tokens(x.transpose(1, 2)))).transpose(1, 2)
        return self.head(x.mean(1))


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 12, 3, padding=1)
        self.mix = nn.Parameter(torch.randn(12, 12) * 0.1)
        self.hidden = nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = torch.einsum("nchw,cd->ndhw", F.relu(self.conv(x)), self.mix)
        return self.head(F.relu(self.hidden(x)).mean((2, 3)))


class OwnLinear(nn.Module):
    """Weights that belong to no layer of torch's."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 64) * 0.1)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(torch.relu(x.flatten(1) @ self.weight.T))


def _with(norm):
    return nn.Sequential(
        norm(nn.Conv2d(1, 8, 3, padding=1)),
        nn.ReLU(),
        norm(nn.Conv2d(8, 12, 3, 2, 1)),
        nn.ReLU(),
        nn.Conv2d(12, 16, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def weight_norm():
    return _with(parametrizations.weight_norm)


def spectral_norm():
    return _with(parametrizations.spectral_norm)


def old_weight_norm():
    return _with(nn.utils.weight_norm)


class Symmetric(nn.Module):
    def forward(self, weight):
        return (weight + weight.flip(-1)) / 2


def parametrized():
    network = _with(lambda layer: layer)
    parametrize.register_parametrization(network[2], "weight", Symmetric())
    return network


class SharedLayer(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.c0 = nn.Conv2d(1, 8, 1)
        self.r = nn.Conv2d(8, 8, 3, padding=1)
        self.r2 = self.r
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        return self.f(F.relu(self.r2(F.relu(self.r(F.relu(self.c0(x)))))).mean((2, 3)))


class TiedWeights(nn.Module):
    """Two layers of one weight, as in autoencoders and language models."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 64)
        self.b = nn.Linear(64, 64)
        self.b.weight = self.a.weight
        self.c = nn.Linear(64, 20)
        self.f = nn.Linear(20, 10)

    def forward(self, x):
        return self.f(F.relu(self.c(F.relu(self.b(F.relu(self.a(x.flatten(1))))))))


class SharedBlock(nn.Module):
    """A block that is applied three times."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 1))
        self.again = nn.ModuleList([self.block, self.block])
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        x = self.block(self.stem(x))
        for block in self.again:
            x = x + block(x)
        return self.f(x.mean((2, 3)))


class Buffers(nn.Module):
    """Normalises its inputs, counts its batches, and keeps a mask that is not stored."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.register_buffer("mask", torch.ones(1, 1, 8, 8), persistent=False)
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        if self.training:
            self.batches += 1
        return self.f(F.relu(self.conv((x - self.mean) * self.mask)).mean((2, 3)))


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def lambdas():
    pooled = Lambda(lambda x: x.mean((2, 3)))
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), Lambda(torch.relu), nn.Conv2d(8, 12, 3), nn.ReLU(), pooled, nn.Linear(12, 10)
    )


def hooked():
    """A hook that clips what a layer makes."""
    network = lambdas()
    network[0].register_forward_hook(lambda _module, _inputs, output: output.clamp(-3, 3))
    return network


def frozen_part():
    network = _with(lambda layer: layer)
    network[0].requires_grad_(False)
    return network


class DropPath(nn.Module):
    """Draws a number in evaluation, too, but makes no use of it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.more = nn.Conv2d(8, 8, 3, padding=1)
        self.f = nn.Linear(8, 10)

    def forward(self, x):
        x = self.conv(x)
        if torch.rand(1).item() > 0.2 or not self.training:
            x = x + F.relu(self.more(x))
        return self.f(x.mean((2, 3)))


class InPlace(nn.Module):
    """Changes its input."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(1, 16, 3, padding=1)
        self.h = nn.Conv2d(16, 12, 1)
        self.f = nn.Linear(12, 10)

    def forward(self, x):
        x.div_(2.0).sub_(0.1)
        return self.f(F.relu(self.h(F.relu(self.c(x), inplace=True)), inplace=True).mean((2, 3)))


def relu_first():
    return nn.Sequential(
        nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(inplace=True), nn.Linear(16, 10)
    )


def lazy():
    return nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


def parallel():
    return nn.DataParallel(_with(lambda layer: layer))


an_instance = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
