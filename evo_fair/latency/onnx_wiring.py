"""How an ONNX graph's nodes hang together by name, and which conversions are part of integer kernels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

import onnx

__all__ = [
    "CASTS",
    "QUANTISING",
    "RESHAPES",
    "VIEWS",
    "Wiring",
    "computes_in_bytes",
    "graphs_of",
    "in_order",
    "name_of",
]

RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
VIEWS = RESHAPES | {"Identity", "Dropout"}
CASTS = frozenset({"Cast", "CastLike"})
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_INTEGER_NAMES = """
    ConvInteger MatMulInteger DynamicQuantizeLinear QGemm DynamicQuantizeMatMul MatMulIntegerToFloat DynamicQuantizeLSTM
"""
INTEGER = frozenset(_INTEGER_NAMES.split())
# What ONNX Runtime computes in integers between a dequantisation and a quantisation, which then cost nothing.
INTEGER_KERNELS = VIEWS | {
    *("Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "MaxPool", "Concat"),
    *("Split", "Slice", "Gather", "Transpose", "Resize", "DepthToSpace", "SpaceToDepth", "Expand", "Pad", "Where"),
    *("Sigmoid", "LeakyRelu", "Softmax", "Relu", "Clip"),
}


class Wiring:
    """Who makes and who reads each tensor, in a graph and all graphs inside of it, by name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        self.maker: dict[str, onnx.NodeProto] = {}
        self.given: Counter[str] = Counter()  # how often a graph gives a tensor as its result
        self._note(graph)

    def _note(self, graph: onnx.GraphProto) -> None:
        self.given.update(value.name for value in graph.output)
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
            for name in node.output:
                self.maker[name] = node
            for inner in graphs_of(node).values():
                self._note(inner)

    def uses(self, name: str) -> int:
        """How often a tensor is read, by whoever asks for the results too."""
        return len(self.readers.get(name, ())) + self.given[name]

    def joins_scales(self, node: onnx.NodeProto) -> bool:
        """Whether a product joins the scale of an input with those of weights, as dynamic quantisation writes it."""
        makers = [self.maker.get(name) for name in node.input]
        return (
            node.op_type == "Mul"
            and None in makers
            and any(maker is not None and maker.op_type == "DynamicQuantizeLinear" for maker in makers)
        )

    def fills_in_for_a_norm(self, node: onnx.NodeProto) -> bool:
        """Whether exporters may have made up the scale and shift of a norm, which needs them.

        So it is where it is part of a group norm, between two reshapes, or where both are constants among the nodes.
        """
        makers = [maker.op_type if (maker := self.maker.get(name)) is not None else "" for name in node.input]
        reshaped = any(reader.op_type == "Reshape" for reader in self.readers.get(node.output[0], ()))
        return makers[1:] == ["Constant", "Constant"] or (makers[:1] == ["Reshape"] and reshaped)

    def joins_integer_kernel(self, node: onnx.NodeProto, kind: str) -> bool:
        """Whether a conversion is part of an integer kernel, as ONNX Runtime makes them of operators between two."""
        if kind == "DequantizeLinear":
            readers = self.readers.get(node.output[0], [])
            return bool(readers) and all(self._is_integer_kernel(reader) for reader in readers)
        maker = self.maker.get(node.input[0])
        if maker is not None and maker.op_type in ("Relu", "Clip"):
            maker = self.maker.get(maker.input[0], maker)
        if maker is None or maker.op_type not in INTEGER_KERNELS:
            return False
        makers = [self.maker.get(name) for name in maker.input[: _operands(maker)]]
        return all(m is None or m.op_type in ("DequantizeLinear", "Constant") for m in makers) and any(makers)

    def _is_integer_kernel(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in INTEGER_KERNELS or not node.output:
            return False
        if node.op_type in ("MatMul", "Gemm"):  # they also have kernels that read integers and write floats
            return True
        for name in node.output:
            for reader in self.readers.get(name, [node]):
                if reader.op_type in ("Relu", "Clip") and reader.output:
                    if any(r.op_type != "QuantizeLinear" for r in self.readers.get(reader.output[0], [node])):
                        return False
                elif reader.op_type != "QuantizeLinear":
                    return False
        return True


def computes_in_bytes(kind: str, dtype: int) -> bool:
    """Whether an operator on data computes with integers of 8 bits, or makes them: weights may be stored as such alone.

    `dtype` is the type of what it makes, as ONNX numbers types.
    """
    if kind == "QuantizeLinear":
        return dtype in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return kind in INTEGER or kind.startswith("QLinear")


def name_of(node: onnx.NodeProto) -> str:
    """A node's name, or else that of what it makes."""
    return node.name or ", ".join(node.output[:1])


def graphs_of(node: onnx.NodeProto) -> dict[str, onnx.GraphProto]:
    """The graphs in a node's attributes, by name."""
    return dict(_graphs(node))


def _graphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for i, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}[{i}]", graph


def _operands(node: onnx.NodeProto) -> int:
    """How many of a node's inputs are tensors that it computes with."""
    return len(node.input) if node.op_type == "Concat" else 2 if node.op_type in ("Add", "Mul", "MatMul") else 1


def in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes, each behind those that make what it reads, otherwise as they stand; ONNX Runtime sorts them, too.

    Nodes that go in a circle stay as they stand.
    """
    maker = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    needed = [{maker[name] for name in _read(node) if name in maker} - {place} for place, node in enumerate(nodes)]
    if all(first < place for place, before in enumerate(needed) for first in before):
        return list(nodes)
    readers: dict[int, list[int]] = {}
    for place, before in enumerate(needed):
        for first in before:
            readers.setdefault(first, []).append(place)
    lacking = [len(before) for before in needed]
    ready = [place for place, count in enumerate(lacking) if not count]
    found = []
    while ready:
        place = heappop(ready)
        found.append(nodes[place])
        for reader in readers.get(place, ()):
            lacking[reader] -= 1
            if not lacking[reader]:
                heappush(ready, reader)
    return found if len(found) == len(nodes) else list(nodes)


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, and the graphs inside of it."""
    yield from (name for name in node.input if name)
    for graph in graphs_of(node).values():
        for inner in graph.node:
            yield from _read(inner)
        yield from (value.name for value in graph.output)
