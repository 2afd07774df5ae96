"""Pruned forms of one network made ready to be evaluated once on many samples.

The network's forward is followed once, by torch's tracing. Batch norms are then folded into the convolutions that alone
feed them, and activations take the place of their inputs. Where a forward can't be followed, or computes something else
for a pruned form, networks are evaluated as they are.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evo_fair.nets.fused import batch_statistics
from evo_fair.nets.network import calibrate

__all__ = ["TracedForward", "Way", "choose_way", "labels_of"]

Forward = Callable[[torch.Tensor], torch.Tensor]

_BATCH = 32
"""Samples that go through a network together: their feature maps should stay in cache."""

_SAME = 1e-4
"""By how much of the largest output two ways may differ that compute the same."""

_ACTIVATIONS = nn.ReLU | nn.ReLU6 | nn.Hardswish | nn.SiLU


@dataclass(frozen=True, eq=False)
class TracedForward:
    """The forward of any pruned form of the network that was followed, with all its batch norms and without some.

    `folds` are the names of convolutions with those of the batch norms that `folded` leaves out, `in_place` of
    activations whose inputs nobody else reads.
    """

    whole: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    folded: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    folds: tuple[tuple[str, str], ...]
    in_place: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Way:
    """How networks are evaluated: in channels-last layout or in torch's own, by a plan or as they are."""

    channels_last: bool
    plan: TracedForward | None

    def followed(self, network: nn.Module) -> "Way":
        """The same way for networks with the blocks that this one has; nothing else may run networks meanwhile."""
        return self if self.plan is None else replace(self, plan=_followed(network))

    def ready(self, network: nn.Module, calibration: torch.Tensor) -> Forward:
        """The forward of a network that gets its batch norms' statistics from the inputs `calibration` `[n, ...]`.

        The network is changed on the way, and good for nothing else afterwards.
        """
        plain = nn.Module.__call__
        whole, folded = (self.plan.whole, self.plan.folded) if self.plan else (plain, plain)
        if self.plan is not None:
            for name in self.plan.in_place:
                network.get_submodule(name).inplace = True  # type: ignore[assignment]
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        network.to(memory_format=layout)  # type: ignore[call-overload]

        def own(x: torch.Tensor) -> torch.Tensor:  # a network may change its input in place
            return x.clone(memory_format=layout) if x.dim() == 4 else x.clone()

        calibrate(network, own(calibration), whole, batch_statistics)
        for convolution, norm in self.plan.folds if self.plan else ():
            _fold(network, convolution, norm)
        network.to(memory_format=layout)  # type: ignore[call-overload]  # what was folded lies as it comes
        return lambda x: folded(network, own(x))


def choose_way(makers: Sequence[Callable[[], nn.Module]], x: torch.Tensor) -> Way:
    """The fastest way that computes for each network what it does itself from normalised inputs `x` `[n, ...]`.

    Each of `makers` makes the same network in evaluation mode every time; the way returned follows the first one.
    """
    plan = _followed(makers[0]())
    ways = [Way(True, plan), Way(False, plan)] if plan else []
    for way in [*ways, Way(True, None)]:
        if all(_is_right(way.followed(make()), make, x) for make in makers):
            return way
    return Way(False, None)


@torch.inference_mode()
def labels_of(run: Forward, x: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Predicted labels, uint8 `[n]`, for normalised inputs `x`; ties go to the first label."""
    return np.concatenate([run(part).numpy().argmax(1).astype(np.uint8) for part in torch.split(x, _BATCH)])


@torch.inference_mode()
def _is_right(way: Way, make: Callable[[], nn.Module], x: torch.Tensor) -> bool:
    network = make()
    calibrate(network, x.clone())
    wanted = network(x.clone())
    try:
        found = way.ready(make(), x)(x)
    except Exception:  # a user's forward can fail in any way on what it was not written for
        return False
    most = _SAME * float(wanted.abs().max())
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0, atol=most)


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    parent, _, name = convolution.rpartition(".")
    made, normed = network.get_submodule(convolution), network.get_submodule(norm)
    assert isinstance(made, nn.Conv2d)
    assert isinstance(normed, nn.BatchNorm2d)
    setattr(network.get_submodule(parent), name, fuse_conv_bn_eval(made, normed))


@torch.no_grad()
def _followed(network: nn.Module) -> TracedForward | None:
    """The plan of a network, None where its forward can't be followed."""
    try:
        traced = fx.symbolic_trace(network)
    except Exception:  # tracing can fail in any way on a user's forward
        return None
    modules = dict(network.named_modules())
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    once = {name: modules[name] for name, count in calls.items() if count == 1 and name in modules}
    folds, in_place = [], []
    for node in traced.graph.nodes:
        if isinstance(_source(node, once), nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            if node.op == "call_method" and node.target == "clamp":
                node.target = "clamp_"
            elif node.op == "call_function" and node.target in (functional.relu, torch.relu):
                node.target, node.kwargs = torch.relu_, {}
            elif node.op == "call_module" and isinstance(once.get(str(node.target)), _ACTIVATIONS):
                in_place.append(str(node.target))
    traced.recompile()
    whole = type(traced).forward
    for node in list(traced.graph.nodes):
        norm = once.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(norm, nn.BatchNorm2d) and isinstance(_source(node, once), nn.Conv2d):
            folds.append((str(node.args[0].target), str(node.target)))
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.recompile()
    return TracedForward(whole, type(traced).forward, tuple(folds), tuple(in_place))


def _source(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """The module, among `modules`, that makes a node's first input, if no other node reads that."""
    source: Any = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
        return None
    return modules.get(str(source.target))
