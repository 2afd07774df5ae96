"""What a deployment takes from the run that it deploys: problem, devices, own network or supernet, each checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import Objective, sources
from evo_fair.evolution.devices import plain_name
from evo_fair.evolution.front import BELIEVED
from evo_fair.evolution.objectives import built_in
from evo_fair.export.reference import Reference, open_reference
from evo_fair.jobs.devices import load_devices
from evo_fair.jobs.facts import problem_of
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.own import OwnOrigin, own_of_run
from evo_fair.jobs.reference import find_reference
from evo_fair.latency import Profile, device_names, load_profile
from evo_fair.nets.device import TorchDevice
from evo_fair.plugins import facts
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet, find_supernet
from evo_fair.registries import OBJECTIVES
from evo_fair.report import Run
from evo_fair.space import SearchSpace

__all__ = [
    "check_data",
    "check_space",
    "given_reference",
    "own_network",
    "plugin_facts",
    "profiles_of",
    "searched_objectives",
    "searched_problem",
    "supernet_of",
]


def searched_problem(run: Run, data: str | Path | Dataset | None) -> tuple[Problem, str]:
    """The run's problem, on the folder or data set `data`, and the grouping that its search looked at."""
    place = run.path / "run.toml"
    group = run.configuration["search"].get("group")
    if not isinstance(group, str):
        raise RunError(f"{place} does not say which problem and group were searched: restore the file")
    return problem_of(run.configuration, place, data), group


def given_reference(name: str | Path, problem: Problem, dataset: Dataset, seed: int, device: TorchDevice) -> Reference:
    """A reference network: the trained one of a name, or the ONNX file at a path."""
    is_path = isinstance(name, Path) or name.endswith(".onnx") or "/" in name
    path = Path(name) if is_path else find_reference(problem, dataset, str(name), seed, device)
    return open_reference(path, dataset)


def profiles_of(run: Run, devices: Sequence[str | Path] | None) -> list[Profile]:
    """The devices asked for, else those of the run's own whose profiles come along."""
    if devices:
        return list(load_devices(devices))
    found = [load_profile(name) for name in run.devices if name in device_names()]
    return [profile for profile in found if profile.known_as(run.devices[profile.name])]


def searched_objectives(run: Run, listener: Listener) -> list[Objective]:
    """What predictions decide of what the run searched or limited, so that other parts can be measured by it.

    An objective of the user's own has to be here as it was in the search; the listener hears of those that are not.
    """
    found = []
    for name in dict.fromkeys([*(axis.name for axis in run.axes), *(limit.name for limit in run.limits)]):
        here = OBJECTIVES.get(plain_name(name))
        if here is not None and (built_in(name) or sources([here]) == {name: run.sources.get(name)}):
            found += [] if here.cheap else [here]
        elif f"{name}{BELIEVED}" in run.front or not run.believed():  # what is cheap is never believed, but known
            told = "is not known here" if here is None else "has another source here than in the search"
            listener.warned(
                f"objective {name!r} {told}, so trained networks are not measured by it: give its file with --plugin, "
                "or in Python register it first"
            )
    return found


def plugin_facts(run: Run, begun: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """What a deployment records of plugins, as `facts` says; `begun` is what it recorded where it goes on.

    Networks that were made without a plugin of the search's don't depend on it: it may come later, to measure them.
    """
    found = facts()
    if begun is None or "plugins" not in found:
        return found
    before, searched = (side.get("plugins", {}) for side in (begun, run.configuration))
    kept = {
        name: value for name, value in found.pop("plugins").items() if name in before or searched.get(name) != value
    }
    return found | ({"plugins": kept} if kept else {})


def own_network(
    run: Run, problem: Problem, dataset: Dataset, grouping: str, module: str | nn.Module | None
) -> OwnOrigin | None:
    """The network that the run searched, None where its networks are a supernet's."""
    if "network" in run.configuration:
        return own_of_run(run.path, run.configuration, problem, dataset, grouping, module)
    if module is not None:
        raise EvoFairError(f"the run in {run.path} searched no network of your own: leave out the module")
    return None


def check_space(run: Run, fingerprint: str) -> None:
    """Raises `RunError` where the run searched another space than the one with this fingerprint."""
    if fingerprint != run.configuration.get("space", {}).get("fingerprint"):
        raise RunError(f"the run in {run.path} is of another search space than this evo_fair makes: search again")


def check_data(run: Run, dataset: Dataset) -> None:
    """Raises `RunError` where the run saw other data."""
    if dataset.fingerprint != run.configuration.get("data", {}).get("fingerprint"):
        raise RunError(
            f"the data differ from those that the run in {run.path} saw: give the same samples, labels and groups with "
            "--data"
        )


def supernet_of(
    run: Run, problem: Problem, dataset: Dataset, space: SearchSpace, from_scratch: bool, device: TorchDevice
) -> StoredSupernet | None:
    """The supernet that the run was searched with, None where none is needed; refuses other data than the run's."""
    check_data(run, dataset)  # other labels make another space, too
    check_space(run, space.fingerprint)
    if from_scratch:
        return None
    wanted = run.configuration.get("supernet", {}).get("sha256")
    stored = find_supernet(problem, dataset, space, device, wanted)
    if stored is None or stored.sha256 != wanted:
        raise RunError(
            f"the supernet of the run in {run.path} is not there: train it again with 'evo-fair train "
            f"{problem.argument}' and the same --data, or use --from-scratch"
        )
    return stored
