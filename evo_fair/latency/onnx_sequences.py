"""Sequences of tensors in an ONNX graph, as scripted lists are exported: which shapes they hold, in order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from evo_fair.latency.onnx_file import InputShapeError, Shape
from evo_fair.latency.onnx_value import Value, attributes_of

__all__ = ["SEQUENCES", "infer_sequence"]

_NAMES = """
    SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence
    ConcatFromSequence Optional OptionalGetElement OptionalHasElement
"""
SEQUENCES = frozenset(_NAMES.split())

Shapes = tuple[Shape | None, ...]


def infer_sequence(node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], output: Value) -> None:
    """Gives the output of a node of `SEQUENCES` its shape or items, where they are known.

    Raises `InputShapeError` for tensors that don't fit together, `LookupError` for a place outside of the sequence.
    """
    first = inputs[0] if inputs else None
    output.dtype = first.dtype if first is not None else onnx.TensorProto.FLOAT
    options = attributes_of(node)
    if kind.startswith("Optional"):
        if first is None or kind == "OptionalHasElement":
            output.shape, output.dtype = (), onnx.TensorProto.BOOL
        else:
            output.shape, output.items = first.shape, first.items
    elif kind == "SequenceConstruct":
        output.items = tuple(value.shape if value is not None else None for value in inputs)
    elif kind == "SequenceEmpty":
        output.items, output.dtype = (), int(options.get("dtype", onnx.TensorProto.FLOAT))
    elif kind == "SplitToSequence":
        output.items = _split(first, inputs[1] if len(inputs) > 1 else None, options)
    elif first is not None and first.items is not None:
        _of_items(kind, first.items, inputs, options, output)


def _of_items(kind: str, items: Shapes, inputs: Sequence[Value | None], options: dict[str, Any], output: Value) -> None:
    """The output of what takes a sequence whose items are known."""
    if kind == "ConcatFromSequence":
        output.shape = _joined(items, int(options["axis"]), new=bool(options.get("new_axis", 0)))
    elif kind == "SequenceLength":
        output.data, output.shape = np.array(len(items), np.int64), ()
        output.dtype, output.constant = onnx.TensorProto.INT64, True
    elif kind == "SequenceAt":
        place = _place(inputs, 1, len(items))
        output.shape = items[place] if place is not None else items[0] if len(set(items)) == 1 else None
    elif kind == "SequenceErase":
        place = _place(inputs, 1, len(items))
        if place is not None:
            output.items = items[:place] + items[place + 1 :]
    elif kind == "SequenceInsert":
        inserted, place = inputs[1], _place(inputs, 2, len(items) + 1)
        if inserted is not None and place is not None:
            output.items = (*items[:place], inserted.shape, *items[place:])
            output.dtype = inserted.dtype


def _place(inputs: Sequence[Value | None], index: int, length: int) -> int | None:
    """The place that an input names, the last one where there is none; None where only the data tell."""
    given = inputs[index] if index < len(inputs) else None
    if given is None:
        place = length - 1
    elif given.data is None:
        return None
    else:
        place = int(given.data.reshape(-1)[0])
    if not -length <= place < length:
        raise LookupError(f"place {place} of {length}")
    return place % length


def _split(value: Value | None, sizes: Value | None, options: dict[str, Any]) -> Shapes | None:
    """The parts of a tensor: of the sizes given, of one size, or of one each."""
    if value is None or value.shape is None:
        return None
    axis = int(options.get("axis", 0)) % max(1, len(value.shape))
    before, whole, after = value.shape[:axis], value.shape[axis], value.shape[axis + 1 :]
    if sizes is None:
        kept = (1,) if options.get("keepdims", 1) else ()
        return ((*before, *kept, *after),) * whole
    if sizes.data is None:
        return None
    if sizes.data.ndim == 0:
        step = int(sizes.data)
        if step < 1:
            raise ValueError(f"parts of {step}")
        lengths = [min(step, whole - start) for start in range(0, whole, step)]
    else:
        lengths = [int(size) for size in sizes.data]
        if sum(lengths) != whole:
            raise InputShapeError(f"parts of {sum(lengths)} in all of an axis of {whole}")
    return tuple((*before, length, *after) for length in lengths)


def _joined(items: Shapes, axis: int, *, new: bool) -> Shape | None:
    """The shape of all items along an axis, which is a new one for `new`."""
    shapes = [item for item in items if item is not None]
    if len(shapes) < len(items) or not shapes:
        return None
    first = shapes[0]
    axis %= len(first) + new if first or new else 1
    others = {shape if new else shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(others) > 1:
        raise InputShapeError(f"tensors of the shapes {shapes[:4]} do not fit together")
    if new:
        return (*first[:axis], len(shapes), *first[axis:])
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])
