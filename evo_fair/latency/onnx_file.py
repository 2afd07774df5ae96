"""Opening ONNX files without their weights: what is no model, or costs too much to read, is refused at once."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
import onnx.inliner

from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.files import size_of

__all__ = [
    "MOST_NODES",
    "OF_FUNCTION",
    "InputShapeError",
    "Inputs",
    "OnnxFile",
    "OpenShapeError",
    "Shape",
    "ShapeOption",
    "open_onnx",
    "quoted",
    "reading",
    "settle",
]

Shape = tuple[int, ...]
ShapeOption = Shape | Mapping[str, Shape]

MOST_BYTES = 2**31 - 1  # protobuf's own limit
OF_FUNCTION = "\0function\0"
"""What the name of a tensor begins with that a function holds; no file's own names have such characters."""
MOST_NODES = 20_000  # functions expanded; the largest exports of today have about 10,000, 0.1 ms each
MOST_EXPANDED_BYTES = 2**27  # of functions, expanded
MOST_GRAPHS = 20  # in one another, as the bodies of loops are
MOST_RANK = 64
LONGEST_NAME = 80


class InputShapeError(EvoFairError, ValueError):
    """The sizes of a network's inputs are open, or those that were given do not fit the network."""


class OpenShapeError(InputShapeError):
    """A size is open that neither the file nor anybody gave."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX model without functions of its own, and the version of each operator set that it uses."""

    path: Path
    model: onnx.ModelProto
    opsets: dict[str, int]

    @cached_property
    def opset_imports(self) -> list[onnx.OperatorSetIdProto]:
        """The versions as ONNX writes them."""
        return [onnx.helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]


@dataclass(frozen=True)
class Inputs:
    """The shape of each input of a model, by name, in order.

    `main` is the first input that is no scalar. Inputs in `batched` have a first axis of the same size as its own, so
    that they may hold a batch. `free` says whether the file leaves that axis open and nobody gave its size, which is
    then 1; `fixed` whether the file fixes it. `stated` says whether the file's own sizes are used as they stand.
    """

    shapes: dict[str, Shape]
    main: str | None
    batched: frozenset[str]
    free: bool
    fixed: bool
    stated: bool

    def with_batch(self, size: int) -> dict[str, Shape]:
        """The shapes with `size` along the first axis of the inputs that may hold a batch."""
        return {name: (size, *shape[1:]) if name in self.batched else shape for name, shape in self.shapes.items()}


def quoted(text: str) -> str:
    """A name from a file as it appears in a message: in quotes, control characters visible, long ones cut."""
    return repr(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}...")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what protobuf, Python and ONNX raise at a damaged file into an `EvoFairError` that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise EvoFairError(
            f"{path} is a damaged ONNX model: it has bytes where text belongs, export it again"
        ) from error
    except (RecursionError, MemoryError, OverflowError) as error:
        raise EvoFairError(f"{path} is no ONNX model that can be read ({in_a_line(error)}): export it again") from error


def open_onnx(path: Path) -> OnnxFile:
    """Reads an ONNX model, its functions expanded. Raises `EvoFairError` for one that is damaged or too large."""
    with reading(path):
        model = _load(path)
        if any(not isinstance(text, str) for text in _texts(model)):  # protobuf gives bytes that are no UTF-8 as such
            raise EvoFairError(f"{path} is a damaged ONNX model: it has bytes where text belongs, export it again")
        if model.functions:
            _check_functions(model, path)
            _name_constants(model)
            try:
                mixed = _is_mixed(model)
                if mixed:
                    _state_constants(model.graph)
                model = onnx.inliner.inline_local_functions(model, convert_version=mixed)
            except Exception as error:  # the inliner's errors come from C++ and share no base class
                raise EvoFairError(
                    f"{path} has functions that can't be expanded ({in_a_line(error)}): export the network again"
                ) from error
        _check_size(_count(model.graph.node, {}, path), path)
        if any(node.domain == "com.microsoft.nchwc" for node in model.graph.node):
            raise EvoFairError(
                f"{path} was optimised for one kind of processor (com.microsoft.nchwc): give the file that it was made "
                "of, or one that ONNX Runtime saved at ORT_ENABLE_EXTENDED"
            )
        opsets = {entry.domain if entry.domain != "ai.onnx" else "": entry.version for entry in model.opset_import}
        return OnnxFile(path, model, opsets)


def _is_mixed(model: onnx.ModelProto) -> bool:
    """Whether a function is written in another version of the operator set than the model: it has to be converted."""
    versions = {entry.domain.removeprefix("ai.onnx"): entry.version for entry in model.opset_import}
    return any(
        entry.domain in ("", "ai.onnx") and versions.get("", entry.version) != entry.version
        for function in model.functions
        for entry in function.opset_import
    )


def _state_constants(graph: onnx.GraphProto) -> None:
    """Adds the types of constants to those that a graph states for its tensors: conversion asks for them there."""
    for tensor in graph.initializer:
        graph.value_info.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))


def _name_constants(model: onnx.ModelProto) -> None:
    """Names the constants in functions, so that the copies that expansion makes of one can be told to be one."""
    for function in model.functions:
        for number, tensor in enumerate(_tensors_of(function.node)):
            names = (function.domain, function.name, function.overload, str(number))
            tensor.name = OF_FUNCTION + "\0".join(names)


def _tensors_of(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """The tensors of constants among nodes and in the graphs that they hold."""
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                yield attribute.t
            for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _tensors_of(graph.node)


def _load(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        within = next((one for place in ("", "networks") for one in sorted((path / place).glob("*.onnx"))), None)
        raise EvoFairError(f"{path} is a folder: give an ONNX file{f', such as {within}' if within else ''}")
    try:
        if size_of(path) > MOST_BYTES:
            raise EvoFairError(
                f"{path} has more than 2 GiB: export the network with its weights in a file of their own"
            )
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise EvoFairError(f"cannot read {path}: {error.strerror or error}") from error
    except EvoFairError:
        raise
    except Exception as error:  # protobuf's own errors share no base class
        raise EvoFairError(f"{path} is no ONNX model ({type(error).__name__}): export the network again") from error
    if not model.graph.node or not model.graph.output:
        raise EvoFairError(f"{path} is no ONNX model, or an empty one: export the network again")
    return model


def _texts(model: onnx.ModelProto) -> Iterator[str]:
    """Every name in a model that is read."""
    for opset in model.opset_import:
        yield opset.domain
    for function in model.functions:
        yield from (function.domain, function.name, function.overload, *function.input, *function.output)
        yield from function.attribute
        yield from _texts_of_nodes(function.node)
    yield from _texts_of_graph(model.graph)


def _texts_of_graph(graph: onnx.GraphProto, depth: int = 0) -> Iterator[str]:
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    yield from _texts_of_nodes(graph.node, depth)


def _texts_of_nodes(nodes: Iterable[onnx.NodeProto], depth: int = 0) -> Iterator[str]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, node.overload, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
            if depth <= MOST_GRAPHS:
                for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                    yield from _texts_of_graph(graph, depth + 1)


@dataclass(frozen=True)
class _Size:
    nodes: int
    expanded_bytes: int


def _check_functions(model: onnx.ModelProto, path: Path) -> None:
    """Refuses functions that call themselves, or that would grow beyond all bounds when they are expanded."""
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes: dict[tuple[str, str, str], _Size] = {}
    for first in functions:
        # Depth first with a stack of its own: files may nest deeper than Python recurses.
        stack = [] if first in sizes else [(first, _calls(functions[first].node))]
        open_ones = {key for key, _ in stack}
        while stack:
            key, calls = stack[-1]
            call = next((call for call in calls if call in functions and call not in sizes), None)
            if call is None:
                inside = _count(functions[key].node, sizes, path)
                sizes[key] = _Size(inside.nodes, inside.expanded_bytes + functions[key].ByteSize())
                _check_size(sizes[key], path)
                open_ones.discard(key)
                stack.pop()
            elif call in open_ones:
                raise EvoFairError(
                    f"{path} has a function {quoted(call[1])} that calls itself: export the network again"
                )
            else:
                stack.append((call, _calls(functions[call].node)))
                open_ones.add(call)
    _check_size(_count(model.graph.node, sizes, path), path)


def _check_size(size: _Size, path: Path) -> None:
    if size.nodes > MOST_NODES:
        raise EvoFairError(
            f"{path} has {size.nodes:,} nodes, functions expanded, and up to {MOST_NODES:,} are read: "
            "export a part of the network"
        )
    if size.expanded_bytes > MOST_EXPANDED_BYTES:
        raise EvoFairError(
            f"{path} has functions of {size.expanded_bytes:,} bytes, expanded, and up to {MOST_EXPANDED_BYTES:,} are "
            "read: export the network without functions"
        )


def _count(nodes: Iterable[onnx.NodeProto], sizes: Mapping[tuple[str, str, str], _Size], path: Path) -> _Size:
    """How many nodes there are with those of subgraphs, and how large the functions that they call are, expanded."""
    count, size = 0, 0
    for node, depth in _all_nodes(nodes):
        if depth > MOST_GRAPHS:
            raise EvoFairError(f"{path} has more than {MOST_GRAPHS} graphs in one another: export the network again")
        called = sizes.get((node.domain, node.op_type, node.overload))
        count += 1 if called is None else called.nodes
        size += 0 if called is None else called.expanded_bytes
    return _Size(count, size)


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, str, str]]:
    for node, _ in _all_nodes(nodes):
        yield node.domain, node.op_type, node.overload


def _all_nodes(nodes: Iterable[onnx.NodeProto], depth: int = 0) -> Iterator[tuple[onnx.NodeProto, int]]:
    """Nodes with those of the graphs in their attributes, and how many graphs they are in."""
    for node in nodes:
        yield node, depth
        if depth <= MOST_GRAPHS:
            for attribute in node.attribute:
                for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                    yield from _all_nodes(graph.node, depth + 1)


_Dims = list[int | str]  # 0 or a name where the size is free


def settle(file: OnnxFile, wanted: ShapeOption | None) -> Inputs:
    """The shapes of a model's inputs: fixed by the file, `wanted`, or bound by a name that another input gives a size.

    A shape without a name is that of the first input that is no scalar. Of what is free, only a first axis is taken as
    1, for it may be the batch. Raises `InputShapeError` where anything else is free, or `wanted` does not fit.
    """
    path, graph = file.path, file.model.graph
    constants = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    dims = {value.name: _dims(value, path) for value in graph.input if value.name not in constants}
    if not dims:
        raise EvoFairError(f"{path} has no input: export the network with one")
    main = next((name for name, sizes in dims.items() if sizes != []), None)
    given = _given(wanted, dims, main, path)
    bound: dict[str, int] = {}
    for name, shape in given.items():
        _check_fit(path, name, shape, dims[name], named=isinstance(wanted, Mapping))
        bound |= {n: size for n, size in zip(dims[name] or (), shape, strict=False) if isinstance(n, str) and n}
    shapes: dict[str, Shape] = {}
    order = [main, *(name for name in dims if name != main)] if main is not None else list(dims)
    for name in order:
        first = shapes[main][0] if main in shapes and _shares_axis(dims[name], dims[main]) else None
        shapes[name] = given[name] if name in given else _settled(path, name, dims[name], bound, main, first)
    shapes = {name: shapes[name] for name in dims}
    if main is None:
        return Inputs(shapes, None, frozenset(), free=False, fixed=True, stated=True)
    axes = dims[main]
    fixed = bool(axes) and isinstance(axes[0], int) and axes[0] > 0 and axes[0] == shapes[main][0]  # type: ignore[index]
    free = main not in given and not fixed and axes is not None and axes[0] not in bound
    size = shapes[main][0]
    batched = frozenset(
        name
        for name, shape in shapes.items()
        if shape and shape[0] == size and (name == main or _is_fixed(dims[name]) == _is_fixed(axes))
    )
    stated = all(dims[name] == list(shape) for name, shape in shapes.items())
    return Inputs(shapes, main, batched, free, fixed, stated)


def _shares_axis(dims: _Dims | None, main: _Dims | None) -> bool:
    """Whether the first axis of an input is that of the main one: both are open, and not by two names."""
    if not dims or not main:
        return False
    names = {dims[0], main[0]}
    return all(isinstance(name, str) for name in names) and len(names - {""}) < 2


def _is_fixed(dims: _Dims | None) -> bool:
    return bool(dims) and isinstance(dims[0], int) and dims[0] > 0  # type: ignore[index]


def _dims(value: onnx.ValueInfoProto, path: Path) -> _Dims | None:
    if value.type.WhichOneof("value") not in ("tensor_type", None):
        raise EvoFairError(f"{path} has an input {quoted(value.name)} that is no tensor: export a network of tensors")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    if len(tensor.shape.dim) > MOST_RANK:
        raise EvoFairError(f"{path} has an input {quoted(value.name)} of {len(tensor.shape.dim)} axes: export it again")
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else str(dim.dim_param)
        for dim in tensor.shape.dim
    ]


def _given(
    wanted: ShapeOption | None, dims: Mapping[str, _Dims | None], main: str | None, path: Path
) -> dict[str, Shape]:
    if wanted is None:
        return {}
    named = dict(wanted) if isinstance(wanted, Mapping) else {"": tuple(wanted)}
    if "" in named:
        if main is None:
            raise InputShapeError(f"{path} has scalar inputs alone: leave --input-shape away")
        if main in named:
            raise InputShapeError(f"--input-shape gives the shape of {quoted(main)} twice: give it once")
        named = {main: named.pop(""), **named}
    for name in named:
        if name not in dims:
            known = ", ".join(map(quoted, list(dims)[:10]))
            raise InputShapeError(f"--input-shape names the input {quoted(name)}: {path} has the inputs {known}")
    return named


def _check_fit(path: Path, name: str, shape: Shape, dims: _Dims | None, named: bool) -> None:
    if dims is None:
        return
    known = [size if isinstance(size, int) else 0 for size in dims]
    if len(shape) != len(known) or any(k and k != w for k, w in zip(known[1:], shape[1:], strict=True)):
        option = f"{name}=" if named else ""
        raise InputShapeError(
            f"--input-shape {option}{','.join(map(str, shape))} does not fit {path}, whose input {quoted(name)} is "
            f"({', '.join(str(size or '?') for size in known)}): give a size for each, those that are fixed as they are"
        )


def _settled(
    path: Path,
    name: str,
    dims: _Dims | None,
    bound: Mapping[str, int],
    main: str | None,
    first: int | None,
) -> Shape:
    """The shape of an input that nobody gave; `first` is the size of its first axis where that is the main input's."""
    if dims is None:
        raise OpenShapeError(
            f"{path} has an input {quoted(name)} of unknown shape: give --input-shape, such as {name[:80]}=1,3,224,224"
        )
    sizes = [bound.get(size, 0) if isinstance(size, str) else size for size in dims]
    if sizes and not sizes[0]:
        sizes[0] = 1 if name == main else first or 0
    if not all(sizes):
        free = ", ".join(
            (dim or "?")[:80] if not size and isinstance(dim, str) else str(size)
            for dim, size in zip(dims, sizes, strict=True)
        )
        usual = (1, 3, 224, 224) if len(sizes) == 4 else (16,) * len(sizes)
        example = ",".join(str(size or usual[axis]) for axis, size in enumerate(sizes))
        example = example if name == main else f"{name[:80]}={example}"
        raise OpenShapeError(
            f"{path} has an input {quoted(name)} of dynamic shape ({free}): give --input-shape, such as {example}"
        )
    return tuple(sizes)
