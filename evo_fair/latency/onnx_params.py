"""The parameters of an ONNX graph: weights, biases and tables, each once however many nodes read it."""

from collections.abc import Sequence

import onnx

from evo_fair.latency.onnx_rows import CONVOLUTIONS, MATRICES, RECURRENT, Row, weights_of
from evo_fair.latency.onnx_values import Value
from evo_fair.latency.onnx_wiring import CASTS, QUANTISING, VIEWS

__all__ = ["SAME_PARAMETERS", "Parameters", "holds_parameters", "may_take_a_bias"]

# Of their constants only the first counts as parameters, or none does: the rest say how and where, not what.
NO_PARAMETERS = frozenset({"Resize", "Upsample", "Pad", "Clip", "Range", "OneHot", "Shape", "Size", "Slice", "Split"})
SAME_PARAMETERS = VIEWS | CASTS | {"Transpose", "DequantizeLinear"}
FIRST_ALONE = frozenset({"Gather", "GatherElements", "GatherND", "Expand", "Tile", "Reshape", *QUANTISING})
PARAMETER_TYPES = frozenset(
    {
        *(onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE),
        *(onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT4, onnx.TensorProto.UINT4),
    }
)


def holds_parameters(value: Value | None) -> bool:
    """Whether a constant holds weights or a table: neither a scalar nor what is computed of shapes."""
    return value is not None and value.stored and value.size > 1 and value.dtype in PARAMETER_TYPES


def may_take_a_bias(kind: str) -> bool:
    """Whether an addition right behind a node is its bias, for want of an input for one."""
    return kind in MATRICES and "Gemm" not in kind


class Parameters:
    """Counts parameters that were not counted before."""

    def __init__(self) -> None:
        self.counted: set[str] = set()

    def of_node(self, kind: str, inputs: Sequence[Value | None], row: Row) -> int:
        """The parameters that a node has of its own, those that were counted before left out."""
        if kind in CONVOLUTIONS | MATRICES:
            weight = weights_of(kind, inputs)
            params = self._count(weight) if weight is not None else 0
            if may_take_a_bias(kind):
                return params  # an addition behind it is its bias
            return params + row.row[2] if params else 0  # with a bias, as the layer table has it
        if kind in NO_PARAMETERS:
            return 0
        chosen = inputs
        if kind == "BatchNormalization":
            chosen = inputs[1:3]  # the statistics fold into them
        elif kind in FIRST_ALONE:
            chosen = inputs[:1]
        elif kind in RECURRENT:
            chosen = inputs[1:4]  # what follows are states
        return sum(self.table(value) for value in chosen if value is not None)

    def table(self, value: Value) -> int:
        """The parameters in a constant that is no convolution's or product's: scalars and what is computed are none."""
        return self._count(value) if value.constant and holds_parameters(value) else 0

    def _count(self, value: Value) -> int:
        if value.origin in self.counted:
            return 0
        self.counted.add(value.origin)
        return value.size
