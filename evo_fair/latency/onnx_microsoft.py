"""ONNX Runtime's own operators, which its optimiser and quantiser write: their names and the shapes that they make.

As its documentation (ContribOperators.md) gives them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from evo_fair.latency.onnx_file import InputShapeError, Shape
from evo_fair.latency.onnx_value import Value, attributes_of

__all__ = [
    "ALIASES",
    "KEEP_SHAPE",
    "MICROSOFT",
    "WHOLE_NAMES",
    "channels_first",
    "infer_microsoft",
    "keep_shape",
    "matrix_operand",
]

# Operators that ONNX Runtime or exporters of later versions have, as those of ONNX that they are made of.
ALIASES = {
    "FusedConv": ("Conv", 3, ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")),
    "FusedGemm": ("Gemm", 3, ("alpha", "beta", "transA", "transB")),
    "QLinearAveragePool": ("AveragePool", 1, ("auto_pad", "ceil_mode", "kernel_shape", "pads", "strides")),
}
# Standard ones among them stand in files of earlier versions than theirs, or have no inference of their own.
_STANDARD = frozenset({"GroupNormalization", "LayerNormalization", "MeanVarianceNormalization"})
_KEEP_SHAPE_NAMES = """
    Gelu BiasGelu FastGelu QuickGelu QLinearSigmoid QLinearLeakyRelu QLinearSoftmax SkipLayerNormalization
    SimplifiedLayerNormalization SkipSimplifiedLayerNormalization QuantizeLinear DequantizeLinear RotaryEmbedding
"""
KEEP_SHAPE = _STANDARD | frozenset(_KEEP_SHAPE_NAMES.split())
_PRODUCTS = frozenset({"FusedMatMul", "TransposeMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QGemm"})
_OWN_NAMES = """
    MatMulNBits Attention MultiHeadAttention EmbedLayerNormalization QLinearAdd QLinearMul QLinearConcat QLinearConv
    QLinearGlobalAveragePool DynamicQuantizeLSTM
"""
MICROSOFT = _PRODUCTS | frozenset(_OWN_NAMES.split()) | frozenset(ALIASES) | (KEEP_SHAPE - _STANDARD)
WHOLE_NAMES = {"Attention": "com.microsoft.Attention", "RotaryEmbedding": "com.microsoft.RotaryEmbedding"}
_TYPED_BY = {
    "QLinearConcat": 1,
    "QLinearConv": 7,
    "MatMulIntegerToFloat": 2,
    "EmbedLayerNormalization": 2,
    "QuantizeLinear": 2,
    "DequantizeLinear": 1,
}
"""Which input has the type of the output, where it is not the first."""


def keep_shape(inputs: Sequence[Value | None], outputs: list[Value]) -> None:
    """Gives the first output the shape of the first input, and its type where it has none."""
    if inputs and inputs[0] is not None:
        outputs[0].shape, outputs[0].dtype = inputs[0].shape, outputs[0].dtype or inputs[0].dtype


def matrix_operand(shape: Shape, options: Mapping[str, Any], side: str) -> Shape:
    """The shape with which an operand enters a matrix product, after the transpositions that the node asks for.

    `side` is `A` or `B`. `transBatchA` moves the first axis before the last one, `transA` swaps the last two.
    """
    if options.get(f"transBatch{side}") and len(shape) > 2:
        shape = (*shape[1:-1], shape[0], shape[-1])
    if options.get(f"trans{side}") and len(shape) > 1:
        shape = (*shape[:-2], shape[-1], shape[-2])
    return shape


def infer_microsoft(node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], outputs: list[Value]) -> None:
    """Gives a node's outputs their shapes and types, where they are known.

    Raises `InputShapeError` or `ValueError` where inputs do not fit or are lacking.
    """
    first = inputs[0].shape if inputs and inputs[0] is not None else None
    if first is None:
        return
    shape = _shape(kind, attributes_of(node), first, inputs)
    if shape is None:
        return
    outputs[0].shape, outputs[0].dtype = shape, _type_of(kind, inputs)
    if kind == "DynamicQuantizeLSTM":  # the last states
        for output in outputs[1:]:
            output.shape, output.dtype = (shape[1], *shape[2:]), outputs[0].dtype
    if kind.startswith("Skip"):  # the sum before the normalisation
        for output in outputs[3:4]:
            output.shape, output.dtype = shape, outputs[0].dtype


def _shape(kind: str, options: Mapping[str, Any], first: Shape, inputs: Sequence[Value | None]) -> Shape | None:
    """The shape of the first output; None for an operator that is not known."""
    if kind in KEEP_SHAPE or kind == "com.microsoft.RotaryEmbedding":
        return first
    if kind in _PRODUCTS:
        left = matrix_operand(first, options, "A")
        right = matrix_operand(_need(inputs, 3 if kind == "QGemm" else 1), options, "B")
        if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
            raise InputShapeError(f"shapes {left} and {right} do not fit together")
        return (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    if kind == "MatMulNBits":
        return (*first[:-1], int(options["N"]))
    if kind == "DynamicQuantizeLSTM":  # steps, directions, samples, states
        return (first[0], _need(inputs, 2)[0], first[1], _need(inputs, 2)[1])
    if kind == "QLinearConv":
        return _convolved(first, _need(inputs, 3), options)
    if kind == "EmbedLayerNormalization":
        return (*first, _need(inputs, 2)[-1])
    if kind in ("QLinearAdd", "QLinearMul"):
        return np.broadcast_shapes(first, _need(inputs, 3))
    if kind == "QLinearGlobalAveragePool":
        ones = [1] * (len(first) - 2)
        return (first[0], *ones, first[-1]) if options.get("channels_last") else (*first[:2], *ones)
    if kind == "QLinearConcat":
        parts = [_need(inputs, i) for i in range(2, len(inputs), 3)]
        axis = int(options["axis"]) % len(parts[0])
        return tuple(sum(p[a] for p in parts) if a == axis else size for a, size in enumerate(parts[0]))
    if kind == "com.microsoft.Attention":
        sizes = options.get("qkv_hidden_sizes")
        return (*first[:-1], int(sizes[2]) if sizes else _need(inputs, 1)[-1] // 3)
    if kind == "MultiHeadAttention" and len(first) > 2:
        if len(first) == 5:  # samples, steps, heads, queries with keys and values, features of a head
            return (*first[:2], first[2] * first[4])
        values = _need(inputs, 2)
        return (*first[:2], values[1] * values[3] if len(values) == 4 else values[-1])
    return None


def channels_first(shape: Shape, options: Mapping[str, Any]) -> Shape:
    """The shape of a convolution's input or output as ONNX has it, where the node says that its channels come last."""
    return (shape[0], shape[-1], *shape[1:-1]) if options.get("channels_last") and len(shape) > 2 else shape


def _convolved(first: Shape, weight: Shape, options: Mapping[str, Any]) -> Shape:
    """What a convolution with weights `[c_out, c_in, ...]` makes; raises `InputShapeError` where it does not fit."""
    x, sides = channels_first(first, options), len(weight) - 2
    if len(x) != len(weight) or sides < 1:
        raise InputShapeError(f"its input has {len(x)} axes, its weights have {len(weight)}")
    strides, dilations = options.get("strides", [1] * sides), options.get("dilations", [1] * sides)
    pads, auto = options.get("pads", [0] * 2 * sides), options.get("auto_pad", b"NOTSET").decode()
    made = []
    for i in range(sides):
        reach = dilations[i] * (weight[2 + i] - 1) + 1
        padded = x[2 + i] + (pads[i] + pads[sides + i] if auto == "NOTSET" else 0)
        made.append(-(-x[2 + i] // strides[i]) if auto.startswith("SAME") else (padded - reach) // strides[i] + 1)
    if min(made) < 1:
        raise InputShapeError(f"a window of {weight[2:]} on {x[2:]}")
    return (x[0], *made, weight[0]) if options.get("channels_last") else (x[0], weight[0], *made)


def _type_of(kind: str, inputs: Sequence[Value | None]) -> int:
    """The type of the first output, as ONNX numbers types."""
    if kind == "QGemm" and len(inputs) < 9:  # it gives floats
        return onnx.TensorProto.FLOAT
    if kind == "QuantizeLinear" and len(inputs) < 3:  # without a zero to take the type of
        return onnx.TensorProto.UINT8
    typed = inputs[_TYPED_BY.get(kind, 0)]
    return typed.dtype if typed is not None else onnx.TensorProto.FLOAT


def _need(inputs: Sequence[Value | None], index: int) -> Shape:
    value = inputs[index]
    if value is None or value.shape is None:
        raise ValueError(f"input {index} has no shape")
    return value.shape
