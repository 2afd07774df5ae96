"""Networks of others, as ONNX files, that deployed ones are measured beside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.export.columns import takes_columns
from evo_fair.files import is_recorded, read_cached_json
from evo_fair.latency.onnx_file import OpenShapeError
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.latency.trial import TrialError, run_once
from evo_fair.nets.inputs import Scaling

__all__ = ["Reference", "open_reference"]

MOST_MACS = 3 * 10**10  # some seconds of one core; ResNet-152 has 1.2e10
MOST_VALUES = 2**28  # 1 GiB
MOST_CALLS = 10**6


@dataclass(frozen=True)
class Reference:
    """An ONNX file by name; `scaling` is None where nothing says how this data set's inputs enter it."""

    name: str
    path: Path
    precision: str  # fp32 or int8
    scaling: Scaling | None


def open_reference(path: Path, dataset: Dataset) -> Reference:
    """A reference network in an ONNX file, checked to be one that runs.

    It can be examined on the data set where a card of evo_fair (`.json` beside the
    file) says that it takes its inputs, tells its labels, and was trained on the same
    data and split, and the file takes batches of them; else it is only timed. Raises
    `EvoFairError` for a file that is missing or does not run on float32 inputs.

    Args:
        path: The file.
        dataset: The data set.
    """
    if not path.is_file():
        raise EvoFairError(f"there is no file {path}: give the path of an .onnx file, or a reference network's name")
    graph = _read_graph(path)
    _check_work(path, graph)
    try:
        shapes = run_once(path)
    except TrialError as error:
        raise EvoFairError(
            f"{path} does not run in ONNX Runtime on float32 inputs ({in_a_line(error)}): export it again with those"
        ) from error
    inputs = [(isinstance(shape[0], int), shape[1:]) for shape in shapes if shape]
    takes_batches = inputs == [(False, _shape(path, dataset))]
    precision = "int8" if graph.quantised else "fp32"
    scaling = _scaling(path, dataset) if takes_batches else None
    return Reference(path.stem, path, precision, scaling)


def _shape(path: Path, dataset: Dataset) -> list[int]:
    """The shape of what a file takes for one sample of the data set, were it made for it."""
    if dataset.columns is not None and takes_columns(path):
        return [len(dataset.columns.encoding.names)]
    return list(dataset.input_shape)


def _read_graph(path: Path) -> GraphLayers:
    try:
        return read_onnx(path)
    except OpenShapeError as error:  # it asks for an option that is for predictions alone
        raise EvoFairError(f"{path} does not fix its input's size: export it with all sizes but the batch's") from error


def _check_work(path: Path, graph: GraphLayers) -> None:
    """Refuses a network that would take the machine's time and memory, before it runs."""
    values = graph.peak_values + graph.params + graph.made_values
    calls = sum(layer.repeats for layer in graph.layers)
    for what, amount, most in (
        ("multiply-accumulates", graph.macs + graph.made_macs, MOST_MACS),
        ("values in memory", values, MOST_VALUES),
        ("operators to run", calls, MOST_CALLS),
    ):
        if amount > most:
            raise EvoFairError(
                f"{path} has {amount:.1e} {what}, and a reference may have {most:.1e}: give a smaller network"
            )


def _scaling(path: Path, dataset: Dataset) -> Scaling | None:
    card = path.with_suffix(".json")
    if not card.is_file():
        return None
    content: Any = read_cached_json(card)
    recorded = content.get("onnx")
    if isinstance(recorded, dict) and "sha256" in recorded and not is_recorded(path, card, "onnx"):
        raise EvoFairError(
            f"{path} is not the file that {card.name} was written for: it is damaged, or another; export it again, or "
            "take the card away"
        )
    try:
        trained_on = content["data"].get("fingerprint", content.get("hashes", {}).get("data"))
        found = (content["input"]["shape"], content["labels"], trained_on)
        fits = found == (_shape(path, dataset), list(dataset.label_names), dataset.fingerprint)
        mean, scale = (np.asarray(content["input"][key], np.float32) for key in ("mean", "scale"))
        fits &= mean.shape == scale.shape == dataset.input_shape[:1] and bool(np.isfinite([mean, scale]).all())
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Scaling(torch.from_numpy(mean), torch.from_numpy(scale)) if fits else None
