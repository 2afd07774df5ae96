"""Shapes and small constants are computed, large ones never."""

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.latency.onnx_file import InputShapeError
from evo_fair.latency.onnx_graph import read_onnx

from .onnx_zoo import integers, save, weights


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_shape_arithmetic_is_computed_in_every_opset(opset: int, tmp_path: Path) -> None:
    """The halves of a width, padded to an even one: Shape, Gather, Div, Mul, Sub, Unsqueeze, Concat, Slice."""
    before_13 = opset < 13
    axes = {"axes": [0]} if before_13 else {}
    extra = [] if before_13 else ["first"]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "three"], ["width"], axis=0),
        helper.make_node("Div", ["width", "two"], ["half"]),
        helper.make_node("Mul", ["half", "two"], ["even"]),
        helper.make_node("Unsqueeze", ["even", *extra], ["end"], **axes),
        helper.make_node("Concat", ["one", "channels", "minus", "end"], ["target"], axis=0),
        helper.make_node("Expand", ["grid", "target2"], ["unused"]),
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Reshape", ["c", "target"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["y"]),
    ]
    constants = [
        *weights(w=(8, 3, 1, 1), v=(2, 4, 1, 1), grid=(1, 1)),
        *integers(three=3, two=2, first=[0], one=[1], channels=[4], minus=[-1], target2=[2, 2]),
    ]
    save(tmp_path / "x.onnx", nodes, constants, {"x": ["N", 3, 10, 16]}, opset=opset)
    graph = read_onnx(tmp_path / "x.onnx", (1, 3, 10, 16))
    assert graph.macs == 8 * 3 * 160 + 2 * 4 * 320
    assert graph.unknown == ()


def test_a_reshape_that_loses_values_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    save(tmp_path / "x.onnx", [node], integers(s=[1, 50]), {"x": [1, 9, 4]})
    with pytest.raises(InputShapeError, match="1x9x4 values can't take the shape 1x50"):
        read_onnx(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("ConstantOfShape", ["large"], ["k"])],
        [
            helper.make_node("Range", ["zero", "many", "one"], ["r"]),
            helper.make_node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Expand", ["f", "large"], ["k"]),
        ],
        [helper.make_node("Tile", ["w", "large"], ["k"])],
    ],
)
def test_large_constants_are_not_computed(nodes: list[object], tmp_path: Path) -> None:
    constants = [*weights(w=(1, 1)), *integers(large=[2**15, 2**15], zero=0, one=1, many=2**15)]
    end = helper.make_node("MatMul", ["x", "k"], ["y"])
    save(tmp_path / "x.onnx", [*nodes, end], constants, {"x": [1, 2**15]})  # type: ignore[list-item]
    read_onnx(tmp_path / "x.onnx")
    begun = time.perf_counter()
    tracemalloc.start()
    graph = read_onnx(tmp_path / "x.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert graph.macs == 2**30
    assert graph.made_values >= 2**30
    assert peak < 2**24
    assert time.perf_counter() - begun < 2


def test_a_tensor_that_no_machine_holds_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["large"], ["k"]),
        helper.make_node("MatMul", ["x", "k"], ["y"]),
    ]
    save(tmp_path / "x.onnx", nodes, integers(large=[2**30, 2**30]), {"x": [1, 2**20]})
    with pytest.raises(InputShapeError, match=r"it makes a tensor of 1\.2e\+18 values"):
        read_onnx(tmp_path / "x.onnx")


def test_a_constant_whose_bytes_are_lacking_is_refused(tmp_path: Path) -> None:
    broken = numpy_helper.from_array(np.zeros(4, np.int64), "s")
    broken.raw_data = broken.raw_data[:9]
    save(tmp_path / "x.onnx", [helper.make_node("Reshape", ["x", "s"], ["y"])], [broken], {"x": [1, 9]})
    with pytest.raises(Exception, match="constant 's' is damaged"):
        read_onnx(tmp_path / "x.onnx")


def test_what_is_drawn_at_random_is_no_constant(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["n"], shape=[1, 8, 4, 4], dtype=TensorProto.FLOAT),
        helper.make_node("Conv", ["n", "w"], ["c"]),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(8, 8, 1, 1)), {"x": [1, 8, 4, 4]})
    assert [layer.operator for layer in read_onnx(tmp_path / "x.onnx").layers] == ["RandomNormal", "Conv", "Add"]


def test_a_spectrum_is_onesided_unless_told_otherwise(tmp_path: Path) -> None:
    constants = [numpy_helper.from_array(np.array(n, np.int64), name) for name, n in (("step", 10), ("length", 20))]
    constants += weights(w=(11, 4))
    for number, (options, bins) in enumerate((({}, 11), ({"onesided": 1}, 11))):
        nodes = [
            helper.make_node("STFT", ["x", "step", "", "length"], ["s"], **options),
            helper.make_node("ReduceSum", ["s", "last"], ["r"], keepdims=0),
            helper.make_node("MatMul", ["r", "w"], ["y"]),
        ]
        path = tmp_path / f"{number}.onnx"
        save(path, nodes, [*constants, *integers(last=[-1])], {"x": [1, 100, 1]})
        assert read_onnx(path).macs == 9 * bins * 4
