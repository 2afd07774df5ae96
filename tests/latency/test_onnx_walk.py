"""What is a layer, what joins one, and which parameters a network has."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from evo_fair.latency.onnx_graph import GraphLayers, read_onnx

from .onnx_zoo import ZOO, Lambda, export, integers, save, tokens, weights


def operators(graph: GraphLayers) -> list[str]:
    return [layer.operator for layer in graph.layers]


def test_embeddings_and_norms_are_parameters(tmp_path: Path) -> None:
    network = tokens()
    torch.manual_seed(0)
    for parameter in network.parameters():  # layers that are copies of each other would share theirs in the file
        nn.init.normal_(parameter)
    export(tmp_path / "x.onnx", network, [torch.zeros(1, 12, dtype=torch.long)])
    used = sum(parameter.numel() for parameter in network.parameters()) - (64 - 12) * 32  # positions beyond the 12th
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.params == used
    assert graph.layers[0].params == 1000 * 32


def test_shared_weights_count_once(tmp_path: Path) -> None:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        return layers["a"](torch.relu(layers["a"](x)))

    export(tmp_path / "x.onnx", Lambda(run, a=nn.Conv2d(8, 8, 3, padding=1)), [torch.zeros(1, 8, 6, 6)])
    graph = read_onnx(tmp_path / "x.onnx")
    assert [layer.params for layer in graph.layers] == [8 * 72 + 8, 0]
    assert graph.macs == 2 * 8 * 72 * 36


def test_tables_that_are_added_are_parameters_and_scalars_are_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "table"], ["a"]),
        helper.make_node("Mul", ["a", "half"], ["b"]),
        helper.make_node("LayerNormalization", ["b", "scale", "shift"], ["y"]),
    ]
    half = numpy_helper.from_array(np.float32(0.5), "half")
    constants = [*weights(table=(1, 10, 8), scale=(8,), shift=(8,)), half]
    save(tmp_path / "x.onnx", nodes, constants, {"x": [1, 10, 8]})
    assert read_onnx(tmp_path / "x.onnx").params == 80 + 16


def test_weights_of_an_operator_that_is_not_known_count(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Magic", ["c", "v"], ["y"], domain="own"),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(4, 3, 1, 1), v=(100, 50)), {"x": [1, 3, 6, 6]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.params == 4 * 3 + 4 + 5000
    assert graph.unknown[0].params == 5000
    assert graph.macs_at_least
    assert graph.params_at_least
    assert graph.time_at_least


def test_an_operator_without_products_leaves_macs_complete(tmp_path: Path) -> None:
    ZOO["boxes-by-nms"](tmp_path / "x.onnx")
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.time_at_least
    assert not graph.macs_at_least
    assert not graph.params_at_least


def test_strange_operators_that_read_constants_alone_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Magic", ["w"], ["m"], domain="own"), helper.make_node("Conv", ["x", "v"], ["y"])]
    save(tmp_path / "x.onnx", nodes, weights(w=(4, 3), v=(4, 3, 1, 1)), {"x": [1, 3, 6, 6]})
    assert [operator.operator for operator in read_onnx(tmp_path / "x.onnx").unknown] == ["own.Magic"]


def quantised(path: Path, *, between: list[onnx.NodeProto], end: str) -> GraphLayers:
    """Quantise and dequantise the input, an operator or more on it, quantise and dequantise the result."""
    scale, zero = numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(0), "z")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        *between,
        helper.make_node("QuantizeLinear", [end, "s", "z"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]
    save(path, nodes, [*weights(w=(8, 8, 1, 1)), scale, zero], {"x": [1, 8, 6, 6]})
    return read_onnx(path)


def test_conversions_around_integer_kernels_are_part_of_them(tmp_path: Path) -> None:
    conv = [helper.make_node("Conv", ["d", "w"], ["c"]), helper.make_node("Relu", ["c"], ["r"])]
    graph = quantised(tmp_path / "x.onnx", between=conv, end="r")
    assert operators(graph) == ["QuantizeLinear", "Conv", "DequantizeLinear"]
    assert graph.quantised


@pytest.mark.parametrize(
    "stored",
    [
        [helper.make_node("DequantizeLinear", ["k", "s", "z"], ["w"])],
        [
            helper.make_node("QuantizeLinear", ["f", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        ],
    ],
)
def test_weights_that_are_stored_in_bytes_alone_are_no_8_bit_network(
    stored: list[onnx.NodeProto], tmp_path: Path
) -> None:
    constants = [
        numpy_helper.from_array(np.ones((8, 8, 1, 1), np.int8), "k"),
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.int8(0), "z"),
        *weights(f=(8, 8, 1, 1)),
    ]
    save(tmp_path / "x.onnx", [*stored, helper.make_node("Conv", ["x", "w"], ["y"])], constants, {"x": [1, 8, 6, 6]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert not graph.quantised
    assert graph.params == 8 * 8 + 8


def test_a_product_that_quantises_its_input_computes_in_bytes(tmp_path: Path) -> None:
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "k", "s"], ["y"], domain="com.microsoft")
    constants = [numpy_helper.from_array(np.ones((8, 4), np.int8), "k"), *weights(s=(4,))]
    save(tmp_path / "x.onnx", [node], constants, {"x": [1, 8]})
    assert read_onnx(tmp_path / "x.onnx").quantised


def test_conversions_around_other_operators_take_time(tmp_path: Path) -> None:
    graph = quantised(tmp_path / "x.onnx", between=[helper.make_node("Erf", ["d"], ["e"])], end="e")
    assert operators(graph) == ["QuantizeLinear", "DequantizeLinear", "Erf", "QuantizeLinear", "DequantizeLinear"]
    assert all(layer.row[1:3] == (8, 8) for layer in graph.layers)


@pytest.mark.parametrize(
    ("node", "counts"),
    [
        (helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT16), True),
        (helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT), False),
        (helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]), True),
        (helper.make_node("Slice", ["c", "begin", "end"], ["y"]), True),
        (helper.make_node("Identity", ["c"], ["y"]), False),
        (helper.make_node("Reshape", ["c", "flat"], ["y"]), True),  # copied into the output
    ],
)
def test_what_moves_values_takes_time(node: onnx.NodeProto, counts: bool, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), node]
    constants: list[Any] = [*weights(w=(8, 3, 1, 1)), *integers(begin=[0], end=[1], flat=[1, -1])]
    save(tmp_path / "x.onnx", nodes, constants, {"x": [1, 3, 6, 6]})
    assert operators(read_onnx(tmp_path / "x.onnx")) == ["Conv", *([node.op_type] if counts else [])]


def test_a_view_between_layers_is_free(tmp_path: Path) -> None:
    ZOO["view-batch-torch-9"](tmp_path / "x.onnx")
    assert operators(read_onnx(tmp_path / "x.onnx")) == ["Conv", "Transpose", "Gemm"]


def test_a_tensor_without_values_costs_nothing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Slice", ["x", "begin", "begin"], ["nothing"]),
        helper.make_node("Concat", ["nothing", "x"], ["c"], axis=0),
        helper.make_node("Conv", ["c", "w"], ["y"]),
    ]
    save(tmp_path / "x.onnx", nodes, [*weights(w=(4, 3, 1, 1)), *integers(begin=[0])], {"x": [1, 3, 4, 4]})
    assert operators(read_onnx(tmp_path / "x.onnx")) == ["Concat", "Conv"]


@pytest.mark.parametrize("sizes", [[0, 3], [3, 0]])
def test_a_split_with_an_empty_part_takes_the_time_of_the_other(sizes: list[int], tmp_path: Path) -> None:
    parts = ["a", "b"] if sizes[1] else ["b", "a"]
    nodes = [helper.make_node("Split", ["x", "sizes"], parts, axis=1), helper.make_node("Conv", ["b", "w"], ["y"])]
    save(tmp_path / "x.onnx", nodes, [*weights(w=(4, 3, 1, 1)), *integers(sizes=sizes)], {"x": [1, 3, 4, 4]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert operators(graph) == ["Split", "Conv"]
    assert graph.peak_values == (3 + 4) * 16


def test_a_convolution_in_three_dimensions_is_told_from_one_of_images(tmp_path: Path) -> None:
    ZOO["conv3d-torch-17"](tmp_path / "x.onnx")
    assert [one.operator for one in read_onnx(tmp_path / "x.onnx").stand_ins] == ["Conv3d"]
