"""Winograd's convolution gives what torch's gives, with whatever images and tiles are computed together."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from evo_fair.proxy import runner
from evo_fair.proxy.program import Layer, Program, Writer, filled_up, padded
from evo_fair.proxy.runner import Runner
from evo_fair.proxy.winograd import POINTS, pack_winograd, suits_winograd, transform_weights

IMAGES = 19


def images(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    x = np.zeros((IMAGES, height, width, padded(channels)), np.float32)
    x[..., :channels] = rng.standard_normal((IMAGES, height, width, channels))
    return x


def layer_of(weight: np.ndarray, c_out: int, c_in: int, scale: np.ndarray, bias: np.ndarray) -> Layer:
    packed = np.zeros((POINTS * padded(c_in) + 1) * padded(c_out), np.float32)
    pack_winograd(transform_weights(weight), c_out, c_in, scale, packed)
    return Layer(packed, filled_up(bias), winograd=True)


def program_of(layer: Layer, height: int, width: int, c_in: int, c_out: int, *, in_place: bool) -> Program:
    writer = Writer()
    entry = writer.buffer(0, height, width, c_in, 1)
    residual = writer.buffer(1, height, width, c_out, 2)
    out = residual if in_place else writer.buffer(2, height, width, c_out, 2)
    writer.load(0, entry, c_in)
    writer.load(1, residual, c_out)
    writer.dense(entry, out, layer, 3, 1, residual=residual, relu=True)
    writer.store(out)
    return writer.program()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("size", "c_in", "c_out"),
    [((4, 4), 5, 12), ((8, 8), 16, 24), ((4, 12), 40, 8), ((16, 8), 24, 104), ((20, 24), 8, 16)],
)
def test_a_convolution_is_that_of_torch(size: tuple[int, int], c_in: int, c_out: int, in_place: bool) -> None:
    rng = np.random.default_rng(0)
    x, other = images(rng, *size, c_in), images(rng, *size, c_out)
    wide = rng.standard_normal((c_out + 4, c_in + 2, 3, 3)).astype(np.float32)
    scale, bias = (rng.standard_normal(c_out).astype(np.float32) for _ in range(2))
    target = np.empty((IMAGES, *size, padded(c_out)), np.float32)
    layer = layer_of(wide, c_out, c_in, scale, bias)
    Runner(2).run(program_of(layer, *size, c_in, c_out, in_place=in_place), IMAGES, [x, other], target)
    inputs = torch.from_numpy(x[..., :c_in]).permute(0, 3, 1, 2).double()
    weight = torch.from_numpy(wide[:c_out, :c_in] * scale[:, None, None, None]).double()
    expected = functional.conv2d(inputs, weight, torch.from_numpy(bias).double(), padding=1)
    expected = (expected + torch.from_numpy(other[..., :c_out]).permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)
    np.testing.assert_allclose(target[..., :c_out], expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert (target[..., c_out:] == 0).all()


@pytest.mark.parametrize(("least", "cache"), [(1, 1), (5, 1), (16, 1 << 20)])
def test_how_many_images_go_together_changes_no_bit(least: int, cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x, other = images(rng, 4, 8, 24), images(rng, 4, 8, 40)
    weight = rng.standard_normal((40, 24, 3, 3)).astype(np.float32)
    scale, bias = np.ones(40, np.float32), np.zeros(40, np.float32)
    program = program_of(layer_of(weight, 40, 24, scale, bias), 4, 8, 24, 40, in_place=False)
    alone, together = np.empty((2, IMAGES, 4, 8, 40), np.float32)
    for i in range(IMAGES):
        Runner(1).run(program, 1, [x[i : i + 1], other[i : i + 1]], alone[i : i + 1])
    monkeypatch.setattr(runner, "_LEAST", least)
    monkeypatch.setattr(runner, "_CACHE", cache)
    Runner(3).run(program, IMAGES, [x, other], together)
    assert (alone == together).all()


def test_a_value_that_is_no_number_stays_none() -> None:
    x, other = np.zeros((1, 4, 4, 8), np.float32), np.zeros((1, 4, 4, 8), np.float32)
    x[0, 1, 1, 0] = np.nan
    layer = layer_of(np.ones((8, 8, 3, 3), np.float32), 8, 8, np.ones(8, np.float32), np.zeros(8, np.float32))
    target = np.empty((1, 4, 4, 8), np.float32)
    Runner(1).run(program_of(layer, 4, 4, 8, 8, in_place=False), 1, [x, other], target)
    assert np.isnan(target[0, :3, :3]).all()


def test_only_maps_of_whole_tiles_suit() -> None:
    assert suits_winograd(8, 4)
    assert not suits_winograd(8, 6)
    assert not suits_winograd(2, 4)
