"""How fast the supernet trains, beside a plain loop over the same networks to the same accuracy, and part by part.

    python benchmarks/supernet_training.py --data HAM10000_FOLDER [--steps 12] [--rounds 5] [--epochs 0] [--only WHAT]

The plain loop is written out here: eager, fp32, NCHW, the networks of a step one after another with `backward()`, on
as many threads as there are cores. Both draw the same batches and the same networks; epochs of `--steps` steps are
timed in turn. With `--epochs N` both also train for N whole epochs, and the accuracies of the largest and smallest
network are compared. Parts are single layers at the shapes of the largest networks, batch 64, one thread, the best of
five, in processor time, so that other processes matter little. Writes results/benchmarks/supernet_training.csv
(what `--only` restricts is printed alone). Run it on a machine that does nothing else.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from provenance import made_by, run
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.files import write_text
from evo_fair.nets import Supernet, train_supernet
from evo_fair.nets.augment import augment
from evo_fair.nets.channels import sort_channels
from evo_fair.nets.inputs import input_statistics
from evo_fair.nets.recipe import one_cycle, optimiser
from evo_fair.nets.threads import torch_threads
from evo_fair.nets.train import full_size, gradients
from evo_fair.problem import Training, load_problem
from evo_fair.proxy import calibration_samples, predict_labels
from evo_fair.space import SearchSpace

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "supernet_training.csv"
CORES = os.cpu_count() or 1
COLUMNS = ("section", "what", "how", "value", "unit", "times")
Row = tuple[str, str, str, float, str, float]


def main() -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of HAM10000")
    parser.add_argument("--steps", type=int, default=12, help="of a short epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=0, help="whole ones, to compare accuracies after; 0 for none")
    parser.add_argument("--only", choices=["loops", "parts", "accuracy"])
    arguments = parser.parse_args()
    if min(arguments.steps, arguments.rounds) < 1:
        raise EvoFairError(f"steps {arguments.steps} and rounds {arguments.rounds}: give 1 or more of each")
    if arguments.epochs < (arguments.only == "accuracy"):
        raise EvoFairError(
            f"epochs {arguments.epochs} is too few: give --epochs 1 or more, or leave out --only accuracy"
        )
    problem = load_problem("ham10000", data=arguments.data)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    rows: list[Row] = []
    if arguments.only in (None, "loops"):
        rows += loops(space, dataset, problem.training, arguments.steps, arguments.rounds)
    if arguments.only in (None, "parts"):
        rows += parts(space, dataset, problem.training)
    if arguments.epochs and arguments.only in (None, "accuracy"):
        rows += accuracies(space, dataset, problem.training, arguments.epochs)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*row[:3], f"{row[3]:.4g}", row[4], f"{row[5]:.2f}" if row[5] else "")
    Console(width=140).print(table)
    if arguments.only:
        return
    options = f"--steps {arguments.steps} --rounds {arguments.rounds} --epochs {arguments.epochs}"
    head = f"# {made_by(f'python benchmarks/supernet_training.py --data DIR {options}', ('torch', 'numpy'))}"
    lines = [
        f"{a},{b},{c},{value:.4g},{unit},{f'{times:.2f}' if times else ''}" for a, b, c, value, unit, times in rows
    ]
    write_text(OUT, "\n".join([head, ",".join(COLUMNS), *lines]) + "\n")


def plain_supernet(
    space: SearchSpace, inputs: Any, labels: Any, recipe: Training, seed: int, threads: int = CORES
) -> Supernet:
    """`train_supernet` the plain way: the same draws, hence the same networks and batches, and the same mathematics."""
    rng = np.random.default_rng(seed)
    mean, scale = input_statistics(inputs)
    supernet = Supernet.initialise(space, torch.Generator().manual_seed(int(rng.integers(2**63))), mean, scale)
    weights = [tensor.requires_grad_() for tensor in supernet.weights.values()]
    sgd = optimiser(weights, recipe)
    batch = min(recipe.batch_size, len(labels))
    steps_an_epoch = len(labels) // batch
    steps = recipe.epochs * steps_an_epoch
    warmup = round(steps * recipe.warmup_fraction)
    with torch_threads(threads):
        for epoch in range(recipe.epochs):
            order = rng.permutation(len(labels))
            for number in range(steps_an_epoch):
                step = epoch * steps_an_epoch + number
                if step == warmup and warmup:
                    sort_channels(supernet)
                    sgd.state.clear()
                chosen = np.sort(order[number * batch : (number + 1) * batch])
                x = supernet.normalise(augment(inputs[chosen], recipe.augment, rng)).contiguous()  # NCHW
                y = torch.from_numpy(labels[chosen])
                genomes = [space.largest()]
                if step < warmup:
                    genomes.append(full_size(space, rng))
                else:
                    genomes += [*space.sample(rng, recipe.random_networks), space.smallest()]
                for group in sgd.param_groups:
                    group["lr"] = recipe.learning_rate * one_cycle(step, steps)
                for weight in weights:
                    weight.grad = torch.zeros_like(weight)  # a weight that no network of the step has decays, too
                logits = supernet.forward(x, space.architecture(genomes[0]))
                functional.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing).backward()
                target = logits.detach().softmax(1)
                for genome in genomes[1:]:
                    functional.cross_entropy(supernet.forward(x, space.architecture(genome)), target).backward()
                sgd.step()
    for weight in weights:
        weight.requires_grad_(False)
    sort_channels(supernet, within_levels=True)
    return supernet


def loops(space: SearchSpace, dataset: Dataset, recipe: Training, steps: int, rounds: int) -> list[Row]:
    """Seconds of a whole epoch, from short epochs after the warm-up, ours and plain in turn."""
    train = dataset.part("train")
    few = train[: steps * recipe.batch_size]
    whole = len(train) // recipe.batch_size
    short = recipe.model_copy(update={"epochs": 1, "warmup_fraction": 0.0})
    ways: dict[str, Callable[..., Supernet]] = {
        "evo_fair": train_supernet,
        f"plain loop {CORES} threads": plain_supernet,
        "plain loop 1 thread": partial(plain_supernet, threads=1),
    }
    clocks = {"elapsed": time.perf_counter, "processor": time.process_time}
    times: dict[tuple[str, str], list[float]] = {(name, clock): [] for name in ways for clock in clocks}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = {clock: now() for clock, now in clocks.items()}
            way(space, dataset.inputs[few], dataset.labels[few], short, number)
            if number:  # the first only wakes everything
                for clock, now in clocks.items():
                    times[name, clock].append((now() - started[clock]) / steps * whole)
    rows: list[Row] = []
    for how, summary in (("median", statistics.median), ("best", min)):
        for (name, clock), found in times.items():
            ours = summary(times["evo_fair", clock])
            rows.append(("loop", name, f"{how} {clock}", summary(found), "s/epoch", summary(found) / ours))
    return rows


def accuracies(space: SearchSpace, dataset: Dataset, recipe: Training, epochs: int) -> list[Row]:
    """Validation accuracies after the same number of whole epochs, and the seconds that these took."""
    short = recipe.model_copy(update={"epochs": epochs})
    train, validation = dataset.part("train"), dataset.part("validation")
    rows: list[Row] = []
    for name, way in (("evo_fair", train_supernet), ("plain loop", plain_supernet)):
        started = time.perf_counter()
        supernet = way(space, dataset.inputs[train], dataset.labels[train], short, recipe.seed)
        rows.append(("accuracy", name, f"{epochs} epochs", time.perf_counter() - started, "s", 0.0))
        for which, genome in (("largest", space.largest()), ("smallest", space.smallest())):
            network = supernet.extract(genome)
            network.calibrate(supernet.normalise(dataset.inputs[calibration_samples(dataset, 512)]))
            predicted = predict_labels(network, supernet.normalise(dataset.inputs[validation]))
            right = float((predicted == dataset.labels[validation]).mean())
            rows.append(("accuracy", name, f"{which} network", right, "share", 0.0))
    return rows


LAYERS = (  # what, input channels, output channels, kernel, stride, input size, depthwise
    ("stem 3x3", 3, 24, 3, 2, 64, False),
    ("3x3 stride 2", 24, 32, 3, 2, 32, False),
    ("3x3", 32, 32, 3, 1, 16, False),
    ("1x1 expand", 24, 96, 1, 1, 32, False),
    ("1x1 project", 96, 32, 1, 1, 16, False),
    ("depthwise 3x3", 96, 96, 3, 1, 16, True),
    ("depthwise 5x5", 96, 96, 5, 1, 16, True),
    ("depthwise 5x5 stride 2", 96, 96, 5, 2, 32, True),
)
FORMS = (
    ("NCHW fp32", torch.contiguous_format, torch.float32),
    ("channels-last fp32", torch.channels_last, torch.float32),
    ("channels-last bf16", torch.channels_last, torch.bfloat16),
)


def parts(space: SearchSpace, dataset: Dataset, recipe: Training) -> list[Row]:
    """Milliseconds of layers by layout and type, and of what a step does; `times` is NCHW's over this one's."""
    rows: list[Row] = []
    with torch_threads(1):
        for layer in LAYERS:
            found = [(form, part, ms) for form, layout, kind in FORMS for part, ms in _convolution(layer, layout, kind)]
            slow = {part: ms for form, part, ms in found if form == FORMS[0][0]}
            rows += [("layer", f"{layer[0]} {part}", form, ms, "ms", slow[part] / ms) for form, part, ms in found]
        found = [(form, part, ms) for form, layout, _ in FORMS[:2] for part, ms in _batch_norm(layout)]
        slow = {part: ms for form, part, ms in found if form == FORMS[0][0]}
        rows += [("layer", part, form, ms, "ms", slow[part] / ms) for form, part, ms in found]
        rows += _step(space, dataset, recipe)
    return rows


def _convolution(layer: tuple[Any, ...], layout: torch.memory_format, kind: torch.dtype) -> list[tuple[str, float]]:
    _, c_in, c_out, kernel, stride, size, depthwise = layer
    groups = c_in if depthwise else 1
    x = torch.randn(64, c_in, size, size).to(kind, memory_format=layout)
    weight = torch.randn(c_out, c_in // groups, kernel, kernel).to(kind, memory_format=layout)
    padding = [kernel // 2] * 2
    gradient = torch.randn_like(functional.conv2d(x, weight, None, stride, kernel // 2, 1, groups))

    def backward(data: bool, weights: bool) -> Callable[[], Any]:
        strides, mask = [stride] * 2, [data, weights, False]
        return lambda: torch.ops.aten.convolution_backward(
            gradient, x, weight, None, strides, padding, [1, 1], False, [0, 0], groups, mask
        )

    return [
        ("forward", _best(lambda: functional.conv2d(x, weight, None, stride, kernel // 2, 1, groups))),
        ("gradient of inputs", _best(backward(True, False))),
        ("gradient of weights", _best(backward(False, True))),
    ]


def _batch_norm(layout: torch.memory_format) -> list[tuple[str, float]]:
    x = torch.randn(64, 96, 32, 32).to(memory_format=layout).requires_grad_()
    gamma, beta = torch.ones(96, requires_grad=True), torch.zeros(96, requires_grad=True)

    def forward() -> torch.Tensor:
        return functional.relu(functional.batch_norm(x, None, None, gamma, beta, training=True))

    y = forward()
    gradient = torch.randn_like(y)
    return [
        ("batch norm and ReLU forward", _best(forward)),
        (
            "batch norm and ReLU backward",
            _best(lambda: torch.autograd.grad(y, [x, gamma, beta], gradient, retain_graph=True)),
        ),
    ]


def _step(space: SearchSpace, dataset: Dataset, recipe: Training) -> list[Row]:
    """What a whole step is made of."""
    rng = np.random.default_rng(0)
    inputs, labels = dataset.inputs[: recipe.batch_size], torch.from_numpy(dataset.labels[: recipe.batch_size].copy())
    mean, scale = input_statistics(inputs)
    supernet = Supernet.initialise(space, torch.Generator().manual_seed(0), mean, scale)
    weights = [weight.requires_grad_() for weight in supernet.weights.values()]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    sgd = optimiser(weights, recipe)
    x = supernet.normalise(inputs)
    genomes = [space.largest(), *space.sample(rng, recipe.random_networks), space.smallest()]
    rows: list[Row] = []
    with ThreadPoolExecutor(CORES) as pool:
        for name, way in (
            ("forward and backward of the networks", lambda: gradients(pool, supernet, x, labels, genomes, 0.1)),
            ("augmentation", lambda: augment(inputs, recipe.augment, rng)),
            ("normalisation", lambda: supernet.normalise(inputs)),
            ("optimiser", sgd.step),
        ):
            rows.append(("step", name, "", _best(way), "ms", 0.0))
    return rows


def _best(run: Callable[[], Any], repeats: int = 5) -> float:
    """Milliseconds of processor time of the cheapest of several calls, after one that is not measured."""
    run()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return 1e3 * min(times)


if __name__ == "__main__":
    run(main)
