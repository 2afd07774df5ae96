"""The reference networks: parameter counts as published, and the whole way to ONNX."""

from pathlib import Path

import pytest
import torch
from torch import nn

from evo_fair.errors import UnknownNameError
from evo_fair.export import check_parity, export_onnx
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.nets import initialise
from evo_fair.nets.reference import REFERENCES, SCALED, build_reference, is_reference
from evo_fair.nets.reference.parts import scaled_channels
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
# TensorFlow's table of MobileNetV2 checkpoints at 224 pixels: millions of multiply-adds, and of parameters but for
# those of batch norms
PUBLISHED_WIDTHS = {
    "mobilenet-v2-0.35": (59, 1.66),
    "mobilenet-v2-0.5": (97, 1.95),
    "mobilenet-v2-0.75": (209, 2.61),
    "mobilenet-v2": (300, 3.47),
}


def build(name: str, labels: int) -> nn.Module:
    network = build_reference(name, labels)
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


@pytest.mark.parametrize("name", [*REFERENCES, "mobilenet-v2-0.1", "resnet-18-0.25"])
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


@pytest.mark.parametrize(("name", "macs", "params"), [(name, *both) for name, both in PUBLISHED_WIDTHS.items()])
def test_widths_of_mobilenet_v2_have_the_published_size(name: str, macs: float, params: float, tmp_path: Path) -> None:
    network = build(name, 1000)
    norms = sum(w.numel() for m in network.modules() if isinstance(m, nn.BatchNorm2d) for w in m.parameters())
    assert round((sum(weight.numel() for weight in network.parameters()) - norms) / 1e6, 2) == params
    path = tmp_path / "network.onnx"
    export_onnx(network, (3, 224, 224), path)
    assert sum(layer.macs for layer in read_onnx(path).layers) / 1e6 == pytest.approx(macs, rel=0.02)


def test_resnet_18_of_a_quarter_has_a_quarter_of_the_channels_in_every_layer() -> None:
    whole, quarter = build("resnet-18", 1000), build("resnet-18-0.25", 1000)
    pairs = zip(whole.modules(), quarter.modules(), strict=True)
    convolutions = [(a, b) for a, b in pairs if isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d)]
    assert len(convolutions) == 20
    assert all(a.out_channels == 4 * b.out_channels for a, b in convolutions)
    assert sum(weight.numel() for weight in quarter.parameters()) == 831_096


@pytest.mark.parametrize(
    ("channels", "width", "scaled"),
    [
        (32, 0.35, 16),  # 11.2: 8 would lose more than a tenth
        (16, 0.1, 8),
        (24, 0.75, 24),  # 18: 16 would lose more than a tenth
        (96, 0.35, 32),
        (320, 0.35, 112),
        (1280, 1.0, 1280),
    ],
)
def test_channels_are_rounded_as_mobilenets_are(channels: int, width: float, scaled: int) -> None:
    assert scaled_channels(channels, width) == scaled


@pytest.mark.parametrize("name", ["mobilenet-v2-0.1", "mobilenet-v2-0.35", "resnet-18-0.125", *REFERENCES])
def test_a_width_behind_the_name_makes_a_reference(name: str) -> None:
    assert is_reference(name)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet-v2-0.09",
        "mobilenet-v2-0",
        "mobilenet-v2-0.350",  # each network has one name
        "mobilenet-v2-1",
        "mobilenet-v2-1.4",
        "mobilenet-v2-.5",
        "mobilenet-v2-0.٣",
        "mobilenet-v2-nan",
        "squeezenet-0.5",
        "mobilenet-v2-0.5\n",
        "-0.5",
        "",
    ],
)
def test_other_widths_and_names_are_refused_with_those_there_are(name: str) -> None:
    assert not is_reference(name)
    with pytest.raises(UnknownNameError, match=r"\(mobilenet-v2 and resnet-18 also in widths from 0\.1 to 1, such"):
        build_reference(name, 7)


@pytest.mark.parametrize("name", SCALED)
def test_the_full_width_is_the_network_itself(name: str) -> None:
    whole, scaled = REFERENCES[name](7), SCALED[name](7, 1.0)
    assert repr(whole) == repr(scaled)
