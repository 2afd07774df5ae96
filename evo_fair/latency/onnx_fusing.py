"""Which nodes of an ONNX graph are computed as one with the layer before them, as ONNX Runtime fuses them."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from evo_fair.latency.onnx_account import Account
from evo_fair.latency.onnx_file import Shape
from evo_fair.latency.onnx_layers import GraphLayer
from evo_fair.latency.onnx_params import may_take_a_bias
from evo_fair.latency.onnx_rows import CONVOLUTIONS, PRODUCTS, SUMS, Row
from evo_fair.latency.onnx_value import Value
from evo_fair.latency.onnx_wiring import Wiring
from evo_fair.layers import Op

__all__ = ["Fusing"]

_ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "PRelu"})
_FUSING_OPS = frozenset({Op.CONV, Op.DEPTHWISE, Op.LINEAR, Op.ADD})


class Fusing:
    """What joins the layers of one account: activations, batch norms, biases and scales by channel, and gates."""

    def __init__(self, account: Account, wiring: Wiring) -> None:
        self.account, self.wiring = account, wiring
        self.unbiased: set[int] = set()  # layers of matrix products without a bias yet

    def begin(self, kind: str, inputs: Sequence[Value | None], row: Row, params: int, outputs: Sequence[Value]) -> None:
        """Notes what may join the layer that is about to be counted, the one that makes `outputs` of `inputs`."""
        layer = len(self.account.layers)
        self.unbiased.discard(layer)  # of a branch that was walked and is not taken
        if may_take_a_bias(kind, inputs) and params:
            self.unbiased.add(layer)
        for output in outputs:
            output.layer = layer
            output.fusable = row.row[0] in _FUSING_OPS and (kind in CONVOLUTIONS or not row.stands_in)

    def pass_on(self, source: Value, outputs: Sequence[Value]) -> None:
        """Notes that `outputs` are `source` seen otherwise: what may join the layer behind it still may."""
        for output in outputs:
            output.layer, output.activated = source.layer, source.activated
            output.fusable = source.fusable and source.graph == output.graph and self._uses(source) == 1

    def joins(self, kind: str, inputs: Sequence[Value | None], data: Sequence[Value], outputs: Sequence[Value]) -> bool:
        """Whether a node joins the layer before it: an activation, a batch norm, or a bias or scale by channel."""
        source = data[0]
        if not source.fusable or self._uses(source) != 1 or len(data) != 1:
            return False
        if source.graph != outputs[0].graph:  # the body of a loop runs more often
            return False
        if kind in _ACTIVATIONS:
            return True
        layer = self.account.layers[source.layer]
        if source.activated or layer.row[0] == Op.ADD:
            return False
        if kind == "BatchNormalization":
            return _is_by_channel(outputs[0].shape, layer)
        if kind not in SUMS | PRODUCTS or kind.startswith(("Sum", "QLinear")):
            return False
        other = next(value for value in inputs if value is not source)
        if other is None or not 1 < other.size <= layer.row[2]:
            return False
        if layer.operator in CONVOLUTIONS:
            return _lies_along(other.shape, outputs[0].shape, 1)
        # Of a product nothing but its bias is one with it.
        return kind in SUMS and source.layer in self.unbiased and _lies_along(other.shape, outputs[0].shape, -1)

    def join(self, kind: str, inputs: Sequence[Value | None], source: Value, outputs: Sequence[Value]) -> None:
        """Counts the parameters of a node that joins the layer `source` comes from; its bias is counted already."""
        others = [value for value in inputs if value is not None and value is not source]
        layer = self.account.layers[source.layer]
        added = kind in SUMS | {"BatchNormalization"} and source.layer in self.unbiased
        if others and (kind == "PRelu" or added):
            self.unbiased.discard(source.layer)
            own = others[1] if kind == "BatchNormalization" else others[0]  # its scale goes into the weights
            self.account.layers[source.layer] = replace(layer, params=layer.params + self.account.parameters.table(own))
        for output in outputs:
            output.layer = source.layer
            output.fusable, output.activated = True, source.activated or kind in _ACTIVATIONS

    def gate(self, kind: str, data: Sequence[Value], outputs: Sequence[Value]) -> Value | None:
        """The gate of a product x * sigmoid(x), which is one activation that its sigmoid already stands for.

        None where the gate is read again, so that it is made for its own sake.
        """
        if kind not in PRODUCTS or len(data) != 2:
            return None
        if len({value.graph for value in (*data, *outputs)}) > 1:
            return None
        first, second = data
        gate = first if first.gated == second.key else second if second.gated == first.key else None
        return gate if gate is not None and self._uses(gate) == 1 else None

    def _uses(self, value: Value) -> int:
        return self.wiring.uses(value.name)


def _is_by_channel(shape: Shape | None, layer: GraphLayer) -> bool:
    """Whether the second axis of what a layer makes, seen in this shape, is that of its channels or features."""
    if shape is None or len(shape) < 2 or shape[1] != layer.row[2]:
        return False
    return layer.operator in CONVOLUTIONS or prod(shape[2:]) == 1


def _lies_along(constant: Shape | None, whole: Shape | None, axis: int) -> bool:
    """Whether a constant that is added to a tensor has a value for each place of one axis, and so for each channel."""
    if constant is None or whole is None or len(constant) > len(whole):
        return False
    sizes = (*[1] * (len(whole) - len(constant)), *constant)
    return [place for place, size in enumerate(sizes) if size > 1] == [axis % len(whole)]
