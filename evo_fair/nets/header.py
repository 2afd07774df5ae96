"""How much feature maps differ between groups, layer by layer, and which header may be frozen (after FaHaNa, 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from evo_fair.arrays import RawInputs
from evo_fair.errors import DataError
from evo_fair.nets.supernet import Supernet
from evo_fair.nets.threads import torch_threads
from evo_fair.nets.topology import run_block
from evo_fair.space import Block, Unit

__all__ = ["AUTO_FACTOR", "INPUT", "OUTPUT", "LayerVariation", "auto_header", "group_variation", "threshold"]

AUTO_FACTOR = 1.2
"""`auto` freezes blocks up to this many times the variation of the inputs themselves."""

INPUT, OUTPUT = "input", "output"
_BATCH = 128


@dataclass(frozen=True)
class LayerVariation:
    """One layer's feature maps `[channels, height, width]`; `layer` is a unit's name, or `output` for a whole block.

    The first is the block `input` with the normalised inputs as its `output`.
    `difference` is how far the groups' mean feature maps lie from their common mean, as a share of its norm, and
    `variation` as a share of the spread within groups: see `group_variation`.
    """

    block: str
    layer: str
    channels: int
    height: int
    width: int
    difference: float
    variation: float


def group_variation(
    supernet: Supernet, calibration: RawInputs, samples: RawInputs, groups: npt.NDArray[np.int16]
) -> list[LayerVariation]:
    """The variation between groups of the inputs and of every layer and block output of the largest network, in order.

    `samples` are raw inputs `[n, ...]`, `groups` their groups `[n]` (-1: none); batch norm has the statistics of
    `calibration`. With group means m_g of the feature maps, their unweighted mean m, n_g samples and the squared
    spread s_g^2 within group g (summed over the map, unbiased), all groups counting alike,

        between   = mean_g |m_g - m|^2 - (1 - 1/G) mean_g s_g^2 / n_g     (less what chance alone would give)
        variation = sqrt(max(between, 0) / mean_g s_g^2)
        difference = sqrt(max(between, 0)) / |m|

    After FaHaNa, which compares majority and minority; the form for any number of groups and the correction for
    chance are ours. The same arguments give the same numbers. Raises `DataError` for fewer than two groups of two.
    """
    sizes = np.bincount(groups[groups >= 0])
    present = np.flatnonzero(sizes >= 2)
    if len(present) < 2:
        raise DataError(
            f"feature maps are compared between groups: {len(present)} groups have two training samples or more, "
            "choose another --group, or --freeze-header off"
        )
    sums = _Sums(groups)
    with torch_threads(1), torch.inference_mode():
        network = supernet.extract(supernet.space.largest())
        network.calibrate(supernet.normalise(calibration))
        for start in range(0, len(samples), _BATCH):
            x = supernet.normalise(samples[start : start + _BATCH])
            members = groups[start : start + _BATCH]

            def apply(
                block: Block, unit: Unit, x: torch.Tensor, members: npt.NDArray[np.int16] = members
            ) -> torch.Tensor:
                y: torch.Tensor = network.unit(block, unit.name)(x)
                sums.add((block.name, unit.name), y, members)
                return y

            sums.add((INPUT, OUTPUT), x, members)
            for block in network.blocks:
                x = run_block(block, x, apply)
                sums.add((block.name, OUTPUT), x, members)
    return [sums.variation(place, present) for place in sums.total]


def threshold(variations: Sequence[LayerVariation]) -> float:
    """The variation up to which `auto` freezes: little more than what the inputs differ by already."""
    return AUTO_FACTOR * variations[0].variation


def auto_header(variations: Sequence[LayerVariation]) -> int:
    """How many blocks, from the first on without a gap, vary no more than `threshold`; at least one stays free."""
    outputs = [layer.variation for layer in variations[1:] if layer.layer == OUTPUT]
    above = [number for number, value in enumerate(outputs) if value > threshold(variations)]
    return min([*above, len(outputs) - 1])


class _Sums:
    """Sums of feature maps and of their squared norms by layer and group, in double precision."""

    def __init__(self, groups: npt.NDArray[np.int16]) -> None:
        self.sizes = np.bincount(groups[groups >= 0])
        self.total: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
        self.squares: dict[tuple[str, str], npt.NDArray[np.float64]] = {}

    def add(self, place: tuple[str, str], y: torch.Tensor, members: npt.NDArray[np.int16]) -> None:
        """Adds a batch of a layer's feature maps."""
        maps = y.cpu().contiguous().numpy().astype(np.float64)
        if place not in self.total:
            self.total[place] = np.zeros((len(self.sizes), *maps.shape[1:]))
            self.squares[place] = np.zeros(len(self.sizes))
        for group in np.unique(members[members >= 0]):
            chosen = maps[members == group]
            self.total[place][group] += chosen.sum(0)
            self.squares[place][group] += (chosen**2).sum()

    def variation(self, place: tuple[str, str], present: npt.NDArray[np.int64]) -> LayerVariation:
        """What the sums of a layer say about the groups `present`."""
        n = self.sizes[present].astype(np.float64)
        maps = self.total[place][present]
        means = maps.reshape(len(n), -1) / n[:, None]
        spread = np.maximum(self.squares[place][present] - n * (means**2).sum(1), 0) / (n - 1)
        centre = means.mean(0)
        between = ((means - centre) ** 2).sum(1).mean() - (1 - 1 / len(n)) * (spread / n).mean()
        between, within, norm = max(float(between), 0.0), float(spread.mean()), float(centre @ centre)
        channels, height, width = (*maps.shape[1:], 1, 1)[:3]
        difference, variation = ((between / base) ** 0.5 if base > 0 else 0.0 for base in (norm, within))
        return LayerVariation(*place, channels, height, width, difference, variation)
