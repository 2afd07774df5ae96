"""`evo-fair calibrate`: a device profile for this machine, for a board by way of a kit, or from measurements as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evo_fair.show import say, shell_word

if TYPE_CHECKING:
    from evo_fair.latency import Profile

__all__ = ["calibrate"]


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
        typer.Option(
            "--run", help="With --kit: a run. The kit measures what narrows the intervals of its front the most."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="With --run: the profile whose intervals are to be narrowed. Default: the run's."
        ),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            "--problem", help="The problem whose search space is measured here or by the kit. Default: ham10000."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads that run. Default here: 1.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.05,
            help="Minutes that timing takes; up to three times as many while repeats don't agree. Default: 5.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the networks that are measured. Default: 0.")
    ] = None,
    keep: Annotated[Path | None, typer.Option("--keep", help="Also write what was measured here, as CSV.")] = None,
    board: Annotated[str | None, typer.Option("--board", help="What was measured, for the profile's record.")] = None,
    cores: Annotated[
        str | None, typer.Option("--cores", help="The board's processor cores, for the record. Default: not recorded.")
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
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.errors import ProfileError
    from evo_fair.jobs.calibrate import calibrate as make_profile
    from evo_fair.jobs.calibrate import calibration_kit, check_left_out, check_unmeasured
    from evo_fair.latency.schema import check_name

    record = {"runtime": runtime or None, "precision": precision, "cores": cores}
    record |= {"source": source or None, "licence": licence or None}
    if (run is None and device is not None) or (kit is None and run is not None):
        raise ProfileError("--run is for --kit, and --device for --run: give the kit's folder and the run, or neither")
    if kit is not None:
        if layers or latency:
            raise ProfileError("--kit and --layers exclude each other: write the kit first, then fit what it measured")
        check_unmeasured({"board": board, "carry-from": carry_from or None, **record})
        later = {"out": out, "threads": threads, "minutes": minutes, "keep": keep}
        later |= {"accept-implausible": accept_implausible or None}
        check_left_out(later, "not for writing a kit: leave it out")
        check_name(name)  # the command that is printed states it
        networks = len(calibration_kit(kit, problem=problem, seed=seed, run=run, device=device).names)
        what = "networks" if run is None else "layers and networks, the most telling first,"
        before = "" if run is None else " --layers BEFORE/layers.csv --latency BEFORE/latency.csv"
        say(
            f"{networks} {what} and measure.py are in {kit}: copy it to the board, run "
            f"'python3 measure.py --threads 1' there, with nothing else running, copy latency.csv back, then",
            f"evo-fair calibrate --layers {shell_word(f'{kit}/layers.csv')} --latency "
            f"{shell_word(f'{kit}/latency.csv')}{before} --name {shell_word(name)}",
        )
        return
    path = _target(out, name)
    with ProgressBars() as bars:
        made = make_profile(
            name,
            out=path,
            layers=layers or (),
            latency=latency or (),
            problem=problem,
            threads=threads,
            minutes=minutes,
            seed=seed,
            keep=keep,
            board=board,
            carry_from=carry_from or (),
            accept_implausible=accept_implausible,
            listener=bars,
            **record,  # type: ignore[arg-type]  # precision is one of the literals
        )
    _report(made.profile, path)
    if not layers:
        say(made.profile.file.notes)


def _target(out: Path | None, name: str) -> Path:
    if out is None:
        return Path(f"{name}.json")
    return out if out.suffix == ".json" else out / f"{name}.json"


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
