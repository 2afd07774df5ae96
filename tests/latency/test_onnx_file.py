"""What is refused before work begins, and how the shapes of several inputs are settled."""

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from evo_fair.errors import EvoFairError
from evo_fair.latency.onnx_file import Inputs, InputShapeError, open_onnx, settle
from evo_fair.latency.onnx_graph import read_onnx

from .onnx_zoo import save, weights

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def function(name: str, *calls: str) -> onnx.FunctionProto:
    steps = ["a", *(f"t{i}" for i in range(1, len(calls))), "b"]
    nodes = [
        helper.make_node(call, [steps[i]], [steps[i + 1]], domain="own" if call != "Relu" else "")
        for i, call in enumerate(calls)
    ]
    return helper.make_function("own", name, ["a"], ["b"], nodes, OPSETS)


def with_functions(path: Path, *functions: onnx.FunctionProto) -> Path:
    nodes = [helper.make_node(functions[-1].name, ["x"], ["y"], domain="own")]
    save(path, nodes, [], {"x": [1, 3, 8, 8]}, functions=functions)
    return path


@pytest.mark.parametrize("names", [("F",), ("F", "G"), ("F", "G", "H")])
def test_functions_that_call_themselves_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    circle = [function(name, names[(i + 1) % len(names)]) for i, name in enumerate(names)]
    with pytest.raises(EvoFairError, match=r"a function '[FGH]' that calls itself"):
        read_onnx(with_functions(tmp_path / "x.onnx", *circle))


def test_functions_that_double_are_refused_before_they_are_expanded(tmp_path: Path) -> None:
    doubling = [function("F0", "Relu", "Relu"), *(function(f"F{i}", f"F{i - 1}", f"F{i - 1}") for i in range(1, 40))]
    path = with_functions(tmp_path / "x.onnx", *doubling)
    begun = time.perf_counter()
    with pytest.raises(EvoFairError, match=r"has 32,768 nodes, functions expanded, and up to 20,000 are read"):
        read_onnx(path)
    assert time.perf_counter() - begun < 1
    assert len(read_onnx(with_functions(path, *doubling[:5])).layers) == 32


def test_functions_that_repeat_large_constants_are_refused(tmp_path: Path) -> None:
    value = onnx.numpy_helper.from_array(np.zeros(2**18, np.float32))
    nodes = [helper.make_node("Constant", [], ["c"], value=value), helper.make_node("Identity", ["a"], ["b"])]
    big = helper.make_function("own", "F0", ["a"], ["b"], nodes, OPSETS)
    many = [big, *(function(f"F{i}", *[f"F{i - 1}"] * 16) for i in range(1, 3))]
    with pytest.raises(EvoFairError, match=r"has functions of 26\d,\d{3},\d{3} bytes, expanded"):
        read_onnx(with_functions(tmp_path / "x.onnx", *many))


@pytest.mark.parametrize("name", [b"weight_of_conv", b"hidden_tensor", b"node_name_here", b"own_function"])
def test_bytes_where_text_belongs_are_refused(name: bytes, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "weight_of_conv"], ["hidden_tensor"], name="node_name_here"),
        helper.make_node("own_function", ["hidden_tensor"], ["y"], domain="own"),
    ]
    save(tmp_path / "x.onnx", nodes, weights(weight_of_conv=(3, 3, 1, 1)), {"x": [1, 3, 8, 8]})
    content = (tmp_path / "x.onnx").read_bytes()
    (tmp_path / "x.onnx").write_bytes(content.replace(name, b"\xff\xfe" + name[2:]))
    with pytest.raises(EvoFairError, match="has bytes where text belongs, export it again"):
        read_onnx(tmp_path / "x.onnx")


def test_branches_in_one_another_are_refused(tmp_path: Path) -> None:
    def nested(depth: int) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"o{depth}", 1, None)
        if not depth:
            return helper.make_graph([helper.make_node("Relu", ["x"], ["o0"])], "g", [], [out])
        inner = nested(depth - 1)
        node = helper.make_node("If", ["c"], [f"o{depth}"], then_branch=inner, else_branch=inner)
        return helper.make_graph([node], "g", [], [out])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=9),
        *nested(14).node,
    ]
    nodes.append(helper.make_node("Identity", ["o14"], ["y"]))
    save(tmp_path / "x.onnx", nodes, [], {"x": [1, 3, 8, 8]})
    begun = time.perf_counter()
    with pytest.raises(EvoFairError, match=r"has 32,77\d nodes"):
        read_onnx(tmp_path / "x.onnx")
    assert time.perf_counter() - begun < 10


def inputs_of(
    path: Path, inputs: dict[str, list[int | str]], wanted: dict[str, tuple[int, ...]] | tuple[int, ...] | None
) -> Inputs:
    nodes = [helper.make_node("Identity", [next(iter(inputs))], ["y"])]
    save(path, nodes, [], inputs)
    return settle(open_onnx(path), wanted)


def test_a_scalar_needs_no_shape_and_the_shape_is_that_of_the_first_tensor(tmp_path: Path) -> None:
    found = inputs_of(tmp_path / "x.onnx", {"t": [], "x": [1, 3, "H", "W"]}, (1, 3, 32, 32))
    assert found.shapes == {"t": (), "x": (1, 3, 32, 32)}
    assert found.main == "x"


def test_sizes_of_one_name_are_given_once(tmp_path: Path) -> None:
    sizes: dict[str, list[int | str]] = {"left": ["N", 3, "H", "W"], "right": ["N", 3, "H", "W"]}
    assert inputs_of(tmp_path / "x.onnx", sizes, (1, 3, 64, 32)).shapes["right"] == (1, 3, 64, 32)
    assert inputs_of(tmp_path / "x.onnx", sizes, {"right": (2, 3, 64, 32)}).shapes["left"] == (2, 3, 64, 32)


def test_an_input_that_nothing_settles_is_asked_for_by_name(tmp_path: Path) -> None:
    sizes: dict[str, list[int | str]] = {"left": ["N", 3, "H", "W"], "right": ["N", 3, "P", "Q"]}
    with pytest.raises(
        InputShapeError, match=r"'right' of dynamic shape \(1, 3, P, Q\): give --input-shape, such as right="
    ):
        inputs_of(tmp_path / "x.onnx", sizes, (1, 3, 64, 64))
    found = inputs_of(tmp_path / "x.onnx", sizes, {"": (1, 3, 64, 64), "right": (1, 3, 32, 16)})
    assert found.shapes == {"left": (1, 3, 64, 64), "right": (1, 3, 32, 16)}


def test_an_unknown_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputShapeError, match=r"names the input 'z': .* has the inputs 'x'"):
        inputs_of(tmp_path / "x.onnx", {"x": [1, 3]}, {"z": (1, 3)})


def two(path: Path, a: list[int | str], b: list[int | str]) -> Path:
    nodes = [helper.make_node("MatMul", ["a", "w"], ["c"]), helper.make_node("MatMul", ["b", "w"], ["d"])]
    nodes.append(helper.make_node("Concat", ["c", "d"], ["y"], axis=0))
    save(path, nodes, weights(w=(16, 4)), {"a": a, "b": b})
    return path


def test_an_open_axis_of_another_name_is_asked_for(tmp_path: Path) -> None:
    for number, first in enumerate(([3, 16], ["N", 16])):
        path = two(tmp_path / f"{number}.onnx", first, ["points", 16])
        given = {} if number == 0 else {"a": (3, 16)}
        with pytest.raises(InputShapeError, match=r"an input 'b' of dynamic shape \(points, 16\): .* such as b=16,16"):
            read_onnx(path, given or None)
        assert read_onnx(path, {**given, "b": (7, 16)}).macs == (3 + 7) * 16 * 4


def test_a_size_given_by_the_other_input_of_its_name_is_no_free_batch(tmp_path: Path) -> None:
    graph = read_onnx(two(tmp_path / "x.onnx", ["N", 16], ["N", 16]), {"b": (4, 16)})
    assert dict(graph.inputs) == {"a": (4, 16), "b": (4, 16)}


def test_a_shape_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = two(tmp_path / "x.onnx", ["N", 16], ["N", 16])
    with pytest.raises(InputShapeError, match="gives the shape of 'a' twice"):
        read_onnx(path, {"": (2, 16), "a": (3, 16)})
