"""Sorting a supernet's channels by importance."""

import numpy as np
import pytest
import torch

from evo_fair.nets import Supernet
from evo_fair.nets.channels import channel_groups, sort_channels

NETWORKS = 10


@pytest.fixture(params=["supernet", "tabular_supernet", "mixed_supernet"])
def net(request: pytest.FixtureRequest) -> Supernet:
    return request.getfixturevalue(request.param)


def logits(net: Supernet, genomes: np.ndarray) -> torch.Tensor:
    shape = (16, *net.space.input_shape)
    x = net.normalise(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    return torch.stack([net.forward(x, net.space.architecture(genome)) for genome in genomes])


def full_size(net: Supernet) -> np.ndarray:
    space = net.space
    genomes = np.repeat((space.cardinalities - 1)[None], NETWORKS, 0)
    for gene in np.flatnonzero(~space.ordered):
        genomes[:, gene] = np.random.default_rng(gene).integers(0, space.cardinalities[gene], NETWORKS)
    return genomes


def test_full_size_networks_compute_the_same_after_sorting(net: Supernet) -> None:
    genomes = full_size(net)
    before = logits(net, genomes)
    sort_channels(net)
    torch.testing.assert_close(logits(net, genomes), before, rtol=1e-3, atol=1e-3)


def test_sorting_within_levels_leaves_every_network_as_it_is(net: Supernet) -> None:
    genomes = net.space.sample(np.random.default_rng(0), 30)
    before = logits(net, genomes)
    weights = {name: weight.clone() for name, weight in net.weights.items()}
    sort_channels(net, within_levels=True)
    torch.testing.assert_close(logits(net, genomes), before, rtol=1e-3, atol=1e-3)
    assert any(not torch.equal(weights[name], weight) for name, weight in net.weights.items())


def test_first_channels_are_the_most_important(supernet: Supernet) -> None:
    with torch.no_grad():
        supernet.weights["stage1.slot2.MB.project.weight"][:, 5] *= 100
        marked = supernet.weights["stage1.slot2.MB.depthwise.weight"][5].clone()
    sort_channels(supernet)
    assert torch.equal(supernet.weights["stage1.slot2.MB.depthwise.weight"][0], marked)


def test_every_dimension_of_every_weight_belongs_to_one_group(net: Supernet) -> None:
    groups = list(channel_groups(net.space))
    outputs = [name for group in groups for name in group.outputs]
    inputs = [name for group in groups for name in group.inputs]
    assert len(outputs) == len(set(outputs))
    assert len(inputs) == len(set(inputs))
    ends = {"classifier.weight", "classifier.bias"}
    assert set(outputs) == set(net.weights) - ends
    first = {name for name, weight in net.weights.items() if weight.dim() > 1 and weight.shape[1] in (1, 3, 5)}
    weights = {name for name in net.weights if name.endswith(".weight")}
    assert set(inputs) == weights - {name for name in first if name not in inputs}
