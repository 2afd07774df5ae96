"""What to measure of a run: the kit for a board that would narrow the intervals of its front the most."""

from pathlib import Path

import numpy as np

from evo_fair.data import SOURCES
from evo_fair.errors import RunError
from evo_fair.evolution import genome_of
from evo_fair.jobs.facts import problem_of
from evo_fair.latency import load_profile
from evo_fair.latency.campaign import Campaign
from evo_fair.latency.next_measurements import campaign_for
from evo_fair.report import Run, load_run

__all__ = ["campaign_for_run"]

_LABELS = 10
"""Of the networks that are timed: the data are not asked for, and the last layer hardly counts."""


def campaign_for_run(run: str | Path | Run, device: str | Path | None = None) -> Campaign:
    """The layers and networks of a run's front whose measurement would narrow its intervals on a device the most.

    `device` has to have intervals; the run's own is the default. Raises `EvoFairError` of the kind that fits.
    """
    run = run if isinstance(run, Run) else load_run(run)
    if "network" in run.configuration:
        raise RunError(
            f"the run in {run.path} searched a network of its own, and a kit has layers of a problem's space: give a "
            "run of a supernet, or leave the run out"
        )
    device = next(iter(run.devices), None) if device is None else device
    if device is None:
        raise RunError(f"{run.path / 'run.toml'} does not say which device was searched for: give one, as --device")
    profile = load_profile(device)
    problem = problem_of(run.configuration, run.path / "run.toml", None)
    shape = SOURCES[problem.data.source].input_shape(problem.data.image_size)
    space = problem.search_space(shape, _LABELS)
    try:
        table = space.decode(np.array([genome_of(text) for text in run.front["genome"]], np.int16))
    except ValueError as reason:
        raise RunError(f"the front of {run.path} is damaged ({reason}): restore its files") from reason
    return campaign_for(profile, table)
