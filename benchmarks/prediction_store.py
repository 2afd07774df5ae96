"""What the proxy predicted, kept on disk: what a network predicts depends on its genome alone."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from evo_fair.data import Dataset
from evo_fair.fairness import Counts
from evo_fair.files import digest, storage_errors
from evo_fair.problem import Problem
from evo_fair.proxy import PROXY_CODE, ProxyEvaluator
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.space import SearchSpace

__all__ = ["PredictionStore"]


class PredictionStore:
    """An evaluator that asks the proxy for what is not in its file; use it as a context manager, by one process.

    The file is for one supernet, data set, number of calibration samples and `PROXY_CODE`: a row of genes, labels and
    a checksum for each network. A row that a kill cut or damaged is left out, and what follows it with it.
    `evaluated` counts the networks that were not there.
    """

    def __init__(
        self,
        folder: Path,
        problem: Problem,
        dataset: Dataset,
        space: SearchSpace,
        supernet: StoredSupernet,
        groupings: tuple[str, ...],
        jobs: int,
    ) -> None:
        self._dataset, self._groupings = dataset, groupings
        self._proxy = ProxyEvaluator(proxy_source(problem, dataset, space, supernet.path), dataset, groupings, jobs)
        self.evaluated = 0
        calibration = str(problem.proxy.calibration_samples)
        key = digest(supernet.sha256, space.fingerprint, dataset.fingerprint, calibration, str(PROXY_CODE))[:16]
        path = folder / f"predictions-{key}.bin"
        genes, samples = len(space.gene_names), len(dataset.part("validation"))
        self._row = np.dtype([("genome", "<i2", genes), ("labels", "u1", samples), ("check", "<u4")])
        with storage_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._file.seek(0)
            rows = self._sound(self._file.read())
            self._file.truncate(len(rows) * self._row.itemsize)
        self._known: dict[bytes, npt.NDArray[np.uint8]] = {row["genome"].tobytes(): row["labels"] for row in rows}

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._proxy.__exit__(kind, error, trace)

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels of the validation samples, uint8 `[networks, samples]`, for canonical genomes."""
        names = [genome.tobytes() for genome in np.ascontiguousarray(genomes, "<i2")]
        new = {name: genome for name, genome in zip(names, genomes, strict=True) if name not in self._known}
        if new:
            rows = np.zeros(len(new), self._row)
            rows["genome"] = list(new.values())
            rows["labels"] = self._proxy.predict(np.array(list(new.values()), np.int16))
            rows["check"] = [_check(row) for row in rows]
            with storage_errors(Path(self._file.name)):
                self._file.write(rows.tobytes())
                self._file.flush()
            self._known |= dict(zip(new, rows["labels"], strict=True))
            self.evaluated += len(new)
        return np.array([self._known[name] for name in names])

    def evaluate(self, genomes: npt.NDArray[np.int16]) -> Mapping[str, Counts]:
        """Counts of canonical genomes on the validation part, by grouping."""
        predictions = self.predict(genomes)
        return {name: self._dataset.counts(predictions, "validation", name) for name in self._groupings}

    def _sound(self, content: bytes) -> npt.NDArray[np.void]:
        """The rows before the first that is damaged."""
        rows = np.frombuffer(content[: len(content) // self._row.itemsize * self._row.itemsize], self._row)
        sound = np.array([row["check"] == _check(row) for row in rows], np.bool_)
        return rows if sound.all() else rows[: int(sound.argmin())]


def _check(row: np.void) -> int:
    return zlib.crc32(row["genome"].tobytes() + row["labels"].tobytes())
