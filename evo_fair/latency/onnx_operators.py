"""ONNX operators of the user's own: what a node is to them, and the layer that they say it comes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import onnx

from evo_fair.blame import blamed, check_takes
from evo_fair.errors import ProfileError, UnknownNameError, quote
from evo_fair.latency.onnx_file import MOST_RANK, Shape
from evo_fair.latency.onnx_rows import Row
from evo_fair.latency.onnx_value import Value, attributes_of
from evo_fair.latency.onnx_values import LARGEST_TENSOR
from evo_fair.layers import Op, macs
from evo_fair.registries import OPERATORS, without_brackets

__all__ = ["LayerCost", "NodeFacts", "OwnOperator", "onnx_operator"]

F = TypeVar("F", bound=Callable[..., Any])

OPERATOR_TAKES = ("node",)

LARGEST_SIZE = 2**24


@dataclass(frozen=True)
class NodeFacts:
    """A node of an ONNX graph, as an operator of your own is asked about it.

    Args:
        operator: The operator's name, with its domain unless that is ONNX's own.
        attributes: Its attributes as Python values.
        inputs: The shapes of its inputs; None for one that is left out or whose shape
            is not known.
        outputs: The shapes of its outputs; None before they are settled.
    """

    operator: str
    attributes: Mapping[str, Any]
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]


@dataclass(frozen=True)
class LayerCost:
    """The layer that a node is priced as: a row of the layer table, and its multiply-accumulates.

    Args:
        op: `conv`, `depthwise`, `linear`, `pool`, `global_pool`, `add`, `mul` or
            `activation`.
        c_in: Channels (of a linear layer: features) that it takes, 1 or more.
        c_out: Channels that it gives, 1 or more.
        kernel: Side of its window, in pixels. Default: 1.
        stride: Step of its window, in pixels. Default: 1.
        groups: Groups of its channels. Default: 1.
        h_in: Height of its input, in pixels. Default: 1.
        w_in: Width of its input, in pixels. Default: 1.
        macs: Its multiply-accumulates, 0 or more. Default: None, those of such a layer.

    Example:
        >>> ef.LayerCost("linear", c_in=64, c_out=10).kernel
        1
    """

    op: str
    c_in: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    h_in: int = 1
    w_in: int = 1
    macs: int | None = None


class OwnOperator:
    """An operator of the user's own: makes the row of a node, and the shapes of its outputs if it says them.

    Args:
        name: The operator's name, with its domain.
        cost: Gives the `LayerCost` of a `NodeFacts`.
        shapes: Gives the shapes of the outputs; None where the file states them.
    """

    def __init__(
        self, name: str, cost: Callable[[NodeFacts], LayerCost], shapes: Callable[[NodeFacts], Sequence[Shape]] | None
    ) -> None:
        self.name, self._cost, self._shapes = name, cost, shapes

    def __call__(
        self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value | None], outputs: Sequence[Value]
    ) -> Row:
        """The row of a node.

        Args:
            node: The node.
            kind: The operator's name, which this does not need.
            inputs: What enters it, None for an input that is left out.
            outputs: What leaves it.

        Returns:
            The row, with its multiply-accumulates.

        Raises:
            ProfileError: The user's function fails or gives no layer.
        """
        del kind
        with blamed("ONNX operator", self.name, ProfileError):
            cost = self._cost(self._facts(node, inputs, outputs))
        if not isinstance(cost, LayerCost):
            raise ProfileError(f"ONNX operator {self.name!r} returns {quote(cost)}: it has to return an ef.LayerCost")
        names = [op.name.lower() for op in Op if op]
        if cost.op not in names:
            raise ProfileError(f"ONNX operator {self.name!r}: {UnknownNameError('layer', str(cost.op), names)}")
        sizes: tuple[Any, ...] = astuple(cost)[1:-1]
        numbers = [*sizes, 0 if cost.macs is None else cost.macs]
        whole = all(isinstance(number, Integral) and not isinstance(number, bool) for number in numbers)
        if not whole or min(numbers) < 0 or 0 in sizes or max(sizes) > LARGEST_SIZE:
            raise ProfileError(
                f"ONNX operator {self.name!r} returns {quote(cost)}: sizes are whole numbers from 1 to {LARGEST_SIZE}"
            )
        row = (Op[cost.op.upper()], *map(int, sizes))
        known = int(macs(np.array([[row]], np.int32))[0]) if cost.macs is None else int(cost.macs)
        return Row(row, known, stands_in=True)

    def settle(self, node: onnx.NodeProto, inputs: Sequence[Value | None], outputs: Sequence[Value]) -> None:
        """Gives the outputs the shapes that the user's function says, if there is one.

        Args:
            node: The node.
            inputs: What enters it, None for an input that is left out.
            outputs: What leaves it; their shapes are set.

        Raises:
            ProfileError: The user's function fails or gives no shapes.
        """
        if self._shapes is None:
            return
        with blamed("ONNX operator", self.name, ProfileError):
            shapes = list(self._shapes(self._facts(node, inputs, outputs)))
        if len(shapes) > len(outputs) or not all(map(_is_shape, shapes)):
            raise ProfileError(
                f"ONNX operator {self.name!r} gives the shapes {quote(shapes)} for {len(outputs)} outputs: "
                "give a list of tuples of sizes above 0, one an output"
            )
        source = next((value for value in inputs if value is not None), None)
        for output, shape in zip(outputs, shapes, strict=False):
            output.shape = tuple(int(size) for size in shape)
            output.dtype = output.dtype or (source.dtype if source is not None else 0)

    def _facts(self, node: onnx.NodeProto, inputs: Sequence[Value | None], outputs: Sequence[Value]) -> NodeFacts:
        return NodeFacts(
            self.name,
            attributes_of(node),
            tuple(None if value is None else value.shape for value in inputs),
            tuple(value.shape for value in outputs),
        )


def onnx_operator(name: str, *, shapes: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Registers the function below it as what an ONNX operator costs: of a `NodeFacts`, it returns a `LayerCost`.

    Args:
        name: The operator's name, with its domain before it unless that is ONNX's own:
            `my.domain.MyOperator`.
        shapes: A function of the same `NodeFacts` that returns the shapes of the
            outputs, a list of tuples. Default: the shapes that the file states.

    Returns:
        A decorator.

    Raises:
        ProfileError: The name is malformed, or the arguments are others; when it
            decorates.

    Example:
        >>> @ef.onnx_operator("my.domain.Mix", shapes=lambda node: [node.inputs[0]])
        ... def mix(node):
        ...     samples, channels, height, width = node.inputs[0]
        ...     return ef.LayerCost("conv", channels, channels, h_in=height * samples, w_in=width)
        >>> ef.forget("my.domain.Mix", "ONNX operator")
    """
    if callable(name):
        raise without_brackets("onnx_operator", "'my.domain.MyOperator'")

    def add(function: F) -> F:
        OPERATORS.check_name(name)
        check_takes("ONNX operator", name, function, OPERATOR_TAKES, ProfileError)
        if shapes is not None:
            check_takes("ONNX operator", name, shapes, OPERATOR_TAKES, ProfileError)
        OPERATORS.add(name, OwnOperator(name, function, shapes), code=function, again=True)
        return function

    return add


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, tuple | list)
        and len(shape) <= MOST_RANK
        and all(isinstance(size, Integral) and 0 < int(size) <= LARGEST_TENSOR for size in shape)
    )
