"""Fair pruning of one network: data, network, methods and the folder wired together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from evo_fair.arguments import as_path
from evo_fair.data import check_samples
from evo_fair.files import remove_leftovers
from evo_fair.jobs.dense import NetworkSource, dense_network
from evo_fair.jobs.facts import problem_facts, version_facts
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.places import place_of_job
from evo_fair.jobs.prune_settings import PruneSettings, PruneUnit
from evo_fair.jobs.pruned_folder import PRUNINGS, PrunedFolder
from evo_fair.jobs.workers import Workers, make_files, open_team, ready_workers
from evo_fair.latency import Profile, load_profile
from evo_fair.lock import one_job
from evo_fair.nets.plain import plain_torch
from evo_fair.plugins import facts
from evo_fair.problem import Problem, as_problem
from evo_fair.pruning.criteria import check_criteria
from evo_fair.pruning.methods import MAGNITUDE, PRUNING_CODE, ChosenMethod
from evo_fair.pruning.selection import Scope, StructureKind, check_prunable, shares_by_part
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Task
from evo_fair.pruning.treatments import Treatment

__all__ = ["prune", "prune_network"]


@plain_torch()
def prune(
    problem: Problem | str | Path,
    *,
    out: str | Path,
    methods: Sequence[str | Callable[..., Any]] = ("magnitude",),
    sparsities: Sequence[float] = (0.5,),
    seeds: Sequence[int] = (0,),
    structure: StructureKind = "structured",
    scope: Scope | None = None,
    ratios: Mapping[str, float] | None = None,
    treatment: Treatment | None = None,
    rounds: int | None = None,
    epochs: int | None = None,
    epsilon: float = 0.01,
    distillation: float = 0.0,
    network: str | None = None,
    run: str | Path | None = None,
    module: str | None = None,
    weights: str | Path | None = None,
    group: str | None = None,
    device: str | Path | None = None,
    torch_device: str = "auto",
    workers: Workers | int | str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> pd.DataFrame:
    """Prunes one network by each of `methods`, to each of `sparsities`, with each of `seeds`; returns the table.

    The network is the problem's largest one, unless `network`, `run` or `module` names
    another. For each pruned network it writes `NAME.onnx` (checked against torch) and
    `NAME.json`, and for all of them `pruned.csv`.

    Args:
        problem: The problem whose data and recipe are used: its name, its file, or what
            `load_problem` gave.
        out: The folder of the networks and of `pruned.csv`. It has to be new, except
            with `resume`.
        methods: Names of methods or criteria, or functions of your own, see
            `evo_fair.extend`. Default: `magnitude`.
        sparsities: Shares that leave, between 0 and 1, of channels or of single
            weights. Default: 0.5.
        seeds: Seeds of the methods, 0 or more. Default: 0.
        structure: `structured`, whole channels leave, or `unstructured`, single weights
            do. Default: `structured`.
        scope: `global`, or `uniform` by layer; refused for a method that has another of
            its own. Default: `global`.
        ratios: Shares by layer, in the place of `sparsities`. Default: none.
        treatment: After `magnitude` and criteria: `none`, `finetune`, `rewind` or
            `reinit`. Default: `finetune`.
        rounds: In how many rounds `magnitude` and criteria prune. Default: 1.
        epochs: What each method may train. Default: a quarter of the recipe's.
        epsilon: The accuracy that `ballot` and `evo` may lose, 0.01 for a point.
            Default: 0.01.
        distillation: The share of the loss that follows what the dense network says of
            the same images, 0 to 1, wherever a method trains. Default: 0, labels alone.
        network: `largest`, a reference network's name, or with `run` the id of a
            network of it. Default: `largest`.
        run: The folder of a search that `network` is an id of. Default: none.
        module: `file.py:function` or `package.module:function` that makes a network of
            your own. Default: none.
        weights: The module's weights, a .safetensors file. Default: None, it is trained
            first.
        group: The grouping that fairness is about. Default: the problem's.
        device: The device whose latency is predicted, a name or a profile's path.
            Default: the problem's.
        torch_device: Where networks are trained and evaluated: `auto`, `cpu`, `cuda`,
            `cuda:N` or `mps`. Default: `auto`, a GPU if there is one.
        workers: Who makes the networks: so many processes here, the address of a
            Dask scheduler, or a `Workers`. They are the same. Default: None,
            this process.
        resume: Whether to go on with a folder that was broken off, or to add networks
            to it; those that are there are not made again. Default: False.
        listener: Hears how far the pruning is. Default: nobody.

    Returns:
        A row a network, the dense one first and those of earlier calls last, as
        `pruned.csv` has it. Figures are of the test part, those called
        `validation_METRIC` of the validation part. A latency that can't be told is left
        empty.

    Raises:
        PruningError: The network, or a layer that `ratios` names, can't be pruned as
            asked.
        EvoFairError: Other input is wrong; the error's kind says what of it.

    Example:
        >>> run = ef.load_run("results/digits")
        >>> name = run.front["id"][0]
        >>> table = ef.prune("digits", run=run.path, network=name, treatment="none", out="results/pruned")
        >>> table["method"].tolist()
        ['dense', 'magnitude']
    """
    settings = PruneSettings(
        methods, sparsities, seeds, structure, scope, ratios, treatment, rounds, epochs, epsilon, distillation
    )
    source = NetworkSource(network, run, module, weights)
    return prune_network(
        problem,
        source,
        settings,
        out=out,
        group=group,
        device=device,
        torch_device=torch_device,
        workers=workers,
        resume=resume,
        listener=listener,
    )


@one_job("a pruning", lambda given: as_path("out", given["out"]))
def prune_network(
    problem: Problem | str | Path,
    source: NetworkSource,
    settings: PruneSettings,
    *,
    out: str | Path,
    group: str | None = None,
    device: str | Path | None = None,
    torch_device: str = "auto",
    workers: Workers | int | str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> pd.DataFrame:
    """Prunes the network of `source` as `settings` say, in one process of this folder at a time.

    Args:
        problem: The problem whose data and recipe are used: its name, its file, or what
            `load_problem` gave.
        source: Where the dense network comes from.
        settings: How it is pruned: methods, sparsities, seeds and the rest of `prune`.
        out: The folder of the networks and of `pruned.csv`.
        group: The grouping that fairness is about. Default: the problem's.
        device: The device whose latency is predicted, a name or a profile's path.
            Default: the problem's.
        torch_device: Where networks are trained and evaluated. Default: `auto`, a GPU
            if there is one.
        resume: Whether to go on with a folder that was broken off. Default: False.
        listener: Hears how far the pruning is. Default: nobody.

    Returns:
        A row a network, as in `prune`.

    Raises:
        EvoFairError: The input is wrong; the error's kind says what of it.
    """
    problem, listener, folder = as_problem(problem), as_listener(listener), as_path("out", out)
    workers = ready_workers(workers)
    profile = load_profile(problem.search.devices[0] if device is None else device)
    begun = None
    if PRUNINGS.goes_on(folder, resume):  # refuses a folder of something else before anything is trained
        begun = PRUNINGS.read(folder)
        profile = profile.known_as(begun.get("device")) or profile
    place = place_of_job(torch_device, begun, listener)
    task = Task(problem.dataset(), problem.fairness.chosen(group), problem.training, place)
    check_samples(task.dataset, (task.group,), 1)
    if begun is not None:  # before a network is trained for what has changed
        known = {"problem": problem_facts(problem), "data": task.dataset.fingerprint, "group": task.group}
        PRUNINGS.check_settings(folder, known | facts())
    listener.writing(folder)
    check = partial(_structure, task=task, settings=settings)
    dense, name = dense_network(problem, task, source, listener, check, settings.structure == "structured")
    structure = check(dense.network)
    PRUNINGS.start(folder, _facts(problem, task, settings, profile, dense, name), resume)
    remove_leftovers(folder)
    results = PrunedFolder(task, dense, name, structure, profile, folder, listener)
    if not results.finished("dense"):
        results.write_dense()
    pruning = _Pruning(
        results.elsewhere(folder, Listener()), settings.chosen, settings, settings.spent(problem.training.epochs)
    )

    def heard(unit: PruneUnit, done: int) -> None:
        listener.pruned(unit.name, done, len(settings.units))

    with open_team(workers, folder, listener) as team:
        there = make_files(
            team,
            settings.units,
            lambda unit: results.finished(unit.name),
            pruning.make,
            lambda unit: unit.name,
            folder,
            heard,
            listener,
        )
    made = [unit.name for unit in there]
    return results.table(["dense", *made, *results.others({"dense", *made})])


@dataclass(frozen=True)
class _Pruning:
    """All that networks are made from, each within `epochs`; it can be sent to workers."""

    results: PrunedFolder
    methods: tuple[ChosenMethod, ...]
    settings: PruneSettings
    epochs: int

    def make(self, unit: PruneUnit, folder: Path, listener: Listener) -> None:
        """Makes a network and writes it into a folder."""
        (method,) = (one for one in self.methods if one.name == unit.method)
        request, results = self.settings.request(unit, self.epochs), self.results.elsewhere(folder, listener)
        task = results.task.following(results.dense.network, self.settings.distillation)
        pruned = method.prune(results.dense, task, request)
        results.write(unit, pruned, request, method.traits.own_scope)
        lost, limit = pruned.notes.get("held_out_accuracy_lost", 0.0), self.settings.epsilon
        if lost > limit:
            listener.warned(
                f"{unit.name} misses its limit: validation accuracy {lost:.4f} below dense, not epsilon {limit:g}; "
                "prune less, train longer or allow more with --epsilon"
            )


def _structure(network: nn.Module, task: Task, settings: PruneSettings) -> Structure:
    """What can be pruned in a network; raises `EvoFairError` for one that the settings do not suit."""
    found = task.structure(network)
    check_prunable(found, settings.structure)
    shares_by_part(found, settings.ratios or {}, settings.structure)
    few = task.samples(np.random.default_rng(0), 2)
    criteria = {one.name: one.criterion for one in settings.chosen if one.criterion and one.name != MAGNITUDE}
    check_criteria(criteria, network, found, few)
    return found


def _facts(
    problem: Problem, task: Task, settings: PruneSettings, profile: Profile, dense: Dense, name: str
) -> dict[str, Any]:
    """Everything that the networks depend on but the methods, sparsities and seeds, of which there can be more."""
    return {
        **version_facts(),
        **task.device.facts(),
        "code": PRUNING_CODE,
        "problem": problem_facts(problem),
        "data": task.dataset.fingerprint,
        "network": name,
        "structure": settings.structure,
        "scope": settings.followed_scope,
        "ratios": settings.ratios,
        "treatment": settings.treatment,
        "rounds": settings.rounds,
        "group": task.group,
        "epochs": settings.spent(problem.training.epochs),
        "epsilon": settings.epsilon,
        **({"distillation": settings.distillation} if settings.distillation else {}),
        "device": profile.sha256,
        "dense": task.fingerprint(dense.network),
        **facts({f"method {one.name}": one.code for one in settings.chosen}),
    }
