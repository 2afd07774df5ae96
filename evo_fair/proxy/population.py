"""Evaluates many networks together: what several have in common from the input on is computed once.

Networks form a tree whose edges are blocks. A block's batch-norm statistics depend on the blocks before it alone, so
networks that begin alike share activations and statistics up to where they part. Which of them are kept for later
populations changes the time and nothing else.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Float32s
from evo_fair.nets import Supernet
from evo_fair.proxy.block_programs import FoldedBlock, Images, prediction_program, storing_program
from evo_fair.proxy.frozen import FrozenBlocks, Prefix
from evo_fair.proxy.program import padded
from evo_fair.proxy.runner import Runner
from evo_fair.space import Block, units_of

__all__ = ["Population", "macs_of"]

_Receive = Callable[[list[int], Float32s], None]


@dataclass
class _Features:
    """What networks that begin with some blocks hand on: of the calibration images, and of the samples."""

    calibration: Float32s
    samples: Float32s
    channels: int

    @property
    def images(self) -> Images:
        return Images(self.samples, self.channels)

    @property
    def bytes(self) -> int:
        return self.calibration.nbytes + self.samples.nbytes


@dataclass
class _Node:
    """A beginning that some of the networks at hand share."""

    prefix: Prefix
    children: dict[Block, "_Node"] = field(default_factory=dict)
    networks: list[int] = field(default_factory=list)  # those that end here
    kept: _Features | None = None  # from an earlier population

    @property
    def branches(self) -> int:
        return len(self.children) + bool(self.networks)


class Population:
    """What networks of a frozen supernet say of samples `[n, height, width, channels]`, normalised.

    Batch-norm statistics are those of the calibration images `[m, height, width, channels]`.

    `memory` bytes at most are used to keep features from one call to the next. With `half` features are kept in
    float16 and some convolutions done in bfloat16, on processors that have it.
    """

    def __init__(
        self,
        supernet: Supernet,
        calibration: Float32s,
        samples: Float32s,
        threads: int = 1,
        memory: int = 0,
        *,
        half: bool = False,
    ) -> None:
        self._half = half
        self._blocks = FrozenBlocks(supernet, half=half)
        self._labels = supernet.space.labels
        self._input = _Features(calibration, samples, samples.shape[3])
        self._kept = _Kept(memory)
        self.runner = Runner(threads)

    def logits(self, networks: Sequence[Sequence[Block]]) -> Float32s:
        """Logits `[networks, samples, labels]` of networks, each given by its blocks."""
        logits = np.empty((len(networks), len(self._input.samples), self._labels), np.float32)

        def keep(numbers: list[int], values: Float32s) -> None:
            logits[numbers] = values

        self._evaluate(networks, keep)
        return logits

    def labels(self, networks: Sequence[Sequence[Block]]) -> npt.NDArray[np.uint8]:
        """Predicted labels `[networks, samples]`; ties go to the first label."""
        labels = np.empty((len(networks), len(self._input.samples)), np.uint8)

        def keep(numbers: list[int], values: Float32s) -> None:
            labels[numbers] = values.argmax(1)

        self._evaluate(networks, keep)
        return labels

    def _evaluate(self, networks: Sequence[Sequence[Block]], receive: _Receive) -> None:
        root = _Node(())
        self._kept.count(networks)
        for number, blocks in enumerate(networks):
            node = root
            for depth, block in enumerate(blocks, 1):
                if block not in node.children:
                    node.children[block] = _Node(tuple(blocks[:depth]))
                node = node.children[block]
            node.networks.append(number)
        self._recall(root)
        self._visit(root, self._input, [], receive)

    def _recall(self, node: _Node) -> None:
        """Takes hold of kept features before any is computed, for that may throw kept ones out."""
        for child in node.children.values():
            child.kept = self._kept.find(child.prefix)
            self._recall(child)

    def _visit(self, node: _Node, features: _Features | None, pending: list[FoldedBlock], receive: _Receive) -> None:
        """Goes through a node's networks. The samples of `features` still have to go through the `pending` blocks.

        There are none where everything below goes on from features that were kept.
        """
        if node.networks:
            assert features is not None
            receive(node.networks, self._predict(features, pending))
        for block in sorted(node.children, key=_order):
            child = node.children[block]
            if child.kept is not None or not self._needs_features(child):
                self._visit(child, child.kept, [], receive)
            else:
                assert features is not None
                self._visit(child, *self._advance(child, features, pending), receive)
            child.kept = None

    def _needs_features(self, node: _Node) -> bool:
        return bool(node.networks) or any(
            child.kept is None and self._needs_features(child) for child in node.children.values()
        )

    def _advance(
        self, node: _Node, features: _Features, pending: list[FoldedBlock]
    ) -> tuple[_Features, list[FoldedBlock]]:
        """A node's features, from those of the node before it. Samples go on at once only where that pays."""
        block = node.prefix[-1]
        calibration = _room(features.calibration, [block], self._blocks.kept)
        chain = [*pending, self._blocks.calibrate(node.prefix, features.calibration, self.runner, calibration)]
        if node.branches < 2 and not self._kept.wants(node.prefix):
            return _Features(calibration, features.samples, features.channels), chain
        samples = _room(features.samples, [folded.block for folded in chain], self._blocks.kept)
        program = storing_program(chain, features.images, half=self._half)
        self.runner.run(program, len(samples), [features.samples], samples)
        following = _Features(calibration, samples, block.c_out)
        self._kept.offer(node.prefix, following)
        return following, []

    def _predict(self, features: _Features, pending: list[FoldedBlock]) -> Float32s:
        samples = features.samples
        width = pending[-1].block.c_out if pending else features.channels
        classifier = self._blocks.classifier(width)
        program = prediction_program(pending, classifier, self._labels, features.images, half=self._half)
        logits = np.empty((len(samples), padded(self._labels)), np.float32)
        self.runner.run(program, len(samples), [samples], logits)
        return logits[:, : self._labels]


class _Kept:
    """Features kept for later, those first whose computation costs most for their size and that are wanted most often.

    The rule is GreedyDual-Size-Frequency (Cherkasova 1998): what is thrown out sets the worth from which others start.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._used = 0
        self._least = 0.0
        self._wanted: Counter[Prefix] = Counter()
        self._features: dict[Prefix, _Features] = {}
        self._worth: dict[Prefix, float] = {}

    def count(self, networks: Iterable[Sequence[Block]]) -> None:
        """Takes note of what is wanted."""
        for blocks in networks:
            prefix = tuple(blocks)
            for depth in range(1, len(prefix)):
                self._wanted[prefix[:depth]] += 1

    def find(self, prefix: Prefix) -> _Features | None:
        """What was kept, or None."""
        features = self._features.get(prefix)
        if features is not None:
            self._worth[prefix] = self._rate(prefix, features)
        return features

    def wants(self, prefix: Prefix) -> bool:
        """Whether features are likely to be wanted again: they were wanted before."""
        return self._wanted[prefix] > 1

    def offer(self, prefix: Prefix, features: _Features) -> None:
        """Keeps features if they are worth more than others for which there would be no room."""
        if not self.wants(prefix):
            return
        self._features[prefix] = features
        self._worth[prefix] = self._rate(prefix, features)
        self._used += features.bytes
        while self._used > self._memory:
            out = min(self._worth, key=self._worth.__getitem__)
            self._least = self._worth.pop(out)
            self._used -= self._features.pop(out).bytes

    def _rate(self, prefix: Prefix, features: _Features) -> float:
        images = len(features.samples) + len(features.calibration)
        return self._least + self._wanted[prefix] * images * sum(map(macs_of, prefix)) / features.bytes


def _room(x: Float32s, blocks: Sequence[Block], kind: np.dtype[Any]) -> Float32s:
    """An array for what the blocks make of images `x`."""
    height, width = x.shape[1:3]
    for block in blocks:
        height, width = -(-height // block.stride), -(-width // block.stride)
    return np.empty((len(x), height, width, padded(blocks[-1].c_out)), kind)


def _order(block: Block) -> tuple[object, ...]:
    """What blocks are sorted by: kinds by their names."""
    return (block.name, block.kind.name, *block[2:])


def macs_of(block: Block) -> int:
    """Multiply-accumulates of a block, without regard to the stride within it."""
    pixels = max(1, block.h_in) * max(1, block.w_in) // block.stride**2
    return pixels * sum(
        unit.c_out * (1 if unit.depthwise else unit.c_in) * max(1, unit.kernel) ** 2 for unit in units_of(block)
    )
