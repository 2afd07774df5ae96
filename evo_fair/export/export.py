"""Writes networks as ONNX and checks that ONNX Runtime computes what torch computes."""

import copy
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.files import atomic_write
from evo_fair.latency.measure import open_session
from evo_fair.nets.failures import failure
from evo_fair.nets.inputs import Normalised
from evo_fair.nets.layout import has_own_inputs
from evo_fair.nets.threads import torch_threads
from evo_fair.one_at_a_time import one_at_a_time

__all__ = ["TOLERANCE", "Parity", "check_parity", "export_onnx", "onnx_logits", "tolerance_of"]

TOLERANCE = 1e-4
OPSET = 17
BATCH = 64
"""Inputs that ONNX Runtime gets at a time: what it computes between layers then stays in the processor's caches."""
LARGEST_ROUNDING = 0.01
"""How much of a logit, or of the largest one, rounding can be."""

ALONE = 3
"""How many inputs are tried one by one as well."""


@one_at_a_time  # torch's exporter keeps its state in globals
def export_onnx(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> None:
    """Writes a network as ONNX: normalised `input` `[batch, *input_shape]` to `logits` `[batch, labels]`.

    torch's TorchScript exporter is used: for these networks it gives the same graph as the newer one, in a
    twentieth of the time and without tens of kilobytes of source positions in each file.
    """
    example = torch.zeros(1, *input_shape)
    doubtful = has_own_inputs(network) and _has_equal_tensors(network)
    if _takes_more(network):
        network = _OfOneInput(network)
    batch = {0: "batch"}
    with atomic_write(path) as temporary, warnings.catch_warnings(), _left_as_it_was(), torch_threads(1):
        warnings.simplefilter("ignore")  # of sizes that it takes for constants, too: the check of the file tells
        write = partial(
            torch.onnx.export,
            network.eval(),
            (example,),
            temporary,
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": batch, "logits": batch},
        )
        try:
            write()
            if doubtful and not _opens(temporary):
                with _equal_tensors_apart():
                    write()
        except OSError:
            raise
        except Exception as error:  # a user's module can fail in any way, and torch's exporter on it
            mend = "write that part with operators that ONNX has"
            if any(map(is_parametrized, network.modules())):
                mend = "take what computes its weights off first, with torch.nn.utils.parametrize's functions"
            raise EvoFairError(f"the network can't be exported as ONNX ({failure(error)}): {mend}") from error


def _has_equal_tensors(network: nn.Module) -> bool:
    """Whether two parameters or buffers of a network have the same values, as gains that are all still 1."""
    seen: dict[torch.Size, list[torch.Tensor]] = {}
    for tensor in chain(network.parameters(), network.buffers()):
        alike = seen.setdefault(tensor.shape, [])
        if any(torch.equal(tensor, other) for other in alike):
            return True
        alike.append(tensor)
    return False


def _opens(path: Path) -> bool:
    try:
        open_session(str(path), threads=1)
    except Exception:  # ONNX Runtime's errors share no base class
        return False
    return True


@contextmanager
def _equal_tensors_apart() -> Iterator[None]:
    """A block in which torch's exporter keeps tensors of the same values apart.

    It makes them one, by nodes that ONNX Runtime loses where it computes weights before it begins.
    """
    together = torch._C._jit_pass_onnx_deduplicate_initializers
    torch._C._jit_pass_onnx_deduplicate_initializers = lambda graph, params_dict, is_train: params_dict  # noqa: ARG005
    try:
        yield
    finally:
        torch._C._jit_pass_onnx_deduplicate_initializers = together


class _OfOneInput(nn.Module):
    """A network whose forward has further arguments, without them: the exporter would hand over their defaults."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the network makes of its input alone."""
        made: torch.Tensor = self.network(x)
        return made


def _takes_more(network: nn.Module) -> bool:
    """Whether a network of the user's own has arguments beside its input; those that gather others get none."""
    if not has_own_inputs(network):
        return False
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        arguments = inspect.signature(network.forward).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(argument.kind not in free for argument in arguments) > 1


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """A block of torch's exporter, which leaves its log on, and autocast without its cache after a network it refuses.

    It would print the whole graph of such a network.
    """
    log, cached = torch._C._jit_onnx_log, torch.is_autocast_cache_enabled()
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log
        torch.set_autocast_cache_enabled(cached)


def onnx_logits(path: Path, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Logits `[n, labels]` that ONNX Runtime computes, on one thread, for normalised inputs `[n, ...]`."""
    return _logits(_open(path), path, x)


def _logits(
    session: Any, path: Path, x: npt.NDArray[np.float32] | torch.Tensor | Normalised
) -> npt.NDArray[np.float32]:
    return np.concatenate([_run(session, path, _plain(x[start : start + BATCH])) for start in range(0, len(x), BATCH)])


def _plain(x: npt.NDArray[np.float32] | torch.Tensor) -> npt.NDArray[np.float32]:
    """A batch as an array `[n, channels, height, width]` that lies in memory as it is written."""
    return x.contiguous().numpy() if isinstance(x, torch.Tensor) else x


def _open(path: Path) -> Any:
    try:
        return open_session(str(path), threads=1)
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise EvoFairError(f"ONNX Runtime does not take {path} ({in_a_line(error)}): export another network") from error


def _run(session: Any, path: Path, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    from onnxruntime import RunOptions

    options = RunOptions()
    options.log_severity_level = 4  # errors are raised; they need not be printed, too
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise EvoFairError(
            f"{path} takes {len(inputs)} inputs, not one: the network's forward leaves torch, as x.numpy() does; "
            "compute in torch all the way"
        )
    try:
        logits: npt.NDArray[np.float32] = session.run(None, {inputs[0].name: x}, options)[0]
    except Exception as error:
        raise EvoFairError(
            f"{path} does not run on a batch of {len(x)} ({in_a_line(error)}): the network turns a size of its input "
            "into a fixed number; use x.shape or -1 where it does"
        ) from error
    return logits


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
    path: Path,
    expected: npt.NDArray[np.float32],
    x: torch.Tensor | Normalised,
    network: nn.Module | None = None,
    allowed: float = TOLERANCE,
) -> Parity:
    """Compares an ONNX file with torch's logits `[n, labels]` for normalised inputs `x` `[n, ...]`.

    They may differ by `allowed`. Where that is too strict because the network itself loses more to rounding, and
    `network` is given, the file passes if it is at most twice as far from the same network in float64 as torch's
    float32 is, and not by more than a hundredth of the largest logit: no rounding is that large. The first few inputs
    are tried one by one, too. Raises `EvoFairError` when they differ by more, or labels differ that are no ties.
    """
    session = _open(path)
    actual = _logits(session, path, x)
    _check_shape(path, expected, actual)
    alone = np.concatenate([_run(session, path, _plain(x[i : i + 1])) for i in range(min(ALONE, len(x)))])
    _check_shape(path, expected[: len(alone)], alone)
    # Of the two, what is further off: the network answers for one image alone as it does among others.
    further = np.abs(alone - expected[: len(alone)]) > np.abs(actual[: len(alone)] - expected[: len(alone)])
    actual[: len(alone)][further] = alone[further]
    parity = _compare(expected, actual, allowed)
    if not parity.holds and network is not None:
        try:
            exact = _exact_logits(network, x)
        except Exception:  # a user's module that does not run in float64 has to keep to the strict limit
            exact = expected.astype(np.float64)
        torch_off, file_off = (float(np.abs(logits - exact).max()) for logits in (expected, actual))
        if file_off <= 2 * torch_off:
            most = LARGEST_ROUNDING * max(1.0, float(np.abs(expected).max()))
            parity = _compare(expected, actual, max(allowed, min(most, 1.001 * (torch_off + file_off))))
    if not parity.holds:
        raise EvoFairError(
            f"{path} does not compute what its network does: logits differ by up to {parity.largest_difference:.2g} "
            f"(at most {parity.allowed:.2g} is allowed), {parity.different_labels} of {parity.samples} labels differ; "
            "try another version of onnxruntime"
        )
    return parity


def tolerance_of(logits: npt.NDArray[np.float32]) -> float:
    """By how much a file's logits may differ from `logits` `[n, labels]` that can be of any size, as rounding is.

    Those of a pruned network without batch norms, before it is trained, can be thousands.
    """
    return TOLERANCE * max(1.0, float(np.abs(logits).max(initial=0.0)))


def _check_shape(path: Path, expected: npt.NDArray[np.float32], actual: npt.NDArray[np.float32]) -> None:
    if actual.shape != expected.shape:
        raise EvoFairError(
            f"{path} gives logits of the shape {list(actual.shape)} where its network gives {list(expected.shape)}: "
            "the network drops or fixes the batch; name the dimensions that it squeezes and reshapes"
        )


def _compare(expected: npt.NDArray[np.float32], actual: npt.NDArray[np.float32], allowed: float) -> Parity:
    best = np.sort(expected, axis=1)
    tie = best[:, -1] - best[:, -2] <= 2 * allowed
    different = (expected.argmax(1) != actual.argmax(1)) & ~tie
    return Parity(len(expected), float(np.abs(expected - actual).max()), int(different.sum()), allowed)


@torch.inference_mode()
def _exact_logits(network: nn.Module, x: torch.Tensor | Normalised) -> npt.NDArray[np.float64]:
    """A network's logits in float64, all but free of rounding."""
    exact = copy.deepcopy(network).double().eval()
    batches = (x[start : start + BATCH] for start in range(0, len(x), BATCH))
    return np.concatenate([exact(batch.double()).numpy() for batch in batches])
