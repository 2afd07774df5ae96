"""The table of deployed networks: sizes, measured and predicted latency, and the test part with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evo_fair.export.columns import file_inputs
from evo_fair.export.examine import Examination, Examiner
from evo_fair.export.export import onnx_logits
from evo_fair.latency import Profile
from evo_fair.latency.measure import Timings, measure, open_session
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets.inputs import Scaling

__all__ = ["Deployed", "deployed_table", "time_networks"]

MINUTES = 2.0


@dataclass(frozen=True)
class Deployed:
    """A network's file at one precision; `graph` is the file that its layers are read from, the fp32 one."""

    name: str
    role: str  # front or reference
    precision: str
    path: Path
    graph: Path
    scaling: Scaling | None


def time_networks(networks: Sequence[Deployed], progress: Callable[[int, int], None], seed: int) -> Timings:
    """Times all of them with ONNX Runtime on one thread, interleaved, for about two minutes at most.

    Args:
        networks: The deployed networks.
        progress: Hears of each round.
        seed: The seed, 0 or more.
    """
    sessions = {str(network.path): open_session(str(network.path), threads=1) for network in networks}
    return measure(sessions, MINUTES, progress, seed=seed)


def deployed_table(
    networks: Sequence[Deployed], timings: Timings, profiles: Sequence[Profile], examiner: Examiner
) -> pd.DataFrame:
    """A row a file: id, role, precision, sizes, `measured_ms`, `predicted_ms[device]`, and the examination.

    Every metric has its interval in columns of the same name ending in `_low` and
    `_high`. A profile predicts the files of its own precision, and one with intervals
    adds `predicted_ms_low[device]` and `predicted_ms_high[device]`; what was not
    measured, has no value or would be a lower bound is NaN.

    Args:
        networks: The deployed networks.
        timings: What was measured.
        profiles: The profiles that predict.
        examiner: Examines predictions on the test part.
    """
    latency = dict(zip(timings.names, timings.latency_ms, strict=True))
    rows = [_row(network, float(latency[str(network.path)]), profiles, examiner) for network in networks]
    return pd.DataFrame(rows)


def _row(network: Deployed, measured_ms: float, profiles: Sequence[Profile], examiner: Examiner) -> dict[str, Any]:
    graph = read_onnx(network.graph)
    row: dict[str, Any] = {
        "id": network.name,
        "role": network.role,
        "precision": network.precision,
        "params": graph.params,
        "macs": graph.macs,
        "onnx_bytes": network.path.stat().st_size,
        "measured_ms": measured_ms,
    }
    for profile in profiles:
        # A lower bound is no prediction.
        fits = profile.file.precision == network.precision and not graph.time_at_least
        prediction = predict(graph, profile) if fits else None
        row[f"predicted_ms[{profile.name}]"] = prediction.latency_ms if prediction else None
        if profile.has_intervals:
            low, high = prediction.interval_ms or (None, None) if prediction else (None, None)
            row |= {f"predicted_ms_low[{profile.name}]": low, f"predicted_ms_high[{profile.name}]": high}
    return row | _columns(_examined(network, examiner))


def _examined(network: Deployed, examiner: Examiner) -> Examination:
    if network.scaling is None:
        return {}
    x = file_inputs(network.path, examiner.dataset, network.scaling, examiner.dataset.part(examiner.part))
    logits = onnx_logits(network.path, x)
    return examiner.examine(logits.argmax(1).astype("uint8"))


def _columns(examination: Examination) -> dict[str, float]:
    columns: dict[str, float] = {}
    for name, found in examination.items():
        columns |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return columns
