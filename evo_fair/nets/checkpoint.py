"""A broken-off training as one safetensors file: its tensors, and how far it is as JSON."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from evo_fair.errors import DataWarning, RunError, in_a_line, quote
from evo_fair.files import digest, write_bytes
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.tensors import read_tensors

__all__ = [
    "TrainingCheckpoint",
    "check_device",
    "check_tensor_names",
    "momentum_tensors",
    "read_checkpoint",
    "restore_generator",
    "restore_momentum",
    "stored_tensors",
    "usable_checkpoint",
    "write_checkpoint",
]


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Where a training stood after an epoch: what it wrote of its progress, and its tensors by name."""

    progress: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def stored_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """All that a network's state dictionary holds, as safetensors take it: contiguous, and no memory shared.

    A layer under two names has its tensors under both.
    """
    contiguous = torch.contiguous_format
    return {name: tensor.detach().clone(memory_format=contiguous) for name, tensor in network.state_dict().items()}


def write_checkpoint(
    path: Path, identity: str, progress: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Writes a checkpoint, atomically; `identity` is a hash of all that the weights depend on, `progress` JSON."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = {"identity": identity, **progress, "content": _hash(contiguous)}
    write_bytes(path, save(contiguous, {"progress": json.dumps(told)}))


def read_checkpoint(path: Path, identity: str) -> TrainingCheckpoint | None:
    """The checkpoint at `path`, None where there is none; `RunError` for a damaged one or one of another training.

    Damaged is, too, one whose tensors are not those that were written.
    """
    if not path.exists():
        return None
    try:
        tensors, metadata = read_tensors(path)
        progress = json.loads(metadata.get("progress", "{}"))
        # Older ones don't say which tensors were written.
        if isinstance(progress, dict) and "content" in progress and progress["content"] != _hash(tensors):
            raise ValueError("its tensors are not those that were written")
    except (RecursionError, ValueError) as error:
        raise _damaged(path, in_a_line(error)) from error
    if not isinstance(progress, dict) or progress.get("identity") != identity:
        raise RunError(f"the checkpoint {path} is of another training")
    return TrainingCheckpoint(progress, tensors)


def usable_checkpoint(
    path: Path, identity: str, check: Callable[[TrainingCheckpoint], None]
) -> TrainingCheckpoint | None:
    """The checkpoint of just this training, None where there is none that is whole; what is there instead is said.

    `check` raises `ValueError` for one that nothing could be taken up from.
    """
    try:
        if found := read_checkpoint(path, identity):
            try:
                check(found)
            except ValueError as reason:
                raise _damaged(path, str(reason)) from reason
        return found
    except RunError as reason:
        warnings.warn(f"{reason}: the training begins anew", DataWarning, stacklevel=4)
        return None


def _damaged(path: Path, reason: str) -> RunError:
    return RunError(f"the checkpoint {path} can't be read ({reason})")


def check_tensor_names(
    checkpoint: TrainingCheckpoint, wanted: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> None:
    """Raises `ValueError` unless the tensors are those `wanted`, of their shape and kind, and the `weights`' momentum.

    There is momentum of all weights that need it or of none.
    """
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in wanted.items()}
    shapes |= {f"momentum.{name}": (weight.shape, weight.dtype) for name, weight in weights.items()}
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in checkpoint.tensors.items()}
    for name in [*wanted, *found]:
        if found.get(name) != shapes.get(name):
            raise ValueError(f"its tensor {name[:80]!r} is not as this training has it")


def check_device(path: Path, progress: Mapping[str, Any], device: TorchDevice) -> None:
    """Raises `RunError` for a checkpoint that another kind of device wrote: its training goes on where it began."""
    began = progress.get("torch_device", CPU.kind)
    if began != device.kind:
        raise RunError(
            f"the training of {path} began on torch device {quote(began)} and would go on on {device.kind!r}: give "
            "that one, or remove the file to train from the start"
        )


def restore_generator(rng: np.random.Generator, state: object) -> None:
    """Puts a generator's state back as JSON has it; raises `ValueError` for what is none."""
    try:
        rng.bit_generator.state = state  # type: ignore[assignment]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"its random state is none ({in_a_line(error)})") from error


def _hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """A hash of all tensors, with their names, shapes and kinds."""
    return digest(save({name: tensors[name] for name in sorted(tensors)}))


def momentum_tensors(sgd: torch.optim.SGD, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The optimiser's momentum as `momentum.<name>`; there is none before the first step, or without it in the recipe.

    Each has its weight's shape.
    """
    found = {name: sgd.state[weight].get("momentum_buffer") for name, weight in weights.items()}
    return {f"momentum.{name}": momentum for name, momentum in found.items() if momentum is not None}


def restore_momentum(
    sgd: torch.optim.SGD, weights: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Gives the optimiser what `momentum_tensors` took from it, in each weight's own memory layout."""
    for name, weight in weights.items():
        if f"momentum.{name}" in tensors:
            sgd.state[weight]["momentum_buffer"] = torch.empty_like(weight.detach()).copy_(tensors[f"momentum.{name}"])
