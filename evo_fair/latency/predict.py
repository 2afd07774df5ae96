"""What a device needs for an ONNX graph, layer by layer and in total."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.latency.onnx_graph import GraphLayers
from evo_fair.latency.profile import Profile
from evo_fair.latency.schema import BYTES_PER_VALUE
from evo_fair.layers import COLUMNS, Op

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True)
class Prediction:
    """A graph on a device: milliseconds by layer, float64 `[layers]`, and which layers are outside what was fitted."""

    graph: GraphLayers
    profile: Profile
    layer_ms: npt.NDArray[np.float64]
    extrapolated: npt.NDArray[np.bool_]

    @property
    def latency_ms(self) -> float:
        """Milliseconds of the whole network for one sample; unknown operators are not in it."""
        return float(self.profile.latency_ms(self.graph.table)[0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers and matrix products."""
        return self.graph.macs

    @property
    def params(self) -> int:
        """Weights and biases as deployed, batch norm folded."""
        return self.graph.params

    @property
    def peak_memory_bytes(self) -> int:
        """The largest sum of live activations plus weights, at the profile's bytes a value."""
        return int(BYTES_PER_VALUE[self.profile.file.precision]) * (self.graph.peak_values + self.params)

    @property
    def unknown_share(self) -> float:
        """The share of tensor traffic, 0 to 1, that operators account for of which the model knows nothing."""
        return sum(operator.share for operator in self.graph.unknown)

    @property
    def extrapolated_share(self) -> float:
        """The share of the latency that layers make which lie outside of what the profile was fitted to, 0 to 1."""
        return float(self.layer_ms[self.extrapolated].sum() / self.latency_ms)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        validation = self.profile.file.validation
        return {
            "device": self.profile.name,
            "input_shape": list(self.graph.input_shape),
            "latency_ms": self.latency_ms,
            "network_ms": self.profile.network_ms,
            "held_out_mape": None if validation is None else validation.mape,
            "macs": self.macs,
            "params": self.params,
            "peak_memory_bytes": self.peak_memory_bytes,
            "extrapolated": bool(self.extrapolated.any()),
            "extrapolated_share": self.extrapolated_share,
            "unknown_share": self.unknown_share,
            "unknown": [
                {"operator": operator.operator, "nodes": operator.nodes, "share": operator.share}
                for operator in self.graph.unknown
            ],
            "layers": [
                {
                    "name": layer.name,
                    "operator": layer.operator,
                    "op": Op(layer.row[0]).name.lower(),
                    **{column: int(value) for column, value in zip(COLUMNS[1:], layer.row[1:], strict=True)},
                    "macs": layer.macs,
                    "params": layer.params,
                    "ms": float(ms),
                    "extrapolated": bool(outside),
                }
                for layer, ms, outside in zip(self.graph.layers, self.layer_ms, self.extrapolated, strict=True)
            ],
        }


def predict(graph: GraphLayers, profile: Profile) -> Prediction:
    """What `profile` says of every layer of `graph`."""
    table = graph.table
    return Prediction(graph, profile, profile.layer_ms(table)[0], profile.extrapolated(table)[0])
