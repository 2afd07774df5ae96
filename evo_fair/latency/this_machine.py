"""A profile for the machine that this runs on: times a campaign's networks with ONNX Runtime and fits them."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from evo_fair.errors import ProfileError
from evo_fair.latency.calibrate import Provenance, calibrate
from evo_fair.latency.campaign import Campaign
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measure import Timings, measure, open_session, pin
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.profile import Profile
from evo_fair.latency.schema import check_name
from evo_fair.latency.validation import score

__all__ = ["OwnCalibration", "calibrate_this_machine"]

UNSTEADY = 0.05


@dataclass(frozen=True)
class OwnCalibration:
    """The profile, what was measured for it, and how steady the machine was."""

    profile: Profile
    measured: Measurements
    timings: Timings

    @property
    def steady(self) -> bool:
        """Whether rounds agree and the machine did not drift, both within 5 %."""
        return self.timings.repeatability <= UNSTEADY and self.timings.drift <= UNSTEADY


def calibrate_this_machine(
    name: str,
    campaign: Campaign,
    threads: int = 1,
    minutes: float = 5.0,
    progress: Callable[[str, int, int], None] | None = None,
) -> OwnCalibration:
    """Times the campaign's networks, fits all but the held-out ones, validates on those.

    Timing takes at most `minutes`, but at least 5 rounds. The process stays on as many processors as it uses threads.
    Raises `ProfileError`, before anything is timed, for fewer than one thread or a name that no profile can have.
    """
    check_name(name)
    if threads < 1 or minutes <= 0:
        raise ProfileError(f"threads {threads} and minutes {minutes:g}: both have to be above 0")
    report = progress or _silent
    pin(threads)
    sessions = {}
    for done, (network, model) in enumerate(zip(campaign.names, campaign.models(), strict=True), 1):
        sessions[network] = open_session(model, threads)
        report("loading networks", done, len(campaign.names))
    timings = measure(sessions, minutes, lambda done, total: report("timing, rounds", done, total))
    measured = Measurements(campaign.names, campaign.table, timings.latency_ms)
    index = np.arange(len(campaign.names))
    seen, held_out = measured.part(index[: -campaign.held_out]), measured.part(index[-campaign.held_out :])
    scores = score(network_ms(fit_model(seen).model, held_out.table), held_out.latency_ms)
    provenance = Provenance(
        device=_processor(),
        runtime=f"ONNX Runtime {version('onnxruntime')}",
        threads=threads,
        notes=f"{len(timings.rounds)} rounds; repeatability {timings.repeatability:.1%}, median spread "
        f"{timings.spread:.1%}, drift {timings.drift:.1%}.",
    )
    method = "networks of the search space that the fit did not see"
    return OwnCalibration(calibrate(name, seen, provenance, held_out=(method, scores)), measured, timings)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Nobody wants to know how far it is."""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
