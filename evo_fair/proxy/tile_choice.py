"""Chooses the tile for each place of a feature map; one that fits badly costs time and changes no bit."""

import numpy as np
import numpy.typing as npt
from numba import njit

from evo_fair.proxy.tiles import MANY, SOME, WIDEST, dense_tile, depthwise_tile, half_tile

__all__ = ["Floats", "dense", "dense_half", "depthwise", "pixels_of_next_tile", "units_of_next_tile"]

Floats = npt.NDArray[np.float32]

_many_1, _many_2, _many_3, _many_4, _many_5, _many_6 = (dense_tile(MANY, units) for units in range(1, 7))
_some_1, _some_2, _some_3, _some_4, _some_5, _some_6 = (dense_tile(SOME, units) for units in range(1, 7))
_one_1, _one_2, _one_3, _one_4, _one_5, _one_6 = (dense_tile(1, units) for units in range(1, 7))
_half_many_1, _half_many_2, _half_many_3, _half_many_4, _half_many_5, _half_many_6 = (
    half_tile(MANY, n) for n in range(1, 7)
)
_half_some_1, _half_some_2, _half_some_3, _half_some_4, _half_some_5, _half_some_6 = (
    half_tile(SOME, n) for n in range(1, 7)
)
_half_one_1, _half_one_2, _half_one_3, _half_one_4, _half_one_5, _half_one_6 = (half_tile(1, n) for n in range(1, 7))
_depthwise_many_2, _depthwise_some_2, _depthwise_one_2 = (depthwise_tile(count, 2) for count in (MANY, SOME, 1))
_many_3_by_1, _some_3_by_1 = depthwise_tile(MANY, 2, 3, 1), depthwise_tile(SOME, 2, 3, 1)
_many_3_by_2, _some_3_by_2 = depthwise_tile(MANY, 2, 3, 2), depthwise_tile(SOME, 2, 3, 2)
_many_5_by_1, _some_5_by_1 = depthwise_tile(MANY, 2, 5, 1), depthwise_tile(SOME, 2, 5, 1)
_many_5_by_2, _some_5_by_2 = depthwise_tile(MANY, 2, 5, 2), depthwise_tile(SOME, 2, 5, 2)
_depthwise_many_1, _depthwise_some_1, _depthwise_one_1 = (depthwise_tile(count, 1) for count in (MANY, SOME, 1))


@njit(cache=True, nogil=True, error_model="numpy")
def units_of_next_tile(left: int) -> int:
    """How many of the units of channels left a tile takes: two equal ones where a wide one would leave a narrow one."""
    if WIDEST < left <= 4 * WIDEST // 3:
        return (left + 1) // 2
    return min(left, WIDEST)


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
    channels: int,
    relu: int,
    out: int,
) -> None:
    """Runs the tile of so many pixels and units of channels: see `dense_tile`."""
    if pixels == MANY:
        if units == 1:
            _many_1(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 2:
            _many_2(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 3:
            _many_3(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 4:
            _many_4(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 5:
            _many_5(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        else:
            _many_6(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif pixels == SOME:
        if units == 1:
            _some_1(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 2:
            _some_2(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 3:
            _some_3(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 4:
            _some_4(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 5:
            _some_5(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        else:
            _some_6(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 1:
        _one_1(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 2:
        _one_2(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 3:
        _one_3(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 4:
        _one_4(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 5:
        _one_5(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    else:
        _one_6(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)


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
    channels: int,
    relu: int,
    out: int,
) -> None:
    """Runs the tile of so many pixels and units of channels: see `half_tile`."""
    if pixels == MANY:
        if units == 1:
            _half_many_1(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 2:
            _half_many_2(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 3:
            _half_many_3(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 4:
            _half_many_4(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 5:
            _half_many_5(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        else:
            _half_many_6(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif pixels == SOME:
        if units == 1:
            _half_some_1(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 2:
            _half_some_2(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 3:
            _half_some_3(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 4:
            _half_some_4(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        elif units == 5:
            _half_some_5(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
        else:
            _half_some_6(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 1:
        _half_one_1(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 2:
        _half_one_2(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 3:
        _half_one_3(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 4:
        _half_one_4(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    elif units == 5:
        _half_one_5(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)
    else:
        _half_one_6(x, x_row, x_step, rows, length, w, bias, residual, channels, relu, out, channels)


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
    """Runs the tile of so many pixels and units of channels: see `depthwise_tile`."""
    fixed = 0 if units != 2 or x_step > 2 * x_column else 10 * size + x_step // x_column
    if pixels == MANY:
        if fixed == 31:
            _many_3_by_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif fixed == 32:
            _many_3_by_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif fixed == 51:
            _many_5_by_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif fixed == 52:
            _many_5_by_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif units == 2:
            _depthwise_many_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        else:
            _depthwise_many_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
    elif pixels == SOME:
        if fixed == 31:
            _some_3_by_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif fixed == 32:
            _some_3_by_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif fixed == 51:
            _some_5_by_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif fixed == 52:
            _some_5_by_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        elif units == 2:
            _depthwise_some_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
        else:
            _depthwise_some_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
    elif units == 2:
        _depthwise_one_2(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
    else:
        _depthwise_one_1(x, x_row, x_column, x_step, size, w, channels, bias, relu, out, channels)
