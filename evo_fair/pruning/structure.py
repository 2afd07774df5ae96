"""Which channels of a network belong together: what pruning can take out, and what it can't."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn

from evo_fair.errors import PruningError

__all__ = ["ChannelGroup", "Keep", "Member", "Structure", "computes_weights", "module_of", "training_mode"]

Role = Literal["weight", "scale", "shift", "statistic"]
Keep = Mapping[str, npt.NDArray[np.bool_]]
"""Which channels stay, bool `[channels]` by the name of the group; a group that is left out stays whole."""


class Member(NamedTuple):
    """Slices of one tensor that belong to a group's channels.

    Args:
        tensor: The name of a parameter or buffer.
        dim: The axis of its slices.
        slices: Positions along `dim`, int64 `[n]`.
        channel: The channel that each slice belongs to, int64 `[n]`.
        role: `weight` for weights of convolutions and linear layers, `scale` and
            `shift` for those of batch norm and for biases, `statistic` for running
            statistics.
        makes: Whether the layer makes the channels, or else reads them.
    """

    tensor: str
    dim: int
    slices: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    role: Role
    makes: bool


@dataclass(frozen=True)
class ChannelGroup:
    """Channels tied across layers by depthwise convolutions, batch norms and shortcuts: they stay or leave together.

    Args:
        name: The name of the first convolution or linear layer that makes them.
        size: How many channels there are.
        members: The slices of tensors that belong to them.
    """

    name: str
    size: int
    members: tuple[Member, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that make the channels."""
        return tuple(dict.fromkeys(module_of(m.tensor) for m in self.members if m.makes and m.role == "weight"))


@dataclass(frozen=True)
class Structure:
    """What can be pruned in a network, and what can't.

    Args:
        groups: The channel groups by name.
        weights: The names of the parameters whose single weights can go.
        fixed: Why other layers stay whole, by the layer's name.
    """

    groups: Mapping[str, ChannelGroup]
    weights: tuple[str, ...]
    fixed: Mapping[str, str]

    def group_of(self, layer: str) -> ChannelGroup:
        """The group whose channels a layer makes.

        Args:
            layer: The layer's name.

        Returns:
            The group.

        Raises:
            PruningError: There is none; the message says why.
        """
        for group in self.groups.values():
            if layer == group.name or layer in group.layers:
                return group
        if layer in self.fixed:
            raise PruningError(f"the channels of layer {layer!r} can't be pruned: {self.fixed[layer]}")
        known = ", ".join(self.groups)
        raise PruningError(f"layer {layer!r} can't be pruned: there is no layer of that name; expected one of {known}")


def module_of(tensor: str) -> str:
    """The name of the module that owns a parameter or buffer.

    Args:
        tensor: The parameter's or buffer's name.

    Returns:
        The module's name.
    """
    return tensor.rpartition(".")[0]


def computes_weights(layer: nn.Module) -> bool:
    """Whether a layer's weight or bias is no parameter of its own, as with weight norm.

    Args:
        layer: A convolution, linear layer or batch norm.

    Returns:
        Whether one of them is computed from other tensors.
    """
    held = (getattr(layer, name) for name in ("weight", "bias"))
    return any(tensor is not None and not isinstance(tensor, nn.Parameter) for tensor in held)


class training_mode:  # noqa: N801 - reads like torch.no_grad
    """Puts a network into training or evaluation mode for a block, and each of its modules back afterwards.

    Args:
        network: The network.
        training: Whether into training mode.
    """

    def __init__(self, network: nn.Module, training: bool) -> None:
        self._network = network
        self._training = training

    def __enter__(self) -> None:
        self._before = {module: module.training for module in self._network.modules()}
        self._network.train(self._training)

    def __exit__(self, *_: object) -> None:
        for module, training in self._before.items():
            module.training = training
