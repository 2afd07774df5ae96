"""Files of people's kinds are read, and their MACs are those that the shapes in ONNX Runtime come to."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from evo_fair.latency.onnx_graph import read_onnx

from .onnx_zoo import SLOW, ZOO

Arrays = dict[str, npt.NDArray[Any]]
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ZOO]
# What a body does times how often it runs: ONNX Runtime shows nothing of what is inside.
BODIES = {"scan-over-steps": 20 * 8 * 8, "loop-of-products": 11 * 16**3, "scripted-loop-torch-17": 7 * 16 * 16}


def session_arrays(path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[onnx.ModelProto, Arrays]:
    """All tensors of a graph after one run on random inputs, nothing fused."""
    model = onnx.load(path)
    inlined = onnx.inliner.inline_local_functions(model) if model.functions else model
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in inlined.graph.initializer}
    outputs = {value.name for value in inlined.graph.output}
    inlined.graph.output.extend(
        onnx.ValueInfoProto(name=name)
        for node in inlined.graph.node
        for name in node.output
        if name and name not in outputs
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(inlined.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {}
    generator = np.random.default_rng(0)
    for value in session.get_inputs():
        sizes = [size if isinstance(size, int) else 1 for size in value.shape]
        shape = shapes.get(value.name, shapes.get("", sizes) if value.shape else sizes)
        integer = "int" in value.type
        feed[value.name] = np.ones(shape, np.int64) if integer else generator.standard_normal(shape).astype(np.float32)
    results = session.run(None, feed)
    names = [value.name for value in session.get_outputs()]
    return inlined, constants | feed | dict(zip(names, results, strict=True))


def counted(model: onnx.ModelProto, arrays: Arrays) -> int:
    """Multiply-accumulates by the shapes of what each node really read and made."""
    return sum(macs for node in model.graph.node for macs in of_node(node, arrays))


def of_node(node: onnx.NodeProto, arrays: Arrays) -> Iterator[int]:
    options = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    inputs = [arrays.get(name) for name in node.input]
    made = arrays.get(node.output[0])
    if node.op_type in ("Conv", "FusedConv"):
        yield made.size * prod(inputs[1].shape[1:])
    elif node.op_type == "QLinearConv":
        yield made.size * prod(inputs[3].shape[1:])
    elif node.op_type == "ConvTranspose":
        yield inputs[0].size * prod(inputs[1].shape[1:])
    elif node.op_type in ("MatMul", "FusedMatMul"):
        yield made.size * inputs[0].shape[-1]
    elif node.op_type in ("Gemm", "QGemm"):
        yield made.size * inputs[0].shape[0 if options.get("transA") else 1]
    elif node.op_type in ("LSTM", "GRU", "RNN"):
        yield inputs[0].shape[0] * inputs[0].shape[1] * (inputs[1].size + inputs[2].size)
    elif node.op_type == "Einsum":
        terms = options["equation"].decode().replace(" ", "").split("->")[0].split(",")
        sizes = {k: n for term, x in zip(terms, inputs, strict=True) for k, n in zip(term, x.shape, strict=True)}
        yield prod(sizes.values()) if len(terms) == 2 else 0


@pytest.mark.parametrize("name", NAMES)
def test_macs_are_those_of_the_shapes_in_onnxruntime(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    shapes = ZOO[name](path)
    graph = read_onnx(path, shapes or None)
    model, arrays = session_arrays(path, shapes)
    samples = graph.batch or 1
    assert graph.macs * samples == counted(model, arrays) + BODIES.get(name, 0)
    assert not graph.macs_at_least
    expected = {"NonMaxSuppression", "Gather", "Slice"} if name == "boxes-by-nms" else set()
    assert {operator.operator for operator in graph.unknown} <= expected


def test_the_zoo_is_large_enough() -> None:
    assert len(ZOO) >= 60
