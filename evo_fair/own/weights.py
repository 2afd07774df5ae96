"""The weights of a network's layers as the proxy's kernels want them, without the channels that leave."""

from collections.abc import Mapping

import numpy as np
from torch import nn

from evo_fair.arrays import Bools, Float32s, Floats, Ints
from evo_fair.own.steps import ForwardStep
from evo_fair.proxy.folding import Affine
from evo_fair.proxy.packing import pack_dense, pack_depthwise
from evo_fair.proxy.program import Layer, filled_up, padded
from evo_fair.proxy.winograd import POINTS, pack_winograd, suits_winograd, transform_weights
from evo_fair.pruning.structure import ChannelGroup, Keep, module_of

__all__ = ["StageWeights"]


class StageWeights:
    """The weights of a network, of whose channel groups some channels stay.

    `keep` says which ones, bool `[channels]` by group; a group that is left out stays whole.
    """

    def __init__(self, network: nn.Module, groups: Mapping[str, ChannelGroup]) -> None:
        self._modules = dict(network.named_modules())
        self._tensors = {name: tensor.detach().numpy() for name, tensor in network.state_dict(keep_vars=True).items()}
        self._cuts: dict[tuple[str, int], list[tuple[str, Ints, Ints]]] = {}
        self._transformed: dict[str, Float32s] = {}
        found: dict[str, dict[str, None]] = {name: {} for name in self._modules}
        for name, group in groups.items():
            for member in group.members:
                self._cuts.setdefault((member.tensor, member.dim), []).append((name, member.slices, member.channel))
                found[module_of(member.tensor)][name] = None
        self.groups_of = {module: tuple(names) for module, names in found.items()}
        """By module the groups that its channels belong to."""

    def size(self, step: ForwardStep) -> int:
        """How many numbers the whole weight of a step has; 0 for a step without a layer."""
        return int(self._tensors[f"{step.layer}.weight"].size) if step.layer else 0

    def channels(self, step: ForwardStep, keep: Keep) -> int:
        """How many channels a layer's step makes."""
        return len(self._kept(f"{step.layer}.weight", 0, keep))

    def norm(self, step: ForwardStep, mean: Floats, variance: Floats, keep: Keep) -> Affine:
        """What a step's batch norm does where its inputs have this mean and variance, `[channels]` or more each."""
        module = self._modules[step.norm]
        assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        kept = self._kept(f"{step.norm}.running_mean", 0, keep)
        scale = 1 / np.sqrt(variance[: len(kept)] + module.eps)
        shift = -mean[: len(kept)] * scale
        if module.affine:
            gamma, beta = (self._tensors[f"{step.norm}.{name}"][kept] for name in ("weight", "bias"))
            scale, shift = scale * gamma, shift * gamma + beta
        return Affine(scale.astype(np.float32), shift.astype(np.float32))

    def layer(self, step: ForwardStep, keep: Keep, size: tuple[int, int], affine: Affine | None = None) -> Layer:
        """A step's layer that makes maps of a height and width, with what `affine` does to them."""
        name = f"{step.layer}.weight"
        weight = self._tensors[name]
        outputs = self._kept(name, 0, keep)
        bias = self._tensors.get(f"{step.layer}.bias")
        shift = np.zeros(len(outputs), np.float32) if bias is None else bias[outputs]
        scale = np.ones(len(outputs), np.float32)
        if affine is not None:
            scale, shift = affine.scale, shift * affine.scale + affine.shift
        if step.kind == "depthwise":
            packed = np.zeros(step.kernel**2 * padded(len(outputs)), np.float32)
            pack_depthwise(weight[outputs], len(outputs), step.kernel, scale, packed)
            return Layer(packed, filled_up(shift))
        inputs = self._kept(name, 1, keep)
        if step.kernel == 3 and step.stride == 1 and suits_winograd(*size):
            return self._winograd(step, outputs, inputs, scale, shift)
        if weight.ndim == 2:
            weight = weight[:, :, None, None]
        packed = np.zeros(step.kernel**2 * padded(len(inputs)) * padded(len(outputs)), np.float32)
        cut = np.ascontiguousarray(weight[outputs][:, inputs])
        pack_dense(cut, len(outputs), len(inputs), step.kernel, scale, packed)
        return Layer(packed, filled_up(shift))

    def _winograd(self, step: ForwardStep, outputs: Ints, inputs: Ints, scale: Float32s, shift: Float32s) -> Layer:
        if step.layer not in self._transformed:
            self._transformed[step.layer] = transform_weights(self._tensors[f"{step.layer}.weight"])
        cut = np.ascontiguousarray(self._transformed[step.layer][:, inputs][:, :, outputs])
        packed = np.zeros((POINTS * padded(len(inputs)) + 1) * padded(len(outputs)), np.float32)
        pack_winograd(cut, len(outputs), len(inputs), scale, packed)
        return Layer(packed, filled_up(shift), winograd=True)

    def _kept(self, tensor: str, dim: int, keep: Keep) -> Ints:
        """The slices of a tensor along a dimension that stay, ascending."""
        stays: Bools = np.ones(self._tensors[tensor].shape[dim], np.bool_)
        for group, slices, channel in self._cuts.get((tensor, dim), ()):
            if group in keep:
                stays[slices[~keep[group][channel]]] = False
        return np.flatnonzero(stays)
