"""ONNX Runtime's own GELU is an activation of its input's shape."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.layers import Op
from evo_fair.testing import check_onnx_operator


def test_a_gelu_of_onnx_runtime_is_an_activation(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 6])]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    nodes = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), helper.make_node("Exp", ["y"], ["z"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets, ir_version=9)
    onnx.save(model, tmp_path / "gelu.onnx")
    graph = read_onnx(tmp_path / "gelu.onnx")
    assert [layer.row for layer in graph.layers] == [(Op.ACTIVATION, 4, 4, 1, 1, 1, 8, 6)] * 2
    assert graph.unknown == ()


def test_it_keeps_the_protocol() -> None:
    check_onnx_operator("com.microsoft.Gelu", [(1, 4, 8, 8)])
