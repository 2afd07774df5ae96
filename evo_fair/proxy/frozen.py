"""A supernet's blocks, calibrated: batch norms get the statistics of what reaches them, and are folded into layers.

A block is calibrated unit by unit. The images go through the units before, already folded, and through the unit itself
without its batch norm; their statistics there say what the batch norm does. Where computing the output again would cost
more than storing it, it is stored, and what follows starts from there.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from evo_fair.arrays import Float32s, Floats
from evo_fair.nets import Supernet
from evo_fair.nets.memory import features_array
from evo_fair.nets.supernet import place_of
from evo_fair.proxy.block_programs import (
    FIRST,
    IN,
    OUT,
    FoldedBlock,
    Images,
    load,
    prediction_program,
    reach,
    storing_program,
    write_unit,
)
from evo_fair.proxy.folding import Affine, Weights
from evo_fair.proxy.packing import batch_statistics
from evo_fair.proxy.program import Buffer, Layer, Program, Writer, padded
from evo_fair.proxy.runner import Runner
from evo_fair.proxy.samples import AskedSamples
from evo_fair.proxy.split import macs_of
from evo_fair.space import Block, Unit, units_of

__all__ = ["FrozenBlocks", "Prefix"]

Prefix = tuple[Block, ...]
"""The blocks that a network begins with."""

_Key = tuple[object, ...]

_REMEMBERED = 1 << 16
"""Batch norms that are remembered: some kilobytes each."""


@dataclass
class _Chain:
    """Units of a block, one behind the other, of which the first few are calibrated already: its body, or its shortcut.

    `fed` goes into unit `start`: the block's input, or what the unit before `start` gave, stored before its batch norm
    and thus still to be scaled.
    """

    block: Block
    units: list[Unit]
    fed: Images
    start: int = 0
    affines: list[Affine] = field(default_factory=list)  # of the calibrated units
    layers: dict[str, Layer] = field(default_factory=dict)  # theirs, folded, by name

    @property
    def next(self) -> Unit:
        """The unit to calibrate next."""
        return self.units[len(self.affines)]

    @property
    def stores_next(self) -> bool:
        """Whether the next unit's output is stored; a shortcut's is computed again where it is added."""
        return self.next.name != "shortcut" and (self.next is self.units[-1] or _is_worth_storing(self.next))


class FrozenBlocks:
    """The blocks of a supernet, each calibrated where it stands: on the output of the blocks before it.

    What batch norms amount to is remembered, for it depends on the blocks before and on the unit alone: not on how many
    of its channels are used, so that blocks of several widths share it. With `half` 3x3 convolutions of stride 2
    multiply bfloat16 numbers and add them up in float32, and what is kept in memory is float16: a block's output is
    rounded to that, whether it is kept or not.
    """

    def __init__(self, supernet: Supernet, *, half: bool = False) -> None:
        self._half = half
        self.kept = np.dtype(np.float16 if half else np.float32)
        self._weights = Weights(supernet, half=half)
        self._labels = supernet.space.labels
        self._affines: OrderedDict[_Key, Affine] = OrderedDict()
        self._lock = Lock()

    def room(self, x: AskedSamples, blocks: Sequence[Block]) -> Float32s:
        """An array for what the blocks make of images `x`."""
        height, width = x.shape[1:3]
        for block in blocks:
            height, width = -(-height // block.stride), -(-width // block.stride)
        return features_array((len(x), height, width, padded(blocks[-1].c_out)), self.kept)

    def channels(self, block: Block) -> int:
        """How many channels a block gives."""
        return block.c_out

    def order(self, block: Block) -> tuple[object, ...]:
        """What blocks are sorted by: kinds by their names."""
        return (block.name, block.kind.name, *block[2:])

    def macs(self, block: Block) -> int:
        """Multiply-accumulates of a block, without regard to the stride within it."""
        return macs_of(block)

    def storing(self, chain: Sequence[FoldedBlock], images: Images) -> Program:
        """The program from images through blocks to the last one's output."""
        return storing_program(chain, images, half=self._half)

    def prediction(self, chain: Sequence[FoldedBlock], images: Images) -> Program:
        """The program from images through the last blocks to the logits."""
        classifier = self._weights.classifier(chain[-1].block.c_out if chain else images.channels)
        return prediction_program(chain, classifier, self._labels, images, half=self._half)

    def calibrate(self, prefix: Prefix, x: Float32s, runner: Runner, out: Float32s) -> FoldedBlock:
        """Folds the batch norms of the last block of `prefix` with their statistics on `x`.

        `x` `[images, height, width, channels]` is what the blocks before it give. Each batch norm takes the statistics
        of what it is given by the layers before it, themselves already calibrated. The block's own output goes into
        `out` `[images, height, width, channels]`.
        """
        block, images = prefix[-1], Images(x, prefix[-1].c_in)
        units = units_of(block)
        body = _Chain(block, [unit for unit in units if unit.name != "shortcut"], images)
        shortcut = _Chain(block, [unit for unit in units if unit.name == "shortcut"], images)
        for chain in (body, shortcut):
            self._calibrate(chain, prefix, runner)
        runner.run(self._passing_program(body, shortcut), len(x), [body.fed.values, x], out)
        return FoldedBlock(block, body.layers | shortcut.layers)

    def _calibrate(self, chain: _Chain, prefix: Prefix, runner: Runner) -> None:
        """Calibrates all units of a chain."""
        for number, unit in enumerate(chain.units, 1):
            key = _key(prefix, chain.units[:number])
            affine = self._recall(key, unit.c_out)
            if affine is None:
                affine = self._weights.affine(chain.block, unit, *self._statistics(chain, runner))
                self._remember(key, affine)
            chain.affines.append(affine)
            chain.layers[unit.name] = self._weights.folded(chain.block, unit, affine)

    def _statistics(self, chain: _Chain, runner: Runner) -> tuple[Floats, Floats]:
        """Mean and variance by channel of what the chain's next unit gives before its batch norm.

        Where that is stored, the chain goes on from there.
        """
        unit, images = chain.next, len(chain.fed.values)
        following = len(chain.affines) + 1
        writer = Writer()
        buffer = self._write_raw(writer, chain, following)
        writer.statistics(buffer)
        stored = None
        if chain.stores_next:
            stored = features_array((images, buffer.height, buffer.width, buffer.channels), self.kept)
            writer.store(buffer, half=self._half)
        statistics = runner.run(writer.program(), images, [chain.fed.values], stored, buffer.channels)
        if stored is not None:
            chain.fed, chain.start = Images(stored, unit.c_out), following
        mean, variance = batch_statistics(statistics, buffer.height * buffer.width)
        return mean, variance

    def _passing_program(self, body: _Chain, shortcut: _Chain) -> Program:
        """From what the body is fed, source 0, and the block's input, source 1, to the block's output."""
        block = body.block
        activated = block.kind.activated
        relu = activated and not block.shortcut
        writer = Writer()
        if body.start == len(body.units):
            out = writer.buffer(OUT, body.fed.height, body.fed.width, block.c_out)
            load(writer, 0, body.fed, out, affine=body.affines[-1], relu=relu)
        else:
            out = self._write_raw(writer, body, len(body.units))
            writer.scale(out, out, body.affines[-1], relu=relu)
        if shortcut.units:
            (unit,) = shortcut.units
            entry = writer.buffer(IN, shortcut.fed.height, shortcut.fed.width, unit.c_in)
            load(writer, 1, shortcut.fed, entry)
            write_unit(writer, entry, unit, shortcut.layers[unit.name], OUT, residual=out, relu=activated)
        elif block.shortcut:
            load(writer, 1, shortcut.fed, out, add=True, relu=activated)
        writer.store(out, half=self._half)
        return writer.program()

    def _write_raw(self, writer: Writer, chain: _Chain, count: int) -> Buffer:
        """What the first `count` units of a chain give, the last one before its batch norm, in slot `OUT`.

        The sums of a unit must not depend on what is remembered: one whose output can be stored is always computed
        raw and then scaled, the others with their batch norm folded in.
        """
        *inner, last = chain.units[:count]
        first = chain.units[chain.start]
        affine = chain.affines[chain.start - 1] if chain.start else None
        buffer = writer.buffer(IN, chain.fed.height, chain.fed.width, first.c_in, reach(first))
        load(writer, 0, chain.fed, buffer, affine=affine, relu=chain.start > 0)
        for number in range(chain.start, len(inner)):
            unit, slot, border = inner[number], FIRST + number % 2, reach(chain.units[number + 1])
            if _is_worth_storing(unit):
                raw = self._weights.raw(chain.block, unit)
                buffer = write_unit(writer, buffer, unit, raw, slot, border, relu=False)
                self._round(writer, buffer)
                writer.scale(buffer, buffer, chain.affines[number], relu=True)
            else:
                buffer = write_unit(writer, buffer, unit, chain.layers[unit.name], slot, border)
        buffer = write_unit(writer, buffer, last, self._weights.raw(chain.block, last), OUT, relu=False)
        self._round(writer, buffer)
        return buffer

    def _round(self, writer: Writer, buffer: Buffer) -> None:
        """What storing would do, so that it does not matter whether something was stored."""
        if self._half:
            writer.round(buffer)

    def _recall(self, key: _Key, channels: int) -> Affine | None:
        with self._lock:
            affine = self._affines.get(key)
            if affine is None or len(affine.scale) < channels:
                return None
            self._affines.move_to_end(key)
        return Affine(affine.scale[:channels], affine.shift[:channels])

    def _remember(self, key: _Key, affine: Affine) -> None:
        with self._lock:
            self._affines[key] = affine
            if len(self._affines) > _REMEMBERED:
                self._affines.popitem(last=False)


def _is_worth_storing(unit: Unit) -> bool:
    """Whether computing what a unit gives costs more than storing and loading it."""
    return unit.kernel > 1 and not unit.depthwise


def _key(prefix: Prefix, units: list[Unit]) -> _Key:
    """All that the statistics of the last of a block's units depend on, but how many of its channels there are.

    What a unit gives depends on how many channels each unit up to it mixes; depthwise ones mix none.
    """
    taps = tuple((unit.kernel, unit.stride, 0 if unit.depthwise else unit.c_in) for unit in units)
    return prefix[:-1], place_of(prefix[-1], units[-1]), taps
