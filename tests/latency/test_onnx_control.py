"""The bodies of If, Loop and Scan are counted, or named as not in the total."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.latency.onnx_file import InputShapeError
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx

from .onnx_zoo import ZOO, integers, save, weights


def value(name: str, shape: list[int] | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def branch(name: str, *weights_of: str) -> onnx.GraphProto:
    """Products of the captured `x` with weights, one after another."""
    steps = ["x", *(f"{name}{i}" for i in range(len(weights_of)))]
    nodes = [helper.make_node("MatMul", [steps[i], w], [steps[i + 1]]) for i, w in enumerate(weights_of)]
    if not nodes:
        nodes, steps = [helper.make_node("Identity", ["x"], [f"{name}0"])], ["x", f"{name}0"]
    return helper.make_graph(nodes, name, [], [value(steps[-1], None)])


def condition(
    path: Path, nodes: list[onnx.NodeProto], then: tuple[str, ...], otherwise: tuple[str, ...]
) -> GraphLayers:
    choice = helper.make_node("If", ["c"], ["z"], then_branch=branch("t", *then), else_branch=branch("e", *otherwise))
    after = helper.make_node("MatMul", ["z", "v"], ["y"])
    save(path, [*nodes, choice, after], weights(w=(8, 8), v=(8, 2)), {"x": [1, 8]})
    return read_onnx(path)


def test_a_branch_that_shapes_decide_is_the_one_that_counts(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["eight"], value=numpy_helper.from_array(np.array([1, 8]))),
        helper.make_node("Equal", ["s", "eight"], ["q"]),
        helper.make_node("Cast", ["q"], ["i"], to=TensorProto.INT64),
        helper.make_node("ReduceMin", ["i"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
    ]
    graph = condition(tmp_path / "x.onnx", nodes, ("w", "w"), ())
    assert graph.macs == 2 * 64 + 16
    assert graph.unknown == ()


def test_a_branch_that_data_decide_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
    ]
    for then, otherwise in ((("w", "w"), ("w",)), (("w",), ("w", "w"))):
        graph = condition(tmp_path / "x.onnx", nodes, then, otherwise)
        assert graph.macs == 64 + 16  # the least
        assert graph.macs_at_least
        assert [(u.operator, u.reason[:22]) for u in graph.unknown] == [("If", "the data decide which ")]


def looped(path: Path, count: str, *, grows: bool = False, stops: bool = False) -> GraphLayers:
    """`h = h @ captured` in a loop, where `captured` depends on the input."""
    nodes = [
        helper.make_node("MatMul", ["h", "captured"], ["m"]),
        helper.make_node(
            "Concat" if grows else "Identity", ["m", "m"] if grows else ["m"], ["g"], **({"axis": 0} if grows else {})
        ),
    ]
    if stops:
        nodes += [
            helper.make_node("ReduceMax", ["m"], ["r"], keepdims=0),
            helper.make_node("Cast", ["r"], ["on"], to=TensorProto.BOOL),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["go"], ["on"]))
    starts = [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("h", None)]
    body = helper.make_graph(nodes, "body", starts, [value("on", [], TensorProto.BOOL), value("g", None)])
    outer = [
        helper.make_node("MatMul", ["x", "w"], ["captured"]),
        helper.make_node("ReduceSum", ["x"], ["r0"], keepdims=0),
        helper.make_node("Cast", ["r0"], ["by_data"], to=TensorProto.INT64),
        helper.make_node("Loop", [count, "", "w"], ["y"], body=body),
    ]
    save(path, outer, [*weights(w=(4, 4)), *integers(ten=10, none=0)], {"x": [4, 4]})
    return read_onnx(path)


def test_a_loop_counts_as_often_as_it_runs(tmp_path: Path) -> None:
    graph = looped(tmp_path / "x.onnx", "ten")
    assert graph.macs == 11 * 64
    assert graph.unknown == ()
    assert [(s.operator, s.macs) for s in graph.stand_ins] == [("Loop", 640)]
    assert looped(tmp_path / "x.onnx", "none").macs == 64


@pytest.mark.parametrize(
    ("count", "options", "reason"),
    [
        ("by_data", {}, "the data decide how often"),
        ("ten", {"stops": True}, "the data decide how often"),
        ("ten", {"grows": True}, "its tensors grow"),
    ],
)
def test_a_loop_whose_work_is_not_known_is_named(
    count: str, options: dict[str, bool], reason: str, tmp_path: Path
) -> None:
    graph = looped(tmp_path / "x.onnx", count, **options)
    assert graph.macs == 64 + 64
    assert graph.macs_at_least
    assert graph.unknown[0].operator == "Loop"
    assert graph.unknown[0].reason.startswith(reason)


def test_what_follows_a_squeeze_of_a_free_axis_is_counted(tmp_path: Path) -> None:
    """torch exports it as an If without data inputs, whose branches take the data from outside."""
    shapes = ZOO["squeeze-free-torch-17"](tmp_path / "x.onnx")
    assert "If" in {node.op_type for node in onnx.load(tmp_path / "x.onnx").graph.node}
    graph = read_onnx(tmp_path / "x.onnx", shapes)
    assert graph.macs == 16 * 120 * 60 + 32 * 16 * 5 * 56 + 32 * 12
    assert graph.params == 16 * 121 + 32 * 81 + 33 * 12
    assert graph.unknown == ()


def test_a_scan_counts_its_steps(tmp_path: Path) -> None:
    ZOO["scan-over-steps"](tmp_path / "x.onnx")
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.macs == 20 * 64
    assert graph.layers[0].repeats == 20


def test_what_a_body_does_to_an_outer_tensor_takes_time(tmp_path: Path) -> None:
    """An activation in the body of a loop does not join the convolution outside of it."""
    starts = [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL)]
    nodes = [helper.make_node("Relu", ["c"], ["r"]), helper.make_node("Identity", ["go"], ["on"])]
    body = helper.make_graph(nodes, "body", starts, [value("on", [], TensorProto.BOOL), value("r", None)])
    outer = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Loop", ["ten", ""], ["y"], body=body)]
    save(tmp_path / "x.onnx", outer, [*weights(w=(4, 3, 1, 1)), *integers(ten=10)], {"x": [1, 3, 4, 4]})
    layers = read_onnx(tmp_path / "x.onnx").layers
    assert [(layer.operator, layer.repeats) for layer in layers] == [("Conv", 1), ("Relu", 10)]


def scanned(path: Path, axis: int, sizes: list[int | str]) -> Path:
    step = [1, 8]
    body = helper.make_graph(
        [helper.make_node("MatMul", ["step", "w"], ["out"])],
        "body",
        [value("step", None)],
        [value("out", None)],
    )
    node = helper.make_node("Scan", ["x"], ["y"], num_scan_inputs=1, body=body, scan_input_axes=[axis])
    save(path, [node], weights(w=(step[1], step[1])), {"x": sizes})
    return path


def test_what_a_scan_steps_along_is_no_batch(tmp_path: Path) -> None:
    with pytest.raises(InputShapeError, match="nothing shows that it is a batch"):
        read_onnx(scanned(tmp_path / "x.onnx", 0, ["t", 2, 8]))
    graph = read_onnx(scanned(tmp_path / "x.onnx", 1, ["n", 6, 8]))
    assert graph.batch == 1
    assert graph.macs == 6 * 64


def test_a_condition_that_is_a_copy_of_itself_ends(tmp_path: Path) -> None:
    """Names that are given twice are against the standard, and make a circle of copies."""
    starts = [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL)]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Identity", ["go"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["a"]),
    ]
    body = helper.make_graph(nodes, "body", starts, [value("a", [], TensorProto.BOOL), value("r", None)])
    loop = helper.make_node("Loop", ["ten", ""], ["y"], body=body)
    save(tmp_path / "x.onnx", [loop], integers(ten=10), {"x": [1, 3, 4, 4]})
    assert read_onnx(tmp_path / "x.onnx").unknown[0].reason.startswith("the data decide how often")


def test_loops_that_never_end_are_refused(tmp_path: Path) -> None:
    starts = [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL)]
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Identity", ["go"], ["on"])]
    body = helper.make_graph(nodes, "body", starts, [value("on", [], TensorProto.BOOL), value("r", None)])
    loop = helper.make_node("Loop", ["many", ""], ["y"], body=body)
    save(tmp_path / "x.onnx", [loop], integers(many=2**62), {"x": [1, 3, 4, 4]})
    with pytest.raises(InputShapeError, match=r"its body runs more than 1e\+15 times"):
        read_onnx(tmp_path / "x.onnx")
