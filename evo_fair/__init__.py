"""Evolutionary multi-objective search for small, fast and fair neural networks."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime would tell its makers of every network that it opens; set to 0, it may.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Audit",
    "AuditError",
    "Calibration",
    "Comparison",
    "ConstraintError",
    "Counts",
    "DataError",
    "DataRequest",
    "Dataset",
    "EvoFairError",
    "FigureError",
    "Grouping",
    "LayerCost",
    "Listener",
    "NonFiniteError",
    "Objective",
    "ObjectiveError",
    "PluginError",
    "Prediction",
    "Problem",
    "ProblemError",
    "Profile",
    "ProfileError",
    "PruningError",
    "Run",
    "RunError",
    "StorageError",
    "UndefinedMetricError",
    "UnknownNameError",
    "WorkerError",
    "Workers",
    "audit",
    "calibrate",
    "calibration_kit",
    "compare",
    "criterion",
    "deploy",
    "forget",
    "load_plugin",
    "load_problem",
    "load_profile",
    "load_run",
    "method",
    "objective",
    "onnx_operator",
    "predict",
    "progress_bars",
    "prune",
    "read_layers",
    "search",
    "source",
    "strategy",
    "train",
    "train_reference",
    "write_model_card",
    "write_report",
]

if TYPE_CHECKING:
    from evo_fair.cli.progress import progress_bars
    from evo_fair.data import DataRequest, Dataset, Grouping
    from evo_fair.data.source import source
    from evo_fair.errors import (
        AuditError,
        ConstraintError,
        DataError,
        EvoFairError,
        FigureError,
        NonFiniteError,
        ObjectiveError,
        PluginError,
        ProblemError,
        ProfileError,
        PruningError,
        RunError,
        StorageError,
        UndefinedMetricError,
        UnknownNameError,
        WorkerError,
    )
    from evo_fair.evolution import Objective, objective
    from evo_fair.fairness import Counts
    from evo_fair.jobs.audit import Audit, audit
    from evo_fair.jobs.calibrate import Calibration, calibrate, calibration_kit
    from evo_fair.jobs.deploy import deploy
    from evo_fair.jobs.listener import Listener
    from evo_fair.jobs.predict import predict
    from evo_fair.jobs.prune import prune
    from evo_fair.jobs.reference import train_reference
    from evo_fair.jobs.search import search
    from evo_fair.jobs.train import train
    from evo_fair.jobs.workers.given import Workers
    from evo_fair.latency import Profile, load_profile, read_layers
    from evo_fair.latency.onnx_operators import LayerCost, onnx_operator
    from evo_fair.latency.predict import Prediction
    from evo_fair.plugins import load_plugin
    from evo_fair.problem import Problem, load_problem
    from evo_fair.registries import criterion, forget, method, strategy
    from evo_fair.report import Comparison, Run, compare, load_run
    from evo_fair.report.model_card import write_model_card
    from evo_fair.report.page import write_report

_HOMES = {
    "Audit": "evo_fair.jobs.audit",
    "Calibration": "evo_fair.jobs.calibrate",
    "Comparison": "evo_fair.report",
    "Counts": "evo_fair.fairness",
    "DataRequest": "evo_fair.data",
    "Dataset": "evo_fair.data",
    "Grouping": "evo_fair.data",
    "LayerCost": "evo_fair.latency.onnx_operators",
    "Listener": "evo_fair.jobs.listener",
    "Objective": "evo_fair.evolution",
    "Prediction": "evo_fair.latency.predict",
    "Problem": "evo_fair.problem",
    "Profile": "evo_fair.latency",
    "Run": "evo_fair.report",
    "Workers": "evo_fair.jobs.workers.given",
    "audit": "evo_fair.jobs.audit",
    "calibrate": "evo_fair.jobs.calibrate",
    "calibration_kit": "evo_fair.jobs.calibrate",
    "compare": "evo_fair.report",
    "criterion": "evo_fair.registries",
    "deploy": "evo_fair.jobs.deploy",
    "forget": "evo_fair.registries",
    "load_plugin": "evo_fair.plugins",
    "load_problem": "evo_fair.problem",
    "load_profile": "evo_fair.latency",
    "load_run": "evo_fair.report",
    "method": "evo_fair.registries",
    "objective": "evo_fair.evolution",
    "onnx_operator": "evo_fair.latency.onnx_operators",
    "predict": "evo_fair.jobs.predict",
    "progress_bars": "evo_fair.cli.progress",
    "prune": "evo_fair.jobs.prune",
    "read_layers": "evo_fair.latency",
    "source": "evo_fair.data.source",
    "strategy": "evo_fair.registries",
    "search": "evo_fair.jobs.search",
    "train": "evo_fair.jobs.train",
    "train_reference": "evo_fair.jobs.reference",
    "write_model_card": "evo_fair.report.model_card",
    "write_report": "evo_fair.report.page",
    **{name: "evo_fair.errors" for name in __all__ if name.endswith("Error")},
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `import evo_fair` and the command line answer at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
