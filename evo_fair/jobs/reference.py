"""Training reference networks, the API's part of it: a well-known network, a problem's data and its recipe."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from evo_fair import __version__
from evo_fair.arguments import as_path, as_text, as_texts, as_whole, check_seeds
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, ProblemError, RunError, UnknownNameError
from evo_fair.export.card import file_facts, write_onnx
from evo_fair.fairness import METRICS
from evo_fair.fairness.summary import group_summary
from evo_fair.files import cache_folder, digest, read_json, remove_leftovers, sha256_of, write_bytes, write_json
from evo_fair.job_folder import Piece
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.workers import Workers, make_files, open_team, ready_workers
from evo_fair.lock import held
from evo_fair.nets import fit, initialise
from evo_fair.nets.device import CPU, TorchDevice, open_device, with_other_kinds
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.nets.plain import plain_torch
from evo_fair.nets.reference import REFERENCES, WIDTHS, build_reference, is_reference
from evo_fair.problem import Problem, as_problem
from evo_fair.proxy import predict_logits

__all__ = ["StoredReference", "find_reference", "train_reference", "train_references"]

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


@plain_torch()
def train_reference(
    problem: Problem | str | Path,
    network: str,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    torch_device: str = "auto",
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
        torch_device: Where it is trained: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            Default: `auto`, a GPU if there is one.
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
    networks = [as_text("network", network)]
    place = open_device(torch_device)
    return train_references(problem, networks, seed=seed, out=out, torch_device=place, listener=listener, again=True)[0]


def train_references(
    problem: Problem | str | Path,
    networks: Sequence[str],
    *,
    seed: int = 0,
    out: str | Path | None = None,
    torch_device: str | TorchDevice = "auto",
    workers: Workers | int | str | None = None,
    listener: Listener | None = None,
    again: bool = False,
    wait: Callable[[str], None] | None = None,
) -> list[StoredReference]:
    """Trains several reference networks as `train_reference` does one, each by a worker if there are any.

    Those that are there already, trained by the same recipe, seed and data, are kept, unless they are to be trained
    `again`. One that no worker survives can be left out, see `Workers`. One that another process is training is
    refused, or with `wait`, which is told of it, waited for.
    """
    listener, team_wanted = as_listener(listener), ready_workers(workers)
    networks, seed = as_texts("networks", networks), as_whole("seed", 0 if seed is None else seed)
    chosen = None if out is None else as_path("out", out)
    place = open_device(torch_device)
    for network in networks:
        if not is_reference(network):
            raise UnknownNameError("network", network, list(REFERENCES), WIDTHS)
        if networks.count(network) > 1:
            raise EvoFairError(f"network {network!r} is given twice: name each once")
    check_seeds([seed])
    problem = as_problem(problem)
    dataset = problem.dataset()
    _check_images(problem, dataset)
    listener.prepared(dataset, problem.search_space(dataset.input_shape, len(dataset.label_names)))
    folder = _folder(problem, dataset, seed, place) if chosen is None else chosen
    training = _Training(problem, dataset, seed, place)
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(held(folder, f"a training of {network}", network, wait=wait))
            remove_leftovers(folder, f"{network}.onnx", f"{network}.checkpoint.safetensors", "parcel")
        team = stack.enter_context(open_team(team_wanted, folder, listener))
        there = make_files(
            team,
            networks,
            lambda network: not again and training.made(folder, network),
            training.make,
            str,
            folder,
            lambda _network, _done: None,
            listener,
        )
    return [training.stored(folder, network) for network in there]


@dataclass(frozen=True)
class _Training:
    """What reference networks are trained on; it can be sent to workers."""

    problem: Problem
    dataset: Dataset
    seed: int
    device: TorchDevice = CPU

    def make(self, network: str, folder: Path, listener: Listener) -> None:
        """Trains a network and writes it into a folder, where a training that was broken off goes on."""
        inputs = self.dataset.samples("train")
        scaling = Scaling.of(inputs)
        model = build_reference(network, len(self.dataset.label_names))
        initialise(model, torch.Generator().manual_seed(self.seed))
        checkpoint = folder / f"{network}.checkpoint.safetensors"
        fit(
            model,
            inputs,
            self.dataset.labels[self.dataset.part("train")],
            self.problem.training,
            self.seed,
            normalise=scaling,
            on_epoch=lambda step: listener.tuning(network, step),
            checkpoint=checkpoint,
            device=self.device,
        )
        model.requires_grad_(False)
        _store(model, folder / network, self.problem, self.dataset, scaling, self.seed, self.device)
        checkpoint.unlink(missing_ok=True)

    def made(self, folder: Path, network: str) -> bool:
        """Whether a network is there, whole, as this would train it."""
        piece = _piece(folder, network)
        told = piece.content
        data = told.get("data")
        wanted = (network, self.problem.training.of_one_network(), self.seed, torch.__version__)
        return (
            tuple(told.get(name) for name in ("network", "training", "seed", "torch")) == wanted
            and isinstance(data, dict)
            and data.get("fingerprint") == self.dataset.fingerprint
            and told.get("torch_device") == self.device.facts().get("torch_device")
            and piece.made
        )

    def stored(self, folder: Path, network: str) -> StoredReference:
        """The network that is there."""
        piece = _piece(folder, network)
        return StoredReference(piece.files[""], piece.files["onnx"], read_json(piece.card, RunError))


def find_reference(problem: Problem, dataset: Dataset, network: str, seed: int, device: TorchDevice = CPU) -> Path:
    """The ONNX file of the reference network that `train_reference` has put into the cache with the same arguments.

    Its weights are beside it; both are whole.

    Args:
        problem: The problem that it was trained for.
        dataset: The problem's data set.
        network: The reference network's name.
        seed: The training's seed.
        device: Where it should have been trained; one of another device will do.
            Default: the CPU.

    Returns:
        The path of the ONNX file.

    Raises:
        UnknownNameError: There is no reference network of that name.
        RunError: It was not trained yet, or is damaged.
    """
    if not is_reference(network):
        mend = f"{WIDTHS}, or the path of an .onnx file"
        raise UnknownNameError("reference network", network, list(REFERENCES), mend)
    pieces = (_piece(_folder(problem, dataset, seed, place), network) for place in with_other_kinds(device))
    piece = next((one for one in pieces if one.made), None)
    if piece is None:
        raise RunError(
            f"{network} is not trained for these data: 'evo-fair train {problem.argument} --network {network} "
            f"--seed {seed}' does so with the same --data, or give the path of an .onnx file"
        )
    return piece.files["onnx"]


def _piece(folder: Path, network: str) -> Piece:
    weights, onnx, card = (folder / f"{network}.{kind}" for kind in ("safetensors", "onnx", "json"))
    return Piece(card, {"": weights, "onnx": onnx})


def _store(
    model: nn.Module,
    place: Path,
    problem: Problem,
    dataset: Dataset,
    scaling: Scaling,
    seed: int,
    device: TorchDevice,
) -> None:
    network = place.name
    weights, onnx = place.with_name(f"{network}.safetensors"), place.with_name(f"{network}.onnx")
    x = Normalised(dataset.samples("validation"), scaling)
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
        **device.described(),
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


def _folder(problem: Problem, dataset: Dataset, seed: int, device: TorchDevice) -> Path:
    recipe = json.dumps(problem.training.of_one_network(), sort_keys=True)
    key = digest(recipe, dataset.fingerprint, str(seed), torch.__version__, *device.facts().values())
    return cache_folder("references", f"{problem.name}-{key[:16]}")


def _check_images(problem: Problem, dataset: Dataset) -> None:
    shape = dataset.input_shape
    if len(shape) != 3 or shape[0] != 3 or min(shape[1:]) < LEAST_PIXELS:
        raise ProblemError(
            f"the samples of {problem.name} have the shape {list(shape)}, and reference networks take images of 3 "
            f"channels and at least {LEAST_PIXELS} pixels: choose a problem with such images"
        )
