"""Deploying networks of a run, the API's part of it: run, data, supernet and workshop wired together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import nn

from evo_fair.arguments import as_number, as_path, as_texts, as_whole, check_seeds
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, RunError, WorkerError, check_list
from evo_fair.evolution import check_front, genome_of
from evo_fair.export.alone import TRAININGS, AloneTraining
from evo_fair.export.choice import choose_networks
from evo_fair.export.evenness import check_even_groups
from evo_fair.export.tuning import Tuning
from evo_fair.export.workshop import Workshop
from evo_fair.files import remove_leftovers, write_text
from evo_fair.job_folder import RUNS, other_job
from evo_fair.jobs.deployed_tables import complete_cards, write_timings_and_table
from evo_fair.jobs.facts import data_facts, problem_facts, version_facts
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.places import place_of_job
from evo_fair.jobs.searched_run import (
    check_data,
    check_space,
    given_reference,
    own_network,
    plugin_facts,
    profiles_of,
    searched_objectives,
    searched_problem,
    supernet_of,
)
from evo_fair.jobs.workers import Team, Workers, make_files, open_team, ready_workers
from evo_fair.lock import one_job
from evo_fair.nets import Supernet
from evo_fair.nets.fair_training import DEFAULT_FAIRNESS_WEIGHT, FAIR_TRAINING_CODE
from evo_fair.nets.plain import plain_torch
from evo_fair.own import NetworkSpace
from evo_fair.problem import Problem
from evo_fair.report import Run, load_run
from evo_fair.space import SearchSpace

__all__ = ["deploy"]


def _folder_of(given: Mapping[str, Any]) -> Path | None:
    """Where a deployment goes; None where there is no run to deploy."""
    run, out = given["run"], given["out"]
    path = run.path if isinstance(run, Run) else as_path("run", run)
    if not (path / "run.toml").is_file():
        return None
    return path / "deployed" if out is None else as_path("out", out)


@one_job("a deployment", _folder_of)
@plain_torch()
def deploy(
    run: Run | str | Path,
    *,
    networks: Sequence[str] | None = None,
    data: str | Path | Dataset | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    from_scratch: bool = False,
    fairness_weight: float | Literal["default"] = 0.0,
    balance_groups: bool = False,
    distillation: float = 0.0,
    even_groups: float | None = None,
    int8: bool = False,
    references: Sequence[str | Path] = (),
    devices: Sequence[str | Path] | None = None,
    seed: int = 0,
    module: str | nn.Module | None = None,
    out: str | Path | None = None,
    torch_device: str = "auto",
    workers: Workers | int | str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> pd.DataFrame:
    """Trains chosen networks of a run on, writes them as checked ONNX, measures them and reports on the test part.

    Training starts from the supernet's weights, or `from_scratch`. What the search
    trained from scratch by the same recipe and seed is taken over. `fairness_weight`,
    `balance_groups` and `even_groups` look at the run's grouping. `even_groups` moves
    the trained networks' outputs, by label, so that groups are right equally often. A
    run that searched a network of your own needs its code again as `module`; training
    then starts from the weights in the run, and by `distillation` follows what the
    whole network says.

    Args:
        run: A `Run`, or its folder.
        networks: Ids of the front, or `["all"]`. Default: the best in each objective
            and one between them.
        data: The data set's folder, or the `Dataset` that the run's problem was given.
            Default: where the search would look.
        epochs: Epochs of training; 0 takes the supernet's weights. Default: 10, or the
            recipe's from scratch.
        learning_rate: The peak of the learning rate. Default: a fifth of the recipe's,
            or the recipe's from scratch.
        from_scratch: Whether to begin with random weights instead of the supernet's.
            Default: False.
        fairness_weight: Weight of the fairness term in the loss, 0 or more, or
            `default` for 1.0. Default: 0.
        balance_groups: Whether groups are drawn equally often. Default: False.
        distillation: The share of the loss that follows what the whole network says of
            the same images, 0 to 1; for pruned forms of a network of your own. Default:
            0, labels alone.
        even_groups: The accuracy that may be given for even groups, 0.01 for a point,
            on validation samples that the move was not fitted to. Default: None, no
            move.
        int8: Whether to write 8-bit networks, too. Default: False.
        references: Networks to time in the same rounds: ONNX files, or names of
            reference networks that were trained with the same seed. Default: none.
        devices: Profiles, by name or path, to predict latency for. Default: the run's.
        seed: Seed of training and of the intervals, 0 or more. Default: 0.
        module: The code of the network that the run searched, as in `search`. Default:
            None, for a run with a supernet.
        out: Folder for the networks. Default: `deployed` in the run's.
        torch_device: Where networks are trained: `auto`, `cpu`, `cuda`, `cuda:N` or
            `mps`. Files are checked on the CPU. Default: `auto`, a GPU if there is one.
        workers: Who trains the networks: so many processes here, the address of a
            Dask scheduler, or a `Workers`. They are the same. Default: None,
            this process.
        resume: Whether to keep networks that are there, and to add others; it needs the
            same settings as before. Default: False.
        listener: Hears how far the job is. Default: nobody.

    Returns:
        A row a file: `id`, sizes, `measured_ms`, metrics of the test part with the ends
        of their 95 % intervals. It is written to `deployed.csv` in the run's folder, or
        in `out` where that is given.

    Raises:
        RunError: The run is missing or damaged, or belongs to other data.
        WorkerError: A network ended three workers, and was not left out, or all were.
        EvoFairError: Other input is wrong; the error's kind says what of it.

    Example:
        >>> run = ef.load_run("results/digits")
        >>> table = ef.deploy(run, networks=[run.front["id"][0]], epochs=0)
        >>> bool(table["measured_ms"][0] > 0)
        True
    """
    networks = None if networks is None else as_texts("networks", networks)
    for name, given in (("references", references), ("devices", devices)):
        check_list(name, given)
    references = tuple(references)
    for reference in references:
        as_path("references", reference)
    data = data if data is None or isinstance(data, Dataset) else as_path("data", data)
    even_groups = as_number("even groups", even_groups)
    epochs, seed = as_whole("epochs", epochs), as_whole("seed", 0 if seed is None else seed)
    learning_rate, distillation = as_number("learning_rate", learning_rate), as_number("distillation", distillation)
    chosen_weight = DEFAULT_FAIRNESS_WEIGHT if str(fairness_weight) == "default" else fairness_weight
    weight = as_number("fairness weight", chosen_weight)
    workers = ready_workers(workers)
    listener = as_listener(listener)
    run = run if isinstance(run, Run) else load_run(run)
    folder = run.path / "deployed" if out is None else as_path("out", out)
    begun = RUNS.read(folder) if RUNS.goes_on(folder, resume) else None
    if begun is not None and (other := other_job(folder, "deployment")):
        raise RunError(f"{other}, or choose another --out")
    place = place_of_job(torch_device, begun, listener)
    tuning = Tuning(from_scratch, epochs, learning_rate, weight or 0.0, balance_groups, distillation or 0.0)
    check_even_groups(even_groups)
    check_seeds([seed])
    chosen = choose_networks(run.front, run.axes, networks)
    profiles = profiles_of(run, devices)
    problem, grouping = searched_problem(run, data)
    dataset = problem.dataset()
    others = [given_reference(name, problem, dataset, seed, place) for name in references]
    own = own_network(run, problem, dataset, grouping, module)
    if tuning.distillation and own is None:
        raise EvoFairError(
            f"distillation {tuning.distillation:g} follows the whole network of your own that was searched, and the "
            f"run in {run.path} searched none: leave it out"
        )
    stored = None
    space: SearchSpace | NetworkSpace
    if own is None:
        space = problem.search_space(dataset.input_shape, len(dataset.label_names))
        stored = supernet_of(run, problem, dataset, space, from_scratch, place)
    else:
        space = own.space
        check_data(run, dataset)
        check_space(run, space.fingerprint)
    check_front(run.path, run.front, space)
    listener.writing(folder)
    listener.prepared(dataset, space)
    if run.unfinished:
        listener.warned(run.unfinished)
    objectives = searched_objectives(run, listener)
    origin = own.configuration() if own else {"supernet": {"sha256": stored.sha256 if stored else "none"}}
    configuration = _configuration(problem, grouping, dataset, origin, tuning, even_groups, seed, int8)
    configuration = place.facts() | configuration | plugin_facts(run, begun)
    RUNS.start(folder, configuration, resume)
    remove_leftovers(folder)
    remove_leftovers(run.path, "deployed.csv")
    supernet = Supernet.load(stored.path, space) if stored and isinstance(space, SearchSpace) else None
    hashes = {"data": dataset.fingerprint} | ({"supernet": stored.sha256} if stored else {})
    beginning = None
    if own is not None:
        beginning, hashes = own.beginning(), hashes | own.hashes()
    alone = None
    if from_scratch or own is not None:  # what the search has trained already
        searched = space if isinstance(space, SearchSpace) else None
        alone = AloneTraining(
            run.path / TRAININGS, problem, dataset, searched, grouping, tuning, seed, beginning, place
        )
    workshop = Workshop(
        folder,
        problem,
        dataset,
        space,
        supernet,
        grouping,
        tuning,
        seed,
        int8,
        hashes,
        even_groups,
        alone,
        beginning,
        place,
    )
    with open_team(workers, folder, listener) as team:
        made = _make(team, workshop, run, chosen, listener)
    before = [name for name in run.front["id"].astype(str) if name not in chosen and workshop.finished(name)]
    chosen = [*made, *before]
    if not chosen:
        raise WorkerError(
            f"no network of {folder} survived its workers: give workers more memory if that is what they lack, or go "
            "on without workers and --resume"
        )
    table = write_timings_and_table(workshop, chosen, others, profiles, objectives, listener)
    complete_cards(workshop, run, table[table["role"] == "front"])
    write_text((run.path if out is None else folder) / "deployed.csv", table.to_csv(index=False, lineterminator="\n"))
    return table


def _make(team: Team | None, workshop: Workshop, run: Run, chosen: Sequence[str], listener: Listener) -> list[str]:
    """Makes the networks that are not there yet; returns those that are there in the end."""
    genomes = dict(zip(run.front["id"].astype(str), run.front["genome"].map(genome_of), strict=True))
    deployment = _Deployment(workshop, {name: genomes[name] for name in chosen})

    def heard(_name: str, done: int) -> None:
        listener.deployed(done, len(chosen))

    if team is not None:  # what the search has trained lies here, and is not sent
        for name in chosen:
            if not workshop.finished(name) and workshop.is_trained(name, genomes[name]):
                deployment.make(name, workshop.folder, listener)
        deployment = _Deployment(replace(workshop, alone=None), deployment.genomes)
    return make_files(
        team, chosen, workshop.finished, deployment.make, lambda name: name, workshop.folder, heard, listener
    )


@dataclass(frozen=True)
class _Deployment:
    """All that networks are made from; it can be sent to workers."""

    workshop: Workshop
    genomes: Mapping[str, Sequence[int]]

    def make(self, name: str, folder: Path, listener: Listener) -> None:
        """Trains a network and writes it into a folder."""
        shop = self.workshop.elsewhere(folder)
        shop.make(name, self.genomes[name], lambda step: listener.tuning(name, step))


def _configuration(
    problem: Problem,
    grouping: str,
    dataset: Dataset,
    origin: Mapping[str, Any],
    tuning: Tuning,
    even_groups: float | None,
    seed: int,
    int8: bool,
) -> dict[str, Any]:
    """Everything that deployed networks depend on, for the folder's `run.toml`."""
    settings = tuning.settings
    if tuning.fairness_weight:
        settings["fair_training_code"] = FAIR_TRAINING_CODE
    if even_groups is not None:
        settings["even_groups"] = even_groups
    return {
        "versions": version_facts("numpy", "onnxruntime", "torch"),
        "deploy": {**settings, "seed": seed, "int8": int8, "group": grouping},
        **origin,
        "data": data_facts(dataset),
        "problem": problem_facts(problem),
    }
