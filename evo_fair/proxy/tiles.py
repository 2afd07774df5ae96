"""The innermost loops of a convolution as LLVM vector code: a tile of outputs stays in registers.

Numba's own loops keep such a tile in memory, which costs a load and a store for every multiplication. The order of the
additions in an output does not depend on the tile that computes it, so neither do its bits.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "BF16",
    "MANY",
    "SOME",
    "UNIT",
    "WIDEST",
    "affine_line",
    "dense_tile",
    "depthwise_tile",
    "half_line",
    "half_tile",
    "lanes_of",
    "statistics_line",
]

UNIT = 8
"""Channels come in units of so many float32 values: every buffer's number of channels is a multiple of it."""

_AVX512 = bool(llvm.get_host_cpu_features().get("avx512f", False))

BF16 = bool(_AVX512 and llvm.get_host_cpu_features().get("avx512bf16", False))
"""Whether the processor multiplies pairs of bfloat16 numbers and adds them up in float32."""

MANY, SOME = (8, 4) if _AVX512 else (4, 2)
"""Output pixels of a large and of a small tile, chosen so that a large one fills the machine's vector registers."""

WIDEST = 6 if _AVX512 else 2
"""Units of output channels in the widest tile."""

_FLOAT = ir.FloatType()
_INT = ir.IntType(64)
_INT32 = ir.IntType(32)


def lanes_of(units: int) -> tuple[int, ...]:
    """The widths of the vectors that hold so many units of channels."""
    width = 2 if _AVX512 else 1
    return (UNIT * width,) * (units // width) + (UNIT,) * (units % width)


def dense_tile(pixels: int, units: int) -> Callable[..., None]:
    """A tile of a convolution: `pixels` neighbouring outputs in a row, `units` units of output channels.

    Arguments, addresses and lengths as integers, lengths in float32 values: `x`, the first input of the first pixel;
    `x_row` from a kernel row's inputs to the next one's; `x_step` from a pixel's to the next pixel's; `rows` of the
    kernel; `length` of a kernel row (its width times input channels, which lie side by side); `w`, weights
    `[rows, length, units * 8]`; `bias`; `residual` (0: none) and `residual_step`; `relu`; `out` and `out_step`.
    """
    return _function(_dense, _Form(pixels, lanes_of(units)))


def depthwise_tile(pixels: int, units: int, size: int = 0, stride: int = 0) -> Callable[..., None]:
    """A tile of a depthwise convolution: `pixels` neighbouring outputs in a row, `units` units of channels.

    Arguments as for `dense_tile`, but `x_column` from an input pixel to the next one in the kernel's row, a square
    kernel of `size` rows and columns, and weights `w` of which each tap's lie `w_step` after the last tap's. Where size
    and stride are given here those of the call are ignored, and a kernel row loads each of its inputs once.
    """
    return _function(_depthwise, _Form(pixels, lanes_of(units)), size, stride)


def half_tile(pixels: int, units: int) -> Callable[..., None]:
    """A `dense_tile` whose inputs and weights are pairs of bfloat16, each pair in the place of a float32.

    A pair of inputs are neighbouring channels; weights lie as `[rows, length, units * 8, 2]`. Needs `BF16`.
    """
    return _function(_dense, _HalfForm(pixels, lanes_of(units)))


def half_line() -> Callable[..., None]:
    """Rounds `vectors` times 16 values at `x` to bfloat16, to the nearest, ties to even, and writes them to `out`."""
    return _function(_round, _Form(1, (16,)))


def affine_line(units: int) -> Callable[..., None]:
    """`out = x * scale + shift`, plus what `out` held where `add` is not 0, over `pixels` pixels of some units.

    `x_step` and `out_step` lie between neighbouring pixels.
    """
    return _function(_affine, _Form(1, lanes_of(units)))


def statistics_line(units: int) -> Callable[..., None]:
    """Adds `x - origin` to `sums` and its square to `squares`, over `pixels` pixels of some units of channels."""
    return _function(_add_up, _Form(1, lanes_of(units)))


class _Form(NamedTuple):
    """Pixels of a tile, and the widths of the vectors that hold a pixel's channels."""

    pixels: int
    lanes: tuple[int, ...]

    def emitter(self, builder: Any) -> "_Emitter":
        return _Emitter(builder, self.pixels, self.lanes)


class _HalfForm(_Form):
    """The form of a tile that reads pairs of bfloat16."""

    def emitter(self, builder: Any) -> "_Emitter":
        return _HalfEmitter(builder, self.pixels, self.lanes)


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat16, which llvmlite has no name for."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _function(emit: Callable[..., None], form: _Form, *constants: int) -> Callable[..., None]:
    """A function for Numba code whose body `emit` writes; it takes emit's arguments after `constants`, all integers."""
    names = list(inspect.signature(emit).parameters)[1 + len(constants) :]

    def typing(_context: Any, *arguments: Any) -> Any:
        return types.void(*(types.intp for _ in arguments)), generate

    def generate(context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        emit(form.emitter(builder), *constants, *arguments)
        return context.get_dummy_value()

    # Numba asks the signature how many arguments there are.
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ["_context", *names]]
    typing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function: Callable[..., None] = intrinsic(typing)
    return function


class _Emitter:
    """Writes the parts that both kinds of tile share."""

    def __init__(self, builder: Any, pixels: int, lanes: tuple[int, ...]) -> None:
        self.builder = builder
        self.pixels = range(pixels)
        self.vectors = [ir.VectorType(_FLOAT, count) for count in lanes]
        self.offsets = [4 * sum(lanes[:i]) for i in range(len(lanes))]
        self.bytes = 4 * sum(lanes)

    def bytes_of(self, length: Any) -> Any:
        return self.builder.shl(length, _constant(2))

    def plus(self, address: Any, step: Any) -> Any:
        return self.builder.add(address, step if isinstance(step, ir.Value) else _constant(step))

    def load(self, address: Any, kind: Any) -> Any:
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=4)

    def load_vectors(self, address: Any) -> list[Any]:
        return [
            self.load(self.plus(address, offset), vector)
            for vector, offset in zip(self.vectors, self.offsets, strict=True)
        ]

    def load_inputs(self, address: Any) -> list[Any]:
        """What a tile multiplies with: vectors of weights."""
        return self.load_vectors(address)

    def load_scalar(self, address: Any) -> Any:
        """What a tile multiplies with: an input."""
        return self.load(address, _FLOAT)

    def spread(self, scalar: Any, vector: Any) -> Any:
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
        zeros = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        name = f"llvm.fma.v{a.type.count}f32"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(a.type, [a.type] * 3), name)
        return self.builder.call(function, [a, b, c])

    def loop(self, count: Any, carried: list[Any], body: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """Runs `body` `count` times, at least once, on the carried values; returns what the last round gave."""
        builder = self.builder
        before, inside = builder.block, builder.function.append_basic_block("tile")
        builder.branch(inside)
        builder.position_at_end(inside)
        number = builder.phi(_INT)
        number.add_incoming(_constant(0), before)
        now = [builder.phi(value.type) for value in carried]
        for phi, value in zip(now, carried, strict=True):
            phi.add_incoming(value, before)
        after = body(now)
        following = self.plus(number, 1)
        end = builder.block
        number.add_incoming(following, end)
        for phi, value in zip(now, after, strict=True):
            phi.add_incoming(value, end)
        done = builder.function.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", following, count), inside, done)
        builder.position_at_end(done)
        return after

    def add_residual(self, sums: list[Any], residual: Any, step: Any) -> list[Any]:
        builder = self.builder
        before = builder.block
        there, joined = (builder.function.append_basic_block(name) for name in ("residual", "joined"))
        builder.cbranch(builder.icmp_signed("!=", residual, _constant(0)), there, joined)
        builder.position_at_end(there)
        added = []
        for pixel in self.pixels:
            row = sums[pixel * len(self.vectors) : (pixel + 1) * len(self.vectors)]
            added += [builder.fadd(a, b) for a, b in zip(row, self.load_vectors(residual), strict=True)]
            residual = self.plus(residual, step)
        builder.branch(joined)
        builder.position_at_end(joined)
        final = []
        for plain, other in zip(sums, added, strict=True):
            phi = builder.phi(plain.type)
            phi.add_incoming(plain, before)
            phi.add_incoming(other, there)
            final.append(phi)
        return final

    def store_plain(self, values: list[Any], out: Any) -> None:
        for value, offset in zip(values, self.offsets, strict=True):
            target = self.builder.inttoptr(self.plus(out, offset), value.type.as_pointer())
            self.builder.store(value, target, align=4)

    def store(self, sums: list[Any], relu: Any, out: Any, step: Any) -> None:
        builder = self.builder
        rectified = builder.icmp_signed("!=", relu, _constant(0))
        values = iter(sums)
        for _ in self.pixels:
            for vector, offset in zip(self.vectors, self.offsets, strict=True):
                value = next(values)
                lowest = builder.select(rectified, _filled(vector, 0.0), _filled(vector, float("-inf")))
                value = builder.select(builder.fcmp_ordered("<", value, lowest), lowest, value)  # a NaN stays one
                target = builder.inttoptr(self.plus(out, offset), vector.as_pointer())
                builder.store(value, target, align=4)
            out = self.plus(out, step)


class _HalfEmitter(_Emitter):
    """Reads pairs of bfloat16 as 32-bit integers."""

    def load_inputs(self, address: Any) -> list[Any]:
        pairs = [ir.VectorType(_INT32, vector.count) for vector in self.vectors]
        return [self.load(self.plus(address, offset), pair) for pair, offset in zip(pairs, self.offsets, strict=True)]

    def load_scalar(self, address: Any) -> Any:
        return self.load(address, _INT32)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * c.type.count}"
        pairs = ir.VectorType(_BFloat(), 2 * c.type.count)
        module = self.builder.module
        kind = ir.FunctionType(c.type, [c.type, pairs, pairs])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        return self.builder.call(function, [c, self.builder.bitcast(a, pairs), self.builder.bitcast(b, pairs)])


def _dense(
    emit: _Emitter,
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
    emit: _Emitter,
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
        _, _, *sums = emit.loop(_constant(fixed), [x, w, *start], one_fixed_row)
    else:
        _, _, *sums = emit.loop(size, [x, w, *start], one_row)
    emit.store(sums, relu, out, emit.bytes_of(out_step))


def _affine(
    emit: _Emitter,
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
    x_step, out_step = emit.bytes_of(x_step), emit.bytes_of(out_step)
    scales, shifts = emit.load_vectors(scale), emit.load_vectors(shift)
    adding = emit.builder.icmp_signed("!=", add, _constant(0))

    def one_pixel(carried: list[Any]) -> list[Any]:
        place, target = carried
        values = [
            emit.multiply_add(value, by, plus)
            for value, by, plus in zip(emit.load_vectors(place), scales, shifts, strict=True)
        ]
        values = emit.add_residual(values, emit.builder.select(adding, target, _constant(0)), out_step)
        emit.store(values, relu, target, out_step)
        return [emit.plus(place, x_step), emit.plus(target, out_step)]

    emit.loop(pixels, [x, out], one_pixel)


def _add_up(emit: _Emitter, x: Any, x_step: Any, pixels: Any, origin: Any, sums: Any, squares: Any) -> None:
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


def _round(emit: _Emitter, x: Any, vectors: Any, out: Any) -> None:
    half = ir.VectorType(_BFloat(), emit.vectors[0].count)

    def one_vector(carried: list[Any]) -> list[Any]:
        place, target = carried
        (value,) = emit.load_vectors(place)
        rounded = emit.builder.fptrunc(value, half)
        emit.builder.store(rounded, emit.builder.inttoptr(target, half.as_pointer()), align=4)
        return [emit.plus(place, emit.bytes), emit.plus(target, emit.bytes // 2)]

    emit.loop(vectors, [x, out], one_vector)


def _constant(value: int) -> Any:
    return ir.Constant(_INT, value)


def _filled(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)
