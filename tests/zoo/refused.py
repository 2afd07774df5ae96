"""Networks that can't be taken as they are; each has to be refused on one line before anything is trained."""

import random
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(1, 16, 3, padding=1)
        self.h = nn.Conv2d(16, 12, 1)
        self.f = nn.Linear(12, 10)

    def features(self, x):
        return F.relu(self.h(F.relu(self.c(x)))).mean((2, 3))

    def forward(self, x):
        return self.f(self.features(x))


class AlwaysDropout(Base):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.3)


class RareDropout(Base):
    """Seldom seen in two evaluations."""

    def forward(self, x):
        return self.f(F.dropout(self.features(x), 0.01))


class Noise(Base):
    def __init__(self):
        super().__init__()
        self.noise = Noisy()

    def forward(self, x):
        return super().forward(self.noise(x))


class Noisy(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class Counting(Base):
    """Keeps a state from call to call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class AuxiliaryHead(Base):
    def __init__(self):
        super().__init__()
        self.aux = nn.Linear(12, 10)

    def forward(self, x):
        x = self.features(x)
        return (self.f(x), self.aux(x)) if self.training else self.f(x)


class DictInTraining(AuxiliaryHead):
    def forward(self, x):
        x = self.features(x)
        return {"out": self.f(x), "aux": self.aux(x)} if self.training else self.f(x)


class TupleAlways(AuxiliaryHead):
    def forward(self, x):
        x = self.features(x)
        return self.f(x), self.aux(x)


def all_frozen():
    return Base().requires_grad_(False)


class Squeezed(Base):
    """A batch of one loses its dimension."""

    def forward(self, x):
        return super().forward(x).squeeze()


class EvenBatches(Base):
    """Only even batches can be cut into pairs."""

    def forward(self, x):
        y = super().forward(x)
        return y.view(2, -1, 10).view(-1, 10)


class PairsOnly(Base):
    """Two samples a batch, as hard as code can be."""

    def forward(self, x):
        return self.f(self.features(x).view(2, -1))


def batch_statistics():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


class BatchBehindZero(Base):
    """A branch that mixes the batch, and whose scale starts at 0."""

    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        y = self.features(x)
        return self.f(y + self.alpha * y.softmax(0))


class SoftmaxOverBatch(Base):
    def forward(self, x):
        return torch.softmax(super().forward(x), 0)


class FixedBatch(Base):
    """The tracer takes the size of the batch for a constant."""

    def forward(self, x):
        return super().forward(x).reshape(int(x.shape[0]), 10)


class Branching(Base):
    """Another way for dark images, which a traced graph does not have."""

    def forward(self, x):
        y = self.features(x)
        return torch.stack([self.f(row) if row.sum() > y.mean() else self.f(-row) for row in y])


def no_parameters():
    return nn.Sequential(nn.AdaptiveAvgPool2d((1, 10)), nn.Flatten())


def one_class():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


class FeatureMap(Base):
    def forward(self, x):
        return self.h(F.relu(self.c(x)))


class Nan(Base):
    def forward(self, x):
        return super().forward(x) / 0.0 * 0.0


class NanInTraining(Base):
    def forward(self, x):
        y = super().forward(x)
        return torch.log(y - y.detach() - 1) if self.training else y


class Flat(Base):
    def forward(self, x):
        return self.f(self.h(self.c(x).flatten(1)).mean((2, 3)))


def three_channels():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


def double():
    return Base().double()


class Fourier(Base):
    """What ONNX has no operator for."""

    def forward(self, x):
        return super().forward(torch.fft.ifft2(torch.fft.fft2(x)).real)


class Hoarder(Base):
    """Keeps activations, with all that they come from, for a plot."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(self.features(x))
        return self.f(self.seen[-1])


class Unlisted(Base):
    """Trains a tensor of its own that is in no state dictionary."""

    def __init__(self):
        super().__init__()
        self.scale = [1.0]

    def forward(self, x):
        if self.training:
            self.scale[0] += 1.0
        return super().forward(x) * self.scale[0]


class Uncopyable(Base):
    def __init__(self):
        super().__init__()
        self.generator = (i for i in range(3))


class NoState(Base):
    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        pass


class NumpyInside(Base):
    def forward(self, x):
        return super().forward(torch.from_numpy(x.numpy() * 2.0))


class NoGradInside(Base):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class Slow(Base):
    """Endless for whoever differentiates it, as tracing does."""

    def forward(self, x):
        if torch.is_grad_enabled() and not self.training:
            time.sleep(0.01)
            while True:
                x = x + 0
        return super().forward(x)


class Entangled(Base):
    """Slices of slices that meet each other: tracing them blindly takes for ever."""

    def forward(self, x):
        x = self.c(x)
        for shift in range(1, 8):
            x = torch.tanh(x * torch.sigmoid(torch.cat([x[:, shift:], x[:, :shift]], 1)) + x[:, shift : shift + 1])
        return self.f(F.relu(self.h(x)).mean((2, 3)))


def scripted():
    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))


def with_arguments(labels, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, labels))


def a_class():
    return Base


def raising():
    raise RuntimeError("first line\nsecond line [/red]")


def leaving():
    raise SystemExit("no GPU here")


not_callable = 3


class RarePython(Base):
    """Draws from Python's own generator, and seldom does anything with it."""

    def forward(self, x):
        made = super().forward(x)
        return made * 2 if random.random() < 0.05 else made


class LargeBatches(Base):
    """Does something else in batches as they are trained and evaluated in."""

    def forward(self, x):
        made = super().forward(x)
        return made * 1.5 if len(x) > 16 else made


class Halves(Base):
    def forward(self, x):
        return super().forward(x).bfloat16()


class Exiting(Base):
    def forward(self, x):
        if len(x) == 3:
            sys.exit("no such batch")
        return super().forward(x)


class Cyclic(Base):
    """Holds itself, by way of its child."""

    def __init__(self):
        super().__init__()
        self.c.parent = self


class Listing(Base):
    def named_parameters(self):
        return [("c", self.c.weight)]


def on_meta():
    network = Base()
    network.register_buffer("table", torch.zeros(3, device="meta"))
    return network


@torch.inference_mode()
def in_inference():
    return Base()


def under_masks():
    network = Base()
    nn.utils.prune.l1_unstructured(network.c, "weight", 0.5)
    return network


class HalfHead(Base):
    def __init__(self):
        super().__init__()
        self.f.half()

    def forward(self, x):
        return self.f(self.features(x).half()).float()


class NoReturn(Base):
    def train(self, mode=True):
        super().train(mode)


def weight_norm_alone():
    norm = nn.utils.parametrizations.weight_norm
    return nn.Sequential(norm(nn.Conv2d(1, 8, 3)), nn.ReLU(), nn.Flatten(), norm(nn.Linear(288, 10)))


class PlainList(Base):
    def __init__(self):
        super().__init__()
        self.more = {"norms": [nn.BatchNorm2d(16)], "convs": [nn.Conv2d(16, 16, 1)]}

    def features(self, x):
        x = self.c(x)
        for layer in (*self.more["norms"], *self.more["convs"]):
            x = layer(x)
        return F.relu(self.h(F.relu(x))).mean((2, 3))


class PlainTensor(Base):
    def __init__(self):
        super().__init__()
        self.c.gain = torch.ones(16, 1, 1, requires_grad=True)

    def features(self, x):
        return F.relu(self.h(F.relu(self.c(x) * self.c.gain))).mean((2, 3))


OUTSIDE = nn.Linear(10, 10)


class FromOutside(Base):
    def forward(self, x):
        return OUTSIDE(super().forward(x))


def holding_hook():
    network = Base()
    network.f.register_forward_hook(lambda _module, _inputs, outputs: outputs + network.c.bias.mean())
    return network
