"""Where onnx infers other shapes than a node makes when it runs, and what it is asked instead."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from evo_fair.latency.onnx_file import Shape
from evo_fair.latency.onnx_value import Value, attributes_of

__all__ = ["aligned", "asked_of", "made_of"]

_CEILED = frozenset({"MaxPool", "AveragePool", "LpPool"})
_CEILED_SINCE = 22  # before, onnx counts windows that begin behind the input, which nothing computes
_CONCAT_FROM_BEHIND = 11  # before, its axis is counted from the front
_INFERRED_SINCE = 6  # before, onnx infers nothing of most operators
_CHANGED_UNTIL_THEN = frozenset({"Cast", "Concat", "Pad", "Reshape", "Split", "Tile", "Upsample"})
_SLICE_BY_INPUTS = 10  # before, onnx asks for axes in order, from the front


def asked_of(node: onnx.NodeProto, inputs: Sequence[Value | None], version: int) -> tuple[onnx.NodeProto, int]:
    """The node, and the version of ONNX's operator set, of which onnx infers what the node makes when it runs."""
    options, kind = attributes_of(node), node.op_type
    if kind in _CEILED and options.get("ceil_mode"):
        return node, max(version, _CEILED_SINCE)
    if kind == "Concat":
        return _with(node, axis=options.get("axis", 1)), max(version, _CONCAT_FROM_BEHIND)
    if kind == "Slice" and version < _SLICE_BY_INPUTS and inputs[0] is not None and inputs[0].shape:
        return _with(node, **_in_order(options, len(inputs[0].shape))), version
    if kind == "STFT" and "onesided" not in options:  # onnx takes its default for 0
        return _with(node, onesided=1), version
    if version < _INFERRED_SINCE and kind not in _CHANGED_UNTIL_THEN:
        return _with(node, consumed_inputs=None), _INFERRED_SINCE
    return node, version


def _in_order(options: Mapping[str, Any], rank: int) -> dict[str, list[int]]:
    """What a slice cuts, its axes counted from the front and in order."""
    starts, ends = options["starts"], options["ends"]
    axes = [axis % rank for axis in options.get("axes", range(len(starts)))]
    cuts = sorted(zip(axes, starts, ends, strict=True))
    return {
        name: list(column) for name, column in zip(("axes", "starts", "ends"), zip(*cuts, strict=True), strict=True)
    }


def _with(node: onnx.NodeProto, **values: Any) -> onnx.NodeProto:
    """The node with other values for attributes, without those that are None."""
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    del changed.attribute[:]
    changed.attribute.extend(attribute for attribute in node.attribute if attribute.name not in values)
    changed.attribute.extend(helper.make_attribute(name, value) for name, value in values.items() if value is not None)
    return changed


def made_of(node: onnx.NodeProto, inputs: Sequence[Value | None], shape: Shape) -> Shape:
    """The shape that a node of ONNX's makes, of that which onnx infers."""
    source, options = inputs[0].shape if inputs and inputs[0] is not None else None, attributes_of(node)
    if source is None or len(source) != len(shape):
        return shape
    if node.op_type in ("Resize", "Upsample"):
        return _resized(node, inputs, source, shape)
    if node.op_type == "ConvTranspose" and options.get("auto_pad", b"").startswith(b"SAME"):
        strides = options.get("strides", [1] * (len(shape) - 2))
        if "output_shape" not in options:  # what is added to the output takes the place of what is cut off
            most = (size * stride for size, stride in zip(source[2:], strides, strict=True))
            return (*shape[:2], *map(min, shape[2:], most))
    return shape


def _resized(node: onnx.NodeProto, inputs: Sequence[Value | None], source: Shape, shape: Shape) -> Shape:
    """An image by its scales, in 32 bits: ten pixels by 1.3 are 13, as runtimes have it, where onnx has 12."""
    options = attributes_of(node)
    place = 1 if node.op_type == "Upsample" or len(inputs) == 2 else 2
    given = inputs[place] if place < len(inputs) else None
    scales = options.get("scales", ()) if given is None else () if given.data is None else given.data.reshape(-1)
    axes = [int(axis) for axis in options.get("axes", range(len(shape)))]
    if len(scales) != len(axes) or options.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        return shape
    sizes = list(shape)
    for axis, scale in zip(axes, scales, strict=True):
        sizes[axis] = int(np.float32(source[axis]) * np.float32(scale))
    return tuple(sizes)


def aligned(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Sequence[Value | None]:
    """The inputs of an addition or product in sets before 7, whose `axis` says along which axis the second one lies."""
    options = attributes_of(node)
    if not options.get("broadcast") or "axis" not in options or len(inputs) != 2:
        return inputs
    first, second = inputs
    if first is None or second is None or first.shape is None or second.shape is None:
        return inputs
    behind = len(first.shape) - options["axis"] % len(first.shape) - len(second.shape)
    shape = (*second.shape, *[1] * behind)
    data = None if second.data is None else second.data.reshape(shape)
    return first, replace(second, shape=shape, data=data, type_proto=None, tensor_proto=None)
