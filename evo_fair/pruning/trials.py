"""Trials of what tracing found: a network without some channels has to compute what it does with those at 0."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.errors import in_a_line
from evo_fair.nets.randomness import random_numbers_as_before, seed_everything
from evo_fair.pruning.removal import channel_mask, masked, remove_channels
from evo_fair.pruning.structure import ChannelGroup, Keep, Structure, training_mode

__all__ = ["awakened", "breaking_groups", "untrainable_groups"]

_SAME = 1e-4
"""By how much of the largest output two networks that compute the same may differ."""

_ASLEEP = 0.1
"""Of a parameter whose values are all nearer to 0 than this, what it scales may not show: a layer scale begins at 1e-6.
"""


def breaking_groups(
    network: nn.Module, groups: Mapping[str, ChannelGroup], example: torch.Tensor
) -> list[tuple[str, str]]:
    """The groups without some channels of which the network does not compute what it does with those at 0, and why.

    Each is tried without its first channel, its last, every second, both halves and a
    random half, and with one or two alone, since a slice or a shuffle may be right for
    some of them only. The
    trials run on a copy with random weights: branches that are 0 when training begins,
    as behind a batch norm or another scale that starts at 0, would hide what goes wrong
    in them.

    Args:
        network: The network.
        groups: The channel groups by name.
        example: Normalised samples, float32 `[n, ...]`, to run the network on.
    """
    lively = _lively(network)
    drawn = torch.randn(example[:2].shape, generator=torch.Generator().manual_seed(1))
    x = torch.cat([example[:2], drawn.to(example.device)])
    found: list[tuple[str, str]] = []
    left = dict(groups)
    while left and any(_attempt(lively, left, keep, x) for keep in _patterns(left)):
        reasons = {name: _first(lively, left, name, x) for name in left}
        broken = [(name, reason) for name, reason in reasons.items() if reason]
        if not broken:  # each alone is right, all together are not: none can be trusted
            reason = "the network computes something else when several layers lose channels at once"
            broken = [(name, reason) for name in left]
        found += broken
        left = {name: group for name, group in left.items() if name not in dict(broken)}
    return found


def untrainable_groups(network: nn.Module, groups: Mapping[str, ChannelGroup], example: torch.Tensor) -> dict[str, str]:
    """The groups without some channels of which the network does not run in training mode, and why.

    Its evaluation does not tell, as where a dropout of its own counts on the channels.

    Args:
        network: The network.
        groups: The channel groups by name.
        example: Normalised samples, float32 `[n, ...]`, to run the network on.
    """
    x = torch.cat([example[:2], example[:2]])

    def fails(names: Iterable[str]) -> str | None:
        smaller = remove_channels(network, groups, {name: np.arange(groups[name].size) > 0 for name in names})
        try:
            with random_numbers_as_before(), torch.no_grad():
                seed_everything(0)
                smaller.train()(x.clone())
        except Exception as error:  # whatever a user's forward does with the wrong number of channels
            return f"the network does not run in training mode without one of them ({in_a_line(error)})"
        return None

    together = fails(groups)
    if together is None:
        return {}
    return {name: reason for name in groups if (reason := fails([name]))} or dict.fromkeys(groups, together)


def _first(network: nn.Module, groups: Mapping[str, ChannelGroup], name: str, x: torch.Tensor) -> str | None:
    """Why one group can't lose channels, None where it can."""
    trials = (_attempt(network, groups, keep, x) for keep in _patterns({name: groups[name]}))
    return next((reason for reason in trials if reason), None)


def _patterns(groups: Mapping[str, ChannelGroup]) -> Iterator[Keep]:
    """What stays of each group, trial by trial; of every group at least one channel."""
    rng = np.random.default_rng(0)
    sizes = {name: group.size for name, group in groups.items()}
    yield {name: np.arange(size) > 0 for name, size in sizes.items()}
    yield {name: np.arange(size) < size - 1 for name, size in sizes.items()}
    yield {name: np.arange(size) % 2 == 0 for name, size in sizes.items()}
    yield {name: np.arange(size) < (size + 1) // 2 for name, size in sizes.items()}
    yield {name: np.arange(size) >= size // 2 for name, size in sizes.items()}
    yield {name: _half(size, rng) for name, size in sizes.items()}
    yield {name: np.arange(size) == 0 for name, size in sizes.items()}
    yield {name: np.arange(size) >= size - 2 for name, size in sizes.items()}


def _half(size: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    stays: npt.NDArray[np.bool_] = rng.permutation(size) < (size + 1) // 2
    return stays


def _attempt(network: nn.Module, groups: Mapping[str, ChannelGroup], keep: Keep, x: torch.Tensor) -> str | None:
    """Why the network without the channels that don't stay is another one, None where it is not."""
    some = "one" if all((~stays).sum() == 1 for stays in keep.values()) else "some"
    try:
        silenced = _outputs(masked(network, channel_mask(network, Structure(groups, (), {}), keep)), x)
        without = _outputs(remove_channels(network, groups, keep), x)
    except Exception as error:  # whatever a user's forward does with the wrong number of channels
        return f"the network does not run without {some} of them ({in_a_line(error)})"
    most = _SAME * float(silenced.abs().max())
    same = silenced.shape == without.shape and torch.allclose(silenced, without, rtol=0, atol=most, equal_nan=True)
    those = "it" if some == "one" else "those"
    return None if same else f"without {some} of them the network computes something else than with {those} at 0"


def _outputs(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), training_mode(network, False):
        made: torch.Tensor = network(x.clone())
    return made


@torch.no_grad()
def awakened(network: nn.Module) -> nn.Module:
    """A copy with random values in all parameters that are about 0, so that no branch hides behind one of them.

    Args:
        network: The network.
    """
    changed = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(2)
    for parameter in changed.parameters():
        asleep = parameter.is_floating_point() and parameter.numel() and float(parameter.abs().max()) < _ASLEEP
        if asleep and parameter.dim() > 1:
            _draw_weights(parameter, generator)
        elif asleep:
            _draw_scales(parameter, generator)
    return changed


@torch.no_grad()
def _lively(network: nn.Module) -> nn.Module:
    """An awakened copy with random weights and statistics in all convolutions, linear layers and batch norms."""
    changed = awakened(network)
    generator = torch.Generator().manual_seed(0)
    for module in changed.modules():
        tensors = dict(chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False)))
        if isinstance(module, nn.Conv2d | nn.Linear):
            for tensor in tensors.values():
                _draw_weights(tensor, generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in tensors.values():
                if tensor.is_floating_point():
                    _draw_scales(tensor, generator)
    return changed


def _draw_weights(tensor: torch.Tensor, generator: torch.Generator) -> None:
    fan = tensor[0].numel() if tensor.dim() > 1 else 4
    tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / max(fan, 1)) ** 0.5)


def _draw_scales(tensor: torch.Tensor, generator: torch.Generator) -> None:
    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
