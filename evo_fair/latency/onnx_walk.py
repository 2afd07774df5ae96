"""Walks the nodes of an ONNX graph in order, with its inputs' shapes, and turns them into layers.

Nothing is left out without being named: a node costs nothing only if it is a view, joins the layer before it, or is
computed from constants and shapes alone. The bodies of `If`, `Loop` and `Scan` are walked too
(`evo_fair.latency.onnx_control`).
"""

from collections.abc import Mapping, Sequence

import onnx

from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.latency.onnx_account import Account, WalkStep
from evo_fair.latency.onnx_asking import aligned
from evo_fair.latency.onnx_control import CONTROL, ValueScope, walk_control
from evo_fair.latency.onnx_file import MOST_NODES, Inputs, InputShapeError, OnnxFile, Shape, quoted
from evo_fair.latency.onnx_fusing import Fusing
from evo_fair.latency.onnx_layers import GraphLayer, GraphLayers
from evo_fair.latency.onnx_params import SAME_PARAMETERS, holds_parameters, leaves_as_is, parts_of
from evo_fair.latency.onnx_rows import (
    CONVOLUTIONS,
    ELEMENTWISE,
    GATES,
    MATRICES,
    PRODUCTS,
    SUMS,
    UNPRICED,
    Row,
    batch_axis,
    image_of,
    row_of,
)
from evo_fair.latency.onnx_value import Value
from evo_fair.latency.onnx_values import canonical, infer, initial, is_foreign
from evo_fair.latency.onnx_wiring import (
    CASTS,
    QUANTISING,
    RESHAPES,
    VIEWS,
    Wiring,
    computes_in_bytes,
    graphs_of,
    in_order,
    name_of,
)
from evo_fair.layers import COLUMNS, Op
from evo_fair.registries import OPERATORS

__all__ = ["Walk"]

LARGEST_DIMENSION = 2**24
IMAGE_AXES = 2
ALIGNED_BY_SHAPE = 7  # the operator set since which additions and products align their inputs from behind

Stated = Mapping[str, tuple[Shape, int]]
"""The shapes and types that a file states for its tensors, by name."""


class Walk:
    """One walk over a graph, which keeps what is known of each tensor."""

    def __init__(self, file: OnnxFile, inputs: Inputs, shapes: Mapping[str, Shape]) -> None:
        self.file, self.inputs, self.shapes = file, inputs, shapes
        self.path, self.graph = file.path, file.model.graph
        self.account = Account()
        self.fusing = Fusing(self.account, Wiring(self.graph))
        self.unclear: dict[str, tuple[str, bool]] = {}  # tensor without a shape -> why, and whether data decide it
        self.quantised = False  # whether any operator computes with integers of 8 bits
        self.graphs = 0  # walked inside of others
        self.walked = 0  # nodes, those of branches each time

    def run(self) -> GraphLayers:
        """Walks the graph. Raises `EvoFairError` for one that can't be read with these shapes."""
        scope = ValueScope()
        for value in self.graph.input:
            if value.name in self.shapes:
                dtype = value.type.tensor_type.elem_type
                scope[value.name] = Value(value.name, self.shapes[value.name], dtype)
        self.account.alive.run((), {name: scope[name].size for name in self.shapes})
        ends = self.walk(self.graph, scope, "", {value.name for value in self.graph.output})
        account, unknown = self.account, self.account.unknown()
        if not account.layers:
            kinds = sorted({operator.operator for operator in unknown})
            names = ", ".join(kinds[:5])
            if kinds and all(kind in OPERATORS for kind in kinds):
                raise EvoFairError(
                    f"{self.path} has no operator whose shapes can be told before it runs ({names}): export it with "
                    "sizes that are fixed, and with small constants in the file itself"
                )
            known = f" that the model knows, only {names}" if names else " that takes time"
            raise EvoFairError(f"{self.path} has no operator{known}: export a network")
        return GraphLayers(
            tuple(account.layers),
            unknown,
            self.shapes.get(self.inputs.main or "", ()),
            account.alive.peak(value.key for value in ends),
            self.quantised,
            tuple(self.shapes.items()),
            None,
            tuple(account.stand_ins.values()),
            account.other_params,
            account.made_values,
            account.made_macs,
        )

    # Graphs and nodes

    def walk(self, graph: onnx.GraphProto, scope: ValueScope, prefix: str, ends: set[str]) -> list[Value]:
        """Walks a graph whose inputs are in `scope`; returns what it gives. `ends` are the names that must last."""
        for tensor in graph.initializer:
            scope[tensor.name] = self._initial(tensor, tensor.name, prefix)
        for sparse in graph.sparse_initializer:
            shape = tuple(int(size) for size in sparse.dims)
            key = prefix + sparse.values.name
            scope[sparse.values.name] = Value(key, shape, constant=True, origin=key, stored=True)
        stated = self._stated(graph) if self.inputs.stated or prefix else {}
        outer = self.fusing.wiring
        if prefix:  # graphs beside each other may share names
            self.fusing.wiring = Wiring(graph)
        try:
            for node in in_order(graph.node):
                self._guarded(node, scope, prefix, ends, stated)
        finally:
            self.fusing.wiring = outer
        missing = [value.name for value in graph.output if value.name not in scope]
        if missing:
            raise EvoFairError(f"{self.path} has an output {quoted(missing[0])} that no node makes: export it again")
        return [scope[value.name] for value in graph.output]

    def _initial(self, tensor: onnx.TensorProto, name: str, prefix: str) -> Value:
        try:
            return initial(tensor, prefix + name)
        except (LookupError, ArithmeticError, TypeError, ValueError) as reason:
            if isinstance(reason, UnicodeDecodeError):
                raise
            raise EvoFairError(
                f"{self.path}: constant {quoted(name)} is damaged ({in_a_line(reason)}): export the network again"
            ) from reason

    @staticmethod
    def _stated(graph: onnx.GraphProto) -> dict[str, tuple[Shape, int]]:
        """The shapes that a file states for its tensors, and their types."""
        stated = {}
        for value in (*graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape") and all(dim.dim_value > 0 for dim in tensor.shape.dim):
                stated[value.name] = tuple(int(dim.dim_value) for dim in tensor.shape.dim), tensor.elem_type
        return stated

    def _guarded(self, node: onnx.NodeProto, scope: ValueScope, prefix: str, ends: set[str], stated: Stated) -> None:
        self.walked += 1
        if self.walked > 2 * MOST_NODES:
            raise EvoFairError(f"{self.path} has too many branches in one another: export the network again")
        try:
            self._node(node, scope, prefix, ends, stated)
        except InputShapeError as reason:
            if str(reason).startswith(str(self.path)):
                raise
            raise InputShapeError(
                f"{self._where(node)} does not fit its input ({in_a_line(reason)}): check --input-shape, "
                "or export the network again"
            ) from reason
        except (EvoFairError, UnicodeDecodeError):
            raise
        except (LookupError, ArithmeticError, TypeError, ValueError) as reason:  # inputs or attributes are lacking
            raise EvoFairError(
                f"{self._where(node)} is not as ONNX defines it ({in_a_line(reason)}): export the network again"
            ) from reason

    def _where(self, node: onnx.NodeProto) -> str:
        return f"{self.path}: node {quoted(name_of(node))} ({quoted(canonical(node))[1:-1]})"

    def _node(self, node: onnx.NodeProto, scope: ValueScope, prefix: str, ends: set[str], stated: Stated) -> None:
        inputs = [scope[name] if name else None for name in node.input]
        kind = canonical(node)
        if kind in SUMS | PRODUCTS and self.file.opsets.get("", 1) < ALIGNED_BY_SHAPE:
            inputs = list(aligned(node, inputs))
        control = kind in CONTROL or bool(graphs_of(node))
        if control:
            outputs = walk_control(self, node, kind, inputs, scope, prefix)
        else:
            outputs = infer(self.file, node, inputs, prefix)
        for name, output in zip(node.output, outputs, strict=True):
            if output.shape is None and name in stated:
                output.shape, stated_type = stated[name]
                output.dtype = output.dtype or stated_type
            if output.shape is None and output.key:
                self._note_unclear(node, kind, inputs, output)
            if name:
                scope[name] = output
        if control:
            return
        if outputs and all(output.constant for output in outputs) and not is_foreign(node):
            self._note_constants(node, kind, inputs, outputs)
            return
        for output in outputs:
            output.constant, output.data = False, None
        used = [output for output in outputs if output.key]
        if not used:
            raise ValueError("it makes nothing")
        self._compute(node, kind, inputs, used, ends)

    def _note_constants(
        self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], outputs: Sequence[Value]
    ) -> None:
        """Follows parameters through what is computed of them when the network is loaded."""
        if kind == "Constant":
            return
        self.account.made_values += sum(output.size for output in outputs)
        if kind in CONVOLUTIONS | MATRICES and all(v is None or v.shape is not None for v in (*inputs, *outputs)):
            row = row_of(node, kind, inputs, outputs)
            self.account.made_macs += row.macs if row is not None else 0
        stored = any(map(holds_parameters, inputs)) or _is_table_of_bytes(kind, inputs)
        for output in outputs:
            output.stored = stored
            output.parts = parts_of(kind, inputs, output) if stored else ()
            output.zeros = stored and not any(holds_parameters(value) and not value.zeros for value in inputs if value)
        if kind in SAME_PARAMETERS and inputs and inputs[0] is not None:
            outputs[0].origin, outputs[0].parts = inputs[0].origin, inputs[0].parts

    def _note_unclear(self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], output: Value) -> None:
        """Remembers why the shape of a tensor is not known: the first operator on the way to it that hides it.

        Operators of ONNX hide it where it depends on the data, as the number of boxes that are found does.
        """
        before = next((value for value in inputs if value is not None and value.key in self.unclear), None)
        if before is not None:
            self.unclear[output.key] = self.unclear[before.key]
        else:
            by_data = kind in CONTROL or not is_foreign(node)
            self.unclear[output.key] = (
                f"{quoted(output.name)}, which {quoted(kind)[1:-1]} makes",
                by_data,
            )

    # What a node comes to

    def _compute(
        self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], outputs: list[Value], ends: set[str]
    ) -> None:
        """Adds what a node costs whose outputs depend on the network's inputs."""
        data = [value for value in inputs if value is not None and not value.constant]
        self.quantised |= computes_in_bytes(kind, outputs[0].dtype)
        before = len(self.account.layers)
        if data and self._is_free(node, kind, inputs, outputs, ends):
            self._pass_on(data[0], outputs)
        else:
            self._costs(node, kind, inputs, data, outputs)
        macs = self.account.layers[-1].macs if len(self.account.layers) > before else 0
        shapes = (tuple(value.shape for value in data), tuple(value.shape for value in outputs))
        self.account.steps.append(WalkStep(kind, *shapes, batch_axis(node, kind), macs))

    def _costs(
        self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], data: list[Value], outputs: list[Value]
    ) -> None:
        values = sum(value.size for value in (*data, *outputs))
        self.account.traffic += values
        if data and self.fusing.joins(kind, inputs, data, outputs):
            self._share(data[0], outputs)
            self.fusing.join(kind, inputs, data[0], outputs)
            return
        gate = self.fusing.gate(kind, data, outputs)
        if gate is not None:
            self.account.alive.run([value.key for value in data], {})
            self._pass_on(data[0], outputs)
            self.account.alive.share(outputs[0].key, gate.key)
            return
        row = self._row(node, kind, inputs, data, outputs)
        made = outputs if kind == "Split" else outputs[:1]
        if row is not None and kind in ELEMENTWISE | SUMS | PRODUCTS and not any(output.size for output in made):
            return  # it makes a tensor without values
        if row is None:
            by_data = kind in OPERATORS
            may = kind not in UNPRICED and not (by_data and kind in ELEMENTWISE | SUMS | PRODUCTS)
            reason = "its size depends on the data" if by_data else ""
            self.account.name_unknown(node, kind, values, inputs, multiplies=may, reason=reason)
            if data:
                self._pass_on(data[0], outputs)
        else:
            wiring = self.fusing.wiring
            made_up = wiring.joins_scales(node) or (leaves_as_is(kind, inputs) and wiring.fills_in_for_a_norm(node))
            params = 0 if made_up else self.account.parameters.of_node(kind, inputs, row)
            self._append(node, kind, inputs, row, params, outputs)
        writes = {value.key: value.size for value in outputs if value.shape is not None}
        self.account.alive.run((value.key for value in data), writes)

    def _is_free(
        self,
        node: onnx.NodeProto,
        kind: str,
        inputs: Sequence[Value | None],
        outputs: list[Value],
        ends: set[str],
    ) -> bool:
        if kind in RESHAPES and inputs[0] is not None:
            # ONNX Runtime shares no memory with the network's inputs and outputs: there a view is a copy.
            copied = inputs[0].key in self.shapes or bool(ends.intersection(node.output))
            return not copied or _same_but_ones(inputs[0].shape, outputs[0].shape)
        if kind in VIEWS:
            return True
        if kind in CASTS:
            return inputs[0] is not None and inputs[0].dtype == outputs[0].dtype
        return kind in QUANTISING and self.fusing.wiring.joins_integer_kernel(node, kind)

    def _pass_on(self, source: Value, outputs: Sequence[Value]) -> None:
        self._share(source, outputs)
        self.fusing.pass_on(source, outputs)

    def _share(self, source: Value, outputs: Sequence[Value]) -> None:
        for output in outputs:
            self.account.alive.share(output.key, source.key)

    def _row(
        self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], data: list[Value], outputs: list[Value]
    ) -> Row | None:
        """The row of a node; None for an operator that is unknown."""
        if kind not in OPERATORS:
            return None
        settled = outputs[:1] if kind in ELEMENTWISE | SUMS | PRODUCTS else (*inputs, *outputs[:1])
        if any(self._depends_on_data(value) for value in settled if value is not None):
            return None
        if kind in SUMS and len(data) > 1:
            c, h, w = image_of(outputs[0].shape or ())
            back = len(self.account.layers) - min(value.layer for value in data)
            return Row((Op.ADD, c, c, max(1, back), 1, 1, h, w))
        if kind in PRODUCTS and len(data) > 1:
            c, h, w = image_of(outputs[0].shape or ())
            return Row((Op.MUL, c, c, 1, 1, 1, h, w))
        if kind in GATES | SUMS | PRODUCTS and data:
            outputs[0].gated = data[0].gated or data[0].key
        return row_of(node, kind, inputs, outputs)

    def _depends_on_data(self, value: Value) -> bool:
        """Whether a tensor's shape is known only when the network runs; raises where a strange operator hides it."""
        if value.shape is not None:
            return False
        why, by_data = self.unclear.get(value.key, (quoted(value.name), False))
        if not by_data:
            raise EvoFairError(
                f"{self.path}: the shape of {quoted(value.name)} can't be told from the graph, for want of "
                f"that of {why}: export the network without it, or with all tensors' shapes for a fixed input"
            )
        return True

    # Figures

    def _append(
        self,
        node: onnx.NodeProto,
        kind: str,
        inputs: Sequence[Value | None],
        row: Row,
        params: int,
        outputs: list[Value],
    ) -> None:
        name = name_of(node)
        wrong = [column for column, value in zip(COLUMNS, row.row, strict=True) if not 0 < value <= LARGEST_DIMENSION]
        if wrong:
            raise InputShapeError(
                f"{self.path}: node {quoted(name)} ({kind}) has a {wrong[0]} that is no size: check --input-shape"
            )
        self.fusing.begin(kind, inputs, row, params, outputs)
        self.account.layers.append(GraphLayer(name, node.op_type, row.row, row.macs, params))
        if row.stands_in:
            axes = len(outputs[0].shape or ()) - 2
            named = f"{kind}{axes}d" if kind in CONVOLUTIONS and axes > IMAGE_AXES else kind
            self.account.name_stand_in(named, row.macs)

    def new_prefix(self) -> str:
        """What the keys of another graph's tensors begin with."""
        self.graphs += 1
        return f"{self.graphs}\0"


def _is_table_of_bytes(kind: str, inputs: Sequence[Value | None]) -> bool:
    """Whether parameters are made of whole numbers, such as biases of 32 bits, that no type tells to be parameters."""
    first = inputs[0] if kind == "DequantizeLinear" and inputs else None
    return first is not None and first.stored and first.size > 1


def _same_but_ones(one: Shape | None, other: Shape | None) -> bool:
    """Whether shapes differ in axes of one value at most, as an image of one pixel and a vector do."""
    return one is not None and other is not None and [a for a in one if a > 1] == [a for a in other if a > 1]
