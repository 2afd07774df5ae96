"""Predictions of graphs: layers and the fixed cost add up, and what is unknown is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from evo_fair.latency import load_profile
from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.latency.onnx_graph import GraphLayer, GraphLayers, UnknownOperator, read_onnx
from evo_fair.latency.predict import predict
from evo_fair.layers import macs, params, peak_memory_bytes
from evo_fair.space import SearchSpace


@pytest.mark.parametrize("seed", range(5))
def test_a_network_of_a_space_costs_what_its_table_does(seed: int, space: SearchSpace, tmp_path: Path) -> None:
    table = space.decode(space.sample(np.random.default_rng(seed), 1))
    onnx.save(layers_to_onnx(table[0]), tmp_path / "x.onnx")
    profile = load_profile("raspberry-pi-4")
    prediction = predict(read_onnx(tmp_path / "x.onnx"), profile)
    assert prediction.latency_ms == pytest.approx(profile.latency_ms(table)[0])
    assert prediction.latency_ms == pytest.approx(prediction.layer_ms.sum() + profile.network_ms)
    assert prediction.macs == macs(table)[0]
    assert prediction.params == params(table)[0]
    assert prediction.peak_memory_bytes == peak_memory_bytes(table)[0]
    assert prediction.unknown_share == 0


def test_the_precision_decides_the_bytes(space: SearchSpace, tmp_path: Path) -> None:
    onnx.save(layers_to_onnx(space.decode(space.largest()[None])[0]), tmp_path / "x.onnx")
    graph = read_onnx(tmp_path / "x.onnx")
    wide = predict(graph, load_profile("raspberry-pi-4")).peak_memory_bytes
    assert wide == 4 * predict(graph, load_profile("raspberry-pi-4-int8")).peak_memory_bytes


def test_all_of_it_is_plain_values() -> None:
    layers = (
        GraphLayer("a", "Conv", (1, 3, 8, 3, 2, 1, 32, 32), 55_296, 224),
        GraphLayer("b", "Pad", (8,) + (4,) * 7, 0, 0),
    )
    graph = GraphLayers(layers, (UnknownOperator("Magic", 2, 0.25),), (1, 3, 32, 32), 5000)
    content = predict(graph, load_profile("raspberry-pi-4")).as_dict()
    assert content["device"] == "raspberry-pi-4"
    assert content["unknown"] == [{"operator": "Magic", "nodes": 2, "share": 0.25}]
    assert content["unknown_share"] == 0.25
    assert content["extrapolated"] is True
    assert [layer["op"] for layer in content["layers"]] == ["conv", "activation"]
    assert content["layers"][0]["stride"] == 2
    assert content["macs"] == 55_296
    assert content["peak_memory_bytes"] == 4 * (5000 + 224)


def test_a_profile_with_intervals_says_how_far_it_may_be_off() -> None:
    layers = (
        GraphLayer("a", "Conv", (1, 3, 16, 3, 2, 1, 64, 64), 55_296, 224),
        GraphLayer("b", "Conv", (1, 16, 32, 3, 1, 1, 32, 32), 4_718_592, 4_640, 3),
    )
    graph = GraphLayers(layers, (), (1, 3, 64, 64), 5000)
    prediction = predict(graph, load_profile("raspberry-pi-4-pooled"))
    content = prediction.as_dict()
    low, high = content["interval_ms"]
    assert 0 < low < content["latency_ms"] < high
    for layer in content["layers"]:
        assert 0 < layer["interval_ms"][0] < layer["ms"] < layer["interval_ms"][1]
    unrolled = GraphLayers((layers[0], *[replace(layers[1], repeats=1)] * 3), (), (1, 3, 64, 64), 5000)
    one_by_one = predict(unrolled, load_profile("raspberry-pi-4-pooled"))
    assert prediction.interval_ms == pytest.approx(one_by_one.interval_ms)
    assert prediction.latency_ms == pytest.approx(one_by_one.latency_ms)
    assert "interval_ms" not in predict(graph, load_profile("raspberry-pi-4")).as_dict()


def test_a_lower_bound_has_no_interval() -> None:
    layers = (GraphLayer("a", "Conv", (1, 3, 16, 3, 2, 1, 64, 64), 55_296, 224),)
    graph = GraphLayers(layers, (UnknownOperator("Magic", 1, 0.9),), (1, 3, 64, 64), 5000)
    prediction = predict(graph, load_profile("raspberry-pi-4-pooled"))
    assert prediction.interval_ms is None
    assert "interval_ms" not in prediction.as_dict()
    assert prediction.bounds[0] is not None
