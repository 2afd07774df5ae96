"""Evaluates populations with the proxy: genomes in, counts out."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import RawInputs, Selected
from evo_fair.data import Dataset
from evo_fair.fairness import Counts
from evo_fair.nets import Supernet
from evo_fair.nets.device import TorchDevice
from evo_fair.proxy.proxy import Proxy
from evo_fair.space import SearchSpace

__all__ = ["ProxyEvaluator", "ProxySource", "calibration_samples"]


def calibration_samples(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Indices `[count]` of the training samples for batch-norm statistics: evenly spaced, so no seed is involved."""
    train = dataset.part("train")
    return train[np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(np.int64)]


@dataclass(frozen=True)
class ProxySource:
    """What a proxy is made of: the file of a supernet, its space, and the samples."""

    supernet: Path
    space: SearchSpace
    calibration: RawInputs
    samples: RawInputs | Selected

    def open(self, threads: int = 1, device: str | TorchDevice = "cpu", precision: str = "fp32") -> Proxy:
        """Loads the supernet and makes the proxy."""
        supernet = Supernet.load(self.supernet, self.space)
        return Proxy(supernet, self.calibration, self.samples, threads, device, precision)


class ProxyEvaluator:
    """Genomes in, counts out, by grouping; use it as a context manager so that its threads end with the block.

    `jobs` threads share the work; their number changes the time and nothing else.
    """

    def __init__(
        self,
        source: ProxySource,
        dataset: Dataset,
        groupings: tuple[str, ...],
        jobs: int = 1,
        device: str | TorchDevice = "cpu",
        precision: str = "fp32",
    ) -> None:
        self.dataset = dataset
        self.groupings = groupings
        self._proxy = source.open(jobs, device, precision)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proxy.close()

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels of the validation samples, uint8 `[networks, samples]`."""
        return self._proxy.predict(genomes)

    def evaluate(self, genomes: npt.NDArray[np.int16]) -> dict[str, Counts]:
        """Counts on the validation part by grouping."""
        predictions = self.predict(genomes)
        return {name: self.dataset.counts(predictions, "validation", name) for name in self.groupings}
