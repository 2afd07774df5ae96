"""Layer tables of a network's pruned forms, by how many channels stay, without exporting any of them.

Each number in a layer row changes by a fixed step with every channel that leaves a group. The steps are found from the
ONNX files of a few pruned networks, and checked on others: what a table says is what the file of that network is read
as. The rows of a block that is left out are those that its file lacks.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from torch import nn

from evo_fair.arrays import Bools
from evo_fair.errors import EvoFairError, PruningError, in_a_line
from evo_fair.export.export import export_onnx
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.layers import OP, LayerTable
from evo_fair.own.blocks import without_blocks
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.structure import ChannelGroup

__all__ = ["BlockRows", "TracedLayers", "blocks_with_rows", "exported_graph", "exported_rows", "trace_layers"]

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]

_CHECKS = 2
"""Networks with random channel counts whose tables are held against those of their files."""


class BlockRows(NamedTuple):
    """The rows of the whole network, and by the names of blocks those of the network without each."""

    whole: Rows
    without: Mapping[str, Rows]


@dataclass(frozen=True, eq=False)
class TracedLayers:
    """The rows of the whole network, int32 `[layers, 8]`, and what changes with the channels that leave.

    The number at `places[i]`, counted row by row, falls by `steps[i]` with each channel that leaves group `groups[i]`.
    `sizes` are the channels of the whole groups. `owners` tells of each row the number of the block with which it
    leaves, -1 where there is none.
    """

    whole: Rows
    places: Integers
    groups: Integers
    steps: Integers
    sizes: Integers
    owners: Integers

    def table(self, channels: Integers, present: Bools) -> LayerTable:
        """The layer table int32 `[networks, layers, 8]` for what stays.

        That are channels, int64 `[networks, groups]`, and blocks, bool `[networks, blocks]`. Rows of 0 come last.
        """
        gone = np.ascontiguousarray(self.sizes - channels)
        out = np.empty((len(gone), *self.whole.shape), np.int32)
        _fill(self.whole.reshape(-1), self.places, self.groups, self.steps, gone, out.reshape(len(gone), -1))
        _close_gaps(out, self.owners, np.ascontiguousarray(present))
        return out


@njit(cache=True)
def _fill(whole: Rows, places: Integers, groups: Integers, steps: Integers, gone: Integers, out: Rows) -> None:
    for n in range(gone.shape[0]):
        out[n] = whole
        for i in range(len(places)):
            out[n, places[i]] -= steps[i] * gone[n, groups[i]]


@njit(cache=True)
def _close_gaps(table: LayerTable, owners: Integers, present: Bools) -> None:
    """Takes out the rows of blocks that are not present, and moves the others up."""
    for n in range(table.shape[0]):
        stay = 0
        for row in range(table.shape[1]):
            if owners[row] < 0 or present[n, owners[row]]:
                table[n, stay] = table[n, row]
                stay += 1
        table[n, stay:] = 0


def trace_layers(
    network: nn.Module,
    groups: Mapping[str, ChannelGroup],
    input_shape: tuple[int, ...],
    blocks: Mapping[str, tuple[str, ...]] | None = None,
    found: BlockRows | None = None,
) -> TracedLayers:
    """How the layers of `network` follow from what stays; the network is left as it is.

    Channels of `groups` can leave, and `blocks`, by whose names stand the groups that lie within them; `found` is what
    `blocks_with_rows` has found of these, if it was asked. Raises `PruningError` where an operator's time is not known,
    and where the layers don't follow from what stays.
    """
    names, sizes = list(groups), np.array([group.size for group in groups.values()], np.int64)
    blocks = blocks or {}

    def rows(gone: Integers, left_out: Sequence[str] = ()) -> Rows:
        keep = {
            name: np.arange(size) < size - left for name, size, left in zip(names, sizes, gone, strict=True) if left
        }
        return exported_rows(without_blocks(remove_channels(network, groups, keep), left_out), input_shape)

    nothing = np.zeros_like(sizes)
    whole = found.whole if found else rows(nothing)
    lacking = [found.without[name] if found else rows(nothing, [name]) for name in blocks]
    trials = [_trial(number, sizes, blocks, names) for number in range(_CHECKS)]
    expected = [
        rows(gone, [name for name, stays in zip(blocks, present, strict=True) if not stays]) for gone, present in trials
    ]
    for find in (_steps_by_bits, _steps_one_by_one):
        steps = find(whole, rows, len(sizes))
        if steps is None:
            continue
        owners = _owners(whole, lacking, [steps[[names.index(name) for name in held]] for held in blocks.values()])
        if owners is None:
            continue
        traced = _traced(whole, steps, sizes, owners)
        if all(
            np.array_equal(traced.table((sizes - gone)[None], present[None])[0][: len(own)], own)
            for (gone, present), own in zip(trials, expected, strict=True)
        ):
            return traced
    raise PruningError(
        "the layers of the pruned network don't follow from its channel counts, so that its latency can't be told: "
        "prune it with evo-fair prune instead"
    )


def blocks_with_rows(network: nn.Module, blocks: Iterable[str], input_shape: tuple[int, ...]) -> BlockRows:
    """Those of `blocks` that leave with rows of their own, together, too.

    Others change what is around them: what is added up across them comes from elsewhere then, or turns of the axes on
    both sides of them cancel out. The network is left as it is. Raises `PruningError` as `exported_rows` does.
    """

    def without(names: Iterable[str]) -> Rows:
        return exported_rows(without_blocks(copy.deepcopy(network), names), input_shape)

    whole = rows = without([])
    lacking = {name: without([name]) for name in blocks}
    owners = _owners(whole, list(lacking.values()), [np.zeros((1, whole.size), np.int64)] * len(lacking))
    if owners is not None and np.array_equal(whole[owners < 0], without(lacking)):
        return BlockRows(whole, lacking)
    found: dict[str, Rows] = {}
    for name, alone in lacking.items():
        less = without([*found, name]) if found else alone
        count = len(whole) - len(alone)
        if count > 0 and count == len(rows) - len(less) and _places(whole, alone) and _places(rows, less):
            found[name], rows = alone, less
    return BlockRows(whole, found)


def exported_rows(network: nn.Module, input_shape: tuple[int, ...]) -> Rows:
    """The layer rows int32 `[layers, 8]` that the network's ONNX file is read as.

    Raises `PruningError` where an operator in it has no price, or one that is only a lower bound.
    """
    graph = exported_graph(network, input_shape)
    _check_known(graph)
    return np.array(graph.table[0], np.int32)


def exported_graph(network: nn.Module, input_shape: tuple[int, ...]) -> GraphLayers:
    """What the network's ONNX file is read as; raises `PruningError` where it can't be read."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(network, input_shape, path)
        try:
            return read_onnx(path)
        except EvoFairError as error:
            reason = in_a_line(error).replace(str(path), "its ONNX file")
            raise PruningError(f"the network's latency can't be told: {reason}") from error


def _check_known(graph: GraphLayers) -> None:
    names = [operator.operator for operator in graph.unknown]
    names += [operator.operator for operator in graph.stand_ins]
    names += [layer.operator for layer in graph.layers if layer.repeats > 1]
    if names:
        raise PruningError(
            f"the network's latency can't be told, for its operators {', '.join(dict.fromkeys(names))} have no price: "
            "use others in its forward, or prune it with evo-fair prune"
        )


def _steps_by_bits(whole: Rows, rows: Callable[[Integers], Rows], groups: int) -> Integers | None:
    """The steps `[groups, numbers]`, if no number depends on two groups; few networks are needed for them.

    Groups are numbered from 1. The i-th network lacks a channel of every group whose number has the i-th bit, so that
    the networks in which a number changes spell its group.
    """
    numbers = np.arange(1, groups + 1)
    changes = []
    for bit in range(int(groups).bit_length()):
        found = _change(whole, rows(numbers >> bit & 1))
        if found is None:
            return None
        changes.append(found)
    changed = np.array(changes)  # [bits, numbers]
    step = changed.max(axis=0)
    spelt = ((changed > 0) << np.arange(len(changes))[:, None]).sum(axis=0)
    if (changed < 0).any() or ((changed != 0) & (changed != step)).any() or spelt.max(initial=0) > groups:
        return None
    steps = np.zeros((groups, whole.size), np.int64)
    places = np.flatnonzero(spelt)
    steps[spelt[places] - 1, places] = step[places]
    return steps


def _steps_one_by_one(whole: Rows, rows: Callable[[Integers], Rows], groups: int) -> Integers | None:
    """The steps `[groups, numbers]` from a network for each group that lacks one of its channels."""
    changes = [_change(whole, rows(np.eye(groups, dtype=np.int64)[group])) for group in range(groups)]
    return None if any(change is None for change in changes) else np.array(changes, np.int64)


def _change(whole: Rows, less: Rows) -> Integers | None:
    """By how much each number falls, `[numbers]`; None where the layers are others."""
    if less.shape != whole.shape or (less[:, OP] != whole[:, OP]).any():
        return None
    return (whole.astype(np.int64) - less).reshape(-1)


def _traced(whole: Rows, steps: Integers, sizes: Integers, owners: Integers) -> TracedLayers:
    groups, places = np.nonzero(steps)
    return TracedLayers(whole, places.astype(np.int64), groups.astype(np.int64), steps[groups, places], sizes, owners)


def _trial(
    number: int, sizes: Integers, blocks: Mapping[str, tuple[str, ...]], names: Sequence[str]
) -> tuple[Integers, Bools]:
    """How many channels of each group are gone in a trial, at least two staying, and which blocks are there."""
    rng = np.random.default_rng(number)
    gone, present = rng.integers(0, np.maximum(sizes - 1, 1)), rng.random(len(blocks)) < 0.5
    for stays, held in zip(present, blocks.values(), strict=True):
        if not stays:
            gone[[names.index(name) for name in held]] = 0
    return gone, present


def _owners(whole: Rows, lacking: Sequence[Rows], steps: Sequence[Integers]) -> Integers | None:
    """The number of the block that each row leaves with, `[layers]`, -1 for none; None where that can't be told.

    `lacking` are the rows of the network without each of the blocks, `steps` `[groups, numbers]` those of the groups
    within it: a block's rows are neighbours, and those that change with these groups are among them. Where blocks that
    look alike follow each other, the rows of one can't be told from as many that begin later: the last has its rows
    first, so that each has its own.
    """
    owners = np.full(len(whole), -1, np.int64)
    starts = [_starts(whole, less, own) for less, own in zip(lacking, steps, strict=True)]
    for number in sorted(range(len(lacking)), key=lambda number: (starts[number][:1], number), reverse=True):
        count = len(whole) - len(lacking[number])
        free = (start for start in starts[number] if (owners[start : start + count] < 0).all())
        start = next(free, None)
        if count < 1 or start is None:
            return None
        owners[start : start + count] = number
    return owners


def _starts(whole: Rows, less: Rows, steps: Integers) -> list[int]:
    """Where the rows can begin that `less` lacks, and among which `steps` `[groups, numbers]` change some.

    The latest come first: what a block adds its input to comes last, and may look like what came before the block.
    """
    count = len(whole) - len(less)
    changing = np.flatnonzero((steps != 0).reshape(len(steps), *whole.shape).any(axis=(0, 2)))
    first, last = (changing[0], changing[-1]) if len(changing) else (len(whole), -1)
    return [start for start in reversed(_places(whole, less)) if last - count < start <= first]


def _places(whole: Rows, less: Rows) -> list[int]:
    """Where the rows can begin without which `whole` is `less`, ascending."""
    count = len(whole) - len(less)
    starts = range(len(less) + 1)
    return [start for start in starts if np.array_equal(np.delete(whole, slice(start, start + count), axis=0), less)]
