"""Whether networks of a front take what a profile of this machine says: within their intervals, and in their order.

    evo-fair calibrate --name here --problem ham10000 --out here.json --keep here
    evo-fair search ham10000 --device here.json --out results/here
    python benchmarks/latency_front.py results/here --profile here.json [--networks 40] [--minutes 5]

Times networks spread evenly over the front's predicted latencies with ONNX Runtime on one thread: the run's own ONNX
files, or where it has none, networks of the same layers. Repeats that until two in a row agree, and writes
results/benchmarks/latency_front.csv. Nothing else should run while it times, nor while `calibrate` does; a search may
be made at any time. Each of the three can be run again alone.
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from provenance import made_by, run
from scipy.stats import kendalltau

from evo_fair.errors import EvoFairError
from evo_fair.evolution import genome_of
from evo_fair.files import write_text
from evo_fair.latency import load_profile
from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.latency.measure import UNSTEADY, Timings, open_session, pin
from evo_fair.latency.this_machine import measure_until_steady
from evo_fair.layers import LayerTable
from evo_fair.problem import load_problem

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "latency_front.csv"


def main() -> None:
    """Times the networks, writes a row each, and prints how many intervals held and Kendall's tau."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run on ham10000, or its front.csv")
    parser.add_argument("--profile", required=True, help="the profile of this machine")
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=5.0)
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    names, table = networks_of(arguments.run, arguments.networks, profile.latency_ms)
    timings, disagreement = time_networks(arguments.run, names, table, arguments.minutes)
    low, high = profile.interval_ms(table)
    measured, predicted = timings.latency_ms, profile.latency_ms(table)
    within = (low <= measured) & (measured <= high)
    rows = pd.DataFrame(
        {"id": names, "measured_ms": measured, "latency_ms": predicted, "low": low, "high": high, "within": within}
    )
    text = io.StringIO()
    text.write(f"# {made_by('python benchmarks/latency_front.py RUN --profile PROFILE', ('numpy', 'onnxruntime'))}\n")
    rows.to_csv(text, index=False, float_format="%.6f", lineterminator="\n")
    write_text(OUT, text.getvalue())
    print(
        f"\n{within.sum()} of {len(rows)} within their intervals, mean error "
        f"{100 * np.abs(predicted / measured - 1).mean():.1f} %, "
        f"Kendall's tau {kendalltau(predicted, measured)[0]:.3f}; "
        f"repeatability {timings.repeatability:.1%}, drift {timings.drift:.1%}, repeats differ by {disagreement:.1%}"
    )
    if not timings.steady or disagreement > UNSTEADY:
        print("the machine was not steady: run it again with nothing else running", file=sys.stderr)


def networks_of(
    run_folder: Path, most: int, latency_ms: Callable[[LayerTable], np.ndarray]
) -> tuple[list[str], LayerTable]:
    """The ids and the layer table of networks spread evenly over the ranks of a front's latencies."""
    path = run_folder if run_folder.is_file() else run_folder / "front.csv"
    if not path.is_file():
        raise EvoFairError(f"{path} is not there: give a run's folder, or its front.csv")
    front = pd.read_csv(path)
    space = load_problem("ham10000").search_space((3, 64, 64), 7)
    table = space.decode(np.array([genome_of(text) for text in front["genome"]], np.int16))
    order = np.argsort(latency_ms(table))
    chosen = np.unique(order[np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)])
    return [str(front["id"][i]) for i in chosen], table[chosen]


def time_networks(run_folder: Path, names: list[str], table: LayerTable, minutes: float) -> tuple[Timings, float]:
    """Their milliseconds on one thread, interleaved over rounds, and how far the last two repeats differ."""
    pin(1)
    sessions = {}
    for name, rows in zip(names, table, strict=True):
        path = run_folder / "networks" / f"{name}.onnx"
        sessions[name] = open_session(str(path) if path.is_file() else layers_to_onnx(rows).SerializeToString(), 1)
    return measure_until_steady(
        sessions, minutes, lambda done, total: print(f"round {done}/{total}", end="\r", file=sys.stderr)
    )


if __name__ == "__main__":
    run(main)
