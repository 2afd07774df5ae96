"""Takes channels out of a network: physically, or by masks that compute the same."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from evo_fair.nets import Network
from evo_fair.pruning.structure import ChannelGroup, Keep, Structure, module_of
from evo_fair.space import Block
from evo_fair.space.kinds import Channels

__all__ = ["FollowingMask", "Mask", "apply_mask", "channel_mask", "masked", "remove_channels"]


@dataclass(frozen=True)
class Mask:
    """What stays of a network.

    Args:
        values: bool tensors by parameter, True where a value stays; parameters that are
            left out are untouched.
        keep: Which channels stay, where whole channels leave. Default: None, for a mask
            of single weights.
    """

    values: Mapping[str, torch.Tensor]
    keep: Keep | None = None


def channel_mask(network: nn.Module, structure: Structure, keep: Keep) -> Mask:
    """The mask that silences the channels that don't stay: weights, biases and batch norms that make or read them.

    Args:
        network: The network.
        structure: The weights and channels that can leave.
        keep: Which channels stay.
    """
    tensors = dict(network.named_parameters())
    values: dict[str, torch.Tensor] = {}
    for name, stays in keep.items():
        for member in structure.groups[name].members:
            if member.role == "statistic":
                continue
            mask = values.setdefault(member.tensor, torch.ones_like(tensors[member.tensor], dtype=torch.bool))
            gone = torch.from_numpy(member.slices[~stays[member.channel]]).to(mask.device)
            mask.index_fill_(member.dim, gone, False)
    return Mask(values, {name: np.asarray(stays, np.bool_) for name, stays in keep.items()})


@torch.no_grad()
def apply_mask(network: nn.Module, mask: Mask) -> None:
    """Sets all that doesn't stay to 0, in place.

    Args:
        network: The network.
        mask: What stays.
    """
    FollowingMask(mask).apply(network)


class FollowingMask:
    """A mask applied after every step of a training: it is kept where the network is, and what changes in it follows.

    Args:
        mask: What stays.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._placed: dict[str, tuple[int, torch.Tensor]] = {}

    @torch.no_grad()
    def apply(self, network: nn.Module) -> None:
        """Sets all that doesn't stay to 0, in place.

        Args:
            network: The network.
        """
        tensors = dict(network.named_parameters())
        for name, stays in self._mask.values.items():
            change = 0 if stays.is_inference() else stays._version
            known, placed = self._placed.get(name, (-1, stays))
            if known != change or placed.device != tensors[name].device:
                placed = stays.to(tensors[name].device)
                self._placed[name] = change, placed
            tensors[name].mul_(placed)


def masked(network: nn.Module, mask: Mask) -> nn.Module:
    """A copy of `network` with all that doesn't stay at 0.

    Args:
        network: The network.
        mask: What stays.
    """
    copied = copy.deepcopy(network)
    apply_mask(copied, mask)
    return copied


def remove_channels(network: nn.Module, groups: Mapping[str, ChannelGroup], keep: Keep) -> nn.Module:
    """A copy of `network` without the channels that don't stay: smaller tensors, the rest in its order.

    Args:
        network: The network.
        groups: The channel groups by name.
        keep: Which channels stay.
    """
    smaller = copy.deepcopy(network)
    modules = dict(smaller.named_modules())
    left: dict[tuple[str, int], torch.Tensor] = {}  # several groups can shorten one dimension, behind a concatenation
    for name, stays in keep.items():
        for member in groups[name].members:
            module, _, tensor = member.tensor.rpartition(".")
            size = getattr(modules[module], tensor).shape[member.dim]
            whole = left.setdefault((member.tensor, member.dim), torch.ones(size, dtype=torch.bool))
            whole[torch.from_numpy(member.slices[~stays[member.channel]])] = False
    for (name, dim), stays_here in left.items():
        _shorten(modules[module_of(name)], name.rpartition(".")[2], dim, stays_here)
    for module_name in {module_of(name) for name, _ in left}:
        _state_sizes(modules[module_name])
    if isinstance(smaller, Network):
        smaller.blocks = tuple(_present(smaller, block) for block in smaller.blocks)
    return smaller


def _shorten(module: nn.Module, name: str, dim: int, stays: torch.Tensor) -> None:
    tensor = getattr(module, name)
    shorter = tensor.detach().index_select(dim, stays.nonzero()[:, 0].to(tensor.device))
    if isinstance(tensor, nn.Parameter):
        shorter = nn.Parameter(shorter, tensor.requires_grad)
    setattr(module, name, shorter)


def _state_sizes(module: nn.Module) -> None:
    """Makes a layer's own account of its channels agree with its tensors."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        held = module.weight if module.weight is not None else module.running_mean
        assert held is not None
        module.num_features = len(held)
    elif isinstance(module, nn.Conv2d):
        depthwise = module.groups > 1
        module.out_channels = module.weight.shape[0]
        module.in_channels = module.out_channels if depthwise else module.weight.shape[1]
        module.groups = module.out_channels if depthwise else 1


def _present(network: Network, block: Block) -> Block:
    """The block with the channel counts that its units have now."""
    widths = {Channels.IN: block.c_in, Channels.HIDDEN: block.hidden, Channels.OUT: block.c_out}
    for unit in block.kind.units:
        layer = network.unit(block, unit.name).layer
        if isinstance(layer, nn.Linear):
            widths[unit.takes], widths[unit.gives] = layer.in_features, layer.out_features
        else:
            widths[unit.takes], widths[unit.gives] = layer.in_channels, layer.out_channels
    return block._replace(c_in=widths[Channels.IN], hidden=widths[Channels.HIDDEN], c_out=widths[Channels.OUT])
