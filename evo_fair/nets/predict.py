"""What a trained network says of samples, on the CPU or on another device."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import Normalised
from evo_fair.nets.threads import torch_threads

__all__ = ["BATCH", "predict_labels", "predict_logits"]

BATCH = 256
"""How many samples go through a network together on the CPU."""


@torch.inference_mode()
def predict_logits(
    network: nn.Module, x: torch.Tensor | Normalised, device: TorchDevice = CPU
) -> npt.NDArray[np.float32]:
    """Logits, float32 `[n, labels]`, of a network for normalised inputs `x`: on one thread, or on a device.

    Network and inputs are moved to the device, batch by batch, where they are not there; the network stays as it is.
    """
    with torch_threads(1), device.at_work():
        placed, step = device.placed(network), device.batch(BATCH, x.shape[1:])
        batches = (device.sent(x[start : start + step]) for start in range(0, len(x), step))
        return np.concatenate([placed(batch).cpu().numpy() for batch in batches])


def predict_labels(
    network: nn.Module, x: torch.Tensor | Normalised, device: TorchDevice = CPU
) -> npt.NDArray[np.uint8]:
    """Predicted labels, uint8 `[n]`, of a network for normalised inputs `x`; ties go to the first label."""
    labels: npt.NDArray[np.uint8] = predict_logits(network, x, device).argmax(1).astype(np.uint8)
    return labels
