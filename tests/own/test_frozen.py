"""Networks for the proxy's kernels: each gives what torch gives, whatever it is evaluated with."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional, utils

from evo_fair.own import NetworkSpace
from evo_fair.own.frozen import FrozenStages, PrunedStage
from evo_fair.own.layers import trace_layers
from evo_fair.own.steps import follow_steps, stages_of
from evo_fair.proxy.population import SharedBeginnings
from evo_fair.proxy.samples import channels_innermost
from evo_fair.pruning import trace_structure

from .conftest import made, opened

IMAGES = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def population(threads: int = 1, memory: int = 0) -> tuple[FrozenStages, SharedBeginnings]:
    """The residual network's pruned forms on some images, which calibrate it too."""
    own = opened("residual", ("magnitude_l2", "random"))
    steps = follow_steps(own.whole, images=True)
    assert steps is not None
    stages = FrozenStages(own.whole, own.space, steps, (1, 8, 8))
    images = channels_innermost(IMAGES)
    return stages, SharedBeginnings(stages, stages.labels, images, images, threads, memory)


def test_logits_are_those_of_torch() -> None:
    own = opened("residual", ("magnitude_l2", "random"))
    genomes = [*own.space.sample(np.random.default_rng(0), 8), own.space.largest(), own.space.smallest()]
    stages, networks = population()
    found = networks.logits([stages.blocks(genome.tolist()) for genome in genomes])
    assert any(own.space.left_out(genome.tolist()) for genome in genomes[:8])
    for genome, logits in zip(genomes, found, strict=True):
        with torch.no_grad():
            wanted = own.calibrated(genome.tolist(), IMAGES)(IMAGES).numpy()
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("threads", "memory"), [(1, 0), (3, 0), (2, 1 << 30)])
def test_company_threads_and_memory_change_no_bit(threads: int, memory: int) -> None:
    genomes = opened("residual", ("magnitude_l2", "random")).space.sample(np.random.default_rng(1), 10)
    genomes[5:, :2] = genomes[:5, :2]  # these begin like the others
    stages, alone = population()
    networks = [stages.blocks(genome) for genome in genomes.tolist()]
    expected = np.concatenate([alone.logits([network]) for network in networks])
    _, together = population(threads, memory)
    for _ in range(2):
        assert (together.logits(networks) == expected).all()


def test_what_networks_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = opened("residual", ("magnitude_l2", "random")).space
    one, other = space.largest(), space.largest()
    other[space.gene_names.index("4.first")] -= 1
    stages, networks = population()
    calibrated: list[PrunedStage] = []
    calibrate = stages.calibrate

    def counted(prefix: tuple[PrunedStage, ...], *arguments: object) -> object:
        calibrated.append(prefix[-1])
        return calibrate(prefix, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stages, "calibrate", counted)
    blocks = [stages.blocks(genome.tolist()) for genome in (one, other)]
    networks.logits(blocks)
    shared = sum(a == b for a, b in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*blocks, strict=True)))
    assert shared >= 3
    assert len(calibrated) == 2 * len(blocks[0]) - shared


def test_stages_end_where_one_map_is_handed_on() -> None:
    steps = follow_steps(made("residual"), images=True)
    assert steps is not None
    groups = {"0.0": ["stem"], "2.first": ["stem", "2"], "2.second": ["2", "stem"], "3.first": ["stem", "3"]}
    groups |= {"3.second": ["3", "rest"], "3.projection.0": ["stem", "rest"], "4.first": ["rest", "4"]}
    groups |= {"4.second": ["4", "rest"], "5.0": ["rest"], "9": ["rest"]}
    known = {name: groups.get(name, ()) for step in steps for name in step.modules}
    stages = stages_of(steps, known, ("2", "4"))
    assert [(stage.block, [step.kind for step in stage.steps]) for stage in stages] == [
        (None, ["convolution", "max_pool"]),
        ("2", ["convolution"] * 2),
        (None, ["convolution"] * 3),
        ("4", ["convolution"] * 2),
        (None, ["depthwise", "mean", "linear"]),
    ]


def test_a_network_may_begin_without_a_layer() -> None:
    network = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = network.append(nn.Linear(8, 10)).eval()
    groups = trace_structure(network, IMAGES[:2]).groups
    order = {"own": {name: np.arange(group.size) for name, group in groups.items()}}
    space = NetworkSpace(groups, order, "", lambda: trace_layers(network, groups, (1, 8, 8)))
    steps = follow_steps(network, images=True)
    assert steps is not None
    stages, images = FrozenStages(network, space, steps, (1, 8, 8)), channels_innermost(IMAGES)
    networks = SharedBeginnings(stages, stages.labels, images, images)
    (found,) = networks.logits([stages.blocks(space.largest().tolist())])
    np.testing.assert_allclose(found, network(IMAGES).detach().numpy(), rtol=0, atol=1e-5)


class Squares(nn.Module):
    """Does what the kernels can't."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((self.layer(x) ** 2).mean((2, 3)))


class Pools(Squares):
    """Pools a map with negative values, for which zeros around it are not nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.layer(x)).mean((2, 3)))

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, 3, 1, 1)


class Valid(Squares):
    """Has a convolution that is not padded by half its kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x).mean((2, 3)))


def computes(norm: Callable[[nn.Module], nn.Module]) -> Callable[[], nn.Module]:
    """A network whose first layer computes its weight."""
    layers = [norm(nn.Conv2d(1, 8, 3, padding=1)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]
    return lambda: nn.Sequential(*layers)


COMPUTED = [computes(norm) for norm in (utils.parametrizations.weight_norm, utils.spectral_norm)]


@pytest.mark.parametrize("make", [Squares, Pools, Valid, *COMPUTED, lambda: made("dense"), lambda: made("squeezed")])
def test_what_the_kernels_do_not_know_is_left_to_torch(make: Callable[[], nn.Module]) -> None:
    assert follow_steps(make().eval(), images=True) is None


def test_rows_of_numbers_go_through_linear_layers() -> None:
    network = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2)).eval()
    steps = follow_steps(network, images=False)
    assert steps is not None
    assert [(step.kind, step.norm, step.relu) for step in steps] == [("linear", "1", 1), ("linear", "", 0)]
    assert follow_steps(network, images=True) is None
