"""A supernet's weights as layers for the kernels, with what batch norm does folded into them."""

from itertools import takewhile
from typing import NamedTuple

import numpy as np

from evo_fair.arrays import Float32s, Floats
from evo_fair.nets import Supernet
from evo_fair.nets.network import BN_EPSILON
from evo_fair.nets.supernet import place_of
from evo_fair.proxy.packing import pack_dense, pack_depthwise, pack_half
from evo_fair.proxy.program import Layer, filled_up, padded
from evo_fair.proxy.tiles import UNIT
from evo_fair.proxy.winograd import POINTS, pack_winograd, suits_winograd, transform_weights
from evo_fair.space import Block, Unit

__all__ = ["Affine", "Weights"]


class Affine(NamedTuple):
    """Scale and shift by channel, float32 `[channels]` each: what a batch norm with known statistics amounts to."""

    scale: Float32s
    shift: Float32s


def _unchanged(channels: int) -> Affine:
    return Affine(np.ones(channels, np.float32), np.zeros(channels, np.float32))


class Weights:
    """The weights of a supernet, which makes layers of any width from them.

    With `half` convolutions larger than 1x1 multiply bfloat16 numbers, Winograd's excepted.
    """

    def __init__(self, supernet: Supernet, *, half: bool) -> None:
        self._half = half
        self._arrays = {name: tensor.numpy() for name, tensor in supernet.weights.items()}
        self._raw: dict[tuple[str, Unit, bool], Layer] = {}
        self._transformed: dict[str, Float32s] = {}

    def classifier(self, features: int) -> Layer:
        """The classifier's layer for so many features."""
        weight, bias = self._arrays["classifier.weight"], self._arrays["classifier.bias"]
        return _dense(weight[:, :, None, None], features, 1, Affine(np.ones(len(bias), np.float32), bias))

    def affine(self, block: Block, unit: Unit, mean: Floats, variance: Floats) -> Affine:
        """What a unit's batch norm does where its inputs have this mean and variance, `[channels]` or more each."""
        gamma, beta = (self._arrays[f"{place_of(block, unit)}.{name}"][: unit.c_out] for name in ("gamma", "beta"))
        scale = gamma / np.sqrt(variance[: unit.c_out] + BN_EPSILON)
        return Affine(scale.astype(np.float32), (beta - mean[: unit.c_out] * scale).astype(np.float32))

    def raw(self, block: Block, unit: Unit) -> Layer:
        """A unit's layer without its batch norm; remembered, for every calibration needs it."""
        key = place_of(block, unit), unit, _by_winograd(block, unit)
        if key not in self._raw:
            self._raw[key] = self.folded(block, unit, _unchanged(unit.c_out))
        return self._raw[key]

    def folded(self, block: Block, unit: Unit, affine: Affine) -> Layer:
        """A unit's layer with its batch norm."""
        place = place_of(block, unit)
        weight = self._arrays[f"{place}.weight"]
        if unit.depthwise:
            packed = np.zeros(unit.kernel**2 * padded(unit.c_out), np.float32)
            pack_depthwise(weight, unit.c_out, unit.kernel, affine.scale, packed)
            return Layer(packed, filled_up(affine.shift))
        if unit.kernel == 0:
            return _dense(weight[:, :, None, None], unit.c_in, 1, affine)
        if _by_winograd(block, unit):
            return self._winograd(place, unit, affine)
        layer = _dense(weight, unit.c_in, unit.kernel, affine)
        # In bfloat16 1x1 convolutions save little and lose most, and the few channels of an image save nothing.
        return _halved(layer, unit) if self._half and unit.kernel > 1 and unit.c_in >= UNIT else layer

    def _winograd(self, place: str, unit: Unit, affine: Affine) -> Layer:
        if place not in self._transformed:
            weight = self._arrays[f"{place}.weight"]
            margin = (weight.shape[2] - unit.kernel) // 2  # the central taps of a larger shared kernel
            cropped = weight[:, :, margin : margin + unit.kernel, margin : margin + unit.kernel]
            self._transformed[place] = transform_weights(cropped)
        inputs, outputs = padded(unit.c_in), padded(unit.c_out)
        packed = np.zeros((POINTS * inputs + 1) * outputs, np.float32)  # behind the weights what sums begin with
        pack_winograd(self._transformed[place], unit.c_out, unit.c_in, affine.scale, packed)
        return Layer(packed, filled_up(affine.shift), winograd=True)


def _dense(weight: Float32s, c_in: int, kernel: int, affine: Affine) -> Layer:
    c_out = len(affine.shift)
    packed = np.zeros(kernel**2 * padded(c_in) * padded(c_out), np.float32)
    pack_dense(weight, c_out, c_in, kernel, affine.scale, packed)
    return Layer(packed, filled_up(affine.shift))


def _halved(layer: Layer, unit: Unit) -> Layer:
    pairs = np.empty(len(layer.weights), np.uint16)
    pack_half(layer.weights, unit.c_out, unit.kernel**2 * padded(unit.c_in), pairs)
    return Layer(pairs.view(np.float32), layer.bias, half=True)


def _by_winograd(block: Block, unit: Unit) -> bool:
    """Whether a unit is a convolution for Winograd's filtering; the block's stride counts from its strided unit on."""
    if unit.depthwise or (unit.kernel, unit.stride) != (3, 1):
        return False
    before = takewhile(lambda one: one.name != unit.name, block.kind.units)
    stride = block.stride if any(one.strided for one in before) else 1
    return suits_winograd(-(-block.h_in // stride), -(-block.w_in // stride))
