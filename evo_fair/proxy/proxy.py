"""The proxy: the frozen supernet asked what genomes' networks predict, without any training."""

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.nets import Network, Supernet
from evo_fair.nets.threads import torch_threads

__all__ = ["Proxy", "predict_labels", "predict_logits"]

Inputs = npt.NDArray[np.uint8] | npt.NDArray[np.float32]

BATCH = 256


class Proxy:
    """A frozen supernet with the samples that set batch-norm statistics and those that are predicted.

    A prediction depends on the genome alone: every network gets statistics of its own from the same calibration
    samples, and everything runs on one thread.
    """

    def __init__(self, supernet: Supernet, calibration: Inputs, samples: Inputs) -> None:
        self.supernet = supernet
        self.calibration = supernet.normalise(calibration)
        self.samples = supernet.normalise(samples)

    def network(self, genome: npt.ArrayLike) -> Network:
        """The stand-alone network of a genome `[genes]`: calibrated, batch norm folded, ready to run or export."""
        with torch_threads(1):
            network = self.supernet.extract(genome)
            network.calibrate(self.calibration)
            return network.folded()

    def logits(self, genome: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Logits of one genome's network on the samples, float32 `[samples, labels]`."""
        return predict_logits(self.network(genome), self.samples)

    def predict(self, genomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """Predicted labels, uint8 `[networks, samples]`, of genomes `[networks, genes]`."""
        if len(genomes) == 0:
            return np.zeros((0, len(self.samples)), np.uint8)
        return np.stack([predict_labels(self.network(genome), self.samples) for genome in genomes])


@torch.inference_mode()
def predict_logits(network: torch.nn.Module, x: torch.Tensor) -> npt.NDArray[np.float32]:
    """Logits, float32 `[n, labels]`, of a network for normalised inputs `x`, on one thread."""
    with torch_threads(1):
        return np.concatenate([network(part).numpy() for part in torch.split(x, BATCH)])


def predict_labels(network: torch.nn.Module, x: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Predicted labels, uint8 `[n]`, of a network for normalised inputs `x`; ties go to the first label."""
    labels: npt.NDArray[np.uint8] = predict_logits(network, x).argmax(1).astype(np.uint8)
    return labels
