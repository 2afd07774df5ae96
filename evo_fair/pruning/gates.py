"""Gates on weights or channels whose scores are trained: the relaxed masks of `bifp` and `fair-scratch`."""

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import parametrize

from evo_fair.pruning.criteria import Scores
from evo_fair.pruning.removal import Mask
from evo_fair.pruning.selection import Scope, StructureKind, choose
from evo_fair.pruning.structure import Structure, module_of

__all__ = ["Gates", "places"]


class _Gate(nn.Module):
    """Multiplies a weight by its hard mask; the score gets the gradient that a soft mask would (straight through)."""

    open: torch.Tensor
    slices: torch.Tensor | None
    channel: torch.Tensor | None

    def __init__(
        self, score: nn.Parameter, slices: torch.Tensor | None, channel: torch.Tensor | None, gain: float
    ) -> None:
        super().__init__()
        self.score, self.gain = score, gain
        self.register_buffer("slices", slices, persistent=False)
        self.register_buffer("channel", channel, persistent=False)
        self.register_buffer("open", torch.ones_like(score), persistent=False)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        value = self.gain * self.score
        gate = self.open + value - value.detach()
        if self.slices is None or self.channel is None:
            return weight * gate.view_as(weight)
        along = weight.new_ones(weight.shape[1]).index_put((self.slices,), gate[self.channel])
        return weight * along.view(1, -1, *(1,) * (weight.dim() - 2))


class Gates:
    """Gates in a network, on single weights or, by the weights that read them, on whole channels.

    Scores, vectors so that no weight decay draws them to 0, live in [0, 1] and start at the place in the order of
    `scores`, by layer or of all as the scope is. While gates are in the network, its parameters are the weights and the
    scores; a step of the optimiser moves scores by the square of `gain` as much as other parameters.
    """

    def __init__(
        self, network: nn.Module, structure: Structure, scores: Scores, kind: StructureKind, scope: Scope, gain: float
    ) -> None:
        self._network, self._plain = network, copy.deepcopy(network)
        self._structure, self._kind, self._scope, self._gain = structure, kind, scope, gain
        self._scores: dict[str, nn.Parameter] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._gates: dict[str, list[_Gate]] = {}
        self._gated: set[nn.Module] = set()
        modules, tensors = dict(network.named_modules()), dict(network.named_parameters())
        holders = _holders(network)
        start = scores.weights if kind == "unstructured" else scores.channels
        for name, ranks in places(start, scope).items():
            score = nn.Parameter(torch.from_numpy(ranks.ravel() / gain).float())
            self._shapes[name] = ranks.shape
            self._scores[name] = score
            if kind == "unstructured":
                for module in holders[tensors[name]]:  # those of a tied weight train and are masked together
                    self._add(name, module, _Gate(score, None, None, gain))
                continue
            for member in structure.groups[name].members:
                if member.role == "weight" and not member.makes:
                    gate = _Gate(score, torch.from_numpy(member.slices), torch.from_numpy(member.channel), gain)
                    self._add(name, modules[module_of(member.tensor)], gate)
        self.mask = self.close(0.0)
        """What the gates let through."""

    def _add(self, name: str, module: nn.Module, gate: _Gate) -> None:
        parametrize.register_parametrization(module, "weight", gate)
        self._gates.setdefault(name, []).append(gate)
        self._gated.add(module)

    @torch.no_grad()
    def close(self, sparsity: float) -> Mask:
        """Brings the scores back into [0, 1] and closes the gates of the lowest share; returns the mask.

        Args:
            sparsity: The share that leaves, 0 to below 1.
        """
        for score in self._scores.values():
            score.clamp_(0, 1 / self._gain)
        shapes = self._shapes
        plain = {name: score.detach().cpu().double().numpy() for name, score in self._scores.items()}
        values = {name: score.reshape(shapes[name]) for name, score in plain.items()}
        scores = Scores(values, {}) if self._kind == "unstructured" else Scores({}, values)
        self.mask = choose(self._plain, self._structure, scores, sparsity, self._kind, self._scope)
        for name, gates in self._gates.items():
            held = self.mask.values[name] if self.mask.keep is None else torch.from_numpy(self.mask.keep[name])
            for gate in gates:
                gate.open.copy_(held.flatten())
        return self.mask

    def remove(self) -> Mask:
        """Takes the gates out again; what they closed is 0 in the weights. Returns the mask."""
        for module in list(self._network.modules()):
            if module in self._gated:  # others may have parametrizations of the user's
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        return self.mask


def _holders(network: nn.Module) -> dict[nn.Parameter, list[nn.Module]]:
    """The modules that hold each parameter as their weight."""
    found: dict[nn.Parameter, list[nn.Module]] = {}
    for module in network.modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            found.setdefault(weight, []).append(module)
    return found


def places(scores: Mapping[str, npt.NDArray[np.float64]], scope: Scope) -> dict[str, npt.NDArray[np.float64]]:
    """The place of every score in the order of its layer, or of all, from 0 for the lowest to 1.

    Args:
        scores: What each of them is worth; the lowest leave first.
        scope: `global`, or `uniform` by layer.
    """
    if scope == "uniform":
        return {name: _place(part.ravel()).reshape(part.shape) for name, part in scores.items()}
    if not scores:
        return {}
    flat = _place(np.concatenate([part.ravel() for part in scores.values()]))
    ends = np.cumsum([part.size for part in scores.values()])[:-1]
    return {
        name: own.reshape(part.shape) for (name, part), own in zip(scores.items(), np.split(flat, ends), strict=True)
    }


def _place(flat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    places = np.empty(flat.size)
    places[np.argsort(flat, kind="stable")] = np.linspace(0, 1, flat.size)
    return places
