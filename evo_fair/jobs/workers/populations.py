"""Populations of a search in workers: each gets networks that begin alike, which share what they have in common."""

import sys
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Genomes, RawInputs, Selected
from evo_fair.data import Dataset
from evo_fair.fairness import Counts
from evo_fair.jobs.workers.team import Team
from evo_fair.nets import Supernet
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.own import NetworkEvaluator, OwnNetwork
from evo_fair.proxy import Proxy
from evo_fair.proxy.proxy import memory_for_features
from evo_fair.proxy.split import split_evenly, split_population

__all__ = ["OwnPredictingWork", "PredictingWork", "TeamEvaluator"]

PredictedLabels = npt.NDArray[np.uint8]


class PopulationWork(Protocol):
    """Predicts labels of genomes in a worker, and splits a population there is for several workers."""

    def __call__(self, genomes: Genomes) -> PredictedLabels:
        """Labels of the validation samples, uint8 `[networks, samples]`, of genomes `[networks, genes]`."""

    def split(self, genomes: Genomes, parts: int) -> list[npt.NDArray[np.int64]]:
        """The rows of a population by worker."""


class _OpenedHere:
    """Work that opens what it asks, `_opened`, where it is first called: it is not sent, and ends with `close`."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def close(self) -> None:
        """Ends the threads, if there are any."""
        if (opened := self.__dict__.get("_opened")) is not None:
            opened.close()


@dataclass(frozen=True)
class PredictingWork(_OpenedHere):
    """A frozen supernet and the samples that it is asked for; opened as a proxy where it is first called.

    `here` workers, each of so many `threads`, share a machine's memory. The worker has to have the `device`.
    """

    supernet: Supernet
    calibration: RawInputs
    samples: RawInputs | Selected
    threads: int = 1
    here: int = 1
    precision: str = "fp32"
    device: TorchDevice = CPU

    def __post_init__(self) -> None:
        for name in ("calibration", "samples"):  # so that workers on one machine share them
            array = getattr(self, name)
            if isinstance(array, np.ndarray):
                array = array.view()
                array.flags.writeable = False
                object.__setattr__(self, name, array)

    def __call__(self, genomes: Genomes) -> PredictedLabels:
        """Labels of the samples, uint8 `[networks, samples]`, of genomes `[networks, genes]`."""
        return self._opened.predict(genomes)

    def split(self, genomes: Genomes, parts: int) -> list[npt.NDArray[np.int64]]:
        """The rows of a population by worker: those that begin alike together, and each about as much work."""
        return split_population([self.supernet.space.architecture(genome) for genome in genomes], parts)

    @cached_property
    def _opened(self) -> Proxy:
        memory = _memory(self.here)
        return Proxy(self.supernet, self.calibration, self.samples, self.threads, self.device, self.precision, memory)


@dataclass(frozen=True)
class OwnPredictingWork(_OpenedHere):
    """A network of the user's own, whose pruned forms are evaluated; opened where it is first called."""

    own: OwnNetwork
    dataset: Dataset
    calibration: int
    threads: int
    device: TorchDevice = CPU

    def __call__(self, genomes: Genomes) -> PredictedLabels:
        """Labels of the validation samples, uint8 `[networks, samples]`, of genomes `[networks, genes]`."""
        return self._opened.predict(genomes)

    def split(self, genomes: Genomes, parts: int) -> list[npt.NDArray[np.int64]]:
        """The rows of a population by worker: pruned forms have little in common."""
        return split_evenly(len(genomes), parts)

    @cached_property
    def _opened(self) -> NetworkEvaluator:
        return NetworkEvaluator(self.own, self.dataset, (), self.calibration, self.threads, self.device)


class TeamEvaluator:
    """Genomes in, counts out, by grouping, as `ProxyEvaluator` and by workers; use it as a context manager.

    A network's labels depend on its genome alone, so that neither their number nor how a population is split matters.
    """

    def __init__(self, team: Team, work: PopulationWork, dataset: Dataset, groupings: tuple[str, ...]) -> None:
        self.dataset, self.groupings = dataset, groupings
        self._team, self._work = team, work
        self._samples = len(dataset.part("validation"))
        self._loaded = team.loaded(work)
        self._load = self._loaded.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loaded.__exit__(kind, error, trace)

    def predict(self, genomes: Genomes) -> PredictedLabels:
        """Predicted labels of the validation samples, uint8 `[networks, samples]`."""
        labels = np.empty((len(genomes), self._samples), np.uint8)
        parts = self._work.split(genomes, self._team.width)
        parts = [rows for rows in parts if len(rows)]
        pieces = [genomes[rows] for rows in parts]
        for number, found in self._team.each(self._load, pieces, self._name, all_needed=True):
            labels[parts[number]] = found
        return labels

    def evaluate(self, genomes: Genomes) -> dict[str, Counts]:
        """Counts on the validation part by grouping."""
        predictions = self.predict(genomes)
        return {name: self.dataset.counts(predictions, "validation", name) for name in self.groupings}

    @staticmethod
    def _name(genomes: Genomes) -> str:
        return f"the part of a generation with the genome {'-'.join(map(str, genomes[0]))}"


def _memory(here: int) -> int:
    """Bytes that a worker keeps features in: less where many share a machine, and within a Dask worker's limit."""
    memory = memory_for_features(here)
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            limit = get_worker().memory_manager.memory_limit
        except (AttributeError, ValueError):  # no worker of Dask's
            limit = None
        memory = min(memory, int(limit) // 4) if limit else memory
    return memory
