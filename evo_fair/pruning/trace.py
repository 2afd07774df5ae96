"""The structure of a network, found by tracing it with Torch-Pruning's dependency graph."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch_pruning
from torch import nn

from evo_fair.errors import PruningError, in_a_line
from evo_fair.pruning.removal import channel_mask, masked, remove_channels
from evo_fair.pruning.structure import ChannelGroup, Member, Role, Structure, module_of, training_mode

__all__ = ["OUTPUTS", "trace_structure"]

OUTPUTS = "its channels are the network's outputs"
"""Why a network's last layer keeps its channels."""

SAME = 1e-4
"""By how much of the largest output two networks that compute the same may differ."""


def trace_structure(network: nn.Module, example: torch.Tensor) -> Structure:
    """The structure of `network`, traced on a normalised `example` `[n, ...]`; the network is left as it is.

    Torch-Pruning's dependency graph (Fang et al. 2023, DepGraph) finds what belongs together. A group stays whole, and
    its reason is kept, where it holds the network's outputs, a layer of another kind than convolution (plain or
    depthwise), linear and batch norm, or one that computes its weight, as weight norm does, or where the network no
    longer runs without one of its channels, or then computes something else than with that channel at 0. Raises
    `PruningError` where the network can't be traced.
    """
    traced = copy.deepcopy(network).requires_grad_(True).eval()
    names = {module: name for name, module in traced.named_modules()}
    try:
        graph = torch_pruning.DependencyGraph().build_dependency(traced, example[:2], verbose=False)
        found = [list(group) for group in graph.get_all_groups()]
    except Exception as error:  # a user's module can fail in any way
        raise PruningError(f"the network can't be traced for pruning ({in_a_line(error)}): mend its forward") from error
    groups: dict[str, ChannelGroup] = {}
    fixed: dict[str, str] = {}
    for items in found:
        group = _channel_group(graph, items, names)
        reason = _hindrance(graph, items, names)
        if reason is None and group.size < 2:
            reason = "it has a single channel"
        if reason is None:
            groups[group.name] = group
        else:
            fixed |= dict.fromkeys(group.layers or (group.name,), reason)
    for module, name in names.items():
        if isinstance(module, nn.Conv2d | nn.Linear) and not any(name in g.layers for g in groups.values()):
            fixed.setdefault(name, "the trace does not reach it, or it shares its channels with the network's input")
    for name, reason in _breaking(network, groups, example):
        fixed |= dict.fromkeys(groups.pop(name).layers, reason)
    weights = tuple(
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and isinstance(module.weight, nn.Parameter)
    )
    if not weights:
        raise PruningError("the network has no convolution and no linear layer: there is nothing to prune")
    order = {name: number for number, name in enumerate(names.values())}
    return Structure(dict(sorted(groups.items(), key=lambda item: order[item[0]])), weights, fixed)


def _computed(module: nn.Module) -> bool:
    """Whether a layer's weight or bias is no parameter of its own."""
    held = (getattr(module, name) for name in ("weight", "bias"))
    return any(tensor is not None and not isinstance(tensor, nn.Parameter) for tensor in held)


def _makes(graph: Any, item: Any) -> bool:
    return bool(graph.is_out_channel_pruning_fn(item.dep.handler))


def _depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels > 1


def _channel_group(graph: Any, items: list[Any], names: Mapping[nn.Module, str]) -> ChannelGroup:
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


def _hindrance(graph: Any, items: list[Any], names: Mapping[nn.Module, str]) -> str | None:
    """Why a group has to stay whole, or None."""
    for item in items:
        node = item.dep.target
        module = node.module
        named = names.get(module) if isinstance(module, nn.Module) else None
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d) and _computed(module):
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


def _breaking(network: nn.Module, groups: Mapping[str, ChannelGroup], example: torch.Tensor) -> list[tuple[str, str]]:
    """The groups without whose first channel the network does not compute what it does with that at 0, and why."""

    structure = Structure(groups, (), {})

    def outputs(changed: nn.Module) -> torch.Tensor:
        with torch.no_grad(), training_mode(changed, False):
            made: torch.Tensor = changed(example[:2])
        return made

    def attempt(names: Iterable[str]) -> str | None:
        keep = {name: np.arange(groups[name].size) > 0 for name in names}
        try:
            silenced = outputs(masked(network, channel_mask(network, structure, keep)))
            without = outputs(remove_channels(network, groups, keep))
        except Exception as error:  # whatever a user's forward does with the wrong number of channels
            return f"the network does not run without one of them ({in_a_line(error)})"
        most = SAME * float(silenced.abs().max())
        same = silenced.shape == without.shape and torch.allclose(silenced, without, rtol=0, atol=most, equal_nan=True)
        return None if same else "without one of them the network computes something else than with it at 0"

    if attempt(groups) is None:
        return []
    found = {name: attempt([name]) for name in groups}
    return [(name, reason) for name, reason in found.items() if reason]
