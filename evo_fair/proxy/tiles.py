"""The innermost loops of a convolution as LLVM vector code: a tile of outputs stays in registers.

Numba's own loops keep such a tile in memory, which costs a load and a store for every multiplication. The order of the
additions in an output does not depend on the tile that computes it, so neither do its bits.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir

from evo_fair.proxy.emitter import AVX512, BF16, HALF, BFloat, Emitter, Form, HalfForm, KeptForm, constant, emitted

__all__ = [
    "BF16",
    "MANY",
    "SOME",
    "UNIT",
    "WIDEST",
    "affine_line",
    "affine_line_of_halves",
    "dense_tile",
    "depthwise_tile",
    "half_line",
    "half_tile",
    "keep_half_line",
    "lanes_of",
    "round_line",
    "statistics_line",
    "winograd_inputs",
    "winograd_outputs",
]

UNIT = 8
"""Channels come in units of so many float32 values: every buffer's number of channels is a multiple of it."""

MANY, SOME = (8, 4) if AVX512 else (4, 2)
"""Output pixels of a large and of a small tile, chosen so that a large one fills the machine's vector registers."""

WIDEST = 6 if AVX512 else 3
"""Units of output channels in the widest tile."""


def lanes_of(units: int) -> tuple[int, ...]:
    """The widths of the vectors that hold so many units of channels."""
    width = 2 if AVX512 else 1
    return (UNIT * width,) * (units // width) + (UNIT,) * (units % width)


def dense_tile(pixels: int, units: int) -> Callable[..., None]:
    """A tile of a convolution: `pixels` neighbouring outputs in a row, `units` units of output channels.

    Arguments, addresses and lengths as integers, lengths in float32 values: `x`, the first input of the first pixel;
    `x_row` from a kernel row's inputs to the next one's; `x_step` from a pixel's to the next pixel's; `rows` of the
    kernel; `length` of a kernel row (its width times input channels, which lie side by side); `w`, weights
    `[rows, length, units * 8]`; `bias`; `residual` (0: none) and `residual_step`; `relu`; `out` and `out_step`.
    """
    return emitted(_dense, Form(pixels, lanes_of(units)))


def depthwise_tile(pixels: int, units: int, size: int = 0, stride: int = 0) -> Callable[..., None]:
    """A tile of a depthwise convolution: `pixels` neighbouring outputs in a row, `units` units of channels.

    Arguments as for `dense_tile`, but `x_column` from an input pixel to the next one in the kernel's row, a square
    kernel of `size` rows and columns, and weights `w` of which each tap's lie `w_step` after the last tap's. Where size
    and stride are given here those of the call are ignored, and a kernel row loads each of its inputs once.
    """
    return emitted(_depthwise, Form(pixels, lanes_of(units)), size, stride)


def half_tile(pixels: int, units: int) -> Callable[..., None]:
    """A `dense_tile` whose inputs and weights are pairs of bfloat16, each pair in the place of a float32.

    A pair of inputs are neighbouring channels; weights lie as `[rows, length, units * 8, 2]`. Like all that has to do
    with halves it is empty without `BF16`, where nothing calls it and LLVM could not link its conversions.
    """
    return emitted(_with_bf16(_dense), HalfForm(pixels, lanes_of(units)))


def half_line() -> Callable[..., None]:
    """Rounds `vectors` times 16 values at `x` to bfloat16, to the nearest, ties to even, and writes them to `out`."""
    return emitted(_with_bf16(_rounding(BFloat())), Form(1, (16,)))


def keep_half_line() -> Callable[..., None]:
    """Rounds `units` times 8 values at `x` to float16 and writes them to `out`."""
    return emitted(_with_bf16(_rounding(HALF)), Form(1, (UNIT,)))


def round_line() -> Callable[..., None]:
    """Rounds `vectors` times 16 values at `x` to what float16 holds, where they lie."""
    return emitted(_with_bf16(_round_in_place), Form(1, (16,)))


def affine_line(units: int) -> Callable[..., None]:
    """`out = x * scale + shift`, plus what `out` held where `add` is not 0, over `pixels` pixels of some units.

    `x_step` and `out_step` lie between neighbouring pixels.
    """
    return emitted(_affine, Form(1, lanes_of(units)))


def affine_line_of_halves(units: int) -> Callable[..., None]:
    """`affine_line` of values in float16, of which `x_step` counts so many."""
    return emitted(_with_bf16(_affine), KeptForm(1, lanes_of(units)))


def statistics_line(units: int) -> Callable[..., None]:
    """Adds `x - origin` to `sums` and its square to `squares`, over `pixels` pixels of some units of channels."""
    return emitted(_add_up, Form(1, lanes_of(units)))


def winograd_inputs(units: int) -> Callable[..., None]:
    """Transforms the 6x6 inputs of a tile of 4x4 outputs: F(4x4, 3x3) of Lavin and Gray 2016.

    `x` is the first input, `x_row` and `x_step` lead to the next row's and pixel's. The 36 values go to `out`, each
    `out_step` after the last one's.
    """
    return emitted(_winograd_inputs, Form(1, lanes_of(units)))


def winograd_outputs(units: int, *, adding: bool) -> Callable[..., None]:
    """Transforms the 36 products of a tile, each `x_step` after the last one's, to 4x4 outputs with their bias.

    Arguments otherwise as for `dense_tile`; `residual_row` and `out_row` lead to the next row of outputs. The residual
    counts only with `adding`.
    """
    return emitted(_winograd_outputs, Form(1, lanes_of(units)), int(adding))


def _with_bf16(emit: Callable[..., None]) -> Callable[..., None]:
    """What writes the code where the processor has `BF16`, and none elsewhere."""

    @wraps(emit)  # for its arguments
    def nothing(*_: Any) -> None:
        pass

    return emit if BF16 else nothing


def _dense(
    emit: Emitter,
    x: Any,
    x_row: Any,
    x_step: Any,
    rows: Any,
    length: Any,
    w: Any,
    bias: Any,
    residual: Any,
    residual_step: Any,
    relu: Any,
    out: Any,
    out_step: Any,
) -> None:
    x_row, x_step = emit.bytes_of(x_row), emit.bytes_of(x_step)
    start = [value for _ in emit.pixels for value in emit.load_vectors(bias)]

    def one_input(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        vectors = emit.load_inputs(weights)
        address, new = place, []
        for pixel in emit.pixels:
            scalar = emit.load_scalar(address)
            for j, vector in enumerate(vectors):
                new.append(emit.multiply_add(emit.spread(scalar, vector.type), vector, sums[pixel * len(vectors) + j]))
            address = emit.plus(address, x_step)
        return [emit.plus(place, 4), emit.plus(weights, emit.bytes), *new]

    def one_row(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        _, weights, *sums = emit.loop(length, [place, weights, *sums], one_input)
        return [emit.plus(place, x_row), weights, *sums]

    _, _, *sums = emit.loop(rows, [x, w, *start], one_row)
    sums = emit.add_residual(sums, residual, emit.bytes_of(residual_step))
    emit.store(sums, relu, out, emit.bytes_of(out_step))


def _depthwise(
    emit: Emitter,
    fixed: int,
    stride: int,
    x: Any,
    x_row: Any,
    x_column: Any,
    x_step: Any,
    size: Any,
    w: Any,
    w_step: Any,
    bias: Any,
    relu: Any,
    out: Any,
    out_step: Any,
) -> None:
    x_row, x_column, x_step, w_step = (emit.bytes_of(length) for length in (x_row, x_column, x_step, w_step))
    start = [value for _ in emit.pixels for value in emit.load_vectors(bias)]

    def one_fixed_row(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        columns = [place]
        while len(columns) < (len(emit.pixels) - 1) * stride + fixed:
            columns.append(emit.plus(columns[-1], x_column))
        loaded: dict[int, list[Any]] = {}
        for tap in range(fixed):
            vectors = emit.load_vectors(weights)
            for pixel in emit.pixels:
                column = pixel * stride + tap
                if column not in loaded:
                    loaded[column] = emit.load_vectors(columns[column])
                for j, value in enumerate(loaded[column]):
                    k = pixel * len(vectors) + j
                    sums[k] = emit.multiply_add(value, vectors[j], sums[k])
            weights = emit.plus(weights, w_step)
        return [emit.plus(place, x_row), weights, *sums]

    def one_tap(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        vectors = emit.load_vectors(weights)
        address, new = place, []
        for pixel in emit.pixels:
            for j, value in enumerate(emit.load_vectors(address)):
                new.append(emit.multiply_add(value, vectors[j], sums[pixel * len(vectors) + j]))
            address = emit.plus(address, x_step)
        return [emit.plus(place, x_column), emit.plus(weights, w_step), *new]

    def one_row(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        _, weights, *sums = emit.loop(size, [place, weights, *sums], one_tap)
        return [emit.plus(place, x_row), weights, *sums]

    if fixed:
        _, _, *sums = emit.loop(constant(fixed), [x, w, *start], one_fixed_row)
    else:
        _, _, *sums = emit.loop(size, [x, w, *start], one_row)
    emit.store(sums, relu, out, emit.bytes_of(out_step))


def _affine(
    emit: Emitter,
    x: Any,
    x_step: Any,
    pixels: Any,
    scale: Any,
    shift: Any,
    add: Any,
    relu: Any,
    out: Any,
    out_step: Any,
) -> None:
    x_step, out_step = emit.bytes_of_inputs(x_step), emit.bytes_of(out_step)
    scales, shifts = emit.load_vectors(scale), emit.load_vectors(shift)
    adding = emit.builder.icmp_signed("!=", add, constant(0))

    def one_pixel(carried: list[Any]) -> list[Any]:
        place, target = carried
        values = [
            emit.multiply_add(value, by, plus)
            for value, by, plus in zip(emit.load_inputs(place), scales, shifts, strict=True)
        ]
        values = emit.add_residual(values, emit.builder.select(adding, target, constant(0)), out_step)
        emit.store(values, relu, target, out_step)
        return [emit.plus(place, x_step), emit.plus(target, out_step)]

    emit.loop(pixels, [x, out], one_pixel)


def _add_up(emit: Emitter, x: Any, x_step: Any, pixels: Any, origin: Any, sums: Any, squares: Any) -> None:
    x_step = emit.bytes_of(x_step)
    origins, count = emit.load_vectors(origin), len(emit.vectors)

    def one_pixel(carried: list[Any]) -> list[Any]:
        place, *totals = carried
        distances = [
            emit.builder.fsub(value, zero) for value, zero in zip(emit.load_vectors(place), origins, strict=True)
        ]
        added = [emit.builder.fadd(total, value) for total, value in zip(totals[:count], distances, strict=True)]
        squared = [emit.multiply_add(value, value, t) for t, value in zip(totals[count:], distances, strict=True)]
        return [emit.plus(place, x_step), *added, *squared]

    start = [*emit.load_vectors(sums), *emit.load_vectors(squares)]
    _, *totals = emit.loop(pixels, [x, *start], one_pixel)
    emit.store_plain(totals[:count], sums)
    emit.store_plain(totals[count:], squares)


def _rounding(kind: Any) -> Callable[..., None]:
    """What rounds `vectors` vectors at `x` to a narrower type and writes them to `out`."""

    def narrow(emit: Emitter, x: Any, vectors: Any, out: Any) -> None:
        narrower = ir.VectorType(kind, emit.vectors[0].count)

        def one_vector(carried: list[Any]) -> list[Any]:
            place, target = carried
            (value,) = emit.load_vectors(place)
            emit.write(emit.builder.fptrunc(value, narrower), target)
            return [emit.plus(place, emit.bytes), emit.plus(target, emit.bytes // 2)]

        emit.loop(vectors, [x, out], one_vector)

    return narrow


def _winograd_inputs(emit: Emitter, x: Any, x_row: Any, x_step: Any, out: Any, out_step: Any) -> None:
    x_row, x_step, out_step = (emit.bytes_of(length) for length in (x_row, x_step, out_step))

    def transformed(d: list[Any]) -> list[Any]:
        """A column of the matrix B^T d."""
        a, b = emit.scaled_add(d[2], -4, d[4]), emit.scaled_add(d[1], -4, d[3])
        c, e = emit.builder.fsub(d[4], d[2]), emit.builder.fsub(d[3], d[1])
        return [
            emit.scaled_add(d[2], -5, emit.scaled_add(d[0], 4, d[4])),
            emit.builder.fadd(a, b),
            emit.builder.fsub(a, b),
            emit.scaled_add(e, 2, c),
            emit.scaled_add(e, -2, c),
            emit.scaled_add(d[3], -5, emit.scaled_add(d[1], 4, d[5])),
        ]

    for offset, vector in zip(emit.offsets, emit.vectors, strict=True):
        columns, place = [], emit.plus(x, offset)
        for _ in range(6):
            addresses = [place]
            while len(addresses) < 6:
                addresses.append(emit.plus(addresses[-1], x_row))
            columns.append(transformed([emit.load(address, vector) for address in addresses]))
            place = emit.plus(place, x_step)
        target = emit.plus(out, offset)
        for row in range(6):
            for value in transformed([column[row] for column in columns]):
                emit.write(value, target)
                target = emit.plus(target, out_step)


def _winograd_outputs(
    emit: Emitter,
    adding: int,
    x: Any,
    x_step: Any,
    bias: Any,
    residual: Any,
    residual_row: Any,
    residual_step: Any,
    relu: Any,
    out: Any,
    out_row: Any,
    out_step: Any,
) -> None:
    lengths = x_step, residual_row, residual_step, out_row, out_step
    x_step, residual_row, residual_step, out_row, out_step = (emit.bytes_of(length) for length in lengths)

    def transformed(m: list[Any]) -> list[Any]:
        """A column of the matrix A^T m."""
        p, q = emit.builder.fadd(m[1], m[2]), emit.builder.fsub(m[1], m[2])
        r, s = emit.builder.fadd(m[3], m[4]), emit.builder.fsub(m[3], m[4])
        return [
            emit.builder.fadd(emit.builder.fadd(m[0], p), r),
            emit.scaled_add(s, 2, q),
            emit.scaled_add(r, 4, p),
            emit.builder.fadd(emit.scaled_add(s, 8, q), m[5]),
        ]

    for offset, vector in zip(emit.offsets, emit.vectors, strict=True):
        start = emit.load(emit.plus(bias, offset), vector)
        columns = []
        for column in range(6):
            points = [constant(6 * row + column) for row in range(6)]
            places = [emit.plus(emit.plus(x, offset), emit.builder.mul(x_step, point)) for point in points]
            columns.append(transformed([emit.load(place, vector) for place in places]))
        out_line, residual_line = emit.plus(out, offset), emit.plus(residual, offset)
        for row in range(4):
            target, added = out_line, residual_line
            for value in transformed([column[row] for column in columns]):
                result = emit.builder.fadd(value, start)
                if adding:
                    result = emit.builder.fadd(result, emit.load(added, vector))
                emit.write(emit.rectified(result, relu), target)
                target, added = emit.plus(target, out_step), emit.plus(added, residual_step)
            out_line, residual_line = emit.plus(out_line, out_row), emit.plus(residual_line, residual_row)


def _round_in_place(emit: Emitter, x: Any, vectors: Any) -> None:
    (vector,) = emit.vectors
    half = ir.VectorType(HALF, vector.count)

    def one_vector(carried: list[Any]) -> list[Any]:
        (place,) = carried
        (value,) = emit.load_vectors(place)
        emit.write(emit.builder.fpext(emit.builder.fptrunc(value, half), vector), place)
        return [emit.plus(place, emit.bytes)]

    emit.loop(vectors, [x], one_vector)
