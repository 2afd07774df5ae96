"""Runs a program, a short list of layer operations, over a few images at a time, whose activations stay in cache.

Images lie as `[height, width, channels]`, float32, with channels filled up with zeros to a multiple of 8. Buffers of a
program live in an arena; those that a larger kernel reads have a border of zeros. README.md beside this file draws
both, and the loops.
"""

from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from evo_fair.arrays import Float32s, Ints
from evo_fair.proxy.operations import Action, Operation, Operations
from evo_fair.proxy.tile_choice import (
    address,
    affine,
    affine_of_halves,
    dense,
    dense_half,
    depthwise,
    keep_half,
    pixels_of_next_tile,
    round_to_half,
    statistics,
    to_bfloat,
    units_of_next_line,
    units_of_next_statistics,
    units_of_next_tile,
)
from evo_fair.proxy.tiles import UNIT
from evo_fair.proxy.winograd import run_winograd

__all__ = ["run_program"]

_UNIT_BYTES = 4 * UNIT


def _as_pointer(_context: Any, _address: Any) -> Any:
    pointer = types.CPointer(types.float32)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(types.intp), generate


_pointer: Any = intrinsic(_as_pointer)  # an address as a pointer to float32


@njit(cache=True, nogil=True, error_model="numpy")
def run_program(
    program: Operations,
    weights: Float32s,
    arena: Float32s,
    arrays: Ints,
    strides: Ints,
    target: Float32s,
    means: Float32s,
    size: int,
    group: int,
    first: int,
    last: int,
) -> None:
    """Runs a program on images `first` to `last - 1`, an operation on `group` images at a time.

    `arena` has room for the buffers of `group` images, `size` values each, and for what WINOGRAD needs behind them.

    `arrays` are addresses of arrays of images and `strides` how many values each image of theirs has. STORE writes
    `target` `[images, values]`; STATISTICS writes `means` `[images, 2, channels]`: mean and squared deviations.
    """
    for start in range(first, last, group):
        together = min(group, last - start)
        for number in range(len(program)):
            op = program[number]
            if op.border > 0:
                for member in range(together):
                    _clear_border(op, arena[member * size : (member + 1) * size])
            if op.action == Action.WINOGRAD:
                run_winograd(op, weights, arena, size, together, group * size)
                continue
            for member in range(together):
                image = start + member
                own = arena[member * size : (member + 1) * size]
                if op.action == Action.DENSE:
                    _run_dense(op, weights, own)
                elif op.action == Action.DEPTHWISE:
                    _run_depthwise(op, weights, own)
                elif op.action == Action.LOAD:
                    _load(op, weights, own, arrays[op.array] + 4 * image * strides[op.array])
                elif op.action == Action.SCALE:
                    _scale(op, weights, own, address(own, op.x))
                elif op.action == Action.HALVE:
                    to_bfloat(address(own, op.x), op.vectors, address(own, op.out))
                elif op.action == Action.ROUND:
                    round_to_half(address(own, op.x), op.vectors)
                elif op.action == Action.POOL:
                    _pool(op, own)
                elif op.action == Action.MAX_POOL:
                    _max_pool(op, own)
                elif op.action == Action.STATISTICS:
                    _statistics(op, own, means[image, 0], means[image, 1])
                else:
                    _store(op, own, target[image])


@njit(cache=True, nogil=True, error_model="numpy")
def _run_dense(op: Operation, weights: Float32s, arena: Float32s) -> None:
    height, width, channels = op.height, op.width, op.channels
    x_row, x_step, rows, length, relu, half = op.x_row, op.x_step, op.rows, op.length, op.relu, op.half != 0
    residual, residual_row = op.residual, op.residual_row
    if (
        rows == 1
        and op.x_below == width * x_step
        and op.out_row == width * channels
        and (residual < 0 or residual_row == width * channels)
    ):
        width, height = width * height, 1  # the rows lie behind each other: one long row
    w = address(weights, op.weight)
    done, units = 0, channels // UNIT
    while done < units:
        wide = units_of_next_tile(units - done)
        bias = address(weights, op.bias + UNIT * done)
        for y in range(height):
            x = 0
            while x < width:
                pixels = pixels_of_next_tile(width - x)
                pixel = x * channels + UNIT * done
                a = address(arena, op.x + y * op.x_below + x * x_step)
                r = address(arena, residual + y * residual_row + pixel) if residual >= 0 else 0
                out = address(arena, op.out + y * op.out_row + pixel)
                if half:
                    dense_half(pixels, wide, a, x_row, x_step, rows, length, w, bias, r, relu, out, channels)
                else:
                    dense(pixels, wide, a, x_row, x_step, rows, length, w, bias, r, relu, out, channels)
                x += pixels
        w += rows * length * wide * _UNIT_BYTES
        done += wide


@njit(cache=True, nogil=True, error_model="numpy")
def _run_depthwise(op: Operation, weights: Float32s, arena: Float32s) -> None:
    channels, width, size, relu = op.channels, op.width, op.rows, op.relu
    x_row, x_column, x_step = op.x_row, op.tap, op.x_step
    units = channels // UNIT
    for y in range(op.height):
        done = 0
        while done < units:
            wide = units_of_next_line(units - done)
            w, bias = address(weights, op.weight + UNIT * done), address(weights, op.bias + UNIT * done)
            x = 0
            while x < width:
                pixels = pixels_of_next_tile(width - x)
                a = address(arena, op.x + y * op.x_below + x * x_step + UNIT * done)
                out = address(arena, op.out + y * op.out_row + x * channels + UNIT * done)
                depthwise(pixels, wide, a, x_row, x_column, x_step, size, w, bias, relu, out, channels)
                x += pixels
            done += wide


@njit(cache=True, nogil=True, error_model="numpy")
def _clear_border(op: Operation, arena: Float32s) -> None:
    border, channels, row, height = op.border, op.channels, op.out_row, op.height
    first = op.out - border * (row + channels)
    arena[first : first + border * row] = 0
    below = first + (border + height) * row
    arena[below : below + border * row] = 0
    for y in range(height):
        left = op.out + y * row
        arena[left - border * channels : left] = 0
        right = left + op.width * channels
        arena[right : right + border * channels] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _load(op: Operation, weights: Float32s, arena: Float32s, image: int) -> None:
    if op.x_step < op.channels:
        _load_narrow(op, arena, image)
    else:
        _scale(op, weights, arena, image)


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(op: Operation, weights: Float32s, arena: Float32s, x: int) -> None:
    channels, width, x_step, add, relu, half = op.channels, op.width, op.x_step, op.add, op.relu, op.half != 0
    value_bytes = 2 if half else 4
    units = channels // UNIT
    for y in range(op.height):
        done = 0
        while done < units:
            wide = units_of_next_line(units - done)
            a = x + value_bytes * (y * op.x_row + UNIT * done)
            scale, shift = address(weights, op.weight + UNIT * done), address(weights, op.bias + UNIT * done)
            out = address(arena, op.out + y * op.out_row + UNIT * done)
            if half:
                affine_of_halves(wide, a, x_step, width, scale, shift, add, relu, out, channels)
            else:
                affine(wide, a, x_step, width, scale, shift, add, relu, out, channels)
            done += wide


@njit(cache=True, nogil=True, error_model="numpy")
def _load_narrow(op: Operation, arena: Float32s, image: int) -> None:
    """Copies pixels of fewer channels than a vector has, and fills them up with zeros."""
    count, channels = op.x_channels, op.channels
    values = carray(_pointer(image), op.height * op.x_row)
    for y in range(op.height):
        for x in range(op.width):
            place = op.out + y * op.out_row + x * channels
            for c in range(channels):
                arena[place + c] = values[y * op.x_row + x * op.x_step + c] if c < count else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _pool(op: Operation, arena: Float32s) -> None:
    channels = op.channels
    sums = arena[op.out : op.out + channels]
    sums[:] = 0
    for y in range(op.height):
        for x in range(op.width):
            a = op.x + y * op.x_row + x * channels
            values = arena[a : a + channels]
            for c in range(channels):
                sums[c] += values[c]
    pixels = np.float32(op.height * op.width)
    for c in range(channels):
        sums[c] /= pixels


@njit(cache=True, nogil=True, error_model="numpy")
def _max_pool(op: Operation, arena: Float32s) -> None:
    channels = op.channels
    for y in range(op.height):
        for x in range(op.width):
            place = op.out + y * op.out_row + x * channels
            largest = arena[place : place + channels]
            first = op.x + y * op.x_below + x * op.x_step
            largest[:] = arena[first : first + channels]
            for row in range(op.rows):
                for column in range(op.rows):
                    a = first + row * op.x_row + column * op.tap
                    values = arena[a : a + channels]
                    for c in range(channels):
                        largest[c] = max(largest[c], values[c])


@njit(cache=True, nogil=True, error_model="numpy")
def _statistics(op: Operation, arena: Float32s, mean: Float32s, squares: Float32s) -> None:
    """Sums of distances from the first pixel, which lies among the others, lose nothing to cancellation."""
    channels, width = op.channels, op.width
    mean[:channels] = 0
    squares[:channels] = 0
    units = channels // UNIT
    for y in range(op.height):
        done = 0
        while done < units:
            wide = units_of_next_statistics(units - done)
            a, origin = address(arena, op.x + y * op.x_row + UNIT * done), address(arena, op.x + UNIT * done)
            statistics(wide, a, channels, width, origin, address(mean, UNIT * done), address(squares, UNIT * done))
            done += wide
    pixels = np.float32(op.height * op.width)
    for c in range(channels):
        distance = mean[c] / pixels
        squares[c] = max(squares[c] - mean[c] * distance, np.float32(0))
        mean[c] = arena[op.x + c] + distance


@njit(cache=True, nogil=True, error_model="numpy")
def _store(op: Operation, arena: Float32s, target: Float32s) -> None:
    line = op.width * op.channels
    for y in range(op.height):
        a = op.x + y * op.x_row
        if op.half != 0:
            keep_half(address(arena, a), line // UNIT, target.ctypes.data + 2 * y * line)
            continue
        target[y * line : (y + 1) * line] = arena[a : a + line]
