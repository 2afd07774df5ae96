"""What is computed as one with the layer before it, and what is not."""

from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from evo_fair.latency.onnx_graph import read_onnx

from .onnx_zoo import save, weights

CONV = helper.make_node("Conv", ["x", "w"], ["c"])
MATRIX = helper.make_node("MatMul", ["x", "m"], ["c"])


def operators(nodes: Sequence[onnx.NodeProto], folder: Path, **tables: tuple[int, ...]) -> list[str]:
    """The layers of a graph from `x`, an image or, for a product of matrices, rows."""
    shape = [1, 8, 6, 6] if any(node.op_type == "Conv" for node in nodes) else [1, 4, 8]
    save(folder / "x.onnx", nodes, weights(w=(8, 8, 1, 1), m=(8, 8), **tables), {"x": shape})
    return [layer.operator for layer in read_onnx(folder / "x.onnx").layers]


def test_a_product_with_its_own_sigmoid_is_one_activation(tmp_path: Path) -> None:
    nodes = [CONV, helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["s", "c"], ["y"])]
    assert operators(nodes, tmp_path) == ["Conv", "Sigmoid"]


def test_a_sigmoid_after_a_scale_gates_what_was_scaled(tmp_path: Path) -> None:
    nodes = [
        CONV,
        helper.make_node("Mul", ["c", "t"], ["u"]),
        helper.make_node("Sigmoid", ["u"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["y"]),
    ]
    assert operators(nodes, tmp_path, t=(1,)) == ["Conv", "Mul", "Sigmoid"]  # x * sigmoid(1.702 x), as some write Gelu


def test_a_product_with_the_sigmoid_of_something_else_takes_time(tmp_path: Path) -> None:
    nodes = [CONV, helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["s", "x"], ["y"])]
    assert operators(nodes, tmp_path) == ["Conv", "Sigmoid", "Mul"]


@pytest.mark.parametrize(
    ("nodes", "layers"),
    [
        ([CONV, helper.make_node("Add", ["c", "by_channel"], ["y"])], ["Conv"]),
        ([CONV, helper.make_node("Add", ["c", "by_row"], ["y"])], ["Conv", "Add"]),
        ([CONV, helper.make_node("Mul", ["c", "by_channel"], ["y"])], ["Conv"]),
        ([MATRIX, helper.make_node("Add", ["c", "last"], ["y"])], ["MatMul"]),
        (
            [MATRIX, helper.make_node("Add", ["c", "last"], ["d"]), helper.make_node("Relu", ["d"], ["y"])],
            ["MatMul"],
        ),
        ([MATRIX, helper.make_node("Mul", ["c", "last"], ["y"])], ["MatMul", "Mul"]),
        (
            [MATRIX, helper.make_node("Add", ["c", "last"], ["d"]), helper.make_node("Add", ["d", "last"], ["y"])],
            ["MatMul", "Add"],
        ),
    ],
)
def test_biases_and_scales_by_channel_are_part_of_what_they_follow(
    nodes: list[onnx.NodeProto], layers: list[str], tmp_path: Path
) -> None:
    assert operators(nodes, tmp_path, by_channel=(8, 1, 1), by_row=(6, 1), last=(8,)) == layers


def test_nothing_but_views_joins_behind_an_activation(tmp_path: Path) -> None:
    norm = helper.make_node("BatchNormalization", ["c", "s", "b", "n", "v"], ["d"])
    relu = helper.make_node("Relu", ["d"], ["y"])
    tables = dict.fromkeys("sbnv", (8,))
    assert operators([CONV, norm, relu], tmp_path, **tables) == ["Conv"]
    early = helper.make_node("Relu", ["c"], ["r"])
    late = helper.make_node("BatchNormalization", ["r", "s", "b", "n", "v"], ["y"])
    assert operators([CONV, early, late], tmp_path, **tables) == ["Conv", "BatchNormalization"]


def test_an_activation_in_a_branch_does_not_join_the_layer_before_it(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")]
    branches = [helper.make_graph([helper.make_node("Relu", ["c"], [end.name])], end.name, [], [end]) for end in ends]
    nodes = [
        CONV,
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    assert operators(nodes, tmp_path).count("Relu") >= 1


def test_a_gate_that_is_read_again_is_made_for_its_own_sake(tmp_path: Path) -> None:
    nodes = [
        CONV,
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["p"]),
        helper.make_node("Add", ["p", "s"], ["y"]),
    ]
    assert operators(nodes, tmp_path) == ["Conv", "Sigmoid", "Mul", "Add"]


def test_a_layer_of_a_branch_that_is_not_taken_leaves_no_bias_open(tmp_path: Path) -> None:
    """The convolution takes the place of a product without a bias: what is added to it are its own parameters."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")]
    conv = [helper.make_node("Conv", ["x", "w"], ["e"]), helper.make_node("Add", ["e", "by_channel"], ["a"])]
    product = [helper.make_node("MatMul", ["x", "n"], ["f"]), helper.make_node("Relu", ["f"], ["b"])]
    branches = [helper.make_graph(part, "g", [], [end]) for part, end in zip((conv, product), ends, strict=True)]
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(8, 8, 1, 1), n=(6, 6), by_channel=(8, 1, 1)), {"x": [1, 8, 6, 6]})
    assert read_onnx(tmp_path / "x.onnx").params == 64 + 8 + 36


NORM = dict.fromkeys("sbnv", (8,))


def norm(source: str, out: str) -> onnx.NodeProto:
    return helper.make_node("BatchNormalization", [source, "s", "b", "n", "v"], [out])


@pytest.mark.parametrize("between", [[], [helper.make_node("Add", ["c", "q"], ["d"])]])
@pytest.mark.parametrize("product", [["MatMul", "x", "m"], ["Gemm", "x", "m"]])
def test_a_batch_norm_behind_a_product_is_its_bias(
    product: list[str], between: list[onnx.NodeProto], tmp_path: Path
) -> None:
    """Once: that of a product which gets one by an addition goes into it."""
    nodes = [helper.make_node(product[0], product[1:], ["c"]), *between, norm("d" if between else "c", "y")]
    save(tmp_path / "x.onnx", nodes, weights(m=(6, 8), q=(8,), **NORM), {"x": [1, 6]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert [layer.operator for layer in graph.layers] == product[:1]
    assert graph.params == 6 * 8 + 8


def test_a_batch_norm_of_steps_or_of_pixels_is_no_part_of_the_layer_before_it(tmp_path: Path) -> None:
    rows = [helper.make_node("MatMul", ["x", "m"], ["c"]), norm("c", "y")]
    save(tmp_path / "x.onnx", rows, weights(m=(6, 5), **NORM), {"x": [1, 8, 6]})
    flat = [CONV, helper.make_node("Flatten", ["c"], ["f"]), norm("f", "y")]
    save(tmp_path / "y.onnx", flat, weights(w=(2, 3, 1, 1), **NORM), {"x": [1, 3, 2, 2]})
    for name, params in (("x", 6 * 5), ("y", 2 * 3 + 2)):
        graph = read_onnx(tmp_path / f"{name}.onnx")
        assert [layer.operator for layer in graph.layers][-1] == "BatchNormalization"
        assert graph.params == params + 2 * 8


def test_branches_may_share_names(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info("d", TensorProto.FLOAT, None)]
    part = [CONV, helper.make_node("Relu", ["c"], ["d"])]
    branches = [helper.make_graph(part, name, [], ends) for name in ("then", "else")]
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(8, 8, 1, 1)), {"x": [1, 8, 6, 6]})
    assert [layer.operator for layer in read_onnx(tmp_path / "x.onnx").layers] == ["ReduceMax", "Cast", "Conv"]
