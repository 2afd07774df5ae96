"""Chooses the header of a search space to freeze: by hand, or by how little its feature maps vary between groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.nets import Supernet
from evo_fair.nets.header import AUTO_FACTOR, LayerVariation, auto_header, group_variation, threshold
from evo_fair.problem import Problem
from evo_fair.proxy.evaluator import calibration_samples
from evo_fair.space import SearchSpace

__all__ = ["Header", "HeaderChoice", "check_header", "find_header"]

HeaderChoice = int | Literal["auto", "off"]

SAMPLES_A_GROUP = 500


@dataclass(frozen=True)
class Header:
    """What is frozen and why: the choice, the blocks, the variation that was measured, and the space that is left."""

    choice: HeaderChoice
    blocks: tuple[str, ...]
    group: str
    variations: list[LayerVariation]
    whole: SearchSpace
    space: SearchSpace

    def configuration(self) -> dict[str, Any]:
        """For `run.toml`."""
        return {
            "choice": str(self.choice),
            "blocks": list(self.blocks),
            "networks_before": self.whole.magnitude,
            "networks_after": self.space.magnitude,
            "auto_factor": AUTO_FACTOR,
            "samples_a_group": SAMPLES_A_GROUP,
        }

    @property
    def threshold(self) -> float | None:
        """The variation up to which blocks were frozen; None where the user named their number."""
        return threshold(self.variations) if self.choice == "auto" else None

    def rows(self) -> list[dict[str, Any]]:
        """For `header.csv`: a row a layer, in order."""
        return [
            {
                "block": layer.block,
                "layer": layer.layer,
                "channels": layer.channels,
                "height": layer.height,
                "width": layer.width,
                "variation": layer.variation,
                "difference": layer.difference,
                "frozen": layer.block in self.blocks,
            }
            for layer in self.variations
        ]


def check_header(choice: str | int, space: SearchSpace) -> HeaderChoice:
    """`auto`, `off` or a number of blocks that leaves one free; raises `EvoFairError` for anything else."""
    if choice in ("auto", "off"):
        return choice  # type: ignore[return-value]
    most = len(space.block_names) - 1
    if str(choice).isdecimal() and 1 <= int(choice) <= most:
        return int(choice)
    first, last = space.block_names[0], space.block_names[-1]
    raise EvoFairError(
        f"freeze-header {choice!r}: give auto, off or the number of blocks to freeze from the input on, 1 ({first}) to "
        f"{most} (all but {last})"
    )


def find_header(
    choice: HeaderChoice, problem: Problem, dataset: Dataset, space: SearchSpace, supernet: Path, group: str
) -> Header:
    """Measures the variation between the groups of `group` on samples of the training part, and freezes the header.

    Every group gives `SAMPLES_A_GROUP` samples, or all that it has, evenly spaced, so no seed is involved. `auto`
    may freeze nothing.
    """
    samples, groups = _samples(dataset, group)
    calibration = dataset.inputs[calibration_samples(dataset, problem.proxy.calibration_samples)]
    variations = group_variation(Supernet.load(supernet, space), calibration, dataset.inputs[samples], groups)
    blocks = auto_header(variations) if choice == "auto" else 0 if choice == "off" else choice
    return Header(choice, space.block_names[:blocks], group, variations, space, space.frozen(blocks))


def _samples(dataset: Dataset, group: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int16]]:
    """Indices of the training samples that are looked at, and their groups."""
    train = dataset.part("train")
    index = dataset.grouping(group).index
    chosen = []
    for number in range(len(dataset.grouping(group).names)):
        members = train[index[train] == number]
        places = np.linspace(0, len(members) - 1, min(SAMPLES_A_GROUP, len(members)))
        chosen.append(members[places.round().astype(np.int64)])
    samples = np.concatenate(chosen)
    return samples, index[samples]
