"""All pruning methods against each other: accuracy and fairness of sparse networks at equal training budgets.

    python benchmarks/fair_pruning.py [--data DIR] [--work FOLDER] [--dense-epochs 12] [--epochs 6] [--seeds 3]

On HAM10000 at 32 pixels and on long-tailed CIFAR-10 (imbalance 50), a ResNet-8 of 8 to 32 channels and a MobileNetV2 of
a quarter of the width and of fewer blocks are trained, then pruned to 50, 70 and 90 % of their weights by every named
method, with whatever randomness there is from each seed. `--epochs` is what a method may train after the dense network;
methods that train from nothing get the dense network's epochs too. `bifp-half` is `bifp` with half of the epochs;
`magnitude-refined` is magnitude pruning with `ballot`'s training, to tell the effect of its selection from that of its
training.

The constants of `ballot`, of the training that `evo` and `magnitude-refined` share with it, and of `bifp` are those of
pruning_constants.py, which looks at validation parts alone, with another seed. (Some were chosen first with figures of
HAM10000's test part in view; it left them as they were.) `ballot`, `evo` and `magnitude-refined` also look at the
validation part, which no baseline does; that of CIFAR-10 is balanced, as its test part. Forward passes, such as those
by which `evo` judges masks, are not counted as iterations.

Every unit of work is a file in `--work`, by default results/benchmarks/fair_pruning/units/: any checkout goes on from
there, trains dense networks anew where they are missing, and `--table` makes the tables of what is there. Several
processes can share the work with `--only`.
Tables go to results/benchmarks, those of another `--work` there: fair_pruning_runs.csv (a row a network, on the test
part), fair_pruning.csv (means and 95 % intervals over seeds), fair_pruning_comparison.csv (ballot and evo against the
others, by setting, on average by data set and over all), and a figure, fair_pruning.png and .pdf.
"""

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from provenance import run
from safetensors.torch import load
from scipy import stats
from torch import nn
from torch.nn import functional

from evo_fair.errors import EvoFairError
from evo_fair.fairness import METRICS
from evo_fair.files import read_json, write_bytes, write_json, write_text
from evo_fair.nets import Network, initialise
from evo_fair.problem import load_problem
from evo_fair.pruning import count_kept
from evo_fair.pruning.measure import degradation_fairness, performance_fairness
from evo_fair.pruning.methods import METHODS, NAMED_METHODS, PRUNING_CODE
from evo_fair.pruning.task import Dense, Request, Task, content_of, state_of
from evo_fair.report.style import common_legend, looks, save_figure
from evo_fair.space import Block
from evo_fair.space.kinds import CB, RB

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks"
WORK = OUT / "fair_pruning"
DATA = {"ham10000": "ham10000", "cifar10_lt": "cifar10"}
SPARSITIES = (0.5, 0.7, 0.9)
EXTRA = ("magnitude-refined", "bifp-half")
OURS = ("ballot", "evo", "magnitude-refined")
BASELINES = ("magnitude", "lottery-ticket", "safecompress", "fair-scratch")
RECODED = (*OURS, "fair-scratch")
"""Methods whose networks come out otherwise since `PRUNING_CODE` 2; their rows of before do not count as done."""
MEASURED = ("accuracy", "balanced_accuracy", "cwv", "mcd", "performance_fairness", "degradation_fairness")


class Unit(NamedTuple):
    """One pruned network."""

    seed: int
    data: str
    network: str
    sparsity: float
    method: str

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.data}-{self.network}-{self.sparsity:g}-{self.method}-{self.seed}"


def resnet8(labels: int) -> nn.Module:
    """He et al. 2016 for 32 pixels with a block a stage, 8, 16 and 32 channels, 1x1 convolutions as shortcuts."""
    blocks = [Block("stem", CB, 3, 0, 8, 3, 1, 0, 32, 32)]
    for stage, (c_in, c_out, stride) in enumerate(((8, 8, 1), (8, 16, 2), (16, 32, 2)), 1):
        shortcut = 1 if c_in == c_out and stride == 1 else 2
        blocks.append(Block(f"stage{stage}", RB, c_in, c_out, c_out, 3, stride, shortcut, 32, 32))
    return Network(blocks, labels)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and a linear bottleneck (Sandler et al. 2018)."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = c_in * expansion
        expand = [nn.Conv2d(c_in, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output."""
        return x + self.layers(x) if self.shortcut else self.layers(x)


class MobileNetV2(nn.Module):
    """A quarter of the width, 9 of 17 blocks, and strides for 32 pixels: the stem and two later stages halve."""

    STAGES = ((1, 8, 1, 1), (6, 8, 2, 1), (6, 8, 2, 2), (6, 16, 2, 2), (6, 24, 2, 1), (6, 40, 1, 1))

    def __init__(self, labels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
        c_in = 8
        for expansion, c_out, count, stride in self.STAGES:
            for number in range(count):
                layers.append(InvertedResidual(c_in, c_out, stride if number == 0 else 1, expansion))
                c_in = c_out
        layers += [nn.Conv2d(c_in, 160, 1, bias=False), nn.BatchNorm2d(160), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(160, labels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.classifier(functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


NETWORKS = {"resnet8": resnet8, "mobilenetv2": MobileNetV2}


def units(seeds: int) -> Iterator[Unit]:
    """Whole seeds first, so that what is there at any time is balanced."""
    methods = (*NAMED_METHODS, *EXTRA)
    for unit in itertools.product(range(seeds), DATA, NETWORKS, SPARSITIES, methods):
        yield Unit(*unit)


@lru_cache(maxsize=2)
def task_of(data: str, folder: str | None) -> Task:
    """Recipe: SGD, batches of 128, peak 0.1, the problem's augmentation, no label smoothing; groups are the classes."""
    problem = load_problem(data, data=Path(folder) / DATA[data] if folder else None)
    problem = problem.model_copy(update={"data": problem.data.model_copy(update={"image_size": 32})})
    recipe = problem.training.model_copy(update={"batch_size": 128, "learning_rate": 0.1, "label_smoothing": 0.0})
    return Task(problem.dataset(), "class", recipe)


def dense_of(unit: Unit, task: Task, work: Path, epochs: int) -> Dense:
    """The trained network of a setting and seed, with the weights that it began with; trained if it is not there."""
    network = NETWORKS[unit.network](len(task.dataset.label_names))
    initialise(network, torch.Generator().manual_seed(unit.seed))
    early = state_of(network)
    path = work / "dense" / f"{unit.data}-{unit.network}-{unit.seed}.safetensors"
    facts, made_of = path.with_suffix(".json"), [epochs, task.dataset.fingerprint]
    if path.exists() and facts.exists() and read_json(facts).get("made_of") == made_of:
        network.load_state_dict(load(path.read_bytes()))
    else:
        started = time.process_time()
        steps = task.train(network, epochs, unit.seed)
        row = measures(network, network, task) | {"iterations": steps, "seconds": time.process_time() - started}
        row |= unit._replace(method="dense", sparsity=0.0)._asdict() | {"made_of": made_of}
        write_bytes(path, content_of(network))
        write_json(facts, row)
    return Dense(task.settled(network), early, epochs)


def measures(network: nn.Module, dense: nn.Module, task: Task) -> dict[str, Any]:
    """Figures on the test part; of degradation, too, by class."""
    counts, before = task.counts(network.eval(), "test"), task.counts(dense.eval(), "test")
    row: dict[str, Any] = {name: float(METRICS[name](counts)[0]) for name in MEASURED if name in METRICS}
    row["performance_fairness"] = performance_fairness(counts)
    row["degradation_fairness"] = degradation_fairness(before, counts)
    row["accuracy_lost"] = float(METRICS["accuracy"](before)[0]) - row["accuracy"]
    for other in task.dataset.groupings:
        if other != "class":
            row[f"accuracy_gap_{other}"] = float(METRICS["accuracy_gap"](task.counts(network, "test", other))[0])
    return row


def prune(unit: Unit, arguments: argparse.Namespace) -> None:
    """Does one unit and stores its row."""
    task = task_of(unit.data, arguments.data)
    dense = dense_of(unit, task, arguments.work, arguments.dense_epochs)
    half = unit.method == "bifp-half"
    method = METHODS["bifp" if half else unit.method]
    request = Request(unit.sparsity, seed=unit.seed, epochs=arguments.epochs // 2 if half else arguments.epochs)
    started = time.process_time()
    pruned = method(dense, task, request)
    kept, of = count_kept(pruned.mask, task.structure(dense.network))
    row = unit._asdict() | {"iterations": pruned.iterations, "kept": kept, "of": of}
    row |= measures(pruned.network, dense.network, task) | {"seconds": time.process_time() - started}
    row |= {f"note_{name}": value for name, value in pruned.notes.items()}
    write_json(path_of(unit, arguments), row | {"made_of": ingredients(unit, task, arguments)})


def path_of(unit: Unit, arguments: argparse.Namespace) -> Path:
    """The unit's file."""
    path: Path = arguments.work / "units" / f"{unit.name}.json"
    return path


def ingredients(unit: Unit, task: Task, arguments: argparse.Namespace) -> list[Any]:
    """What a row depends on beside its unit."""
    code = [f"code {PRUNING_CODE}"] if unit.method in RECODED else []
    return [arguments.dense_epochs, arguments.epochs, task.dataset.fingerprint, *code]


def is_done(unit: Unit, arguments: argparse.Namespace) -> bool:
    """Whether the unit's row is there; raises `EvoFairError` where it is one of other epochs, data or code."""
    path = path_of(unit, arguments)
    if not path.exists():
        return False
    made_of, now = read_json(path).get("made_of"), ingredients(unit, task_of(unit.data, arguments.data), arguments)
    if made_of != now:
        raise EvoFairError(f"{path} was made of {made_of}, not {now}: remove it, or give another --work")
    return True


def tables(arguments: argparse.Namespace) -> None:
    """Writes the three tables of what there is, and prints the last."""
    rows = [read_json(path) for part in ("units", "dense") for path in sorted((arguments.work / part).glob("*.json"))]
    if not rows:
        raise EvoFairError(f"nothing is finished in {arguments.work}: run it without --table")
    frame = (
        pd.DataFrame(rows)
        .drop(columns="made_of", errors="ignore")
        .sort_values(["data", "network", "sparsity", "method", "seed"])
    )
    out = OUT if arguments.work == WORK else arguments.work  # trials elsewhere leave the results alone
    write_csv(out / f"{arguments.name}_runs.csv", frame)
    summary = []
    for key, part in frame.groupby(["data", "network", "sparsity", "method"], sort=True):
        for measure in (*MEASURED, "iterations"):
            values = part[measure].to_numpy(float)
            margin = interval(values)
            summary.append((*key, measure, len(values), values.mean(), values.mean() - margin, values.mean() + margin))
    columns = ["data", "network", "sparsity", "method", "measure", "seeds", "mean", "low", "high"]
    write_csv(out / f"{arguments.name}.csv", pd.DataFrame(summary, columns=columns))
    compared = comparison(frame)
    write_csv(out / f"{arguments.name}_comparison.csv", compared)
    save_figure(lambda: figure(frame), [out / f"{arguments.name}.png", out / f"{arguments.name}.pdf"])
    print(compared[compared["network"] == "mean"].round(2).to_string(index=False))


def interval(values: np.ndarray) -> float:
    """Half of the 95 % t interval of a mean; NaN for a single value."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def comparison(frame: pd.DataFrame) -> pd.DataFrame:
    """How much lower CWV and MCD of ours are than of each baseline, in per cent of it, and what accuracy that costs.

    A row a setting, of means over the seeds that both methods have, and of each pair the means of its settings' rows,
    by data set and of all; those have 95 % t intervals over what each seed says alone.
    """
    found = compared(frame)
    means = found[found["network"] == "mean"]
    if means.empty:
        return found
    alone = pd.concat([compared(part) for _, part in frame.groupby("seed")])
    by_seed = alone[alone["network"] == "mean"].groupby(["data", "ours", "against"])
    for name in ("cwv_lower_percent", "mcd_lower_percent", "accuracy_points"):
        margins = by_seed[name].agg(lambda values: interval(values.to_numpy(float)))
        margin = margins.reindex(pd.MultiIndex.from_frame(means[["data", "ours", "against"]])).to_numpy()
        found.loc[means.index, f"{name}_low"] = means[name] - margin
        found.loc[means.index, f"{name}_high"] = means[name] + margin
    return found


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `comparison` without intervals."""
    pairs = [(ours, other) for ours in OURS for other in BASELINES]
    pairs += [("bifp-half", other) for other in ("magnitude", "lottery-ticket")] + [("bifp", "magnitude")]
    settings = ["data", "network", "sparsity"]
    rows = []
    for setting, part in frame.groupby(settings):
        for ours, other in pairs:
            both = [part[part["method"] == name].set_index("seed") for name in (ours, other)]
            seeds = both[0].index.intersection(both[1].index)  # of a benchmark that is under way, seeds that both have
            if seeds.empty:
                continue
            a, b = (one.loc[seeds, [*MEASURED, "iterations"]].mean() for one in both)
            row = dict(zip(settings, setting, strict=True)) | {"ours": ours, "against": other, "seeds": len(seeds)}
            row |= {f"{name}_lower_percent": 100 * (1 - a[name] / b[name]) for name in ("cwv", "mcd")}
            row["degradation_lower_percent"] = 100 * (1 - a["degradation_fairness"] / b["degradation_fairness"])
            row["accuracy_points"] = 100 * (a["accuracy"] - b["accuracy"])
            row["iterations_percent"] = 100 * a["iterations"] / b["iterations"]
            rows.append(row)
    found = pd.DataFrame(rows)
    if found.empty:
        return pd.DataFrame(columns=["data", "network"])
    means = []
    for name, part in (*found.groupby("data", sort=False), ("all", found)):
        by_pair = part.drop(columns=["network", "sparsity", "seeds"]).groupby(["ours", "against"], sort=False)
        mean = by_pair.mean(numeric_only=True).reset_index().assign(data=name, network="mean")
        means.append(mean.assign(settings=by_pair.size().to_numpy()))
    return pd.concat([found.assign(settings=1), *means], ignore_index=True)


def figure(frame: pd.DataFrame) -> Figure:
    """Accuracy and CWV against sparsity, means over networks and seeds: a column a data set, a line a method."""
    drawn = Figure(figsize=(5.2, 4.4), layout="constrained")
    panels = drawn.subplots(2, len(DATA), sharex=True, squeeze=False)
    seven = [*looks(6), ("X", "#000000", "--", True)]
    for column, data in enumerate(DATA):
        of_data = frame[frame["data"] == data]
        for row, (measure, title) in enumerate(
            (("accuracy", "accuracy\n(more is better)"), ("cwv", "CWV\n(less is fairer)"))
        ):
            panel = panels[row, column]
            for method, (marker, colour, line, filled) in zip(NAMED_METHODS, seven, strict=True):
                mean = of_data[of_data["method"] == method].groupby("sparsity")[measure].mean()
                face = colour if filled else "white"
                panel.plot(mean.index, mean, line, marker=marker, color=colour, mfc=face, ms=3.5, lw=1, label=method)
            dense = of_data[of_data["method"] == "dense"][measure].mean()
            panel.axhline(dense, color="#8e8e8e", lw=0.6, label="dense")
            panel.set_ylabel(title if column == 0 else "")
        panels[0, column].set_title(data, fontsize=7)
        panels[1, column].set_xlabel("sparsity")
        panels[1, column].set_xticks(SPARSITIES)
    common_legend(drawn, panels[0, :1], 3)
    return drawn


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table as CSV, numbers with six digits."""
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def main() -> None:
    """Does what is left, then makes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="for finished units and dense networks")
    parser.add_argument("--data", help="the folder that holds ham10000/ and cifar10/; default EVO_FAIR_DATA")
    parser.add_argument("--dense-epochs", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="fair_pruning", help="of the tables")
    parser.add_argument("--only", default="", help="units whose name holds this")
    parser.add_argument("--most", type=int, help="end after this many units")
    parser.add_argument("--table", action="store_true", help="make the tables alone")
    arguments = parser.parse_args()
    if not arguments.table:
        torch.set_num_threads(1)
        wanted = [unit for unit in units(arguments.seeds) if arguments.only in unit.name]
        left = [unit for unit in wanted if not is_done(unit, arguments)]
        started = time.monotonic()
        for number, unit in enumerate(left[: arguments.most], 1):
            try:
                prune(unit, arguments)
            except EvoFairError as error:
                raise EvoFairError(f"{unit.name}: {error}") from error
            each = (time.monotonic() - started) / number
            minutes = each * (len(left) - number) / 60
            print(f"{unit.name}: {number} of {len(left)}, {each:.0f} s each, {minutes:.0f} min left", flush=True)
    tables(arguments)
    print(f"torch {torch.__version__}, 1 thread, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")


if __name__ == "__main__":
    run(main)
