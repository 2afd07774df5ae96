"""On which of torch's devices a job trains and evaluates: the one that the user names, or where the job began."""

from collections.abc import Mapping
from typing import Any

from evo_fair.jobs.listener import Listener
from evo_fair.nets.device import CPU, TorchDevice, open_device

__all__ = ["place_of_job"]


def place_of_job(given: object, begun: Mapping[str, Any] | None, listener: Listener) -> TorchDevice:
    """The device of a job; of one that goes on, `begun` has the facts, which name the device unless it is the CPU.

    `auto` goes on where the job began, which is noted where it would not begin there now. Raises `EvoFairError` for
    another device, and for one that is not there.
    """
    if begun is None:
        return open_device(given)
    device = open_device(given, str(begun.get("torch_device", CPU.kind)))
    if given == "auto" and device != open_device("auto"):
        listener.noted(f"torch device: {device.kind}, where the job began")
    return device
