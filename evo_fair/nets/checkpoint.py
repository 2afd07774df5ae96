"""A broken-off training as one safetensors file: tensors, how far it is, and the generator's state as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from evo_fair.files import write_bytes
from evo_fair.nets.recipe import Step

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stood after an epoch; `identity` is a hash of all that its weights depend on."""

    identity: str
    step: Step
    generator: dict[str, Any]
    tensors: dict[str, torch.Tensor]


def write_checkpoint(
    path: Path, identity: str, step: Step, rng: np.random.Generator, tensors: dict[str, torch.Tensor]
) -> None:
    """Writes a checkpoint, atomically."""
    progress = {"identity": identity, "step": step, "generator": rng.bit_generator.state}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, {"progress": json.dumps(progress)}))


def read_checkpoint(path: Path, identity: str) -> Checkpoint | None:
    """The checkpoint at `path`; None where there is none, where it is damaged, or of another training."""
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads((file.metadata() or {})["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = Checkpoint(progress["identity"], Step(*progress["step"]), progress["generator"], tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    return found if found.identity == identity else None
