"""Networks of others, as ONNX files, that deployed ones are measured beside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, UnknownNameError
from evo_fair.files import read_json
from evo_fair.latency.measure import open_session
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.nets.inputs import Scaling

__all__ = ["Reference", "open_reference"]


@dataclass(frozen=True)
class Reference:
    """An ONNX file by name; `scaling` is None where nothing says how this data set's inputs enter it."""

    name: str
    path: Path
    scaling: Scaling | None


def open_reference(path: Path, dataset: Dataset) -> Reference:
    """A reference network in an ONNX file, checked to be one that runs.

    It can be examined on the data set where a card of evo_fair (`.json` beside the file) says that it takes its inputs,
    tells its labels, and was trained on the same data and split; else it is only timed. Raises `EvoFairError` for a
    file that is missing or no such model.
    """
    if not path.is_file():
        raise UnknownNameError("reference network", str(path), [], ": give the path of an .onnx file that exists")
    read_onnx(path)
    try:
        open_session(str(path), threads=1)
    except Exception as error:  # ONNX Runtime's errors share no base class of their own
        raise EvoFairError(f"{path} does not run in ONNX Runtime ({type(error).__name__}): export it again") from error
    return Reference(path.stem, path, _scaling(path.with_suffix(".json"), dataset))


def _scaling(card: Path, dataset: Dataset) -> Scaling | None:
    if not card.is_file():
        return None
    content: Any = read_json(card)
    try:
        trained_on = content["data"].get("fingerprint", content.get("hashes", {}).get("data"))
        found = (content["input"]["shape"], content["labels"], trained_on)
        fits = found == (list(dataset.input_shape), list(dataset.label_names), dataset.fingerprint)
        mean, scale = (np.asarray(content["input"][key], np.float32) for key in ("mean", "scale"))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Scaling(torch.from_numpy(mean), torch.from_numpy(scale)) if fits else None
