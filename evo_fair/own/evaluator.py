"""Evaluates pruned forms of a network with its own weights: genomes in, counts out."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from evo_fair.data import Dataset
from evo_fair.fairness import Counts
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.memory import keep_memory
from evo_fair.nets.threads import torch_threads
from evo_fair.own.inference import choose_way, labels_of
from evo_fair.own.network import OwnNetwork
from evo_fair.proxy import calibration_samples

__all__ = ["OWN_CODE", "NetworkEvaluator"]

OWN_CODE = 1
"""To be raised with every change that gives other predictions: earlier runs are then not resumed."""

_TRIED = 4
"""Samples on which ways of evaluating the network are compared."""


class NetworkEvaluator:
    """Genomes in, counts out, by grouping; use it as a context manager so that its threads end with the block.

    Each network is calibrated on the same `calibration` training samples and asked for the validation part, on one
    thread: what it predicts depends on its genome alone. `jobs` networks are evaluated at a time.
    """

    def __init__(
        self, own: OwnNetwork, dataset: Dataset, groupings: tuple[str, ...], calibration: int, jobs: int = 1
    ) -> None:
        keep_memory()
        self.own, self.dataset, self.groupings = own, dataset, groupings
        scaling = Scaling.of(dataset.inputs[dataset.part("train")])
        self._calibration = scaling(dataset.inputs[calibration_samples(dataset, calibration)])
        self._samples = scaling(dataset.inputs[dataset.part("validation")])
        genomes = [own.space.largest(), own.space.smallest()]
        with torch_threads(1):
            makers = [partial(own.pruned, genome.tolist()) for genome in genomes]
            self._way = choose_way(makers, self._samples[:_TRIED])
        self._pool = ThreadPoolExecutor(jobs, "own")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels of the validation samples, uint8 `[networks, samples]`."""
        with torch_threads(1):  # sums depend on the number of threads, which those of the pool take over
            rows = list(self._pool.map(self._labels, genomes))
        return np.stack(rows) if rows else np.empty((0, len(self._samples)), np.uint8)

    def evaluate(self, genomes: npt.NDArray[np.int16]) -> dict[str, Counts]:
        """Counts on the validation part by grouping."""
        predictions = self.predict(genomes)
        return {name: self.dataset.counts(predictions, "validation", name) for name in self.groupings}

    def _labels(self, genome: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        return labels_of(self._way.ready(self.own.pruned(genome.tolist()), self._calibration), self._samples)
