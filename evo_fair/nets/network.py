"""A stand-alone network: the blocks of one architecture as an ordinary `torch.nn.Module`."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from evo_fair.nets.topology import run_blocks
from evo_fair.space import Block, Unit, units_of

__all__ = ["BN_EPSILON", "Network", "UnitModule"]

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
        """Copies in a weight and its batch norm's scale and shift; the running statistics start anew."""
        assert not isinstance(self.norm, nn.Identity)
        self.layer.weight.copy_(weight)
        self.norm.weight.copy_(gamma)
        self.norm.bias.copy_(beta)
        self.norm.reset_running_stats()

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
            {_key(block, unit.name): UnitModule(unit) for block in blocks for unit in units_of(block)}
        )
        self.classifier = nn.Linear(blocks[-1].c_out, labels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[n, labels]`."""
        features = run_blocks(self.blocks, x, lambda block, unit, y: self.unit(block, unit.name)(y))
        logits: torch.Tensor = self.classifier(features)
        return logits

    def unit(self, block: Block, name: str) -> UnitModule:
        """The module of one unit."""
        module = self.units[_key(block, name)]
        assert isinstance(module, UnitModule)
        return module

    @torch.no_grad()
    def calibrate(self, x: torch.Tensor) -> None:
        """Sets every batch norm's statistics to those of the normalised inputs `x`, taken in one batch."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
        hooks = [norm.register_forward_pre_hook(_take_statistics) for norm in norms]
        self.eval()
        self(x)
        for hook in hooks:
            hook.remove()

    def folded(self) -> "Network":
        """A copy for inference, each batch norm folded into the layer before it."""
        network = copy.deepcopy(self).eval()
        for module in network.units.values():
            assert isinstance(module, UnitModule)
            module.fold()
        return network.requires_grad_(False)


def _take_statistics(norm: nn.Module, arguments: tuple[torch.Tensor]) -> None:
    """Gives a batch norm the statistics of its input; torch's own training mode would store the unbiased variance."""
    x = arguments[0]
    variance, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
    norm.running_mean, norm.running_var = mean, variance


def _key(block: Block, unit: str) -> str:
    return f"{block.name}.{unit}".replace(".", "_")
