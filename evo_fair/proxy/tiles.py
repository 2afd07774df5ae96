"""The innermost loops of a convolution as LLVM vector code: a tile of outputs stays in registers.

Numba's own loops keep such a tile in memory, which costs a load and a store for every multiplication. The order of the
additions in an output does not depend on the tile that computes it, so neither do its bits.

Each function here writes the code of one tile; `evo_fair.proxy.tile_choice` says of which sizes there are. What they
take are addresses and lengths as integers, lengths in float32 values. `add` is 0 or 1, `relu` 0, 1 or 6 for ReLU6.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir

from evo_fair.proxy.emitter import AVX512, BF16, HALF, BFloat, Emitter, constant

__all__ = [
    "BF16",
    "MANY",
    "SOME",
    "UNIT",
    "WIDEST",
    "affine_line",
    "dense_tile",
    "depthwise_tile",
    "halving_line",
    "keeping_line",
    "rounding_line",
    "statistics_line",
    "winograd_inputs",
    "winograd_outputs",
    "with_bf16",
]

UNIT = 8
"""Channels come in units of so many float32 values: every buffer's number of channels is a multiple of it."""

MANY, SOME = (8, 4) if AVX512 else (4, 2)
"""Output pixels of a large and of a small tile, chosen so that a large one fills the machine's vector registers."""

WIDEST = 6 if AVX512 else 3
"""Units of output channels in the widest tile."""


def with_bf16(emit: Callable[..., None]) -> Callable[..., None]:
    """What writes the code where the processor has `BF16`, and none elsewhere.

    Nothing calls it there, and LLVM could not link its conversions.
    """

    @wraps(emit)  # for its arguments
    def nothing(*_: Any) -> None:
        pass

    return emit if BF16 else nothing


def dense_tile(
    emit: Emitter,
    x: Any,
    x_row: Any,
    x_step: Any,
    rows: Any,
    length: Any,
    w: Any,
    bias: Any,
    residual: Any,
    relu: Any,
    out: Any,
    channels: Any,
) -> None:
    """A tile of a convolution: neighbouring outputs in a row.

    `x` is the first input of the first pixel. `x_row` leads from a kernel row's inputs to the next one's, `x_step` from
    a pixel's to the next pixel's. The kernel has `rows`, each of `length` values (its width times input channels, which
    lie side by side). Weights `w` lie as `[rows, length, channels of the tile]`. `residual` 0 is none; it and `out`
    have pixels of `channels` values.

    Inputs and weights may be pairs of bfloat16, each pair in the place of a float32. Then a pair of inputs are
    neighbouring channels, and weights lie as `[rows, length, channels of the tile, 2]`.
    """
    x_row, x_step, step = emit.bytes_of(x_row), emit.bytes_of(x_step), emit.bytes_of(channels)
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
    sums = emit.add_residual(sums, residual, step)
    emit.store(sums, relu, out, step)


def depthwise_tile(
    emit: Emitter,
    fixed: int,
    stride: int,
    x: Any,
    x_row: Any,
    x_column: Any,
    x_step: Any,
    size: Any,
    w: Any,
    bias: Any,
    relu: Any,
    out: Any,
    channels: Any,
) -> None:
    """A tile of a depthwise convolution: neighbouring outputs in a row.

    Arguments as for `dense_tile`, but `x_column` from an input pixel to the next one in the kernel's row, a square
    kernel of `size` rows and columns, and weights `w` of which each tap's lie `channels` after the last tap's. Where
    `fixed` and `stride` are not 0 they are the size and the stride, those of the call are ignored, and a kernel row
    loads each of its inputs once.
    """
    x_row, x_column, x_step, step = (emit.bytes_of(length) for length in (x_row, x_column, x_step, channels))
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
            weights = emit.plus(weights, step)
        return [emit.plus(place, x_row), weights, *sums]

    def one_tap(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        vectors = emit.load_vectors(weights)
        address, new = place, []
        for pixel in emit.pixels:
            for j, value in enumerate(emit.load_vectors(address)):
                new.append(emit.multiply_add(value, vectors[j], sums[pixel * len(vectors) + j]))
            address = emit.plus(address, x_step)
        return [emit.plus(place, x_column), emit.plus(weights, step), *new]

    def one_row(carried: list[Any]) -> list[Any]:
        place, weights, *sums = carried
        _, weights, *sums = emit.loop(size, [place, weights, *sums], one_tap)
        return [emit.plus(place, x_row), weights, *sums]

    if fixed:
        _, _, *sums = emit.loop(constant(fixed), [x, w, *start], one_fixed_row)
    else:
        _, _, *sums = emit.loop(size, [x, w, *start], one_row)
    emit.store(sums, relu, out, step)


def affine_line(
    emit: Emitter,
    x: Any,
    x_step: Any,
    pixels: Any,
    scale: Any,
    shift: Any,
    add: Any,
    relu: Any,
    out: Any,
    channels: Any,
) -> None:
    """`out = x * scale + shift`, plus what `out` held where `add` is not 0, over `pixels` pixels of some units.

    `x_step` lies between neighbouring pixels of `x`, `channels` between those of `out`. Inputs may be float16, of which
    `x_step` then counts so many.
    """
    x_step, out_step = emit.bytes_of_inputs(x_step), emit.bytes_of(channels)
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


def statistics_line(emit: Emitter, x: Any, x_step: Any, pixels: Any, origin: Any, sums: Any, squares: Any) -> None:
    """Adds `x - origin` to `sums` and its square to `squares`, over `pixels` pixels of some units of channels."""
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


def halving_line(emit: Emitter, x: Any, vectors: Any, out: Any) -> None:
    """Rounds `vectors` vectors at `x` to bfloat16, to the nearest, ties to even, and writes them to `out`."""
    _narrow(emit, BFloat(), x, vectors, out)


def keeping_line(emit: Emitter, x: Any, vectors: Any, out: Any) -> None:
    """Rounds `vectors` vectors at `x` to float16 and writes them to `out`."""
    _narrow(emit, HALF, x, vectors, out)


def _narrow(emit: Emitter, kind: Any, x: Any, vectors: Any, out: Any) -> None:
    narrower = ir.VectorType(kind, emit.vectors[0].count)

    def one_vector(carried: list[Any]) -> list[Any]:
        place, target = carried
        (value,) = emit.load_vectors(place)
        emit.write(emit.builder.fptrunc(value, narrower), target)
        return [emit.plus(place, emit.bytes), emit.plus(target, emit.bytes // 2)]

    emit.loop(vectors, [x, out], one_vector)


def rounding_line(emit: Emitter, x: Any, vectors: Any) -> None:
    """Rounds `vectors` vectors at `x` to what float16 holds, where they lie."""
    (vector,) = emit.vectors
    half = ir.VectorType(HALF, vector.count)

    def one_vector(carried: list[Any]) -> list[Any]:
        (place,) = carried
        (value,) = emit.load_vectors(place)
        emit.write(emit.builder.fpext(emit.builder.fptrunc(value, half), vector), place)
        return [emit.plus(place, emit.bytes)]

    emit.loop(vectors, [x], one_vector)


def winograd_inputs(emit: Emitter, x: Any, x_row: Any, x_step: Any, out: Any, out_step: Any) -> None:
    """Transforms the 6x6 inputs of a tile of 4x4 outputs: F(4x4, 3x3) of Lavin and Gray 2016.

    `x` is the first input, `x_row` and `x_step` lead to the next row's and pixel's. The 36 values go to `out`, each
    `out_step` after the last one's.
    """
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


def winograd_outputs(
    emit: Emitter,
    adding: int,
    x: Any,
    x_step: Any,
    bias: Any,
    residual: Any,
    residual_row: Any,
    relu: Any,
    out: Any,
    out_row: Any,
    channels: Any,
) -> None:
    """Transforms the 36 products of a tile, each `x_step` after the last one's, to 4x4 outputs with their bias.

    Arguments otherwise as for `dense_tile`; `residual_row` and `out_row` lead to the next row of outputs. The residual
    counts only with `adding`.
    """
    lengths = x_step, residual_row, out_row, channels
    x_step, residual_row, out_row, step = (emit.bytes_of(length) for length in lengths)

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
                target, added = emit.plus(target, step), emit.plus(added, step)
            out_line, residual_line = emit.plus(out_line, out_row), emit.plus(residual_line, residual_row)
