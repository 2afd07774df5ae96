"""Times ONNX networks on this machine; needs onnxruntime and numpy only, and is copied into a kit as measure.py.

    python3 measure.py [--threads 1] [--minutes 5]

Every round visits all networks once, in an order of its own, so that whatever slows the machine for a while slows all
of them; a visit is a few runs after one that warms up; a network's latency is the median over rounds. Writes
latency.csv beside the folder `networks`, and says how far rounds disagree and whether the machine drifted.
"""

import argparse
import csv
import os
import sys
import time
from pathlib import Path

import numpy as np

__all__ = ["Timings", "measure", "open_session", "pin", "write_csv"]

VISIT_MS = 4.0  # how long a visit runs a network that is faster than that
MOST_RUNS = 50
MOST_ROUNDS = 25
FEWEST_ROUNDS = 5


class Timings:
    """Milliseconds by round and network, float64 [rounds, networks], with what they say of themselves."""

    def __init__(self, names, rounds):
        """`rounds`: lists of milliseconds, one a network."""
        self.names = list(names)
        self.rounds = np.asarray(rounds, dtype=np.float64)

    @property
    def latency_ms(self):
        """The median over rounds, [networks]."""
        return np.median(self.rounds, axis=0)

    @property
    def spread(self):
        """Half the range between quartiles over the median, [networks]."""
        low, high = np.percentile(self.rounds, [25, 75], axis=0)
        return (high - low) / 2 / self.latency_ms

    @property
    def repeatability(self):
        """The mean relative difference between the medians of odd and of even rounds."""
        if len(self.rounds) < 2:
            return float("nan")
        first, second = np.median(self.rounds[::2], axis=0), np.median(self.rounds[1::2], axis=0)
        return float(np.mean(np.abs(first - second) / self.latency_ms))

    @property
    def drift(self):
        """By how much the slowest third of the time, as a whole, exceeds the fastest: 0 for a steady machine."""
        relative = (self.rounds / self.latency_ms).mean(axis=1)
        thirds = [part.mean() for part in np.array_split(relative, 3) if len(part)]
        return float(max(thirds) / min(thirds) - 1)


def pin(threads):
    """Keeps this process on the first `threads` processors that it may use, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(allowed[:threads]))


def open_session(model, threads):
    """An ONNX Runtime session on the CPU for a model's bytes or path, with a fixed number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(sessions, minutes, progress=lambda done, total: None, most_rounds=MOST_ROUNDS, seed=0):
    """Times sessions by name, interleaved, for at most `minutes`; returns `Timings`."""
    names = list(sessions)
    generator = np.random.default_rng(seed)
    feeds = {}
    for name, session in sessions.items():
        feeds[name] = {
            value.name: generator.standard_normal([size if isinstance(size, int) else 1 for size in value.shape]).astype(
                np.float32
            )
            for value in session.get_inputs()
        }
    started = time.perf_counter()
    first = {name: _visit(sessions[name], feeds[name], 1) for name in names}
    runs = {name: int(min(max(VISIT_MS / max(first[name], 1e-6), 3), MOST_RUNS)) for name in names}
    rounds = []
    while len(rounds) < most_rounds:
        begun = time.perf_counter()
        times = {}
        for i in generator.permutation(len(names)):
            times[names[i]] = _visit(sessions[names[i]], feeds[names[i]], runs[names[i]])
        rounds.append([times[name] for name in names])
        took = time.perf_counter() - begun
        left = 60 * minutes - (time.perf_counter() - started)
        progress(len(rounds), min(most_rounds, len(rounds) + max(0, int(left / took))))
        if len(rounds) >= FEWEST_ROUNDS and left < took:
            break
    return Timings(names, rounds)


def _visit(session, feed, runs):
    """The median of `runs` runs after one that warms up, in milliseconds."""
    session.run(None, feed)
    times = []
    for _ in range(runs):
        started = time.perf_counter_ns()
        session.run(None, feed)
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times)) / 1e6


def write_csv(path, timings):
    """Writes latency.csv by way of a temporary file."""
    temporary = "{}.tmp".format(path)
    with open(temporary, "w", newline="") as stream:  # noqa: PTH123
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["network", "latency_ms"])
        writer.writerows((name, "%.6f" % ms) for name, ms in zip(timings.names, timings.latency_ms))
    os.replace(temporary, str(path))  # noqa: PTH105


def main():
    """Times the networks of the kit that this file lies in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent
    files = sorted((here / "networks").glob("*.onnx"))
    if not files:
        sys.exit("no networks/*.onnx beside measure.py: copy the whole kit")
    pin(arguments.threads)
    sessions = {}
    for done, path in enumerate(files, 1):
        sessions[path.stem] = open_session(str(path), arguments.threads)
        _say("loading {}/{}".format(done, len(files)))
    timings = measure(sessions, arguments.minutes, lambda done, total: _say("round {}/{}".format(done, total)))
    write_csv(here / "latency.csv", timings)
    _say("")
    sys.stdout.write(
        "{} networks, {} rounds: repeatability {:.1%}, median spread {:.1%}, drift {:.1%}\n{}\n".format(
            len(files),
            len(timings.rounds),
            timings.repeatability,
            float(np.median(timings.spread)),
            timings.drift,
            here / "latency.csv",
        )
    )


def _say(text):
    sys.stderr.write("\r\x1b[K" + text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
