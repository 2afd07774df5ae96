"""How well latency is predicted for networks that a fit did not see, beside a plain non-negative least squares.

    python benchmarks/latency_accuracy.py --data DIR [--this-machine latency_this_machine]

DIR holds a folder a board, each with `layers.csv` and `latency.csv`. Writes results/benchmarks/latency_accuracy.csv.
Folds are drawn by network: five of them, the median of ten shuffles, the same for both models.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from evo_fair.files import write_text
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.validation import Scores, score
from evo_fair.layers import Op

SHUFFLES, FOLDS = 10, 5
OUT = Path(__file__).parent.parent / "results" / "benchmarks" / "latency_accuracy.csv"
FAMILIES = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3", "efficientnet-lite")

Predict = Callable[[np.ndarray], np.ndarray]
Fitter = Callable[[Measurements, float], Predict]


def main() -> None:
    """Runs every row, prints the table and writes the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EVO_FAIR_LATENCY_DATA"))
    parser.add_argument("--this-machine", type=Path, help="a folder written by latency_this_machine.py")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data, the folder with a folder a board")
    boards = {folder.name: folder for folder in sorted(arguments.data.iterdir()) if (folder / "layers.csv").is_file()}

    def board(name: str) -> Measurements:
        return read_measurements(boards[name] / "layers.csv", boards[name] / "latency.csv")

    pi4, ops = board("raspberry-pi-4-tflite-fp32"), board("raspberry-pi-4-fbnet-ops")
    rows = [
        _row("raspberry-pi-4, TFLite fp32", "3.5 / 95 / 0.995", folds, pi4),
        _row("raspberry-pi-4-int8, TFLite", "3.5 / 97 / -", folds, board("raspberry-pi-4-tflite-int8"), 1.0),
        _row("odroid-n2-plus, TFLite fp32", "4 / 95 / -", folds, board("odroid-n2-plus-tflite-fp32")),
        _row("NAS-Bench-201 on Pi 4, 100 to fit", "6 / 85 / -", few_to_fit, board("raspberry-pi-4-nb201")),
        _row("family never seen, Pi 4 fp32", "8 / - / -", families, pi4),
        _row("Pi 4 operators (FBNet)", "12 / - / -", folds, ops),
        _row("Pi 4 operators -> whole networks", "9 / - / 0.99", lambda f, m, b: transfer(f, ops, m, b), pi4),
        _row("pixel-1 blocks", "3 / - / -", folds, board("pixel-1-mbconv-ops")),
        _row("odroid-xu4 layers", "6.5 / - / -", folds, board("odroid-xu4-family-caffe")),
    ]
    if arguments.this_machine:
        own = read_measurements(arguments.this_machine / "layers.csv", arguments.this_machine / "latency.csv")
        rows.append(_row("this machine, ONNX Runtime, 1 thread", "4.5 / 90 / 0.985", folds, own))
    asked = {"raspberry-pi-4-tflite-fp32", "raspberry-pi-4-tflite-int8", "odroid-n2-plus-tflite-fp32",
             "raspberry-pi-4-fbnet-ops", "pixel-1-mbconv-ops", "odroid-xu4-family-caffe"}  # fmt: skip
    others = [name for name in boards if name not in asked and "nb201" not in name]
    rows += [_row(name, "", folds, board(name), 1.0 if "int8" in name else 4.0) for name in others]
    rows.append(_row("NAS-Bench-201 on Pixel 3, 100 to fit", "", few_to_fit, board("pixel-3-nb201")))
    _print(rows)
    _write(rows)


def our_model(measured: Measurements, bytes_per_value: float) -> Predict:
    """evo_fair's fit."""
    model = fit_model(measured, bytes_per_value).model
    return lambda table: network_ms(model, table)


def plain_model(measured: Measurements, _: float) -> Predict:
    """Non-negative least squares of the relative error on MACs by operator, bytes moved, layers and a constant."""
    features = _plain_features(measured.table) / measured.latency_ms[:, None]
    scale = features.max(axis=0) + 1e-30
    prices = nnls(features / scale, np.ones(len(features)))[0] / scale
    return lambda table: np.maximum(_plain_features(table) @ prices, 1e-9)


def _plain_features(table: np.ndarray) -> np.ndarray:
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


def folds(fitter: Fitter, measured: Measurements, bytes_per_value: float) -> Scores:
    """Five folds by network, the median of ten shuffles."""
    results = []
    n = len(measured.names)
    for shuffle in range(SHUFFLES):
        predicted = np.empty(n)
        for held_out in np.array_split(np.random.default_rng(shuffle).permutation(n), FOLDS):
            seen = np.setdiff1d(np.arange(n), held_out)
            predicted[held_out] = fitter(measured.part(seen), bytes_per_value)(measured.table[held_out])
        results.append(score(predicted, measured.latency_ms))
    return _median(results)


def few_to_fit(fitter: Fitter, measured: Measurements, bytes_per_value: float) -> Scores:
    """100 random networks to fit, the rest to test, the median of ten draws."""
    results = []
    for shuffle in range(SHUFFLES):
        order = np.random.default_rng(shuffle).permutation(len(measured.names))
        seen, rest = order[:100], order[100:]
        predicted = fitter(measured.part(seen), bytes_per_value)(measured.table[rest])
        results.append(score(predicted, measured.latency_ms[rest]))
    return _median(results)


def families(fitter: Fitter, measured: Measurements, bytes_per_value: float) -> Scores:
    """Each family in turn left out of the fit; the mean over the families."""
    results = []
    for family in FAMILIES:
        out = np.array([name.startswith(family) for name in measured.names])
        predict = fitter(measured.part(np.flatnonzero(~out)), bytes_per_value)
        results.append(score(predict(measured.table[out]), measured.latency_ms[out]))
    return _median(results, np.mean)


def transfer(fitter: Fitter, source: Measurements, target: Measurements, bytes_per_value: float) -> Scores:
    """A fit to operators predicts whole networks of another runtime, up to the one factor that suits them best."""
    ratio = fitter(source, bytes_per_value)(target.table) / target.latency_ms
    factor = min(1 / ratio, key=lambda candidate: np.abs(candidate * ratio - 1).mean())
    return score(factor * ratio * target.latency_ms, target.latency_ms)


def _median(results: list[Scores], average: Callable[[list[float]], float] = np.median) -> Scores:
    values = {name: average([result.as_dict()[name] for result in results]) for name in results[0].as_dict()}
    return Scores(
        **{**values, "networks": int(sum(r.networks for r in results) if average is np.mean else results[0].networks)}
    )


def _row(name: str, asked: str, protocol: Callable, measured: Measurements, bytes_per_value: float = 4.0) -> dict:
    started = time.perf_counter()
    ours, plain = (protocol(fitter, measured, bytes_per_value) for fitter in (our_model, plain_model))
    print(f"{name}: {ours.mape:.2f} % ({time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    return {"row": name, "protocol": protocol.__name__.strip("<>"), "asked": asked, "networks": ours.networks} | {
        f"{who}{what}": round(getattr(scores, field), 4)
        for who, scores in (("", ours), ("plain_", plain))
        for what, field in (
            ("mape", "mape"),
            ("within_10", "within_10_percent"),
            ("spearman", "spearman"),
            ("kendall", "kendall"),
        )
    }


def _print(rows: list[dict]) -> None:
    table = Table("what", "networks", "asked: MAPE / <= 10 % / Spearman", "reached", "plain least squares")
    for row in rows:
        figures = [
            f"{row[w + 'mape']:.2f} / {row[w + 'within_10']:.1f} / {row[w + 'spearman']:.4f}" for w in ("", "plain_")
        ]
        table.add_row(row["row"], str(row["networks"]), row["asked"], *figures)
    Console().print(table)


def _write(rows: list[dict]) -> None:
    command = "python benchmarks/latency_accuracy.py " + " ".join(
        a if a.startswith("--") else Path(a).name for a in sys.argv[1:]
    )
    versions = " ".join(f"{name} {version(name)}" for name in ("evo-fair", "numpy", "scipy", "numba"))
    lines = [f"# {command}; {versions}; Python {platform.python_version()}; {os.cpu_count()} cores; {date.today()}"]
    lines.append(",".join(rows[0]))
    lines += [",".join(f'"{value}"' if "," in str(value) else str(value) for value in row.values()) for row in rows]
    write_text(OUT, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
