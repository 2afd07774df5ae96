"""The proxy: the frozen supernet asked what genomes' networks predict, without any training."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import RawInputs, Selected
from evo_fair.errors import EvoFairError
from evo_fair.nets import Network, Supernet
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.nets.memory import keep_memory
from evo_fair.nets.threads import torch_threads
from evo_fair.proxy.population import Population
from evo_fair.proxy.samples import SampleRows, channels_innermost
from evo_fair.proxy.tiles import BF16
from evo_fair.space import Block

__all__ = [
    "Proxy",
    "check_precision",
    "memory_for_features",
    "predict_labels",
    "predict_logits",
    "torch_device",
]


BATCH = 256

_MEMORY = 7 << 28


class Proxy:
    """A frozen supernet with the samples that set batch-norm statistics and those that are predicted.

    A prediction depends on the genome alone: every network gets statistics of its own from the same calibration
    samples, and neither the company of other genomes nor the number of threads changes a bit. On the CPU populations
    are evaluated together, see `evo_fair.proxy.population`; on a GPU networks go through torch one by one. So do, on
    the CPU too, those with blocks that weigh channels, which a population's programs can't do: slower, in `fp32`
    always, and to the bit only on one kind of processor. Else `fp32` is exact, the same on every processor with fused
    multiply-add; `bf16` is faster, and only on processors that have it.
    """

    def __init__(
        self,
        supernet: Supernet,
        calibration: RawInputs,
        samples: RawInputs | Selected,
        threads: int = 1,
        device: str = "cpu",
        precision: str = "fp32",
        memory: int | None = None,
    ) -> None:
        keep_memory()
        self.supernet = supernet
        self.calibration = supernet.normalise(calibration)
        normalised = Normalised(samples, Scaling(supernet.mean, supernet.scale))
        self.samples: torch.Tensor | Normalised = normalised if normalised.kept is None else normalised.kept
        self.device = device
        self._threads = threads
        self.population = Population(
            supernet,
            channels_innermost(self.calibration),
            SampleRows(normalised) if isinstance(self.samples, Normalised) else channels_innermost(self.samples),
            threads,
            (memory_for_features() if memory is None else memory) // (4 if isinstance(self.samples, Normalised) else 1),
            half=check_precision(precision) == "bf16",
        )

    def network(self, genome: npt.ArrayLike) -> Network:
        """The stand-alone network of a genome `[genes]`: calibrated, batch norm folded, ready to run or export."""
        with torch_threads(1):
            network = self.supernet.extract(genome)
            network.calibrate(self.calibration)
            return network.folded()

    def logits(self, genome: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Logits of one genome's network on the samples, float32 `[samples, labels]`."""
        blocks = self.supernet.space.architecture(genome)
        if self.device != "cpu" or _weighs_channels(blocks):
            return self._torch_logits(genome)
        logits: npt.NDArray[np.float32] = self.population.logits([blocks])[0]
        return logits

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels, uint8 `[networks, samples]`, of genomes `[networks, genes]`; ties go to the first label."""
        networks = [self.supernet.space.architecture(genome) for genome in genomes]
        alone = np.array([self.device != "cpu" or _weighs_channels(blocks) for blocks in networks], np.bool_)
        labels = np.empty((len(genomes), len(self.samples)), np.uint8)
        if not alone.all():
            labels[~alone] = self.population.labels([networks[number] for number in np.flatnonzero(~alone)])
        for number, logits in zip(np.flatnonzero(alone), self._torch_logits_of(genomes[alone]), strict=True):
            labels[number] = logits.argmax(1)
        return labels

    def close(self) -> None:
        """Ends the threads."""
        self.population.runner.close()

    def _torch_logits_of(self, genomes: npt.NDArray[np.int16]) -> Iterator[npt.NDArray[np.float32]]:
        """The logits of several genomes one after the other; on the CPU as many at a time as there are threads."""
        if self.device != "cpu" or not len(genomes):
            yield from map(self._torch_logits, genomes)
            return
        with torch_threads(1), ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(self._torch_logits, genomes)

    def _torch_logits(self, genome: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The same by torch, a network at a time: on one thread, so that their number changes nothing."""
        if self.device == "cpu":
            return predict_logits(self.network(genome), self.samples)
        device = torch.device(self.device)
        network = self.supernet.extract(genome).to(device)
        network.calibrate(self.calibration.to(device))
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = network.folded()(self.samples[:].to(device)).cpu().numpy()
        return logits


def _weighs_channels(blocks: Sequence[Block]) -> bool:
    return any(block.kind.excited for block in blocks)


def torch_device(name: str) -> str:
    """The device `cpu` or `cuda` that `name` stands for; `auto` is the GPU where torch sees one.

    Raises `EvoFairError` for another name, and for `cuda` where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise EvoFairError(f"torch device {name!r} is unknown: give auto, cpu or cuda")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise EvoFairError("torch device 'cuda' is not there: torch sees no GPU; give auto or cpu")
    return "cuda" if there and name != "cpu" else "cpu"


def check_precision(name: str, device: str = "cpu") -> str:
    """Returns the precision `fp32` or `bf16`; raises `EvoFairError` for another name or where there is no bfloat16."""
    if name not in ("fp32", "bf16"):
        raise EvoFairError(f"precision {name!r} is unknown: give fp32 or bf16")
    if name == "bf16" and (device != "cpu" or not BF16):
        raise EvoFairError("precision 'bf16' needs a processor with AVX-512 BF16, and torch device cpu: give fp32")
    return name


@torch.inference_mode()
def predict_logits(network: torch.nn.Module, x: torch.Tensor | Normalised) -> npt.NDArray[np.float32]:
    """Logits, float32 `[n, labels]`, of a network for normalised inputs `x`, on one thread."""
    with torch_threads(1):
        batches = (x[start : start + BATCH] for start in range(0, len(x), BATCH))
        return np.concatenate([network(batch).numpy() for batch in batches])


def predict_labels(network: torch.nn.Module, x: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Predicted labels, uint8 `[n]`, of a network for normalised inputs `x`; ties go to the first label."""
    labels: npt.NDArray[np.uint8] = predict_logits(network, x).argmax(1).astype(np.uint8)
    return labels


def memory_for_features(processes: int = 1) -> int:
    """Bytes for features that are kept: 1.75 GiB, or an eighth of the machine's memory if that is less.

    Several processes on the machine have a quarter of its memory together.
    """
    if not hasattr(os, "sysconf"):
        return _MEMORY // (4 * processes)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_MEMORY, whole // max(8, 4 * processes))
