"""Totals of graphs that are no plain chains: shared weights, several inputs, branches that meet, loops in loops."""

import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.errors import EvoFairError
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.layers import macs

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
    if not prediction.graph.time_at_least:
        assert prediction.interval_ms == pytest.approx([ends[0] for ends in profile.interval_ms(table)])


# Weights that reach a layer by another way than as an initializer of their own

BIASED, BARE = WEIGHTS, 9 * C * C
SUM_ROW, ACT_ROW = (6, C, C, 1, 1, 1, 16, 16), (8, C, C, 1, 1, 1, 16, 16)


class Totals(NamedTuple):
    """A graph, the layers that it runs, and its parameters."""

    build: Callable[[], onnx.ModelProto]
    rows: list[tuple[int, ...]]
    params: int


def tensor(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def whole(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def turned_and_flat() -> onnx.ModelProto:
    """One kernel as it is, turned, and flat and back."""
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0, 2, 3]),
        helper.make_node("Reshape", ["w", "line"], ["l"]),
        helper.make_node("Reshape", ["l", "square"], ["v"]),
        conv("x", "w", "a"),
        conv("a", "t", "b"),
        conv("b", "v", "y"),
    ]
    return model(nodes, ["x"], "y", [weight("w"), whole("line", -1), whole("square", C, C, 3, 3)])


def biases_of_their_own() -> onnx.ModelProto:
    """One kernel in three convolutions, of which two have a bias in common."""
    nodes = [
        helper.make_node("Conv", [source, "w", bias], [out], pads=[1, 1, 1, 1])
        for source, bias, out in (("x", "p", "a"), ("a", "q", "b"), ("b", "q", "y"))
    ]
    return model(nodes, ["x"], "y", [weight("w"), tensor("p", C), tensor("q", C)])


def cut_and_joined() -> onnx.ModelProto:
    """Two kernels cut from one tensor, and joined again for a third convolution."""
    nodes = [
        helper.make_node("Split", ["w"], ["p", "q"], axis=1),
        helper.make_node("Concat", ["p", "q"], ["v"], axis=1),
        conv("x", "p", "a"),
        conv("a", "q", "b"),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        conv("c", "v", "y"),
    ]
    return model(nodes, ["x"], "y", [tensor("w", C, 2 * C, 3, 3)])


def constant_in_a_function() -> onnx.ModelProto:
    """A function that holds its kernel, called twice."""
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    body = [helper.make_node("Constant", [], ["w"], value=weight("w")), conv("a", "w", "b")]
    calls = [
        helper.make_node("Layer", ["x"], ["m"], domain="own"),
        helper.make_node("Layer", ["m"], ["y"], domain="own"),
    ]
    made = model(calls, ["x"], "y", [])
    made.functions.append(helper.make_function("own", "Layer", ["a"], ["b"], body, domains))
    made.opset_import.append(domains[1])
    return made


def carried_by_a_loop() -> onnx.ModelProto:
    """A kernel that a loop hands on from pass to pass as it is."""
    body = [conv("s", "k", "e"), helper.make_node("Identity", ["k"], ["l"]), helper.make_node("Identity", ["c"], ["d"])]
    flag = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in "cd"]
    kernel = [entry(name, (C, C, 3, 3)) for name in "kl"]
    counter = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    graph = helper.make_graph(body, "body", [counter, flag[0], entry("s"), kernel[0]], [flag[1], entry("e"), kernel[1]])
    node = helper.make_node("Loop", ["three", "", "x", "w"], ["y", "z"], body=graph)
    return model([node], ["x"], "y", [weight("w"), times("three", 3)])


def scanned_kernels() -> onnx.ModelProto:
    """Four layers as one body that steps over their kernels and biases."""
    body = [helper.make_node("Conv", ["s", "k", "p"], ["e"], pads=[1, 1, 1, 1])]
    given = [entry("s"), entry("k", (C, C, 3, 3)), entry("p", (C,))]
    graph = helper.make_graph(body, "body", given, [entry("e")])
    node = helper.make_node("Scan", ["x", "w", "b"], ["y"], body=graph, num_scan_inputs=2)
    return model([node], ["x"], "y", [tensor("w", 4, C, C, 3, 3), tensor("b", 4, C)])


def kernel_that_is_computed() -> onnx.ModelProto:
    """A kernel that another input decides."""
    nodes = [
        helper.make_node("MatMul", ["z", "m"], ["k"]),
        helper.make_node("Reshape", ["k", "square"], ["w"]),
        conv("x", "w", "y"),
    ]
    made = model(nodes, ["x"], "y", [tensor("m", 4, BARE), whole("square", C, C, 3, 3)])
    made.graph.input.append(entry("z", (1, 4)))
    return made


def convolution_over_steps() -> onnx.ModelProto:
    """A recurrent convolution: a scan over five images whose body has two."""
    body = [conv("s", "w", "p"), conv("n", "v", "q"), helper.make_node("Add", ["p", "q"], ["e"])]
    graph = helper.make_graph(body, "body", [entry("s"), entry("n")], [entry("e")])
    node = helper.make_node("Scan", ["x", "steps"], ["y"], body=graph, num_scan_inputs=1)
    made = model([node], ["x"], "y", [weight("w"), weight("v")])
    made.graph.input.append(entry("steps", (5, *SHAPE)))
    return made


def head_that_is_read_on() -> onnx.ModelProto:
    """A convolution that is an output and is activated for another: it can't join that activation."""
    nodes = [conv("x", "w", "a"), helper.make_node("Relu", ["a"], ["b"]), conv("b", "v", "y")]
    made = model(nodes, ["x"], "y", [weight("w"), weight("v")])
    made.graph.output.append(entry("a", None))
    return made


WAYS = [
    Totals(turned_and_flat, [ROW] * 3, BIASED),
    Totals(biases_of_their_own, [ROW] * 3, BARE + 2 * C),
    Totals(cut_and_joined, [ROW] * 2 + [(*ACT_ROW[:1], 2 * C, 2 * C, *ACT_ROW[3:]), (1, 2 * C, *ROW[2:])], 2 * BIASED),
    Totals(constant_in_a_function, [ROW] * 2, BIASED),
    Totals(carried_by_a_loop, [ROW] * 3, BIASED),
    Totals(scanned_kernels, [ROW] * 4, 4 * BIASED),
    Totals(kernel_that_is_computed, [(3, 4, BARE, 1, 1, 1, 1, 1), ROW], 4 * BARE),
    Totals(convolution_over_steps, ([ROW] * 2 + [SUM_ROW]) * 5, 2 * BIASED),
    Totals(head_that_is_read_on, [ROW, ACT_ROW, ROW], 2 * BIASED),
]


@pytest.mark.parametrize("case", WAYS, ids=[case.build.__name__ for case in WAYS])
def test_totals_follow_weights_whichever_way_they_come(case: Totals, tmp_path: Path) -> None:
    onnx.save(case.build(), tmp_path / "x.onnx")
    profile = load_profile("raspberry-pi-4")
    prediction = predict(read_onnx(tmp_path / "x.onnx"), profile)
    table = np.array([case.rows], np.int32)
    assert prediction.graph.unknown == ()
    assert prediction.macs == macs(table)[0]
    assert prediction.params == case.params
    assert prediction.latency_ms == pytest.approx(profile.latency_ms(table)[0])


def test_a_function_s_branches_hold_their_kernel_once(tmp_path: Path) -> None:
    """Called twice, with a constant in a branch that the data decide on."""
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    held = [helper.make_node("Constant", [], ["w"], value=weight("w")), conv("a", "w", "p")]
    branches = {
        "then_branch": helper.make_graph(held, "then", [], [entry("p")]),
        "else_branch": helper.make_graph([helper.make_node("Identity", ["a"], ["q"])], "else", [], [entry("q")]),
    }
    choice = helper.make_node("If", ["f"], ["b"], **branches)
    calls = [helper.make_node("Layer", [one, "f"], [other], domain="own") for one, other in (("x", "m"), ("m", "n"))]
    made = model([*calls, conv("n", "v", "y")], ["x"], "y", [weight("v")])
    made.graph.input.append(helper.make_tensor_value_info("f", TensorProto.BOOL, []))
    made.functions.append(helper.make_function("own", "Layer", ["a", "f"], ["b"], [choice], domains))
    made.opset_import.append(domains[1])
    onnx.save(made, tmp_path / "x.onnx")
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.macs == MACS
    assert graph.macs_at_least
    assert graph.params == 2 * WEIGHTS


def test_parameters_of_both_branches_count(tmp_path: Path) -> None:
    """The data decide which one runs; both are stored. What they share, and what is read behind, counts once."""
    flag = [helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0), helper.make_node("Cast", ["m"], ["f"], to=9)]
    light = helper.make_graph([conv("x", "w", "p")], "then", [], [entry("p")])
    heavy = helper.make_graph([conv("x", "w", "q"), conv("q", "v", "r")], "else", [], [entry("r")])
    for then, otherwise in ((light, heavy), (heavy, light)):
        choice = helper.make_node("If", ["f"], ["h"], then_branch=then, else_branch=otherwise)
        made = model([*flag, choice, conv("h", "u", "y")], ["x"], "y", [weight("w"), weight("v"), weight("u")])
        onnx.save(made, tmp_path / "x.onnx")
        graph = read_onnx(tmp_path / "x.onnx")
        assert graph.macs == 2 * MACS
        assert graph.macs_at_least
        assert graph.params == 3 * WEIGHTS


def state_of_zeros(path: Path) -> None:
    """A step of a recurrent cell from a state of zeros, as many as there are samples: x w + 0 v, then again by v."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], end=1),
        helper.make_node("Concat", ["s", "n"], ["size"], axis=0),
        helper.make_node("ConstantOfShape", ["size"], ["h0"]),
        helper.make_node("MatMul", ["h0", "v"], ["hv"]),
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["xw", "hv"], ["a"]),
        helper.make_node("Tanh", ["a"], ["h1"]),
        helper.make_node("MatMul", ["h1", "v"], ["y"]),
    ]
    tensors = [tensor("w", 8, 16), tensor("v", 16, 16), whole("n", 16)]
    graph = helper.make_graph(nodes, "g", [entry("x", ["N", 8])], [entry("y", None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def token_for_each_sample(path: Path) -> None:
    """A learned token, repeated for each sample, before the others."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], end=1),
        helper.make_node("Concat", ["s", "n"], ["size"], axis=0),
        helper.make_node("Expand", ["token", "size"], ["t"]),
        helper.make_node("Concat", ["t", "x"], ["j"], axis=1),
        helper.make_node("MatMul", ["j", "w"], ["y"]),
    ]
    tensors = [tensor("token", 1, 1, 8), tensor("w", 8, 4), whole("n", 1, 8)]
    graph = helper.make_graph(nodes, "g", [entry("x", ["N", 5, 8])], [entry("y", None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    ("build", "shape", "params"),
    [(state_of_zeros, (8,), 8 * 16 + 16 * 16 + 16), (token_for_each_sample, (5, 8), 8 + 8 * 4)],
)
def test_a_network_has_as_many_parameters_however_many_samples_it_gets(
    build: Callable[[Path], None], shape: tuple[int, ...], params: int, tmp_path: Path
) -> None:
    build(tmp_path / "x.onnx")
    found = {samples: read_onnx(tmp_path / "x.onnx", (samples, *shape)).params for samples in (1, 2, 64)}
    assert len(set(found.values())) == 1
    assert found[1] <= params


def test_a_constant_that_is_joined_with_itself_often_is_read_at_once(tmp_path: Path) -> None:
    names = ["w", *(f"j{i}" for i in range(40))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    nodes.append(helper.make_node("Slice", [names[-1], "from", "to"], ["one"]))
    nodes.append(helper.make_node("Add", ["x", "one"], ["y"]))
    tensors = [tensor("w", 3), whole("from", 0), whole("to", 3)]
    graph = helper.make_graph(nodes, "g", [entry("x", [1, 3])], [entry("y", None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == 3


def test_peepholes_are_parameters_and_an_addition_is_the_bias_of_a_convolution_of_integers(tmp_path: Path) -> None:
    shapes = [(1, 64, 8), (1, 64, 16), (1, 128)]
    tensors = [tensor(name, *size) for name, size in zip("wrb", shapes, strict=True)]
    node = helper.make_node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["y"], hidden_size=16)
    graph = helper.make_graph([node], "g", [entry("x", [5, 1, 8])], [entry("y", None)], [*tensors, tensor("p", 1, 48)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == 64 * 8 + 64 * 16 + 128 + 48
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("ConvInteger", ["q", "k", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["m"]),
        helper.make_node("Add", ["m", "c"], ["y"]),
    ]
    kernel = numpy_helper.from_array(np.ones((4, C, 3, 3), np.uint8), "k")
    onnx.save(model(nodes, ["x"], "y", [kernel, tensor("c", 1, 4, 1, 1)]), tmp_path / "y.onnx")
    assert read_onnx(tmp_path / "y.onnx").params == 4 * C * 9 + 4


@pytest.mark.parametrize(("ones", "learnt"), [(True, True), (False, False)])
def test_states_that_are_learnt_are_parameters_and_zeros_are_not(ones: bool, learnt: bool, tmp_path: Path) -> None:
    """Of recurrent layers, and of loops and scans whose bodies go on from a stored tensor."""
    begin = numpy_helper.from_array(np.full((1, 1, 8), float(ones), np.float32), "begin")
    tensors = [tensor("w", 1, 24, 4), tensor("r", 1, 24, 8), begin]
    node = helper.make_node("GRU", ["x", "w", "r", "", "", "begin"], ["y"], hidden_size=8)
    graph = helper.make_graph([node], "g", [entry("x", [5, 1, 4])], [entry("y", None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == 24 * 4 + 24 * 8 + 8 * learnt

    body = helper.make_graph(
        [helper.make_node("MatMul", ["s", "v"], ["p"]), helper.make_node("Add", ["p", "n"], ["e"])],
        "body",
        [entry("s", (1, 1, 8)), entry("n", (1, 8))],
        [entry("e", (1, 1, 8))],
    )
    node = helper.make_node("Scan", ["begin", "steps"], ["y"], body=body, num_scan_inputs=1)
    graph = helper.make_graph([node], "g", [entry("steps", [5, 1, 8])], [entry("y", None)], [begin, tensor("v", 8, 8)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == 64 + 8 * learnt


def test_a_long_chain_of_joined_constants_is_read_at_once(tmp_path: Path) -> None:
    tensors = [tensor(f"w{i}", 2) for i in range(4000)]
    names = ["w0", *(f"j{i}" for i in range(1, 4000))]
    nodes = [helper.make_node("Concat", [a, f"w{i}"], [b], axis=0) for i, (a, b) in enumerate(pairwise(names), 1)]
    nodes.append(helper.make_node("Add", ["x", names[-1]], ["y"]))
    graph = helper.make_graph(nodes, "g", [entry("x", [1, 8000])], [entry("y", None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    tracemalloc.start()
    assert read_onnx(tmp_path / "x.onnx").params == 8000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6, "each constant holds what it is joined of, not all that those are"


def test_tables_of_16_bits_are_parameters(tmp_path: Path) -> None:
    table = numpy_helper.from_array(np.ones((10, 8), np.int16), "t")
    nodes = [
        helper.make_node("Gather", ["t", "x"], ["g"]),
        helper.make_node("Cast", ["g"], ["c"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [3])
    graph = helper.make_graph(nodes, "g", [x], [entry("y", None)], [table, tensor("w", 8, 2)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == 80 + 16


def test_a_function_of_another_operator_set_is_expanded(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["p"]), helper.make_node("Relu", ["p"], ["q"])]
    block = helper.make_function("my", "Block", ["a", "b"], ["q"], nodes, [helper.make_opsetid("", 18)])
    call = helper.make_node("Block", ["x", "w"], ["y"], domain="my")
    graph = helper.make_graph([call], "g", [entry("x", [1, 8])], [entry("y", None)], [tensor("w", 8, 8)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[block], ir_version=8), tmp_path / "x.onnx")
    found = read_onnx(tmp_path / "x.onnx")
    assert (found.macs, found.params, found.unknown) == (64, 64, ())


def test_constants_that_are_not_at_hand_are_named_as_the_cause(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    shape = whole("s", 2, 4)
    shape.data_location = onnx.TensorProto.EXTERNAL
    shape.ClearField("raw_data")
    shape.external_data.add(key="location", value="outside.bin")
    graph = helper.make_graph(nodes, "g", [entry("x", [8])], [entry("y", None)], [shape, tensor("w", 4, 4)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    with pytest.raises(EvoFairError, match=r"can be told before it runs \(MatMul, Reshape\): .*small"):
        read_onnx(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("inputs", "constants", "params"),
    [
        (["x", "w"], {}, 8 * 5),
        (["x", "w", "b"], {"b": (5,)}, 8 * 5 + 5),
        (["x", "w", "b"], {"b": (4, 5)}, 8 * 5 + 4 * 5),
        (["x", "w", "z"], {}, 8 * 5),
    ],
)
def test_a_gemm_has_the_bias_that_it_reads_and_no_other(
    inputs: list[str], constants: dict[str, tuple[int, ...]], params: int, tmp_path: Path
) -> None:
    given = [entry("x", (4, 8)), entry("z", (4, 5))]
    node = helper.make_node("Gemm", inputs, ["y"])
    stored = [tensor("w", 8, 5), *(tensor(name, *size) for name, size in constants.items())]
    graph = helper.make_graph([node], "g", given[: 1 + ("z" in inputs)], [entry("y", None)], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == params


def test_a_convolution_whose_bias_is_computed_holds_none(tmp_path: Path) -> None:
    made = model([helper.make_node("Conv", ["x", "w", "z"], ["y"], pads=[1] * 4)], ["x"], "y", [weight("w")])
    made.graph.input.append(entry("z", (C,)))
    onnx.save(made, tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").params == BARE


def test_scales_of_weights_are_no_parameters_of_dynamic_quantisation(tmp_path: Path) -> None:
    """Whether there is one, or one for each column: the file holds weights and a bias."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    stored = [numpy_helper.from_array(np.eye(8, 16, dtype=np.float32), "w"), tensor("b", 16)]
    graph = helper.make_graph(nodes, "g", [entry("x", (2, 8))], [entry("y", (2, 16))], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "x.onnx")
    for by_column in (False, True):
        quantize_dynamic(tmp_path / "x.onnx", tmp_path / "y.onnx", per_channel=by_column, weight_type=QuantType.QInt8)
        found = read_onnx(tmp_path / "y.onnx")
        assert (found.macs, found.params, found.quantised) == (2 * 8 * 16, 8 * 16 + 16, True)
