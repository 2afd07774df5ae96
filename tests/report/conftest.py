"""A run folder written by hand: nine networks, three objectives, two constraints."""

import pytest

from evo_fair.evolution import Axis, Record, create_run, describe
from evo_fair.report import Run, load_run
from tests.report.browser import opened_browser

AXES = (Axis("accuracy", "max"), Axis("unfairness"), Axis("latency_ms", unit="ms", label="latency on a board"))
LIMITS = ("latency_ms <= 9", "accuracy >= 0.6")

# accuracy, unfairness, latency, parameters; only the last two break a limit, the very last one was never evaluated.
NETWORKS = (
    (0.90, 0.30, 8.0, 90_000),
    (0.85, 0.20, 5.0, 50_000),
    (0.85, 0.20, 5.0, 40_000),  # ties with the one above
    (0.80, 0.10, 5.0, 30_000),
    (0.70, 0.25, 2.0, 20_000),
    (0.80, 0.25, 5.0, 10_000),  # dominated by the second
    (0.65, 0.40, 4.0, 60_000),  # dominated by the fifth
    (0.50, 0.00, 1.0, 5_000),
    (None, None, 9.5, 99_000),
)


def record(number, accuracy, unfairness, latency, params) -> Record:
    cheap = {"latency_ms": latency, "params": params}
    evaluated = accuracy is not None
    predictive = {"accuracy": accuracy, "unfairness": unfairness} if evaluated else {}
    return Record(
        id=f"{number:012d}",
        generation=number // 3,
        genome=(number, 0),
        violation=0.1 if number >= 7 else 0.0,
        objectives=predictive | {"latency_ms": latency},
        constraints={"latency_ms <= 9": latency} | ({"accuracy >= 0.6": accuracy} if evaluated else {}),
        metrics=cheap | predictive,
        groups={"sex": {"female": accuracy - 0.05, "male": accuracy + 0.05}} if evaluated else None,
    )


def write_run(path, axes=AXES, networks=NETWORKS, **search) -> Run:
    run = create_run(path, {"search": {"objectives": describe(axes), "constraints": list(LIMITS), **search}})
    run.journal.write_bytes(b"".join(record(number, *network).line() for number, network in enumerate(networks)))
    return load_run(path)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "ham")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser")) as started:
        yield started
