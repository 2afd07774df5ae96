"""Runs a program, a short list of layer operations, over a few images at a time, whose activations stay in cache.

Images lie as `[height, width, channels]`, float32, with channels filled up with zeros to a multiple of 8. Buffers of a
program live in an arena; those that a larger kernel reads have a border of zeros.
"""

from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from evo_fair.proxy.operations import Column, Integers, Op
from evo_fair.proxy.tile_choice import Floats, dense, dense_half, depthwise, pixels_of_next_tile, units_of_next_tile
from evo_fair.proxy.tiles import (
    UNIT,
    affine_line,
    affine_line_of_halves,
    half_line,
    keep_half_line,
    round_line,
    statistics_line,
)
from evo_fair.proxy.winograd import run_winograd

__all__ = ["run_program"]

_OP, _SOURCE, _SOURCE_ROW, _STEP_Y, _STEP_X, _LENGTH, _KERNEL, _TARGET, _TARGET_ROW = (int(c) for c in list(Column)[:9])
_CHANNELS, _HEIGHT, _WIDTH, _WEIGHT, _BIAS, _RESIDUAL, _RESIDUAL_ROW, _RELU, _BORDER, _HALF = (
    int(c) for c in list(Column)[9:]
)
_LOAD, _DENSE, _DEPTHWISE, _POOL, _STATISTICS, _STORE, _SCALE, _HALVE, _WINOGRAD, _ROUND = (int(op) for op in Op)

_affine_1, _affine_2 = affine_line(1), affine_line(2)
_half_affine_1, _half_affine_2 = affine_line_of_halves(1), affine_line_of_halves(2)
_to_bfloat, _to_half, _round = half_line(), keep_half_line(), round_line()
_statistics_1, _statistics_2, _statistics_6 = statistics_line(1), statistics_line(2), statistics_line(6)


def _as_pointer(_context: Any, _address: Any) -> Any:
    pointer = types.CPointer(types.float32)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(types.intp), generate


_pointer: Any = intrinsic(_as_pointer)  # an address as a pointer to float32


@njit(cache=True, nogil=True, error_model="numpy")
def run_program(
    program: Integers,
    weights: Floats,
    arena: Floats,
    sources: Integers,
    strides: Integers,
    target: Floats,
    statistics: Floats,
    size: int,
    group: int,
    first: int,
    last: int,
) -> None:
    """Runs a program on images `first` to `last - 1`, an operation on `group` images at a time.

    `arena` has room for the buffers of `group` images, `size` values each, and for what WINOGRAD needs behind them.

    `sources` are addresses of arrays of images and `strides` how many values each image of theirs has. STORE writes
    `target` `[images, values]`; STATISTICS writes `statistics` `[images, 2, channels]`: mean and squared deviations.
    """
    for start in range(first, last, group):
        together = min(group, last - start)
        for number in range(len(program)):
            op = program[number]
            if op[_BORDER] > 0:
                for member in range(together):
                    _clear_border(op, arena[member * size : (member + 1) * size])
            if op[_OP] == _WINOGRAD:
                run_winograd(op, weights, arena, size, together, group * size)
                continue
            for member in range(together):
                image = start + member
                own = arena[member * size : (member + 1) * size]
                if op[_OP] == _DENSE:
                    _run_dense(op, weights, own)
                elif op[_OP] == _DEPTHWISE:
                    _run_depthwise(op, weights, own)
                elif op[_OP] == _LOAD:
                    which = op[_SOURCE]
                    _load(op, weights, own, sources[which] + 4 * image * strides[which])
                elif op[_OP] == _SCALE:
                    _scale(op, weights, own, own.ctypes.data + 4 * op[_SOURCE])
                elif op[_OP] == _HALVE:
                    _to_bfloat(own.ctypes.data + 4 * op[_SOURCE], op[_LENGTH], own.ctypes.data + 4 * op[_TARGET])
                elif op[_OP] == _ROUND:
                    _round(own.ctypes.data + 4 * op[_SOURCE], op[_LENGTH])
                elif op[_OP] == _POOL:
                    _pool(op, own)
                elif op[_OP] == _STATISTICS:
                    _statistics(op, own, statistics[image, 0], statistics[image, 1])
                else:
                    _store(op, own, target[image])


@njit(cache=True, nogil=True, error_model="numpy")
def _run_dense(op: Integers, weights: Floats, arena: Floats) -> None:
    height, width, channels = op[_HEIGHT], op[_WIDTH], op[_CHANNELS]
    residual, residual_row = op[_RESIDUAL], op[_RESIDUAL_ROW]
    x_row, x_step, rows, length, half = op[_SOURCE_ROW], op[_STEP_X], op[_KERNEL], op[_LENGTH], op[_HALF] != 0
    if (
        rows == 1
        and op[_STEP_Y] == width * x_step
        and op[_TARGET_ROW] == width * channels
        and (residual < 0 or residual_row == width * channels)
    ):
        width, height = width * height, 1  # the rows lie behind each other: one long row
    base, w, bias = arena.ctypes.data, weights.ctypes.data + 4 * op[_WEIGHT], weights.ctypes.data + 4 * op[_BIAS]
    done, units = 0, channels // UNIT
    while done < units:
        wide = units_of_next_tile(units - done)
        for y in range(height):
            x = 0
            while x < width:
                pixels = pixels_of_next_tile(width - x)
                a = base + 4 * (op[_SOURCE] + y * op[_STEP_Y] + x * x_step)
                c = bias + 4 * UNIT * done
                r = base + 4 * (residual + y * residual_row + x * channels + UNIT * done) if residual >= 0 else 0
                out = base + 4 * (op[_TARGET] + y * op[_TARGET_ROW] + x * channels + UNIT * done)
                if half:
                    dense_half(pixels, wide, a, x_row, x_step, rows, length, w, c, r, channels, op[_RELU], out)
                else:
                    dense(pixels, wide, a, x_row, x_step, rows, length, w, c, r, channels, op[_RELU], out)
                x += pixels
        w += 4 * rows * length * wide * UNIT
        done += wide


@njit(cache=True, nogil=True, error_model="numpy")
def _run_depthwise(op: Integers, weights: Floats, arena: Floats) -> None:
    channels, size = op[_CHANNELS], op[_KERNEL]
    x_row, x_column, x_step = op[_SOURCE_ROW], op[_LENGTH], op[_STEP_X]
    base, w, bias = arena.ctypes.data, weights.ctypes.data + 4 * op[_WEIGHT], weights.ctypes.data + 4 * op[_BIAS]
    relu, width = op[_RELU], op[_WIDTH]
    for y in range(op[_HEIGHT]):
        row = base + 4 * (op[_SOURCE] + y * op[_STEP_Y])
        out_row = base + 4 * (op[_TARGET] + y * op[_TARGET_ROW])
        done = 0
        while done < channels:
            wide = 2 if channels - done >= 2 * UNIT else 1
            x = 0
            while x < width:
                a, out = row + 4 * (x * x_step + done), out_row + 4 * (x * channels + done)
                v, c = w + 4 * done, bias + 4 * done
                pixels = pixels_of_next_tile(width - x)
                depthwise(pixels, wide, a, x_row, x_column, x_step, size, v, c, relu, out, channels)
                x += pixels
            done += wide * UNIT


@njit(cache=True, nogil=True, error_model="numpy")
def _clear_border(op: Integers, arena: Floats) -> None:
    border, channels, row = op[_BORDER], op[_CHANNELS], op[_TARGET_ROW]
    height = op[_HEIGHT]
    first = op[_TARGET] - border * (row + channels)
    arena[first : first + border * row] = 0
    below = first + (border + height) * row
    arena[below : below + border * row] = 0
    for y in range(height):
        left = op[_TARGET] + y * row
        arena[left - border * channels : left] = 0
        right = left + op[_WIDTH] * channels
        arena[right : right + border * channels] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _load(op: Integers, weights: Floats, arena: Floats, source: int) -> None:
    if op[_STEP_X] < op[_CHANNELS]:
        _load_narrow(op, arena, source)
    else:
        _scale(op, weights, arena, source)


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(op: Integers, weights: Floats, arena: Floats, source: int) -> None:
    channels, width, step, add, relu = op[_CHANNELS], op[_WIDTH], op[_STEP_X], op[_KERNEL], op[_RELU]
    scale, shift = weights.ctypes.data + 4 * op[_WEIGHT], weights.ctypes.data + 4 * op[_BIAS]
    half = op[_HALF] != 0
    size = 2 if half else 4
    for y in range(op[_HEIGHT]):
        x = source + size * y * op[_SOURCE_ROW]
        out = arena.ctypes.data + 4 * (op[_TARGET] + y * op[_TARGET_ROW])
        done = 0
        while done < channels:
            a, b, c, d = x + size * done, scale + 4 * done, shift + 4 * done, out + 4 * done
            wide = 2 if channels - done >= 2 * UNIT else 1
            if half and wide == 2:
                _half_affine_2(a, step, width, b, c, add, relu, d, channels)
            elif half:
                _half_affine_1(a, step, width, b, c, add, relu, d, channels)
            elif wide == 2:
                _affine_2(a, step, width, b, c, add, relu, d, channels)
            else:
                _affine_1(a, step, width, b, c, add, relu, d, channels)
            done += wide * UNIT


@njit(cache=True, nogil=True, error_model="numpy")
def _load_narrow(op: Integers, arena: Floats, source: int) -> None:
    """Copies pixels of fewer channels than a vector has, and fills them up with zeros."""
    count, channels = op[_LENGTH], op[_CHANNELS]
    image = carray(_pointer(source), op[_HEIGHT] * op[_SOURCE_ROW])
    for y in range(op[_HEIGHT]):
        for x in range(op[_WIDTH]):
            place = op[_TARGET] + y * op[_TARGET_ROW] + x * channels
            for c in range(channels):
                arena[place + c] = image[y * op[_SOURCE_ROW] + x * op[_STEP_X] + c] if c < count else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _pool(op: Integers, arena: Floats) -> None:
    channels = op[_CHANNELS]
    sums = arena[op[_TARGET] : op[_TARGET] + channels]
    sums[:] = 0
    for y in range(op[_KERNEL]):
        for x in range(op[_LENGTH]):
            a = op[_SOURCE] + y * op[_SOURCE_ROW] + x * channels
            values = arena[a : a + channels]
            for c in range(channels):
                sums[c] += values[c]
    pixels = np.float32(op[_KERNEL] * op[_LENGTH])
    for c in range(channels):
        sums[c] /= pixels


@njit(cache=True, nogil=True, error_model="numpy")
def _statistics(op: Integers, arena: Floats, mean: Floats, squares: Floats) -> None:
    """Sums of distances from the first pixel, which lies among the others, lose nothing to cancellation."""
    channels, width = op[_CHANNELS], op[_WIDTH]
    mean[:channels] = 0
    squares[:channels] = 0
    origin = arena.ctypes.data + 4 * op[_SOURCE]
    for y in range(op[_HEIGHT]):
        x = origin + 4 * y * op[_SOURCE_ROW]
        done = 0
        while done < channels:
            a, first = x + 4 * done, origin + 4 * done
            sums, powers = mean.ctypes.data + 4 * done, squares.ctypes.data + 4 * done
            if channels - done >= 6 * UNIT:
                _statistics_6(a, channels, width, first, sums, powers)
                done += 6 * UNIT
            elif channels - done >= 2 * UNIT:
                _statistics_2(a, channels, width, first, sums, powers)
                done += 2 * UNIT
            else:
                _statistics_1(a, channels, width, first, sums, powers)
                done += UNIT
    pixels = np.float32(op[_HEIGHT] * op[_WIDTH])
    for c in range(channels):
        distance = mean[c] / pixels
        squares[c] = max(squares[c] - mean[c] * distance, np.float32(0))
        mean[c] = arena[op[_SOURCE] + c] + distance


@njit(cache=True, nogil=True, error_model="numpy")
def _store(op: Integers, arena: Floats, target: Floats) -> None:
    line = op[_WIDTH] * op[_CHANNELS]
    for y in range(op[_HEIGHT]):
        a = op[_SOURCE] + y * op[_SOURCE_ROW]
        if op[_HALF] != 0:
            _to_half(arena.ctypes.data + 4 * a, line // UNIT, target.ctypes.data + 2 * y * line)
            continue
        target[y * line : (y + 1) * line] = arena[a : a + line]
