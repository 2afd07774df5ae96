"""Finds a problem's trained supernet in the cache, or trains it and stores it with its manifest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evo_fair import __version__
from evo_fair.data import Dataset
from evo_fair.fairness import METRICS
from evo_fair.fairness.summary import group_summary
from evo_fair.files import (
    cache_folder,
    digest,
    read_cached_json,
    remove_leftovers,
    sha256_of,
    shipped_names,
    shipped_or_path,
    write_json,
)
from evo_fair.lock import held
from evo_fair.nets import Step, Supernet, train_supernet
from evo_fair.nets.device import CPU, TorchDevice, with_other_kinds
from evo_fair.nets.train import TRAINING_CODE
from evo_fair.one_at_a_time import one_at_a_time
from evo_fair.problem import Problem
from evo_fair.proxy.evaluator import ProxySource, calibration_samples
from evo_fair.space import SearchSpace

__all__ = [
    "StoredSupernet",
    "ensure_supernet",
    "find_supernet",
    "proxy_source",
    "shipped_supernet",
    "train_and_store",
]

_TRAINING = "a supernet's training"


@dataclass(frozen=True)
class StoredSupernet:
    """A supernet's file and its manifest.

    Args:
        path: The weights, a .safetensors file.
        manifest: What the .json beside it says: recipe, data, hashes, accuracy by
            group.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def sha256(self) -> str:
        """The hash of the weights' file."""
        return str(self.manifest["sha256"])


@one_at_a_time  # the second search finds what the first one trained
def ensure_supernet(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    on_epoch: Callable[[Step], None] | None = None,
    on_resume: Callable[[Step], None] | None = None,
    on_wait: Callable[[str], None] = lambda _: None,
    device: TorchDevice = CPU,
) -> StoredSupernet:
    """The problem's supernet for these data: the stored one, else one trained now on the `device`.

    Where another process trains it, that is waited for; `on_wait` hears which.
    """
    if found := find_supernet(problem, dataset, space, device):
        return found
    with held(_folder(problem, dataset, space, device), _TRAINING, wait=on_wait):
        found = find_supernet(problem, dataset, space, device)
        return found or train_and_store(problem, dataset, space, on_epoch, on_resume=on_resume, device=device)


def find_supernet(
    problem: Problem, dataset: Dataset, space: SearchSpace, device: TorchDevice = CPU, sha256: object = None
) -> StoredSupernet | None:
    """The supernet in the cache that training now would give again, else the one that comes with evo_fair, else None.

    Before there is none, one in the cache that was trained on another kind of device will do. Where a hash `sha256` is
    given, just that one.

    One that comes along has to be of the same recipe, space and split; its images may have been decoded by another
    library, so their exact values are not compared. A damaged file counts as none.
    """
    there = _there(problem, dataset, space, device)
    return next((found for found in there if found and sha256 in (None, found.sha256)), None)


def _there(
    problem: Problem, dataset: Dataset, space: SearchSpace, device: TorchDevice
) -> Iterator[StoredSupernet | None]:
    """The supernets that will do, the best first; each is read, and its hash taken, when it is asked for."""
    own, *others = with_other_kinds(device)
    yield _cached(problem, dataset, space, own)
    yield _fitting(problem, dataset, space)
    for other in others:
        yield _cached(problem, dataset, space, other)


def _cached(problem: Problem, dataset: Dataset, space: SearchSpace, device: TorchDevice) -> StoredSupernet | None:
    """The one that training on a device has left in the cache; one whose manifest tells of other things is none."""
    folder = _folder(problem, dataset, space, device)
    found = _read(folder / "supernet.safetensors", folder / "manifest.json")
    wanted = _ingredients(problem, dataset, space)
    return found if found and all(found.manifest.get(key) == value for key, value in wanted.items()) else None


def _fitting(problem: Problem, dataset: Dataset, space: SearchSpace) -> StoredSupernet | None:
    """The supernet that comes with evo_fair, if it is of the problem's recipe, space and split."""
    shipped = shipped_supernet(problem.name)
    if shipped is None:
        return None
    recipe = problem.training.model_dump(mode="json")
    same = (space.fingerprint, recipe, TRAINING_CODE, _split_fingerprint(dataset))
    there = tuple(shipped.manifest.get(key) for key in ("space", "training", "training_code", "split"))
    return shipped if there == same else None


def shipped_supernet(name: str) -> StoredSupernet | None:
    """The supernet that comes with evo_fair for the problem `name`, or None."""
    if name not in shipped_names("problems", ".safetensors"):
        return None
    weights = shipped_or_path(name, "problems", ".safetensors", "supernet")
    return _read(weights, weights.with_suffix(".manifest.json"))


def _read(path: Path, manifest_path: Path) -> StoredSupernet | None:
    if not path.is_file() or not manifest_path.is_file():
        return None
    manifest = read_cached_json(manifest_path)
    sound = manifest.get("sha256") == sha256_of(path)
    return StoredSupernet(path, manifest) if sound else None


@one_at_a_time  # a training keeps its checkpoint in the folder
def train_and_store(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    on_epoch: Callable[[Step], None] | None = None,
    folder: Path | None = None,
    on_resume: Callable[[Step], None] | None = None,
    device: TorchDevice = CPU,
) -> StoredSupernet:
    """Trains the problem's supernet on the training part and stores it in `folder`, by default the cache.

    A training that was broken off goes on there after its last whole epoch, to the same weights. Raises `RunError`
    where another process is training there.
    The manifest says what it was made of, and the accuracy of its largest and smallest network on the validation part.
    """
    folder = folder or _folder(problem, dataset, space, device)
    with held(folder, _TRAINING):
        return _train_and_store(problem, dataset, space, on_epoch, folder, on_resume, device)


def _train_and_store(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    on_epoch: Callable[[Step], None] | None,
    folder: Path,
    on_resume: Callable[[Step], None] | None,
    device: TorchDevice,
) -> StoredSupernet:
    remove_leftovers(folder, "training.safetensors", "supernet.safetensors", "manifest.json")
    checkpoint = folder / "training.safetensors"
    supernet = train_supernet(
        space,
        dataset.samples("train"),
        dataset.labels[dataset.part("train")],
        problem.training.of_supernet(),
        problem.training.seed,
        on_epoch,
        checkpoint=checkpoint,
        on_resume=on_resume,
        device=device,
    )
    path = folder / "supernet.safetensors"
    supernet.save(path)
    manifest = {**_manifest(problem, dataset, space, path, supernet), **device.described()}
    write_json(folder / "manifest.json", manifest)
    checkpoint.unlink(missing_ok=True)
    return StoredSupernet(path, manifest)


def _manifest(problem: Problem, dataset: Dataset, space: SearchSpace, path: Path, supernet: Supernet) -> dict[str, Any]:
    return {
        "format": 1,
        **_ingredients(problem, dataset, space),
        "split": _split_fingerprint(dataset),
        "problem": problem.name,
        "command": f"evo-fair train {problem.argument}",
        "evo_fair": __version__,
        "data": {"name": dataset.name, "licence": dataset.licence, "fingerprint": dataset.fingerprint},
        "parameters": sum(weight.numel() for weight in supernet.weights.values()),
        "sha256": sha256_of(path),
        "validation": _validation(problem, dataset, space, path),
    }


def proxy_source(problem: Problem, dataset: Dataset, space: SearchSpace, supernet: Path) -> ProxySource:
    """The proxy that predicts the validation part with this supernet."""
    calibration = calibration_samples(dataset, problem.proxy.calibration_samples)
    return ProxySource(supernet, space, dataset.inputs[calibration], dataset.samples("validation"))


def _validation(problem: Problem, dataset: Dataset, space: SearchSpace, path: Path) -> dict[str, Any]:
    proxy = proxy_source(problem, dataset, space, path).open()
    report: dict[str, Any] = {}
    for name, genome in (("largest", space.largest()), ("smallest", space.smallest())):
        predictions = proxy.predict(genome[None])
        counts = {group: dataset.counts(predictions, "validation", group) for group in problem.fairness.groupings}
        report[name] = {
            "accuracy": float(METRICS["accuracy"](counts[problem.fairness.group])[0]),
            "groups": {grouping: group_summary(part) for grouping, part in counts.items()},
        }
    return report


def _ingredients(problem: Problem, dataset: Dataset, space: SearchSpace) -> dict[str, Any]:
    """All that the trained weights depend on."""
    return {
        "space": space.fingerprint,
        "training": problem.training.model_dump(mode="json"),
        "data_fingerprint": dataset.fingerprint,
        "training_code": TRAINING_CODE,
        "torch": torch.__version__,
    }


def _split_fingerprint(dataset: Dataset) -> str:
    """Which sample belongs to which part: equal for equal downloads, however their images were decoded."""
    arrays = (dataset.labels, dataset.split, dataset.units)
    return digest(dataset.name, str(dataset.input_shape), *(array.tobytes() for array in arrays))


def _folder(problem: Problem, dataset: Dataset, space: SearchSpace, device: TorchDevice = CPU) -> Path:
    key = digest(repr(sorted({**_ingredients(problem, dataset, space), **device.facts()}.items())))[:16]
    return cache_folder("supernets", f"{problem.name}-{key}")
