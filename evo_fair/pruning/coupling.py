"""Which layers share channels: Torch-Pruning's dependency graph, walked so that no network keeps it busy for ever.

Torch-Pruning (Fang et al. 2023, DepGraph) follows channels from layer to layer and stops where it meets a set that it
has seen. Behind a slice that is tied to what it was cut from, as in `x * sigmoid(x[:, -1:])`, its indices are shifted
in each round, so that no set is ever seen again. A channel that a layer does not have tells that it went astray.

A gate of a single channel, as of attention in space, meets all channels alike and shares none of them; to
Torch-Pruning it is a layer with their first.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch_pruning
from torch import nn
from torch_pruning.dependency.dependency import Dependency

from evo_fair.errors import PruningError

__all__ = ["Coupled", "Item", "coupled_layers"]

_MOST_VISITS = 50
"""How often each dependency may be followed for one layer, on average; without slices it is about once."""

_MOST_INDICES = 20_000_000


class Item(NamedTuple):
    """A layer or an operation, and which of its channels `idxs` belong to which of the first layer's, `root_idxs`."""

    dep: Any
    idxs: list[int]
    root_idxs: list[int]


class Coupled(NamedTuple):
    """What shares channels with the layer `root`, or why that can't be told: then there is nothing but the reason."""

    root: nn.Module
    items: list[Item]
    reason: str | None = None


def coupled_layers(network: nn.Module, example: torch.Tensor) -> tuple[Any, list[Coupled]]:
    """The dependency graph of a network, and all sets of layers that share channels; raises whatever a library does.

    Args:
        network: The network.
        example: Normalised samples, float32 `[n, ...]`, to run the network on.
    """
    graph = torch_pruning.DependencyGraph().build_dependency(network, example, verbose=False)
    return graph, list(_all(graph))


def _all(graph: Any) -> Iterator[Coupled]:
    """As `DependencyGraph.get_all_groups` does, but where one layer can't be followed the others still are."""
    seen: set[nn.Module] = set()
    for module in list(graph.module2node):
        if not isinstance(module, torch_pruning.ops.TORCH_CONV | torch_pruning.ops.TORCH_LINEAR) or module in seen:
            continue
        try:
            items = _walk(graph, module)
            if len(items[0].idxs) == 1:  # what meets its only channel has others, or stays whole as it does
                items = items[:1]
        except PruningError as error:
            seen.add(module)
            yield Coupled(module, [], str(error))
            continue
        seen |= {item.dep.target.module for item in items if graph.is_out_channel_pruning_fn(item.dep.handler)}
        yield Coupled(module, items)


def _walk(graph: Any, module: nn.Module) -> list[Item]:
    """As `DependencyGraph.get_pruning_group` does for all of a layer's channels, within limits."""
    pruner = graph.get_pruner_of_module(module)
    function = pruner.prune_out_channels
    if isinstance(module, torch_pruning.ops.TORCH_CONV) and module.groups == module.out_channels > 1:
        function = torch_pruning.pruner.function.prune_depthwise_conv_out_channels
    node = graph.module2node[module]
    hybrid = torch_pruning._helpers._HybridIndex
    start = Dependency(function, function, source=node, target=node)
    steps = [(start, [hybrid(idx=i, root_idx=i) for i in range(pruner.get_out_channels(module))])]
    known: dict[Any, list[list[Any]]] = {_key(start): [steps[0][1]]}
    stack, visited = list(steps), set()
    most = 1000 + _MOST_VISITS * sum(len(each.dependencies) for each in graph.module2node.values())
    indices = 0
    while stack:
        dep, idxs = stack.pop()
        visited.add(dep.target)
        for following in dep.target.dependencies:
            if not following.is_triggered_by(dep.handler):
                continue
            new = idxs
            for mapping in following.index_mapping:
                if mapping is not None:
                    new = mapping(new)
            key = _key(following)
            if not new or (following.target in visited and new in known.get(key, ())):
                continue
            if len(new) > 1 and _is_of_one(graph, following):
                continue
            _check_inside(graph, following, new)
            indices += len(new)
            if len(steps) > most or indices > _MOST_INDICES:
                raise PruningError("its channels are cut apart and put together in ways that can't be followed")
            known.setdefault(key, []).append(new)
            steps.append((following, new))
            stack.append((following, new))
    return _merged(steps)


def _key(dep: Any) -> Any:
    return id(dep.target), dep.handler


def _is_of_one(graph: Any, dep: Any) -> bool:
    """Whether a dependency ends in what a layer with a single channel makes."""
    is_layer = isinstance(dep.target.module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d)
    return is_layer and graph.is_out_channel_pruning_fn(dep.handler) and graph.get_out_channels(dep.target) == 1


def _check_inside(graph: Any, dep: Any, idxs: list[Any]) -> None:
    module = dep.target.module
    if not isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):  # others stay whole anyway
        return
    count = graph.get_out_channels if graph.is_out_channel_pruning_fn(dep.handler) else graph.get_in_channels
    channels = count(dep.target)
    if channels is not None and not all(0 <= index.idx < channels for index in idxs):
        raise PruningError("some of its channels are cut out and meet the others, so that they can't be told apart")


def _merged(steps: list[tuple[Any, list[Any]]]) -> list[Item]:
    """One item for each layer and role; what was found of it several times is put together, each index once."""
    merged: dict[Any, tuple[Any, list[Any]]] = {}
    for dep, idxs in steps:
        key = _key(dep)
        if key not in merged:
            merged[key] = dep, idxs
            continue
        first: dict[int, Any] = {}
        for index in (*merged[key][1], *idxs):
            first.setdefault(index.idx, index)
        merged[key] = merged[key][0], list(first.values())
    return [Item(dep, [i.idx for i in idxs], [i.root_idx for i in idxs]) for dep, idxs in merged.values()]
