"""Calibrating: a device profile from this machine's timings or from measurements, and a kit to measure a board with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from evo_fair.arguments import as_flag, as_number, as_parts, as_path, as_text, as_texts, as_whole, check_seeds
from evo_fair.data import SOURCES
from evo_fair.errors import ProfileError, check_list
from evo_fair.jobs.kit import campaign_for_run
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.calibrate import Provenance
from evo_fair.latency.calibrate import calibrate as fit_profile
from evo_fair.latency.campaign import Campaign, make_campaign, write_kit
from evo_fair.latency.fit import FEWEST_NETWORKS
from evo_fair.latency.measurements import Measurements, read_measurements, write_latency, write_layers
from evo_fair.latency.schema import Precision, check_name
from evo_fair.latency.several import MeasuredBy, calibrate_together
from evo_fair.latency.this_machine import calibrate_this_machine
from evo_fair.problem import Problem, as_problem
from evo_fair.report import Run

__all__ = ["Calibration", "calibrate", "calibration_kit", "check_left_out", "check_unmeasured"]

SPACE = "ham10000"
"""The problem whose search space is measured unless another is named."""
MINUTES = 5.0
"""How long this machine is timed unless it is said."""
_FIT_TOGETHER = (
    "evo-fair calibrate --layers layers.csv --latency latency.csv --layers BEFORE/layers.csv "
    "--latency BEFORE/latency.csv --name my-board\n   where BEFORE holds what was measured on that board before."
)


@dataclass(frozen=True)
class Calibration:
    """A profile, the measurements that it comes from, and what throws doubt on it.

    Args:
        profile: The profile that was fitted.
        measured: The measured networks: of several sources, those of the first one.
        warnings: What throws doubt on the profile, a sentence each.

    Example:
        >>> import pandas as pd
        >>> columns = "network op c_in c_out kernel stride groups h_in w_in".split()
        >>> rows = [(f"net{wide}", "conv", 3, wide, 3, 2, 1, 32, 32) for wide in range(8, 136, 8)]
        >>> pd.DataFrame(rows, columns=columns).to_csv("layers.csv", index=False)
        >>> times = [{"network": row[0], "latency_ms": row[3] / 100} for row in rows]
        >>> pd.DataFrame(times).to_csv("latency.csv", index=False)
        >>> made = ef.calibrate("my-board", layers="layers.csv", latency="latency.csv", out="board.json")
        >>> made.profile.name, len(made.measured.names), made.warnings
        ('my-board', 16, ())
    """

    profile: Profile
    measured: Measurements
    warnings: tuple[str, ...]


def calibrate(
    name: str = "this-machine",
    *,
    out: str | Path | None = None,
    layers: str | Path | Sequence[str | Path] | None = None,
    latency: str | Path | Sequence[str | Path] | None = None,
    problem: Problem | str | Path | None = None,
    threads: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    keep: str | Path | None = None,
    board: str | None = None,
    cores: str | None = None,
    runtime: str | Sequence[str] | None = None,
    precision: Precision | None = None,
    source: str | Sequence[str] | None = None,
    licence: str | Sequence[str] | None = None,
    carry_from: Sequence[str | Path] = (),
    accept_implausible: bool = False,
    listener: Listener | None = None,
) -> Calibration:
    """Makes a device profile: times this machine, or fits the measurements `layers` and `latency`.

    A machine that is timed has to be at rest. `problem`, `minutes`, `seed` and `keep`
    are for the timing of this machine. `layers`, `latency`, `board`, `cores`,
    `runtime`, `precision`, `source`, `licence` and `carry_from` are for measurements.

    Args:
        name: The profile's name. Default: `this-machine`.
        out: The file that it is written to. Default: None, no file.
        layers: The `layers.csv` of measured networks; where several sources measured
            the board, a file for each. The first source is the one that is predicted.
            Default: None, this machine is timed.
        latency: The `latency.csv` of the same networks, in milliseconds, in the order
            of `layers`. Default: none.
        problem: The problem whose search space is timed: its name, its file, or what
            `load_problem` gave. Default: `ham10000`.
        threads: Threads that run. Default: 1.
        minutes: Minutes that timing may take; up to three times that while repeats
            don't agree. Default: 5.
        seed: The seed of the networks that are timed, 0 or more. Default: 0.
        keep: A folder for what was measured, as `layers.csv` and `latency.csv`, also
            where it is refused. Default: None, it is not kept.
        board: What was measured, for the record. Default: the name.
        cores: The board's processor cores, for the record. Default: not recorded.
        runtime: The runtime, for the record; one, or one for each source. Default: not
            recorded.
        precision: The numbers that the runtime computes with: `fp32`, `fp16` or `int8`.
            Default: `fp32`.
        source: Who measured, for the record; one, or one for each source. Default:
            measurements of the user's own.
        licence: The measurements' licence, for the record; one, or one for each source.
            Default: the user's own.
        carry_from: Devices, by name or path, that supply prices of layers that were
            never measured. Default: none.
        accept_implausible: Whether to make the profile, with a warning, though
            measurements can't be right or the machine is not steady. Default: False.
        listener: Hears how far the calibration is, and of doubts. Default: nobody.

    Returns:
        The profile, the measurements and the warnings.

    Raises:
        ProfileError: Arguments don't go together, or measurements are damaged, too few
            or, unless accepted, implausible; or the machine is not steady.

    Example:
        >>> ef.calibrate("my-board", layers="layers.csv")
        Traceback (most recent call last):
        evo_fair.errors.ProfileError: --latency is missing: measurements are two files, --layers and --latency
    """
    name, minutes = as_text("name", name), as_number("minutes", minutes)
    threads, seed = as_whole("threads", threads), as_whole("seed", seed)
    check_list("carry_from", carry_from)
    accept_implausible = as_flag("accept_implausible", accept_implausible)
    record = {"runtime": runtime, "precision": precision, "cores": cores, "source": source, "licence": licence}
    hearer = _Hearer(as_listener(listener))
    pairs = _pairs(_listed("layers", layers), _listed("latency", latency))
    board = None if board is None else as_text("board", board)
    check_name(name)
    if not pairs:
        check_unmeasured({"board": board, "carry-from": carry_from or None, **record})
        campaign = _campaign(problem, seed)
        threads, minutes = 1 if threads is None else threads, MINUTES if minutes is None else minutes
        profile, measured = _of_this_machine(name, campaign, threads, minutes, keep, accept_implausible, hearer)
    else:
        here = {"problem": problem, "minutes": minutes, "seed": seed, "keep": keep}
        check_left_out(here, "for what is measured here, and --layers was measured: leave one out")
        board = board or name
        provenances = [
            Provenance(board, threads=threads, **own)  # type: ignore[arg-type]  # precision is one of the literals
            for own in _by_source(record, len(pairs))
        ]
        sources = [
            MeasuredBy(_name_of(files[0]), read_measurements(*files, FEWEST_NETWORKS), provenance)
            for files, provenance in zip(pairs, provenances, strict=True)
        ]
        measured = sources[0].measured
        profile = _of_measurements(name, sources, carry_from, accept_implausible, hearer)
    if out is not None:
        profile.write(as_path("out", out))
    return Calibration(profile, measured, tuple(hearer.warnings))


def calibration_kit(
    folder: str | Path,
    *,
    problem: Problem | str | Path | None = None,
    seed: int | None = None,
    run: str | Path | Run | None = None,
    device: str | Path | None = None,
) -> Campaign:
    """Writes a kit that measures a board: networks, `measure.py`, `layers.csv` and a README; returns what it measures.

    With a `run` the kit holds the layers and networks whose measurement would narrow
    the intervals of its front the most.

    Args:
        folder: The folder of the kit, which has to be new.
        problem: The problem whose search space is measured: its name, its file, or what
            `load_problem` gave. Default: `ham10000`.
        seed: The seed of the networks that are measured, 0 or more. Default: 0.
        run: A run or its folder, whose front's intervals are to be narrowed. Default:
            None, the whole space is measured.
        device: With `run`: the profile that is to become surer, a name or a path.
            Default: the run's.

    Returns:
        The networks that the kit times: `names`, `table` (int32 `[networks, layers,
        8]`) and `held_out`, how many of the last ones only validate.

    Raises:
        EvoFairError: The folder is not empty, or the problem, run or device is wrong.

    Example:
        >>> measured = ef.calibration_kit("kit", problem="digits")
        >>> len(measured.names) > measured.held_out
        True
    """
    if run is None:
        campaign = _campaign(problem, as_whole("seed", seed))
        write_kit(campaign, as_path("folder", folder))
    else:
        whole = {"problem": problem, "seed": seed}
        check_left_out(whole, "for a kit of a whole space, and --run has networks of its own: leave one out")
        campaign = campaign_for_run(run, device)
        write_kit(campaign, as_path("folder", folder), _FIT_TOGETHER)
    return campaign


def check_unmeasured(given: Mapping[str, object]) -> None:
    """Refuses what is said of measurements where there are none.

    Args:
        given: The options by name; None is nothing said.

    Raises:
        ProfileError: One of them was given.
    """
    check_left_out(given, "only for measurements: leave it out, or give --layers and --latency")


def check_left_out(given: Mapping[str, object], reason: str) -> None:
    """Refuses options of something else.

    Args:
        given: The options by name; None is one that was not given.
        reason: What they are for, and what to do.

    Raises:
        ProfileError: One of them was given.
    """
    for option, value in given.items():
        if value is not None:
            raise ProfileError(f"--{option} is {reason}")


def _listed(option: str, files: str | Path | Sequence[str | Path] | None) -> Sequence[str | Path]:
    """No file, one or several as a list."""
    if files is None:
        return []
    return [files] if isinstance(files, str | PathLike) else as_parts(option, files, PathLike)


def _pairs(layers: Sequence[str | Path], latency: Sequence[str | Path]) -> list[tuple[str | Path, str | Path]]:
    """The two files of each source; raises `ProfileError` where one is missing."""
    if len(layers) != len(latency):
        missing = "--latency" if len(latency) < len(layers) else "--layers"
        raise ProfileError(f"{missing} is missing: measurements are two files, --layers and --latency")
    return list(zip(layers, latency, strict=True))


def _by_source(record: Mapping[str, str | Sequence[str] | None], sources: int) -> list[dict[str, str]]:
    """What was recorded of each source: what is given once holds for all of them."""
    found: list[dict[str, str]] = [{} for _ in range(sources)]
    for option, given in record.items():
        texts = [] if given is None else [given] if isinstance(given, str) else as_texts(option, given)
        if len(texts) not in (0, 1, sources):
            raise ProfileError(
                f"--{option} is given {len(texts)} times for {sources} sources: give it once, or for each"
            )
        for source, text in zip(found, texts if len(texts) > 1 else texts * sources, strict=False):
            source[option] = text
    return found


def _name_of(layers: str | Path) -> str:
    """What a source is called: the folder of its measurements, or their file where that is called otherwise."""
    path = as_path("layers", layers)
    return path.resolve().parent.name if path.name == "layers.csv" else path.stem


def _of_measurements(
    name: str, sources: Sequence[MeasuredBy], carry_from: Sequence[str | Path], accepted: bool, hearer: "_Hearer"
) -> Profile:
    donors = [load_profile(device) for device in carry_from]
    if len(sources) > 1:
        return calibrate_together(
            name,
            sources,
            donors,
            accept_implausible=accepted,
            warn=hearer.warn,
            progress=hearer.listener.calibrating,
        )
    return fit_profile(
        name,
        sources[0].measured,
        sources[0].provenance,
        donors,
        accept_implausible=accepted,
        warn=hearer.warn,
        progress=hearer.listener.calibrating,
    )


class _Hearer:
    """Passes on what a calibration tells, and keeps its warnings."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        self.warnings.append(line)
        self.listener.warned(line)


def _campaign(problem: Problem | str | Path | None, seed: int | None) -> Campaign:
    problem, seed = as_problem(SPACE if problem is None else problem), 0 if seed is None else seed
    check_seeds([seed], ProfileError)
    shape = SOURCES[problem.data.source].input_shape(problem.data.image_size)
    return make_campaign(problem.search_space(shape, 10), seed)


def _of_this_machine(
    name: str,
    campaign: Campaign,
    threads: int,
    minutes: float,
    keep: str | Path | None,
    accepted: bool,
    hearer: _Hearer,
) -> tuple[Profile, Measurements]:
    folder = None if keep is None else as_path("keep", keep)

    def write(measured: Measurements) -> None:
        if folder is not None:
            write_layers(folder / "layers.csv", measured.names, measured.table)
            write_latency(folder / "latency.csv", measured.names, measured.latency_ms)

    result = calibrate_this_machine(
        name,
        campaign,
        threads,
        minutes,
        hearer.listener.calibrating,
        accept_implausible=accepted,
        warn=hearer.warn,
        keep=write,
    )
    measured, profile = result.measured, result.profile
    if not result.steady:
        unsteady = f"the machine was not steady ({profile.file.notes.rstrip('.')})"
        if not accepted:
            raise ProfileError(
                f"{unsteady}: run it again with nothing else running, or add --accept-implausible to have the profile"
            )
        hearer.warn(unsteady)
    return profile, measured
