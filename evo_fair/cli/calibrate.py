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
    layers: Annotated[Path | None, typer.Option("--layers", help="layers.csv of measured networks.")] = None,
    latency: Annotated[Path | None, typer.Option("--latency", help="latency.csv of measured networks.")] = None,
    kit: Annotated[Path | None, typer.Option("--kit", help="Write a kit for a board into this new folder.")] = None,
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
        str | None, typer.Option("--runtime", help="The runtime, for the record. Default: not recorded.")
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option("--precision", help="The numbers that the runtime computes with. Default: fp32."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", help="Who measured, for the record. Default: measurements of the user's own."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="The measurements' licence, for the record. Default: the user's own."),
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
    from evo_fair.latency import load_profile
    from evo_fair.latency.calibrate import Provenance
    from evo_fair.latency.calibrate import calibrate as fit_profile
    from evo_fair.latency.fit import FEWEST_NETWORKS
    from evo_fair.latency.measurements import read_measurements

    if (layers is None) != (latency is None):
        missing = "--latency" if latency is None else "--layers"
        raise ProfileError(f"{missing} is missing: measurements are two files, --layers and --latency")
    if layers is not None and kit is not None:
        raise ProfileError("--kit and --layers exclude each other: write the kit first, then fit what it measured")
    record = {"runtime": runtime, "precision": precision, "cores": cores, "source": source, "licence": licence}
    if layers is None:
        _refuse_given({"board": board, "carry-from": carry_from or None, **record})
    if kit is not None:
        _write_kit(_campaign(problem, seed), kit, name)
        return
    path = _target(out, name)
    if layers is None or latency is None:
        _time_this_machine(_campaign(problem, seed), name, path, threads or 1, minutes, keep, accept_implausible)
        return
    given: dict[str, Any] = {part: text for part, text in record.items() if text is not None}
    provenance = Provenance(board or name, threads=threads, **given)
    donors = [load_profile(device) for device in carry_from or ()]
    measured = read_measurements(layers, latency, FEWEST_NETWORKS)
    with _bars() as show:
        profile = fit_profile(
            name, measured, provenance, donors, accept_implausible=accept_implausible, warn=_warn, progress=show
        )
    profile.write(path)
    _report(profile, path)


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
    from evo_fair.latency.campaign import make_campaign
    from evo_fair.problem import load_problem

    chosen = load_problem(problem)
    size = chosen.data.image_size
    shape = (100,) if chosen.data.is_tabular else (1, 8, 8) if chosen.data.source == "digits" else (3, size, size)
    return make_campaign(chosen.search_space(shape, 10), seed)


def _write_kit(campaign: "Campaign", folder: Path, name: str) -> None:
    from evo_fair.latency.campaign import write_kit

    write_kit(campaign, folder)
    say(
        f"{len(campaign.names)} networks and measure.py are in {folder}: copy it to the board, run "
        f"'python3 measure.py' there, copy latency.csv back, then",
        f"evo-fair calibrate --layers {folder}/layers.csv --latency {folder}/latency.csv --name {name}",
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
    if file.carried_over:
        say(f"carried over from {', '.join(file.carried_over.devices)}: {', '.join(file.carried_over.terms)}")
    elif file.fitted.never_measured:
        say(f"never measured, at usual prices: {', '.join(file.fitted.never_measured)}")
