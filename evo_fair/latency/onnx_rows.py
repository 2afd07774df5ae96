"""Layer rows of ONNX operators, with the multiply-accumulates that follow from their shapes.

Operators that the layer table has no kind for, but whose work has a formula (recurrent layers, Einsum, convolutions in
three dimensions, attention), stand as the matrix products or windows that they come to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt, prod

import onnx

from evo_fair.latency.onnx_file import InputShapeError, Shape
from evo_fair.latency.onnx_microsoft import channels_first, matrix_operand
from evo_fair.latency.onnx_value import Value, attributes_of
from evo_fair.latency.onnx_values import UNPRICED
from evo_fair.layers import Op
from evo_fair.registries import OPERATORS

__all__ = [
    "CONVOLUTIONS",
    "ELEMENTWISE",
    "GATES",
    "MATRICES",
    "PRODUCTS",
    "RECURRENT",
    "ROWS",
    "SUMS",
    "UNPRICED",
    "Row",
    "RowMaker",
    "batch_axis",
    "image_of",
    "row_of",
    "weights_of",
]

_MAPS = """
    Relu Clip LeakyRelu PRelu BatchNormalization HardSwish HardSigmoid Sigmoid Swish Mish Elu Selu Celu Gelu Tanh
    Softplus Softsign Softmax LogSoftmax Exp Log Sqrt Reciprocal Erf Neg Abs Pow Min Max Where Round Floor Ceil
    LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LpNormalization LRN
    MeanVarianceNormalization Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Sign Mod Cast CastLike Hardmax
    ThresholdedRelu Shrink And Or Xor Not Equal Greater GreaterOrEqual Less LessOrEqual IsNaN IsInf CumSum Mean
    BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift QuantizeLinear DequantizeLinear DynamicQuantizeLinear
    BiasGelu FastGelu QuickGelu SkipLayerNormalization SimplifiedLayerNormalization SkipSimplifiedLayerNormalization
    EmbedLayerNormalization QLinearSigmoid QLinearLeakyRelu QLinearSoftmax RotaryEmbedding
"""
_MOVES = """
    Concat Split Slice Transpose Pad Resize Upsample DepthToSpace SpaceToDepth Gather Expand Tile GatherElements
    GatherND ScatterElements ScatterND Scatter Trilu ReverseSequence OneHot Compress EyeLike ConcatFromSequence
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli ConstantOfShape Range CenterCropPad
    QLinearConcat Flatten Reshape Squeeze Unsqueeze Identity Dropout
"""
_REDUCES = """
    ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceProd ReduceLogSum ReduceLogSumExp
    ReduceSumSquare ArgMax ArgMin
"""
ELEMENTWISE = frozenset(f"{_MAPS} {_MOVES} {_REDUCES}".split())
SUMS = frozenset({"Add", "Sub", "Sum", "QLinearAdd"})
PRODUCTS = frozenset({"Mul", "Div", "QLinearMul"})
GATES = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Relu", "Tanh", "Softplus"})
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "FusedConv", "DeformConv"})
_MATRICES_NAMES = """
    Gemm MatMul MatMulInteger QLinearMatMul FusedGemm FusedMatMul TransposeMatMul DynamicQuantizeMatMul
    MatMulIntegerToFloat QGemm
"""
MATRICES = frozenset(_MATRICES_NAMES.split())
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "QLinearAveragePool"})
_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "QLinearGlobalAveragePool"})
RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}  # matrices of a cell
_ATTENTION = frozenset({"Attention", "com.microsoft.Attention", "MultiHeadAttention"})
# Priced as what they are made of, which no profile was fitted to.
STAND_INS = frozenset({*RECURRENT, *_ATTENTION, "Einsum", "DeformConv", "MatMulNBits"})


@dataclass(frozen=True)
class Row:
    """A layer row, its multiply-accumulates, and whether it stands for an operator that is of no kind of its own."""

    row: tuple[int, ...]
    macs: int = 0
    stands_in: bool = False


NodeValues = Sequence[Value | None]


def row_of(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row | None:
    """The row of a node other than sums and products of two tensors; None for an operator without a formula.

    Raises `InputShapeError` where a shape does not fit its weights; `LookupError` where an input is lacking.
    """
    maker = OPERATORS.get(kind)
    row: Row | None = None if maker is None else maker(node, kind, inputs, outputs)
    return row


def weights_of(kind: str, inputs: NodeValues) -> Value | None:
    """The weights of a convolution or matrix product, None where both operands depend on the data."""
    index = 3 if kind in ("QLinearConv", "QLinearMatMul", "QGemm") else 1
    if kind in MATRICES and not _is_constant(inputs[index]):
        index = 0
    return inputs[index] if _is_constant(inputs[index]) else None


def _is_constant(value: Value | None) -> bool:
    return value is not None and value.constant


def batch_axis(node: onnx.NodeProto, kind: str) -> int | None:
    """The axis of a node's first input that its definition takes for the batch, None where it has none."""
    if kind in RECURRENT:
        return 0 if attributes_of(node).get("layout", 0) else 1
    windows = CONVOLUTIONS | _POOLS | _GLOBAL_POOLS
    norms = {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN"}
    return 0 if kind in windows or kind in norms or kind in ("DepthToSpace", "SpaceToDepth") else None


def shape_of(inputs: NodeValues, index: int) -> Shape:
    """The shape of an input; raises `LookupError` where there is no such input."""
    value = inputs[index]
    if value is None:
        raise LookupError(f"input {index} is left out")
    return _known(value)


def _known(value: Value) -> Shape:
    if value.shape is None:  # the reader asks for it before a row is made
        raise LookupError(f"the shape of {value.key}")
    return value.shape


def image_of(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width of a tensor; several samples lie below each other, what is no image is a column."""
    if len(shape) < 2:
        return (shape[0] if shape else 1), 1, 1
    samples, channels = shape[0], shape[1]
    if len(shape) == 2:
        return channels, samples, 1
    return channels, samples * shape[2], prod(shape[3:])


def _convolution(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    x, weight = shape_of(inputs, 0), shape_of(inputs, 3 if kind == "QLinearConv" else 1)
    options = attributes_of(node)
    x, y = channels_first(x, options), channels_first(_known(outputs[0]), options)
    if len(x) != len(weight) or len(x) < 3 or len(y) != len(x):
        raise InputShapeError(f"its input has {len(x)} axes, its weights have {len(weight)}")
    groups, stride = int(options.get("group", 1)), max(options.get("strides", [1]))
    transposed = kind == "ConvTranspose"
    expected = weight[0] if transposed else weight[1] * groups
    if x[1] != expected:
        raise InputShapeError(f"its weights are for {expected} channels, its input has {x[1]}")
    samples, c_in, c_out, area = x[0], x[1], y[1], prod(weight[2:])
    h_in, w_in, h_out, w_out = x[2], prod(x[3:]), y[2], prod(y[3:])
    taps = h_in * w_in if transposed else h_out * w_out
    macs = samples * c_out * (c_in // groups) * area * taps
    stands_in = kind in STAND_INS or len(weight) > 4
    kernel = _side(area)
    if transposed:
        stride, h_out, w_out = 1, h_in, w_in
    # The table's sizes round up; where a convolution without padding gives less, its own output counts.
    h_in = (h_in if -(-h_in // stride) == h_out and samples == 1 else h_out * stride) * samples
    w_in = w_in if -(-w_in // stride) == w_out else w_out * stride
    if groups > 1 and groups == c_in and c_out % c_in == 0:
        return Row((Op.DEPTHWISE, c_in, c_out, kernel, stride, groups, h_in, w_in), macs, stands_in)
    if samples * h_out * w_out == 1 and area == 1 and groups == 1:
        return Row((Op.LINEAR, c_in, c_out, 1, 1, 1, 1, 1), macs, stands_in)
    return Row((Op.CONV, c_in, c_out, kernel, stride, groups, h_in, w_in), macs, stands_in)


def _product(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    """A matrix product: a linear layer for one row, as many pixels of a 1x1 convolution for more."""
    second = 3 if kind in ("QLinearMatMul", "QGemm") else 1
    left, right, out = shape_of(inputs, 0), shape_of(inputs, second), _known(outputs[0])
    options = attributes_of(node)
    if not left or not right:
        raise InputShapeError("a matrix product of a scalar")
    left, right = matrix_operand(left, options, "A"), matrix_operand(right, options, "B")
    c_in, inner = left[-1], right[-1] if len(right) == 1 else right[-2]
    if c_in != inner:
        raise InputShapeError(f"its operands have {c_in} columns and {inner} rows")
    values = prod(out)
    if _is_constant(inputs[0]) and not _is_constant(inputs[second]):  # weights from the left
        c_out = 1 if len(left) == 1 else left[-2]
    else:
        c_out = out[-1] if out and len(right) > 1 else 1
    return _matrix(max(1, values // max(c_out, 1)), c_in, c_out)


def _matrix(rows: int, c_in: int, c_out: int, *, stands_in: bool = False) -> Row:
    if rows == 1:
        return Row((Op.LINEAR, c_in, c_out, 1, 1, 1, 1, 1), c_in * c_out, stands_in)
    return Row((Op.CONV, c_in, c_out, 1, 1, 1, rows, 1), rows * c_in * c_out, stands_in)


def _quantised_product(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    """MatMulNBits: its weights are packed, and their sizes are attributes."""
    del kind, outputs
    options = attributes_of(node)
    return _matrix(prod(shape_of(inputs, 0)[:-1]), int(options["K"]), int(options["N"]), stands_in=True)


def _elementwise(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    """What maps or moves values one by one; the mean over an image is a global pool.

    What makes less than it reads, as a mean over channels does, takes the time of reading.
    """
    if kind.startswith("Reduce") and _is_global(kind, inputs, outputs):
        return _global_pool(node, kind, inputs, outputs)
    if kind.startswith(("Reduce", "Arg", "Split")):
        c, h, w = image_of(shape_of(inputs, 0))
        return Row((Op.ACTIVATION, c, c, 1, 1, 1, h, w))
    c, h, w = image_of(_known(outputs[0]))
    return Row((Op.ACTIVATION, c, c, 1, 1, 1, h, w))


def _global_pool(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    del node, kind, outputs
    c, h, w = image_of(shape_of(inputs, 0))
    return Row((Op.GLOBAL_POOL, c, c, 1, 1, 1, h, w))


def _pool(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    del kind
    options = attributes_of(node)
    x, y = shape_of(inputs, 0), _known(outputs[0])
    if len(x) < 3 or len(y) != len(x):
        raise InputShapeError(f"a window over a tensor of {len(x)} axes")
    samples, c, h_in, w_in, h_out, w_out = x[0], x[1], x[2], prod(x[3:]), y[2], prod(y[3:])
    kernel, stride = options["kernel_shape"], max(options.get("strides", [1]))
    if h_out * w_out == 1 and prod(kernel) == h_in * w_in:
        return Row((Op.GLOBAL_POOL, c, c, 1, 1, 1, h_in * samples, w_in))
    h_in = (h_in if -(-h_in // stride) == h_out and samples == 1 else h_out * stride) * samples
    w_in = w_in if -(-w_in // stride) == w_out else w_out * stride
    return Row((Op.POOL, c, c, _side(prod(kernel)), stride, 1, h_in, w_in))


def _is_global(kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> bool:
    x, y = inputs[0].shape if inputs[0] is not None else None, _known(outputs[0])
    if x is None:
        return False
    return (
        kind in ("ReduceMean", "ReduceMax", "ReduceSum") and len(x) == 4 and prod(y) == x[0] * x[1] and y[:1] == x[:1]
    )


def _recurrent(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    """A recurrent layer as a matrix product: every step multiplies its input and its state by the cell's matrices."""
    del node, outputs
    x, w, r = (shape_of(inputs, i) for i in range(3))
    if kind == "DynamicQuantizeLSTM" and len(w) == len(r) == 3:  # it has its matrices the other way round
        w, r = (w[0], w[2], w[1]), (r[0], r[2], r[1])
    if len(x) != 3 or len(w) != 3 or len(r) != 3:
        raise InputShapeError("a recurrent layer takes three axes")
    hidden, gates = r[2], RECURRENT[kind]
    if w[2] != x[2] or w[1] != gates * hidden or r[1] != gates * hidden:
        raise InputShapeError(f"its weights are for {w[2]} features and {r[1] // gates} states, its input has {x[2]}")
    return _matrix(x[0] * x[1] * w[0], x[2] + hidden, gates * hidden, stands_in=True)


def _einsum(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    """Operands multiplied from left to right; of each step, every index that occurs runs once.

    One operand alone is a sum or a transpose: no product, but its values move.
    """
    del kind, outputs
    equation = "".join(attributes_of(node)["equation"].decode().split())
    terms = equation.partition("->")[0].split(",")
    shapes = [shape_of(inputs, i) for i in range(len(inputs))]
    if len(terms) != len(shapes):
        raise ValueError(f"{len(terms)} terms for {len(shapes)} operands")
    result = equation.partition("->")[2] if "->" in equation else _implied(terms)
    sizes: dict[str, int] = {}
    named = []
    for term, shape in zip(terms, shapes, strict=True):
        letters = _letters(term, len(shape))
        if len(letters) != len(shape):
            raise InputShapeError(f"the term {term!r} for {len(shape)} axes")
        named.append(letters)
        for letter, size in zip(letters, shape, strict=True):
            if sizes.get(letter, 1) not in (1, size) and size != 1:
                raise InputShapeError(f"the index {letter!r} is {sizes[letter]} and {size}")
            sizes[letter] = max(size, sizes.get(letter, 1))
    kept = set(_letters(result, len(result.replace("...", "")) + _ellipsis(terms, shapes)))
    if len(named) == 1:
        c, h, w = image_of(shapes[0])
        return Row((Op.ACTIVATION, c, c, 1, 1, 1, h, w), stands_in=True)
    macs, c_in, c_out, rows = 0, 1, 1, 1
    left = set(named[0])
    for i, letters in enumerate(named[1:], 1):
        right, later = set(letters), kept.union(*map(set, named[i + 1 :]))
        macs += prod(sizes[letter] for letter in left | right)
        summed = (left | right) - later
        c_in = prod(sizes[letter] for letter in summed)
        c_out = prod(sizes[letter] for letter in (right - left) & later)
        left = (left | right) & later
        rows = prod(sizes[letter] for letter in left) // max(c_out, 1)
    row = _matrix(max(rows, 1), c_in, c_out, stands_in=True)
    return Row(row.row, macs, stands_in=True)


def _implied(terms: Sequence[str]) -> str:
    joined = "".join(terms).replace(".", "")
    once = sorted(letter for letter in set(joined) if joined.count(letter) == 1)
    return ("..." if any("..." in term for term in terms) else "") + "".join(once)


def _ellipsis(terms: Sequence[str], shapes: Sequence[Shape]) -> int:
    lengths = [len(s) - len(t.replace("...", "")) for t, s in zip(terms, shapes, strict=True) if "..." in t]
    return max(lengths, default=0)


def _letters(term: str, axes: int) -> list[str]:
    """The index of each axis; those of an ellipsis are numbered from the right."""
    before, dots, after = term.partition("...")
    missing = axes - len(before) - len(after) if dots else 0
    return [*before, *(f"...{i}" for i in range(missing, 0, -1)), *after]


def _attention(node: onnx.NodeProto, kind: str, inputs: NodeValues, outputs: Sequence[Value]) -> Row:
    """Queries by keys, and weights by values; ONNX Runtime's own also projects its input."""
    del outputs
    options = attributes_of(node)
    q = shape_of(inputs, 0)
    past = _steps_before(kind, inputs)
    if kind == "com.microsoft.Attention":
        w = shape_of(inputs, 1)
        of_queries, _, of_values = options.get("qkv_hidden_sizes") or [w[-1] // 3] * 3
        rows, keys = q[0] * q[1], q[1] + past
        macs = rows * q[2] * w[-1] + rows * keys * (of_queries + of_values)
        return Row(_matrix(rows, q[2], w[-1]).row, macs, stands_in=True)
    if len(q) == 5:  # samples, steps, heads, queries with keys and values, features of a head
        queries, keys, width = q[0] * q[1], q[1] + past, 2 * q[2] * q[4]
        return Row(_matrix(queries, width, keys).row, queries * keys * width, stands_in=True)
    k, v = shape_of(inputs, 1), shape_of(inputs, 2)
    if len(q) == 4 and len(k) == 4 and len(v) == 4:  # samples, heads, steps, features of a head
        queries, keys, width = q[0] * q[1] * q[2], k[2] + past, q[3] + v[3]
    elif len(q) == 3 and len(k) == 3 and len(v) == 3:  # samples, steps, features of all heads
        heads = int(options.get("num_heads", options.get("q_num_heads", 1)))
        kv_heads = int(options.get("kv_num_heads", heads))
        queries, keys, width = q[0] * q[1], k[1] + past, q[2] + v[2] * heads // max(kv_heads, 1)
    elif len(q) == 3 and len(k) == 4 and len(v) == 4:  # keys and values of another sequence, by heads
        queries, keys, width = q[0] * q[1], k[2], q[2] + v[1] * v[3]
    else:
        raise InputShapeError("attention takes queries, keys and values of three or four axes each")
    return Row(_matrix(queries, width, keys).row, queries * keys * width, stands_in=True)


_PAST = {"Attention": (4, 2), "MultiHeadAttention": (6, 2), "com.microsoft.Attention": (4, 3)}
"""Of an attention, the input that holds keys of earlier steps, and its axis of these."""


def _steps_before(kind: str, inputs: NodeValues) -> int:
    """How many earlier steps an attention also looks at, whose keys and values it is given."""
    place, axis = _PAST[kind]
    past = inputs[place] if place < len(inputs) else None
    if past is None:
        return 0
    shape = _known(past)
    if len(shape) <= axis:
        raise InputShapeError(f"keys of earlier steps have {len(shape)} axes")
    return shape[axis]


def _side(area: int) -> int:
    """The side of the square window with the nearest area."""
    side = isqrt(area)
    return max(1, side if area - side * side <= (side + 1) ** 2 - area else side + 1)


RowMaker = Callable[[onnx.NodeProto, str, NodeValues, Sequence[Value]], Row]

ROWS: Mapping[str, RowMaker] = {
    **dict.fromkeys(sorted(CONVOLUTIONS), _convolution),
    **dict.fromkeys(sorted(MATRICES), _product),
    **dict.fromkeys(sorted(_POOLS), _pool),
    **dict.fromkeys(sorted(_GLOBAL_POOLS), _global_pool),
    **dict.fromkeys(RECURRENT, _recurrent),
    **dict.fromkeys(sorted(_ATTENTION), _attention),
    **dict.fromkeys(sorted(ELEMENTWISE | SUMS | PRODUCTS), _elementwise),
    "Einsum": _einsum,
    "MatMulNBits": _quantised_product,
}
"""How each operator that the model knows becomes a row: the home of `evo_fair.registries.OPERATORS`."""
