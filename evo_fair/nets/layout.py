"""Memory layouts: channels-last for our networks, and for those that people bring what plain torch gives them."""

from typing import Any

import torch
from torch import nn

__all__ = ["channels_last", "give_own_inputs", "has_own_inputs"]


def give_own_inputs(network: nn.Module) -> nn.Module:
    """Hands a network a contiguous copy of its inputs in every call, and keeps its weights in their own layout.

    `x.view` behind a convolution, legal on contiguous tensors, then works as in plain torch, and a network that changes
    its input in place changes nothing but its copy. Copies of the network do so, too.
    """
    if not has_own_inputs(network):
        network.register_forward_pre_hook(_copied)
    return network


def has_own_inputs(network: nn.Module) -> bool:
    """Whether `give_own_inputs` has seen to this network, or to one that it is a copy of."""
    return _copied in network._forward_pre_hooks.values()


def channels_last(network: nn.Module) -> nn.Module:
    """Brings a network's convolutions into channels-last layout, in place, unless its layout is its owner's."""
    if not has_own_inputs(network):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _copied(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copies of the tensors; the exporter also hands over what an argument is by default."""
    return tuple(x.clone(memory_format=torch.contiguous_format) if isinstance(x, torch.Tensor) else x for x in inputs)
