"""A tensor of an ONNX graph as far as it is known before the graph runs, and the attributes of a node."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from evo_fair.latency.onnx_file import Shape

__all__ = ["Parts", "Value", "attributes_of"]


Parts = tuple[Any, ...]
"""Stored tensors that a constant is made of: `(name, size, values)` each, or the parts of other constants in turn."""


@dataclass
class Value:
    """A tensor: its shape where it is known, its content where it is a small constant, and what a reader notes of it.

    `constant` says that it does not depend on the content of the network's inputs. `origin` names the parameters that
    it holds, the same for those that share them; `parts` are the stored tensors that it is cut from or joined of.
    `layer` is the layer that made it, -1 for an input; `fusable` says that an activation behind it joins that layer,
    `activated` that one has, so that nothing else does; `gated` is what a gate such as a sigmoid was computed from.
    `items` are the shapes of the tensors in a sequence; None for a tensor.
    """

    key: str
    shape: Shape | None = None
    dtype: int = TensorProto.FLOAT
    data: npt.NDArray[Any] | None = None
    constant: bool = False
    origin: str = ""
    layer: int = -1
    fusable: bool = False
    activated: bool = False
    gated: str | None = None
    stored: bool = False  # constant that the file holds, not one that is computed
    zeros: bool = False  # of a stored one: nothing but zeros, as of a state that nobody has learnt
    parts: Parts = ()
    items: tuple[Shape | None, ...] | None = None
    type_proto: onnx.TypeProto | None = field(default=None, repr=False)
    tensor_proto: onnx.TensorProto | None = field(default=None, repr=False)

    @property
    def graph(self) -> str:
        """Which graph it is in: the first part of its key, empty for the network's own."""
        return self.key.rpartition("\0")[0]

    @property
    def name(self) -> str:
        """Its name in that graph."""
        return self.key.rpartition("\0")[2]

    @property
    def size(self) -> int:
        """How many values it holds, 0 where that is not known."""
        return 0 if self.shape is None else prod(self.shape)

    def as_type(self) -> onnx.TypeProto:
        """Its type and shape as ONNX writes them."""
        if self.type_proto is None:
            self.type_proto = helper.make_tensor_type_proto(self.dtype or TensorProto.FLOAT, self.shape)
        return self.type_proto

    def as_tensor(self) -> onnx.TensorProto:
        """Its content as ONNX writes it."""
        if self.tensor_proto is None:
            self.tensor_proto = numpy_helper.from_array(np.asarray(self.data))
        return self.tensor_proto


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values."""
    return dict(_attribute_values(node))


def _attribute_values(node: onnx.NodeProto) -> Iterator[tuple[str, Any]]:
    for attribute in node.attribute:
        if attribute.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            yield attribute.name, helper.get_attribute_value(attribute)
