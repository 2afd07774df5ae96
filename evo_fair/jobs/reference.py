"""Training reference networks, the API's part of it: a well-known network, a problem's data and its recipe."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from evo_fair import __version__
from evo_fair.arguments import as_text, as_whole
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, ProblemError, RunError, UnknownNameError
from evo_fair.export.card import file_facts, write_onnx
from evo_fair.fairness import METRICS
from evo_fair.fairness.summary import group_summary
from evo_fair.files import cache_folder, digest, remove_leftovers, sha256_of, write_bytes, write_json
from evo_fair.job_folder import Piece
from evo_fair.jobs.listener import Listener
from evo_fair.lock import held
from evo_fair.nets import fit, initialise
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.reference import REFERENCES, WIDTHS, build_reference, is_reference
from evo_fair.problem import Problem, as_problem
from evo_fair.proxy import predict_logits

__all__ = ["StoredReference", "find_reference", "train_reference"]

LEAST_PIXELS = 32


@dataclass(frozen=True)
class StoredReference:
    """A trained reference network: its weights, its ONNX file, and the manifest that lies beside them.

    Args:
        path: The weights, a .safetensors file.
        onnx: The ONNX file, checked against torch.
        manifest: What `NETWORK.json` says: recipe, data, hashes, accuracy by group.
    """

    path: Path
    onnx: Path
    manifest: dict[str, Any]


def train_reference(
    problem: Problem | str | Path,
    network: str,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    listener: Listener | None = None,
) -> StoredReference:
    """Trains a reference network from scratch by the problem's recipe; stores weights, manifest and checked ONNX.

    The files are `<network>.safetensors`, `.json` and `.onnx` in `out`. A training that
    was broken off goes on when it is called again with the same arguments.

    Args:
        problem: A `Problem`, the name of one that comes with evo_fair, or the path of a
            problem file.
        network: A reference network's name, such as `mobilenet-v2`, or
            `mobilenet-v2-0.35` for 0.35 times its width.
        seed: The training's seed, 0 or more. Default: 0.
        out: Folder for the files. Default: the cache, where `deploy` and `prune` look.
        listener: Hears how far the training is. Default: nobody.

    Returns:
        Where weights and ONNX file are, and the manifest.

    Raises:
        UnknownNameError: There is no reference network of that name.
        ProblemError: The problem has no colour images of at least 32 pixels.

    Example:
        >>> ef.train_reference("digits", "mobilenet-v9")
        Traceback (most recent call last):
        evo_fair.errors.UnknownNameError: unknown network 'mobilenet-v9': ...
    """
    listener = listener or Listener()
    network, seed = as_text("network", network), as_whole("seed", 0 if seed is None else seed)
    if not is_reference(network):
        raise UnknownNameError("network", network, list(REFERENCES), WIDTHS)
    if seed < 0:
        raise EvoFairError(f"seed {seed} is negative: give 0 or more")
    problem = as_problem(problem)
    dataset = problem.dataset()
    _check_images(problem, dataset)
    listener.prepared(dataset, problem.search_space(dataset.input_shape, len(dataset.label_names)))
    folder = _folder(problem, dataset, seed) if out is None else Path(out)
    train = dataset.part("train")
    inputs = dataset.inputs[train]
    scaling = Scaling.of(inputs)
    model = build_reference(network, len(dataset.label_names))
    initialise(model, torch.Generator().manual_seed(seed))
    with held(folder, f"a training of {network}", network):
        remove_leftovers(folder, f"{network}.onnx", f"{network}.checkpoint.safetensors")
        fit(
            model,
            inputs,
            dataset.labels[train],
            problem.training,
            seed,
            normalise=scaling,
            on_epoch=lambda step: listener.tuning(network, step),
            checkpoint=folder / f"{network}.checkpoint.safetensors",
        )
        return _store(model.requires_grad_(False), folder / network, problem, dataset, scaling, seed)


def find_reference(problem: Problem, dataset: Dataset, network: str, seed: int) -> Path:
    """The ONNX file of the reference network that `train_reference` has put into the cache with the same arguments.

    Its weights are beside it; both are whole.

    Args:
        problem: The problem that it was trained for.
        dataset: The problem's data set.
        network: The reference network's name.
        seed: The training's seed.

    Returns:
        The path of the ONNX file.

    Raises:
        UnknownNameError: There is no reference network of that name.
        RunError: It was not trained yet, or is damaged.
    """
    if not is_reference(network):
        mend = f"{WIDTHS}, or the path of an .onnx file"
        raise UnknownNameError("reference network", network, list(REFERENCES), mend)
    onnx = _folder(problem, dataset, seed) / f"{network}.onnx"
    if not Piece(onnx.with_suffix(".json"), {"onnx": onnx, "": onnx.with_suffix(".safetensors")}).made:
        raise RunError(
            f"{network} is not trained for these data: 'evo-fair train {problem.argument} --network {network} "
            f"--seed {seed}' does so with the same --data, or give the path of an .onnx file"
        )
    return onnx


def _store(
    model: nn.Module, place: Path, problem: Problem, dataset: Dataset, scaling: Scaling, seed: int
) -> StoredReference:
    network = place.name
    weights, onnx = place.with_name(f"{network}.safetensors"), place.with_name(f"{network}.onnx")
    x = scaling(dataset.inputs[dataset.part("validation")])
    logits = predict_logits(model, x)
    parity = write_onnx(onnx, model, dataset, scaling, x, logits)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(weights, save(tensors, {"network": network}))
    predictions = logits.argmax(1).astype(np.uint8)[None]
    counts = {name: dataset.counts(predictions, "validation", name) for name in problem.fairness.groupings}
    manifest = {
        "format": 1,
        "network": network,
        "pretrained": False,
        "problem": problem.name,
        "command": f"evo-fair train {problem.argument} --network {network} --seed {seed}",
        "evo_fair": __version__,
        "torch": torch.__version__,
        "training": problem.training.of_one_network(),
        "seed": seed,
        "data": {"name": dataset.name, "licence": dataset.licence, "fingerprint": dataset.fingerprint},
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "sha256": sha256_of(weights),
        **file_facts(onnx, parity, dataset, scaling),
        "validation": {
            "accuracy": float(METRICS["accuracy"](counts[problem.fairness.group])[0]),
            "groups": {name: group_summary(part) for name, part in counts.items()},
        },
    }
    write_json(place.with_name(f"{network}.json"), manifest)
    return StoredReference(weights, onnx, manifest)


def _folder(problem: Problem, dataset: Dataset, seed: int) -> Path:
    recipe = json.dumps(problem.training.of_one_network(), sort_keys=True)
    key = digest(recipe, dataset.fingerprint, str(seed), torch.__version__)
    return cache_folder("references", f"{problem.name}-{key[:16]}")


def _check_images(problem: Problem, dataset: Dataset) -> None:
    shape = dataset.input_shape
    if len(shape) != 3 or shape[0] != 3 or min(shape[1:]) < LEAST_PIXELS:
        raise ProblemError(
            f"the samples of {problem.name} have the shape {list(shape)}, and reference networks take images of 3 "
            f"channels and at least {LEAST_PIXELS} pixels: choose a problem with such images"
        )
