"""Writes networks as ONNX and checks that ONNX Runtime computes what torch computes."""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.errors import EvoFairError
from evo_fair.files import atomic_write
from evo_fair.latency.measure import open_session
from evo_fair.one_at_a_time import one_at_a_time

__all__ = ["Parity", "check_parity", "export_onnx", "onnx_logits"]

TOLERANCE = 1e-4
OPSET = 17
BATCH = 256


@one_at_a_time  # torch's exporter keeps its state in globals
def export_onnx(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> None:
    """Writes a network as ONNX: normalised `input` `[batch, *input_shape]` to `logits` `[batch, labels]`.

    torch's TorchScript exporter is used: for these networks it gives the same graph as the newer one, in a
    twentieth of the time and without tens of kilobytes of source positions in each file.
    """
    example = torch.zeros(1, *input_shape)
    batch = {0: "batch"}
    with atomic_write(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (example,),
            temporary,
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": batch, "logits": batch},
        )


def onnx_logits(path: Path, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Logits `[n, labels]` that ONNX Runtime computes, on one thread, for normalised inputs `[n, ...]`."""
    session = open_session(str(path), threads=1)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[start : start + BATCH]})[0] for start in range(0, len(x), BATCH)])


@dataclass(frozen=True)
class Parity:
    """How closely ONNX Runtime follows torch: the largest logit difference, and labels that differ beyond a tie."""

    samples: int
    largest_difference: float
    different_labels: int
    allowed: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether the difference is at most what is allowed and no label differs but where two logits tie within it."""
        return self.largest_difference <= self.allowed and self.different_labels == 0


def check_parity(
    path: Path, expected: npt.NDArray[np.float32], x: torch.Tensor, network: nn.Module | None = None
) -> Parity:
    """Compares an ONNX file with torch's logits `[n, labels]` for normalised inputs `x` `[n, ...]`.

    They may differ by 1e-4. Where that is too strict because the network itself loses more to rounding, and `network`
    is given, the file passes if it is at most twice as far from the same network in float64 as torch's float32 is.
    Raises `EvoFairError` when they differ by more, or labels differ that are no ties.
    """
    actual = onnx_logits(path, x.contiguous().numpy())
    parity = _compare(expected, actual, TOLERANCE)
    if not parity.holds and network is not None:
        exact = _exact_logits(network, x)
        torch_off, file_off = (float(np.abs(logits - exact).max()) for logits in (expected, actual))
        if file_off <= 2 * torch_off:
            parity = _compare(expected, actual, 1.001 * (torch_off + file_off))
    if not parity.holds:
        raise EvoFairError(
            f"{path} does not compute what its network does: logits differ by up to {parity.largest_difference:.2g} "
            f"(at most {parity.allowed:.2g} is allowed), {parity.different_labels} of {parity.samples} labels differ; "
            "try another version of onnxruntime"
        )
    return parity


def _compare(expected: npt.NDArray[np.float32], actual: npt.NDArray[np.float32], allowed: float) -> Parity:
    best = np.sort(expected, axis=1)
    tie = best[:, -1] - best[:, -2] <= 2 * allowed
    different = (expected.argmax(1) != actual.argmax(1)) & ~tie
    return Parity(len(expected), float(np.abs(expected - actual).max()), int(different.sum()), allowed)


@torch.inference_mode()
def _exact_logits(network: nn.Module, x: torch.Tensor) -> npt.NDArray[np.float64]:
    """A network's logits in float64, all but free of rounding."""
    exact = copy.deepcopy(network).double().eval()
    return np.concatenate([exact(part.double()).numpy() for part in torch.split(x, BATCH)])
