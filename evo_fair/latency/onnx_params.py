"""The parameters of an ONNX graph: weights, biases and tables, each once however many nodes read it.

A tensor may be cut into several, and those joined again: of what the file stores each value counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from evo_fair.latency.onnx_rows import CONVOLUTIONS, MATRICES, RECURRENT, Row, weights_of
from evo_fair.latency.onnx_value import Parts, Value
from evo_fair.latency.onnx_wiring import CASTS, QUANTISING, VIEWS

__all__ = ["SAME_PARAMETERS", "Parameters", "holds_parameters", "leaves_as_is", "may_take_a_bias", "parts_of"]

# Of their constants only the first counts as parameters, or none does: the rest say how and where, not what.
NO_PARAMETERS = frozenset({"Resize", "Upsample", "Pad", "Clip", "Range", "OneHot", "Shape", "Size", "Slice", "Split"})
SAME_PARAMETERS = VIEWS | CASTS | QUANTISING | {"Transpose"}
CUTS = frozenset({"Split", "Slice", "Gather"})
FIRST_ALONE = frozenset({"Gather", "GatherElements", "GatherND", "Expand", "Tile", "Reshape", *QUANTISING})
NORMS = frozenset({"InstanceNormalization", "LayerNormalization", "GroupNormalization"})
BIASES = {
    "QLinearConv": 8,
    "QGemm": 6,
    "DeformConv": 3,
    "DynamicQuantizeMatMul": 4,
    "MatMulIntegerToFloat": 6,
    "MatMulNBits": 5,
}
"""Which input of an operator is its bias, where it is not the third."""
WITHOUT_BIAS = frozenset({"ConvInteger", *(kind for kind in MATRICES - set(BIASES) if "Gemm" not in kind)})
PARAMETER_TYPES = frozenset(
    {
        *(onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE),
        *(onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT4, onnx.TensorProto.UINT4),
        *(kind for name, kind in onnx.TensorProto.DataType.items() if name.startswith(("FLOAT8", "FLOAT4"))),
    }
)


def holds_parameters(value: Value | None) -> bool:
    """Whether a constant holds weights or a table: neither a scalar nor what is computed of shapes."""
    if value is None or not value.stored or value.size < 2:
        return False
    if value.dtype in (onnx.TensorProto.INT16, onnx.TensorProto.UINT16):  # in a row they are codes of categories
        return sum(size > 1 for size in value.shape or ()) > 1
    return value.dtype in PARAMETER_TYPES


def leaves_as_is(kind: str, inputs: Sequence[Value | None]) -> bool:
    """Whether a norm of its own scales and shifts by ones and zeros alone."""
    if kind not in NORMS or len(inputs) != 3 or inputs[1] is None or inputs[1].data is None or inputs[2] is None:
        return False
    return inputs[2].zeros and bool((inputs[1].data == 1).all())


def may_take_a_bias(kind: str, inputs: Sequence[Value | None]) -> bool:
    """Whether an addition or a batch norm right behind a node gives it its bias, for want of one of its own."""
    return (kind in MATRICES or kind in WITHOUT_BIAS) and _bias_input(kind, inputs) is None


def parts_of(kind: str, inputs: Sequence[Value | None], output: Value) -> Parts:
    """Which stored tensors a constant is cut from or joined of.

    Nothing where its values are new ones, made of stored tensors alone. What is made of a stored tensor and of sizes,
    as a state of zeros by weights is, holds no more than that tensor, however many samples it is for.
    """
    if kind == "Concat":
        return tuple(_parts(value) for value in inputs if value is not None)
    if kind in CUTS and inputs and inputs[0] is not None:
        whole = _stored(_parts(inputs[0]))
        return tuple((name, size, output.size) for name, (size, _) in whole.items()) if len(whole) == 1 else ()
    others = [value for value in inputs if value is not None and not holds_parameters(value)]
    if not any(value.size > 1 for value in others):
        return ()
    parts = tuple(_parts(value) for value in inputs if value is not None and holds_parameters(value))
    if kind in CONVOLUTIONS | MATRICES or sum(values for _, values in _stored(parts).values()) <= output.size:
        return parts
    return ()


def _parts(value: Value) -> Parts:
    return value.parts or ((value.origin, value.size, value.size),)


def _stored(parts: Parts) -> dict[str, tuple[int, int]]:
    """The size of each stored tensor in parts, and how many of its values are there; what is there twice counts once.

    Parts hold those of other constants as they are, which thousands of joined constants then share.
    """
    found: dict[str, tuple[int, int]] = {}
    left, seen = [parts], {id(parts)}
    while left:
        for part in left.pop():
            if isinstance(part[0], str):
                name, size, taken = part
                found[name] = (size, min(size, taken + found.get(name, (0, 0))[1]))
            elif id(part) not in seen:
                seen.add(id(part))
                left.append(part)
    return found


def _bias_input(kind: str, inputs: Sequence[Value | None]) -> Value | None:
    """What a convolution or product reads as its bias, None where it reads none."""
    if kind in WITHOUT_BIAS:
        return None
    place = BIASES.get(kind, 2)
    return inputs[place] if place < len(inputs) else None


def _bias_of(kind: str, inputs: Sequence[Value | None]) -> Value | None:
    """The bias that a convolution or product reads, None where it reads none that the file holds."""
    bias = _bias_input(kind, inputs)
    return bias if bias is not None and bias.constant and bias.stored else None


@dataclass
class Parameters:
    """Counts parameters that were not counted before.

    `counted` says how many came with each tensor, `taken` how many values of each stored one.
    """

    counted: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "Parameters":
        """What is counted so far."""
        return Parameters(dict(self.counted), dict(self.taken))

    def since(self, before: "Parameters") -> dict[str, int]:
        """How many parameters came with each tensor that was not counted before."""
        return {origin: count for origin, count in self.counted.items() if origin not in before.counted}

    def add(self, found: Mapping[str, int]) -> int:
        """Counts tensors that were found elsewhere, as `since` gives them, and returns how many parameters are new."""
        new = {origin: count for origin, count in found.items() if origin not in self.counted}
        self.counted.update(new)
        return sum(new.values())

    def of_node(self, kind: str, inputs: Sequence[Value | None], row: Row) -> int:
        """The parameters that a node has of its own, those that were counted before left out."""
        if kind in CONVOLUTIONS | MATRICES:
            weight = weights_of(kind, inputs)
            params = self._count(weight) if weight is not None else 0
            bias, read = _bias_of(kind, inputs), _bias_input(kind, inputs)
            if kind in MATRICES or kind in WITHOUT_BIAS or (read is not None and not read.constant):
                # What is behind it may be its bias.
                return params + (self._count(read) if read is not None and read.constant else 0)
            if weight is None or not params:  # its weights are another's
                return self._count(bias) if bias is not None else 0
            if bias is not None:
                self.counted.setdefault(bias.origin, 0)
            self.counted[weight.origin] += row.row[2]  # with a bias, as the layer table has it
            return params + row.row[2]
        if kind in NO_PARAMETERS:
            return 0
        if kind == "MatMulNBits":
            return self._of_packed(inputs, row)
        chosen = inputs
        if kind == "BatchNormalization":
            chosen = inputs[1:3]  # the statistics fold into them
        elif kind in FIRST_ALONE:
            chosen = inputs[:1]
        elif kind in RECURRENT:
            # The fifth are lengths, behind which states come, zeros mostly, and peepholes.
            chosen = (*inputs[1:4], *(value for value in inputs[5:7] if value is not None and not value.zeros))
            chosen = (*chosen, *inputs[7:8])
        return sum(self.table(value) for value in chosen if value is not None)

    def _of_packed(self, inputs: Sequence[Value | None], row: Row) -> int:
        """The weights of a product that holds several in a byte, and its bias; their scales are no parameters."""
        bias, weight = _bias_of("MatMulNBits", inputs), inputs[1]
        params = self._count(bias) if bias is not None else 0
        if weight is None or weight.origin in self.counted:
            return params
        self.counted[weight.origin] = row.row[1] * row.row[2]
        return params + self.counted[weight.origin]

    def table(self, value: Value) -> int:
        """The parameters in a constant that is no convolution's or product's: scalars and what is computed are none."""
        return self._count(value) if value.constant and holds_parameters(value) else 0

    def _count(self, value: Value) -> int:
        if value.origin in self.counted:
            return 0
        count = 0
        for stored, (size, values) in _stored(_parts(value)).items():
            taken = self.taken.get(stored, 0)
            self.taken[stored] = min(size, taken + values)
            count += self.taken[stored] - taken
        self.counted[value.origin] = count
        return count
