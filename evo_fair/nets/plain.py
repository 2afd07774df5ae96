"""torch as it is when a process begins, whatever the caller or a part of the user's own has switched."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from evo_fair.blame import set_default_device

__all__ = ["plain_torch"]

_KINDS = ("cpu", "cuda")
"""The kinds of devices that `torch.autocast` is for."""

_PARTS = ("matmul", "conv", "rnn")
"""What oneDNN computes with a precision of its own, in versions of torch that know it."""


@contextmanager
def plain_torch() -> Iterator[None]:
    """Runs a block with gradients, float32, the CPU and without autocast, and puts back what was set; a decorator, too.

    Jobs are called within `torch.no_grad()` or from scripts that compute in float64, or that let float32 be rounded to
    less for speed, and give the same there.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with torch.inference_mode(mode=False), torch.enable_grad(), ExitStack() as afterwards:
        if any(map(torch.is_autocast_enabled, _KINDS)):
            _leave_autocast(afterwards)
        _round_as_float32(afterwards)
        torch.set_default_dtype(torch.float32)
        set_default_device(torch, torch.device("cpu"))
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            set_default_device(torch, device)


def _leave_autocast(afterwards: ExitStack) -> None:
    """Turns autocast off. A context around that of a training would keep its weights as they were cast first."""
    for kind in _KINDS:
        afterwards.callback(torch.set_autocast_enabled, kind, torch.is_autocast_enabled(kind))
        torch.set_autocast_enabled(kind, False)
    afterwards.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
    torch.set_autocast_cache_enabled(False)
    torch.clear_autocast_cache()


def _round_as_float32(afterwards: ExitStack) -> None:
    """Has oneDNN compute, as it does by default, in float32: else it may round to bfloat16 where a processor can."""
    backend: Any = torch.backends.mkldnn
    if not backend.enabled:
        afterwards.callback(setattr, backend, "enabled", False)
        backend.enabled = True
    parts = [getattr(backend, name) for name in _PARTS if hasattr(backend, name)]
    for part in parts:
        if (before := part.fp32_precision) not in ("none", "ieee"):
            # What it has from all of oneDNN it is to have from there again.
            afterwards.callback(setattr, part, "fp32_precision", "none" if before == backend.fp32_precision else before)
            part.fp32_precision = "ieee"
    if not parts and (precision := torch.get_float32_matmul_precision()) != "highest":
        afterwards.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
