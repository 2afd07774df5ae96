"""Deploying networks of a run, the API's part of it: run, data, supernet and workshop wired together."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import nn

from evo_fair.arguments import as_number, as_path, as_texts, as_whole
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, RunError, check_list
from evo_fair.evolution import check_front, genome_of
from evo_fair.export.alone import TRAININGS, AloneTraining
from evo_fair.export.choice import choose_networks
from evo_fair.export.evenness import check_even_groups
from evo_fair.export.examine import Examiner
from evo_fair.export.reference import Reference, open_reference
from evo_fair.export.report import Deployed, deployed_table, time_networks
from evo_fair.export.tuning import Tuning
from evo_fair.export.workshop import Workshop
from evo_fair.files import inside, read_json, remove_leftovers, write_json, write_text
from evo_fair.job_folder import RUNS, other_job
from evo_fair.jobs.devices import load_devices
from evo_fair.jobs.facts import data_facts, problem_facts, problem_of, version_facts
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.own import OwnOrigin, own_of_run
from evo_fair.jobs.places import place_of_job
from evo_fair.jobs.reference import find_reference
from evo_fair.jobs.workers import Team, Workers, make_files, open_team, ready_workers
from evo_fair.latency import Profile, device_names, load_profile
from evo_fair.lock import one_job
from evo_fair.nets import Supernet
from evo_fair.nets.device import TorchDevice
from evo_fair.nets.fair_training import DEFAULT_FAIRNESS_WEIGHT, FAIR_TRAINING_CODE
from evo_fair.own import NetworkSpace
from evo_fair.plugins import facts
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet, find_supernet
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
    then starts from the weights in the run.

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
    epochs, seed = as_whole("epochs", epochs), as_whole("seed", 0 if seed is None else seed)
    learning_rate = as_number("learning_rate", learning_rate)
    weight = DEFAULT_FAIRNESS_WEIGHT if fairness_weight == "default" else as_number("fairness weight", fairness_weight)
    workers = ready_workers(workers)
    listener = listener or Listener()
    run = run if isinstance(run, Run) else load_run(run)
    folder = run.path / "deployed" if out is None else as_path("out", out)
    begun = RUNS.read(folder) if RUNS.goes_on(folder, resume) else None
    if begun is not None and (other := other_job(folder, "deployment")):
        raise RunError(f"{other}, or choose another --out")
    place = place_of_job(torch_device, begun, listener)
    tuning = Tuning(from_scratch, epochs, learning_rate, weight or 0.0, balance_groups)
    check_even_groups(even_groups)
    if seed < 0:
        raise EvoFairError(f"seed {seed} is negative: give 0 or more")
    chosen = choose_networks(run.front, run.axes, networks)
    profiles = _profiles(run, devices)
    problem, grouping = _searched(run, data)
    dataset = problem.dataset()
    others = [_reference(name, problem, dataset, seed, place) for name in references]
    own = _own_network(run, problem, dataset, grouping, module)
    stored = None
    space: SearchSpace | NetworkSpace
    if own is None:
        space = problem.search_space(dataset.input_shape, len(dataset.label_names))
        stored = _checked_supernet(run, problem, dataset, space, from_scratch, place)
    else:
        space = own.space
        _check_space_and_data(run, dataset, space.fingerprint)
    check_front(run.path, run.front, space)
    listener.writing(folder)
    listener.prepared(dataset, space)
    origin = own.configuration() if own else {"supernet": {"sha256": stored.sha256 if stored else "none"}}
    configuration = _configuration(problem, grouping, dataset, origin, tuning, even_groups, seed, int8)
    configuration = place.facts() | configuration | facts()
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
    table = _report(workshop, chosen, others, profiles, listener)
    _add_to_cards(workshop, run, table[table["role"] == "front"])
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


def _report(
    workshop: Workshop,
    chosen: Sequence[str],
    references: Sequence[Reference],
    profiles: Sequence[Profile],
    listener: Listener,
) -> pd.DataFrame:
    networks = [
        Deployed(name, "front", precision, path, workshop.files(name)["fp32"], workshop.scaling)
        for name in chosen
        for precision, path in workshop.files(name).items()
    ]
    networks += [
        Deployed(other.name, "reference", other.precision, other.path, other.path, other.scaling)
        for other in references
    ]
    timings = time_networks(networks, listener.timing, workshop.seed)
    conditions = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "runtime": f"ONNX Runtime {version('onnxruntime')}, 1 thread",
        "rounds": len(timings.rounds),
        "repeatability": timings.repeatability,
        "spread": timings.spread,
        "drift": timings.drift,
    }
    write_json(workshop.folder / "timing.json", conditions)
    groupings = dict.fromkeys((workshop.grouping, *workshop.problem.fairness.groupings))
    examiner = Examiner(workshop.dataset, "test", tuple(groupings), workshop.seed)
    table = deployed_table(networks, timings, profiles, examiner)
    if workshop.even_groups is not None:
        _add_evenness(workshop, table)
    return table


def _add_evenness(workshop: Workshop, table: pd.DataFrame) -> None:
    """Adds to the table what moving the outputs was allowed, and did on validation samples it was not fitted to.

    `even_groups` is the accuracy that it might cost, `even_strength` how far it went, from 0 (not at all) to 1,
    `held_out_accuracy_lost` and `held_out_group_variance_lost` what accuracy and the variance of the groups' fell by.
    References have NaN.
    """
    columns = ("even_groups", "even_strength", "held_out_accuracy_lost", "held_out_group_variance_lost")
    found = {name: np.full(len(table), np.nan) for name in columns}
    for row, (network, role) in enumerate(zip(table["id"], table["role"], strict=True)):
        if role != "front":
            continue
        evened = read_json(inside(workshop.folder, f"{network}.json"), RunError)["even_groups"]
        held = evened["held_out"]
        lost = (held[f"{name}_without"] - held[name] for name in ("accuracy", "group_variance"))
        for name, value in zip(columns, (evened["epsilon"], evened["strength"], *lost), strict=True):
            found[name][row] = value
    for name, values in found.items():
        table[name] = values


def _add_to_cards(workshop: Workshop, run: Run, rows: pd.DataFrame) -> None:
    """Completes each network's card by what the search said of it, and by what the test part says.

    `searched` has each objective's measured value, and what was believed of it where that is known. `test` has, by
    precision, the figures with their intervals.
    """
    believed, axes = run.believed(), [axis.name for axis in run.axes]
    searched = {str(row["id"]): {name: float(row[name]) for name in axes} for row in run.front.to_dict("records")}
    names = [str(name) for name in rows if f"{name}_low" in rows]
    for network, own in rows.groupby("id", sort=False):
        path = inside(workshop.folder, f"{network}.json")
        card = read_json(path, RunError)
        card["searched"] = {
            "objectives": searched[str(network)],
            "believed": believed.get(str(network), {}),
        }
        card["test"] = {
            str(row["precision"]): {
                name: {end: _plain(row[column]) for end, column in _ends(name).items()}
                for name in names
                if pd.notna(row[name])
            }
            for row in own.to_dict("records")
        }
        write_json(path, card)


def _ends(name: str) -> dict[str, str]:
    return {"value": name, "low": f"{name}_low", "high": f"{name}_high"}


def _plain(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _searched(run: Run, data: str | Path | Dataset | None) -> tuple[Problem, str]:
    """The run's problem, on the folder or data set `data`, and the grouping that its search looked at."""
    place = run.path / "run.toml"
    group = run.configuration["search"].get("group")
    if not isinstance(group, str):
        raise RunError(f"{place} does not say which problem and group were searched: restore the file")
    return problem_of(run.configuration, place, data), group


def _reference(name: str | Path, problem: Problem, dataset: Dataset, seed: int, device: TorchDevice) -> Reference:
    """A reference network: the trained one of a name, or the ONNX file at a path."""
    is_path = isinstance(name, Path) or name.endswith(".onnx") or "/" in name
    path = Path(name) if is_path else find_reference(problem, dataset, str(name), seed, device)
    return open_reference(path, dataset)


def _profiles(run: Run, devices: Sequence[str | Path] | None) -> list[Profile]:
    """The devices asked for, else those of the run's own whose profiles come along."""
    if devices:
        return list(load_devices(devices))
    found = [load_profile(name) for name in run.devices if name in device_names()]
    return [profile for profile in found if profile.known_as(run.devices[profile.name])]


def _own_network(
    run: Run, problem: Problem, dataset: Dataset, grouping: str, module: str | nn.Module | None
) -> OwnOrigin | None:
    """The network that the run searched, None where its networks are a supernet's."""
    if "network" in run.configuration:
        return own_of_run(run.path, run.configuration, problem, dataset, grouping, module)
    if module is not None:
        raise EvoFairError(f"the run in {run.path} searched no network of your own: leave out the module")
    return None


def _check_space_and_data(run: Run, dataset: Dataset, fingerprint: str) -> None:
    """Raises `RunError` for a network of the user's own whose space, or whose data, are not those of the run."""
    if fingerprint != run.configuration.get("space", {}).get("fingerprint"):
        raise RunError(f"the run in {run.path} is of another search space than this evo_fair makes: search again")
    if dataset.fingerprint != run.configuration.get("data", {}).get("fingerprint"):
        raise RunError(f"the data differ from those that the run in {run.path} saw: give the same with --data")


def _checked_supernet(
    run: Run, problem: Problem, dataset: Dataset, space: SearchSpace, from_scratch: bool, device: TorchDevice
) -> StoredSupernet | None:
    """The supernet that the run was searched with, None where none is needed; refuses other data than the run's."""
    if space.fingerprint != run.configuration.get("space", {}).get("fingerprint"):
        raise RunError(f"the run in {run.path} is of another search space than this evo_fair makes: search again")
    if from_scratch:
        if dataset.fingerprint != run.configuration.get("data", {}).get("fingerprint"):
            raise RunError(f"the data differ from those that the run in {run.path} saw: give the same with --data")
        return None
    wanted = run.configuration.get("supernet", {}).get("sha256")
    stored = find_supernet(problem, dataset, space, device, wanted)
    if stored is None or stored.sha256 != wanted:
        raise RunError(
            f"the supernet of the run in {run.path} is not there for these data: give the run's data with --data, "
            f"train it again with 'evo-fair train {problem.argument}', or use --from-scratch"
        )
    return stored


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
    settings = {key: value for key, value in asdict(tuning).items() if value is not None}
    if tuning.fairness_weight:
        settings["fair_training_code"] = FAIR_TRAINING_CODE
    if even_groups is not None:
        settings["even_groups"] = float(even_groups)
    return {
        "versions": version_facts("numpy", "onnxruntime", "torch"),
        "deploy": {**settings, "seed": seed, "int8": int8, "group": grouping},
        **origin,
        "data": data_facts(dataset),
        "problem": problem_facts(problem),
    }
