"""How many networks a second go from genomes to milliseconds, beside NumPy and a Python loop over layers.

    python benchmarks/latency_throughput.py [--networks 1000000] [--repeats 9]

The space is that of ham10000, the device raspberry-pi-4; the time includes compiling the tables, the JIT is warm. The
NumPy version gathers from the same tables; the Python loop prices the decoded layers one by one. Intervals are those of
raspberry-pi-4-pooled, for decoded layers: searches have them computed of new networks only. Writes
results/benchmarks/latency_throughput.csv. Run it on a machine that does nothing else.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from math import exp, log2
from pathlib import Path

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from evo_fair.files import write_text
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.compiled import CompiledLatency, compile_latency
from evo_fair.latency.terms import TERMS, WINDOWED, add_terms, kind_of
from evo_fair.problem import load_problem
from evo_fair.space import SearchSpace

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "latency_throughput.csv"
LOOPED = 200


def main() -> None:
    """Times all versions in one run, checks that they agree, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    profile = load_profile("raspberry-pi-4")
    space = load_problem("ham10000").search_space((3, 64, 64), 7)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, space.cardinalities, (arguments.networks, space.cardinalities.size), dtype=np.int16)
    few = drawn[:LOOPED]
    expected = profile.latency_ms(space.decode(few))
    threads = [n for n in (1, 2) if n <= numba.config.NUMBA_NUM_THREADS]
    versions: list[tuple[str, int, Callable[[], np.ndarray], int]] = [
        (
            f"compiled, {n} thread{'s' * (n > 1)}",
            n,
            lambda: compile_latency(profile, space).latency_ms(drawn),
            len(drawn),
        )
        for n in threads
    ]
    versions.append(
        ("NumPy, the same tables", 1, lambda: numpy_latency(compile_latency(profile, space), drawn), len(drawn))
    )
    versions.append(
        ("layer model in Numba, 1 thread", 1, lambda: profile.latency_ms(space.decode(drawn[:20000])), 20000)
    )
    versions.append(("Python loop over layers", 1, lambda: looped_latency(profile, space, few), len(few)))
    for _, n, run, _ in versions:
        numba.set_num_threads(n)
        np.testing.assert_allclose(run()[:LOOPED], expected, rtol=1e-9)
    sure, some = load_profile("raspberry-pi-4-pooled"), space.decode(drawn[:2000])
    versions.append(("intervals, 1 thread", 1, lambda: sure.latency_ms_high(some), len(some)))
    times: dict[str, list[float]] = {name: [] for name, *_ in versions}
    for repeat in range(arguments.repeats):
        for name, n, run, _ in versions:
            if name.startswith("Python") and repeat > 2:
                continue
            numba.set_num_threads(n)
            run()  # untimed: it wakes the threads that the version before let sleep
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    rows = []
    first = versions[0][3] / statistics.median(times[versions[0][0]])
    for name, n, _, networks in versions:
        rate = networks / statistics.median(times[name])
        best = networks / min(times[name])
        rows.append((name, n, networks, round(rate), round(best), round(first / rate, 2)))
    table = Table(
        "version", "threads", "networks", "networks/s, median", "networks/s, best", "compiled 1 thread is faster by"
    )
    for row in rows:
        table.add_row(row[0], str(row[1]), f"{row[2]:,}", f"{row[3]:,}", f"{row[4]:,}", f"{row[5]:,.2f}x")
    Console().print(table)
    names = " ".join(f"{name} {version(name)}" for name in ("evo-fair", "numpy", "numba"))
    command = f"python benchmarks/latency_throughput.py --networks {arguments.networks} --repeats {arguments.repeats}"
    head = f"# {command}; {names}; Python {platform.python_version()}; {os.cpu_count()} cores; {date.today()}"
    header = "version,threads,networks,networks_per_second,best_networks_per_second,compiled_is_faster_by"
    write_text(
        OUT,
        "\n".join([head, header, *(",".join(f'"{v}"' if isinstance(v, str) else str(v) for v in row) for row in rows)])
        + "\n",
    )


def numpy_latency(compiled: CompiledLatency, genomes: np.ndarray) -> np.ndarray:
    """A straightforward NumPy version of the gathers, for spaces on images."""
    tables = compiled.tables
    channels = genomes[:, 0].astype(np.int64)
    total = tables.stem_ms[channels]
    for s in range(tables.start.size):
        width = genomes[:, tables.width_gene[s]].astype(np.int64)
        first = tables.first_gene[s]
        entry = tables.start[s] + channels * tables.step[s, 0] + width * tables.step[s, 1]
        entry += genomes[:, first : first + 4] @ tables.step[s, 2:]
        total += tables.ms[entry]
        channels = width
    return total + tables.end_ms[channels]


def looped_latency(profile: Profile, space: SearchSpace, genomes: np.ndarray) -> np.ndarray:
    """The layer model in plain Python, network by network and layer by layer."""
    count, kind = add_terms.py_func, kind_of.py_func
    model = profile.model
    anchors, weights = model.anchors.tolist(), model.weights.tolist()
    starts, prices = model.starts.tolist(), model.prices.tolist()
    out = []
    for genome in genomes:
        total = profile.network_ms
        for row in space.decode(genome[None])[0].tolist():
            if row[0]:
                counts = [0.0] * len(TERMS)
                count(row, model.bytes_per_value, model.block, counts)
                k = kind(row)
                kernel = row[3] if row[0] in WINDOWED else 1
                place = (log2(row[1]), log2(row[2]), 0.5 * log2(row[6] * row[7]), log2(kernel), log2(row[4]))
                correction = 0.0
                for a in range(starts[k], starts[k + 1]):
                    distance = sum((x - y) ** 2 for x, y in zip(place, anchors[a], strict=True))
                    correction += weights[a] * exp(-0.5 * distance)
                worked = sum(c * price for c, price in zip(counts, prices, strict=True))
                total += 1e-6 * worked * exp(min(max(correction, -1.0), 1.0))
        out.append(total)
    return np.array(out)


if __name__ == "__main__":
    main()
