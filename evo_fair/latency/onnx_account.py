"""What a walk over an ONNX graph has counted so far: layers, memory, parameters, and what has no price.

It can go back to where it was, for a branch that is not taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx

from evo_fair.latency.liveness import Liveness
from evo_fair.latency.onnx_file import Shape, quoted
from evo_fair.latency.onnx_layers import GraphLayer, StandIn, UnknownOperator
from evo_fair.latency.onnx_params import Parameters
from evo_fair.latency.onnx_value import Value
from evo_fair.latency.onnx_values import is_foreign

__all__ = ["Account", "WalkStep"]


@dataclass(frozen=True)
class WalkStep:
    """What a node read and made, as far as it tells which axis is the batch: see `evo_fair.latency.onnx_batch`."""

    kind: str
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]
    axis: int | None
    macs: int
    mixed: int | None = None  # an axis that is stepped along


class Account:
    """The sums of a walk; layers and steps are in the order of the nodes."""

    def __init__(self) -> None:
        self.layers: list[GraphLayer] = []
        self.steps: list[WalkStep] = []
        self.alive = Liveness()
        self.parameters = Parameters()
        self.other_params = 0  # of no layer
        self.traffic = 0  # values that all nodes read and write
        self.made_values = 0
        self.made_macs = 0
        self.stand_ins: dict[str, StandIn] = {}
        self._unknown: dict[tuple[str, str], UnknownOperator] = {}

    def name_stand_in(self, kind: str, macs: int) -> None:
        """Notes that the layer of an operator is not one of its own kind."""
        before = self.stand_ins.get(kind, StandIn(kind, 0, 0))
        self.stand_ins[kind] = StandIn(kind, before.nodes + 1, before.macs + macs)

    def name_unknown(
        self,
        node: onnx.NodeProto,
        kind: str,
        values: int,
        inputs: Sequence[Value | None] = (),
        *,
        multiplies: bool = True,
        reason: str = "",
        hides_params: bool = False,
    ) -> None:
        """Notes an operator that is not in the total, and the values that it reads and writes."""
        params = sum(self.parameters.table(value) for value in inputs if value is not None)
        self.other_params += params
        kind = quoted(kind)[1:-1]
        before = self._unknown.get((kind, reason))
        hides_params = hides_params or is_foreign(node)
        found = UnknownOperator(kind, 1, float(values), params, multiplies, hides_params, reason)
        self._unknown[kind, reason] = found if before is None else before.joined(found)

    def unknown(self) -> tuple[UnknownOperator, ...]:
        """The operators that are not in the total, with their shares of all traffic, the largest first."""
        largest_first = sorted(self._unknown.values(), key=lambda operator: -operator.share)
        return tuple(replace(operator, share=operator.share / max(self.traffic, 1)) for operator in largest_first)

    def note_mixed(self, node: onnx.NodeProto, value: Value, axis: int) -> None:
        """Notes that a node steps along an axis of a tensor, which is then no batch."""
        self.steps.append(WalkStep(node.op_type, (value.shape,), (), None, 0, mixed=axis))

    def mark(self) -> "Mark":
        """Where the account stands."""
        lengths = (len(self.layers), len(self.steps), self.alive.mark())
        sums = (self.other_params, self.traffic, self.made_values, self.made_macs)
        return Mark(lengths, sums, self.parameters.copy(), dict(self._unknown), dict(self.stand_ins))

    def go_back(self, mark: "Mark") -> None:
        """Forgets what has been counted since `mark`."""
        layers, steps, alive = mark.lengths
        del self.layers[layers:], self.steps[steps:]
        self.alive.forget(alive)
        self.other_params, self.traffic, self.made_values, self.made_macs = mark.sums
        self.parameters = mark.parameters.copy()
        self._unknown, self.stand_ins = dict(mark.unknown), dict(mark.stand_ins)

    def macs_since(self, mark: "Mark") -> int:
        """The multiply-accumulates of the layers that came after `mark`."""
        return sum(layer.macs * layer.repeats for layer in self.layers[mark.layers :])

    def repeat(self, mark: "Mark", times: int) -> None:
        """Makes the layers that came after `mark`, and the steps, run so many times."""
        self.layers[mark.layers :] = [
            replace(layer, repeats=layer.repeats * times) for layer in self.layers[mark.layers :]
        ]
        self.steps[mark.steps :] = [replace(step, macs=step.macs * times) for step in self.steps[mark.steps :]]


@dataclass(frozen=True)
class Mark:
    """Where an account stood."""

    lengths: tuple[int, int, int]
    sums: tuple[int, int, int, int]
    parameters: Parameters
    unknown: dict[tuple[str, str], UnknownOperator]
    stand_ins: dict[str, StandIn]

    @property
    def layers(self) -> int:
        """How many layers there were."""
        return self.lengths[0]

    @property
    def steps(self) -> int:
        """How many steps there were."""
        return self.lengths[1]
