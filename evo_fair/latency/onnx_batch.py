"""Which axis of a network's inputs is the batch: found out by walking its graph with two sizes of it.

An axis is a batch where nothing mixes samples: with n times the samples each tensor has one axis that is n times as
long, and each operator does n times the work. Where an operator defines its batch, as convolutions and recurrent
layers do, it must be that axis. A sequence fails this test, for it is summed over, attended to or stepped along.
"""

from collections.abc import Sequence
from dataclasses import replace

from evo_fair.errors import EvoFairError
from evo_fair.latency.onnx_account import WalkStep
from evo_fair.latency.onnx_file import Inputs, OnnxFile, OpenShapeError, Shape, quoted
from evo_fair.latency.onnx_layers import GraphLayers
from evo_fair.latency.onnx_walk import Walk

__all__ = ["walk_samples"]

_UNKNOWN, _SAME = -2, -1


def walk_samples(file: OnnxFile, inputs: Inputs) -> GraphLayers:
    """The layers of one sample where the inputs' first axis is found to be a batch, else those of a whole run.

    Raises `OpenShapeError` where the file leaves open an axis that is no batch, and nobody gave its size.
    """
    size = inputs.shapes[inputs.main][0] if inputs.main is not None else 1
    if size == 1 and not inputs.free:
        return _figures(Walk(file, inputs, inputs.shapes), None)
    one = Walk(file, inputs, inputs.with_batch(1))
    if inputs.free:
        return _of_free_axis(file, inputs, one)
    many = Walk(file, inputs, inputs.shapes)
    whole = _figures(many, None)
    try:
        sample = _figures(one, size)
    except EvoFairError:  # the network is made for this size alone
        return whole
    found, defined = _is_batch(one.account.steps, many.account.steps, size)
    if found and (defined or not (inputs.fixed or _may_be_sequence(inputs))):
        return replace(sample, input_shape=whole.input_shape, inputs=whole.inputs)
    return whole


def _of_free_axis(file: OnnxFile, inputs: Inputs, one: Walk) -> GraphLayers:
    figures = _figures(one, 1)
    two = Walk(file, inputs, inputs.with_batch(2))
    try:
        two.run()
    except EvoFairError:  # one is the only size that fits
        return figures
    found, defined = _is_batch(one.account.steps, two.account.steps, 2)
    if not found or (_may_be_sequence(inputs) and not defined):
        raise OpenShapeError(
            f"{file.path} leaves the first axis of its input {quoted(inputs.main or '')} open, and nothing shows that "
            "it is a batch: give --input-shape with a size for it"
        )
    return figures


def _may_be_sequence(inputs: Inputs) -> bool:
    """Whether the main input looks like one sample of a sequence, `[steps, 1, features]`."""
    shape = inputs.shapes[inputs.main] if inputs.main is not None else ()
    return len(shape) == 3 and shape[1] == 1


def _figures(walk: Walk, batch: int | None) -> GraphLayers:
    return replace(walk.run(), batch=batch)


def _is_batch(one: Sequence[WalkStep], many: Sequence[WalkStep], size: int) -> tuple[bool, bool]:
    """Whether `size` samples do `size` times what one does, and whether an operator defines their axis."""
    if len(one) != len(many):
        return False, False
    defined = seen = False
    for a, b in zip(one, many, strict=True):
        if a.kind != b.kind or len(a.inputs) != len(b.inputs):
            return False, False
        reads = [_scaled(x, y, size) for x, y in zip(a.inputs, b.inputs, strict=True)]
        makes = [_scaled(x, y, size) for x, y in zip(a.outputs, b.outputs, strict=True)]
        if None in reads or None in makes:
            return False, False
        if not any(axis is not None and axis >= 0 for axis in reads):
            if b.macs not in (a.macs, size * a.macs):
                return False, False
            continue
        seen = True
        if a.mixed is not None:
            if a.mixed in reads:
                return False, False
            continue
        if all(axis == _SAME for axis in makes) or b.macs != size * a.macs:
            return False, False
        if a.axis is not None and reads[0] is not None and reads[0] >= 0:
            if reads[0] != a.axis:
                return False, False
            defined = True
    return seen, defined


def _scaled(one: Shape | None, many: Shape | None, size: int) -> int | None:
    """The axis along which a tensor of one sample grows with the batch; None where it grows otherwise."""
    if one is None or many is None:
        return _UNKNOWN
    if one == many:
        return _SAME
    if len(one) != len(many):
        return None
    axes = [i for i, (a, b) in enumerate(zip(one, many, strict=True)) if a != b]
    return axes[0] if len(axes) == 1 and many[axes[0]] == size * one[axes[0]] else None
