"""The reference networks: parameter counts as published, and the whole way to ONNX."""

from pathlib import Path

import pytest
import torch
from torch import nn

from evo_fair.deploy import check_parity, export_onnx
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.nets import initialise
from evo_fair.nets.reference import REFERENCES
from evo_fair.proxy import predict_logits

# torchvision's documentation (MobileNets, SqueezeNet 1.1, MnasNet 1.0, ResNet-18), Keras Hub's and timm's model cards
# (EfficientNet-lite0), pytorchcv (ProxylessNAS-mobile)
PUBLISHED = {
    "mobilenet-v2": 3_504_872,
    "mobilenet-v3-small": 2_542_856,
    "squeezenet": 1_235_496,
    "mnasnet": 4_383_312,
    "proxylessnas-mobile": 4_080_512,
    "resnet-18": 11_689_512,
    "efficientnet-lite0": 4_652_008,
}
# multiply-adds of convolutions and linear layers at 224 pixels in millions (some from torchvision)
PUBLISHED_MACS = {
    "mobilenet-v2": 300,
    "mobilenet-v3-small": 56,
    "squeezenet": 349,
    "mnasnet": 315,
    "proxylessnas-mobile": 320,
    "resnet-18": 1814,
    "efficientnet-lite0": 385,
}


def build(name: str, labels: int) -> nn.Module:
    network = REFERENCES[name](labels)
    initialise(network, torch.Generator().manual_seed(0))
    return network.eval()


def test_every_reference_has_its_published_count() -> None:
    assert set(REFERENCES) == set(PUBLISHED)


@pytest.mark.parametrize("name", REFERENCES)
def test_parameters_at_1000_classes_equal_the_published_number(name: str) -> None:
    with torch.device("meta"):
        network = REFERENCES[name](1000)
    assert sum(weight.numel() for weight in network.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", REFERENCES)
def test_onnx_at_224_pixels_has_the_published_macs_and_only_known_operators(name: str, tmp_path: Path) -> None:
    network = build(name, 1000)
    path = tmp_path / "network.onnx"
    export_onnx(network, (3, 224, 224), path)
    graph = read_onnx(path, (1, 3, 224, 224))
    assert graph.unknown == ()
    assert sum(layer.macs for layer in graph.layers) / 1e6 == pytest.approx(PUBLISHED_MACS[name], rel=0.02)


@pytest.mark.parametrize("name", REFERENCES)
def test_onnx_at_64_pixels_computes_what_torch_does(name: str, tmp_path: Path) -> None:
    network = build(name, 7)
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    logits = predict_logits(network, x)
    assert logits.shape == (3, 7)
    path = tmp_path / "network.onnx"
    export_onnx(network, (3, 64, 64), path)
    assert check_parity(path, logits, x).holds
    assert read_onnx(path).unknown == ()


@pytest.mark.parametrize("name", REFERENCES)
def test_initial_logits_are_of_moderate_size(name: str) -> None:
    network = build(name, 7).train()
    x = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert 0.05 < float(network(x).std()) < 5
