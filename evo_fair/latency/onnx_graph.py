"""ONNX graphs of the usual vision operators as layer tables; what is unknown is listed, never left out in silence.

A graph is read by shape alone: weights are not loaded. Batch norm and simple activations right behind a convolution,
linear layer or addition belong to it, as runtimes fuse them; views cost nothing; what moves or maps values one by one
is an `activation` row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.latency.liveness import Liveness
from evo_fair.latency.onnx_file import InputShapeError, Shape, has_sizes, open_onnx
from evo_fair.layers import COLUMNS, LayerTable, Op

__all__ = ["GraphLayer", "GraphLayers", "UnknownOperator", "read_onnx"]

VIEWS = frozenset({"Flatten", "Reshape", "Identity", "Dropout", "Squeeze", "Unsqueeze", "Cast"})
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})  # part of the integer kernels around them
INTEGER = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})
FUSED = frozenset({"Relu", "Clip", "LeakyRelu", "PRelu", "BatchNormalization"})
GATING = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Relu", "Tanh", "Softplus"})
_MAPS = """
    Relu Clip LeakyRelu PRelu BatchNormalization HardSwish HardSigmoid Sigmoid Swish Mish Elu Selu Celu Gelu Tanh
    Softplus Softsign Softmax LogSoftmax Exp Log Sqrt Reciprocal Erf Neg Abs Pow Min Max Where Round Floor Ceil
    LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LpNormalization LRN
"""
_MOVES = "Concat Split Slice Transpose Pad Resize Upsample DepthToSpace SpaceToDepth Gather Expand Tile"
_REDUCES = "ReduceMean ReduceSum ReduceMax ReduceMin ReduceL2"
ELEMENTWISE = frozenset(f"{_MAPS} {_MOVES} {_REDUCES}".split())
SUMS = frozenset({"Add", "Sub", "Sum"})
PRODUCTS = frozenset({"Mul", "Div"})
FUSING_OPS = frozenset({Op.CONV, Op.DEPTHWISE, Op.LINEAR, Op.ADD})
PLAIN_DOMAINS = frozenset({"", "ai.onnx"})
LARGEST_DIMENSION = 2**24


@dataclass(frozen=True)
class GraphLayer:
    """A layer row int32 `[8]` and the node that it stands for; MACs and parameters are those of the node itself."""

    name: str
    operator: str
    row: tuple[int, ...]
    macs: int
    params: int


@dataclass(frozen=True)
class UnknownOperator:
    """An operator that the latency model knows nothing of, and its share of the graph's tensor traffic."""

    operator: str
    nodes: int
    share: float


@dataclass(frozen=True)
class GraphLayers:
    """A graph as layers, in order, and the operators that could not be turned into any.

    `peak_values` is the largest number of activation values that are alive at once, for one sample: what the operator
    that runs reads and writes, and what is read later. Views and fused activations take the place of what they read.
    `quantised` says whether any operator computes with integers of 8 bits.
    """

    layers: tuple[GraphLayer, ...]
    unknown: tuple[UnknownOperator, ...]
    input_shape: Shape
    peak_values: int
    quantised: bool = False

    @property
    def table(self) -> LayerTable:
        """The layer table, int32 `[1, layers, 8]`."""
        rows = [layer.row for layer in self.layers]
        return np.array(rows, np.int32).reshape(1, len(rows), len(COLUMNS))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers and matrix products."""
        return sum(layer.macs for layer in self.layers)

    @property
    def params(self) -> int:
        """Weights and biases as deployed, batch norm folded."""
        return sum(layer.params for layer in self.layers)


def read_onnx(path: str | Path, input_shape: Shape | None = None) -> GraphLayers:
    """Reads an ONNX file as layers; `input_shape` includes the batch, such as `(1, 3, 224, 224)`.

    A free batch dimension is taken as 1. Raises `EvoFairError` for a file that is no ONNX model, and for dynamic
    shapes that `input_shape` does not settle.
    """
    path = Path(path)
    model, shape = open_onnx(path, input_shape)
    return _Reader(model, path, shape).read()


@dataclass
class _Reader:
    """Walks the nodes in order and keeps what is known of each tensor."""

    model: onnx.ModelProto
    path: Path
    input_shape: Shape
    layers: list[GraphLayer] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    sizes: dict[str, Shape] = field(default_factory=dict)  # of constants
    producer: dict[str, int] = field(default_factory=dict)  # the row that made a tensor; -1 for the input
    fusable: set[str] = field(default_factory=set)  # tensors that an activation behind them joins
    gates: dict[str, str] = field(default_factory=dict)  # sigmoid(x) and its like -> x
    uses: dict[str, int] = field(default_factory=dict)
    traffic: dict[str, list[int]] = field(default_factory=dict)  # unknown operator -> [nodes, values]
    alive: Liveness = field(default_factory=Liveness)
    all_traffic: int = 0

    def read(self) -> GraphLayers:
        graph = self.model.graph
        for value in (*graph.input, *graph.value_info, *graph.output):
            if has_sizes(value):
                self.shapes[value.name] = tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
        for tensor in graph.initializer:
            self.constants.add(tensor.name)
            self.sizes[tensor.name] = tuple(int(size) for size in tensor.dims)
        for value in graph.input:
            if value.name not in self.constants:
                self.producer[value.name] = -1
        self.alive.run((), self._sizes_of(self.producer))
        for node in graph.node:
            for name in node.input:
                self.uses[name] = self.uses.get(name, 0) + 1
        for node in graph.node:
            try:
                self._node(node)
            except (LookupError, ArithmeticError, TypeError, ValueError) as reason:  # inputs or attributes are lacking
                raise EvoFairError(
                    f"{self.path}: node {_name(node)!r} ({_kind(node)}) is not as ONNX defines it "
                    f"({in_a_line(reason)}): export the network again"
                ) from reason
        if not self.layers:
            raise EvoFairError(f"{self.path} has no operator that takes time: export a network")
        unknown = [
            UnknownOperator(name, nodes, values / max(self.all_traffic, 1))
            for name, (nodes, values) in sorted(self.traffic.items(), key=lambda item: -item[1][1])
        ]
        peak = self.alive.peak(value.name for value in graph.output)
        quantised = any(node.op_type in QUANTISING | INTEGER for node in graph.node)
        return GraphLayers(tuple(self.layers), tuple(unknown), self.input_shape, peak, quantised)

    def _node(self, node: onnx.NodeProto) -> None:
        data = [name for name in node.input if name and name not in self.constants]
        if node.op_type == "Shape" or not data:
            self._constant(node)
            return
        kind = _kind(node)
        if kind in VIEWS | QUANTISING:
            self._pass_on(node, data[0])
            return
        self.all_traffic += self._values(node)
        if self._fuses(node, kind, data):
            self._pass_on(node, data[0])
            self.fusable.update(node.output)
            return
        row = self._row(node, kind, data)
        if row is None:
            counted = self.traffic.setdefault(kind, [0, 0])
            counted[0] += 1
            counted[1] += self._values(node)
            self._pass_on(node, data[0])
            self.alive.run(data, self._sizes_of(node.output))
        elif row:
            self._append(node, row)
            self.alive.run(data, self._sizes_of(node.output))

    def _constant(self, node: onnx.NodeProto) -> None:
        self.constants.update(node.output)
        for name in node.output:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self.sizes[name] = tuple(int(size) for size in node.attribute[0].t.dims)
            else:
                self.sizes[name] = self.shapes.get(name, self.sizes.get(node.input[0], ()) if node.input else ())

    def _pass_on(self, node: onnx.NodeProto, source: str) -> None:
        for name in node.output:
            self.producer[name] = self.producer.get(source, -1)
            self.alive.share(name, source)
            if source in self.fusable and self.uses.get(source, 0) == 1:
                self.fusable.add(name)

    def _fuses(self, node: onnx.NodeProto, kind: str, data: list[str]) -> bool:
        """Whether a node joins the layer before it: an activation, a batch norm, or a bias or scale by channel."""
        source = data[0]
        if source not in self.fusable or self.uses.get(source, 0) != 1 or len(data) != 1:
            return False
        if kind in FUSED:
            return True
        if kind not in SUMS | PRODUCTS or kind == "Sum":
            return False
        other = next(name for name in node.input if name != source)
        return 1 < prod(self.sizes.get(other, ())) <= self._channels(source)

    def _append(self, node: onnx.NodeProto, layer: "_Row") -> None:
        name = _name(node)
        wrong = [column for column, value in zip(COLUMNS, layer.row, strict=True) if not 0 < value <= LARGEST_DIMENSION]
        if wrong:
            raise InputShapeError(
                f"{self.path}: node {name!r} ({node.op_type}) has a {wrong[0]} that is no size: check --input-shape"
            )
        self.layers.append(GraphLayer(name, node.op_type, layer.row, layer.macs, layer.params))
        for output in node.output:
            self.producer[output] = len(self.layers) - 1
            if layer.row[0] in FUSING_OPS:
                self.fusable.add(output)

    def _row(self, node: onnx.NodeProto, kind: str, data: list[str]) -> "_Row | None":
        """The row of a node, `_NOTHING` for one that costs nothing, None for an operator that is unknown."""
        if kind in ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"):
            return self._conv(node, kind)
        if kind in ("Gemm", "MatMul", "MatMulInteger"):
            return self._product(node, kind, data)
        if kind in ("MaxPool", "AveragePool", "LpPool"):
            return self._pool(node)
        if kind in ("GlobalAveragePool", "GlobalMaxPool") or (kind.startswith("Reduce") and self._is_global(node)):
            c, h, w = self._image(node.input[0])
            return _Row((Op.GLOBAL_POOL, c, c, 1, 1, 1, h, w))
        if kind in SUMS and len(data) > 1:
            return self._sum(node, data)
        if kind in PRODUCTS and len(data) > 1:
            return self._gate(node, data)
        if kind in ELEMENTWISE or kind in SUMS or kind in PRODUCTS:
            if kind in GATING | SUMS | PRODUCTS:
                self.gates[node.output[0]] = self.gates.get(data[0], data[0])
            c, h, w = self._image(node.output[0])
            return _Row((Op.ACTIVATION, c, c, 1, 1, 1, h, w))
        return None

    def _conv(self, node: onnx.NodeProto, kind: str) -> "_Row | None":
        weight = self._shape(node.input[3 if kind == "QLinearConv" else 1])
        if len(weight) not in (3, 4):
            return None
        attributes = _attributes(node)
        c_in, h_in, w_in = self._image(node.input[0])
        c_out, h_out, w_out = self._image(node.output[0])
        groups = int(attributes.get("group", 1))
        area = prod(weight[2:])
        stride = max(attributes.get("strides", [1]))
        taps = h_in * w_in if kind == "ConvTranspose" else h_out * w_out
        params = prod(weight) + c_out
        macs = c_out * (c_in // groups) * area * taps
        kernel = _side(area)
        if kind == "ConvTranspose":
            stride, h_out, w_out = 1, h_in, w_in
        # The table's sizes round up; where a convolution without padding gives less, its own output counts.
        h_in = h_in if -(-h_in // stride) == h_out else h_out * stride
        w_in = w_in if -(-w_in // stride) == w_out else w_out * stride
        if groups > 1 and groups == c_in and c_out % c_in == 0:
            return _Row((Op.DEPTHWISE, c_in, c_out, kernel, stride, groups, h_in, w_in), macs, params)
        if h_out * w_out == 1 and area == 1 and groups == 1:
            return _Row((Op.LINEAR, c_in, c_out, 1, 1, 1, 1, 1), macs, params)
        return _Row((Op.CONV, c_in, c_out, kernel, stride, groups, h_in, w_in), macs, params)

    def _product(self, node: onnx.NodeProto, kind: str, data: list[str]) -> "_Row":
        """A matrix product: a linear layer for one row, as many pixels of a 1x1 convolution for more."""
        left, right, out = (self._shape(name) for name in (node.input[0], node.input[1], node.output[0]))
        if node.input[0] in self.constants and node.input[1] not in self.constants:
            left, right = right[::-1], left[::-1]
            out = out[::-1]
        transposed = kind == "Gemm" and _attributes(node).get("transA", 0)
        c_in = (left[-2] if transposed and len(left) > 1 else left[-1]) if left else 1
        c_out = out[-1] if out and len(right) > 1 else 1
        rows = max(1, prod(out) // max(c_out, 1) // max(1, self.input_shape[0]))
        params = prod(right) + c_out if len(data) == 1 else 0
        if rows == 1:
            return _Row((Op.LINEAR, c_in, c_out, 1, 1, 1, 1, 1), c_in * c_out, params)
        return _Row((Op.CONV, c_in, c_out, 1, 1, 1, rows, 1), rows * c_in * c_out, params)

    def _pool(self, node: onnx.NodeProto) -> "_Row":
        attributes = _attributes(node)
        c, h_in, w_in = self._image(node.input[0])
        _, h_out, w_out = self._image(node.output[0])
        kernel, stride = attributes["kernel_shape"], max(attributes.get("strides", [1]))
        if h_out * w_out == 1 and prod(kernel) == h_in * w_in:
            return _Row((Op.GLOBAL_POOL, c, c, 1, 1, 1, h_in, w_in))
        h_in = h_in if -(-h_in // stride) == h_out else h_out * stride
        w_in = w_in if -(-w_in // stride) == w_out else w_out * stride
        return _Row((Op.POOL, c, c, _side(prod(kernel)), stride, 1, h_in, w_in))

    def _is_global(self, node: onnx.NodeProto) -> bool:
        shape_in, shape_out = self._shape(node.input[0]), self._shape(node.output[0])
        return node.op_type in ("ReduceMean", "ReduceMax", "ReduceSum") and (
            len(shape_in) == 4 and prod(shape_out) == shape_in[0] * shape_in[1]
        )

    def _sum(self, node: onnx.NodeProto, data: list[str]) -> "_Row":
        """An addition; its kernel column says how many rows back the earlier operand was made, see evo_fair.layers."""
        c, h, w = self._image(node.output[0])
        back = len(self.layers) - min(self.producer.get(name, -1) for name in data)
        return _Row((Op.ADD, c, c, max(1, back), 1, 1, h, w))

    def _gate(self, node: onnx.NodeProto, data: list[str]) -> "_Row":
        """A product of two tensors; x * sigmoid(x) is one activation, which its sigmoid already stands for."""
        for gate, source in (data[:2], data[1::-1]):
            if self.gates.get(gate) == source:
                self._pass_on(node, data[0])
                self.alive.run(data, {})
                self.alive.share(node.output[0], gate)
                return _NOTHING
        c, h, w = self._image(node.output[0])
        return _Row((Op.MUL, c, c, 1, 1, 1, h, w))

    def _shape(self, name: str) -> Shape:
        shape = self.sizes.get(name) if name in self.constants else self.shapes.get(name)
        if shape is None:
            raise EvoFairError(
                f"{self.path}: the shape of {name!r} can't be told from the graph, for want of that of "
                f"{self._unclear(name)}: export the network without it, or with all tensors' shapes for a fixed input"
            )
        return shape

    def _unclear(self, name: str) -> str:
        """The first tensor on the way to the tensor `name` of which no shape is known, and the operator behind it."""
        for node in reversed(self.model.graph.node):
            if name in node.output:
                unknown = [source for source in node.input if source and source not in self.shapes.keys() | self.sizes]
                if not unknown:
                    return f"{name!r}, which {_kind(node)} makes"
                name = unknown[0]
        return f"the input {name!r}"

    def _image(self, name: str) -> tuple[int, int, int]:
        """Channels, height and width of a tensor for one sample; without an image, what there is of it."""
        shape = self._shape(name)[1:] or (1,)
        if len(shape) == 1:
            return shape[0], 1, 1
        if len(shape) == 2:
            return shape[0], shape[1], 1
        return shape[0], shape[1], prod(shape[2:])

    def _channels(self, name: str) -> int:
        shape = self.shapes.get(name, ())
        return shape[1] if len(shape) > 2 else shape[-1] if shape else 1

    def _sizes_of(self, names: Iterable[str]) -> dict[str, int]:
        """How many values of one sample each of the tensors holds whose shape is known."""
        samples = max(1, self.input_shape[0])
        return {name: prod(self.shapes[name]) // samples for name in names if name in self.shapes}

    def _values(self, node: onnx.NodeProto) -> int:
        """The values that a node reads and writes, weights not counted."""
        names = [name for name in (*node.input, *node.output) if name and name not in self.constants]
        return sum(prod(self.shapes[name]) for name in names if name in self.shapes)


@dataclass(frozen=True)
class _Row:
    row: tuple[int, ...]
    macs: int = 0
    params: int = 0

    def __bool__(self) -> bool:
        return bool(self.row)


_NOTHING = _Row(())


def _name(node: onnx.NodeProto) -> str:
    return node.name or ", ".join(node.output[:1])


def _kind(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in PLAIN_DOMAINS else f"{node.domain}.{node.op_type}"


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return dict(_attribute_values(node))


def _attribute_values(node: onnx.NodeProto) -> Iterator[tuple[str, Any]]:
    for attribute in node.attribute:
        yield attribute.name, onnx.helper.get_attribute_value(attribute)


def _side(area: int) -> int:
    """The side of the square window with the nearest area."""
    side = isqrt(area)
    return max(1, side if area - side * side <= (side + 1) ** 2 - area else side + 1)
