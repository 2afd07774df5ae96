"""The proxy: the frozen supernet asked what genomes' networks predict, without any training."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import RawInputs, Selected
from evo_fair.errors import EvoFairError
from evo_fair.nets import Network, Supernet
from evo_fair.nets.device import TorchDevice, open_device
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.nets.memory import keep_memory
from evo_fair.nets.predict import BATCH, predict_labels, predict_logits
from evo_fair.nets.threads import torch_threads
from evo_fair.proxy.population import Population
from evo_fair.proxy.samples import SampleRows, channels_innermost
from evo_fair.proxy.tiles import BF16
from evo_fair.proxy.together import make_networks
from evo_fair.space import Block

__all__ = [
    "BATCH",
    "Proxy",
    "check_precision",
    "memory_for_features",
    "predict_labels",
    "predict_logits",
    "torch_device",
]


_MEMORY = 7 << 28

_TOGETHER = 256
"""Networks that an accelerator evaluates at a time: their modules take room there."""


class Proxy:
    """A frozen supernet with the samples that set batch-norm statistics and those that are predicted.

    A prediction depends on the genome alone: every network gets statistics of its own from the same calibration
    samples, and neither the company of other genomes nor the number of threads changes a bit. On the CPU populations
    are evaluated together, see `evo_fair.proxy.population`; on a GPU by torch, where what they begin with in common is
    computed once, too, see `evo_fair.proxy.together`. Networks with blocks that weigh channels, which a population's
    programs can't do, go through torch on the CPU, one by one: slower, in `fp32` always, and to the bit only on one
    kind of processor. Else `fp32` is exact, the same on every processor with fused multiply-add; `bf16` is faster, and
    only on processors that have it.
    """

    def __init__(
        self,
        supernet: Supernet,
        calibration: RawInputs,
        samples: RawInputs | Selected,
        threads: int = 1,
        device: str | TorchDevice = "cpu",
        precision: str = "fp32",
        memory: int | None = None,
    ) -> None:
        keep_memory()
        self.supernet = supernet
        self._raw = calibration, samples
        self.calibration = supernet.normalise(calibration)
        normalised = Normalised(samples, Scaling(supernet.mean, supernet.scale))
        self.samples: torch.Tensor | Normalised = normalised if normalised.kept is None else normalised.kept
        self.device = device
        self._threads, self._memory = threads, memory
        self._half = check_precision(precision, self._device.kind) == "bf16"

    @property
    def device(self) -> str:
        """Where networks are evaluated, as torch calls it."""
        return self._device.name

    @device.setter
    def device(self, given: str | TorchDevice) -> None:
        self._device = given if isinstance(given, TorchDevice) else TorchDevice(given, accelerated=given != "cpu")
        self.__dict__.pop("_elsewhere", None)

    @cached_property
    def population(self) -> Population:
        """What evaluates networks on the CPU."""
        many = isinstance(self.samples, Normalised)
        return Population(
            self.supernet,
            channels_innermost(self.calibration),
            SampleRows(self.samples) if isinstance(self.samples, Normalised) else channels_innermost(self.samples),
            self._threads,
            (memory_for_features() if self._memory is None else self._memory) // (4 if many else 1),
            half=self._half,
        )

    @cached_property
    def _elsewhere(self) -> "_Accelerated | None":
        """What evaluates them on an accelerator, None on the CPU."""
        if not self._device.accelerated:
            return None
        return _Accelerated(self.supernet, *self._raw, self._device)

    def network(self, genome: npt.ArrayLike) -> Network:
        """The stand-alone network of a genome `[genes]`: calibrated, batch norm folded, ready to run or export."""
        with torch_threads(1):
            network = self.supernet.extract(genome)
            network.calibrate(self.calibration)
            return network.folded()

    def logits(self, genome: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Logits of one genome's network on the samples, float32 `[samples, labels]`."""
        blocks = self.supernet.space.architecture(genome)
        if self._elsewhere is not None:
            return next(self._elsewhere.logits(np.asarray(genome, np.int16)[None]))
        if _weighs_channels(blocks):
            return self._torch_logits(genome)
        logits: npt.NDArray[np.float32] = self.population.logits([blocks])[0]
        return logits

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels, uint8 `[networks, samples]`, of genomes `[networks, genes]`; ties go to the first label."""
        networks = [self.supernet.space.architecture(genome) for genome in genomes]
        away = self._elsewhere is not None
        alone = np.array([away or _weighs_channels(blocks) for blocks in networks], np.bool_)
        labels = np.empty((len(genomes), len(self.samples)), np.uint8)
        if not alone.all():
            labels[~alone] = self.population.labels([networks[number] for number in np.flatnonzero(~alone)])
        for number, logits in zip(np.flatnonzero(alone), self._torch_logits_of(genomes[alone]), strict=True):
            labels[number] = logits.argmax(1)
        return labels

    def close(self) -> None:
        """Ends the threads."""
        if "population" in self.__dict__:
            self.population.close()

    def _torch_logits_of(self, genomes: npt.NDArray[np.int16]) -> Iterator[npt.NDArray[np.float32]]:
        """The logits of several genomes by torch: on the CPU as many at a time as there are threads, else together."""
        if not len(genomes):
            return
        if self._elsewhere is not None:
            yield from self._elsewhere.logits(genomes)
            return
        with torch_threads(1), ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(self._torch_logits, genomes)

    def _torch_logits(self, genome: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Those of one on the CPU: on one thread, so that their number changes nothing."""
        return predict_logits(self.network(genome), self.samples)


class _Accelerated:
    """The supernet and the samples on an accelerator, where networks that begin alike share what they begin with."""

    def __init__(
        self,
        supernet: Supernet,
        calibration: RawInputs,
        samples: RawInputs | Selected,
        device: TorchDevice,
    ) -> None:
        self._device = device
        with device.at_work():
            self._supernet = supernet.to(device.where)
            self._calibration = self._supernet.normalise(calibration)
            self._samples = Normalised(samples, Scaling(supernet.mean, supernet.scale), device)

    def logits(self, genomes: npt.NDArray[np.int16]) -> Iterator[npt.NDArray[np.float32]]:
        """The logits of genomes `[networks, genes]`, in the order of their networks."""
        for first in range(0, len(genomes), _TOGETHER):
            chosen = list(genomes[first : first + _TOGETHER])
            made = make_networks(self._supernet, self._calibration, self._samples, chosen, 1, self._device)
            yield from (one.logits for one in made)


def _weighs_channels(blocks: Sequence[Block]) -> bool:
    return any(block.kind.excited for block in blocks)


def torch_device(name: str) -> str:
    """The device that `name` stands for, see `evo_fair.nets.device.open_device`."""
    return open_device(name).name


def check_precision(name: str, device: str = "cpu") -> str:
    """Returns the precision `fp32` or `bf16`; raises `EvoFairError` for another name or where there is no bfloat16."""
    if name not in ("fp32", "bf16"):
        raise EvoFairError(f"precision {name!r} is unknown: give fp32 or bf16")
    if name == "bf16" and (device != "cpu" or not BF16):
        raise EvoFairError("precision 'bf16' needs a processor with AVX-512 BF16, and torch device cpu: give fp32")
    return name


def memory_for_features(processes: int = 1) -> int:
    """Bytes for features that are kept: 1.75 GiB, or an eighth of the machine's memory if that is less.

    Several processes on the machine have a quarter of its memory together.
    """
    if not hasattr(os, "sysconf"):
        return _MEMORY // (4 * processes)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_MEMORY, whole // max(8, 4 * processes))
