"""Variation of feature maps between groups: worked out by hand on the inputs, and where the header ends."""

import numpy as np
import pytest
import torch

from evo_fair.errors import DataError
from evo_fair.nets import Supernet
from evo_fair.nets.header import INPUT, OUTPUT, LayerVariation, auto_header, group_variation
from evo_fair.space import SearchSpace, SpaceSchema


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    stage = {"slots": 2, "kinds": ["MB", "CB"], "widths": [8, 16], "stride": 2, "keep_channels": [8, 16, 32]}
    space = SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]}), (1, 8, 8), 10)
    one = np.ones(1, np.float32)
    return Supernet.initialise(space, torch.Generator().manual_seed(0), 0 * one, one)


def images(*values: int) -> np.ndarray:
    return np.stack([np.full((1, 8, 8), value, np.uint8) for value in values])


def test_variation_of_the_inputs_by_hand(supernet: Supernet) -> None:
    samples = images(0, 2, 10, 12, 200)
    layers = group_variation(supernet, samples, samples, np.array([0, 0, 1, 1, -1], np.int16))
    # Means 1 and 11, squared spread 2 in each group: between = 25 - (1 - 1/2) * 2/2 = 24.5; every pixel is the same.
    assert (layers[0].block, layers[0].layer, layers[0].channels, layers[0].height) == (INPUT, OUTPUT, 1, 8)
    assert layers[0].variation == pytest.approx((24.5 / 2) ** 0.5)
    assert layers[0].difference == pytest.approx(24.5**0.5 / 6)


def test_every_layer_and_block_of_the_largest_network_is_there_in_order(supernet: Supernet) -> None:
    samples = np.random.default_rng(0).integers(0, 255, (40, 1, 8, 8), dtype=np.uint8)
    groups = (np.arange(40) % 3).astype(np.int16)
    layers = group_variation(supernet, samples, samples, groups)
    outputs = [layer for layer in layers if layer.layer == OUTPUT]
    assert [layer.block for layer in outputs] == ["input", "stem", "stage1.slot1", "stage1.slot2"]
    assert [(layer.channels, layer.height, layer.width) for layer in outputs[1:]] == [(8, 8, 8), (16, 4, 4), (16, 4, 4)]
    assert layers == group_variation(supernet, samples, samples, groups)
    order = np.random.default_rng(1).permutation(40)  # a group's samples count whatever batch they come in
    for layer, other in zip(layers, group_variation(supernet, samples, samples[order], groups[order]), strict=True):
        assert layer.variation == pytest.approx(other.variation, rel=1e-3, abs=1e-6)


def test_groups_of_the_same_samples_do_not_vary(supernet: Supernet) -> None:
    half = np.random.default_rng(0).integers(0, 255, (20, 1, 8, 8), dtype=np.uint8)
    samples, groups = np.concatenate([half, half]), np.repeat([0, 1], 20).astype(np.int16)
    assert {layer.variation for layer in group_variation(supernet, samples, samples, groups)} == {0.0}


def test_one_group_alone_has_nothing_to_differ_from(supernet: Supernet) -> None:
    samples = images(1, 2, 3)
    with pytest.raises(DataError, match="1 groups have two training samples or more"):
        group_variation(supernet, samples, samples, np.array([0, 0, 1], np.int16))


@pytest.mark.parametrize(
    ("outputs", "blocks"),
    [
        ((0.10, 0.119, 0.121, 0.09), 2),  # up to 1.2 times the inputs' 0.1
        ((0.13, 0.09, 0.09, 0.09), 0),
        ((0.09, 0.13, 0.09, 0.09), 1),  # what comes after a gap does not count
        ((0.09, 0.09, 0.09, 0.09), 3),  # the last one stays free
    ],
)
def test_header_ends_before_the_first_block_above_the_threshold(outputs: tuple[float, ...], blocks: int) -> None:
    layers = [LayerVariation(INPUT, OUTPUT, 1, 8, 8, 0.5, 0.1)]
    for number, value in enumerate(outputs):
        layers.append(LayerVariation(f"slot{number}", "conv", 1, 8, 8, 0.5, 9.0))  # layers inside do not decide
        layers.append(LayerVariation(f"slot{number}", OUTPUT, 1, 8, 8, 0.5, value))
    assert auto_header(layers) == blocks
