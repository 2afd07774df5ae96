"""The structure of a network, found by tracing it with Torch-Pruning's dependency graph."""

import copy
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.nets.failures import failure
from evo_fair.pruning.coupling import Item, coupled_layers
from evo_fair.pruning.structure import ChannelGroup, Member, Role, Structure, computes_weights, module_of
from evo_fair.pruning.trials import breaking_groups
from evo_fair.time_limit import OutOfTime, time_limit

__all__ = ["OUTPUTS", "trace_structure"]

OUTPUTS = "its channels are the network's outputs"
"""Why a network's last layer keeps its channels."""

SECONDS = 30.0
"""For how long a network is traced; a reference network takes a second."""

TRIAL_SECONDS = 300.0
"""For how long it is tried without some of its channels."""


def trace_structure(network: nn.Module, example: torch.Tensor) -> Structure:
    """The structure of `network`, traced on a normalised `example` `[n, ...]`; the network is left as it is.

    Torch-Pruning's dependency graph (Fang et al. 2023, DepGraph) finds what belongs together. A group stays whole, and
    its reason is kept, where it holds the network's outputs, a layer of another kind than convolution (plain or
    depthwise), linear and batch norm, one that computes its weight, as weight norm does, or shares it with another, or
    where the network no longer runs without some of its channels, or then computes something else than with those at 0.
    All do where the network can't be traced, or not within `SECONDS`; single weights can be pruned nevertheless. Raises
    `PruningError` where there are none.
    """
    parameters = {name for name, _ in network.named_parameters()}  # what two layers share has the name of the first
    layers = (name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear))
    weights = tuple(weight for name in layers if (weight := f"{name}.weight" if name else "weight") in parameters)
    if not weights:
        if any(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()):
            raise PruningError(
                "all convolutions and linear layers of the network compute their weights, as weight norm does: take "
                "that off first, as torch.nn.utils.parametrize.remove_parametrizations does"
            )
        raise PruningError("the network has no convolution and no linear layer: there is nothing to prune")
    try:
        with torch.enable_grad(), warnings.catch_warnings(), time_limit(SECONDS):
            warnings.simplefilter("ignore")  # of what it can't follow: the trials tell
            groups, fixed = _channel_groups(network, example)
    except OutOfTime:
        return _untraced(weights, f"the network can't be traced for pruning within {SECONDS:g} seconds")
    except Exception as error:  # a user's module can fail in any way, and Torch-Pruning in it
        return _untraced(weights, f"the network can't be traced for pruning ({failure(error)})")
    try:
        with time_limit(TRIAL_SECONDS):
            broken = breaking_groups(network, groups, example)
    except OutOfTime:
        return _untraced(weights, f"the network can't be tried without some channels within {TRIAL_SECONDS:g} seconds")
    for name, reason in broken:
        fixed |= dict.fromkeys(groups.pop(name).layers, reason)
    return Structure(groups, weights, fixed)


def _untraced(weights: Iterable[str], reason: str) -> Structure:
    """A structure of which all stays whole, for one reason."""
    weights = tuple(weights)
    return Structure({}, weights, {module_of(weight): reason for weight in weights})


def _channel_groups(network: nn.Module, example: torch.Tensor) -> tuple[dict[str, ChannelGroup], dict[str, str]]:
    """The groups of channels that may be pruned, in the order of their layers, and why other layers stay whole."""
    traced = copy.deepcopy(network).eval()
    for parameter in traced.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    names = {module: name for name, module in traced.named_modules()}
    order = {name: number for number, name in enumerate(names.values())}
    own = {name for name, _ in (*traced.named_parameters(), *traced.named_buffers())}
    graph, found = coupled_layers(traced, example[:2])
    groups: dict[str, ChannelGroup] = {}
    fixed: dict[str, str] = {}
    for root, items, astray in found:
        if astray is not None:
            fixed[names[root]] = astray
            continue
        group = _channel_group(graph, items, names)
        if group.name in groups:  # it makes the channels of two groups, as a shortcut around a concatenation does
            group = replace(group, name=names[root])
        reason = _hindrance(graph, items, names) or _shared(group, own)
        if reason is None and group.size < 2:
            reason = "it has a single channel"
        if reason is None:
            groups[group.name] = group
        else:
            fixed |= dict.fromkeys(group.layers or (group.name,), reason)
    for module, name in names.items():
        if isinstance(module, nn.Conv2d | nn.Linear) and not any(name in g.layers for g in groups.values()):
            fixed.setdefault(name, "the trace does not reach it, or it shares its channels with the network's input")
    return dict(sorted(groups.items(), key=lambda item: order[item[0]])), fixed


def _shared(group: ChannelGroup, own: set[str]) -> str | None:
    """Why a group has to stay whole of which a tensor is another layer's, too, or None."""
    for member in group.members:
        if member.tensor not in own:
            return f"{module_of(member.tensor)!r} shares its {member.tensor.rpartition('.')[2]} with another layer"
    return None


def _makes(graph: Any, item: Any) -> bool:
    return bool(graph.is_out_channel_pruning_fn(item.dep.handler))


def _depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels > 1


def _channel_group(graph: Any, items: list[Item], names: Mapping[nn.Module, str]) -> ChannelGroup:
    members: list[Member] = []
    makers: list[str] = []
    root = items[0]
    for item in items:
        module = item.dep.target.module
        if not isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        makes = _makes(graph, item)
        name = names[module]
        if makes and isinstance(module, nn.Conv2d | nn.Linear) and not _depthwise(module):
            makers.append(name)
        index, channel = np.asarray(item.idxs, np.int64), np.asarray(item.root_idxs, np.int64)
        members += _members(module, name, makes, index, channel)
    order = {name: number for number, name in enumerate(names.values())}
    members.sort(key=lambda member: order[module_of(member.tensor)])
    name = min(makers, key=lambda maker: order[maker]) if makers else names.get(root.dep.target.module, "?")
    return ChannelGroup(name, len(root.idxs), tuple(members))


def _members(
    module: nn.Module, name: str, makes: bool, index: npt.NDArray[np.int64], channel: npt.NDArray[np.int64]
) -> Iterable[Member]:
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        roles: list[tuple[str, Role]] = [("weight", "scale"), ("bias", "shift")]
        roles += [("running_mean", "statistic"), ("running_var", "statistic")]
        for tensor, role in roles:
            if getattr(module, tensor) is not None:
                yield Member(f"{name}.{tensor}", 0, index, channel, role, True)
        return
    makes = makes or _depthwise(module)
    yield Member(f"{name}.weight", 0 if makes else 1, index, channel, "weight", makes)
    if makes and module.bias is not None:
        yield Member(f"{name}.bias", 0, index, channel, "shift", True)


def _hindrance(graph: Any, items: list[Item], names: Mapping[nn.Module, str]) -> str | None:
    """Why a group has to stay whole, or None."""
    for item in items:
        node = item.dep.target
        module = node.module
        named = names.get(module) if isinstance(module, nn.Module) else None
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d) and computes_weights(module):
            return f"{named!r} computes its weight from other tensors, as weight norm does"
        if _makes(graph, item) and not node.outputs:
            return OUTPUTS
        if isinstance(module, nn.Conv2d):
            if module.groups > 1 and not _depthwise(module):
                return f"{named!r} is a convolution in {module.groups} groups, neither plain nor depthwise"
        elif isinstance(module, nn.Parameter):
            return "its channels meet a parameter that belongs to no layer"
        elif named is not None and not isinstance(module, nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            return f"its channels go through {named!r}, a {type(module).__name__}"
    return None
