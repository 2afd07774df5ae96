"""The dense network to prune or to audit, from wherever the user has it; trained first where it is not trained yet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from evo_fair.arguments import as_name, as_path
from evo_fair.data import Dataset
from evo_fair.errors import PruningError, RunError, UnknownNameError, quote
from evo_fair.evolution.journal import check_records
from evo_fair.files import cache_folder, digest, is_recorded, read_json, sha256_of, write_bytes
from evo_fair.job_folder import Piece
from evo_fair.jobs.guessing import say_doubts, warn_of_probabilities
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.reference import find_reference, train_references
from evo_fair.jobs.rehearsal import rehearse
from evo_fair.lock import held
from evo_fair.nets import Network, Step, Supernet, initialise
from evo_fair.nets.layout import has_own_inputs
from evo_fair.nets.randomness import random_numbers_as_before, seed_everything
from evo_fair.nets.reference import REFERENCES, WIDTHS, build_reference, is_reference
from evo_fair.own import NetworkSpace
from evo_fair.problem import Problem
from evo_fair.proxy import calibration_samples
from evo_fair.proxy.supernets import find_supernet
from evo_fair.pruning.given import copy_of_module, load_module, settings_of, source_of
from evo_fair.pruning.given_weights import load_weights
from evo_fair.pruning.task import Dense, Task, content_of, state_of
from evo_fair.report import load_run
from evo_fair.space import SearchSpace

__all__ = ["LARGEST", "NetworkSource", "dense_network", "given_network"]

LARGEST = "largest"
"""Names the problem's largest network."""


@dataclass(frozen=True)
class NetworkSource:
    """Where the network comes from, as the user says it.

    `network` is `largest`, a reference network's name, a `.safetensors` file that `train --network` stored beside its
    manifest, or with `run` the id of a network of that run; or else `module` is `file.py:function` or
    `package.module:function` of the user's own, with its `weights`, or a trained `nn.Module`, which is copied. Without
    any of these it is the problem's largest. Raises `PruningError` for what does not go together.
    """

    network: str | None = None
    run: str | Path | None = None
    module: str | nn.Module | None = None
    weights: str | Path | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.module, str | nn.Module | None):
            raise PruningError(f"module {quote(self.module)} is neither a text nor a torch.nn.Module: give one of them")
        for name in ("run", "weights"):
            if getattr(self, name) is not None:
                as_path(name, getattr(self, name))
        if self.module is not None and (self.network is not None or self.run is not None):
            raise PruningError("a network and a module are given: give one of --network and --module")
        if self.weights is not None and self.module is None:
            raise PruningError("weights are given without their module: give it as --module file.py:function")
        if self.run is not None and self.network is None:
            raise PruningError("a run is given without the network: name one of its ids with --network")


def dense_network(
    problem: Problem,
    task: Task,
    source: NetworkSource,
    listener: Listener | None = None,
    check: Callable[[nn.Module], object] = lambda _: None,
    structured: bool = True,
    before_training: Callable[[nn.Module], object] | None = None,
) -> tuple[Dense, str]:
    """The network in evaluation mode, checked to fit the task's data, and its name in tables and files.

    The problem's largest, a reference network's name and a module without weights are trained by the task's recipe and
    its seed, unless the cache holds them; a training that was broken off goes on, and one that another job is at is
    waited for. Before it `check` gets the network and can refuse it; `listener` hears that it begins, and of its
    epochs. The weights that such a training began with are known, too, as `early`; those of a run's networks, which are
    the supernet's, and of files are not. A module's whole way is tried first, see `rehearse`; `structured` says whether
    channels will leave. One that will really be trained goes to `before_training`, too, which may take longer. Raises
    `EvoFairError` of the kind that fits for wrong input.
    """
    listener, epochs = as_listener(listener), task.recipe.epochs
    if source.module is not None:
        given = isinstance(source.module, nn.Module)
        name = type(source.module).__name__ if given else str(source.module).rpartition(":")[2]
        network = given_network(source.module, task.recipe.seed)
        if source.weights is not None:
            load_weights(network, Path(source.weights))
        anew = source.weights is None and not given
        rehearse(network, task, anew, structured)
        check(network)  # what is refused is not doubted, too
        warn_of_probabilities(name, network, task, listener)
        if anew:
            dense = _trained(task, network, name, listener, before_training or check)
        else:
            dense = Dense(task.settled(network), None, epochs)
        say_doubts(name, dense.network, task, listener, brought=not anew)
        return dense, name
    name = LARGEST if source.network is None else as_name("network", source.network)
    if source.run is not None:
        return Dense(_of_run(problem, task, source.run, name), None, epochs), name
    if name.endswith(".safetensors"):
        return Dense(_stored_reference(Path(name), task), None, epochs), Path(name).stem
    if name == LARGEST:
        labels = len(task.dataset.label_names)
        space = problem.search_space(task.dataset.input_shape, labels)
        return _trained(task, Network(space.architecture(space.largest()), labels), name, listener, check), name
    return _reference(problem, task, name, listener, check), name


def given_network(module: str | nn.Module, seed: int) -> nn.Module:
    """The network that a module of the user's own is or makes, with the weights that it comes with."""
    if isinstance(module, nn.Module):
        return copy_of_module(module)
    with random_numbers_as_before():  # of what its function draws, `initialise` draws the usual layers anew
        seed_everything(seed)
        return load_module(module)


def _trained(
    task: Task, network: nn.Module, name: str, listener: Listener, check: Callable[[nn.Module], object]
) -> Dense:
    """Trains a network from the recipe's seed, or takes what the cache holds of that same training."""
    recipe = task.recipe
    initialise(network, torch.Generator().manual_seed(recipe.seed))
    task.check_outputs(network)
    early = state_of(network)
    # Dropout, say, is in neither tensors nor outputs.
    what = (task.fingerprint(network), source_of(network), settings_of(network))
    layout = ["contiguous"] if has_own_inputs(network) else []  # it rounds as its memory lies
    where = task.device.facts().values()
    key = digest(recipe.model_dump_json(), task.dataset.fingerprint, *what, torch.__version__, *layout, *where)
    path = cache_folder("dense") / f"{key[:24]}.safetensors"
    piece = Piece(path.with_suffix(".json"), {"": path})
    checkpoint = path.with_suffix(".checkpoint.safetensors")
    if not piece.made:
        check(network)
        with held(path.parent, f"a training of {name}", path.stem, wait=listener.noted):
            if not piece.made:  # another job may just have trained it
                listener.noted(f"training {name}, {recipe.epochs} epochs")
                task.train(
                    network,
                    recipe.epochs,
                    recipe.seed,
                    on_epoch=lambda step: listener.tuning(name, step),
                    checkpoint=checkpoint,
                )
                write_bytes(path, content_of(network))
                piece.finish({"sha256": sha256_of(path)})
    checkpoint.unlink(missing_ok=True)
    load_weights(network, path)
    return Dense(task.settled(network), early, recipe.epochs)


def _reference(
    problem: Problem, task: Task, name: str, listener: Listener, check: Callable[[nn.Module], object]
) -> Dense:
    """A reference network by name, as `train --network` makes it from the recipe's seed."""
    if not is_reference(name):
        mend = f"{WIDTHS}, the .safetensors file of one, or with --run the id of a network of that run"
        raise UnknownNameError("network", name, [LARGEST, *sorted(REFERENCES)], mend)
    seed = task.recipe.seed
    network = build_reference(name, len(task.dataset.label_names))
    initialise(network, torch.Generator().manual_seed(seed))
    early = state_of(network)
    try:
        path = find_reference(problem, task.dataset, name, seed, task.device).with_suffix(".safetensors")
    except RunError:  # not trained yet

        def begins() -> None:
            check(network)
            listener.noted(f"training {name}, {task.recipe.epochs} epochs")

        hears = _TrainedFirst(listener, begins)
        (stored,) = train_references(
            problem, [name], seed=seed, torch_device=task.device, listener=hears, wait=listener.noted
        )
        path = stored.path
    load_weights(network, path)
    task.check_outputs(network)
    return Dense(task.settled(network), early, task.recipe.epochs)


class _TrainedFirst(Listener):
    """Hears of a training that comes before a job: passes on its epochs, and calls `begins` once all is checked."""

    def __init__(self, listener: Listener, begins: Callable[[], None]) -> None:
        self._listener, self._begins = listener, begins

    def prepared(self, dataset: Dataset, space: SearchSpace | NetworkSpace) -> None:
        """The network is about to be trained."""
        del dataset, space
        self._begins()

    def tuning(self, network: str, step: Step) -> None:
        """Passes it on."""
        self._listener.tuning(network, step)


def _stored_reference(path: Path, task: Task) -> nn.Module:
    """What `train --network` stored: its manifest, beside it, names the network."""
    manifest = path.with_suffix(".json")
    for file in (path, manifest):
        if not file.is_file():
            raise PruningError(
                f"{file} does not exist: name the .safetensors file of 'train --network', its .json beside it"
            )
    facts = read_json(manifest, PruningError)
    name = facts.get("network") if isinstance(facts, dict) else None
    if not isinstance(name, str) or not is_reference(name):
        raise PruningError(f"{manifest} names no reference network: bring your own network with --module and --weights")
    labels, known = facts.get("labels"), list(task.dataset.label_names)
    if labels != known:
        raise PruningError(
            f"{path} was trained for the labels {quote(labels)}, not for {known} of {task.dataset.name}: "
            "train it on this problem"
        )
    data = facts.get("data")
    if not isinstance(data, dict) or data.get("fingerprint") != task.dataset.fingerprint:
        raise PruningError(
            f"{path} was trained on other data or another split than {task.dataset.name} has here, so that it may know "
            "these test samples: train it on this problem"
        )
    if not is_recorded(path, manifest):
        raise PruningError(
            f"{path} is not the file that {manifest.name} was written for: it is damaged, or another; train it again"
        )
    network = build_reference(name, len(known))
    load_weights(network, path)
    task.check_outputs(network)
    return task.settled(network)


def _of_run(problem: Problem, task: Task, run: str | Path, name: str) -> nn.Module:
    """A network of a run with the supernet's weights, batch norms calibrated."""
    opened = load_run(Path(run))
    if "network" in opened.configuration:
        raise RunError(
            f"the run in {run} searched a network of its own, and no supernet: its networks are files in "
            f"{Path(run) / 'networks'}; prune or audit the whole one with --module"
        )
    records = {record.id: record for record in opened.records}
    if name not in records:
        known = sorted(record.id for record in opened.front_records)
        raise UnknownNameError("network", name, known, f" of the run {run}")
    space = problem.search_space(task.dataset.input_shape, len(task.dataset.label_names))
    wanted = opened.configuration.get("supernet", {}).get("sha256")
    stored = find_supernet(problem, task.dataset, space, task.device, wanted)
    for what, found in (
        ("space", space.fingerprint),
        ("data", task.dataset.fingerprint),
        ("supernet", stored.sha256 if stored else None),
    ):
        told = opened.configuration.get(what, {})
        if found is None or found != told.get("sha256", told.get("fingerprint")):
            raise RunError(
                f"the {what} of {problem.name} is not the one of the run in {run}: "
                "name the problem and the --data of its search"
            )
    assert stored is not None
    check_records(opened.path / "journal.jsonl", opened.records, space, opened.axes)
    supernet = Supernet.load(stored.path, space)
    network = supernet.extract(np.array(records[name].genome, np.int16))
    chosen = calibration_samples(task.dataset, problem.proxy.calibration_samples)
    network.calibrate(supernet.normalise(task.dataset.inputs[chosen]))
    return task.settled(network)
