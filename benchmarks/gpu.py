"""A GPU beside the CPU: a supernet's training, networks evaluated a second, and the agreement of their scores.

    python benchmarks/gpu.py [--data DIR] [--problem ham10000] [--networks 200] [--epochs 2]

Trains the problem's supernet for a few epochs on both, evaluates the same random networks of one supernet on both, and
gives Kendall's tau between the two sets of errors. Writes `results/benchmarks/gpu.csv`. Without a GPU it says so and
ends with the exit code 2.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from evo_fair.arrays import Selected
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.files import write_text
from evo_fair.nets import train_supernet
from evo_fair.nets.device import CPU, TorchDevice, open_device
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy.supernets import ensure_supernet, proxy_source
from evo_fair.space import SearchSpace

OUT = Path("results/benchmarks/gpu.csv")
AGREEMENT = 0.98
"""Kendall's tau that is aimed at."""


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="the folder that holds the problem's data set")
    parser.add_argument("--problem", default="ham10000")
    parser.add_argument("--torch-device", default="cuda")
    parser.add_argument("--networks", type=int, default=200, help="networks evaluated on both")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of the supernet's training on both")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        gpu = open_device(options.torch_device)
        if not gpu.accelerated:
            raise EvoFairError(f"torch device {options.torch_device!r} is the CPU: give a GPU's")
    except EvoFairError as error:
        print(f"benchmarks/gpu.py measures a GPU: {error}", file=sys.stderr)
        return 2
    data = None if options.data is None else Path(options.data) / options.problem
    table = measure(load_problem(options.problem, data=data), gpu, options.networks, options.epochs)
    print(table.to_string(index=False))
    print(f"Kendall's tau {table['tau'].iloc[-1]:.4f}, aimed at {AGREEMENT}")
    write_text(options.out, table.to_csv(index=False, lineterminator="\n"))
    return 0


def measure(problem: Problem, gpu: TorchDevice, networks: int, epochs: int) -> pd.DataFrame:
    """A row for the CPU and one for the GPU, both measured in this run."""
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    supernet = ensure_supernet(problem, dataset, space, device=gpu)
    source = proxy_source(problem, dataset, space, supernet.path)
    genomes = space.sample(np.random.default_rng(0), networks)
    labels = dataset.labels[dataset.part("validation")]
    rows, said = [], []
    for device in (CPU, gpu):
        trained = _seconds(partial(_train, problem, dataset, space, epochs, device))
        proxy = source.open(int(joblib.cpu_count()), device)
        proxy.predict(genomes[:2])  # kernels are compiled, and memory is asked for, outside what is timed
        began = time.perf_counter()
        said.append(proxy.predict(genomes))
        seconds = time.perf_counter() - began
        proxy.close()
        errors = [(predicted != labels).mean(axis=1) for predicted in (said[0], said[-1])]
        rows.append(
            {
                "device": device.described().get("gpu", platform.processor() or platform.machine()),
                "torch_device": device.kind,
                "epoch_seconds": round(trained / epochs, 2),
                "networks_a_second": round(networks / seconds, 2),
                "same_labels": round(float((said[0] == said[-1]).mean()), 5),
                "tau": round(float(kendalltau(*errors).statistic), 4),
                **_conditions(problem, networks),
            }
        )
    return pd.DataFrame(rows)


def _train(problem: Problem, dataset: Dataset, space: SearchSpace, epochs: int, device: TorchDevice) -> None:
    recipe = problem.training.of_supernet().model_copy(update={"epochs": epochs})
    train = dataset.part("train")
    train_supernet(space, Selected(dataset.inputs, train), dataset.labels[train], recipe, 0, device=device)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _conditions(problem: Problem, networks: int) -> dict[str, Any]:
    return {
        "problem": problem.name,
        "networks": networks,
        "cores": int(joblib.cpu_count()),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


if __name__ == "__main__":
    sys.exit(main())
