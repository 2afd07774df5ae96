"""torch as it is when a process begins, whatever the caller or a part of the user's own has switched."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["plain_torch"]


@contextmanager
def plain_torch() -> Iterator[None]:
    """Runs a block with gradients, float32, the CPU and without autocast, and puts back what was set; a decorator, too.

    Jobs are called within `torch.no_grad()` or from scripts that compute in float64, and give the same there.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with torch.inference_mode(mode=False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        torch.set_default_dtype(torch.float32)
        torch.set_default_device("cpu")
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_default_device(device)
