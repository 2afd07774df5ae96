"""What a figure or a comparison asks of runs, and the objectives that they share."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pandas as pd

from evo_fair.errors import RunError
from evo_fair.evolution import Axis, Limit

__all__ = ["Drawn", "common_axes", "path_ends"]


class Drawn(Protocol):
    """What a figure needs to know of a run: a row a network, what was searched for, and what is believed."""

    axes: tuple[Axis, ...]
    limits: tuple[Limit, ...]

    @property
    def path(self) -> Path:
        """The run's folder, by which it is called."""

    @property
    def whole(self) -> str | None:
        """The id of the whole network where its pruned forms were searched, else None."""

    @property
    def networks(self) -> pd.DataFrame:
        """A row a network; see `evolution.networks_frame`."""

    @property
    def beliefs(self) -> pd.DataFrame | None:
        """What is believed of the evaluated networks, None where nothing is."""


def common_axes(runs: Sequence[Drawn]) -> list[Axis]:
    """The runs' objectives; what they are called where the runs agree on it (two devices' latencies don't)."""
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = ([(axis.name, axis.direction) for axis in other.axes] for other in (first, run))
        if ours != theirs:
            names = [", ".join(name for name, _ in side) for side in (ours, theirs)]
            raise RunError(
                f"{first.path} searched {names[0]}, and {run.path} {names[1]}: give runs with the same objectives"
            )
    together = zip(*(run.axes for run in runs), strict=True)
    return [axes[0] if len(set(axes)) == 1 else replace(axes[0], label="") for axes in together]


def path_ends(paths: Sequence[Path]) -> list[str]:
    """The ends of the paths, each as many parts long as it takes to tell them apart."""
    parts = [path.parts for path in paths]
    length = 1
    while len({part[-length:] for part in parts}) < len(set(parts)):
        length += 1
    return ["/".join(part[-length:]) or str(path) for path, part in zip(paths, parts, strict=True)]
