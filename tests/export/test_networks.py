"""ONNX files, their parity with torch, and cards."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.export import check_parity, export, export_onnx, onnx_logits, write_network
from evo_fair.layers import params
from evo_fair.nets.layout import give_own_inputs
from evo_fair.problem import Problem
from evo_fair.proxy import Proxy, predict_logits
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.space import SearchSpace


@pytest.fixture(scope="module")
def proxy(problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet) -> Proxy:
    return proxy_source(problem, dataset, space, stored.path).open()


def test_onnx_runtime_computes_what_torch_computes(proxy: Proxy, dataset: Dataset, tmp_path: Path) -> None:
    space = proxy.supernet.space
    for number, genome in enumerate(space.sample(np.random.default_rng(1), 5)):
        network = proxy.network(genome)
        path = tmp_path / f"{number}.onnx"
        export_onnx(network, dataset.input_shape, path)
        parity = check_parity(path, predict_logits(network, proxy.samples), proxy.samples)
        assert parity.samples == len(dataset.part("validation"))
        assert parity.largest_difference <= 1e-4
        assert parity.different_labels == 0


def test_batch_norm_is_folded_and_weights_are_fixed(proxy: Proxy, dataset: Dataset, tmp_path: Path) -> None:
    space = proxy.supernet.space
    genome = space.largest()
    export_onnx(proxy.network(genome), dataset.input_shape, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    stored_numbers = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    assert stored_numbers == params(space.decode([genome]))[0]
    assert [entry.name for entry in model.graph.input] == ["input"]
    export_onnx(proxy.network(genome), dataset.input_shape, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_network_that_computes_something_else_is_refused(proxy: Proxy, dataset: Dataset, tmp_path: Path) -> None:
    space = proxy.supernet.space
    path = tmp_path / "wrong.onnx"
    export_onnx(proxy.network(space.smallest()), dataset.input_shape, path)
    logits = predict_logits(proxy.network(space.smallest()), proxy.samples)
    logits[3, 2] += 0.01
    with pytest.raises(EvoFairError, match=r"wrong.onnx does not compute what its network does: .* up to 0.01"):
        check_parity(path, logits, proxy.samples)


@pytest.mark.parametrize(("torch_off", "off", "passes"), [(2e-3, -3e-3, True), (2e-3, 5e-3, False), (0.14, 0.0, False)])
def test_a_file_may_be_about_as_inexact_as_torch(
    torch_off: float, off: float, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far torch and the file are off of what the network computes in float64: 0.14 of a logit is no rounding."""
    network = nn.Linear(3, 3, bias=False)
    nn.init.eye_(network.weight)
    x = torch.eye(3)
    monkeypatch.setattr(export, "_open", lambda _path: None)
    monkeypatch.setattr(export, "_run", lambda _session, _path, inputs: inputs + np.float32(off))
    expected = x.numpy() + np.float32(torch_off)
    with pytest.raises(EvoFairError, match="is allowed"):
        check_parity(tmp_path / "a.onnx", expected, x)
    if passes:
        parity = check_parity(tmp_path / "a.onnx", expected, x, network)
        assert parity.allowed == pytest.approx(5e-3, rel=2e-3)
        assert parity.largest_difference == pytest.approx(5e-3, rel=1e-3)
    else:
        with pytest.raises(EvoFairError, match="does not compute what its network does"):
            check_parity(tmp_path / "a.onnx", expected, x, network)


class BatchMean(nn.Module):
    """Answers for a sample by what else is in its batch, in ONNX Runtime as in torch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0, keepdim=True)


class Squeezed(nn.Module):
    """Right for batches, and without its batch dimension for one sample alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unsqueeze(2).squeeze()


@pytest.mark.parametrize(
    ("network", "message"),
    [(BatchMean(), "does not compute what its network does"), (Squeezed(), "drops or fixes the batch")],
)
def test_one_sample_alone_is_tried_too(network: nn.Module, message: str, tmp_path: Path) -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    export_onnx(network, (3,), tmp_path / "a.onnx")
    with pytest.raises(EvoFairError, match=message):
        check_parity(tmp_path / "a.onnx", predict_logits(network, x), x, network)


class Standardised(nn.Conv2d):
    """A convolution whose weights are standardised and scaled, as in NFNets; training begins with gains of 1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(c_out, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        scale = torch.rsqrt(torch.maximum(variance * self.weight[0].numel(), torch.tensor(1e-4))) * self.gain
        return functional.conv2d(x, (self.weight - mean) * scale, self.bias, padding=1)


def test_weights_that_are_scaled_by_equal_gains_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    layers = [Standardised(1, 4), nn.ReLU(), Standardised(4, 4), nn.ReLU(), Standardised(4, 4)]
    network = give_own_inputs(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())).eval()
    path, x = tmp_path / "network.onnx", torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    export_onnx(network, (1, 8, 8), path)
    assert check_parity(path, predict_logits(network, x), x, network).holds
    assert capfd.readouterr().err == ""


def test_what_onnx_runtime_refuses_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(int(x.shape[0]), 3)

    export_onnx(Fixed(), (3,), tmp_path / "a.onnx")
    x = torch.randn(5, 3)
    with pytest.raises(EvoFairError, match=r"does not run on a batch of 5 .* use x\.shape or -1"):
        check_parity(tmp_path / "a.onnx", x.numpy(), x)
    (tmp_path / "b.onnx").write_bytes(b"nothing")
    with pytest.raises(EvoFairError, match=r"ONNX Runtime does not take .*b\.onnx"):
        onnx_logits(tmp_path / "b.onnx", x.numpy())
    assert capfd.readouterr().err == ""


def test_card_says_what_the_file_is(proxy: Proxy, dataset: Dataset, space: SearchSpace, tmp_path: Path) -> None:
    genome = space.sample(np.random.default_rng(2), 1)[0]
    path = write_network(tmp_path, "abc", genome.tolist(), proxy, dataset, {"problem": "digits"}, ["class"])
    card = json.loads((tmp_path / "abc.json").read_text())
    assert card["onnx"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["onnx"]["bytes"] == path.stat().st_size
    assert card["problem"] == "digits"
    assert card["genome"]["stage1.slot1.kind"] == genome[space.gene_names.index("stage1.slot1.kind")]
    assert [block["name"] for block in card["architecture"]] == [b.name for b in space.architecture(genome)]
    raw = dataset.inputs[dataset.part("validation")].astype(np.float32)
    mean, scale = (np.float32(card["input"][key])[:, None, None] for key in ("mean", "scale"))
    right = onnx_logits(path, (raw - mean) * scale).argmax(1) == dataset.labels[dataset.part("validation")]
    groups = card["groups"]["class"]
    assert sum(group["correct"] for group in groups.values()) == right.sum()
    confusion = card["confusion"]
    assert {label: row.get(label, 0) for label, row in confusion["overall"].items()} == {
        name: group["correct"] for name, group in groups.items()
    }
    assert confusion["by_group"] == {}  # of classes, each is a row of the overall table
    assert groups["3"]["samples"] == (dataset.labels[dataset.part("validation")] == 3).sum()
