"""`evo-fair calibrate`: a device profile for this machine, for a board by way of a kit, or from measurements as CSV."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evo_fair.show import say

if TYPE_CHECKING:
    from evo_fair.latency import Profile
    from evo_fair.latency.campaign import Campaign
    from evo_fair.latency.measurements import Measurements

__all__ = ["calibrate"]

_SECONDS_BETWEEN_LINES = 10.0


def calibrate(
    name: Annotated[str, typer.Option("--name", help="The profile's name.")] = "this-machine",
    out: Annotated[
        Path | None, typer.Option("--out", help="The profile's file, or a folder for it. Default: ./NAME.json.")
    ] = None,
    layers: Annotated[
        list[Path] | None,
        typer.Option("--layers", help="layers.csv of measured networks; once for each source that measured the board."),
    ] = None,
    latency: Annotated[
        list[Path] | None, typer.Option("--latency", help="latency.csv of measured networks, in the order of --layers.")
    ] = None,
    kit: Annotated[Path | None, typer.Option("--kit", help="Write a kit for a board into this new folder.")] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="With --kit: a run, whose front's intervals the kit is to narrow the most."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="With --run: the profile that is to become surer. Default: the run's."),
    ] = None,
    problem: Annotated[
        str, typer.Option("--problem", help="The problem whose search space is measured here or by the kit.")
    ] = "ham10000",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads that run. Default here: 1.")] = None,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes", min=0.05, help="What timing may take; up to three times that while repeats don't agree."
        ),
    ] = 5.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the networks that are measured.")] = 0,
    keep: Annotated[Path | None, typer.Option("--keep", help="Also write what was measured here, as CSV.")] = None,
    board: Annotated[str | None, typer.Option("--board", help="What was measured, for the profile's record.")] = None,
    cores: Annotated[
        str | None, typer.Option("--cores", help="Its processor cores, for the record. Default: not recorded.")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime", help="The runtime, for the record; once, or once for each source. Default: not recorded."
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option("--precision", help="The numbers that the runtime computes with. Default: fp32."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="Who measured, for the record; once, or once for each. Default: measurements of the user's own.",
        ),
    ] = None,
    licence: Annotated[
        list[str] | None,
        typer.Option(
            "--licence",
            help="The measurements' licence, for the record; once, or once for each. Default: the user's own.",
        ),
    ] = None,
    carry_from: Annotated[
        list[str] | None,
        typer.Option("--carry-from", help="A device that supplies prices of layers never measured; can be repeated."),
    ] = None,
    accept_implausible: Annotated[
        bool,
        typer.Option(
            "--accept-implausible",
            help="Write the profile, with a warning, though measurements can't be right or the machine is not steady.",
        ),
    ] = False,
) -> None:
    """Makes a device profile: times this machine, writes a measuring kit for a board, or fits measurements (CSV)."""
    from evo_fair.errors import ProfileError

    pairs = _pairs(layers or [], latency or [])
    if pairs and kit is not None:
        raise ProfileError("--kit and --layers exclude each other: write the kit first, then fit what it measured")
    single = {"precision": precision, "cores": cores}
    by_source = {"runtime": runtime or None, "source": source or None, "licence": licence or None}
    if not pairs:
        _refuse_given({"board": board, "carry-from": carry_from or None, **single, **by_source})
    if (run is None and device is not None) or (kit is None and run is not None):
        raise ProfileError("--run is for --kit, and --device for --run: give the kit's folder and the run, or neither")
    if kit is not None and run is not None:
        from evo_fair.jobs.kit import campaign_for_run

        _write_kit_of_run(campaign_for_run(run, device), kit, name)
        return
    if kit is not None:
        _write_kit(_campaign(problem, seed), kit, name)
        return
    path = _target(out, name)
    if not pairs:
        _time_this_machine(_campaign(problem, seed), name, path, threads or 1, minutes, keep, accept_implausible)
        return
    given = {"device": board or name, "threads": threads, **{part: text for part, text in single.items() if text}}
    records = [{**given, **own} for own in _by_source(by_source, len(pairs))]
    _fit(name, path, pairs, records, carry_from or [], accept_implausible)


def _pairs(layers: list[Path], latency: list[Path]) -> list[tuple[Path, Path]]:
    """The two files of each source; raises `ProfileError` where one is missing."""
    from evo_fair.errors import ProfileError

    if len(layers) != len(latency):
        missing, given = ("--latency", len(layers)) if len(latency) < len(layers) else ("--layers", len(latency))
        how_often = "" if given == 1 else f", {given} times each"
        raise ProfileError(f"{missing} is missing: measurements are two files, --layers and --latency{how_often}")
    return list(zip(layers, latency, strict=True))


def _by_source(options: dict[str, list[str] | None], sources: int) -> list[dict[str, str]]:
    """What was recorded of each source: an option that is given once holds for all of them."""
    from evo_fair.errors import ProfileError

    records: list[dict[str, str]] = [{} for _ in range(sources)]
    for option, texts in options.items():
        if texts is None:
            continue
        if len(texts) not in (1, sources):
            raise ProfileError(
                f"--{option} is given {len(texts)} times for {sources} sources: give it once, or for each"
            )
        for record, text in zip(records, texts if len(texts) > 1 else texts * sources, strict=True):
            record[option] = text
    return records


def _fit(
    name: str,
    path: Path,
    pairs: list[tuple[Path, Path]],
    records: list[dict[str, Any]],
    carry_from: list[str],
    accepted: bool,
) -> None:
    """Fits a profile to one source's measurements, or to several sources' together."""
    from evo_fair.latency import load_profile
    from evo_fair.latency.calibrate import Provenance
    from evo_fair.latency.calibrate import calibrate as fit_profile
    from evo_fair.latency.fit import FEWEST_NETWORKS
    from evo_fair.latency.measurements import read_measurements
    from evo_fair.latency.several import MeasuredBy, calibrate_together

    donors = [load_profile(device) for device in carry_from]
    sources = [
        MeasuredBy(_source_name(layers), read_measurements(layers, latency, FEWEST_NETWORKS), Provenance(**record))
        for (layers, latency), record in zip(pairs, records, strict=True)
    ]
    with _bars() as show:
        if len(sources) > 1:
            profile = calibrate_together(name, sources, donors, accept_implausible=accepted, warn=_warn, progress=show)
        else:
            profile = fit_profile(
                name,
                sources[0].measured,
                sources[0].provenance,
                donors,
                accept_implausible=accepted,
                warn=_warn,
                progress=show,
            )
    profile.write(path)
    _report(profile, path)


def _source_name(layers: Path) -> str:
    """What a source is called: the folder of its measurements, or their file where that is called otherwise."""
    return layers.resolve().parent.name if layers.name == "layers.csv" else layers.stem


def _refuse_given(options: dict[str, object]) -> None:
    from evo_fair.errors import ProfileError

    for option, value in options.items():
        if value is not None:
            raise ProfileError(f"--{option} is only for measurements: leave it out, or give --layers and --latency")


def _target(out: Path | None, name: str) -> Path:
    if out is None:
        return Path(f"{name}.json")
    return out if out.suffix == ".json" else out / f"{name}.json"


def _campaign(problem: str, seed: int) -> "Campaign":
    from evo_fair.data import SOURCES
    from evo_fair.latency.campaign import make_campaign
    from evo_fair.problem import load_problem

    chosen = load_problem(problem)
    shape = SOURCES[chosen.data.source].input_shape(chosen.data.image_size)
    return make_campaign(chosen.search_space(shape, 10), seed)


def _write_kit(campaign: "Campaign", folder: Path, name: str) -> None:
    from evo_fair.latency.campaign import write_kit

    write_kit(campaign, folder)
    say(
        f"{len(campaign.names)} networks and measure.py are in {folder}: copy it to the board, run "
        f"'python3 measure.py' there, copy latency.csv back, then",
        f"evo-fair calibrate --layers {folder}/layers.csv --latency {folder}/latency.csv --name {name}",
    )


def _write_kit_of_run(campaign: "Campaign", folder: Path, name: str) -> None:
    from evo_fair.latency.campaign import write_kit

    fit = (
        "evo-fair calibrate --layers layers.csv --latency latency.csv --layers BEFORE/layers.csv "
        f"--latency BEFORE/latency.csv --name {name}"
    )
    write_kit(campaign, folder, f"{fit}\n   where BEFORE holds what was measured on that board before.")
    say(
        f"{len(campaign.names)} layers and networks, the most telling first, and measure.py are in {folder}: copy it "
        "to the board, run 'python3 measure.py' there, copy latency.csv back, then fit them together with what was "
        "measured before:",
        fit.replace("layers.csv --latency latency.csv", f"{folder}/layers.csv --latency {folder}/latency.csv", 1),
    )


def _time_this_machine(
    campaign: "Campaign", name: str, path: Path, threads: int, minutes: float, keep: Path | None, accepted: bool
) -> None:
    from evo_fair.errors import ProfileError
    from evo_fair.latency.this_machine import calibrate_this_machine

    with _bars() as show:
        result = calibrate_this_machine(name, campaign, threads, minutes, show, accept_implausible=accepted, warn=_warn)
    if keep is not None:
        _keep(result.measured, keep)
    if not result.steady:
        unsteady = f"the machine was not steady ({result.profile.file.notes.rstrip('.')})"
        if not accepted:
            raise ProfileError(
                f"{unsteady}: run it again with nothing else running, or add --accept-implausible to have the profile"
            )
        _warn(unsteady)
    result.profile.write(path)
    _report(result.profile, path)
    say(result.profile.file.notes)


@contextmanager
def _bars() -> "Iterator[Callable[[str, int, int], None]]":
    """A bar a stage, on standard error; in a log a line every ten seconds of what takes that long."""
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from evo_fair.tables import plain_console

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = plain_console(stderr=True)
    tasks: dict[str, TaskID] = {}
    told = time.monotonic()

    def show(stage: str, done: int, total: int) -> None:
        nonlocal told
        if not console.is_terminal:
            if time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
                say(f"{stage} {done}/{total}", err=True)
                told = time.monotonic()
            return
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield show


def _warn(text: str) -> None:
    say(f"warning: {text}", err=True)


def _keep(measured: "Measurements", folder: Path) -> None:
    from evo_fair.latency.measurements import write_latency, write_layers

    write_layers(folder / "layers.csv", measured.names, measured.table)
    write_latency(folder / "latency.csv", measured.names, measured.latency_ms)


def _report(profile: "Profile", path: Path) -> None:
    file = profile.file
    say(f"{path}: {profile.name}, fitted to {file.fitted.networks} networks")
    if file.validation is None:
        say("too few networks to hold any out: how well it predicts is not known")
    else:
        held_out = file.validation
        say(
            f"held out: {held_out.networks} networks ({held_out.method}): mean error {held_out.mape:.1f} %, "
            f"{held_out.within_10_percent:.0f} % within 10 %, Spearman {held_out.spearman:.3f}, "
            f"Kendall {held_out.kendall:.3f}"
        )
    if file.intervals:
        held = ", ".join(f"{one.percent:.0f} % of {one.measurements} ({one.left_out})" for one in file.intervals.held)
        say(f"{file.intervals.level:.0%} intervals held {held or 'was not tried'}")
    for source in file.sources or ():
        say(f"{source.name}: {source.networks} networks, {source.distinct_layers} layers, scale {source.scale:.3g}")
    if file.carried_over:
        say(f"carried over from {', '.join(file.carried_over.devices)}: {', '.join(file.carried_over.terms)}")
    elif file.fitted.never_measured:
        say(f"never measured, at usual prices: {', '.join(file.fitted.never_measured)}")
