"""How well latency is predicted for networks that a fit did not see, beside a plain non-negative least squares.

    python benchmarks/latency_accuracy.py --data DIR [--here]

DIR holds a folder a board, each with `layers.csv` and `latency.csv`; `--here` also times this machine with ONNX Runtime
(on one thread; it should do nothing else). Folds are drawn by network, those with the same layers together: five of
them, the median of ten shuffles, the same for both models. Writes results/benchmarks/latency_accuracy.csv.
"""

import argparse
import csv
import io
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from evo_fair.files import write_text
from evo_fair.latency.campaign import make_campaign
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.this_machine import calibrate_this_machine
from evo_fair.latency.validation import Agreement, score
from evo_fair.layers import Op
from evo_fair.problem import load_problem

SHUFFLES, FOLDS = 10, 5
OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "latency_accuracy.csv"
FAMILIES = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3", "efficientnet-lite")
FIGURES = ("mape", "within_10_percent", "spearman", "kendall")

Array = np.ndarray
Predict = Callable[[Array], Array]
Fitter = Callable[[Measurements], Predict]
Protocol = Callable[[Fitter, Measurements], Agreement]
Row = dict[str, Any]


def main() -> None:
    """Runs every row, prints the table and writes the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EVO_FAIR_LATENCY_DATA"))
    parser.add_argument("--here", action="store_true", help="also time this machine")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data, the folder with a folder a board")
    rows = [*board_rows(Path(arguments.data)), *(own_rows() if arguments.here else ())]
    table = Table("what", "networks", "asked: MAPE, <= 10 %, Spearman", "reached", "plain least squares")
    for row in rows:
        reached, plain = (
            f"{row[w + 'mape']:.2f} %, {row[w + 'within_10_percent']:.1f} %, {row[w + 'spearman']:.4f}"
            for w in ("", "plain_")
        )
        table.add_row(row["what"], str(row["networks"]), row["asked"], reached, plain)
    Console(width=140).print(table)
    write_rows(rows)


def board_rows(folder: Path) -> list[Row]:
    """The rows that measurements by others give."""

    def board(name: str) -> Measurements:
        return read_measurements(folder / name / "layers.csv", folder / name / "latency.csv")

    pi4, operators = board("raspberry-pi-4-tflite-fp32"), board("raspberry-pi-4-fbnet-ops")
    searched = board("raspberry-pi-4-nb201")
    rows = [
        make_row("raspberry-pi-4, TFLite fp32", "3.5 %, 95 %, 0.995", folds, pi4),
        make_row("raspberry-pi-4-int8, TFLite", "3.5 %, 97 %", folds, board("raspberry-pi-4-tflite-int8"), 1.0),
        make_row("odroid-n2-plus, TFLite fp32", "4 %, 95 %", folds, board("odroid-n2-plus-tflite-fp32")),
        make_row("NAS-Bench-201 on Pi 4, 100 to fit", "6 %, 85 %", few_to_fit, searched),
        make_row("the same, any function of layer counts told the answers", "", told_the_answers, searched),
        make_row("family never seen, Pi 4 fp32", "8 %", families, pi4),
        make_row("Pi 4 operators (FBNet)", "12 %", folds, operators),
        make_row("Pi 4 operators -> whole networks", "9 %, -, 0.99", lambda f, m: transfer(f, operators, m), pi4),
        make_row("pixel-1 blocks", "3 %", folds, board("pixel-1-mbconv-ops")),
        make_row("odroid-xu4 layers", "6.5 %", folds, board("odroid-xu4-family-caffe")),
        make_row("NAS-Bench-201 on Pixel 3, 100 to fit", "", few_to_fit, board("pixel-3-nb201")),
    ]
    done = {"raspberry-pi-4-tflite-fp32", "raspberry-pi-4-tflite-int8", "odroid-n2-plus-tflite-fp32"}
    done |= {"raspberry-pi-4-fbnet-ops", "pixel-1-mbconv-ops", "odroid-xu4-family-caffe"}
    others = sorted(path.parent.name for path in folder.glob("*/layers.csv"))
    return rows + [
        make_row(name, "", folds, board(name), 1.0 if "int8" in name else 4.0)
        for name in others
        if name not in done and "nb201" not in name
    ]


def own_rows() -> list[Row]:
    """Times this machine now: a fit to a campaign validated on its 60 held-out networks, and folds within those."""
    campaign = make_campaign(load_problem("ham10000").search_space((3, 64, 64), 7))
    result = calibrate_this_machine("this-machine", campaign)
    measured, apart = result.measured, len(campaign.names) - campaign.held_out
    held_out = measured.part(np.arange(apart, len(campaign.names)))

    def held_out_apart(fitter: Fitter, _: Measurements) -> Agreement:
        return score(fitter(measured.part(np.arange(apart)))(held_out.table), held_out.latency_ms)

    what = "this machine, ONNX Runtime, 1 thread, ham10000 space"
    asked = "4.5 %, 90 %, 0.985"
    steadiness = {"repeatability": f"{result.timings.repeatability:.4f}", "drift": f"{result.timings.drift:.4f}"}
    return [
        make_row(f"{what}: fitted to {apart} others", asked, held_out_apart, held_out) | steadiness,
        make_row(f"{what}: folds within them", asked, folds, held_out) | steadiness,
    ]


def plain_model(measured: Measurements) -> Predict:
    """Non-negative least squares of the relative error on MACs by operator, bytes moved, layers and a constant."""
    features = _plain_features(measured.table) / measured.latency_ms[:, None]
    scale = features.max(axis=0) + 1e-30
    prices = nnls(features / scale, np.ones(len(features)))[0] / scale
    return lambda table: np.maximum(_plain_features(table) @ prices, 1e-9)


def _plain_features(table: Array) -> Array:
    op, c_in, c_out, kernel, stride, groups, h, w = np.moveaxis(table.astype(float), 2, 0)
    stride, groups = np.maximum(stride, 1), np.maximum(groups, 1)
    pixels = np.ceil(h / stride) * np.ceil(w / stride)
    conv, depthwise, linear = op == Op.CONV, op == Op.DEPTHWISE, op == Op.LINEAR
    macs = c_out * (c_in // groups) * kernel**2 * pixels
    weights = np.where(linear, c_in * c_out, np.where(conv | depthwise, c_out * (c_in // groups) * kernel**2, 0))
    moved = (c_in * h * w + c_out * pixels) * (op > 0) + weights
    dense = conv & (groups == 1)
    columns = [
        macs * (dense & (kernel == 1)),
        macs * (dense & (kernel > 1)),
        macs * (conv & (groups > 1)),
        macs * depthwise,
        weights * linear,
        moved,
        1.0 * (op > 0),
    ]
    return np.column_stack([*(column.sum(axis=1) for column in columns), np.ones(len(table))])


def folds(fitter: Fitter, measured: Measurements) -> Agreement:
    """Five folds by network, those with the same layers together, the median of ten shuffles."""
    n = len(measured.names)
    results = []
    for shuffle in range(SHUFFLES):
        predicted = np.empty(n)
        for held_out in measured.folds(FOLDS, shuffle):
            seen = np.setdiff1d(np.arange(n), held_out)
            predicted[held_out] = fitter(measured.part(seen))(measured.table[held_out])
        results.append(score(predicted, measured.latency_ms))
    return _over(results, np.median)


def few_to_fit(fitter: Fitter, measured: Measurements) -> Agreement:
    """100 random networks to fit, the rest to test, the median of ten draws."""
    results = []
    for shuffle in range(SHUFFLES):
        order = np.random.default_rng(shuffle).permutation(len(measured.names))
        seen, rest = order[:100], order[100:]
        results.append(score(fitter(measured.part(seen))(measured.table[rest]), measured.latency_ms[rest]))
    return _over(results, np.median)


def told_the_answers(_: Fitter, measured: Measurements) -> Agreement:
    """What networks with equal layers differ by: one latency, the best one, for all networks of equal layer counts.

    No model that adds up layers, whatever its form and training, does better than this does on its own data.
    """
    alike = defaultdict(list)
    for i, rows in enumerate(measured.table):
        alike[rows[np.lexsort(rows.T)].tobytes()].append(i)
    predicted = np.empty(len(measured.names))
    for index in alike.values():
        ms = measured.latency_ms[index]
        predicted[index] = min(ms, key=lambda candidate: np.abs(candidate / ms - 1).mean())
    return score(predicted, measured.latency_ms)


def families(fitter: Fitter, measured: Measurements) -> Agreement:
    """Each family in turn left out of the fit; the mean over the families."""
    results = []
    for family in FAMILIES:
        out = np.array([name.startswith(family) for name in measured.names])
        predicted = fitter(measured.part(np.flatnonzero(~out)))(measured.table[out])
        results.append(score(predicted, measured.latency_ms[out]))
    return _over(results, np.mean)


def transfer(fitter: Fitter, source: Measurements, target: Measurements) -> Agreement:
    """A fit to operators predicts whole networks of another runtime, up to the one factor that suits them best."""
    ratio = fitter(source)(target.table) / target.latency_ms
    factor = min(1 / ratio, key=lambda candidate: np.abs(candidate * ratio - 1).mean())
    return score(factor * ratio * target.latency_ms, target.latency_ms)


def _over(results: list[Agreement], average: Callable[[list[float]], Any]) -> Agreement:
    return Agreement(results[0].networks, *(float(average([getattr(r, name) for r in results])) for name in FIGURES))


def make_row(what: str, asked: str, protocol: Protocol, measured: Measurements, bytes_per_value: float = 4.0) -> Row:
    """Runs a protocol with both models."""

    def our_model(seen: Measurements) -> Predict:
        model = fit_model(seen, bytes_per_value).model
        return lambda table: network_ms(model, table)

    ours, plain = protocol(our_model, measured), protocol(plain_model, measured)
    print(f"{what}: {ours.mape:.2f} %", file=sys.stderr, flush=True)
    row: Row = {"what": what, "networks": len(measured.names), "asked": asked}
    for who, scores in (("", ours), ("plain_", plain)):
        row |= {f"{who}{name}": round(getattr(scores, name), 4) for name in FIGURES}
    return row | {"repeatability": "", "drift": ""}


def write_rows(rows: list[Row]) -> None:
    """Writes the CSV below a line that says how it was made."""
    flags = [argument for argument in sys.argv[1:] if argument.startswith("--")]
    versions = " ".join(f"{name} {version(name)}" for name in ("evo-fair", "numpy", "scipy", "numba", "onnxruntime"))
    text = io.StringIO()
    text.write(
        f"# python benchmarks/latency_accuracy.py {' '.join(flags)}; {versions}; Python {platform.python_version()}; "
        f"{os.cpu_count()} cores; {date.today()}\n"
    )
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(OUT, text.getvalue())


if __name__ == "__main__":
    main()
