"""Evaluates populations with the proxy, in this process or spread over worker processes, with the same result."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, parallel_config

from evo_fair.data import Dataset
from evo_fair.fairness import Counts
from evo_fair.files import atomic_write, cache_folder, digest, sha256_of
from evo_fair.nets import Supernet
from evo_fair.proxy.proxy import Inputs, Proxy
from evo_fair.space import SearchSpace, SpaceSchema

__all__ = ["ProxyEvaluator", "ProxySource", "calibration_samples"]


def calibration_samples(dataset: Dataset, count: int) -> npt.NDArray[np.int64]:
    """Indices `[count]` of the training samples for batch-norm statistics: evenly spaced, so no seed is involved."""
    train = dataset.part("train")
    return train[np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(np.int64)]


@dataclass(frozen=True)
class ProxySource:
    """What a worker needs to make its proxy: names of files and the space, small enough to send with every task."""

    supernet: Path
    sha256: str  # of the supernet's file: another one in its place is another source
    calibration: Path
    samples: Path
    schema: str  # as JSON, because a worker's cache needs it hashable
    input_shape: tuple[int, ...]
    labels: int

    @classmethod
    def store(cls, supernet: Path, space: SearchSpace, calibration: Inputs, samples: Inputs) -> "ProxySource":
        """Puts the samples into the cache, where workers map them into memory."""
        return cls(
            supernet,
            sha256_of(supernet),
            _stored(calibration),
            _stored(samples),
            space.schema.model_dump_json(),
            space.input_shape,
            space.labels,
        )

    def open(self) -> Proxy:
        """Loads the proxy; a process does so once."""
        return _open(self)


@lru_cache(maxsize=1)
def _open(source: ProxySource) -> Proxy:
    schema = SpaceSchema.model_validate_json(source.schema)
    supernet = Supernet.load(source.supernet, SearchSpace(schema, source.input_shape, source.labels))
    calibration = np.load(source.calibration, mmap_mode="r", allow_pickle=False)
    return Proxy(supernet, calibration, np.load(source.samples, mmap_mode="r", allow_pickle=False))


def _stored(array: Inputs) -> Path:
    content = np.ascontiguousarray(array)
    path = cache_folder("samples") / f"{digest(str(content.dtype), str(content.shape), content.tobytes())[:32]}.npy"
    if not path.exists():
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, content, allow_pickle=False)
    return path


def _predict(source: ProxySource, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    return source.open().predict(genomes)


class ProxyEvaluator:
    """Genomes in, counts out, by grouping; use it as a context manager so that its workers end with the block."""

    def __init__(self, source: ProxySource, dataset: Dataset, groupings: tuple[str, ...], jobs: int = 1) -> None:
        self.source = source
        self.dataset = dataset
        self.groupings = groupings
        self.jobs = jobs
        with parallel_config(backend="loky", inner_max_num_threads=1):
            self._parallel = Parallel(n_jobs=jobs, max_nbytes=None)

    def __enter__(self) -> Self:
        if self.jobs > 1:
            self._parallel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.jobs > 1:
            self._parallel.__exit__(kind, error, trace)

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels of the validation samples, uint8 `[networks, samples]`."""
        if self.jobs == 1 or len(genomes) < 2:
            return _predict(self.source, genomes)
        chunks = np.array_split(genomes, min(len(genomes), 4 * self.jobs))
        return np.concatenate(self._parallel(delayed(_predict)(self.source, chunk) for chunk in chunks))

    def evaluate(self, genomes: npt.NDArray[np.int16]) -> dict[str, Counts]:
        """Counts on the validation part by grouping."""
        predictions = self.predict(genomes)
        return {name: self.dataset.counts(predictions, "validation", name) for name in self.groupings}
