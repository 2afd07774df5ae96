"""A profile for the machine that this runs on: times a campaign's networks with ONNX Runtime and fits them."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from evo_fair.errors import ProfileError
from evo_fair.latency.calibrate import Provenance, calibrate
from evo_fair.latency.campaign import Campaign
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measure import UNSTEADY, Timings, measure, open_session, pin, processors
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.profile import Profile
from evo_fair.latency.schema import check_name
from evo_fair.latency.validation import Agreement, score

__all__ = ["OwnCalibration", "calibrate_this_machine", "measure_until_steady"]


MOST_REPEATS = 6
"""Of half of the minutes each."""


@dataclass(frozen=True)
class OwnCalibration:
    """The profile, what was measured for it, and how steady the machine was."""

    profile: Profile
    measured: Measurements
    timings: Timings
    disagreement: float = 0.0

    @property
    def steady(self) -> bool:
        """Whether rounds and repeats agree and the machine did not drift, all within 5 %."""
        return self.timings.steady and self.disagreement <= UNSTEADY


def calibrate_this_machine(
    name: str,
    campaign: Campaign,
    threads: int = 1,
    minutes: float = 5.0,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    accept_implausible: bool = False,
    warn: Callable[[str], None] = lambda _warning: None,
    keep: Callable[[Measurements], None] = lambda _measured: None,
) -> OwnCalibration:
    """Times the campaign's networks, fits all but the held-out ones, validates on those, or else in folds.

    Timing takes at most `minutes`, but two repeats of at least 5 rounds; on a machine on which repeats don't agree up
    to three times that. The process stays on as many processors as it uses threads. `accept_implausible` and `warn`
    are those of `calibrate`; `keep` hears what was measured before anything is fitted to it, or refused.
    Raises `ProfileError`, before anything is timed, for fewer than one thread, for more than there are processors, and
    for a name that no profile can have.
    """
    check_name(name)
    if threads < 1 or minutes <= 0:
        raise ProfileError(f"threads {threads} and minutes {minutes:g}: both have to be above 0")
    if threads > processors():
        raise ProfileError(
            f"threads {threads} are more than the {processors()} processors that this process may use: give at most "
            "as many; a calibration before this one keeps its process on its own"
        )
    report = progress or _silent
    pin(threads)
    sessions = {}
    for done, (network, model) in enumerate(zip(campaign.names, campaign.models(), strict=True), 1):
        sessions[network] = open_session(model, threads)
        report("loading networks", done, len(campaign.names))
    timings, disagreement = measure_until_steady(
        sessions, minutes, lambda done, total: report("timing, rounds", done, total)
    )
    measured = Measurements(campaign.names, campaign.table, timings.latency_ms)
    keep(measured)
    seen, held_out = _parts(measured, campaign.held_out)
    provenance = Provenance(
        device=_processor(),
        runtime=f"ONNX Runtime {version('onnxruntime')}",
        threads=threads,
        notes=f"{len(timings.rounds)} rounds; repeatability {timings.repeatability:.1%}, median spread "
        f"{timings.spread:.1%}, drift {timings.drift:.1%}, repeats differ by {disagreement:.1%}.",
    )
    profile = calibrate(name, seen, provenance, held_out=held_out, accept_implausible=accept_implausible, warn=warn)
    return OwnCalibration(profile, measured, timings, disagreement)


def _parts(measured: Measurements, held_out: int) -> tuple[Measurements, tuple[str, Agreement] | None]:
    """What is fitted, and how well a fit to it predicts the last `held_out` networks.

    A space of a few networks spares none, or one, which has no rank: then all are fitted, and left out in folds.
    """
    if held_out < 2:
        return measured, None
    index = np.arange(len(measured.names))
    seen, unseen = measured.part(index[:-held_out]), measured.part(index[-held_out:])
    scores = score(network_ms(fit_model(seen).model, unseen.table), unseen.latency_ms)
    return seen, ("networks of the search space that the fit did not see", scores)


def measure_until_steady(
    sessions: dict[str, Any], minutes: float, progress: Callable[[int, int], None], seed: int = 0
) -> tuple[Timings, float]:
    """Times sessions in repeats of half of `minutes` until two in a row agree within 5 %; six repeats at most.

    Returns the rounds of the last two repeats, and how far those disagree.
    """
    before = measure(sessions, minutes / 2, progress, seed=seed)
    timings, disagreement = before, float("inf")
    for repeat in range(1, MOST_REPEATS):
        after = measure(sessions, minutes / 2, progress, seed=seed + repeat)
        timings, disagreement = before.joined(after), before.disagreement(after)
        if disagreement <= UNSTEADY and timings.steady:
            break
        before = after
    return timings, disagreement


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Hears of progress and does nothing."""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
