"""Writes functions for Numba code as LLVM vector code: what the tiles of `evo_fair.proxy.tiles` have in common."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

__all__ = [
    "AVX512",
    "BF16",
    "FLOAT",
    "HALF",
    "BFloat",
    "Emitter",
    "Form",
    "HalfEmitter",
    "HalfForm",
    "KeptEmitter",
    "KeptForm",
    "constant",
    "emitted",
]


def _has(feature: str) -> bool:
    """Whether Numba compiles for a processor with it: this one, unless its environment variables name another."""
    named: str | None = getattr(config, "CPU_FEATURES", None)
    if named is not None:
        return f"+{feature}" in named.split(",")
    return bool(llvm.get_host_cpu_features().get(feature, False))


AVX512 = _has("avx512f")

BF16 = AVX512 and _has("avx512bf16")
"""Whether the processor multiplies pairs of bfloat16 numbers and adds them up in float32."""

FLOAT = ir.FloatType()
_INT = ir.IntType(64)
_INT32 = ir.IntType(32)


class Form(NamedTuple):
    """Pixels of a tile, the widths of the vectors that hold a pixel's channels, and what else is fixed in its code."""

    pixels: int
    lanes: tuple[int, ...]
    fixed: tuple[int, ...] = ()

    def emitter(self, builder: Any) -> "Emitter":
        """What writes code of this form."""
        return Emitter(builder, self.pixels, self.lanes)


class HalfForm(Form):
    """The form of a tile that reads pairs of bfloat16."""

    def emitter(self, builder: Any) -> "Emitter":
        """What writes code of this form."""
        return HalfEmitter(builder, self.pixels, self.lanes)


class KeptForm(Form):
    """The form of a tile that reads float16."""

    def emitter(self, builder: Any) -> "Emitter":
        """What writes code of this form."""
        return KeptEmitter(builder, self.pixels, self.lanes)


class BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat16, which llvmlite has no name for."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


HALF = ir.HalfType()
"""Float16, in which features are kept where the processor has bfloat16; others may lack conversions to it too."""


def emitted(emit: Callable[..., None], forms: Mapping[tuple[int, ...], Form]) -> Callable[..., None]:
    """A function for Numba code whose body `emit` writes, once for each of the forms.

    A call gives the key of one of the forms, then what `emit` takes behind the emitter and what the form fixes, all
    integers. It runs the code of that form, and none for a key that is not there. A single form may have the key `()`.
    """
    keys, fixed = (len(part) for part in next((key, form.fixed) for key, form in forms.items()))
    names = [f"key_{number}" for number in range(keys)] + list(inspect.signature(emit).parameters)[1 + fixed :]

    def typing(_context: Any, *arguments: Any) -> Any:
        return types.void(*(types.intp for _ in arguments)), generate

    def generate(context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        own = arguments[keys:]
        bodies = {key: partial(emit, form.emitter(builder), *form.fixed, *own) for key, form in forms.items()}
        _branch_to(builder, arguments[:keys], bodies)
        return context.get_dummy_value()

    # Numba asks the signature how many arguments there are.
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ["_context", *names]]
    typing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function: Callable[..., None] = intrinsic(typing)
    return function


def _branch_to(builder: Any, key: Sequence[Any], bodies: Mapping[tuple[int, ...], Callable[[], None]]) -> None:
    """Writes a switch to the body of a key, whose numbers are below 16 each."""
    number = constant(0)
    for part in key:
        number = builder.or_(builder.shl(number, constant(4)), part)
    done = builder.function.append_basic_block("done")
    switch = builder.switch(number, done)
    for parts, write_body in bodies.items():
        block = builder.function.append_basic_block("body")
        switch.add_case(constant(sum(part << 4 * place for place, part in enumerate(reversed(parts)))), block)
        builder.position_at_end(block)
        write_body()
        builder.branch(done)
    builder.position_at_end(done)


class Emitter:
    """Writes the parts that both kinds of tile share."""

    def __init__(self, builder: Any, pixels: int, lanes: tuple[int, ...]) -> None:
        self.builder = builder
        self.pixels = range(pixels)
        self.vectors = [ir.VectorType(FLOAT, count) for count in lanes]
        self.offsets = [4 * sum(lanes[:i]) for i in range(len(lanes))]
        self.bytes = 4 * sum(lanes)

    def bytes_of(self, length: Any) -> Any:
        """A length in bytes."""
        return self.builder.shl(length, constant(2))

    def bytes_of_inputs(self, length: Any) -> Any:
        """A length of what a tile reads, in bytes."""
        return self.bytes_of(length)

    def plus(self, address: Any, step: Any) -> Any:
        """An address so many bytes on."""
        return self.builder.add(address, step if isinstance(step, ir.Value) else constant(step))

    def load(self, address: Any, kind: Any) -> Any:
        """The value of a type at an address."""
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=4)

    def load_vectors(self, address: Any) -> list[Any]:
        """The vectors of a pixel at an address."""
        return [
            self.load(self.plus(address, offset), vector)
            for vector, offset in zip(self.vectors, self.offsets, strict=True)
        ]

    def load_inputs(self, address: Any) -> list[Any]:
        """What a tile multiplies with: vectors of weights."""
        return self.load_vectors(address)

    def load_scalar(self, address: Any) -> Any:
        """What a tile multiplies with: an input."""
        return self.load(address, FLOAT)

    def spread(self, scalar: Any, vector: Any) -> Any:
        """A vector of equal values."""
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
        zeros = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """`a * b + c`, rounded once."""
        name = f"llvm.fma.v{a.type.count}f32"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(a.type, [a.type] * 3), name)
        return self.builder.call(function, [a, b, c])

    def scaled_add(self, a: Any, by: float, b: Any) -> Any:
        """`a * by + b`, rounded once."""
        return self.multiply_add(a, _filled(a.type, by), b)

    def write(self, value: Any, address: Any) -> None:
        """Writes a vector."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=2)

    def loop(self, count: Any, carried: list[Any], body: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """Runs `body` `count` times, at least once, on the carried values; returns what the last round gave."""
        builder = self.builder
        before, inside = builder.block, builder.function.append_basic_block("tile")
        builder.branch(inside)
        builder.position_at_end(inside)
        number = builder.phi(_INT)
        number.add_incoming(constant(0), before)
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
        """The sums plus what lies at `residual`, pixel by pixel; address 0 is none."""
        builder = self.builder
        before = builder.block
        there, joined = (builder.function.append_basic_block(name) for name in ("residual", "joined"))
        builder.cbranch(builder.icmp_signed("!=", residual, constant(0)), there, joined)
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
        """Writes the vectors of a pixel."""
        for value, offset in zip(values, self.offsets, strict=True):
            self.write(value, self.plus(out, offset))

    def rectified(self, value: Any, relu: Any) -> Any:
        """A vector without its negative values, unless `relu` is 0; where that is 6, with none above 6 either."""
        builder, vector = self.builder, value.type
        rectifies = builder.icmp_signed("!=", relu, constant(0))
        lowest = builder.select(rectifies, _filled(vector, 0.0), _filled(vector, float("-inf")))
        value = builder.select(builder.fcmp_ordered("<", value, lowest), lowest, value)  # a NaN stays one
        bounded = builder.icmp_signed("==", relu, constant(6))
        highest = builder.select(bounded, _filled(vector, 6.0), _filled(vector, float("inf")))
        return builder.select(builder.fcmp_ordered(">", value, highest), highest, value)

    def store(self, sums: list[Any], relu: Any, out: Any, step: Any) -> None:
        """Writes sums pixel by pixel, as `rectified` makes them."""
        values = iter(sums)
        for _ in self.pixels:
            self.store_plain([self.rectified(next(values), relu) for _ in self.vectors], out)
            out = self.plus(out, step)


class HalfEmitter(Emitter):
    """Reads pairs of bfloat16 as 32-bit integers."""

    def load_inputs(self, address: Any) -> list[Any]:
        """Vectors of pairs of weights."""
        pairs = [ir.VectorType(_INT32, vector.count) for vector in self.vectors]
        return [self.load(self.plus(address, offset), pair) for pair, offset in zip(pairs, self.offsets, strict=True)]

    def load_scalar(self, address: Any) -> Any:
        """A pair of inputs."""
        return self.load(address, _INT32)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """The products of both halves of each pair, added to `c`."""
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * c.type.count}"
        pairs = ir.VectorType(BFloat(), 2 * c.type.count)
        module = self.builder.module
        kind = ir.FunctionType(c.type, [c.type, pairs, pairs])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        return self.builder.call(function, [c, self.builder.bitcast(a, pairs), self.builder.bitcast(b, pairs)])


class KeptEmitter(Emitter):
    """Reads float16."""

    def bytes_of_inputs(self, length: Any) -> Any:
        """A length of what a tile reads, in bytes."""
        return self.builder.shl(length, constant(1))

    def load_inputs(self, address: Any) -> list[Any]:
        """Vectors of values, as float32."""
        loaded = []
        for vector, offset in zip(self.vectors, self.offsets, strict=True):
            half = self.builder.inttoptr(
                self.plus(address, offset // 2), ir.VectorType(HALF, vector.count).as_pointer()
            )
            loaded.append(self.builder.fpext(self.builder.load(half, align=2), vector))
        return loaded


def constant(value: int) -> Any:
    """An integer of 64 bits."""
    return ir.Constant(_INT, value)


def _filled(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)
