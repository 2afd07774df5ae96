"""Layer tables by channel counts: what the exported files are read as."""

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.evolution.evaluator import Genomes
from evo_fair.export.export import export_onnx
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.layers import C_IN, C_OUT, OP, Op
from evo_fair.nets.layout import give_own_inputs
from evo_fair.nets.reference import build_reference
from evo_fair.own import NetworkSpace, OwnNetwork
from evo_fair.own.blocks import removable_blocks, without_blocks
from evo_fair.own.layers import blocks_with_rows, exported_rows, trace_layers
from evo_fair.own.space import channel_levels
from evo_fair.pruning.trace import trace_structure

from .conftest import MAKERS, opened

NETWORKS = {"mobilenet-v2": (3, 64, 64), "resnet-18": (3, 64, 64)} | dict.fromkeys(MAKERS, (1, 8, 8))
"""The shapes of their inputs, by name."""


def spread_genomes(space: NetworkSpace, networks: int, rng: np.random.Generator) -> Genomes:
    """The largest, the smallest, and genomes in which every gene has each of its values about as often.

    Every block is left out of half of them.
    """
    values = [np.arange(networks) * int(levels) // networks for levels in space.cardinalities]
    genomes = np.stack([rng.permutation(value) for value in values], axis=1).astype(np.int16)
    genomes[0], genomes[-1] = space.largest(), space.smallest()
    return space.canonical(genomes)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_tables_are_those_of_the_exported_files(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shape, path = NETWORKS[name], tmp_path / "network.onnx"
    own = opened(name) if name in MAKERS else reference(name, shape)
    genomes = spread_genomes(own.space, request.config.getoption("--genomes"), np.random.default_rng(5))
    profile = load_profile("raspberry-pi-4")
    tables = own.space.decode(genomes)
    for genome, table, latency in zip(genomes, tables, profile.latency_ms(tables), strict=True):
        export_onnx(own.pruned(genome.tolist()), shape, path)
        graph = read_onnx(path)
        layers = len(graph.table[0])
        assert np.array_equal(graph.table[0], table[:layers]), genome
        assert not table[layers:].any(), genome
        assert predict(graph, profile).latency_ms == latency, genome


def reference(name: str, shape: tuple[int, ...]) -> OwnNetwork:
    """A reference network as a space: its channels in their own order, which no layer table depends on."""
    network = give_own_inputs(build_reference(name, 7)).eval()
    structure = trace_structure(network, torch.zeros(2, *shape))
    groups = {key: group for key, group in structure.groups.items() if len(channel_levels(group.size)) > 1}
    blocks = removable_blocks(network, groups, torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))
    orders = {"own": {key: np.arange(group.size) for key, group in groups.items()}}
    return OwnNetwork(
        network, NetworkSpace(groups, orders, name, lambda: trace_layers(network, groups, shape, blocks), blocks)
    )


def test_channels_behind_a_flattened_map_count_by_pixel() -> None:
    own = opened("dense")
    whole, less = own.space.largest(), own.space.largest()
    gene = own.space.gene_names.index("transition")
    less[gene] -= 1
    gone = own.space.levels[gene][-1] - own.space.levels[gene][-2]
    tables = own.space.decode(np.stack([whole, less]))
    linear = tables[:, tables[0, :, OP] == Op.LINEAR]
    assert linear[0, 0, C_IN] - linear[1, 0, C_IN] == 16 * gone
    assert linear[0, 0, C_OUT] == linear[1, 0, C_OUT] == 10


def test_no_network_is_exported_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[str] = []

    def note(network: nn.Module, *_: object) -> Path:
        exported.append(repr(network))
        return export_onnx(network, *_)  # type: ignore[arg-type]

    monkeypatch.setattr("evo_fair.own.layers.export_onnx", note)
    own = opened.__wrapped__("squeezed")
    assert len(own.space.layers.whole) > 0
    assert len(set(exported)) == len(exported) > 4


def test_operators_without_a_price_are_refused() -> None:
    class Multiplies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x).mean((2, 3))
            return self.last(x + torch.einsum("ni,ni->n", x, x)[:, None])

    network = Multiplies().eval()
    structure = trace_structure(network, torch.zeros(2, 1, 8, 8))
    with pytest.raises(PruningError, match="its operators Einsum have no price"):
        trace_layers(network, structure.groups, (1, 8, 8))


class TurnedBlock(nn.Module):
    """A residual block as ConvNeXt has them: channels come last within it, and only its inner ones can leave."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm, self.first = nn.LayerNorm(channels), nn.Linear(channels, 2 * channels)
        self.second = nn.Linear(2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.second(torch.relu(self.first(y))).permute(0, 3, 1, 2)


class TurnedNorm(nn.LayerNorm):
    """Layer norm over the channels of images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Across(nn.Module):
    """A sum around a block, whose place in the file says how far back the other summand is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(1, 8, 3), TurnedBlock(8), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return self.head((x.sigmoid() + self.block(x)).mean((2, 3)))


def turned(*blocks: nn.Module) -> nn.Module:
    """A stem and a norm that channels turn for, blocks, another such norm, and a classifier."""
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]
    return nn.Sequential(nn.Conv2d(1, 8, 3), TurnedNorm(8), *blocks, TurnedNorm(8), nn.Conv2d(8, 8, 1), *pooled)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (turned(TurnedBlock(8), TurnedBlock(8), nn.Conv2d(8, 8, 1)), ["2", "3"]),
        (turned(TurnedBlock(8), TurnedBlock(8)), ["2"]),  # without both, the norms' turns would cancel out
        (Across(), []),
    ],
)
def test_blocks_leave_where_nothing_else_changes(network: nn.Module, expected: list[str]) -> None:
    network, shape = give_own_inputs(network).eval(), (1, 8, 8)
    groups = trace_structure(network, torch.randn(2, *shape)).groups
    removable = removable_blocks(network, groups, torch.randn(2, *shape))
    found = blocks_with_rows(network, removable, shape)
    assert list(found.without) == expected
    blocks = {name: removable[name] for name in found.without}
    layers = trace_layers(network, groups, shape, blocks, found)
    for present in itertools.product([False, True], repeat=len(blocks)):
        left_out = [name for name, stays in zip(blocks, present, strict=True) if not stays]
        rows = exported_rows(without_blocks(copy.deepcopy(network), left_out), shape)
        table = layers.table(layers.sizes[None], np.array([present], np.bool_))[0]
        assert np.array_equal(table[: len(rows)], rows)
        assert not table[len(rows) :].any()
