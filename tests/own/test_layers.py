"""Layer tables by channel counts: what the exported files are read as."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.export.export import export_onnx
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.layers import C_IN, C_OUT, OP, Op
from evo_fair.own import OwnNetwork
from evo_fair.own.layers import trace_layers
from evo_fair.pruning.trace import trace_structure

from .conftest import opened


def check_tables(own: OwnNetwork, networks: int, path: Path) -> None:
    """Compares tables with those of the exported files, and the latency with what `predict` says."""
    profile = load_profile("raspberry-pi-4")
    genomes = own.space.sample(np.random.default_rng(5), networks)
    genomes[0], genomes[1] = own.space.largest(), own.space.smallest()
    tables = own.space.decode(genomes)
    latencies = profile.latency_ms(tables)
    for genome, table, latency in zip(genomes, tables, latencies, strict=True):
        export_onnx(own.pruned(genome.tolist()), (1, 8, 8), path)
        graph = read_onnx(path)
        layers = len(graph.table[0])
        assert np.array_equal(graph.table[0], table[:layers])
        assert not table[layers:].any()
        assert predict(graph, profile).latency_ms == latency


@pytest.mark.slow
def test_tables_are_those_of_the_exported_files(
    own: OwnNetwork, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    check_tables(own, request.config.getoption("--genomes"), tmp_path / "network.onnx")


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
