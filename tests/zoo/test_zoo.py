"""Each network of the zoo is either right, pruned and exported, or refused on one line before anything is trained."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from evo_fair.cli import main
from evo_fair.data import load_dataset
from evo_fair.errors import EvoFairError, PruningError
from evo_fair.files import read_json
from evo_fair.jobs import rehearsal
from evo_fair.jobs.dense import NetworkSource, dense_network
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.rehearsal import rehearse
from evo_fair.nets.threads import torch_threads
from evo_fair.problem import Problem, Training, load_problem
from evo_fair.pruning import channel_mask, masked, remove_channels, trace
from evo_fair.pruning.given import load_module
from evo_fair.pruning.selection import check_prunable
from evo_fair.pruning.task import Task, content_of

from ..cli.conftest import PROBLEM, refusal

ZOO = Path(__file__).parent

RIGHT = {
    "convolutions.py": {
        "ViewCnn": "conv1 conv2 fc1",
        "sequential": "0",
        "channels_last": "0",
        "ResNet": "stem blocks.0.conv1 blocks.1.conv1 blocks.1.conv2",
        "ZeroPadding": "last",
        "DenseNet": "stem layers.0 layers.1 layers.2",
        "SqueezeExcite": "conv down",
        "UNet": "down1 merge",
        "grouped": "4",
        "depthwise": "0 6",
        "group_norm": "3",
        "layer_norm": "3",
        "instance_norm": "3",
        "local_response_norm": "3",
        "prelu": "3",
        "dropout2d": "0 3",
        "ShuffleEarly": "hidden",
        "ShuffleLate": "conv",
        "Inception": "b.0",
        "Conv1d": "hidden",
        "Conv3d": "hidden",
        "DynamicConv": "conv",
        "weight_standardisation": "2 5",
        "GatedByLast": "c1",
        "GatedBySelect": "c1",
        "OneByOne": "c1",
        "Recurrence": "c1",
        "Maxout": "c1",
        "PixelShuffle": "c1",
        "Interpolated": "c0",
        "LayerScale": "c1",
        "WithOptions": "c down",
        "Gated": "d",
        "Winners": "d",
    },
    "sequences.py": {
        "RowLstm": "hidden",
        "bidirectional": "hidden",
        "RowGru": "",
        "Attention": "out",
        "MultiHead": "mlp.0",
        "Vit": "encoder.layers.0.linear1",
        "Mixer": "tokens",
        "Einsum": "hidden",
        "OwnLinear": "",
        "weight_norm": "4",
        "parametrized": "4",
        "SharedLayer": "c0",
        "TiedWeights": "c",
        "SharedBlock": "stem block.0",
        "Buffers": "conv",
        "lambdas": "0 2",
        "hooked": "0 2",
        "frozen_part": "0 2 4",
        "DropPath": "conv",
        "InPlace": "c h",
        "relu_first": "2",
        "lazy": "0",
        "parallel": "0 2 4",
        "an_instance": "1",
    },
    "refused.py": {"Base": "c h", "Entangled": ""},
}
"""The layers whose channels can leave, by network; where there are none, single weights can be pruned."""

REFUSED = {
    "AlwaysDropout": "computes something else each time it is evaluated, in its own forward",
    "RareDropout": "computes something else each time it is evaluated, first in layer 'f'",
    "Noise": "computes something else each time it is evaluated, first in layer 'noise'",
    "Counting": "computes something else each time it is evaluated",
    "AuxiliaryHead": "in training mode the network returns a tuple of 2",
    "DictInTraining": "in training mode the network returns a dict of 2",
    "TupleAlways": "the network's outputs for 2 samples are tuple",
    "all_frozen": "all parameters of the network are frozen: call requires_grad_(True)",
    "Squeezed": "outputs for a batch of 1 are [10], not [1, 10]",
    "EvenBatches": "does not run on a batch of 3 (shape '[2, -1, 10]' is invalid for input of size 30, refused.py:",
    "PairsOnly": "(mat1 and mat2 shapes cannot be multiplied (2x48 and 12x10), in layer 'f', refused.py:",
    "batch_statistics": "answers for a sample by what else is in its batch, first in layer '1'",
    "BatchBehindZero": "answers for a sample by what else is in its batch, first in layer 'f'",
    "SoftmaxOverBatch": "answers for a sample by what else is in its batch, in its own forward",
    "FixedBatch": "turns a size of its input into a fixed number; use x.shape or -1",
    "Branching": "can't be exported as it is",
    "no_parameters": "has no parameters: there is nothing to train and nothing to prune",
    "one_class": "outputs for 2 samples are [2, 1], but digits has 10 labels",
    "FeatureMap": "outputs for 2 samples are [2, 12, 8, 8], but digits has 10 labels",
    "Nan": "outputs are not finite",
    "NanInTraining": "first steps of training end in infinity or NaN",
    "Flat": "in layer 'h', refused.py:",
    "three_channels": "to have 3 channels, but got 1 channels instead, in layer '0')",
    "double": "does not run on inputs of the shape [2, 1, 8, 8]",
    "Fourier": "can't be exported as ONNX (Exporting the operator 'aten::fft_fft2'",
    "Hoarder": "can't be copied once it was trained",
    "Unlisted": "computes something else once it is stored and loaded: keep what it computes with in parameters",
    "Uncopyable": "can't be copied (cannot pickle 'generator' object)",
    "NoState": "can't be stored",
    "NumpyInside": "forward leaves torch, as x.numpy() does",
    "NoGradInside": "can't be trained (element 0 of tensors does not require grad",
    "Slow": "can't be exported as ONNX within 0.2 seconds",
    "scripted": "returns a compiled RecursiveScriptModule: return the module that it is made from",
    "with_arguments": "needs the argument(s) labels: write a function without any",
    "a_class": "returns type: it has to return a torch.nn.Module",
    "raising": "fails with RuntimeError: first line second line [/red]",
    "leaving": "ends the process (exit no GPU here)",
    "not_callable": "has no function 'not_callable'",
    "NoReturn": "train() does not return it, as torch's does: end it with return self",
    "weight_norm_alone": "compute their weights, as weight norm does: take that off first",
    "RarePython": "computes something else each time it is evaluated",
    "LargeBatches": "answers for a sample in a batch of 64 in another way",
    "Halves": "outputs are bfloat16, not float32: let its forward return logits.float()",
    "Exiting": "does not run on a batch of 3 (no such batch",
    "Cyclic": "layers can't be gone through (it holds itself)",
    "Listing": "layers can't be gone through (Listing.named_parameters() got an unexpected keyword argument",
    "on_meta": "returns a network on the device 'meta', without weights",
    "in_inference": "makes its network under torch.inference_mode(), so that it can't be trained",
    "under_masks": "masks of torch.nn.utils.prune in layer 'c': make them permanent with torch.nn.utils.prune.remove",
    "HalfHead": "whose 'f.weight' is float16: return network.float(), as networks are trained and exported in float32",
    "PlainList": "none of its parameters (in 'more'), so that they would be neither trained nor stored: keep layers in",
    "PlainTensor": "none of its parameters (in 'c.gain'), so that",
    "FromOutside": "none of its parameters, so that",
    "holding_hook": "computes with 'c.bias' of the network that it was copied from",
}

REFUSED_ELSEWHERE = {
    "old_weight_norm": "can't be copied",
    "spectral_norm": "can't be exported as ONNX (Exporting the operator 'aten::vdot'",
}


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(load_dataset("digits"), "class", Training(epochs=1, batch_size=128, learning_rate=0.1))


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load_problem("digits")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):  # for tensors as small as these, several threads wait for each other most of the time
        yield


@pytest.mark.parametrize(
    ("file", "name", "layers"),
    [(file, name, layers) for file, networks in RIGHT.items() for name, layers in networks.items()],
)
def test_right_networks_lose_channels_and_compute_the_same(file: str, name: str, layers: str, task: Task) -> None:
    network = load_module(f"{ZOO / file}:{name}")
    before = None if name == "lazy" else content_of(network)
    rehearse(network, task, drawn_anew=True)
    assert before in (None, content_of(network)), "copies are tried, not the network"
    structure = task.structure(network)
    assert list(structure.groups) == layers.split()
    assert structure.weights
    x, network = torch.randn(5, 1, 8, 8), network.eval()
    for seed in range(3):  # other channels than those that were tried
        rng = np.random.default_rng(seed + 100)
        keep = {layer: rng.random(group.size) < 0.6 for layer, group in structure.groups.items()}
        for stays in keep.values():
            stays[rng.integers(stays.size)] = True
        small = remove_channels(network, structure.groups, keep)
        with torch.no_grad():
            silenced = masked(network, channel_mask(network, structure, keep))(x)
            assert torch.allclose(small(x), silenced, atol=1e-4 * float(silenced.abs().max()))
            assert torch.allclose(small(x[:1]), silenced[:1], atol=1e-4 * float(silenced.abs().max()))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        *((f"refused.py:{name}", message) for name, message in REFUSED.items()),
        *((f"sequences.py:{name}", message) for name, message in REFUSED_ELSEWHERE.items()),
    ],
)
def test_others_are_refused_before_they_are_trained(
    place: str,
    message: str,
    task: Task,
    problem: Problem,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if place.endswith(":Slow"):
        monkeypatch.setattr(rehearsal, "SECONDS", 0.2)
        monkeypatch.setattr(trace, "SECONDS", 0.2)
    lines: list[str] = []
    listener = Listener()
    monkeypatch.setattr(listener, "noted", lines.append)
    with pytest.raises(EvoFairError) as refused:
        dense_network(problem, task, NetworkSource(module=str(ZOO / place)), listener)
    assert message in str(refused.value)
    assert torch.is_autocast_cache_enabled(), "torch's exporter turns it off"
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700
    assert lines == []
    assert capfd.readouterr().out == "", "no graphs are printed"


@pytest.mark.parametrize("name", ["Entangled", "Slow"])
def test_what_cannot_be_traced_in_time_keeps_its_channels(
    name: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "SECONDS", 0.2)
    structure = trace.trace_structure(load_module(f"{ZOO / 'refused.py'}:{name}"), task.example)
    with pytest.raises(PruningError, match=r"c, h, f: the network can't be traced.*use --structure unstructured"):
        check_prunable(structure, "structured")
    assert structure.weights == ("c.weight", "h.weight", "f.weight")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(PROBLEM)
    return path


@pytest.mark.parametrize(
    ("place", "arguments", "known"),
    [
        ("convolutions.py:ViewCnn", [], True),
        ("convolutions.py:ShuffleEarly", [], False),
        ("sequences.py:InPlace", ["--method", "taylor"], True),
        ("refused.py:Entangled", ["--structure", "unstructured"], False),
    ],
)
def test_the_whole_command_writes_files_that_compute_what_torch_does(
    place: str,
    arguments: list[str],
    known: bool,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not known:

        def unknown(path: Path) -> None:
            raise EvoFairError(f"{path}: the shape of 'x' can't be told from the graph")

        monkeypatch.setattr("evo_fair.jobs.pruned_folder.read_onnx", unknown)
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["prune", str(tiny), "--module", str(ZOO / place), "--epochs", "1", "--out", str(out), *arguments])
    assert stop.value.code == 0
    captured = capsys.readouterr()
    told = "its latency is unknown, which keeps nothing from being pruned: dense.onnx: the shape"
    assert captured.err.count(told) == (not known)
    assert ("unknown" in captured.out) != known
    table = pd.read_csv(out / "pruned.csv")
    assert table["latency_ms"].notna().all() == known
    assert (table["params"] > 0).all()
    assert (table["largest_logit_difference"] < 1e-4).all()
    rng = np.random.default_rng(0)
    for name in table["name"]:
        assert read_json(out / f"{name}.json")["onnx"]["parity"]["largest_logit_difference"] < 1e-4
        session = onnxruntime.InferenceSession(str(out / f"{name}.onnx"))
        x = rng.normal(size=(3, 1, 8, 8)).astype(np.float32)
        three = session.run(None, {"input": x})[0]
        alone = [session.run(None, {"input": x[i : i + 1]})[0][0] for i in range(3)]
        assert np.allclose(three, alone, atol=1e-5)


@pytest.mark.parametrize("structure", ["structured", "unstructured"])
def test_a_refusal_is_one_line_of_the_command(structure: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "prune", tiny, "--module", f"{ZOO / 'refused.py'}:AlwaysDropout", "--structure", structure)
    assert "computes something else each time it is evaluated" in line
