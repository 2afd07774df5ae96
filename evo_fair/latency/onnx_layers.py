"""What is read from an ONNX graph: layers, what could not be turned into any, and what that leaves out."""

from dataclasses import dataclass, replace

import numpy as np

from evo_fair.latency.onnx_file import Shape
from evo_fair.layers import COLUMNS, LayerTable

__all__ = ["GraphLayer", "GraphLayers", "StandIn", "UnknownOperator"]


@dataclass(frozen=True)
class GraphLayer:
    """A layer row int32 `[8]` and the node that it stands for; MACs and parameters are those of the node itself.

    It runs `repeats` times, as the body of a loop does; `macs` are those of one time. Parameters that an earlier layer
    has already are not counted again.
    """

    name: str
    operator: str
    row: tuple[int, ...]
    macs: int
    params: int
    repeats: int = 1


@dataclass(frozen=True)
class UnknownOperator:
    """An operator that the latency model knows nothing of, and its share of the graph's tensor traffic.

    `params` are the weights that it reads, and which count. `multiplies` says whether it may multiply and accumulate,
    so that the graph's MACs are a lower bound. `reason` says what is not known of it, where that is not all.
    """

    operator: str
    nodes: int
    share: float
    params: int = 0
    multiplies: bool = True
    hides_params: bool = False
    reason: str = ""

    def joined(self, other: "UnknownOperator") -> "UnknownOperator":
        """The nodes of both, which share operator and reason: what one of them may hide, all may."""
        return replace(
            self,
            nodes=self.nodes + other.nodes,
            share=self.share + other.share,
            params=self.params + other.params,
            multiplies=self.multiplies or other.multiplies,
            hides_params=self.hides_params or other.hides_params,
        )


@dataclass(frozen=True)
class StandIn:
    """An operator that is priced as the matrix products, windows or passes that it comes to, and its MACs."""

    operator: str
    nodes: int
    macs: int


@dataclass(frozen=True)
class GraphLayers:
    """A graph as layers, in order, and the operators that could not be turned into any.

    Figures are those of one sample where `batch` is the size of the batch that the inputs hold, and of one run on the
    whole inputs where it is None. `peak_values` is the largest number of activation values that are alive at once: what
    the operator that runs reads and writes, and what is read later. Views and fused activations take the place of what
    they read. `quantised` says whether any operator computes with integers of 8 bits. `other_params` are parameters of
    operators that have no layer of their own. `made_values` and `made_macs` are those of constants that are computed
    when the network is loaded.
    """

    layers: tuple[GraphLayer, ...]
    unknown: tuple[UnknownOperator, ...]
    input_shape: Shape
    peak_values: int
    quantised: bool = False
    inputs: tuple[tuple[str, Shape], ...] = ()
    batch: int | None = 1
    stand_ins: tuple[StandIn, ...] = ()
    other_params: int = 0
    made_values: int = 0
    made_macs: int = 0

    @property
    def table(self) -> LayerTable:
        """The layer table, int32 `[1, layers, 8]`; a layer that runs several times is there once."""
        rows = [layer.row for layer in self.layers]
        return np.array(rows, np.int32).reshape(1, len(rows), len(COLUMNS))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers and matrix products."""
        return sum(layer.macs * layer.repeats for layer in self.layers)

    @property
    def params(self) -> int:
        """Weights, biases and tables as deployed, batch norm folded, shared ones once."""
        return sum(layer.params for layer in self.layers) + self.other_params

    @property
    def macs_at_least(self) -> bool:
        """Whether `macs` is a lower bound: an operator that may multiply is not in it."""
        return any(operator.multiplies for operator in self.unknown)

    @property
    def params_at_least(self) -> bool:
        """Whether `params` is a lower bound: an operator that is not ONNX's may hold more than it reads."""
        return any(operator.hides_params for operator in self.unknown)

    @property
    def time_at_least(self) -> bool:
        """Whether a latency of the layers is a lower bound: something is not in it, or stands for what takes longer."""
        return bool(self.unknown or self.stand_ins)
