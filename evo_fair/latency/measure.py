"""Times ONNX networks on this machine; needs onnxruntime and numpy only, and is copied into a kit as measure.py.

    python3 measure.py [--threads 1] [--minutes 5]

Every round visits all networks once, in an order of its own, so that whatever slows the machine for a while slows all
of them; a visit is a few runs after one that warms up; a network's latency is the median over rounds. Writes
latency.csv beside the folder `networks`, and says how far rounds disagree and whether the machine drifted. After
Ctrl-C, or where a network fails, the rounds that are complete are kept.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable  # noqa: UP035  # boards may run Python 3.8

try:
    import numpy as np
except (ImportError, KeyboardInterrupt) as error:
    if __name__ != "__main__":
        raise
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    reason = " ".join(str(error).split())[:200]
    sys.stderr.write(f"NumPy can't be imported ({reason}): install it with 'python3 -m pip install numpy'\n")
    sys.exit(2)

if TYPE_CHECKING:
    from typing import NoReturn

    import numpy.typing as npt

__all__ = [
    "UNSTEADY",
    "Timings",
    "measure",
    "open_session",
    "pin",
    "processors",
    "random_inputs",
    "write_csv",
]

VISIT_MS = 4.0  # how long a visit runs a network that is faster than that
MOST_RUNS = 50
MOST_ROUNDS = 25
FEWEST_ROUNDS = 5
UNSTEADY = 0.05  # how far repeats may disagree and rounds drift


class Timings:
    """Milliseconds by round and network, float64 `[rounds, networks]`, and what they say of themselves."""

    def __init__(self, names: list[str], rounds: list[list[float]]) -> None:
        self.names = names
        self.rounds: npt.NDArray[np.float64] = np.asarray(rounds, dtype=np.float64)

    @property
    def latency_ms(self) -> npt.NDArray[np.float64]:
        """The median over rounds, float64 `[networks]`."""
        median: npt.NDArray[np.float64] = np.median(self.rounds, axis=0)
        return median

    @property
    def spread(self) -> float:
        """Half the range between quartiles over the median, of the median network."""
        low, high = np.percentile(self.rounds, [25, 75], axis=0)
        return float(np.median((high - low) / 2 / self.latency_ms))

    @property
    def repeatability(self) -> float:
        """The mean relative difference between the medians of odd and of even rounds."""
        first, second = np.median(self.rounds[::2], axis=0), np.median(self.rounds[1::2], axis=0)
        return float(np.mean(np.abs(first - second) / self.latency_ms))

    @property
    def drift(self) -> float:
        """By how much the slowest third of the rounds exceeds the fastest, over all networks: 0 on a steady machine."""
        relative = (self.rounds / self.latency_ms).mean(axis=1)
        thirds = [float(part.mean()) for part in np.array_split(relative, 3)]
        return max(thirds) / min(thirds) - 1

    @property
    def steady(self) -> bool:
        """Whether rounds agree and the machine did not drift, both within 5 %."""
        return self.repeatability <= UNSTEADY and self.drift <= UNSTEADY

    def disagreement(self, other: Timings) -> float:
        """The median relative difference from a repeat of the same networks."""
        return float(np.median(np.abs(self.latency_ms / other.latency_ms - 1)))

    def joined(self, other: Timings) -> Timings:
        """The rounds of both."""
        return Timings(self.names, [*self.rounds.tolist(), *other.rounds.tolist()])


def processors() -> int:
    """How many processors this process may use: with more threads than that it measures how they wait."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin(threads: int) -> None:
    """Keeps this process on the first `threads` processors that it may use, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(allowed[:threads]))


def open_session(model: bytes | str, threads: int) -> Any:
    """An ONNX Runtime session on the CPU for a model's bytes or path, with a fixed number of threads."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # in a kit this runs alone
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(
    sessions: dict[str, Any],
    minutes: float,
    progress: Callable[[int, int], None],
    most_rounds: int = MOST_ROUNDS,
    seed: int = 0,
    rounds: list[list[float]] | None = None,
) -> Timings:
    """Times sessions by name, interleaved, for about `minutes` at most, but at least 5 rounds.

    `rounds` is filled meanwhile with what each round measured, for who wants it after an interrupt. Raises
    `RuntimeError` for a network that does not run, as where a board's memory is too small for it.
    """
    names = list(sessions)
    generator = np.random.default_rng(seed)
    feeds = {name: random_inputs(session, generator) for name, session in sessions.items()}
    started = time.perf_counter()
    first = {name: _visit(name, sessions[name], feeds[name], 1) for name in names}
    runs = {name: int(min(max(VISIT_MS / max(first[name], 1e-6), 3), MOST_RUNS)) for name in names}
    rounds = [] if rounds is None else rounds
    while len(rounds) < most_rounds:
        begun = time.perf_counter()
        times = {}
        for i in generator.permutation(len(names)):
            times[names[i]] = _visit(names[i], sessions[names[i]], feeds[names[i]], runs[names[i]])
        rounds.append([times[name] for name in names])
        took = time.perf_counter() - begun
        left = 60 * minutes - (time.perf_counter() - started)
        progress(len(rounds), min(most_rounds, max(FEWEST_ROUNDS, len(rounds) + max(0, int(left / took)))))
        if len(rounds) >= min(FEWEST_ROUNDS, most_rounds) and left < took:
            break
    return Timings(names, rounds)


def random_inputs(session: Any, generator: np.random.Generator) -> dict[str, Any]:
    """A float32 array for each input of an ONNX Runtime session, by name; a size that is free is 1."""
    feed = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in value.shape]
        feed[value.name] = generator.standard_normal(shape).astype(np.float32)
    return feed


def _visit(name: str, session: Any, feed: dict[str, Any], runs: int) -> float:
    """The median of `runs` runs after one that warms up, in milliseconds."""
    times = []
    try:
        session.run(None, feed)
        for _ in range(runs):
            started = time.perf_counter_ns()
            session.run(None, feed)
            times.append(time.perf_counter_ns() - started)
    except Exception as error:  # ONNX Runtime's errors share no base class of their own
        raise RuntimeError(f"{name} does not run ({_reason(error)})") from error
    return float(np.median(times)) / 1e6


def write_csv(path: Path, timings: Timings) -> None:
    """Writes latency.csv by way of a temporary file."""
    temporary = path.with_suffix(".tmp")
    # As it is read, wherever it was measured; names that are no text stay the bytes that they are.
    with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["network", "latency_ms"])
        writer.writerows([name, f"{timings.latency_ms[i]:.6f}"] for i, name in enumerate(timings.names))
    temporary.replace(path)


def main() -> None:
    """Times the networks of the kit that this file lies in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0)
    arguments = parser.parse_args()
    if not 1 <= arguments.threads <= processors():
        parser.error(f"--threads {arguments.threads}: give 1 to {processors()}, as many as there are processors")
    if not 0 <= arguments.minutes < float("inf"):
        parser.error(f"--minutes {arguments.minutes:g}: give a number from 0 on")
    here = Path(__file__).resolve().parent
    # Copies from a Mac hold files with a dot before each one's name.
    files = sorted(path for path in (here / "networks").glob("*.onnx") if not path.name.startswith("."))
    if not files:
        _end("no networks/*.onnx beside measure.py: copy the whole kit")
    if not os.access(here, os.W_OK):
        _end(f"{here} can't be written to, where latency.csv belongs: copy the kit to a folder of yours")
    pin(arguments.threads)
    sessions = {}
    rounds: list[list[float]] = []
    try:
        for done, path in enumerate(files, 1):
            sessions[path.stem] = _opened(path, arguments.threads)
            _say(f"loading {done}/{len(files)}")
        timings = measure(sessions, arguments.minutes, lambda done, total: _say(f"round {done}/{total}"), rounds=rounds)
    except KeyboardInterrupt:
        _broken_off("interrupted", 130, here / "latency.csv", list(sessions), rounds)
    except RuntimeError as error:
        told = f"{error}, take its file out of networks or free some memory"
        _broken_off(told, 2, here / "latency.csv", list(sessions), rounds)
    write_csv(here / "latency.csv", timings)
    _say("")
    sys.stdout.write(
        f"{len(files)} networks, {len(timings.rounds)} rounds: repeatability {timings.repeatability:.1%}, "
        f"median spread {timings.spread:.1%}, drift {timings.drift:.1%}\n"
        f"{here / 'latency.csv'}\n"
    )
    if not timings.steady:
        sys.stderr.write(f"the machine was not steady, within {UNSTEADY:.0%}: run it again with nothing else running\n")


def _opened(path: Path, threads: int) -> Any:
    try:
        return open_session(str(path), threads)
    except ImportError as error:
        _end(f"ONNX Runtime can't be imported ({_reason(error)}): install it with 'python3 -m pip install onnxruntime'")
    except Exception as error:  # ONNX Runtime's errors share no base class of their own
        _end(f"{path} can't be loaded ({_reason(error)}): copy the whole kit again")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _broken_off(why: str, code: int, path: Path, names: list[str], rounds: list[list[float]]) -> NoReturn:
    """Writes the complete rounds, unless they are too few to replace what was measured before, and ends."""
    if not rounds or (len(rounds) < FEWEST_ROUNDS and path.exists()):
        _end(f"{why}: nothing was written", code)
    write_csv(path, Timings(names, rounds))
    few = f", of which {FEWEST_ROUNDS} are needed to be sure" if len(rounds) < FEWEST_ROUNDS else ""
    _end(f"{why}: {path} has what {len(rounds)} complete rounds measured{few}", code)


def _end(line: str, code: int = 2) -> NoReturn:
    """Ends the process with a line in place of the progress."""
    _say(f"{line}\n")
    sys.exit(code)


def _say(text: str) -> None:
    sys.stderr.write("\r\x1b[K" + text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
