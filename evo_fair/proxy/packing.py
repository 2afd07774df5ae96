"""Weights in the order in which tiles read them, and the statistics of a batch from those of its images."""

import numpy as np
import numpy.typing as npt
from numba import njit

from evo_fair.arrays import Float32s, Floats
from evo_fair.proxy.tile_choice import units_of_next_tile
from evo_fair.proxy.tiles import UNIT

__all__ = ["batch_statistics", "pack_dense", "pack_depthwise", "pack_half"]


@njit(cache=True, nogil=True, error_model="numpy")
def batch_statistics(statistics: Float32s, pixels: int) -> tuple[Floats, Floats]:
    """Mean and biased variance by channel of a batch, from those of its images `[images, 2, channels]`.

    Each image has `pixels` pixels. Source: Chan, Golub, LeVeque 1983, updating formulae for variances.
    """
    images, _, channels = statistics.shape
    mean = np.zeros(channels)
    for i in range(images):
        for c in range(channels):
            mean[c] += statistics[i, 0, c]
    mean /= images
    squares = np.zeros(channels)
    for i in range(images):
        for c in range(channels):
            squares[c] += statistics[i, 1, c] + pixels * (statistics[i, 0, c] - mean[c]) ** 2
    return mean, squares / (images * pixels)


@njit(cache=True, nogil=True, error_model="numpy")
def pack_dense(weight: Float32s, c_out: int, c_in: int, kernel: int, scale: Float32s, out: Float32s) -> None:
    """Writes the first channels and the central taps of a weight `[out, in, k, k]`, scaled by output, tile by tile.

    `out` holds `kernel * kernel * pad(c_in) * pad(c_out)` zeros, where `pad` fills up to a multiple of 8.
    """
    inputs, units = -(-c_in // UNIT) * UNIT, -(-c_out // UNIT)
    margin = (weight.shape[2] - kernel) // 2
    done, place = 0, 0
    while done < units:
        wide = units_of_next_tile(units - done)
        for o in range(UNIT * done, min(UNIT * (done + wide), c_out)):
            for i in range(c_in):
                for y in range(kernel):
                    for x in range(kernel):
                        row = place + ((y * kernel + x) * inputs + i) * wide * UNIT
                        out[row + o - UNIT * done] = weight[o, i, margin + y, margin + x] * scale[o]
        place += kernel * kernel * inputs * wide * UNIT
        done += wide


@njit(cache=True, nogil=True, error_model="numpy")
def pack_half(packed: Float32s, c_out: int, rows: int, out: npt.NDArray[np.uint16]) -> None:
    """Rounds what `pack_dense` wrote to bfloat16, in pairs of rows: of each of the `rows` inputs, that is."""
    bits = packed.view(np.uint32)
    units, done, place = -(-c_out // UNIT), 0, 0
    while done < units:
        wide = units_of_next_tile(units - done) * UNIT
        for row in range(rows):
            for o in range(wide):
                value = bits[place + row * wide + o]
                rounded = (value + np.uint32(0x7FFF) + ((value >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
                out[place + (row // 2 * wide + o) * 2 + row % 2] = rounded
        place += rows * wide
        done += wide // UNIT


@njit(cache=True, nogil=True, error_model="numpy")
def pack_depthwise(weight: Float32s, channels: int, kernel: int, scale: Float32s, out: Float32s) -> None:
    """Writes the first channels and the central taps of a weight `[out, 1, k, k]`, scaled: `[k, k, pad(channels)]`."""
    line = -(-channels // UNIT) * UNIT
    margin = (weight.shape[2] - kernel) // 2
    for o in range(channels):
        for y in range(kernel):
            for x in range(kernel):
                out[(y * kernel + x) * line + o] = weight[o, 0, margin + y, margin + x] * scale[o]
