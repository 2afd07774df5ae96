"""Convolutions 3x3 of stride 1 by Winograd's minimal filtering, F(4x4, 3x3): a quarter of the multiplications.

Source: Lavin and Gray 2016, Fast algorithms for convolutional neural networks, section 4.3. A map is cut into tiles of
4x4 outputs. The 6x6 inputs of each are transformed to 36 values, for each of which the channels are multiplied with a
matrix of its own, as in a 1x1 convolution whose pixels are the tiles; the 36 products of a tile are transformed back.
Several images go through together, so that a small map has tiles enough to fill the registers.
"""

import numpy as np
from numba import njit

from evo_fair.arrays import Float32s
from evo_fair.proxy.operations import Operation
from evo_fair.proxy.tile_choice import (
    address,
    dense,
    pixels_of_next_tile,
    units_of_next_line,
    units_of_next_tile,
    winograd_in,
    winograd_out,
)
from evo_fair.proxy.tiles import UNIT

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


def suits_winograd(height: int, width: int) -> bool:
    """Whether a map of a convolution's outputs can be cut into Winograd's tiles."""
    return height % _SIDE == 0 and width % _SIDE == 0


def transform_weights(weight: Float32s) -> Float32s:
    """G g G^T of a weight `[out, in, 3, 3]`, as `[36, in, out]`."""
    transformed = np.einsum("pa,oiab,qb->pqio", _G, weight.astype(np.float64), _G, optimize=True)
    return np.ascontiguousarray(transformed.reshape(POINTS, *weight.shape[1::-1]), np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def pack_winograd(transformed: Float32s, c_out: int, c_in: int, scale: Float32s, out: Float32s) -> None:
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
def run_winograd(op: Operation, weights: Float32s, arena: Float32s, size: int, images: int, scratch: int) -> None:
    """Runs a convolution on `images` images, whose buffers lie `size` values apart.

    From `scratch` on the arena has room for `scratch_of(inputs, channels)` values.
    """
    inputs, channels = op.x_step, op.channels
    across, down = op.width // _SIDE, op.height // _SIDE
    x_row, out_row, relu = op.x_row, op.out_row, op.relu
    residual, residual_row = op.residual, op.residual_row
    w, bias = address(weights, op.weight), address(weights, op.bias)
    zeros = address(weights, op.weight + POINTS * inputs * channels)
    x_point, y_point = _BLOCK * inputs + _APART, _BLOCK * channels + _APART
    x, y = address(arena, scratch), address(arena, scratch + POINTS * x_point)
    tiles = images * across * down
    for first in range(0, tiles, _BLOCK):
        count = min(_BLOCK, tiles - first)
        for number in range(count):
            image, place = divmod(first + number, across * down)
            a, b = divmod(place, across)
            source = address(arena, image * size + op.x + _SIDE * (a * x_row + b * inputs))
            _transform_inputs(source, x_row, inputs, x + 4 * number * inputs, x_point)
        _multiply(x, x_point, inputs, w, zeros, y, y_point, channels, count)
        for number in range(count):
            image, place = divmod(first + number, across * down)
            a, b = divmod(place, across)
            out = address(arena, image * size + op.out + _SIDE * (a * out_row + b * channels))
            added = 0
            if residual >= 0:
                added = address(arena, image * size + residual + _SIDE * (a * residual_row + b * channels))
            source = y + 4 * number * channels
            _transform_outputs(source, y_point, bias, added, residual_row, channels, relu, out, out_row)


@njit(cache=True, nogil=True, error_model="numpy")
def _transform_inputs(source: int, x_row: int, channels: int, out: int, point: int) -> None:
    """A tile of all channels; the values of a point lie `point` behind those of the last one."""
    done, units = 0, channels // UNIT
    while done < units:
        wide, here = units_of_next_line(units - done), 4 * UNIT * done
        winograd_in(wide, source + here, x_row, channels, out + here, point)
        done += wide


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
                dense(pixels, wide, source, 0, inputs, 1, inputs, w, zeros, 0, 0, out, channels)
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
    adding = 0 if residual == 0 else 1
    done, units = 0, channels // UNIT
    while done < units:
        wide, here = units_of_next_line(units - done), 4 * UNIT * done
        winograd_out(
            wide,
            adding,
            source + here,
            point,
            bias + here,
            residual + here,
            residual_row,
            relu,
            out + here,
            out_row,
            channels,
        )
        done += wide
