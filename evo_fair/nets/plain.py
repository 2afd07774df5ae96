"""torch as it is when a process begins, whatever the caller or a part of the user's own has switched."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from evo_fair.blame import set_default_device

__all__ = ["plain_torch"]

_KINDS = ("cpu", "cuda")
"""The kinds of devices that `torch.autocast` is for."""


@contextmanager
def plain_torch() -> Iterator[None]:
    """Runs a block with gradients, float32, the CPU and without autocast, and puts back what was set; a decorator, too.

    Jobs are called within `torch.no_grad()` or from scripts that compute in float64, and give the same there.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with torch.inference_mode(mode=False), torch.enable_grad(), ExitStack() as afterwards:
        if any(map(torch.is_autocast_enabled, _KINDS)):
            _leave_autocast(afterwards)
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
