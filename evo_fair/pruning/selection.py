"""From scores to what stays: uniform by layer, global, or in given shares; whole channels or single weights."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.arrays import Floats
from evo_fair.errors import PruningError, UnknownNameError
from evo_fair.pruning.criteria import Scores
from evo_fair.pruning.removal import Mask, channel_mask
from evo_fair.pruning.structure import Structure

__all__ = [
    "SCOPES",
    "STRUCTURES",
    "UNSTRUCTURED",
    "Scope",
    "StructureKind",
    "check_prunable",
    "check_sparsity",
    "choose",
    "choose_given",
    "choose_parts",
    "count_kept",
    "shares_by_part",
]

StructureKind = Literal["structured", "unstructured"]
Scope = Literal["uniform", "global"]
STRUCTURES: tuple[StructureKind, ...] = ("structured", "unstructured")

UNSTRUCTURED = "use --structure unstructured of evo-fair prune"
"""The way out for a network that loses no channels, which a search has not."""

SCOPES: tuple[Scope, ...] = ("uniform", "global")

Stays = dict[str, npt.NDArray[np.bool_]]


def check_sparsity(sparsity: float, what: str = "sparsity") -> None:
    """Raises `PruningError` unless `sparsity` lies in [0, 1).

    Args:
        sparsity: The share that leaves, 0 to below 1.
        what: What it is called in the message. Default: `sparsity`.
    """
    if not 0 <= sparsity < 1:
        raise PruningError(f"{what} {sparsity:g} is outside [0, 1): give the share that leaves, such as 0.5")


def choose(
    network: nn.Module,
    structure: Structure,
    scores: Scores,
    sparsity: float,
    kind: StructureKind,
    scope: Scope,
    already: Mask | None = None,
) -> Mask:
    """The mask that takes out the share `sparsity` of all channels (`structured`) or of all weights (`unstructured`).

    `uniform` takes it from each layer (each group of channels) alike, `global` from
    wherever scores are lowest. At least one channel of each group and one weight of
    each layer stays; of equal scores the first goes first. What an earlier mask
    `already` took out is among what leaves.

    Args:
        network: The network.
        structure: The weights and channels that can leave.
        scores: What each of them is worth; the lowest leave first.
        sparsity: The share that leaves, 0 to below 1.
        kind: `structured`, whole channels leave, or `unstructured`, single weights do.
        scope: `global`, or `uniform` by layer.
        already: An earlier mask. Default: none.
    """
    check_sparsity(sparsity)
    if kind not in STRUCTURES:
        raise UnknownNameError("structure", kind, list(STRUCTURES))
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, list(SCOPES))
    parts = _parts(structure, scores, kind)
    if already is not None:
        parts = {name: _lowest_where_gone(part, already, name) for name, part in parts.items()}
    if scope == "uniform":
        return _mask(network, structure, {name: _best(s, sparsity) for name, s in parts.items()}, kind)
    return _mask(network, structure, _best_of_all(parts, sparsity), kind)


def choose_given(
    network: nn.Module, structure: Structure, scores: Scores, ratios: Mapping[str, float], kind: StructureKind
) -> Mask:
    """The mask that takes the given share out of each named layer; the others stay whole.

    Layers are named as modules of the network; one whose channels are tied to others
    takes those along. Raises `PruningError` for a layer that can't be pruned, saying
    why, and for a share outside [0, 1).

    Args:
        network: The network.
        structure: The weights and channels that can leave.
        scores: What each of them is worth; the lowest leave first.
        ratios: Shares by layer, 0 to below 1.
        kind: `structured`, whole channels leave, or `unstructured`, single weights do.
    """
    shares = shares_by_part(structure, ratios, kind)
    if kind == "unstructured":
        shares = dict.fromkeys(structure.weights, 0.0) | shares
    return choose_parts(network, structure, scores, shares, kind)


def shares_by_part(structure: Structure, ratios: Mapping[str, float], kind: StructureKind) -> dict[str, float]:
    """The shares that leave, by channel group or weight, from those by layer; raises as `choose_given` says.

    Args:
        structure: The weights and channels that can leave.
        ratios: Shares by layer, 0 to below 1.
        kind: `structured`, whole channels leave, or `unstructured`, single weights do.
    """
    shares: dict[str, float] = {}
    for layer, ratio in ratios.items():
        check_sparsity(ratio, f"the share of layer {layer!r},")
        if kind == "structured":
            name = structure.group_of(layer).name
        else:
            name = f"{layer}.weight"
            if name not in structure.weights:
                known = ", ".join(weight.removesuffix(".weight") for weight in structure.weights)
                raise PruningError(
                    f"layer {layer!r} can't be pruned: it is no convolution or linear layer with a weight of its own; "
                    f"expected one of {known}"
                )
        if name in shares:
            raise PruningError(
                f"layer {layer!r} shares its channels with {name!r}, which has a share already: drop one"
            )
        shares[name] = ratio
    return shares


def check_prunable(structure: Structure, kind: StructureKind) -> None:
    """Raises `PruningError` with every layer's reason for a network of which no channel can leave.

    Args:
        structure: The weights and channels that can leave.
        kind: `structured`, whole channels leave, or `unstructured`, single weights do.
    """
    if kind == "structured" and not structure.groups:
        reasons: dict[str, list[str]] = {}
        for layer, reason in structure.fixed.items():
            reasons.setdefault(reason, []).append(layer)
        why = "; ".join(f"{', '.join(layers)}: {reason}" for reason, layers in reasons.items())[:1000]
        raise PruningError(f"no layer of the network can lose channels ({why}): {UNSTRUCTURED}")


def choose_parts(
    network: nn.Module, structure: Structure, scores: Scores, shares: Mapping[str, float], kind: StructureKind
) -> Mask:
    """The mask that takes the given share out of each weight or channel group, named as in `scores`.

    Args:
        network: The network.
        structure: The weights and channels that can leave.
        scores: What each of them is worth; the lowest leave first.
        shares: Shares by weight or channel group, 0 to below 1.
        kind: `structured`, whole channels leave, or `unstructured`, single weights do.
    """
    parts = _parts(structure, scores, kind)
    stays = {name: _best(parts[name], share) for name, share in shares.items()}
    return _mask(network, structure, stays, kind)


def count_kept(mask: Mask, structure: Structure) -> tuple[int, int]:
    """How many channels (or single weights) of the maskable ones stay, and how many there are.

    Args:
        mask: What stays.
        structure: The weights and channels that can leave.
    """
    if mask.keep is not None:
        sizes = {name: group.size for name, group in structure.groups.items()}
        kept = sum(int(mask.keep[name].sum()) if name in mask.keep else size for name, size in sizes.items())
        return kept, sum(sizes.values())
    values = [mask.values[name] for name in structure.weights if name in mask.values]
    return sum(int(value.sum()) for value in values), sum(value.numel() for value in values)


def _parts(structure: Structure, scores: Scores, kind: StructureKind) -> dict[str, Floats]:
    if kind == "unstructured":
        parts = {name: scores.weights[name] for name in structure.weights}
    else:
        check_prunable(structure, kind)
        parts = {name: scores.channels[name] for name in structure.groups}
    for name, part in parts.items():
        if not np.isfinite(part).all():
            raise PruningError(f"the scores of {name!r} are not finite: the network's weights or gradients are not")
    return parts


def _lowest_where_gone(scores: Floats, already: Mask, name: str) -> Floats:
    held = already.values.get(name) if already.keep is None else already.keep.get(name)
    return scores if held is None else np.where(np.asarray(held), scores, -np.inf)


def _best(scores: Floats, sparsity: float) -> npt.NDArray[np.bool_]:
    """What stays of one layer: all but the lowest share, and at least one."""
    gone = min(round(sparsity * scores.size), scores.size - 1)
    stays = np.ones(scores.size, np.bool_)
    stays[np.argsort(scores.ravel(), kind="stable")[:gone]] = False
    return stays.reshape(scores.shape)


def _best_of_all(parts: Mapping[str, Floats], sparsity: float) -> Stays:
    """What stays of each layer when the lowest of all layers leave; the best of each layer stays in any case."""
    names = list(parts)
    sizes = [parts[name].size for name in names]
    flat = np.concatenate([parts[name].ravel() for name in names])
    starts = np.cumsum([0, *sizes[:-1]])
    sure = [start + int(parts[name].argmax()) for start, name in zip(starts, names, strict=True)]
    free = np.ones(len(flat), np.bool_)
    free[sure] = False
    order = np.argsort(flat, kind="stable")
    gone = order[free[order]][: round(sparsity * len(flat))]
    stays = np.ones(len(flat), np.bool_)
    stays[gone] = False
    return {
        name: stays[start : start + size].reshape(parts[name].shape)
        for name, start, size in zip(names, starts, sizes, strict=True)
    }


def _mask(network: nn.Module, structure: Structure, stays: Stays, kind: StructureKind) -> Mask:
    if kind == "structured":
        return channel_mask(network, structure, stays)
    tensors = dict(network.named_parameters())
    return Mask({name: torch.from_numpy(kept).to(tensors[name].device) for name, kept in stays.items()})
