"""Chooses the tile for each place of a feature map; one that fits badly costs time and changes no bit.

The kernels ask `pixels_of_next_tile` and `units_of_next_tile` how large the next tile is, and call `dense`, `depthwise`
and the like with that size first: they go to the code that was written for it. The sizes for which there is code stand
here alone. Which are worth having depends on the processor's vector registers, see `evo_fair.proxy.tiles`.
"""

from itertools import product

from numba import njit

from evo_fair.arrays import Float32s
from evo_fair.proxy.emitter import AVX512, Form, HalfForm, KeptForm, emitted
from evo_fair.proxy.tiles import (
    MANY,
    SOME,
    UNIT,
    WIDEST,
    affine_line,
    dense_tile,
    depthwise_tile,
    halving_line,
    keeping_line,
    rounding_line,
    statistics_line,
    winograd_inputs,
    winograd_outputs,
    with_bf16,
)

__all__ = [
    "address",
    "affine",
    "affine_of_halves",
    "dense",
    "dense_half",
    "depthwise",
    "keep_half",
    "pixels_of_next_tile",
    "round_to_half",
    "statistics",
    "to_bfloat",
    "units_of_next_line",
    "units_of_next_statistics",
    "units_of_next_tile",
    "winograd_in",
    "winograd_out",
]

_MOST_OF_STATISTICS = 6


def _lanes(units: int) -> tuple[int, ...]:
    """The widths of the vectors that hold so many units of channels."""
    width = 2 if AVX512 else 1
    return (UNIT * width,) * (units // width) + (UNIT,) * (units % width)


_PIXELS = (MANY, SOME, 1)
_LINES = (1, 2)
_SIZES = list(product(_PIXELS, range(1, WIDEST + 1)))

_dense = emitted(dense_tile, {(pixels, units): Form(pixels, _lanes(units)) for pixels, units in _SIZES})
_dense_half = emitted(
    with_bf16(dense_tile), {(pixels, units): HalfForm(pixels, _lanes(units)) for pixels, units in _SIZES}
)
_depthwise = emitted(
    depthwise_tile,
    {
        (pixels, units, size, stride): Form(pixels, _lanes(units), (size, stride))
        for pixels, units, size, stride in (
            *product(_PIXELS, _LINES, [0], [0]),  # of any size and stride
            *product((MANY, SOME), [2], [3, 5], [1, 2]),
        )
    },
)

affine = emitted(affine_line, {(units,): Form(1, _lanes(units)) for units in _LINES})
affine_of_halves = emitted(with_bf16(affine_line), {(units,): KeptForm(1, _lanes(units)) for units in _LINES})
statistics = emitted(statistics_line, {(units,): Form(1, _lanes(units)) for units in (*_LINES, _MOST_OF_STATISTICS)})
winograd_in = emitted(winograd_inputs, {(units,): Form(1, _lanes(units)) for units in _LINES})
winograd_out = emitted(
    winograd_outputs,
    {(units, adding): Form(1, _lanes(units), (adding,)) for units, adding in product(_LINES, [0, 1])},
)
to_bfloat = emitted(with_bf16(halving_line), {(): Form(1, (2 * UNIT,))})
keep_half = emitted(with_bf16(keeping_line), {(): Form(1, (UNIT,))})
round_to_half = emitted(with_bf16(rounding_line), {(): Form(1, (2 * UNIT,))})


@njit(cache=True, nogil=True, error_model="numpy")
def address(values: Float32s, place: int) -> int:
    """The address of a value of an array, as tiles take it."""
    start: int = values.ctypes.data
    return start + 4 * place


@njit(cache=True, nogil=True, error_model="numpy")
def units_of_next_tile(left: int) -> int:
    """How many of the units of channels left a tile takes: two equal ones where a wide one would leave a narrow one."""
    if WIDEST < left <= 4 * WIDEST // 3:
        return (left + 1) // 2
    return min(left, WIDEST)


@njit(cache=True, nogil=True, error_model="numpy")
def units_of_next_line(left: int) -> int:
    """How many of the units left are done together by what takes two at most: all but `dense` and `statistics`."""
    return min(left, 2)


@njit(cache=True, nogil=True, error_model="numpy")
def units_of_next_statistics(left: int) -> int:
    """How many of the units left statistics are taken of together."""
    return _MOST_OF_STATISTICS if left >= _MOST_OF_STATISTICS else min(left, 2)


@njit(cache=True, nogil=True, error_model="numpy")
def pixels_of_next_tile(left: int) -> int:
    """How many of the pixels left in a row a tile takes."""
    if left >= MANY:
        return MANY
    return SOME if left >= SOME else 1


@njit(cache=True, nogil=True, error_model="numpy")
def dense(
    pixels: int,
    units: int,
    x: int,
    x_row: int,
    x_step: int,
    rows: int,
    length: int,
    w: int,
    bias: int,
    residual: int,
    relu: int,
    out: int,
    channels: int,
) -> None:
    """Runs the `dense_tile` of so many pixels and units of channels."""
    _dense(pixels, units, x, x_row, x_step, rows, length, w, bias, residual, relu, out, channels)


@njit(cache=True, nogil=True, error_model="numpy")
def dense_half(
    pixels: int,
    units: int,
    x: int,
    x_row: int,
    x_step: int,
    rows: int,
    length: int,
    w: int,
    bias: int,
    residual: int,
    relu: int,
    out: int,
    channels: int,
) -> None:
    """Runs the `dense_tile` of pairs of bfloat16 of so many pixels and units of channels."""
    _dense_half(pixels, units, x, x_row, x_step, rows, length, w, bias, residual, relu, out, channels)


@njit(cache=True, nogil=True, error_model="numpy")
def depthwise(
    pixels: int,
    units: int,
    x: int,
    x_row: int,
    x_column: int,
    x_step: int,
    size: int,
    w: int,
    bias: int,
    relu: int,
    out: int,
    channels: int,
) -> None:
    """Runs the `depthwise_tile` of so many pixels and units of channels; some have kernel and stride in their code."""
    fixed, stride = 0, 0
    if pixels > 1 and units == 2 and (size == 3 or size == 5) and x_step <= 2 * x_column:
        fixed, stride = size, 1 if x_step == x_column else 2
    _depthwise(pixels, units, fixed, stride, x, x_row, x_column, x_step, size, w, bias, relu, out, channels)
