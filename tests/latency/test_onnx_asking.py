"""Shapes are those that ONNX Runtime makes, also where onnx infers others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from evo_fair.latency.onnx_file import OnnxFile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.onnx_value import Value
from evo_fair.latency.onnx_values import infer, initial

from .onnx_zoo import save, weights

IMAGE, LINE = (1, 4, 5, 6), (1, 4, 10)
PADDED = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
BY_1_3 = np.array([1, 1, 1.3], np.float32)


def run(node: onnx.NodeProto, opset: int, shape: Sequence[int], constants: Sequence[onnx.TensorProto]) -> Any:
    """The shape that ONNX Runtime makes of ones."""
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings say that onnx infers another shape
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones(shape, np.float32)})[0].shape


@pytest.mark.parametrize(
    ("kind", "opset", "shape", "constants", "options", "expected"),
    [
        ("MaxPool", 10, IMAGE, [], PADDED, (1, 4, 3, 4)),
        ("MaxPool", 17, IMAGE, [], PADDED, (1, 4, 3, 4)),
        ("AveragePool", 19, IMAGE, [], PADDED, (1, 4, 3, 4)),
        ("MaxPool", 17, IMAGE, [], PADDED | {"ceil_mode": 0}, (1, 4, 3, 4)),
        ("MaxPool", 17, IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, (1, 4, 3, 3)),
        ("Resize", 17, LINE, [np.zeros(0, np.float32), BY_1_3], {"mode": "nearest"}, (1, 4, 13)),
        ("Resize", 18, LINE, [np.zeros(0, np.float32), BY_1_3[2:]], {"mode": "nearest", "axes": [2]}, (1, 4, 13)),
        ("Resize", 10, LINE, [BY_1_3], {"mode": "nearest"}, (1, 4, 13)),
        ("Upsample", 9, LINE, [BY_1_3], {"mode": "nearest"}, (1, 4, 13)),
        ("Concat", 9, IMAGE, [np.ones(IMAGE, np.float32)], {"axis": -1}, (1, 4, 5, 12)),
        ("Slice", 9, IMAGE, [], {"axes": [-1, 1], "starts": [2, 1], "ends": [6, 2]}, (1, 1, 5, 4)),
        (
            "ConvTranspose",
            17,
            LINE,
            [np.ones((4, 2, 3), np.float32)],
            {"auto_pad": "SAME_UPPER", "strides": [2], "output_padding": [1]},
            (1, 2, 20),
        ),
        (
            "ConvTranspose",
            17,
            LINE,
            [np.ones((4, 2, 1), np.float32)],
            {"auto_pad": "SAME_UPPER", "strides": [2], "output_padding": [1]},
            (1, 2, 20),
        ),
    ],
)
def test_shapes_are_those_that_run(
    kind: str,
    opset: int,
    shape: tuple[int, ...],
    constants: list[npt.NDArray[Any]],
    options: dict[str, Any],
    expected: tuple[int, ...],
) -> None:
    tensors = [numpy_helper.from_array(array, f"c{place}") for place, array in enumerate(constants)]
    node = helper.make_node(kind, ["x", *(tensor.name for tensor in tensors)], ["y"], **options)
    file = OnnxFile(Path("x.onnx"), onnx.ModelProto(ir_version=8), {"": opset})
    inputs = [Value("x", shape), *(initial(tensor, tensor.name) for tensor in tensors)]
    assert infer(file, node, inputs, "")[0].shape == expected
    assert run(node, opset, shape, tensors) == expected


@pytest.mark.parametrize("opset", [17, 18, 20])
def test_group_normalisation_keeps_its_shape_in_the_sets_that_gave_it_up(opset: int) -> None:
    """Of sets 18 to 20 onnx calls it deprecated, but it runs."""
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)
    file = OnnxFile(Path("x.onnx"), onnx.ModelProto(ir_version=8), {"": opset})
    inputs = [Value("x", IMAGE), *(Value(name, (2,), constant=True) for name in "sb")]
    assert infer(file, node, inputs, "")[0].shape == IMAGE


@pytest.mark.parametrize("version", [1, 5, 6])
def test_networks_of_the_first_sets_are_read(version: int, tmp_path: Path) -> None:
    """What adds to a convolution's channels names their axis there; nobody infers what most operators make."""
    old = {"consumed_inputs": [0, 0]} if version < 6 else {}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Mul", ["c", "b"], ["m"], broadcast=1, axis=1, **old),
        helper.make_node("Add", ["m", "b"], ["a"], broadcast=1, axis=1, **old),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("Concat", ["s", "a"], ["j"], axis=1),
        helper.make_node("Conv", ["j", "v"], ["y"]),
    ]
    save(
        tmp_path / "x.onnx", nodes, weights(w=(8, 3, 1, 1), b=(8,), v=(4, 16, 1, 1)), {"x": [1, 3, 5, 8]}, opset=version
    )
    graph = read_onnx(tmp_path / "x.onnx")
    assert [layer.operator for layer in graph.layers] == ["Conv", "Sigmoid", "Concat", "Conv"]
    assert (graph.macs, graph.params) == ((3 * 8 + 16 * 4) * 40, 3 * 8 + 8 + 16 * 4 + 4)
    assert graph.unknown == ()
