"""Networks of others, as ONNX files, that deployed ones are measured beside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.files import read_cached_json
from evo_fair.latency.measure import open_session, random_inputs
from evo_fair.latency.onnx_file import InputShapeError
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.nets.inputs import Scaling

__all__ = ["Reference", "open_reference"]


@dataclass(frozen=True)
class Reference:
    """An ONNX file by name; `scaling` is None where nothing says how this data set's inputs enter it."""

    name: str
    path: Path
    precision: str  # fp32 or int8
    scaling: Scaling | None


def open_reference(path: Path, dataset: Dataset) -> Reference:
    """A reference network in an ONNX file, checked to be one that runs.

    It can be examined on the data set where a card of evo_fair (`.json` beside the file) says that it takes its inputs,
    tells its labels, and was trained on the same data and split, and the file takes batches of them; else it is only
    timed. Raises `EvoFairError` for a file that is missing or does not run on float32 inputs.
    """
    if not path.is_file():
        raise EvoFairError(f"there is no file {path}: give the path of an .onnx file, or a reference network's name")
    precision = "int8" if _read_graph(path).quantised else "fp32"
    try:
        session = open_session(str(path), threads=1)
        session.run(None, random_inputs(session, np.random.default_rng(0)))
    except Exception as error:  # ONNX Runtime's errors share no base class of their own
        raise EvoFairError(
            f"{path} does not run in ONNX Runtime on float32 inputs ({in_a_line(error)}): export it again with those"
        ) from error
    inputs = [(isinstance(value.shape[0], int), value.shape[1:]) for value in session.get_inputs()]
    takes_batches = inputs == [(False, [*dataset.input_shape])]
    scaling = _scaling(path.with_suffix(".json"), dataset) if takes_batches else None
    return Reference(path.stem, path, precision, scaling)


def _read_graph(path: Path) -> GraphLayers:
    try:
        return read_onnx(path)
    except InputShapeError as error:  # it asks for an option that is for predictions alone
        raise EvoFairError(f"{path} does not fix its input's size: export it with all sizes but the batch's") from error


def _scaling(card: Path, dataset: Dataset) -> Scaling | None:
    if not card.is_file():
        return None
    content: Any = read_cached_json(card)
    try:
        trained_on = content["data"].get("fingerprint", content.get("hashes", {}).get("data"))
        found = (content["input"]["shape"], content["labels"], trained_on)
        fits = found == (list(dataset.input_shape), list(dataset.label_names), dataset.fingerprint)
        mean, scale = (np.asarray(content["input"][key], np.float32) for key in ("mean", "scale"))
        fits &= mean.shape == scale.shape == dataset.input_shape[:1] and bool(np.isfinite([mean, scale]).all())
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Scaling(torch.from_numpy(mean), torch.from_numpy(scale)) if fits else None
