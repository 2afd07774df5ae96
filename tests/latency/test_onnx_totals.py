"""Totals of graphs that are no plain chains: shared weights, several inputs, branches that meet, loops in loops."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict

C = 8
"""Channels of every convolution here, of 3x3 and on 16x16."""
MACS, WEIGHTS = 9 * C * C * 16 * 16, 9 * C * C + C  # with a bias, as deployed
ROW = (1, C, C, 3, 1, 1, 16, 16)
SHAPE = (1, C, 16, 16)


def weight(name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones((C, C, 3, 3), np.float32), name)


def conv(source: str, kernel: str, out: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, kernel], [out], name=out, pads=[1, 1, 1, 1])


def entry(name: str, shape: Sequence[int] | None = SHAPE) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], output: str, tensors: Sequence[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [entry(name) for name in inputs], [entry(output, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def loop(body: Sequence[onnx.NodeProto], start: str, out: str, trips: str, number: int) -> onnx.NodeProto:
    """Runs `body`, from `s<number>` to `e<number>`, as often as `trips` says."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"c{number}"], [f"on{number}"]), *body],
        f"body{number}",
        [
            helper.make_tensor_value_info(f"i{number}", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"c{number}", TensorProto.BOOL, []),
            entry(f"s{number}"),
        ],
        [helper.make_tensor_value_info(f"on{number}", TensorProto.BOOL, []), entry(f"e{number}")],
    )
    return helper.make_node("Loop", [trips, "", start], [out], body=graph, name=f"loop{number}")


def times(name: str, value: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, np.int64), name)


def shared_weights() -> onnx.ModelProto:
    """One kernel that three convolutions use."""
    nodes = [conv("x", "w", "a"), conv("a", "w", "b"), conv("b", "w", "y")]
    return model(nodes, ["x"], "y", [weight("w")])


def shared_by_name() -> onnx.ModelProto:
    """One kernel under two names, as `Identity` gives them."""
    nodes = [helper.make_node("Identity", ["w"], ["v"]), conv("x", "w", "a"), conv("a", "v", "y")]
    return model(nodes, ["x"], "y", [weight("w")])


def two_inputs() -> onnx.ModelProto:
    """Two branches of an input each, with shared weights, that are joined and go on."""
    nodes = [
        conv("left", "w", "a"),
        conv("right", "w", "b"),
        helper.make_node("Sum", ["a", "b"], ["c"], name="c"),
        conv("c", "v", "y"),
    ]
    return model(nodes, ["left", "right"], "y", [weight("w"), weight("v")])


def branches_of_one() -> onnx.ModelProto:
    """A tensor that three layers read, of which the first is read again far behind."""
    nodes = [
        conv("x", "w", "a"),
        conv("a", "v", "b"),
        conv("a", "u", "c"),
        helper.make_node("Add", ["b", "c"], ["d"], name="d"),
        helper.make_node("Add", ["d", "a"], ["y"], name="y"),
    ]
    return model(nodes, ["x"], "y", [weight("w"), weight("v"), weight("u")])


def loops_in_loops() -> onnx.ModelProto:
    """A convolution in a loop of 3 that runs 4 times, another beside the inner loop, a third behind all."""
    inner = loop([conv("s2", "w", "e2")], "m", "e1", "three", 2)
    outer = loop([conv("s1", "v", "m"), inner], "x", "z", "four", 1)
    return model(
        [outer, conv("z", "w", "y")], ["x"], "y", [weight("w"), weight("v"), times("three", 3), times("four", 4)]
    )


CASES = [
    (shared_weights, 3, 1, 0),
    (shared_by_name, 2, 1, 0),
    (two_inputs, 3, 2, 1),
    (branches_of_one, 3, 3, 2),
    (loops_in_loops, 4 * 3 + 4 + 1, 2, 0),
]


@pytest.mark.parametrize(("build", "convolutions", "kernels", "sums"), CASES, ids=[case[0].__name__ for case in CASES])
def test_totals_count_each_run_and_each_weight_once(
    build: Callable[[], onnx.ModelProto], convolutions: int, kernels: int, sums: int, tmp_path: Path
) -> None:
    onnx.save(build(), tmp_path / "x.onnx")
    profile = load_profile("raspberry-pi-4-pooled")
    prediction = predict(read_onnx(tmp_path / "x.onnx"), profile)
    table = np.array([[ROW] * convolutions + [(6, C, C, 1, 1, 1, 16, 16)] * sums], np.int32)
    assert prediction.graph.unknown == ()
    assert prediction.macs == convolutions * MACS
    assert prediction.params == kernels * WEIGHTS
    assert prediction.latency_ms == pytest.approx(profile.latency_ms(table)[0])
    assert prediction.interval_ms == pytest.approx([ends[0] for ends in profile.interval_ms(table)])
