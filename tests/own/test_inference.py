"""Ways of evaluating a network: each computes what the network itself does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from evo_fair.nets.network import calibrate
from evo_fair.own import NetworkEvaluator, OwnNetwork
from evo_fair.own.inference import choose_way, labels_of
from evo_fair.proxy import calibration_samples

from .conftest import digits_task, made


def test_a_networks_way_folds_what_it_can() -> None:
    for name, folds, in_place in (("dense", 0, 0), ("squeezed", 7, 5)):
        way = choose_way([lambda name=name: made(name)], digits_task().example)
        assert way.channels_last == (name == "squeezed")  # the other one views a map as a row
        assert way.plan is not None
        assert (len(way.plan.folds), len(way.plan.in_place)) == (folds, in_place)


def test_predictions_are_those_of_the_calibrated_network(own: OwnNetwork) -> None:
    dataset, task = digits_task().dataset, digits_task()
    genomes = own.space.sample(np.random.default_rng(0), 4)
    with NetworkEvaluator(own, dataset, ("class",), 64, 2) as evaluator:
        found = evaluator.predict(genomes)
        counts = evaluator.evaluate(genomes)["class"]
    inputs = digits_task().dataset.inputs
    calibration = digits_task().scaling(inputs[calibration_samples(dataset, 64)])
    for genome, labels in zip(genomes.tolist(), found, strict=True):
        network = own.calibrated(genome, calibration)
        assert (task.predictions(network, "validation") == labels).mean() > 0.99
    assert counts.values.shape[0] == 4
    assert counts.values[0].sum() == len(dataset.part("validation"))


class Branches(nn.Module):
    """A forward that looks at its values, which no tracing follows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.layer(x)))
        if float(x.sum()) < 0:
            x = -x
        return self.head(x.mean((2, 3)))


class Twice(nn.Module):
    """A convolution with two batch norms, of which neither can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 10)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [norm(self.layer(x)) for norm in self.norms]
        return self.head((parts[0] * parts[1]).mean((2, 3)))


class Keeps(nn.Module):
    """Reads what an activation was made of once more."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.act, self.head = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return self.head((self.act(x) + x).mean((2, 3)))


@pytest.mark.parametrize("make", [Branches, Twice, Keeps])
def test_what_cannot_be_folded_computes_the_same(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = make().eval()
    state = network.state_dict()

    def again() -> nn.Module:
        copied = make().eval()
        copied.load_state_dict(state)
        return copied

    x = torch.randn(16, 1, 8, 8)
    way = choose_way([again], x[:4])
    calibrate(network, x)
    with torch.inference_mode():
        wanted = network(x)
        found = way.ready(again(), x)(x)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert np.array_equal(labels_of(way.ready(again(), x), x), wanted.argmax(1).numpy())
    assert way.plan is None or not way.plan.folds
