"""What a search takes beside the search itself, stage by stage: this checkout beside an older one, in turns.

    python benchmarks/search_tail.py --before CHECKOUT [--problem ham10000] [--data DIR] [--budget N] [--rounds 3]

CHECKOUT is a folder with an older evo_fair, such as one that `git worktree add` made. Each round runs `evo-fair search`
once with either, the older one first in every other round, each in a process of its own with the supernet and the
decoded images at hand (a first search with a budget of two populations sees to that). The stages are told from outside,
by when the files of a run were last written, so that any checkout can be measured:

  start-up   imports, data, supernet and profile: until run.toml
  search     the networks that the proxy evaluates: until the journal's last line
  beliefs    what is believed of them, and the front: until front.csv
  writing    the front's networks, ONNX, checked against torch, and cards: until the last file in networks/
  figures    the front's, and the rest

Checking a file means running it with ONNX Runtime on the validation part: how many seconds of a core that takes for the
last run's files, without anything else, is measured apart.

An older checkout that writes front.csv last has the first network within its beliefs. Seconds are of wall time, for a
machine that does nothing else; beside them stand those of the processors for the whole. How many files of the two
folders are not the same, byte for byte, is said: none, where both search alike and are of the same version.
Writes results/benchmarks/search_tail.csv.
"""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from provenance import made_by, run
from rich.console import Console

from evo_fair.errors import EvoFairError
from evo_fair.export import onnx_logits
from evo_fair.export.columns import file_inputs
from evo_fair.files import write_text
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import load_problem

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "benchmarks"
STAGES = ("start-up", "search", "beliefs", "writing", "figures")
SIDES = ("before", "after")
COMMAND = "import sys; from evo_fair.cli import main; main(sys.argv[1:])"


def main() -> None:
    """Measures, prints and writes."""
    arguments = parsed()
    before = arguments.before.resolve()
    if not (before / "evo_fair").is_dir():
        raise EvoFairError(f"{before} holds no evo_fair: give the folder of a checkout of it")
    checkouts = dict(zip(SIDES, (before, ROOT), strict=True))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side, checkout in checkouts.items():
            searched(checkout, Path(folder) / f"warm-{side}", arguments, budget=2 * arguments.population)
        for number in range(arguments.rounds):
            runs = {}
            for side in SIDES if number % 2 else SIDES[::-1]:
                runs[side] = Path(folder) / f"{side}-{number}"
                taken = searched(checkouts[side], runs[side], arguments, arguments.budget)
                networks = len(list((runs[side] / "networks").glob("*.onnx")))
                rows.append({"round": number, "side": side, "networks": networks, **taken})
                print(rows[-1], file=sys.stderr)
            different = differences(*(runs[side] for side in SIDES))
        alone = runtime_alone(runs["after"], arguments)
    table = pd.DataFrame(rows)
    report(table)
    Console().print(f"after: ONNX Runtime alone takes {alone:.1f} s of one core for the networks of the last run")
    Console().print(f"{len(different)} files differ{f', the first is {different[0]}' if different else ''}")
    command = f"benchmarks/search_tail.py --before {before.name} --problem {arguments.problem} --budget"
    made = made_by(
        f"{command} {arguments.budget}; {len(different)} files differ; {alone:.1f} s of CPU for ONNX Runtime alone",
        ("torch", "onnxruntime"),
    )
    write_text(RESULTS / "search_tail.csv", f"# {made}\n{table.to_csv(index=False, lineterminator=chr(10))}")


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of an older evo_fair")
    parser.add_argument("--problem", default="ham10000")
    parser.add_argument("--data", type=Path, help="the data set's folder")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--population", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    for name, least in (("budget", 1), ("population", 2), ("rounds", 1), ("jobs", 1)):
        if getattr(arguments, name) < least:
            raise EvoFairError(f"{name} {getattr(arguments, name)} is too few: give {least} or more")
    return arguments


def searched(checkout: Path, out: Path, arguments: argparse.Namespace, budget: int) -> dict[str, float]:
    """Searches with a checkout; the seconds of each stage, and `cpu`, those of the processors."""
    options = ["--budget", budget, "--population", arguments.population, "--jobs", arguments.jobs, "--out", out]
    options += ["--data", arguments.data.resolve()] if arguments.data else []
    command = [sys.executable, "-c", COMMAND, "search", arguments.problem, *options]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    begun, cpu = time.time(), os.times()
    done = subprocess.run(list(map(str, command)), cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise EvoFairError(f"the search with {checkout} ended with {done.returncode}: see above")
    ended, now = time.time(), os.times()
    used = now.children_user + now.children_system - cpu.children_user - cpu.children_system
    return {**stages(out, begun, ended), "cpu": round(used, 3)}


def stages(folder: Path, begun: float, ended: float) -> dict[str, float]:
    """The seconds that each stage of a finished search took, by when its files were written."""

    def written(name: str) -> float:
        return (folder / name).stat().st_mtime

    searching = written("journal.jsonl")
    networks = [path.stat().st_mtime for path in (folder / "networks").iterdir()]
    believed = min(written("front.csv"), *networks)
    reached = [begun, written("run.toml"), searching, max(believed, searching), max(networks), ended]
    return {stage: round(b - a, 3) for stage, a, b in zip(STAGES, reached[:-1], reached[1:], strict=True)}


def runtime_alone(folder: Path, arguments: argparse.Namespace) -> float:
    """Seconds of one core that ONNX Runtime takes for a run's networks on all samples of the validation part."""
    dataset = load_problem(arguments.problem, data=arguments.data).dataset()
    scaling, samples = Scaling.of(dataset.samples("train")), dataset.part("validation")
    seconds = 0.0
    for path in sorted((folder / "networks").glob("*.onnx")):
        x = file_inputs(path, dataset, scaling, samples)
        begun = time.process_time()
        onnx_logits(path, x)
        seconds += time.process_time() - begun
    return seconds


def differences(one: Path, other: Path) -> list[str]:
    """The files of two folders that are not the same in both."""
    names = sorted({str(path.relative_to(folder)) for folder in (one, other) for path in folder.rglob("*.*")})
    same, *_ = filecmp.cmpfiles(one, other, names, shallow=False)
    return [name for name in names if name not in same]


def report(table: pd.DataFrame) -> None:
    """Prints medians by stage, and the shares that were aimed at."""
    console = Console()
    table = table.assign(whole=table[list(STAGES)].sum(axis=1))
    medians = table.groupby("side")[[*STAGES, "whole", "cpu"]].median()
    for side in SIDES:
        row = medians.loc[side]
        parts = ", ".join(f"{stage} {row[stage]:.1f}" for stage in STAGES)
        share = row["writing"] / row["search"]
        console.print(f"{side}, s: {parts}; whole {row['whole']:.1f}, of CPU {row['cpu']:.1f}")
        console.print(f"{side}: writing takes {share:.1%} of the search")
    for kind in ("whole", "cpu"):
        console.print(f"{kind}: {medians.loc['after', kind] / medians.loc['before', kind]:.2f} of before")


if __name__ == "__main__":
    run(main)
