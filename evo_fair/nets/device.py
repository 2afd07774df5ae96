"""Where networks are trained and evaluated: on the CPU, always to the same bit, or on an accelerator such as a GPU.

Networks rest on the CPU, where they are made, pruned, stored and exported. What takes long moves them to their device
and brings them back. On the CPU that is no move at all, and everything is computed as it always was. On an accelerator
raw samples are held where they are used, in large batches, and training computes in bfloat16 where that is said.
"""

import copy
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import torch
from torch import nn

from evo_fair.errors import EvoFairError, in_a_line, quote

__all__ = ["CPU", "TorchDevice", "open_device", "with_other_kinds"]

N = TypeVar("N", bound=nn.Module)

_NAMES = "auto, cpu, cuda, cuda:N or mps"

_EVALUATED = 2**25
"""Numbers of inputs that an accelerator evaluates at a time: 222 images of 224 pixels, 2,048 of 32 or smaller."""

_FEWEST, _MOST = 64, 2048


@dataclass(frozen=True)
class TorchDevice:
    """A device of torch's, and how networks are run on it.

    Args:
        name: As torch has it: `cpu`, `cuda`, `cuda:1`, `mps`. Default: `cpu`.
        accelerated: Whether samples are held and augmented there, in large batches, as
            on a GPU. Default: False, the way of the CPU.
        half: The type that training computes in, of two bytes. Default: None, float32.
        room: Bytes of samples that it may hold. Default: None, half of what is free.

    Example:
        >>> CPU.accelerated
        False
    """

    name: str = "cpu"
    accelerated: bool = False
    half: torch.dtype | None = None
    room: int | None = None

    @property
    def where(self) -> torch.device:
        """The same as torch's own."""
        return torch.device(self.name)

    @property
    def kind(self) -> str:
        """Its name without a number: GPUs of one machine count as one place."""
        return self.name.partition(":")[0]

    def facts(self) -> dict[str, str]:
        """What results that depend on it say of it: nothing on the CPU."""
        return {"torch_device": self.kind} if self.accelerated else {}

    def described(self) -> dict[str, str]:
        """The same for cards and manifests, with the GPU's name."""
        if self.kind != "cuda":
            return self.facts()
        return {**self.facts(), "gpu": torch.cuda.get_device_name(self.where)}

    def holds(self, size: int) -> bool:
        """Whether samples of so many bytes are held there, and not sent batch by batch."""
        if not self.accelerated:
            return False
        if self.room is not None:
            return size <= self.room
        return self.kind != "cuda" or size <= torch.cuda.mem_get_info(self.where)[0] // 2

    def batch(self, ordinary: int, shape: Sequence[int]) -> int:
        """How many samples of a shape are evaluated at a time; on the CPU as many as is `ordinary`.

        It depends on nothing but the shape, so that sums are added up alike everywhere.
        """
        if not self.accelerated:
            return ordinary
        return max(_FEWEST, min(_MOST, _EVALUATED // max(1, prod(shape))))

    def placed(self, network: N) -> N:
        """The network to evaluate: itself on the CPU, else a copy on the device."""
        if not self.accelerated:
            return network
        with torch.inference_mode(False):  # it may be asked for within one, and is to be an ordinary network
            return copy.deepcopy(network).to(self.where)

    def sent(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs there; on the CPU wherever they are."""
        return x.to(self.where) if self.accelerated else x

    @contextmanager
    def holding(self, network: nn.Module) -> Iterator[None]:
        """A block in which a network, its parameters still the same objects, is on the device; then it comes back."""
        if not self.accelerated:
            yield
            return
        network.to(self.where)
        try:
            yield
        finally:
            network.zero_grad(set_to_none=True)  # gradients would stay behind
            network.to("cpu")

    def autocast(self) -> AbstractContextManager[object]:
        """A block in which training computes in `half`, where the device has it."""
        if self.half is None or (self.kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)):
            return nullcontext()
        return torch.autocast(self.where.type, self.half)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A block of computing there: float32 is float32, and the same GPU rounds the same way each time.

        Raises `EvoFairError` where it is not there, as on a worker that has none, and where its memory is full.
        """
        if not self.accelerated:
            yield
            return
        _check_present(self)
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                yield
        except torch.OutOfMemoryError as error:
            raise EvoFairError(
                f"the memory of torch device {self.name!r} is full ({in_a_line(error)[:200]}): lower batch_size in "
                "the problem's [training], run fewer workers on it, or give cpu"
            ) from error

    @property
    def gpus(self) -> tuple[int, ...]:
        """The number of the GPU that it is; empty where it is none."""
        if self.kind != "cuda":
            return ()
        return (torch.cuda.current_device() if self.where.index is None else self.where.index,)


CPU = TorchDevice()
"""The ordinary way, whose results are the same to the bit on every run."""


def with_other_kinds(device: TorchDevice) -> tuple[TorchDevice, ...]:
    """A device, and after it one of each kind: where to look for what may have been trained elsewhere."""
    return (device, CPU, *(TorchDevice(kind, accelerated=True) for kind in ("cuda", "mps")))


def open_device(given: object = "auto", began: object = None) -> TorchDevice:
    """The device that a user names, or one that is given as it is; `auto` is a GPU where torch sees one, else the CPU.

    `began` is the kind of device on which a job that goes on began: `auto` is that one then, and no other will do, for
    it would finish with other numbers. Raises `EvoFairError` for an unknown name, and for a device that is not there.
    """
    if began is None:
        return given if isinstance(given, TorchDevice) else _named(given)
    if given == "auto":
        try:
            return _named(began)
        except EvoFairError as error:
            raise EvoFairError(
                f"torch device {quote(began)}, on which the job began, is not there: go on where it is, or choose "
                "another --out"
            ) from error
    chosen = open_device(given)
    if chosen.kind != began:
        raise EvoFairError(
            f"torch device {quote(chosen.name)} is another than {quote(began)}, on which the job began: go on there, "
            "or choose another --out"
        )
    return chosen


def _check_present(device: TorchDevice) -> None:
    """Raises `EvoFairError` where this machine lacks a device, which may have come with a piece of a job."""
    if device.kind in ("cuda", "mps"):
        try:
            open_device(device.name)
        except EvoFairError as error:
            raise EvoFairError(f"on {platform.node()}, {error}, or workers that have it") from error


def _named(given: object) -> TorchDevice:
    kind, _, number = given.partition(":") if isinstance(given, str) else ("", "", "")
    numbered = kind == "cuda" and number.isascii() and number.isdigit() and len(number) < 4
    if given not in ("auto", "cpu", "cuda", "mps") and not numbered:
        raise EvoFairError(f"torch device {quote(given)} is unknown: give {_NAMES}")
    sees = torch.cuda.is_available()
    if given == "cpu" or (given == "auto" and not sees):
        return CPU
    if given == "auto" or (given == "cuda" and sees):
        return _gpu("cuda")
    if given == "mps" and torch.backends.mps.is_available():
        return TorchDevice("mps", accelerated=True)
    count = torch.cuda.device_count() if sees else 0
    if numbered and int(number) < count:
        return _gpu(f"cuda:{int(number)}")
    raise EvoFairError(f"torch device {quote(given)} is not there: {_seen(count)}")


def _gpu(name: str) -> TorchDevice:
    return TorchDevice(name, accelerated=True, half=torch.bfloat16)


def _seen(count: int) -> str:
    """What there is, and so what to give."""
    others = ["auto", "cpu", *(["mps"] if torch.backends.mps.is_available() else [])]
    if not count:
        return f"torch sees no GPU; give {' or '.join(others)}"
    gpus = [f"cuda:{number}" for number in range(count)]
    return f"torch sees {', '.join(gpus)}; give one of these, {' or '.join(others)}"
