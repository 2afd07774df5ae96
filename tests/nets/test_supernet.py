"""Slices of the supernet, and the stand-alone networks cut from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from evo_fair.errors import DataError
from evo_fair.layers import params
from evo_fair.nets import Supernet
from evo_fair.space import SearchSpace

SEED = 5


@pytest.mark.parametrize("kind", ["images", "tabular"])
def test_stand_alone_networks_give_the_logits_of_the_supernet(kind: str, request: pytest.FixtureRequest) -> None:
    supernet: Supernet = request.getfixturevalue("supernet" if kind == "images" else "tabular_supernet")
    space = supernet.space
    raw = request.getfixturevalue("images") if kind == "images" else np.random.default_rng(0).normal(120, 60, (24, 5))
    x = supernet.normalise(raw.astype(np.uint8 if kind == "images" else np.float32))
    genomes = [*space.sample(np.random.default_rng(SEED), 12), space.largest(), space.smallest()]
    for genome in genomes:
        network = supernet.extract(genome)
        network.calibrate(x)
        expected = supernet.forward(x, space.architecture(genome))
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network.folded()(x), expected, rtol=1e-4, atol=1e-4)


def test_folded_network_has_the_parameters_of_the_layer_table(supernet: Supernet) -> None:
    space = supernet.space
    genomes = space.sample(np.random.default_rng(SEED), 8)
    for genome, expected in zip(genomes, params(space.decode(genomes)), strict=True):
        assert sum(p.numel() for p in supernet.extract(genome).folded().parameters()) == expected


def test_smaller_kernel_is_the_centre_of_the_larger(supernet: Supernet) -> None:
    space = supernet.space
    genome = space.smallest()
    genome[space.gene_names.index("stage1.slot1.kind")] = 3  # CB
    small = supernet.extract(genome)
    genome[space.gene_names.index("stage1.slot1.kernel")] = 1
    large = supernet.extract(genome)
    weights = [net.unit(net.blocks[1], "conv").layer.weight for net in (small, large)]
    assert weights[1].shape[2:] == (5, 5)
    assert torch.equal(weights[0], weights[1][:, :, 1:4, 1:4])


def test_extracted_network_shares_no_memory_with_the_supernet(supernet: Supernet) -> None:
    before = {name: weight.clone() for name, weight in supernet.weights.items()}
    network = supernet.extract(supernet.space.largest())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], weight) for name, weight in supernet.weights.items())


def test_normalise_gives_mean_0_and_deviation_1(supernet: Supernet) -> None:
    raw = np.full((1, 3, 12, 10), 180, np.uint8)
    assert torch.allclose(supernet.normalise(raw), torch.ones(1, 3, 12, 10))


def test_saved_supernet_reads_back_equal(supernet: Supernet, tmp_path: Path) -> None:
    supernet.save(tmp_path / "a.safetensors")
    loaded = Supernet.load(tmp_path / "a.safetensors", supernet.space)
    assert loaded.weights.keys() == supernet.weights.keys()
    assert all(torch.equal(loaded.weights[name], weight) for name, weight in supernet.weights.items())
    assert torch.equal(loaded.mean, supernet.mean)
    loaded.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_damaged_or_foreign_supernet_is_refused(supernet: Supernet, tabular: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    supernet.save(path)
    with pytest.raises(DataError, match="another search space"):
        Supernet.load(path, tabular)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot read the supernet"):
        Supernet.load(path, supernet.space)
    with pytest.raises(DataError, match="cannot read the supernet"):
        Supernet.load(tmp_path / "none.safetensors", supernet.space)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("stage1.slot1.MB.expand.weight"), "has no tensor 'stage1.slot1.MB.expand.weight'"),
        (lambda tensors: tensors.pop("input.mean"), "has no tensor 'input.mean'"),
        (
            lambda tensors: tensors.update({"classifier.bias": torch.zeros(5)}),
            r"'classifier.bias' is torch.float32 \[5\]",
        ),
        (lambda tensors: tensors.update({"classifier.bias": torch.zeros(4).double()}), "is torch.float64"),
        (lambda tensors: tensors.update({"x" * 999: torch.zeros(1)}), "has a tensor 'xxx.* that does not belong there"),
        (lambda tensors: tensors["input.scale"].fill_(np.inf), "'input.scale' holds numbers that are not finite"),
    ],
)
def test_a_supernet_of_other_tensors_is_refused(supernet: Supernet, tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "net.safetensors"
    supernet.save(path)
    tensors = load_file(path)
    change(tensors)
    path.write_bytes(save(tensors, {"space": supernet.space.fingerprint}))
    with pytest.raises(DataError, match=rf"cannot read the supernet .*{message}"):
        Supernet.load(path, supernet.space)
