"""A stand-alone network: the blocks of one architecture as an ordinary `torch.nn.Module`."""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from evo_fair.nets.moments import mean_and_variance
from evo_fair.nets.topology import run_blocks
from evo_fair.space import Block, Unit, units_of

__all__ = ["BN_EPSILON", "Network", "UnitModule", "calibrate", "for_inference"]

BN_EPSILON = 1e-5


class UnitModule(nn.Module):
    """A convolution or linear layer with its batch norm; once folded, the layer alone with a bias."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.layer: nn.Conv2d | nn.Linear
        self.norm: nn.BatchNorm2d | nn.BatchNorm1d | nn.Identity
        if unit.kernel == 0:
            self.layer = nn.Linear(unit.c_in, unit.c_out, bias=False)
            self.norm = nn.BatchNorm1d(unit.c_out, BN_EPSILON)
        else:
            groups = unit.c_in if unit.depthwise else 1
            padding = unit.kernel // 2
            self.layer = nn.Conv2d(unit.c_in, unit.c_out, unit.kernel, unit.stride, padding, groups=groups, bias=False)
            self.norm = nn.BatchNorm2d(unit.c_out, BN_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs the layer and its batch norm."""
        y: torch.Tensor = self.norm(self.layer(x))
        return y

    def fill(self, weight: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> None:
        """Takes copies of a weight and its batch norm's scale and shift; the running statistics start anew.

        The module may be on the device `meta`, without any weights of its own. Weights of images get the layout
        channels-last.
        """
        own = weight.detach().clone(memory_format=torch.contiguous_format)
        self.layer.weight = nn.Parameter(own.to(memory_format=torch.channels_last) if own.dim() == 4 else own)
        norm = {"weight": gamma.detach().clone(), "bias": beta.detach().clone()}
        norm |= {"running_mean": torch.zeros_like(gamma), "running_var": torch.ones_like(gamma)}
        self.norm.load_state_dict(norm | {"num_batches_tracked": torch.tensor(0, device=gamma.device)}, assign=True)

    def fold(self) -> None:
        """Moves the batch norm, with its present statistics, into the layer."""
        if isinstance(self.norm, nn.Identity):
            return
        self.eval()
        if isinstance(self.layer, nn.Linear):
            self.layer = fuse_linear_bn_eval(self.layer, self.norm)
        else:
            self.layer = fuse_conv_bn_eval(self.layer, self.norm)
        self.norm = nn.Identity()


class Network(nn.Module):
    """Blocks, global average pooling (on images), a classifier: normalised inputs `[n, ...]` to logits `[n, labels]`.

    Weights are torch's default initialisation until something fills them in.
    """

    def __init__(self, blocks: Sequence[Block], labels: int) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.units = nn.ModuleDict(
            {self.key(block, unit.name): UnitModule(unit) for block in blocks for unit in units_of(block)}
        )
        self.classifier = nn.Linear(blocks[-1].c_out, labels)

    @classmethod
    def of_units(cls, blocks: Sequence[Block], units: Mapping[str, UnitModule], classifier: nn.Linear) -> "Network":
        """The network of modules that are there: those of all units, in order, by their `key`."""
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network.blocks = tuple(blocks)
        network.units = nn.ModuleDict(units)
        network.classifier = classifier
        return network

    @staticmethod
    def key(block: Block, unit: str) -> str:
        """What `units` calls the module of one unit."""
        return f"{block.name}.{unit}".replace(".", "_")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[n, labels]`."""
        features = run_blocks(self.blocks, x, lambda block, unit, y: self.unit(block, unit.name)(y))
        logits: torch.Tensor = self.classifier(features)
        return logits

    def unit(self, block: Block, name: str) -> UnitModule:
        """The module of one unit."""
        module = self.units[self.key(block, name)]
        assert isinstance(module, UnitModule)
        return module

    def calibrate(self, x: torch.Tensor) -> None:
        """Sets every batch norm's statistics to those of the normalised inputs `x`, taken in one batch."""
        calibrate(self, x)

    def folded(self) -> "Network":
        """A copy for inference, each batch norm folded into the layer before it."""
        network = copy.deepcopy(self).eval()
        for module in network.units.values():
            assert isinstance(module, UnitModule)
            module.fold()
        return network.requires_grad_(False)


def for_inference(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, of a `Network` with its batch norms folded."""
    return network.folded() if isinstance(network, Network) else copy.deepcopy(network).eval()


@torch.no_grad()
def calibrate(
    network: nn.Module,
    x: torch.Tensor,
    forward: Callable[[nn.Module, torch.Tensor], torch.Tensor] = nn.Module.__call__,
    statistics: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> None:
    """Sets the running statistics of a network's batch norms to those of the normalised inputs `x`, in one batch.

    The network ends in evaluation mode. `forward` is another way to run it that calls the same batch norms,
    `statistics` one to find mean and biased variance by channel; they may round otherwise.
    """
    take = _take_statistics if statistics is None else _taking(statistics)
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None
    ]
    network.eval()
    if not norms:
        return
    hooks = [norm.register_forward_pre_hook(take, with_kwargs=True) for norm in norms]
    try:
        forward(network, x)
    finally:
        for hook in hooks:
            hook.remove()


def _taking(
    statistics: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> Callable[[nn.Module, tuple[torch.Tensor, ...], dict[str, torch.Tensor]], None]:
    def take(norm: nn.Module, arguments: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        norm.running_mean, norm.running_var = statistics(*arguments, *named.values())

    return take


_take_statistics = _taking(mean_and_variance)
"""Gives a batch norm the statistics of its input; torch's own training mode would store the unbiased variance."""
