"""The card of a network: what it is, what it was measured to do and for whom, beside its ONNX file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair import __version__
from evo_fair.data import Dataset
from evo_fair.export.columns import put_columns_first
from evo_fair.export.export import TOLERANCE, Parity, check_parity, export_onnx
from evo_fair.fairness import Counts
from evo_fair.fairness.summary import confusion_summary, group_summary
from evo_fair.files import atomic_write, is_recorded, read_cached_json, sha256_of, write_json
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.proxy import Proxy, predict_logits

__all__ = ["Describes", "file_facts", "keep_written", "network_card", "write_frozen", "write_network", "write_onnx"]


_MEASURED = ("genome", "architecture", "part", "groups", "confusion", "input", "labels", "onnx")
"""The keys of a card that follow the facts."""


_MADE_OF = ("format", "id", "evo_fair", "hashes")
"""The facts that say what a file was made of, and by what."""


class Describes(Protocol):
    """A space that can tell for a card what a genome `[genes]` means."""

    @property
    def gene_names(self) -> tuple[str, ...]:
        """The genes' names, `[genes]`."""

    def described(self, genome: Sequence[int]) -> list[dict[str, object]]:
        """The network's parts, each as a plain table."""


def write_network(
    folder: Path,
    name: str,
    genome: Sequence[int],
    proxy: Proxy,
    dataset: Dataset,
    facts: Mapping[str, Any],
    groupings: Sequence[str],
) -> Path:
    """Writes the proxy's network of a genome; see `write_frozen`."""
    scaling = Scaling(proxy.supernet.mean, proxy.supernet.scale)
    space, network, samples = proxy.supernet.space, proxy.network(genome), proxy.samples
    logits = predict_logits(network, samples)
    return write_frozen(folder, name, genome, space, network, logits, samples, scaling, dataset, facts, groupings)


def write_frozen(
    folder: Path,
    name: str,
    genome: Sequence[int],
    space: Describes,
    network: nn.Module,
    logits: npt.NDArray[np.float32],
    samples: torch.Tensor | Normalised,
    scaling: Scaling,
    dataset: Dataset,
    facts: Mapping[str, Any],
    groupings: Sequence[str],
    allowed: float = TOLERANCE,
) -> Path:
    """Writes `<name>.onnx` and its card `<name>.json`; returns the path of the former.

    The ONNX file is checked against `logits`, those that torch gives for `samples`, the validation part as `scaling`
    normalises it; raises `EvoFairError` if it computes anything else. `facts` go into the card as they are. `allowed`
    is by how much the file's logits may differ.
    """
    path = folder / f"{name}.onnx"
    parity = write_onnx(path, network, dataset, scaling, samples, logits, allowed)
    predictions = logits.argmax(1).astype(np.uint8)[None]
    counts = {grouping: dataset.counts(predictions, "validation", grouping) for grouping in groupings}
    card = network_card(name, genome, space, counts, facts)
    card |= file_facts(path, parity, dataset, scaling)
    write_json(folder / f"{name}.json", card)
    return path


def keep_written(folder: Path, name: str, facts: Mapping[str, Any], groupings: Sequence[str]) -> bool:
    """Whether `write_frozen` would write the ONNX file that is there already; its card then states `facts`.

    The file is as its card has it, and was made by this version of what `facts["hashes"]` names, so that nothing but
    the facts, such as what later trainings made believe of the network, can have changed.
    """
    card = read_cached_json(folder / f"{name}.json")
    measured = {key: card[key] for key in _MEASURED if key in card}
    stated = _stated(name, facts)
    if len(measured) < len(_MEASURED) or any(card.get(key) != stated[key] for key in _MADE_OF):
        return False
    told = measured["groups"]
    if not isinstance(told, dict) or list(told) != list(groupings):
        return False
    if not is_recorded(folder / f"{name}.onnx", folder / f"{name}.json", "onnx"):
        return False
    if (content := stated | measured) != card:
        write_json(folder / f"{name}.json", content)
    return True


def write_onnx(
    path: Path,
    network: nn.Module,
    dataset: Dataset,
    scaling: Scaling,
    x: torch.Tensor | Normalised,
    logits: npt.NDArray[np.float32],
    allowed: float = TOLERANCE,
) -> Parity:
    """Exports a network and checks it against torch's logits `[n, labels]` for `x` `[n, ...]`, the validation part.

    They may differ by `allowed`, see `check_parity`.
    `x` are inputs that `scaling` normalised. Of a table, the file takes the raw columns instead: those are checked,
    too. The file gets its name only once it has passed; raises `EvoFairError` if it computes anything else.
    """
    with atomic_write(path) as candidate:
        export_onnx(network, dataset.input_shape, candidate)
        parity = check_parity(candidate, logits, x, network, allowed)
        if dataset.columns is None:
            return parity
        put_columns_first(candidate, dataset.columns.encoding, scaling)
        raw = dataset.columns.values[dataset.part("validation")]
        return check_parity(candidate, logits, torch.from_numpy(raw), allowed=parity.allowed)


def file_facts(path: Path, parity: Parity, dataset: Dataset, scaling: Scaling) -> dict[str, Any]:
    """The card's part on the file: what goes in, what comes out, its hash and how closely it follows torch."""
    if dataset.columns is not None:
        entry: dict[str, Any] = {
            "shape": [len(dataset.columns.encoding.names)],
            "layout": "raw columns in this order, float32, NaN for a missing value: evo_fair.export.raw_rows",
            "columns": dataset.columns.encoding.as_dict(),
            "normalisation": "inside the file, with its preprocessing: (x - mean) * scale of each feature",
        }
    else:
        entry = {
            "shape": list(dataset.input_shape),
            "layout": "channels, height, width; RGB or grey, 0 to 255; the whole image resized to this shape"
            if len(dataset.input_shape) == 3
            else "features, as evo_fair.data prepares them",
            "normalisation": "(x - mean) * scale by channel, of raw values",
        }
    return {
        "input": {**entry, "mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()},
        "labels": list(dataset.label_names),
        "onnx": {
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
            "parity": {"samples": parity.samples, "largest_logit_difference": parity.largest_difference},
        },
    }


def network_card(
    name: str, genome: Sequence[int], space: Describes, counts: Mapping[str, Counts], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The card's part that needs no file: genome by gene, architecture by part, accuracy by group, confusion.

    What labels were taken for is told for all samples and within groups; the groups of `class` are the labels.
    """
    told = {grouping: confusion_summary(part) for grouping, part in counts.items()}
    return _stated(name, facts) | {
        "genome": dict(zip(space.gene_names, map(int, genome), strict=True)),
        "architecture": space.described(genome),
        "part": "validation",
        "groups": {grouping: group_summary(part) for grouping, part in counts.items()},
        "confusion": {
            "overall": next((one["overall"] for one in told.values()), {}),
            "by_group": {grouping: one["by_group"] for grouping, one in told.items() if grouping != "class"},
        },
    }


def _stated(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The card's beginning, which is told and not measured."""
    return {"format": 1, "id": name, "evo_fair": __version__, **facts}
