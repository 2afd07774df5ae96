"""How far measurements that ought to agree differ, where predictions miss their aim.

    python benchmarks/latency_floor.py --data DIR

DIR holds a folder a board, as for latency_accuracy.py. For NAS-Bench-201: what remains for predictors that know more
than a fit to 100 networks may (the cell's graph, the latencies of all other networks, or the answers). For the int8
networks of the Raspberry Pi 4: errors of single networks when others are left out of the fit. Writes
results/benchmarks/latency_floor.csv.
"""

import argparse
import csv
import io
import itertools
import os
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from provenance import made_by, run
from scipy.optimize import linprog
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold, cross_val_predict

from evo_fair.errors import ProfileError
from evo_fair.files import write_text
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.model import network_ms
from evo_fair.layers import LayerTable, Op

OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "latency_floor.csv"
OPERATORS = "s13p"  # skip, 1x1 and 3x3 convolution, average pooling; `n` is no edge
SMALLEST = ("0.5-96", "0.35-96", "0.35-128")

Array = np.ndarray
Row = dict[str, Any]


def main() -> None:
    """Writes every row and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EVO_FAIR_LATENCY_DATA"))
    data = parser.parse_args().data
    if data is None:
        parser.error("give --data, the folder with a folder a board")

    def board(name: str) -> Measurements:
        return read_measurements(Path(data) / name / "layers.csv", Path(data) / name / "latency.csv")

    rows = [
        *cell_rows("Pi 4", board("raspberry-pi-4-nb201")),
        *cell_rows("Pixel 3", board("pixel-3-nb201")),
        *small_rows(board("raspberry-pi-4-tflite-int8")),
    ]
    text = io.StringIO()
    packages = ("numpy", "scipy", "scikit-learn", "numba")
    text.write(f"# {made_by('python benchmarks/latency_floor.py --data', packages)}\n")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(OUT, text.getvalue())


def make_row(what: str, predicted: Array, measured: Array) -> Row:
    """One row of the table: networks, MAPE, percent within 10 % and the median error, signed."""
    error = 100 * (predicted / measured - 1)
    row = {
        "what": what,
        "networks": len(error),
        "mape": round(float(np.abs(error).mean()), 2),
        "within_10_percent": round(float((np.abs(error) <= 10).mean() * 100), 1),
        "median_error": round(float(np.median(error)), 2),
    }
    print(*row.values(), sep="; ", flush=True)
    return row


def cell_rows(device: str, measured: Measurements) -> list[Row]:
    """What is left of NAS-Bench-201's scatter for predictors that know more than a fit to 100 networks."""
    cells, ms = cells_of(measured), measured.latency_ms
    counts = np.array([[cell.count(operator) for operator in OPERATORS] for cell in cells], float)
    edges = np.array([[edge == operator for edge in cell for operator in OPERATORS] for cell in cells], float)
    equal = ["".join(sorted(cell)) for cell in cells]
    by_count, most_near = of_others(equal, ms, np.median), of_others(equal, ms, crowded)
    by_graph = of_others([(graph_of(cell), key) for cell, key in zip(cells, equal, strict=True)], ms, np.median)
    twins, known = ~np.isnan(by_graph), ~np.isnan(by_count)
    told = network_ms(fit_model(measured).model, measured.table)
    linear = told_linear(np.column_stack([counts[:, 1:], np.ones(len(ms))]), ms)
    order = np.random.default_rng(0).permutation(len(ms))
    start = f"NAS-Bench-201 on {device}: "
    return [
        make_row(f"{start}the model fitted to nine tenths", nine_tenths(measured), ms),
        make_row(f"{start}the model fitted to all, told the answers", told, ms),
        *(
            make_row(f"{start}the same, {n} 3x3 convolutions a cell", told[chosen], ms[chosen])
            for n in range(5)
            if (chosen := counts[:, 2] == n).any()
        ),
        make_row(f"{start}a price an operator that is best for the MAPE, told the answers", linear, ms),
        make_row(f"{start}forest on counts of operators, ten folds", forest(counts, ms, order), ms),
        make_row(f"{start}forest on whole cells, ten folds", forest(np.hstack([edges, counts]), ms, order), ms),
        make_row(f"{start}median of all others of equal counts", by_count[known], ms[known]),
        make_row(f"{start}the value with most of them within 10 %", most_near[known], ms[known]),
        make_row(f"{start}median of others of the same graph and operators", by_graph[twins], ms[twins]),
        make_row(f"{start}the same networks, median of equal counts", by_count[twins], ms[twins]),
    ]


def cells_of(measured: Measurements) -> list[str]:
    """Six letters a network, its cell's edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3: more than a layer table tells.

    From the number in the name: the benchmark numbers all cells in one shuffled order (Dong and Yang 2020, their
    generate_meta_info). Raises ProfileError unless every cell's operators are the layers that its network starts with.
    """
    every = ["".join(cell) for cell in itertools.product("n" + OPERATORS, repeat=6)]
    random.Random(88).shuffle(every)
    cells = [every[int(name.removeprefix("nb201-"))] for name in measured.names]
    for name, cell, layers in zip(measured.names, cells, measured.table, strict=True):
        if first_cell(layers) != cell.replace("s", "").replace("n", ""):
            raise ProfileError(f"the layers of {name} are not those of its cell {cell}: the numbers have another order")
    return cells


def first_cell(layers: LayerTable) -> str:
    """The operators of the first cell from a network's layers int32 `[layers, 8]`: what comes between stem and add."""
    inner = itertools.takewhile(lambda layer: layer[0] in (Op.CONV, Op.POOL), layers[1:])
    return "".join("p" if layer[0] == Op.POOL else str(layer[3]) for layer in inner)


def graph_of(cell: str) -> str:
    """What a cell computes, written so that cells that compute the same (up to weights) read the same."""
    nodes = ["x"]
    for edges in (cell[:1], cell[1:3], cell[3:]):
        nodes.append("+".join(sorted(n if e == "s" else f"{e}({n})" for e, n in zip(edges, nodes, strict=True))))
        nodes[-1] = f"[{nodes[-1]}]" if len(edges) > 1 else nodes[-1]
    return nodes[-1]


def of_others(keys: Sequence[Hashable], ms: Array, centre: Callable[[Array], float]) -> Array:
    """For each network the centre of the others with its key; NaN where it has none."""
    alike = defaultdict(list)
    for i, key in enumerate(keys):
        alike[key].append(i)
    predicted = np.full(len(ms), np.nan)
    for i, key in enumerate(keys):
        if others := [j for j in alike[key] if j != i]:
            predicted[i] = centre(ms[others])
    return predicted


def crowded(ms: Array) -> float:
    """The value that has the most of these within 10 %; the middle one where several do."""
    candidates = np.linspace(0.9 * ms.min(), 1.1 * ms.max(), 400)
    near = (np.abs(candidates[:, None] / ms - 1) <= 0.1).sum(axis=1)
    return float(np.median(candidates[near == near.max()]))


def told_linear(features: Array, ms: Array) -> Array:
    """The sum of features that has the least mean absolute relative error on its own data (a linear programme)."""
    relative, n = features / ms[:, None], len(ms)
    above = np.vstack([np.hstack([relative, -np.eye(n)]), np.hstack([-relative, -np.eye(n)])])
    cost, limits = np.repeat([0.0, 1.0], [features.shape[1], n]), np.repeat([1.0, -1.0], n)
    free = [(None, None)] * features.shape[1] + [(0, None)] * n
    return features @ linprog(cost, above, limits, bounds=free, method="highs").x[: features.shape[1]]


def forest(features: Array, ms: Array, order: Array) -> Array:
    """Out-of-fold predictions of a random forest on the logarithm of milliseconds."""
    model = RandomForestRegressor(300, min_samples_leaf=3, random_state=0)
    predicted = np.empty(len(ms))
    predicted[order] = np.exp(cross_val_predict(model, features[order], np.log(ms[order]), cv=KFold(10)))
    return predicted


def nine_tenths(measured: Measurements) -> Array:
    """Out-of-fold predictions of the project's own model, ten folds."""
    predicted = np.empty(len(measured.names))
    for held_out in np.array_split(np.random.default_rng(0).permutation(len(predicted)), 10):
        seen = np.setdiff1d(np.arange(len(predicted)), held_out)
        predicted[held_out] = network_ms(fit_model(measured.part(seen)).model, measured.table[held_out])
    return predicted


def small_rows(measured: Measurements) -> list[Row]:
    """The smallest MobileNet-v2, each predicted by fits without it and without any choice of the others."""
    index = {size: measured.names.index(f"mobilenet-v2-{size}-quantized") for size in SMALLEST}
    rows = []
    for size in SMALLEST:
        others = [other for other in SMALLEST if other != size]
        for left_out in itertools.chain.from_iterable(itertools.combinations(others, n) for n in range(3)):
            seen = np.setdiff1d(np.arange(len(measured.names)), [index[name] for name in (size, *left_out)])
            model = fit_model(measured.part(seen), 1.0).model
            one = [index[size]]
            what = f"Pi 4 int8: mobilenet-v2-{size}, fitted without it" + "".join(f" and {name}" for name in left_out)
            rows.append(make_row(what, network_ms(model, measured.table[one]), measured.latency_ms[one]))
    return rows


if __name__ == "__main__":
    run(main)
