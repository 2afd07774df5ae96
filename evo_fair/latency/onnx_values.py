"""What is known of an ONNX graph's tensors before it runs: shapes, and the content of small constants.

Shapes are inferred by onnx itself, a node at a time, with the content of those inputs that are known: that settles the
shape arithmetic of exporters (Shape, Gather, Concat, Reshape). Small constants are computed by onnx's reference
implementation. Both work on little, however large the tensors are that a file speaks of.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from evo_fair.latency.onnx_asking import asked_of, made_of
from evo_fair.latency.onnx_file import MOST_RANK, OF_FUNCTION, InputShapeError, OnnxFile, Shape
from evo_fair.latency.onnx_microsoft import ALIASES, KEEP_SHAPE, MICROSOFT, WHOLE_NAMES, infer_microsoft, keep_shape
from evo_fair.latency.onnx_sequences import SEQUENCES, infer_sequence
from evo_fair.latency.onnx_value import Value, attributes_of
from evo_fair.registries import OPERATORS

__all__ = ["LARGEST_TENSOR", "UNPRICED", "canonical", "infer", "initial", "is_foreign"]

MOST_FOLDED = 4096  # values of a constant that is computed; shape arithmetic has a few, index tables some hundreds
LARGEST_TENSOR = 2**44
_BEGINNING = 4096  # bytes of a tensor in which something is not 0 where it is not all zeros, mostly
PLAIN_DOMAINS = frozenset({"", "ai.onnx"})
_FOLDABLE_NAMES = """
    Abs Add And Cast CastLike Ceil Clip Concat ConstantOfShape CumSum Div Equal Expand Flatten Floor Gather
    GatherElements GatherND Greater GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg NonZero Not Or Pow
    Range Reciprocal ReduceMax ReduceMin ReduceProd ReduceSum Reshape Round ScatterElements ScatterND Sign Slice Split
    Sqrt Squeeze Sub Sum Tile Transpose Trilu Unsqueeze Where Xor
"""
FOLDABLE = frozenset(_FOLDABLE_NAMES.split())
# Standard operators without a price, and without multiply-accumulates: MACs are complete without them.
_UNPRICED_NAMES = """
    NonMaxSuppression TopK NonZero Unique GridSample RoiAlign MaxRoiPool MaxUnpool Col2Im AffineGrid Det ImageDecoder
    StringNormalizer TfIdfVectorizer
"""
PREPROCESSING = frozenset(f"ai.onnx.ml.{name}" for name in ("Scaler", "Normalizer", "Imputer", "Binarizer"))
UNPRICED = frozenset(_UNPRICED_NAMES.split()) | (SEQUENCES - {"ConcatFromSequence"}) | PREPROCESSING


def canonical(node: onnx.NodeProto) -> str:
    """The name of a node's operator: plain for those that ONNX defines, and for some that ONNX Runtime does."""
    if node.domain in PLAIN_DOMAINS:
        return node.op_type
    if node.domain == "com.microsoft" and node.op_type in MICROSOFT:
        return WHOLE_NAMES.get(node.op_type, node.op_type)
    return f"{node.domain}.{node.op_type}"


def is_foreign(node: onnx.NodeProto) -> bool:
    """Whether an operator is neither ONNX's nor one that is known of ONNX Runtime: it may hide anything."""
    if node.domain in PLAIN_DOMAINS:
        return not onnx.defs.has(node.op_type) and node.op_type not in MICROSOFT
    if canonical(node) in PREPROCESSING:
        return False
    return not (node.domain == "com.microsoft" and node.op_type in MICROSOFT)


def initial(tensor: onnx.TensorProto, key: str) -> Value:
    """A constant that the file holds; its content is read where it is small and in the file itself."""
    shape = tuple(int(size) for size in tensor.dims)
    if len(shape) > MOST_RANK or any(size < 0 for size in shape):
        raise ValueError(f"a constant of the shape {shape[:8]}")
    value = Value(key, shape, tensor.data_type, constant=True, origin=key, stored=True)
    if prod(shape) <= MOST_FOLDED and tensor.data_location != TensorProto.EXTERNAL:
        value.data = _content(tensor)
    value.zeros = tensor.data_location != TensorProto.EXTERNAL and _all_zeros(tensor)
    return value


def _all_zeros(tensor: TensorProto) -> bool:
    if any(tensor.raw_data[:_BEGINNING]) or tensor.data_type in (TensorProto.STRING, TensorProto.UNDEFINED):
        return False
    return not np.any(numpy_helper.to_array(tensor))


def _content(tensor: onnx.TensorProto) -> npt.NDArray[Any] | None:
    if tensor.data_type in (TensorProto.STRING, TensorProto.UNDEFINED):
        return None
    array = np.asarray(numpy_helper.to_array(tensor))
    return array if array.dtype.kind in "iufb" else None


def infer(file: OnnxFile, node: onnx.NodeProto, inputs: Sequence[Value | None], prefix: str) -> list[Value]:
    """The outputs of a node that holds no graphs; those left out have an empty key.

    Raises `InputShapeError` for inputs whose shapes do not fit, `ValueError` for a node that ONNX does not allow.
    """
    constant = all(value is None or value.constant for value in inputs) and not node.op_type.startswith(
        ("Random", "Bernoulli", "Multinomial")
    )
    outputs = [Value(f"{prefix}{name}" if name else "", None, 0, constant=constant) for name in node.output]
    for output in outputs:
        output.origin = output.key
    if not outputs:
        return outputs
    kind = canonical(node)
    if kind == "Constant":
        return [_constant(node, outputs[0])]
    if kind in ("Shape", "Size") and inputs and inputs[0] is not None and inputs[0].shape is not None:
        _shape_of(node, kind, inputs[0].shape, outputs[0])
        return outputs
    _check_positive(node)
    _infer_shapes(file, node, kind, inputs, outputs)
    for output in outputs:
        if output.shape is not None and (len(output.shape) > MOST_RANK or prod(output.shape) > LARGEST_TENSOR):
            raise InputShapeError(f"it makes a tensor of {prod(output.shape):.1e} values")
    source = inputs[0].shape if kind == "Reshape" and inputs and inputs[0] is not None else None
    if source is not None and outputs[0].shape is not None and prod(source) != prod(outputs[0].shape):
        raise InputShapeError(f"{_by(source)} values can't take the shape {_by(outputs[0].shape)}")
    if constant and kind in FOLDABLE:
        _fold(file, node, inputs, outputs)
    return outputs


def _check_positive(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.name in ("strides", "dilations", "kernel_shape") and any(size < 1 for size in attribute.ints):
            raise ValueError(f"{attribute.name} = {list(attribute.ints)[:8]}")
        if attribute.name in ("group", "num_groups", "hidden_size", "num_heads", "blocksize") and attribute.i < 1:
            raise ValueError(f"{attribute.name} = {attribute.i}")


def _constant(node: onnx.NodeProto, output: Value) -> Value:
    if len(node.attribute) != 1:
        raise ValueError(f"a constant with {len(node.attribute)} values")
    attribute = node.attribute[0]
    content = helper.get_attribute_value(attribute)
    if isinstance(content, TensorProto):
        value = initial(content, output.key)
        if content.name.startswith(OF_FUNCTION):  # one of several copies
            value.origin = content.name
        return value
    if isinstance(content, onnx.SparseTensorProto):
        shape = tuple(int(size) for size in content.dims)
        return Value(output.key, shape, content.values.data_type, constant=True, origin=output.key, stored=True)
    if attribute.name in ("value_int", "value_ints"):
        array: npt.NDArray[Any] = np.asarray(content, np.int64)
    elif attribute.name in ("value_float", "value_floats"):
        array = np.asarray(content, np.float32)
    else:
        count = () if attribute.name == "value_string" else (len(attribute.strings),)
        return Value(output.key, count, TensorProto.STRING, constant=True, origin=output.key)
    dtype = TensorProto.INT64 if array.dtype == np.int64 else TensorProto.FLOAT
    data = array if array.size <= MOST_FOLDED else None
    return Value(output.key, array.shape, dtype, data, constant=True, origin=output.key, stored=True)


def _shape_of(node: onnx.NodeProto, kind: str, shape: Shape, output: Value) -> None:
    options = attributes_of(node)
    sizes = np.array(shape[options.get("start", 0) : options.get("end", len(shape))], np.int64)
    output.data = np.array(prod(shape), np.int64) if kind == "Size" else sizes
    output.shape, output.dtype, output.constant = output.data.shape, TensorProto.INT64, True


def _infer_shapes(
    file: OnnxFile, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], outputs: list[Value]
) -> None:
    if settle := getattr(OPERATORS.get(kind), "settle", None):
        settle(node, inputs, outputs)
        if outputs[0].shape is not None:
            return
    if kind in SEQUENCES:
        infer_sequence(node, kind, inputs, outputs[0])
        return
    asked, used = node, inputs
    if kind in ALIASES and node.domain == "com.microsoft":
        operator, count, kept = ALIASES[kind]
        asked = helper.make_node(operator, node.input[:count], node.output[:1])
        asked.attribute.extend(attribute for attribute in node.attribute if attribute.name in kept)
        # onnx knows its own operators on floats alone
        used = [replace(value, dtype=TensorProto.FLOAT, type_proto=None) if value else None for value in inputs[:count]]
    elif (node.domain == "com.microsoft" and kind in MICROSOFT) or kind.startswith("com.microsoft."):
        infer_microsoft(node, kind, inputs, outputs)
        return
    domain = "" if asked.domain in PLAIN_DOMAINS else asked.domain
    version = file.opsets.get(domain, 1)
    if not domain:
        asked, version = asked_of(asked, used, version)
    keeps_shape = node.domain in PLAIN_DOMAINS and node.op_type in KEEP_SHAPE
    try:
        schema = onnx.defs.get_schema(asked.op_type, version, domain)
    except Exception:  # an operator that onnx does not know
        if keeps_shape:
            keep_shape(inputs, outputs)
        return
    if keeps_shape and schema.deprecated:  # onnx infers nothing of these, and they run
        keep_shape(inputs, outputs)
        return
    types = {name: value.as_type() for name, value in zip(asked.input, used, strict=True) if value is not None}
    data = {
        name: value.as_tensor()
        for name, value in zip(asked.input, used, strict=True)
        if value is not None and value.data is not None
    }
    version_of_ir = file.model.ir_version
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema, asked, types, data, None, file.opset_imports, version_of_ir
        )
    except onnx.shape_inference.InferenceError as error:
        shapes = ", ".join(_by(value.shape) for value in used if value is not None and value.shape)
        raise InputShapeError(f"shapes {shapes} do not fit together: {_plain(error)}") from error
    except Exception as error:  # onnx's checks raise errors of C++ without a base class
        if kind in UNPRICED:
            return  # it is named as it is, and nothing of it is used
        raise ValueError(_plain(error)) from error
    for name, output in zip(node.output, outputs, strict=True):
        kind_of_type = found[name].WhichOneof("value") if name in found else None
        if kind_of_type == "tensor_type":
            tensor = found[name].tensor_type
            output.dtype = tensor.elem_type
            if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
                output.shape = tuple(int(dim.dim_value) for dim in tensor.shape.dim)
                if any(size < 0 for size in output.shape):
                    raise InputShapeError(f"it makes a tensor of the shape {output.shape[:8]}")
    if asked is not node and kind in ALIASES and inputs[0] is not None:
        outputs[0].dtype = inputs[0].dtype
    if outputs[0].shape is not None and not domain:
        outputs[0].shape = made_of(asked, inputs, outputs[0].shape)
    if outputs[0].shape is None and kind in KEEP_SHAPE | PREPROCESSING:
        keep_shape(inputs, outputs)


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _plain(error: Exception) -> str:
    return " ".join(str(error).replace("[ShapeInferenceError]", "").split())[:150]


def _fold(file: OnnxFile, node: onnx.NodeProto, inputs: Sequence[Value | None], outputs: list[Value]) -> None:
    """Computes a constant of constants, if all of them are small."""
    unbounded = node.op_type == "NonZero"  # as many values as its input and axes make, at most
    if any(value is not None and value.data is None for value in inputs):
        return
    if not unbounded and any(output.key and (output.shape is None or output.size > MOST_FOLDED) for output in outputs):
        return
    from onnx.reference import ReferenceEvaluator

    arrays = {name: value.data for name, value in zip(node.input, inputs, strict=True) if value is not None}
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.domain = ""
    ends = [helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name]
    graph = helper.make_graph(
        [plain], "fold", [helper.make_value_info(name, onnx.TypeProto()) for name in arrays], ends
    )
    try:
        with np.errstate(all="ignore"):
            results = iter(ReferenceEvaluator(graph, opsets={"": file.opsets.get("", 1)}).run(None, arrays))
    except Exception:  # the reference raises whatever NumPy does; the shape is known all the same
        return
    for output in outputs:
        if output.key:
            result = next(results)
            if not isinstance(result, np.ndarray | np.generic):
                return
            array = np.asarray(result)
            if array.dtype.kind in "iufb" and array.size <= MOST_FOLDED * 8:
                output.data, output.shape = array, array.shape
                output.dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
