"""What ONNX Runtime's optimiser and quantiser write: shapes, types and multiply-accumulates, worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.errors import EvoFairError
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx

from .onnx_zoo import save, weights

Shape = tuple[int, ...]
MICROSOFT = "com.microsoft"


def of_inputs(path: Path, operator: str, shapes: dict[str, Shape | None], **options: Any) -> GraphLayers:
    """A network of one operator of ONNX Runtime that takes all inputs of these shapes, None for one left out."""
    names = [name if shape is not None else "" for name, shape in shapes.items()]
    node = helper.make_node(operator, names, ["y"], domain=MICROSOFT, **options)
    save(path, [node], [], {name: list(shape) for name, shape in shapes.items() if shape is not None})
    return read_onnx(path)


@pytest.mark.parametrize(
    ("a", "b", "options", "macs"),
    [
        ((1, 3, 196, 64), (1, 3, 196, 64), {"transB": 1}, 3 * 196 * 196 * 64),
        ((1, 3, 64, 196), (1, 3, 64, 196), {"transA": 1}, 3 * 196 * 196 * 64),
        # the first axis moves before the last: 196 samples of 3 heads are 3 heads of 196 samples
        ((196, 3, 64), (3, 64, 196), {"transBatchA": 1}, 3 * 196 * 64 * 196),
        ((3, 196, 64), (196, 3, 64), {"transBatchB": 1, "transB": 1}, 3 * 196 * 64 * 196),
        ((196, 3, 64), (196, 3, 64), {"transBatchA": 1, "transBatchB": 1, "transB": 1}, 3 * 196 * 64 * 196),
    ],
)
def test_products_transpose_what_they_say(
    a: Shape, b: Shape, options: dict[str, int], macs: int, tmp_path: Path
) -> None:
    assert of_inputs(tmp_path / "x.onnx", "FusedMatMul", {"a": a, "b": b}, **options).macs == macs


@pytest.mark.parametrize(
    ("shapes", "macs"),
    [
        ({"q": (1, 1, 512), "k": (1, 1, 512), "v": (1, 1, 512)}, 2 * 512),
        (
            {"q": (1, 1, 512), "k": (1, 1, 512), "v": (1, 1, 512)}
            | dict.fromkeys(("bias", "mask", "moved"), None)
            | {"past_k": (1, 8, 511, 64), "past_v": (1, 8, 511, 64)},
            2 * 512 * 512,
        ),
        ({"q": (1, 10, 64), "k": (1, 4, 20, 16), "v": (1, 4, 20, 16)}, 10 * 20 * 128),  # by heads
        ({"qkv": (1, 10, 4, 3, 16)}, 10 * 10 * 128),
    ],
)
def test_attention_looks_at_every_key_that_it_is_given(
    shapes: dict[str, Shape | None], macs: int, tmp_path: Path
) -> None:
    assert of_inputs(tmp_path / "x.onnx", "MultiHeadAttention", shapes, num_heads=4).macs == macs


def test_attention_with_its_projection_knows_earlier_keys_and_unequal_widths(tmp_path: Path) -> None:
    shapes: dict[str, Shape | None] = {"x": (1, 10, 32), "w": (32, 96), "b": (96,), "mask": None}
    graph = of_inputs(tmp_path / "x.onnx", "Attention", shapes | {"past": (2, 1, 4, 99, 8)}, num_heads=4)
    assert graph.macs == 10 * 32 * 96 + 2 * 10 * 109 * 32
    sizes = {"qkv_hidden_sizes": [64, 64, 128], "num_heads": 4}
    graph = of_inputs(tmp_path / "y.onnx", "Attention", shapes | {"w": (32, 256), "b": (256,)}, **sizes)
    assert graph.macs == 10 * 32 * 256 + 10 * 10 * (64 + 128)


def test_attention_of_onnx_knows_earlier_keys(tmp_path: Path) -> None:
    shapes = {name: [1, 8, 1, 64] for name in "qkv"} | {name: [1, 8, 511, 64] for name in ("pk", "pv")}
    node = helper.make_node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y"])
    save(tmp_path / "x.onnx", [node], [], shapes, opset=23)
    assert read_onnx(tmp_path / "x.onnx").macs == 8 * 512 * 128


def quantised(path: Path, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], shape: Shape) -> GraphLayers:
    """A network of bytes between float inputs and outputs."""
    scales = [
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.uint8), "z"),
    ]
    enter = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])
    save(path, [enter, *nodes], [*scales, *tensors], {"x": list(shape)})
    return read_onnx(path)


def test_a_joined_tensor_of_bytes_has_their_type_and_is_read_on(tmp_path: Path) -> None:
    joined = helper.make_node(
        "QLinearConcat", ["s", "z", "q", "s", "z", "q", "s", "z"], ["j"], domain=MICROSOFT, axis=1
    )
    kernel = numpy_helper.from_array(np.ones((4, 6, 3, 3), np.uint8), "w")
    conv = helper.make_node("QLinearConv", ["j", "s", "z", "w", "s", "z", "s", "z"], ["y"], pads=[1, 1, 1, 1])
    assert quantised(tmp_path / "x.onnx", [joined, conv], [kernel], (1, 3, 8, 8)).macs == 4 * 6 * 9 * 64


@pytest.mark.parametrize(
    ("operator", "names", "macs"),
    [
        ("MatMulIntegerToFloat", ["q", "w", "s", "s", "z", "z"], 10 * 32 * 20),
        ("QGemm", ["q", "s", "z", "w", "s", "z"], 10 * 32 * 20),
    ],
)
def test_products_of_bytes_that_give_floats_go_on_as_floats(
    operator: str, names: list[str], macs: int, tmp_path: Path
) -> None:
    kernel = numpy_helper.from_array(np.ones((32, 20), np.uint8), "w")
    nodes = [
        helper.make_node(operator, names, ["f"], domain=MICROSOFT),
        helper.make_node("Softmax", ["f"], ["y"]),
    ]
    graph = quantised(tmp_path / "x.onnx", nodes, [kernel], (10, 32))
    assert (graph.macs, graph.macs_at_least, len(graph.unknown)) == (macs, False, 0)


def test_a_pool_of_signed_bytes_is_a_pool(tmp_path: Path) -> None:
    zero = numpy_helper.from_array(np.array(0, np.int8), "n")
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "n"], ["i"]),
        helper.make_node("QLinearAveragePool", ["i", "s", "n", "s", "n"], ["p"], domain=MICROSOFT, **window),
        helper.make_node("DequantizeLinear", ["p", "s", "n"], ["y"]),
    ]
    graph = quantised(tmp_path / "x.onnx", nodes, [zero], (1, 3, 8, 8))
    assert any(layer.row[6] == 8 and layer.row[4] == 2 for layer in graph.layers)


def test_packed_weights_count_as_many_as_they_are_and_biases_of_products_too(tmp_path: Path) -> None:
    tensors = [
        numpy_helper.from_array(np.ones((32, 2, 16), np.uint8), "w"),
        numpy_helper.from_array(np.ones(64, np.float32), "scales"),
    ]
    options = {"K": 64, "N": 32, "bits": 4, "block_size": 32}
    node = helper.make_node("MatMulNBits", ["x", "w", "scales"], ["y"], domain=MICROSOFT, **options)
    save(tmp_path / "x.onnx", [node], tensors, {"x": [1, 10, 64]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert (graph.macs, graph.params) == (10 * 64 * 32, 64 * 32)
    named = weights(w=(32, 20), s=(1,), b=(20,))
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "s", "", "b"], ["y"], domain=MICROSOFT)
    save(tmp_path / "y.onnx", [node], named, {"x": [10, 32]})
    assert read_onnx(tmp_path / "y.onnx").params == 32 * 20 + 20


def test_words_are_looked_up_and_the_sum_before_a_normalisation_is_read_on(tmp_path: Path) -> None:
    names = ["ids", "segments", "word", "place", "segment", "scale", "shift"]
    tensors = weights(word=(100, 32), place=(10, 32), segment=(2, 32), scale=(32,), shift=(32,), w=(32, 20), v=(32, 20))
    nodes = [
        helper.make_node("EmbedLayerNormalization", names, ["e", ""], domain=MICROSOFT),
        helper.make_node("SkipLayerNormalization", ["e", "r", "scale"], ["n", "", "", "sum"], domain=MICROSOFT),
        helper.make_node("MatMul", ["n", "w"], ["a"]),
        helper.make_node("MatMul", ["sum", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, [1, 10]) for name in names[:2]]
    inputs.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 10, 32]))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [y], tensors)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains), tmp_path / "x.onnx")
    read = read_onnx(tmp_path / "x.onnx")
    assert (read.macs, read.unknown) == (2 * 10 * 32 * 20, ())


@pytest.mark.parametrize(
    ("operator", "domain", "opset"),
    [("LayerNormalization", "", 12), ("MeanVarianceNormalization", "", 13), ("Gelu", MICROSOFT, 14)],
)
def test_what_keeps_its_shape_is_followed_in_every_opset(
    operator: str, domain: str, opset: int, tmp_path: Path
) -> None:
    names = ["a", "g"] if operator == "LayerNormalization" else ["a"]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node(operator, names, ["n"], domain=domain),
        helper.make_node("MatMul", ["n", "v"], ["y"]),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(8, 8), v=(8, 4), g=(8,)), {"x": [2, 3, 5, 8]}, opset=opset)
    graph = read_onnx(tmp_path / "x.onnx")
    assert (graph.macs, graph.unknown) == (2 * 3 * 5 * (8 * 8 + 8 * 4), ())


def test_a_convolution_of_bytes_may_have_its_channels_last(tmp_path: Path) -> None:
    tensors = [numpy_helper.from_array(np.ones((8, 3, 3, 3), np.uint8), "w")]
    names = ["q", "s", "z", "w", "s", "z", "s", "z"]
    window = {"pads": [1, 1, 1, 1], "strides": [2, 2], "channels_last": 1}
    nodes = [
        helper.make_node("QLinearConv", names, ["c"], domain=MICROSOFT, **window),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"]),
    ]
    graph = quantised(tmp_path / "x.onnx", nodes, tensors, (1, 16, 20, 3))
    assert (graph.macs, graph.macs_at_least) == (8 * 3 * 9 * 8 * 10, False)


def test_a_quantised_lstm_multiplies_as_others_do(tmp_path: Path) -> None:
    bytes_of = {"w": (2, 10, 64), "r": (2, 16, 64)}
    tensors = [numpy_helper.from_array(np.ones(shape, np.uint8), name) for name, shape in bytes_of.items()]
    names = ["x", "w", "r", "b", "", "", "", "", "s", "z", "s", "z"]
    tensors += weights(b=(2, 128), s=(2,), v=(16, 4))
    tensors.append(numpy_helper.from_array(np.zeros(2, np.uint8), "z"))
    nodes = [
        helper.make_node("DynamicQuantizeLSTM", names, ["all", "last", "cell"], domain=MICROSOFT, hidden_size=16),
        helper.make_node("MatMul", ["last", "v"], ["y"]),
    ]
    save(tmp_path / "x.onnx", nodes, tensors, {"x": [50, 3, 10]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.macs == 2 * 50 * 3 * 64 * (10 + 16) + 2 * 3 * 16 * 4
    assert [stand_in.operator for stand_in in graph.stand_ins] == ["DynamicQuantizeLSTM"]


def test_what_is_made_for_one_kind_of_processor_is_answered_with_what_to_give(tmp_path: Path) -> None:
    node = helper.make_node("ReorderInput", ["x"], ["y"], domain="com.microsoft.nchwc")
    save(tmp_path / "x.onnx", [node], [], {"x": [1, 8, 8, 8]})
    with pytest.raises(
        EvoFairError, match=r"optimised for one kind of processor .*: give the file that it was made of"
    ):
        read_onnx(tmp_path / "x.onnx")


def test_weights_that_are_quantised_again_are_the_same(tmp_path: Path) -> None:
    scales = [
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.int8), "z"),
    ]
    nodes = []
    for number, (source, out) in enumerate((("x", "h"), ("h", "y"))):
        nodes += [
            helper.make_node("QuantizeLinear", ["w", "s", "z"], [f"q{number}"]),
            helper.make_node("DequantizeLinear", [f"q{number}", "s", "z"], [f"w{number}"]),
            helper.make_node("MatMul", [source, f"w{number}"], [out]),
        ]
    save(tmp_path / "x.onnx", nodes, [*weights(w=(16, 16)), *scales], {"x": [1, 16]})
    assert read_onnx(tmp_path / "x.onnx").params == 16 * 16


def test_preprocessing_of_a_pipeline_keeps_shapes_and_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[0.0] * 8, scale=[1.0] * 8),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], weights(w=(8, 4)))
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=domains), tmp_path / "x.onnx")
    read = read_onnx(tmp_path / "x.onnx")
    assert (read.macs, read.macs_at_least) == (32, False)
    assert [operator.operator for operator in read.unknown] == ["ai.onnx.ml.Scaler"]
