"""What a search takes beside the search itself, stage by stage: this checkout beside an older one, in turns.

    python benchmarks/search_tail.py --before CHECKOUT [--problem ham10000] [--data DIR] [--budget N] [--rounds 3]

CHECKOUT is a folder with an older evo_fair, such as one that `git worktree add` made. Each round runs `evo-fair search`
once with either, the older one first in every other round, each in a process of its own with the supernet and the
decoded images at hand (a first search with a budget of a population sees to that). The stages, from a process's begin:

  start-up   imports, data, supernet and profile: until the search begins
  search     the networks that the proxy evaluates, and opening it
  beliefs    what is believed of them
  writing    the front's networks: ONNX, checked against torch, and cards
  figures    the front's, and the rest

Seconds of wall time say what a user waits for, on a machine that does nothing else; those of the processors are the
better ones on a busy machine. The folders of all runs have to be the same, byte for byte, but for evo_fair's version.
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
from evo_fair.files import read_json, write_text

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "benchmarks"
STAGES = ("start-up", "search", "beliefs", "writing", "figures")
SIDES = ("before", "after")

DRIVER = """
import json, os, sys, time

def now():
    return time.time(), sum(os.times()[:2])

begun, marks = (float(sys.argv[1]), 0.0), {}
from evo_fair.cli import progress
from evo_fair.cli.progress import ProgressBars
import evo_fair.jobs.search as job

class Heard(ProgressBars):
    def prepared(self, *given):
        marks.setdefault("start-up", now())
        super().prepared(*given)
    def ended(self, *given):
        marks["search"] = now()
        super().ended(*given)
    def exporting(self, done, networks):
        if done == networks:
            marks["writing"] = now()
        super().exporting(done, networks)

write = job._write_networks
def writing(*given):
    marks["beliefs"] = now()
    write(*given)
job._write_networks = writing
progress.ProgressBars = Heard
out, arguments = sys.argv[2], sys.argv[3:]
from evo_fair.cli import main
try:
    main(arguments)
finally:
    marks["figures"] = now()
    with open(out, "w") as file:
        json.dump({"begun": begun, "marks": marks}, file)
"""


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
            if different := differences(*(runs[side] for side in SIDES)):
                raise EvoFairError(f"the two wrote different files, {different[0]} the first of {len(different)}")
    table = pd.DataFrame(rows)
    report(table)
    command = f"benchmarks/search_tail.py --before {before.name} --problem {arguments.problem} --budget"
    made = made_by(f"{command} {arguments.budget}", ("torch", "onnxruntime"))
    write_text(RESULTS / "search_tail.csv", f"# {made}\n{table.to_csv(index=False, lineterminator=chr(10))}")


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of an older evo_fair")
    parser.add_argument("--problem", default="ham10000")
    parser.add_argument("--data", help="the data set's folder")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--population", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


def searched(checkout: Path, out: Path, arguments: argparse.Namespace, budget: int) -> dict[str, float]:
    """Searches with a checkout; the seconds of wall time and of the processors, `<stage>` and `<stage>_cpu`."""
    options = ["--budget", budget, "--population", arguments.population, "--jobs", arguments.jobs, "--out", out]
    options += ["--data", arguments.data] if arguments.data else []
    marks = out.with_suffix(".json")
    command = [sys.executable, "-c", DRIVER, time.time(), marks, "search", arguments.problem, *options]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(list(map(str, command)), cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise EvoFairError(f"the search with {checkout} ended with {done.returncode}: see above")
    told = read_json(marks)
    taken, last = {}, told["begun"]
    for stage in STAGES:
        reached = told["marks"][stage]
        taken[stage], taken[f"{stage}_cpu"] = (round(b - a, 3) for a, b in zip(last, reached, strict=True))
        last = reached
    return taken


def differences(one: Path, other: Path) -> list[str]:
    """The files of two folders that are not the same in both."""
    names = sorted({str(path.relative_to(folder)) for folder in (one, other) for path in folder.rglob("*.*")})
    same, *_ = filecmp.cmpfiles(one, other, names, shallow=False)
    return [name for name in names if name not in same]


def report(table: pd.DataFrame) -> None:
    """Prints medians by stage, and the shares that were aimed at."""
    console = Console()
    for kind, ending in (("wall", ""), ("CPU", "_cpu")):
        columns = [f"{stage}{ending}" for stage in STAGES]
        medians = table.groupby("side")[columns].median().loc[list(SIDES)]
        whole = table.assign(whole=table[columns].sum(axis=1)).groupby("side")["whole"].median()
        for side in SIDES:
            parts = ", ".join(f"{stage} {medians.loc[side, f'{stage}{ending}']:.1f}" for stage in STAGES)
            share = medians.loc[side, f"writing{ending}"] / medians.loc[side, f"search{ending}"]
            console.print(f"{kind} s, {side}: {parts}; whole {whole[side]:.1f}; writing {share:.1%} of the search")
        console.print(f"{kind}: the whole takes {whole['after'] / whole['before']:.2f} of before")


if __name__ == "__main__":
    run(main)
