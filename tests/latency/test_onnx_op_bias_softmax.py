"""ONNX Runtime's softmax with a bias is an activation of its first input's shape."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.layers import Op
from evo_fair.testing import check_onnx_operator


def test_a_softmax_with_a_bias_is_an_activation(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 6]) for name in ("x", "b")]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    nodes = [
        helper.make_node("BiasSoftmax", ["x", "b"], ["y"], domain="com.microsoft"),
        helper.make_node("Exp", ["y"], ["z"]),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets, ir_version=9)
    onnx.save(model, tmp_path / "softmax.onnx")
    graph = read_onnx(tmp_path / "softmax.onnx")
    assert [layer.row for layer in graph.layers] == [(Op.ACTIVATION, 4, 4, 1, 1, 1, 8, 6)] * 2
    assert graph.unknown == ()


def test_it_keeps_the_protocol() -> None:
    check_onnx_operator("com.microsoft.BiasSoftmax", [(1, 4, 8, 8), (1, 1, 8, 8)])
