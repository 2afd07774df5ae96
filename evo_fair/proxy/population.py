"""Evaluates many networks together: what several have in common from the input on is computed once.

Networks form a tree whose edges are blocks. A block's batch-norm statistics depend on the blocks before it alone, so
networks that begin alike share activations and statistics up to where they part. Which of them are kept for later
populations changes the time and nothing else.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Float32s
from evo_fair.nets import Supernet
from evo_fair.nets.memory import LARGE_INPUTS, give_back, give_back_surplus
from evo_fair.proxy.block_programs import FoldedBlock, Images
from evo_fair.proxy.branching import do_all
from evo_fair.proxy.frozen import FrozenBlocks
from evo_fair.proxy.program import Program, padded
from evo_fair.proxy.runner import Runner
from evo_fair.proxy.samples import AskedSamples, SampleRows
from evo_fair.proxy.split import split_evenly
from evo_fair.space import Block

__all__ = ["Frozen", "Population", "SharedBeginnings"]

_Receive = Callable[[list[int], Float32s], None]

_NETWORKS = 4
"""Networks that a runner gets at least, of those that work beside each other: with fewer some would have to wait."""

_PATH = 2
"""Features on the way to a network take about so many times what the samples do; each runner holds its own."""

B = TypeVar("B", bound=Hashable)
"""A block of a network; networks that begin with equal blocks compute the same there."""

F = TypeVar("F")
"""A block whose batch norms are folded."""

_In = TypeVar("_In", bound=Hashable, contravariant=True)


class Frozen(Protocol[_In, F]):
    """Blocks with weights that stay, as `SharedBeginnings` uses them; those of a supernet are `FrozenBlocks`."""

    def calibrate(self, prefix: tuple[_In, ...], x: Float32s, runner: Runner, out: Float32s) -> F:
        """The last block of `prefix`, folded with the statistics of its inputs `x`; its outputs go into `out`."""

    def room(self, x: AskedSamples, blocks: Sequence[_In]) -> Float32s:
        """An array for what the blocks make of images `x`."""

    def channels(self, block: _In) -> int:
        """How many channels a block gives."""

    def order(self, block: _In) -> tuple[object, ...]:
        """What blocks behind the same beginning are sorted by."""

    def macs(self, block: _In) -> int:
        """About how many multiply-accumulates a block takes."""

    def storing(self, chain: Sequence[F], images: Images) -> Program:
        """The program from images through blocks to the last one's output."""

    def prediction(self, chain: Sequence[F], images: Images) -> Program:
        """The program from images through the last blocks to the logits."""


@dataclass
class _Features:
    """What networks that begin with some blocks hand on: of the calibration images, and of the samples."""

    calibration: Float32s
    samples: AskedSamples
    channels: int

    @property
    def images(self) -> Images:
        return Images(self.samples, self.channels)

    @property
    def bytes(self) -> int:
        return self.calibration.nbytes + self.samples.nbytes


@dataclass
class _Node(Generic[B]):
    """A beginning that some of the networks at hand share."""

    prefix: tuple[B, ...]
    children: dict[B, "_Node[B]"] = field(default_factory=dict)
    networks: list[int] = field(default_factory=list)  # those that end here
    kept: _Features | None = None  # from an earlier population

    @property
    def branches(self) -> int:
        return len(self.children) + bool(self.networks)


class _Place(NamedTuple, Generic[B, F]):
    """A node to go to, and how far the node before it is: the samples still have to go through `pending` blocks.

    There are no `features` where everything below goes on from some that were kept.
    """

    node: _Node[B]
    features: _Features | None
    pending: list[F]


class SharedBeginnings(Generic[B, F]):
    """What networks of frozen blocks say of samples `[n, height, width, channels]`, normalised.

    Batch-norm statistics are those of the calibration images `[m, height, width, channels]`. `memory` bytes at most are
    used to keep features from one call to the next.
    """

    def __init__(
        self,
        blocks: Frozen[B, F],
        labels: int,
        calibration: Float32s,
        samples: AskedSamples,
        threads: int = 1,
        memory: int = 0,
    ) -> None:
        give_back(calibration.nbytes)
        self._blocks = blocks
        self._labels = labels
        self._input = _Features(calibration, samples, samples.shape[3])
        self._kept = _Kept(memory, blocks.macs)
        self._threads, self._memory = threads, memory
        self._runners: dict[int, list[Runner]] = {}
        # Where samples are too many to be held, so are the features of the first blocks: they are computed again.
        self._largest = memory // 2 if isinstance(samples, SampleRows) else None

    @property
    def macs(self) -> int:
        """The multiply-accumulates done."""
        return sum(runner.macs for runners in self._runners.values() for runner in runners)

    def close(self) -> None:
        """Ends the threads."""
        for runners in self._runners.values():
            for runner in runners:
                runner.close()

    def logits(self, networks: Sequence[Sequence[B]]) -> Float32s:
        """Logits `[networks, samples, labels]` of networks, each given by its blocks."""
        logits = np.empty((len(networks), len(self._input.samples), self._labels), np.float32)

        def keep(numbers: list[int], values: Float32s) -> None:
            logits[numbers] = values

        self._evaluate(networks, keep)
        return logits

    def labels(self, networks: Sequence[Sequence[B]]) -> npt.NDArray[np.uint8]:
        """Predicted labels `[networks, samples]`; ties go to the first label."""
        labels = np.empty((len(networks), len(self._input.samples)), np.uint8)

        def keep(numbers: list[int], values: Float32s) -> None:
            labels[numbers] = values.argmax(1)

        self._evaluate(networks, keep)
        return labels

    def _evaluate(self, networks: Sequence[Sequence[B]], receive: _Receive) -> None:
        root: _Node[B] = _Node(())
        self._kept.count(networks)
        for number, blocks in enumerate(networks):
            node = root
            for depth, block in enumerate(blocks, 1):
                if block not in node.children:
                    node.children[block] = _Node(tuple(blocks[:depth]))
                node = node.children[block]
            node.networks.append(number)
        self._recall(root)
        begin: list[_Place[B, F]] = [_Place(root, self._input, [])]
        runners = self._runners_for(len(networks))
        do_all(begin, lambda place, runner: self._go_on(place, runner, receive), runners)

    def _runners_for(self, networks: int) -> list[Runner]:
        """The threads as runners that have networks of their own: one that shares images waits for programs often."""
        room = self._memory // max(1, _PATH * self._input.samples.nbytes)
        count = max(1, min(self._threads, networks // _NETWORKS, room))
        if count not in self._runners:
            self._runners[count] = [Runner(len(threads)) for threads in split_evenly(self._threads, count)]
        return self._runners[count]

    def _recall(self, node: _Node[B]) -> None:
        """Takes hold of kept features before any is computed, for that may throw kept ones out."""
        for child in node.children.values():
            child.kept = self._kept.find(child.prefix)
            self._recall(child)

    def _go_on(self, place: "_Place[B, F]", runner: Runner, receive: _Receive) -> list["_Place[B, F]"]:
        """Computes what the networks of a node need there, and says where to go on from it."""
        node, features, pending = place
        if self._input.calibration.nbytes >= LARGE_INPUTS:
            give_back_surplus()
        if node.prefix:
            if node.kept is not None or not self._needs_features(node):
                features, pending = node.kept, []
            else:
                assert features is not None
                features, pending = self._advance(node, features, pending, runner)
            node.kept = None
        if node.networks:
            assert features is not None
            receive(node.networks, self._predict(features, pending, runner))
        blocks = sorted(node.children, key=self._blocks.order)
        return [_Place(node.children[block], features, pending) for block in blocks]

    def _needs_features(self, node: _Node[B]) -> bool:
        return bool(node.networks) or any(
            child.kept is None and self._needs_features(child) for child in node.children.values()
        )

    def _advance(
        self, node: _Node[B], features: _Features, pending: list[F], runner: Runner
    ) -> tuple[_Features, list[F]]:
        """A node's features, from those of the node before it. Samples go on at once only where that pays."""
        block = node.prefix[-1]
        calibration = self._blocks.room(features.calibration, [block])
        chain = [*pending, self._blocks.calibrate(node.prefix, features.calibration, runner, calibration)]
        pays = node.branches > 1 or self._kept.wants(node.prefix)
        if not pays or self._are_too_large(features, calibration):
            return _Features(calibration, features.samples, features.channels), chain
        samples = self._blocks.room(features.samples, node.prefix[-len(chain) :])
        self._run(self._blocks.storing(chain, features.images), features.samples, samples, runner)
        following = _Features(calibration, samples, self._blocks.channels(block))
        self._kept.offer(node.prefix, following)
        return following, []

    def _predict(self, features: _Features, pending: list[F], runner: Runner) -> Float32s:
        program = self._blocks.prediction(pending, features.images)
        logits = np.empty((len(features.samples), padded(self._labels)), np.float32)
        self._run(program, features.samples, logits, runner)
        return logits[:, : self._labels]

    def _are_too_large(self, features: _Features, calibration: Float32s) -> bool:
        """Whether samples that go as far as `calibration` has gone would take more than there is room for."""
        images = len(calibration)
        return self._largest is not None and calibration.nbytes * len(features.samples) > self._largest * images

    def _run(self, program: Program, samples: AskedSamples, target: Float32s, runner: Runner) -> None:
        """Runs a program on every sample."""
        if isinstance(samples, SampleRows):
            for place, part in samples.parts():
                runner.run(program, len(part), [part], target[place])
        else:
            runner.run(program, len(samples), [samples], target)


class Population(SharedBeginnings[Block, FoldedBlock]):
    """The networks of a frozen supernet.

    With `half` features are kept in float16 and some convolutions done in bfloat16, on processors that have it.
    """

    def __init__(
        self,
        supernet: Supernet,
        calibration: Float32s,
        samples: AskedSamples,
        threads: int = 1,
        memory: int = 0,
        *,
        half: bool = False,
    ) -> None:
        blocks = FrozenBlocks(supernet, half=half)
        super().__init__(blocks, supernet.space.labels, calibration, samples, threads, memory)


class _Kept(Generic[B]):
    """Features kept for later, those first whose computation costs most for their size and that are wanted most often.

    The rule is GreedyDual-Size-Frequency (Cherkasova 1998): what is thrown out sets the worth from which others start.
    """

    def __init__(self, memory: int, macs: Callable[[B], int]) -> None:
        self._memory, self._macs = memory, macs
        self._lock = Lock()
        self._used = 0
        self._least = 0.0
        self._wanted: Counter[tuple[B, ...]] = Counter()
        self._features: dict[tuple[B, ...], _Features] = {}
        self._worth: dict[tuple[B, ...], float] = {}

    def count(self, networks: Iterable[Sequence[B]]) -> None:
        """Takes note of what is wanted."""
        for blocks in networks:
            prefix = tuple(blocks)
            for depth in range(1, len(prefix)):
                self._wanted[prefix[:depth]] += 1

    def find(self, prefix: tuple[B, ...]) -> _Features | None:
        """What was kept, or None."""
        features = self._features.get(prefix)
        if features is not None:
            self._worth[prefix] = self._rate(prefix, features)
        return features

    def wants(self, prefix: tuple[B, ...]) -> bool:
        """Whether features are likely to be wanted again: they were wanted before."""
        return self._wanted[prefix] > 1

    def offer(self, prefix: tuple[B, ...], features: _Features) -> None:
        """Keeps features if they are worth more than others for which there would be no room."""
        if not self.wants(prefix):
            return
        with self._lock:
            self._features[prefix] = features
            self._worth[prefix] = self._rate(prefix, features)
            self._used += features.bytes
            while self._used > self._memory:
                out = min(self._worth, key=self._worth.__getitem__)
                self._least = self._worth.pop(out)
                self._used -= self._features.pop(out).bytes

    def _rate(self, prefix: tuple[B, ...], features: _Features) -> float:
        images = len(features.samples) + len(features.calibration)
        return self._least + self._wanted[prefix] * images * sum(map(self._macs, prefix)) / features.bytes
