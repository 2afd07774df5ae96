"""Evaluates pruned forms of a network with its own weights: genomes in, counts out."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.data import Dataset
from evo_fair.fairness import Counts
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.nets.memory import keep_memory
from evo_fair.nets.network import calibrate
from evo_fair.nets.predict import predict_labels
from evo_fair.nets.threads import torch_threads
from evo_fair.own.frozen import FrozenStages
from evo_fair.own.inference import Way, choose_way, labels_of
from evo_fair.own.network import OwnNetwork
from evo_fair.own.steps import follow_steps
from evo_fair.proxy import calibration_samples
from evo_fair.proxy.population import SharedBeginnings
from evo_fair.proxy.proxy import memory_for_features
from evo_fair.proxy.samples import channels_innermost

__all__ = ["OWN_CODE", "NetworkEvaluator"]

OWN_CODE = 2
"""To be raised with every change that gives other predictions: earlier runs are then not resumed."""

_TRIED = 4
"""Samples on which ways of evaluating the network are compared."""

_TRIED_PROGRAMS = 32
"""... and that of the kernels, which sum up in another order: few samples would make much of that."""

_SAME = 1e-3
"""By how much of the largest output the kernels' may differ."""

Labels = npt.NDArray[np.uint8]


class _Way(Protocol):
    """How networks are evaluated."""

    def predict(self, genomes: npt.NDArray[np.int16]) -> list[Labels]:
        """Predicted labels of the samples, by network."""

    def close(self) -> None:
        """Ends the threads."""


class NetworkEvaluator:
    """Genomes in, counts out, by grouping; use it as a context manager so that its threads end with the block.

    Each network is calibrated on the same `calibration` training samples and asked for the validation part: what it
    predicts depends on its genome alone. Where the kernels of the proxy know all parts of the network, those networks
    are evaluated together, and what several have in common from the input on is computed once. Others go through torch,
    `jobs` at a time, each on one thread. On an accelerator all go through torch, one after the other.
    """

    def __init__(
        self,
        own: OwnNetwork,
        dataset: Dataset,
        groupings: tuple[str, ...],
        calibration: int,
        jobs: int = 1,
        device: TorchDevice = CPU,
    ) -> None:
        keep_memory()
        self.own, self.dataset, self.groupings = own, dataset, groupings
        scaling = Scaling.of(dataset.samples("train"))
        inputs = scaling(dataset.inputs[calibration_samples(dataset, calibration)])
        self._way: _Way
        validation = dataset.samples("validation")
        self._size = len(validation)
        if device.accelerated:
            with device.at_work():
                held = Normalised(validation, scaling, device)
                self._way = _Accelerated(own, inputs, held, device)
            return
        x = scaling(validation[:])
        self._way = _Programs.find(own, inputs, x, jobs) or _Torch(own, inputs, x, jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads; no network can be evaluated any more."""
        self._way.close()

    def predict(self, genomes: npt.NDArray[np.int16]) -> Labels:
        """Predicted labels of the validation samples, uint8 `[networks, samples]`."""
        return np.stack(self._way.predict(genomes)) if len(genomes) else np.empty((0, self._size), np.uint8)

    def evaluate(self, genomes: npt.NDArray[np.int16]) -> dict[str, Counts]:
        """Counts on the validation part by grouping."""
        predictions = self.predict(genomes)
        return {name: self.dataset.counts(predictions, "validation", name) for name in self.groupings}


class _Programs:
    """Networks go through the proxy's kernels together; features are kept for those of later calls."""

    def __init__(self, stages: FrozenStages, inputs: torch.Tensor, x: torch.Tensor, jobs: int) -> None:
        self._stages = stages
        images, samples = channels_innermost(inputs), channels_innermost(x)
        self._networks = SharedBeginnings(stages, stages.labels, images, samples, jobs, memory_for_features())

    @classmethod
    def find(cls, own: OwnNetwork, inputs: torch.Tensor, x: torch.Tensor, jobs: int) -> "_Programs | None":
        """This way, None where it does not compute what the network does."""
        steps = follow_steps(own.whole, x.dim() == 4)
        if steps is None:
            return None
        try:
            stages = FrozenStages(own.whole, own.space, steps, tuple(x.shape[1:]))
        except ValueError:
            return None
        tried = cls(stages, x[:_TRIED_PROGRAMS], x[:_TRIED_PROGRAMS], 1)
        try:
            for genome in (own.space.largest(), own.space.smallest()):
                with torch_threads(1):
                    network = own.calibrated(genome.tolist(), x[:_TRIED_PROGRAMS].clone())
                    with torch.inference_mode():
                        wanted = network(x[:_TRIED_PROGRAMS].clone()).numpy()
                found = tried.logits(genome)
                if not np.allclose(found, wanted, rtol=0, atol=_SAME * np.abs(wanted).max()):
                    return None
        finally:
            tried.close()
        return cls(stages, inputs, x, jobs)

    def logits(self, genome: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """What one network gives for the samples, `[samples, labels]`."""
        logits: npt.NDArray[np.float32] = self._networks.logits([self._stages.blocks(genome.tolist())])[0]
        return logits

    def predict(self, genomes: npt.NDArray[np.int16]) -> list[Labels]:
        """Predicted labels of the samples, by network."""
        return list(self._networks.labels([self._stages.blocks(genome) for genome in genomes.tolist()]))

    def close(self) -> None:
        """Ends the threads."""
        self._networks.close()


class _Torch:
    """Networks go through torch, each on a thread of its own."""

    def __init__(self, own: OwnNetwork, inputs: torch.Tensor, x: torch.Tensor, jobs: int) -> None:
        self._own, self._inputs, self._samples = own, inputs, x
        genomes = [own.space.largest(), own.space.smallest()]
        self._ways: dict[tuple[str, ...], Way]
        with torch_threads(1):
            makers = [partial(own.pruned, genome.tolist()) for genome in genomes]
            self._ways = {(): choose_way(makers, x[:_TRIED])}
        self._pool = ThreadPoolExecutor(jobs, "own")

    def predict(self, genomes: npt.NDArray[np.int16]) -> list[Labels]:
        """Predicted labels of the samples, by network."""
        with torch_threads(1):  # sums depend on the number of threads, which those of the pool take over
            for genome in genomes.tolist():
                left_out = self._own.space.left_out(genome)
                if left_out not in self._ways:
                    self._ways[left_out] = self._ways[()].followed(self._own.pruned(genome))
            return list(self._pool.map(self._labels, genomes))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _labels(self, genome: npt.NDArray[np.int16]) -> Labels:
        way = self._ways[self._own.space.left_out(genome.tolist())]
        return labels_of(way.ready(self._own.pruned(genome.tolist()), self._inputs), self._samples)


class _Accelerated:
    """Networks go through torch on an accelerator, in large batches."""

    def __init__(self, own: OwnNetwork, inputs: torch.Tensor, x: Normalised, device: TorchDevice) -> None:
        self._own, self._inputs, self._samples, self._device = own, device.sent(inputs), x, device

    def predict(self, genomes: npt.NDArray[np.int16]) -> list[Labels]:
        """Predicted labels of the samples, by network."""
        with torch_threads(1), self._device.at_work():
            return [self._labels(genome) for genome in genomes.tolist()]

    def close(self) -> None:
        """There is nothing to end."""

    def _labels(self, genome: list[int]) -> Labels:
        network = self._device.placed(self._own.pruned(genome))
        calibrate(network, self._inputs.clone())  # a network may change its input in place
        return predict_labels(network, self._samples, self._device)
