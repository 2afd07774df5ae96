"""Opening ONNX files without their weights: what is no model, and shapes that are not settled, are refused."""

from copy import deepcopy
from pathlib import Path

import onnx
import onnx.inliner

from evo_fair.errors import EvoFairError

__all__ = ["InputShapeError", "Shape", "has_sizes", "open_onnx"]

Shape = tuple[int, ...]


class InputShapeError(EvoFairError, ValueError):
    """The sizes of a network's input are open, or those that were given do not fit the network."""


def open_onnx(path: Path, input_shape: Shape | None = None) -> tuple[onnx.ModelProto, Shape]:
    """An ONNX model with the shapes of its tensors, and the shape of its input, batch included.

    `input_shape` settles dynamic shapes; a free batch dimension alone is taken as 1. Shapes that can't be inferred are
    those that the file states, if they are for that input. Raises `EvoFairError`, `InputShapeError` among them.
    """
    model = _load(path)
    stated = [deepcopy(value) for value in (*model.graph.value_info, *model.graph.output) if has_sizes(value)]
    inputs = [value.SerializeToString() for value in model.graph.input]
    shape = _fix_input(model, path, input_shape)
    if inputs != [value.SerializeToString() for value in model.graph.input]:
        stated = []  # they are those of another input
    return _inferred(model, path, stated), shape


def has_sizes(value: onnx.ValueInfoProto) -> bool:
    """Whether `value` states the size of each of its tensor's dimensions."""
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim)


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise EvoFairError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's own errors share no base class
        raise EvoFairError(f"{path} is no ONNX model ({type(error).__name__}): export the network again") from error
    if not model.graph.node or not model.graph.output:
        raise EvoFairError(f"{path} is no ONNX model, or an empty one: export the network again")
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _fix_input(model: onnx.ModelProto, path: Path, wanted: Shape | None) -> Shape:
    """Sets the input's shape in `model` and returns it."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs:
        raise EvoFairError(f"{path} has no input: export the network with one")
    dims = inputs[0].type.tensor_type.shape.dim
    known = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else 0 for dim in dims]
    if wanted is None:
        if known and not known[0]:
            known[0] = 1
        if not known or not all(known):
            free = ", ".join(
                dim.dim_param or "?" if not size else str(size) for dim, size in zip(dims, known, strict=True)
            )
            raise InputShapeError(
                f"{path} has an input {inputs[0].name!r} of dynamic shape ({free}): "
                "give --input-shape, such as 1,3,224,224"
            )
        wanted = tuple(known)
    elif known and (len(wanted) != len(known) or any(k and k != w for k, w in zip(known[1:], wanted[1:], strict=True))):
        raise InputShapeError(
            f"--input-shape {','.join(map(str, wanted))} does not fit {path}, whose input {inputs[0].name!r} is "
            f"({', '.join(str(size or '?') for size in known)}): give a size for each, those that are fixed as they are"
        )
    del dims[:]
    for size in wanted:
        dims.add().dim_value = size
    for other in inputs[1:]:
        for dim in other.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value") or dim.dim_value < 1:
                dim.dim_value = 1
    return wanted


def _inferred(model: onnx.ModelProto, path: Path, stated: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """`model` with its tensors' shapes: inferred, or `stated` where that is impossible, as behind a custom operator."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    model = _infer(model, path)
    known = [value for value in model.graph.value_info if has_sizes(value)]
    inferred = {value.name for value in (*known, *model.graph.output) if has_sizes(value)}
    missing = {value.name: value for value in stated if value.name not in inferred}
    if not missing:
        return model
    for output in model.graph.output:
        if output.name in missing:
            output.CopyFrom(missing.pop(output.name))
    del model.graph.value_info[:]
    model.graph.value_info.extend([*known, *missing.values()])
    return _infer(model, path)


def _infer(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # onnx raises its own InferenceError, and protobuf's
        reason = " ".join(str(error).split())[:200]
        raise InputShapeError(f"{path} has shapes that do not fit together ({reason}): check --input-shape") from error
