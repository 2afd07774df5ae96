"""The graphs inside of `If`, `Loop` and `Scan`: walked, and counted as often as they run where that is known.

Where it depends on the data which branch runs, or how often, the least is counted and the operator is named as not all
in the total.
"""

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import onnx
from onnx import TensorProto

from evo_fair.errors import EvoFairError
from evo_fair.latency.onnx_account import Account
from evo_fair.latency.onnx_file import InputShapeError, OnnxFile, Shape
from evo_fair.latency.onnx_params import holds_parameters
from evo_fair.latency.onnx_value import Value, attributes_of

__all__ = ["CONTROL", "GraphWalk", "ValueScope", "walk_control"]

MOST_REPEATS = 10**15
CONTROL = frozenset({"If", "Loop", "Scan"})

NodeInputs = Sequence[Value | None]
ValueScope = ChainMap[str, Value]


class GraphWalk(Protocol):
    """The walk that a node is met on; it walks the graphs inside of the node, too."""

    account: Account
    file: OnnxFile

    def walk(self, graph: onnx.GraphProto, scope: ValueScope, prefix: str, ends: set[str]) -> list[Value]:
        """Walks a graph whose inputs are in `scope`; returns what it gives. `ends` are the names that must last."""

    def new_prefix(self) -> str:
        """What the keys of another graph's tensors begin with."""


def walk_control(
    walk: GraphWalk, node: onnx.NodeProto, kind: str, inputs: NodeInputs, scope: ValueScope, prefix: str
) -> list[Value]:
    """Walks the graphs that a node holds, adds what they cost, and returns the node's outputs."""
    graphs = {attribute.name: attribute.g for attribute in node.attribute if attribute.HasField("g")}
    outputs = [Value(f"{prefix}{name}" if name else "", None, 0) for name in node.output]
    if kind == "If":
        return _branch(walk, node, graphs["then_branch"], graphs["else_branch"], inputs, scope, outputs)
    if kind == "Loop":
        return _repeat(walk, node, graphs["body"], _loop(inputs), scope, outputs)
    if kind == "Scan" and walk.file.opsets.get("", 1) >= 9:
        return _repeat(walk, node, graphs["body"], _scan(walk, node, inputs), scope, outputs)
    walk.account.name_unknown(node, kind, 0, inputs, reason="what it holds is not counted", hides_params=True)
    return outputs


# If


def _branch(
    walk: GraphWalk,
    node: onnx.NodeProto,
    then: onnx.GraphProto,
    otherwise: onnx.GraphProto,
    inputs: NodeInputs,
    scope: ValueScope,
    outputs: list[Value],
) -> list[Value]:
    account, condition = walk.account, inputs[0]
    if condition is None:
        raise LookupError("a condition is lacking")
    if condition.data is not None:
        ends = _walk_branch(walk, then if bool(condition.data.all()) else otherwise, scope)
        _hand_out(walk, ends, outputs)
        return outputs
    mark = account.mark()
    other_ends = _walk_branch(walk, otherwise, scope)
    other_macs, left_out = account.macs_since(mark), account.parameters.since(mark.parameters)
    account.go_back(mark)
    ends = _walk_branch(walk, then, scope)
    macs = account.macs_since(mark)
    if other_macs < macs:
        left_out = account.parameters.since(mark.parameters)
        account.go_back(mark)
        ends, other_ends = _walk_branch(walk, otherwise, scope), ends
    account.other_params += account.parameters.add(left_out)  # the file holds them, whichever runs
    reason = "the data decide which branch runs, the one of fewer MACs is counted"
    account.name_unknown(node, "If", 0, multiplies=macs != other_macs, reason=reason)
    _hand_out(walk, ends, outputs)
    for output, other in zip(outputs, other_ends, strict=True):
        output.constant, output.data = False, None
        output.shape = output.shape if output.shape == other.shape else None
    return outputs


def _walk_branch(walk: GraphWalk, graph: onnx.GraphProto, scope: ValueScope) -> list[Value]:
    return walk.walk(graph, scope.new_child(), walk.new_prefix(), set())


def _hand_out(walk: GraphWalk, ends: Sequence[Value], outputs: Sequence[Value]) -> None:
    """Makes a node's outputs what its branch gives."""
    for end, output in zip(ends, outputs, strict=True):
        key = output.key
        vars(output).update(vars(replace(end, key=key, fusable=False)))
        walk.account.alive.share(key, end.key)


# Loop and Scan


@dataclass(frozen=True)
class _Passes:
    """How a body runs: how often, with which tensors from pass to pass, and what a pass takes of others.

    `leading` are tensors that are given to each pass and not handed on: a loop's counter.
    """

    count: int | None
    leading: tuple[Value, ...]
    carried: tuple[Value, ...]
    slices: tuple[Value, ...]
    ends_itself: bool  # its first result says whether it goes on
    axes: tuple[int, ...] = ()  # along which results of a pass are gathered; 0 where there are fewer
    stacks: tuple[Value, ...] = ()  # weights of which each pass takes its own

    @property
    def first(self) -> int:
        """The place of the first carried tensor among a body's inputs."""
        return len(self.leading) + self.ends_itself


def _loop(inputs: NodeInputs) -> _Passes:
    most, condition = (*inputs, None, None)[:2]
    carried = tuple(value for value in inputs[2:] if value is not None)
    count = None
    if most is not None and most.data is not None:
        count = max(0, int(most.data.reshape(-1)[0]))
    if condition is not None and condition.data is not None and not condition.data.all():
        count = 0
    elif condition is not None and condition.data is None:
        count = None
    counter = Value("", (), TensorProto.INT64)
    return _Passes(count, (counter,), carried, (), ends_itself=True)


def _scan(walk: GraphWalk, node: onnx.NodeProto, inputs: NodeInputs) -> _Passes:
    options = attributes_of(node)
    scans = int(options["num_scan_inputs"])
    if not 0 < scans <= len(inputs):
        raise ValueError(f"num_scan_inputs = {scans}")
    values = [value for value in inputs if value is not None]
    carried, whole = values[: len(values) - scans], values[len(values) - scans :]
    axes = [*options.get("scan_input_axes", ()), *([0] * scans)]
    count, slices = None, []
    for value, axis in zip(whole, axes, strict=False):
        shape = value.shape
        if shape is not None:
            position = axis % len(shape)
            count = shape[position]
            walk.account.note_mixed(node, value, position)
            shape = shape[:position] + shape[position + 1 :]
        weights = value.constant and holds_parameters(value)
        one = Value(value.key, shape, value.dtype, layer=value.layer, constant=weights, stored=weights)
        one.origin = value.origin
        slices.append(one)
    stacks = tuple(value for value, one in zip(whole, slices, strict=True) if one.constant)
    gathered = tuple(options.get("scan_output_axes", ()))
    return _Passes(count, (), tuple(carried), tuple(slices), ends_itself=False, axes=gathered, stacks=stacks)


def _repeat(
    walk: GraphWalk,
    node: onnx.NodeProto,
    body: onnx.GraphProto,
    passes: _Passes,
    scope: ValueScope,
    outputs: list[Value],
) -> list[Value]:
    if passes.count == 0:
        _hand_out(walk, passes.carried, outputs[: len(passes.carried)])
        return outputs
    account = walk.account
    mark = account.mark()
    try:
        same = _handed_on(body, passes)
        begun = (value for place, value in enumerate(passes.carried, passes.first) if place not in same)
        learnt = (value for value in begun if not value.zeros)
        account.other_params += sum(map(account.parameters.table, (*passes.stacks, *learnt)))
        ends, goes_on = _one_pass(walk, body, passes, scope, same)
    except EvoFairError:
        account.go_back(mark)
        why = "its body can't be read, and is not counted"
        account.name_unknown(node, node.op_type, 0, reason=why, hides_params=True)
        return outputs
    carried = len(passes.carried)
    steady = all(end.shape == start.shape for end, start in zip(ends[:carried], passes.carried, strict=True))
    count = passes.count if goes_on else None
    if count is None or not steady:
        why = "its tensors grow from pass to pass" if count is not None else "the data decide how often it runs"
        multiplies = account.macs_since(mark) > 0
        account.name_unknown(node, node.op_type, 0, multiplies=multiplies, reason=f"{why}, one pass is counted")
    else:
        account.repeat(mark, count)
        if any(layer.repeats > MOST_REPEATS for layer in account.layers[mark.layers :]):
            raise InputShapeError(f"its body runs more than {MOST_REPEATS:.0e} times")
        if len(account.layers) > mark.layers:
            account.name_stand_in(node.op_type, account.macs_since(mark))
    for output, start, end in zip(outputs, passes.carried, ends, strict=False):
        output.shape, output.dtype, output.layer = start.shape if steady else None, start.dtype, end.layer
        if end.constant and end.origin == start.origin:
            _hand_out(walk, [start], [output])
        account.alive.share(output.key, end.key)
    axes = (*passes.axes, *([0] * len(outputs)))
    for output, end, axis in zip(outputs[carried:], ends[carried:], axes, strict=False):
        output.shape, output.dtype, output.layer = (
            _gathered(end.shape, count if steady else None, axis),
            end.dtype,
            end.layer,
        )
        account.alive.run([end.key], {output.key: output.size})
    return outputs


def _gathered(shape: Shape | None, count: int | None, axis: int) -> Shape | None:
    if shape is None or count is None:
        return None
    position = axis % (len(shape) + 1)
    return (*shape[:position], count, *shape[position:])


def _one_pass(
    walk: GraphWalk, body: onnx.GraphProto, passes: _Passes, scope: ValueScope, same: set[int]
) -> tuple[list[Value], bool]:
    """Walks a body once; returns what it hands on and gathers, and whether it runs as often as was asked.

    `same` are the inputs that each pass hands on as they are.
    """
    prefix, inner = walk.new_prefix(), scope.new_child()
    condition = (Value("", (), TensorProto.BOOL),) if passes.ends_itself else ()
    given = (*passes.leading, *condition, *passes.carried, *passes.slices)
    if len(given) != len(body.input):
        raise ValueError(f"a body of {len(body.input)} inputs for {len(given)}")
    for place, (value, source) in enumerate(zip(body.input, given, strict=True)):
        key = prefix + value.name
        if source.constant and (place in same or place >= len(given) - len(passes.slices)):
            inner[value.name] = replace(source, key=key)
        else:
            inner[value.name] = Value(key, source.shape, source.dtype, layer=source.layer)
        if source.key:
            walk.account.alive.share(key, source.key)
    ends = walk.walk(body, inner, prefix, set())
    if not passes.ends_itself:
        return ends, True
    on = body.output[0].name
    goes_on = body.input[1].name in _copied(body, on) or (ends[0].data is not None and bool(ends[0].data.all()))
    return ends[1:], goes_on


def _handed_on(body: onnx.GraphProto, passes: _Passes) -> set[int]:
    """The places of the inputs of a body that each pass hands on as they are."""
    names = [value.name for value in body.input[passes.first :]]
    results = [value.name for value in body.output[int(passes.ends_itself) :]]
    carried = list(zip(names, results, strict=False))[: len(passes.carried)]
    return {place for place, (name, end) in enumerate(carried, passes.first) if name in _copied(body, end)}


def _copied(body: onnx.GraphProto, name: str) -> set[str]:
    """A tensor's name, and those of what it is a copy of."""
    copies = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Identity" and node.input}
    names = {name}
    while (name := copies.get(name, name)) not in names:
        names.add(name)
    return names
