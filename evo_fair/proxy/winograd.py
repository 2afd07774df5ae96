"""Convolutions 3x3 of stride 1 by Winograd's minimal filtering, F(4x4, 3x3): a quarter of the multiplications.

Source: Lavin and Gray 2016, Fast algorithms for convolutional neural networks, section 4.3. A map is cut into tiles of
4x4 outputs. The 6x6 inputs of each are transformed to 36 values, for each of which the channels are multiplied with a
matrix of its own, as in a 1x1 convolution whose pixels are the tiles; the 36 products of a tile are transformed back.
Several images go through together, so that a small map has tiles enough to fill the registers.
"""

import numpy as np
from numba import njit

from evo_fair.proxy.operations import Column, Integers
from evo_fair.proxy.tile_choice import Floats, dense, pixels_of_next_tile, units_of_next_tile
from evo_fair.proxy.tiles import UNIT, winograd_inputs, winograd_outputs

__all__ = ["POINTS", "pack_winograd", "run_winograd", "scratch_of", "suits_winograd", "transform_weights"]

_SIDE = 4
"""Outputs of a tile, in a row."""

POINTS = 36
"""Values that a tile is transformed to."""

_BLOCK = 16
"""Tiles that are computed together."""

_APART = 16
"""Values between the tiles of a point and those of the next, so that not all points fall into one set of the cache."""

_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)

_inputs_1, _inputs_2 = winograd_inputs(1), winograd_inputs(2)
_outputs_1, _outputs_2 = winograd_outputs(1, adding=False), winograd_outputs(2, adding=False)
_adding_1, _adding_2 = winograd_outputs(1, adding=True), winograd_outputs(2, adding=True)

_SOURCE, _SOURCE_ROW, _STEP_X = int(Column.SOURCE), int(Column.SOURCE_ROW), int(Column.STEP_X)
_TARGET, _TARGET_ROW, _CHANNELS = int(Column.TARGET), int(Column.TARGET_ROW), int(Column.CHANNELS)
_HEIGHT, _WIDTH, _WEIGHT, _BIAS = int(Column.HEIGHT), int(Column.WIDTH), int(Column.WEIGHT), int(Column.BIAS)
_RESIDUAL, _RESIDUAL_ROW, _RELU = int(Column.RESIDUAL), int(Column.RESIDUAL_ROW), int(Column.RELU)


def suits_winograd(height: int, width: int) -> bool:
    """Whether a map of a convolution's outputs can be cut into Winograd's tiles."""
    return height % _SIDE == 0 and width % _SIDE == 0


def transform_weights(weight: Floats) -> Floats:
    """G g G^T of a weight `[out, in, 3, 3]`, as `[36, in, out]`."""
    transformed = np.einsum("pa,oiab,qb->pqio", _G, weight.astype(np.float64), _G, optimize=True)
    return np.ascontiguousarray(transformed.reshape(POINTS, *weight.shape[1::-1]), np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def pack_winograd(transformed: Floats, c_out: int, c_in: int, scale: Floats, out: Floats) -> None:
    """Writes the first channels of transformed weights, scaled by output, point by point and tile by tile.

    `out` holds `36 * pad(c_in) * pad(c_out)` zeros, where `pad` fills up to a multiple of 8.
    """
    inputs, units = -(-c_in // UNIT) * UNIT, -(-c_out // UNIT)
    place = 0
    for point in range(POINTS):
        done = 0
        while done < units:
            wide = units_of_next_tile(units - done)
            begin, end = UNIT * done, min(UNIT * (done + wide), c_out)
            for i in range(c_in):
                row = place + i * wide * UNIT - begin
                for o in range(begin, end):
                    out[row + o] = transformed[point, i, o] * scale[o]
            place += inputs * wide * UNIT
            done += wide


def scratch_of(inputs: int, channels: int) -> int:
    """Values that a block of transformed tiles takes, of the input's and the output's channels."""
    return POINTS * (_BLOCK * (inputs + channels) + 2 * _APART)


@njit(cache=True, nogil=True, error_model="numpy")
def run_winograd(op: Integers, weights: Floats, arena: Floats, size: int, images: int, scratch: int) -> None:
    """Runs a convolution on `images` images, whose buffers lie `size` values apart.

    From `scratch` on the arena has room for `scratch_of(inputs, channels)` values.
    """
    inputs, channels = op[_STEP_X], op[_CHANNELS]
    across, down = op[_WIDTH] // _SIDE, op[_HEIGHT] // _SIDE
    x_row, out_row = op[_SOURCE_ROW], op[_TARGET_ROW]
    residual, residual_row = op[_RESIDUAL], op[_RESIDUAL_ROW]
    base, w, bias = arena.ctypes.data, weights.ctypes.data + 4 * op[_WEIGHT], weights.ctypes.data + 4 * op[_BIAS]
    zeros = w + 4 * POINTS * inputs * channels
    x_point, y_point = _BLOCK * inputs + _APART, _BLOCK * channels + _APART
    x = base + 4 * scratch
    y = x + 4 * POINTS * x_point
    tiles = images * across * down
    for first in range(0, tiles, _BLOCK):
        count = min(_BLOCK, tiles - first)
        for number in range(count):
            image, place = divmod(first + number, across * down)
            a, b = divmod(place, across)
            source = base + 4 * (image * size + op[_SOURCE] + _SIDE * (a * x_row + b * inputs))
            _transform_inputs(source, x_row, inputs, x + 4 * number * inputs, x_point)
        _multiply(x, x_point, inputs, w, zeros, y, y_point, channels, count)
        for number in range(count):
            image, place = divmod(first + number, across * down)
            a, b = divmod(place, across)
            out = base + 4 * (image * size + op[_TARGET] + _SIDE * (a * out_row + b * channels))
            added = 0
            if residual >= 0:
                added = base + 4 * (image * size + residual + _SIDE * (a * residual_row + b * channels))
            source = y + 4 * number * channels
            _transform_outputs(source, y_point, bias, added, residual_row, channels, op[_RELU], out, out_row)


@njit(cache=True, nogil=True, error_model="numpy")
def _transform_inputs(source: int, x_row: int, channels: int, out: int, point: int) -> None:
    """A tile of all channels; the values of a point lie `point` behind those of the last one."""
    done = 0
    while done < channels:
        if channels - done >= 2 * UNIT:
            _inputs_2(source + 4 * done, x_row, channels, out + 4 * done, point)
            done += 2 * UNIT
        else:
            _inputs_1(source + 4 * done, x_row, channels, out + 4 * done, point)
            done += UNIT


@njit(cache=True, nogil=True, error_model="numpy")
def _multiply(
    x: int, x_point: int, inputs: int, w: int, zeros: int, y: int, y_point: int, channels: int, count: int
) -> None:
    """The channels of `count` tiles with each point's matrix."""
    units = channels // UNIT
    for point in range(POINTS):
        done = 0
        while done < units:
            wide = units_of_next_tile(units - done)
            number = 0
            while number < count:
                pixels = pixels_of_next_tile(count - number)
                source = x + 4 * (point * x_point + number * inputs)
                out = y + 4 * (point * y_point + number * channels + UNIT * done)
                dense(pixels, wide, source, 0, inputs, 1, inputs, w, zeros, 0, channels, 0, out)
                number += pixels
            w += 4 * inputs * wide * UNIT
            done += wide


@njit(cache=True, nogil=True, error_model="numpy")
def _transform_outputs(
    source: int,
    point: int,
    bias: int,
    residual: int,
    residual_row: int,
    channels: int,
    relu: int,
    out: int,
    out_row: int,
) -> None:
    """A tile of all channels; a residual of 0 is none."""
    done = 0
    while done < channels:
        m, c, d, r = source + 4 * done, bias + 4 * done, out + 4 * done, residual + 4 * done
        wide = 2 if channels - done >= 2 * UNIT else 1
        if residual == 0:
            if wide == 2:
                _outputs_2(m, point, c, r, residual_row, channels, relu, d, out_row, channels)
            else:
                _outputs_1(m, point, c, r, residual_row, channels, relu, d, out_row, channels)
        elif wide == 2:
            _adding_2(m, point, c, r, residual_row, channels, relu, d, out_row, channels)
        else:
            _adding_1(m, point, c, r, residual_row, channels, relu, d, out_row, channels)
        done += wide * UNIT
