"""How many networks a second the proxy evaluates, beside the plain way, and whether both predict the same.

    python benchmarks/proxy_throughput.py --data DIR [--journal FILE] [--frozen-journal FILE] [--every 16]

The populations are those that NSGA-II runs asked for, generation by generation, read from their journals (by default a
search of budget 1,000 makes them first, with the header free and with `--freeze-header auto`), and unrelated random
genomes. The plain way is written out in `plain`: slice the supernet, statistics of 512 training images in training
mode, all validation images in eager fp32, channels first, torch on all cores; it evaluates every 16th network of the
same populations, each compared label by label. Both sides run in turn in one process. Peak memory is that of the
process after the proxy's first pass. Writes results/benchmarks/proxy_throughput.csv. Run it on a machine that does
nothing else.
"""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

import evo_fair as ef
from evo_fair.files import write_text
from evo_fair.layers import macs
from evo_fair.proxy import Proxy
from evo_fair.proxy.supernets import ensure_supernet, proxy_source
from evo_fair.proxy.tiles import BF16

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "proxy_throughput.csv"
RANDOM = 96


class Workload(NamedTuple):
    """Populations to evaluate one after another, and what is asked of the ratio."""

    name: str
    populations: list[np.ndarray]
    asked: float


def main() -> None:
    """Times both ways on every workload, compares their predictions, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the HAM10000 download")
    parser.add_argument("--journal", type=Path, help="of a search of ham10000")
    parser.add_argument("--frozen-journal", type=Path, help="of a search of ham10000 with --freeze-header auto")
    parser.add_argument("--work", type=Path, default=Path("results/throughput"), help="where searches go")
    parser.add_argument("--every", type=int, default=16, help="the plain way evaluates one network of so many")
    arguments = parser.parse_args()
    problem = ef.load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    source = proxy_source(problem, dataset, space, ensure_supernet(problem, dataset, space).path)
    journals = {
        "off": arguments.journal or searched(problem, "off", arguments.work),
        "auto": arguments.frozen_journal or searched(problem, "auto", arguments.work),
    }
    drawn = space.sample(np.random.default_rng(0), RANDOM)
    workloads = [
        Workload("NSGA-II, header free", populations(journals["off"]), 10),
        Workload("NSGA-II, header frozen", populations(journals["auto"]), 20),
        Workload("unrelated random genomes", np.array_split(drawn, 2), 5),
    ]
    cores = joblib.cpu_count()
    torch.set_num_threads(cores)
    peak = matrix_multiply_peak()
    precisions = ("fp32", "bf16") if BF16 else ("fp32",)
    rows = []
    for workload in workloads:
        makers = {name: partial(source.open, cores, precision=name) for name in precisions}
        rows += measured(workload, makers, dataset.labels[dataset.part("validation")], arguments.every, peak)
    report(pd.DataFrame(rows), cores, peak)


def searched(problem: ef.Problem, header: str, work: Path) -> Path:
    """The journal of a search of budget 1,000, made now if it is not there."""
    folder = work / f"header-{header}"
    ef.search(problem, device="raspberry-pi-4", budget=1000, freeze_header=header, out=folder, resume=True)
    return folder / "journal.jsonl"


def populations(journal: Path) -> list[np.ndarray]:
    """The genomes `[networks, genes]` that a run evaluated, generation by generation."""
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    generations: dict[int, list[list[int]]] = {}
    for record in records:
        if "accuracy" in record["metrics"]:
            generations.setdefault(record["generation"], []).append(record["genome"])
    return [np.array(genomes, np.int16) for genomes in generations.values()]


def measured(
    workload: Workload,
    makers: dict[str, Callable[[], Proxy]],
    truth: np.ndarray,
    every: int,
    peak: float,
) -> list[dict[str, object]]:
    """A row of the table a precision: each proxy twice, from nothing, before and after the plain way."""
    genomes = np.concatenate(workload.populations)
    chosen = np.arange(0, len(genomes), every)
    passes: dict[str, list[Pass]] = {}
    for precision, make in makers.items():
        warm(make())
        passes[precision] = [proxy_pass(make(), workload.populations)]
    proxy = next(iter(makers.values()))()
    plain(proxy, genomes[0])
    start = time.perf_counter()
    expected = np.stack([plain(proxy, genomes[i]) for i in chosen])
    plain_seconds = (time.perf_counter() - start) / len(chosen)
    rows = []
    for precision, make in makers.items():
        first, second = passes[precision][0], proxy_pass(make(), workload.populations)
        if (first.labels != second.labels).any():
            raise SystemExit("two passes of the proxy differ")
        agreement = (first.labels[chosen] == expected).mean(1)
        accuracies = [(passes[name][0].labels == truth).mean(1) for name in (precision, "fp32")]
        seconds = (first.seconds + second.seconds) / 2 / len(genomes)
        gflops = 2 * first.macs / len(genomes) / seconds / 1e9
        images = len(proxy.samples) + len(proxy.calibration)
        mean_macs = macs(proxy.supernet.space.decode(genomes[chosen])).mean()
        rows.append(
            {
                "workload": workload.name,
                "precision": precision,
                "networks": len(genomes),
                "networks_per_second": 1 / seconds,
                "plain_networks_per_second": 1 / plain_seconds,
                "ratio": plain_seconds / seconds,
                "asked": workload.asked,
                "plain_networks": len(chosen),
                "least_agreement": agreement.min(),
                "mean_agreement": agreement.mean(),
                "tau_to_fp32": kendalltau(*accuracies).statistic,
                "mean_macs": macs(proxy.supernet.space.decode(genomes)).mean(),
                "gflops_done": gflops,
                "share_of_matrix_multiply": gflops / peak,
                "gflops_of_plain": 2 * mean_macs * images / plain_seconds / 1e9,
                "peak_memory_gib": first.memory,
            }
        )
    return rows


def warm(proxy: Proxy) -> None:
    """Lets Numba load its kernels."""
    space = proxy.supernet.space
    proxy.predict(np.stack([space.smallest(), space.largest()]))
    proxy.close()


class Pass(NamedTuple):
    """Seconds for all populations, the labels, the multiply-accumulates done, and the process's peak memory in GiB."""

    seconds: float
    labels: np.ndarray
    macs: int
    memory: float


def proxy_pass(proxy: Proxy, populations: list[np.ndarray]) -> Pass:
    """Evaluates population after population."""
    start = time.perf_counter()
    labels = [proxy.predict(genomes) for genomes in populations]
    seconds = time.perf_counter() - start
    proxy.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Pass(seconds, np.concatenate(labels), proxy.population.macs, memory)


def plain(proxy: Proxy, genome: np.ndarray) -> np.ndarray:
    """Labels of the validation samples, the usual way: one network, batch by batch, nothing shared, nothing folded."""
    network = proxy.supernet.extract(genome).to(memory_format=torch.contiguous_format)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the statistics of the one batch that follows
    with torch.inference_mode():
        network.train()
        network(proxy.calibration.contiguous())
        network.eval()
        batches = proxy.samples.contiguous().split(256)
        labels: np.ndarray = torch.cat([network(batch) for batch in batches]).argmax(1).numpy()
    return labels


def matrix_multiply_peak() -> float:
    """GFLOP/s of torch's product of two matrices of 2048 x 2048, fp32, best of ten."""
    a = torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best / 1e9


def report(table: pd.DataFrame, cores: int, peak: float) -> None:
    """Prints the table and writes it."""
    note = (
        f"{cores} cores ({platform.machine()}), torch {version('torch')}, numba {version('numba')}, {date.today()}; "
        f"matrix multiply {peak:.0f} GFLOP/s"
    )
    shown = Table(title="Networks a second, the proxy beside the plain way", caption=note)
    for name in table.columns:
        shown.add_column(name.replace("_", " "))
    for _, row in table.iterrows():
        shown.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    Console(width=int(os.environ.get("COLUMNS", "200"))).print(shown)
    table["matrix_multiply_gflops"] = peak
    table["cores"] = cores
    OUT.parent.mkdir(parents=True, exist_ok=True)
    write_text(OUT, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


if __name__ == "__main__":
    main()
