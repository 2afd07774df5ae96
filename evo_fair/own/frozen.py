"""The stages of pruned networks for the proxy's kernels: calibrated where they stand, with their batch norms folded.

A stage is calibrated step by step. What a layer gives for the calibration images is stored as it is; their statistics
say what its batch norm does, which is done when the images are read again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from evo_fair.arrays import Bools, Float32s
from evo_fair.own.space import NetworkSpace
from evo_fair.own.stage_programs import FoldedStage, stages_program, write_step
from evo_fair.own.steps import INPUT, ForwardStage, ForwardStep, stages_of
from evo_fair.own.weights import StageWeights
from evo_fair.proxy.block_programs import Images
from evo_fair.proxy.block_programs import load as load_images
from evo_fair.proxy.folding import Affine
from evo_fair.proxy.packing import batch_statistics
from evo_fair.proxy.program import Buffer, Layer, Program, Writer, padded
from evo_fair.proxy.runner import Runner
from evo_fair.proxy.samples import AskedSamples
from evo_fair.pruning.structure import Keep

__all__ = ["FoldedStage", "FrozenStages", "PrunedStage"]

_IN, _OUT = range(2)
"""Slots of a program that calibrates."""


class PrunedStage(NamedTuple):
    """A stage by its number, how many channels of its groups stay, by which order, and how many it hands on."""

    number: int
    counts: tuple[int, ...]
    order: str
    channels: int


class _Value(NamedTuple):
    """What a step gives for images, stored as it was before its batch norm and its activation."""

    images: Images
    affine: Affine | None = None
    relu: int = 0


class FrozenStages:
    """The stages of a network's pruned forms: what `SharedBeginnings` evaluates.

    `input_shape` is that of the network's inputs, `[channels, height, width]` or `[features]`.
    """

    def __init__(
        self, network: nn.Module, space: NetworkSpace, steps: Sequence[ForwardStep], input_shape: tuple[int, ...]
    ) -> None:
        self._space, self._channels = space, input_shape[0]
        self._weights = StageWeights(network, space.groups)
        self.stages = stages_of(steps, self._weights.groups_of, tuple(space.blocks))
        size = (input_shape[1], input_shape[2]) if len(input_shape) == 3 else (1, 1)
        last = self.stages[-1].last_layer
        self.labels = self._weights.channels(last, {}) if last else 0
        self._macs = []
        for stage in self.stages:
            sizes = stage.sizes(size)
            if any(step.added is not None and sizes[step.added] != sizes[i] for i, step in enumerate(stage.steps)):
                raise ValueError("maps of different sizes are added")  # kernels read both as one size
            weights = (self._weights.size(step) * sizes[i][0] * sizes[i][1] for i, step in enumerate(stage.steps))
            self._macs.append(sum(weights))
            size = sizes[len(stage.steps) - 1]

    def blocks(self, genome: Sequence[int]) -> list[PrunedStage]:
        """The stages of the network of a genome `[genes]`: all but the blocks that it leaves out."""
        space = self._space
        counts = dict(zip(space.groups, space.channels(np.asarray(genome)[None])[0].tolist(), strict=True))
        left_out = space.left_out(genome)
        found, channels = [], self._channels
        for number, stage in enumerate(self.stages):
            if stage.block in left_out:
                continue
            whole = all(counts[name] == space.groups[name].size for name in stage.groups)
            pruned = PrunedStage(
                number, tuple(counts[name] for name in stage.groups), "" if whole else space.order_of(genome), channels
            )
            made = stage.last_layer
            channels = channels if made is None else self._weights.channels(made, self._keep(pruned))
            found.append(pruned._replace(channels=channels))
        return found

    def room(self, x: AskedSamples, blocks: Sequence[PrunedStage]) -> Float32s:
        """An array for what the stages make of images `x`."""
        size = (x.shape[1], x.shape[2])
        for block in blocks:
            stage = self.stages[block.number]
            size = stage.sizes(size)[len(stage.steps) - 1]
        return np.empty((len(x), *size, padded(blocks[-1].channels)), np.float32)

    def channels(self, block: PrunedStage) -> int:
        """How many channels a stage hands on."""
        return block.channels

    def order(self, block: PrunedStage) -> tuple[object, ...]:
        """What stages are sorted by."""
        return block

    def macs(self, block: PrunedStage) -> int:
        """About how many multiply-accumulates a stage takes: those of the whole network's."""
        return self._macs[block.number]

    def storing(self, chain: Sequence[FoldedStage], images: Images) -> Program:
        """The program from images through stages to what the last one hands on."""
        return stages_program(chain, images)

    def prediction(self, chain: Sequence[FoldedStage], images: Images) -> Program:
        """The program from images through the last stages to the logits."""
        return stages_program(chain, images)

    def calibrate(self, prefix: tuple[PrunedStage, ...], x: Float32s, runner: Runner, out: Float32s) -> FoldedStage:
        """Folds the batch norms of the last stage of `prefix` with their statistics on its inputs `x` `[images, ...]`.

        What it hands on goes into `out` `[images, ...]`, unless it is the network's last.
        """
        pruned = prefix[-1]
        stage = self.stages[pruned.number]
        images = Images(x, prefix[-2].channels if len(prefix) > 1 else x.shape[3])
        calibration = _Calibration(stage, self._weights, self._keep(pruned), images, runner)
        ends = pruned.number == len(self.stages) - 1
        needed = max((i for i, step in enumerate(stage.steps) if step.norm or not ends), default=INPUT)
        for number, step in enumerate(stage.steps):
            calibration.fold(number, step, number <= needed)
        if not ends:
            calibration.hand_on(out)
        return FoldedStage(stage, calibration.layers)

    def _keep(self, pruned: PrunedStage) -> dict[str, Bools]:
        """Which channels of a stage's groups stay."""
        groups = self.stages[pruned.number].groups
        return {
            name: self._space.stays(name, count, pruned.order)
            for name, count in zip(groups, pruned.counts, strict=True)
            if count < self._space.groups[name].size
        }


class _Calibration:
    """Folds the steps of a stage one after the other, and keeps what they give for the calibration images."""

    def __init__(self, stage: ForwardStage, weights: StageWeights, keep: Keep, images: Images, runner: Runner) -> None:
        self._weights, self._keep, self._runner = weights, keep, runner
        self._sizes = stage.sizes((images.height, images.width))
        self._values = {INPUT: _Value(images)}
        self.layers: dict[int, Layer] = {}

    def fold(self, number: int, step: ForwardStep, runs: bool) -> None:
        """Folds the next step; what it gives is computed if `runs` says so, as only a batch norm needs it."""
        size = self._sizes[number]
        affine = None
        if runs:
            value = self._run(step, size)
            affine = value.affine if step.norm else None
            if step.added is not None:
                value = self._sum(value, self._values[step.added], step.relu)
            self._values[number] = value
        if step.layer:
            self.layers[number] = self._weights.layer(step, self._keep, size, affine)

    def hand_on(self, out: Float32s) -> None:
        """Writes what the last step gives, `[images, ...]`."""
        self._materialise(self._values[max(self._values)], out)

    def _run(self, step: ForwardStep, size: tuple[int, int]) -> _Value:
        """What a step gives before anything is added to it."""
        source = self._values[step.source]
        relu = step.relu if step.added is None else 0
        if step.kind == "sum":
            if source.relu and relu:
                source = self._materialise(source)
            return source._replace(relu=max(source.relu, relu))
        writer = Writer()
        x = _load(writer, 0, source, step.reach)
        channels = self._weights.channels(step, self._keep) if step.layer else source.images.channels
        y = writer.buffer(_OUT, *size, channels)
        raw = self._weights.layer(step, self._keep, size) if step.layer else None
        write_step(writer, step, raw, x, y, relu=0)
        if step.norm:
            writer.statistics(y)
        writer.store(y)
        images = source.images.values
        target = np.empty((len(images), *size, y.channels), np.float32)
        statistics = self._runner.run(writer.program(), len(images), [images], target, y.channels)
        affine = None
        if step.norm:
            affine = self._weights.norm(step, *batch_statistics(statistics, size[0] * size[1]), self._keep)
        return _Value(Images(target, channels), affine, relu)

    def _sum(self, one: _Value, other: _Value, relu: int) -> _Value:
        if other.relu:
            one, other = other, one
        if other.relu:
            other = self._materialise(other)
        writer = Writer()
        y = _load(writer, 0, one)
        affine = other.affine
        load_images(writer, 1, other.images, y, affine=affine, add=True, relu=relu)
        writer.store(y)
        target = np.empty((len(one.images.values), y.height, y.width, y.channels), np.float32)
        self._runner.run(writer.program(), len(target), [one.images.values, other.images.values], target)
        return _Value(Images(target, one.images.channels))

    def _materialise(self, value: _Value, out: Float32s | None = None) -> _Value:
        """The value with all that is to be done to it done, in `out` if that is given."""
        writer = Writer()
        y = _load(writer, 0, value)
        writer.store(y)
        images = value.images.values
        target = np.empty((len(images), y.height, y.width, y.channels), np.float32) if out is None else out
        self._runner.run(writer.program(), len(images), [images], target)
        return _Value(Images(target, value.images.channels))


def _load(writer: Writer, source: int, value: _Value, border: int = 0) -> Buffer:
    images = value.images
    buffer = writer.buffer(_IN, images.height, images.width, images.channels, border)
    load_images(writer, source, images, buffer, affine=value.affine, relu=value.relu)
    return buffer
