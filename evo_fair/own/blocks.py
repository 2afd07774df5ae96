"""Whole blocks of a network that can be left out: without them their input takes their output's place.

A block is a module with a residual: with all its weights at 0 it gives back its input. That is tried, whatever its
forward looks like.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from evo_fair.pruning.structure import ChannelGroup, module_of

__all__ = ["removable_blocks", "without_blocks"]


@torch.no_grad()
def removable_blocks(
    network: nn.Module, groups: Mapping[str, ChannelGroup], example: torch.Tensor
) -> dict[str, tuple[str, ...]]:
    """The blocks that can be left out by the names of their modules, and the channel groups that lie within each.

    `example` are normalised inputs `[n, ...]` on which this is tried. Of blocks within each other the inner ones count.
    """
    network = copy.deepcopy(network).eval()
    names = [name for name, module in network.named_modules() if name and _has_layers(module)]
    names = [name for name in names if any(True for _ in network.get_submodule(name).children())]
    calls = _calls(network, names, example)
    found: list[str] = []
    for name in reversed(names):  # inner ones come after those around them
        inner = any(other.startswith(f"{name}.") for other in found)
        if not inner and len(calls[name]) == 1 and _gives_back(network.get_submodule(name), *calls[name][0]):
            found.append(name)
    blocks = {}
    for name in reversed(found):
        within = (group for group, channels in groups.items() if _lies_within(channels, name))
        if _runs_without(network, name, example):
            blocks[name] = tuple(within)
    return blocks


def without_blocks(network: nn.Module, names: Iterable[str]) -> nn.Module:
    """The network itself, with nothing in the place of some blocks, under whatever names its modules hold them."""
    blocks = [network.get_submodule(name) for name in names]
    for module in list(network.modules()):
        for own, part in module._modules.items():
            if any(part is block for block in blocks):
                setattr(module, own, nn.Identity())
    return network


def _has_layers(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules())


def _calls(network: nn.Module, names: Iterable[str], x: torch.Tensor) -> dict[str, list[tuple[Any, Any]]]:
    """By module what it was given and what it gave; a call of another kind than tensor to tensor is kept as `None`."""
    calls: dict[str, list[tuple[Any, Any]]] = {name: [] for name in names}

    def listen(name: str) -> Any:
        def hear(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], made: Any) -> None:
            plain = len(given) == 1 and not named and isinstance(given[0], torch.Tensor)
            calls[name].append((given[0].clone(), made) if plain else (None, made))

        return hear

    hooks = [network.get_submodule(name).register_forward_hook(listen(name), with_kwargs=True) for name in calls]
    try:
        network(x.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _gives_back(module: nn.Module, given: Any, made: Any) -> bool:
    """Whether a module gives back its input where all its weights are 0."""
    if given is None or not isinstance(made, torch.Tensor) or made.shape != given.shape or not bool(given.any()):
        return False
    silent = copy.deepcopy(module)
    for parameter in silent.parameters():
        parameter.zero_()
    for part in silent.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.reset_running_stats()
    try:
        return bool(torch.equal(silent(given.clone()), given))
    except Exception:  # a user's forward can fail in any way
        return False


def _runs_without(network: nn.Module, name: str, x: torch.Tensor) -> bool:
    """Whether the network still runs, and without the block.

    What is around a block may ask it for more than its output, and may hold on to it in a list, say.
    """
    without = copy.deepcopy(network)
    calls: list[str] = []
    without.get_submodule(name).register_forward_hook(lambda *_: calls.append(name))
    try:
        made = without_blocks(without, [name])(x.clone())
    except Exception:  # a user's forward can fail in any way
        return False
    return not calls and bool(torch.isfinite(made).all())


def _lies_within(group: ChannelGroup, block: str) -> bool:
    return all(module_of(member.tensor).startswith(f"{block}.") for member in group.members)
