"""Networks as people bring them: each is searched with the numbers that its files have, or refused on one line."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from evo_fair.errors import EvoFairError
from evo_fair.export.export import export_onnx, onnx_logits
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.own import GivenNetwork, OwnOrigin
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.problem import load_problem

from .conftest import digits_task
from .kinds import REFUSED, WORKING

FAST = {"attention", "group norm"}


def opened(given: GivenNetwork) -> OwnOrigin:
    """A network as a search opens it."""
    task = digits_task()
    return OwnOrigin.open(given, load_problem("digits"), task.dataset, task.group, None, Listener())


@pytest.mark.parametrize(
    "kind", [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in WORKING]
)
def test_a_search_counts_what_the_files_predict(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = WORKING[kind]()
    origin = opened(GivenNetwork(network, orders=("magnitude_l1", "lamp")))
    own, task = origin.own, origin.task
    genomes = [own.space.largest(), own.space.smallest(), *own.space.sample(np.random.default_rng(0), 2)]
    with origin.evaluator((task.group,), jobs=1) as evaluator:
        found = evaluator.predict(np.stack(genomes))
    tables = own.space.decode(np.stack(genomes))
    x = task.normalise(task.dataset.inputs[task.dataset.part("validation")]).contiguous().numpy()
    for genome, labels, table in zip(genomes, found, tables, strict=True):
        path = tmp_path / "network.onnx"
        export_onnx(own.calibrated(genome.tolist(), origin.calibration), task.dataset.input_shape, path)
        rows = read_onnx(path).table[0]
        assert np.array_equal(rows, table[: len(rows)])
        assert not table[len(rows) :].any()
        logits = onnx_logits(path, x)
        differing = logits.argmax(1) != labels
        ties = np.abs(logits.max(1) - logits[np.arange(len(logits)), labels]) < 1e-4 * np.abs(logits).max()
        assert not (differing & ~ties).any()


REASONS = {
    "all group norm": "no layer of the network can lose channels (3: its channels are the network's outputs; 0.0: its "
    "channels go through '0.1', a GroupNorm)",
    "double": "its weights are torch.float64; return it as network.float()",
    "half": "returns a network whose '0.0.weight' is float16: return network.float(), as networks are trained",
    "fixed batch": "use x.shape or -1 where it does",
    "labels": "outputs for 2 samples are [2, 7], but digits has 10 labels",
    "no layers": "the network has no parameters",
    "no statistics": "answers for a sample by what else is in its batch, first in layer '0.1'",
    "nothing to prune": "1: its channels are the network's outputs",
    "returns": "outputs for 2 samples are tuple, but digits has 10 labels",
    "three channels": "does not run on inputs of the shape [2, 1, 8, 8]",
    "two inputs": "missing 1 required positional argument: 'other'",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_searched_is_refused_on_one_line(kind: str) -> None:
    with pytest.raises(EvoFairError, match=re.escape(REASONS[kind])) as refused:
        opened(GivenNetwork(REFUSED[kind]()))
    assert "\n" not in str(refused.value)


FILE = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))

def sized(width):
    return network()

def fails():
    raise OSError("no such\\nfile")

def ends():
    raise SystemExit("usage: mine.py DATA")

def words():
    return "a network"
"""


@pytest.mark.parametrize(
    ("function", "weights", "told"),
    [
        ("sized", None, "needs the argument(s) width"),
        ("fails", None, "fails with OSError: no such file; fix it"),
        ("ends", None, "ends the process (exit usage: mine.py DATA)"),
        ("words", None, "returns str: it has to return a torch.nn.Module"),
        ("none", None, "has no function 'none'"),
        (
            "network",
            {"conv.weight": torch.zeros(16, 1, 3, 3)},
            "does not fit the network: the network has no 'conv.weight'; the file has no '0.weight'",
        ),
        ("network", {"0.weight": torch.zeros(24, 1, 3, 3)}, "does not fit the network"),
        ("network", b"PK\x03\x04", "is a pickle of torch.save"),
        ("network", b"weights", "is no safetensors file"),
    ],
)
def test_functions_and_weights_that_do_not_do_are_refused(
    function: str, weights: dict[str, torch.Tensor] | bytes | None, told: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    path = tmp_path / "mine.safetensors"
    if isinstance(weights, bytes):
        path.write_bytes(weights)
    elif weights is not None:
        save_file(weights, path)
    with pytest.raises(EvoFairError, match=re.escape(told)) as refused:
        opened(GivenNetwork(f"{tmp_path}/mine.py:{function}", None if weights is None else path))
    assert "\n" not in str(refused.value)


def test_weights_of_twice_the_precision_are_those_of_the_network(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    network: nn.Module = runpy.run_path(str(tmp_path / "mine.py"))["network"]()
    save_file({f"module.{k}": v.double() for k, v in network.state_dict().items()}, tmp_path / "w.safetensors")
    whole = opened(GivenNetwork(f"{tmp_path}/mine.py:network", tmp_path / "w.safetensors")).own.whole
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in whole.state_dict().items())
