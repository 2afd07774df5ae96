"""Orders a supernet's channels by importance, so that the first of them are the ones worth keeping."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.nets.supernet import Supernet
from evo_fair.space import Kind, SearchSpace

__all__ = ["ChannelGroup", "channel_groups", "reader_importance", "reorder_channels", "sort_channels"]


class ChannelGroup(NamedTuple):
    """Channels that must move together: `outputs` name tensors by dimension 0, `inputs` by dimension 1.

    `levels` are the counts of first channels that networks take.
    """

    outputs: list[str]
    inputs: list[str]
    levels: tuple[int, ...]


def channel_groups(space: SearchSpace) -> Iterator[ChannelGroup]:
    """The stem's output, every stage's output (tied by its shortcuts) and every block's hidden channels."""
    entry = ChannelGroup([], [], ())
    if space.schema.stem:
        entry = ChannelGroup(_with_norm("stem.CB.conv"), [], space.schema.stem.widths)
    for s, stage in enumerate(space.schema.stage, 1):
        output = ChannelGroup([], [], stage.widths or stage.keep_channels)
        if stage.widths:
            entry.inputs.append(f"stage{s}.slot1.shortcut.weight")
            output.outputs.extend(_with_norm(f"stage{s}.slot1.shortcut"))
        for slot in range(1, stage.slots + 1):
            for kind in (Kind[name] for name in stage.kinds):
                place = f"stage{s}.slot{slot}.{kind.name}"
                first, last = _ENDS[kind]
                source = entry if slot == 1 else output
                source.inputs.extend(f"{place}.{name}.weight" for name in first)
                output.outputs.extend(_with_norm(f"{place}.{last}"))
                if kind is Kind.DB:  # its depthwise unit carries the channels that come in
                    source.outputs.extend(_with_norm(f"{place}.depthwise"))
                if kind is Kind.MB:
                    inner = _with_norm(f"{place}.expand") + _with_norm(f"{place}.depthwise")
                    yield ChannelGroup(inner, [f"{place}.project.weight"], _hidden_levels(space, s, slot))
                elif kind is Kind.RB:
                    levels = tuple(sorted({min(keep, w) for keep in stage.keep_channels for w in stage.widths}))
                    yield ChannelGroup(_with_norm(f"{place}.first"), [f"{place}.second.weight"], levels)
        if entry.outputs:
            yield entry
        entry = output
    entry.inputs.append("classifier.weight")
    yield entry


@torch.no_grad()
def sort_channels(supernet: Supernet, within_levels: bool = False) -> None:
    """Sorts every group of channels by falling importance, in place; the full-size networks compute what they did.

    A channel's importance is `reader_importance` (after Cai et al. 2020, Once-for-All). `within_levels` sorts only
    between neighbouring levels, so that no network changes.
    """
    for group in channel_groups(supernet.space):
        importance = reader_importance(supernet, group)
        bounds = (0, *group.levels) if within_levels else (0,)
        segment = np.searchsorted(np.asarray(bounds), np.arange(importance.numel()), side="right")
        reorder_channels(supernet, group, np.lexsort((-importance.numpy(), segment)))


@torch.no_grad()
def reader_importance(supernet: Supernet, group: ChannelGroup) -> torch.Tensor:
    """The L1 norm of the weights that read each channel of a group, each reader scaled to a mean of 1: `[channels]`."""
    readers = [supernet.weights[name] for name in group.inputs]
    norms = [reader.abs().sum((0, *range(2, reader.dim()))) for reader in readers]
    importance = sum(norm / norm.mean().clamp_min(1e-12) for norm in norms)
    assert isinstance(importance, torch.Tensor)
    return importance


@torch.no_grad()
def reorder_channels(supernet: Supernet, group: ChannelGroup, order: npt.NDArray[np.int64]) -> None:
    """Puts the channels of a group into `order` `[channels]`, in place; the full-size networks compute what they did.

    Networks take the first channels, so the first of `order` are the last to be pruned.
    """
    chosen = torch.from_numpy(order)
    for name in group.outputs:
        supernet.weights[name].copy_(supernet.weights[name][chosen])
    for name in group.inputs:
        supernet.weights[name].copy_(supernet.weights[name][:, chosen])


_ENDS: dict[Kind, tuple[list[str], str]] = {
    Kind.MB: (["expand"], "project"),
    Kind.DB: (["pointwise"], "pointwise"),
    Kind.RB: (["first"], "second"),
    Kind.CB: (["conv"], "conv"),
    Kind.FC: (["linear"], "linear"),
}


def _with_norm(unit: str) -> list[str]:
    return [f"{unit}.weight", f"{unit}.gamma", f"{unit}.beta"]


def _hidden_levels(space: SearchSpace, stage_number: int, slot: int) -> tuple[int, ...]:
    """Every count of hidden channels that an MB block of this slot can have."""
    schema, stage = space.schema, space.schema.stage[stage_number - 1]
    before = stage.widths
    if slot == 1:
        assert schema.stem is not None
        before = schema.stem.widths if stage_number == 1 else schema.stage[stage_number - 2].widths
    levels = {min(keep, ratio * c_in) for keep in stage.keep_channels for ratio in stage.expansions for c_in in before}
    return tuple(sorted(levels))
