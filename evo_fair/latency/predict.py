"""What a device needs for an ONNX graph, layer by layer and in total, and how far that may be off."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evo_fair.arrays import Bools, Floats
from evo_fair.latency.onnx_graph import GraphLayers
from evo_fair.latency.profile import Profile
from evo_fair.latency.schema import BYTES_PER_VALUE
from evo_fair.layers import COLUMNS, Op

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True)
class Prediction:
    """What a device needs for an ONNX network; get one from `predict`.

    Figures are those of one sample where the network's inputs hold a batch, else those
    of the whole input.

    Args:
        graph: The network's layers, read from its file.
        profile: The device's profile.
        layer_ms: Milliseconds of each layer, all its repeats together, float64
            `[layers]`.
        extrapolated: Whether a layer is outside what the profile was fitted to, bool
            `[layers]`.
        interval_ms: The least and the most milliseconds, between which nine in ten
            networks lie. Default: None, for a profile without intervals, and where the
            latency is a lower bound.
        layer_interval_ms: The same of each layer, float64 `[layers]` twice. Default:
            None, for a profile without intervals.

    Example:
        >>> network = next(ef.load_run("results/digits").path.glob("networks/*.onnx"))
        >>> prediction = ef.predict(network, "raspberry-pi-4")
        >>> bool(prediction.macs == prediction.layers["macs"].sum())
        True
    """

    graph: GraphLayers
    profile: Profile
    layer_ms: Floats
    extrapolated: Bools
    interval_ms: tuple[float, float] | None = None
    layer_interval_ms: tuple[Floats, Floats] | None = None

    @property
    def latency_ms(self) -> float:
        """Milliseconds of the whole network; unknown operators are not in it."""
        once = self.profile.latency_ms(self.graph.table)[0]
        again = [ms * (1 - 1 / layer.repeats) for ms, layer in zip(self.layer_ms, self.graph.layers, strict=True)]
        return float(once) + sum(float(ms) for ms in again)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers and matrix products."""
        return self.graph.macs

    @property
    def params(self) -> int:
        """Weights, biases and tables as deployed, batch norm folded, shared ones once."""
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

    @property
    def held_out_mape(self) -> float | None:
        """The profile's mean error in percent on networks it did not see; None where it says nothing of this total."""
        validation = self.profile.file.validation
        return None if validation is None or self.graph.time_at_least else validation.mape

    @property
    def bounds(self) -> list[tuple[float, float] | None]:
        """The interval of each layer, in ms; None where the profile has none."""
        if self.layer_interval_ms is None:
            return [None] * len(self.layer_ms)
        low, high = self.layer_interval_ms
        return list(zip(low.tolist(), high.tolist(), strict=True))

    @property
    def layers(self) -> pd.DataFrame:
        """A row a layer: its name, operator, sizes, MACs, parameters, repeats, `ms` of all repeats, `extrapolated`."""
        return pd.DataFrame(self.as_dict()["layers"])

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values.

        Returns:
            What JSON can hold.
        """
        graph = self.graph
        return {
            "device": self.profile.name,
            "input_shape": list(graph.input_shape),
            "inputs": {name: list(shape) for name, shape in graph.inputs},
            "per": "input" if graph.batch is None else "sample",
            "batch": graph.batch,
            "latency_ms": self.latency_ms,
            **({} if self.interval_ms is None else {"interval_ms": list(self.interval_ms)}),
            "network_ms": self.profile.network_ms,
            "held_out_mape": self.held_out_mape,
            "at_least": {
                "latency_ms": graph.time_at_least,
                "macs": graph.macs_at_least,
                "params": graph.params_at_least,
                "peak_memory_bytes": graph.time_at_least,
            },
            "macs": self.macs,
            "params": self.params,
            "peak_memory_bytes": self.peak_memory_bytes,
            "extrapolated": bool(self.extrapolated.any()),
            "extrapolated_share": self.extrapolated_share,
            "unknown_share": self.unknown_share,
            "unknown": [
                {"operator": operator.operator, "nodes": operator.nodes, "share": operator.share}
                for operator in graph.unknown
            ],
            "not_counted": [
                {
                    "operator": operator.operator,
                    "nodes": operator.nodes,
                    "params": operator.params,
                    "params_share": operator.params / max(self.params, 1),
                    "may_multiply": operator.multiplies,
                    "reason": operator.reason,
                }
                for operator in graph.unknown
            ],
            "stand_ins": [
                {
                    "operator": stand_in.operator,
                    "nodes": stand_in.nodes,
                    "macs": stand_in.macs,
                    "macs_share": stand_in.macs / max(self.macs, 1),
                }
                for stand_in in graph.stand_ins
            ],
            "layers": [
                {
                    "name": layer.name,
                    "operator": layer.operator,
                    "op": Op(layer.row[0]).name.lower(),
                    **{column: int(value) for column, value in zip(COLUMNS[1:], layer.row[1:], strict=True)},
                    "macs": layer.macs,
                    "params": layer.params,
                    "repeats": layer.repeats,
                    "ms": float(ms),
                    **({} if bounds is None else {"interval_ms": list(bounds)}),
                    "extrapolated": bool(outside),
                }
                for layer, ms, outside, bounds in zip(
                    self.graph.layers, self.layer_ms, self.extrapolated, self.bounds, strict=True
                )
            ],
        }


def predict(graph: GraphLayers, profile: Profile) -> Prediction:
    """What a device needs for a network that was read.

    Args:
        graph: The network's layers.
        profile: The device's profile.

    Returns:
        The prediction.
    """
    table = graph.table
    repeats = np.array([float(layer.repeats) for layer in graph.layers])
    layer_ms, extrapolated = profile.layer_ms(table)[0] * repeats, profile.extrapolated(table)[0]
    if not profile.has_intervals:
        return Prediction(graph, profile, layer_ms, extrapolated)
    layer_low, layer_high = (bound[0] * repeats for bound in profile.layer_interval_ms(table))
    interval = None
    if not graph.time_at_least:  # of what is not counted nothing is known
        low, high = profile.interval_ms(table, repeats[None])
        interval = (float(low[0]), float(high[0]))
    return Prediction(graph, profile, layer_ms, extrapolated, interval, (layer_low, layer_high))
