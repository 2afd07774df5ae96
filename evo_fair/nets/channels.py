"""Orders a supernet's channels by importance, so that the first of them are the ones worth keeping."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.nets.supernet import Supernet
from evo_fair.space import SearchSpace
from evo_fair.space.kinds import Channels, Shortcut, squeezed_width

__all__ = ["SharedChannels", "channel_groups", "reader_importance", "reorder_channels", "sort_channels"]


class SharedChannels(NamedTuple):
    """Channels that must move together: `outputs` name tensors by dimension 0, `inputs` by dimension 1.

    `levels` are the counts of first channels that networks take.
    """

    outputs: list[str]
    inputs: list[str]
    levels: tuple[int, ...]


def channel_groups(space: SearchSpace) -> Iterator[SharedChannels]:
    """The stem's output, every stage's (tied by its shortcuts), and every block's hidden and squeezed channels."""
    entry = SharedChannels([], [], ())
    if space.schema.stem:
        entry = SharedChannels(_with_norm("stem.CB.conv"), [], space.schema.stem.widths)
    before = space.schema.stem.widths if space.schema.stem else space.input_shape[:1]
    for s, stage in enumerate(space.schema.stage, 1):
        output = SharedChannels([], [], stage.outputs)
        if any(kind.shortcuts[0] == Shortcut.PROJECTION for kind in stage.blocks):
            entry.inputs.append(f"stage{s}.slot1.shortcut.weight")
            output.outputs.extend(_with_norm(f"stage{s}.slot1.shortcut"))
        for slot in range(1, stage.slots + 1):
            source = entry if slot == 1 else output
            for kind in stage.blocks:
                if kind.identity and slot > 1:
                    continue
                hidden = SharedChannels([], [], stage.hidden_levels(kind, before, stage.outputs))
                groups = {Channels.IN: source, Channels.HIDDEN: hidden, Channels.OUT: output}
                for unit in kind.giving(Channels.SQUEEZED):
                    levels = sorted({squeezed_width(level) for level in groups[unit.takes].levels})
                    groups[Channels.SQUEEZED] = SharedChannels([], [], tuple(levels))
                for unit in kind.units:
                    place = f"stage{s}.slot{slot}.{kind.name}.{unit.name}"
                    groups[unit.gives].outputs.extend(_with_norm(place))
                    if not unit.depthwise:  # a depthwise one carries the channels that come in
                        groups[unit.takes].inputs.append(f"{place}.weight")
                yield from (
                    groups[inner]
                    for inner in (Channels.HIDDEN, Channels.SQUEEZED)
                    if inner in groups and groups[inner].outputs
                )
            before = stage.outputs
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
        reorder_channels(supernet, group, np.lexsort((-importance.cpu().numpy(), segment)))


@torch.no_grad()
def reader_importance(supernet: Supernet, group: SharedChannels) -> torch.Tensor:
    """The L1 norm of the weights that read each channel of a group, each reader scaled to a mean of 1: `[channels]`."""
    readers = [supernet.weights[name] for name in group.inputs]
    norms = [reader.abs().sum((0, *range(2, reader.dim()))) for reader in readers]
    importance = sum(norm / norm.mean().clamp_min(1e-12) for norm in norms)
    assert isinstance(importance, torch.Tensor)
    return importance


@torch.no_grad()
def reorder_channels(supernet: Supernet, group: SharedChannels, order: npt.NDArray[np.int64]) -> None:
    """Puts the channels of a group into `order` `[channels]`, in place; the full-size networks compute what they did.

    Networks take the first channels, so the first of `order` are the last to be pruned.
    """
    chosen = torch.from_numpy(order).to(supernet.mean.device)
    for name in group.outputs:
        supernet.weights[name].copy_(supernet.weights[name][chosen])
    for name in group.inputs:
        supernet.weights[name].copy_(supernet.weights[name][:, chosen])


def _with_norm(unit: str) -> list[str]:
    return [f"{unit}.weight", f"{unit}.gamma", f"{unit}.beta"]
