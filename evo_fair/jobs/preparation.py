"""What a search needs, loaded and checked before anything long begins."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evo_fair.data import Dataset, check_samples
from evo_fair.errors import RunError
from evo_fair.evolution import Constraint, Initial, Objective, SearchPlan, resolve, resolve_constraints, sources
from evo_fair.evolution.algorithms import Algorithm
from evo_fair.jobs.devices import load_devices, objectives_on, recorded_on, searched_devices
from evo_fair.latency import Profile
from evo_fair.own import NetworkSpace
from evo_fair.problem import Problem, as_problem
from evo_fair.space import SearchSpace

__all__ = ["Prepared", "check_sources", "measured_names", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """All that a search needs, loaded and checked; the space is the problem's, or the network's where one is given."""

    problem: Problem
    dataset: Dataset
    space: SearchSpace | NetworkSpace
    profiles: tuple[Profile, ...]
    plan: SearchPlan
    sources: dict[str, str]

    @property
    def groupings(self) -> tuple[str, ...]:
        """The groupings that figures are given by: the search's own first, each once."""
        return tuple(dict.fromkeys((self.plan.group, *self.problem.fairness.groupings)))


def prepare(
    problem: Problem | str | Path,
    device: str | Path | Sequence[str | Path] | None,
    objectives: Sequence[str | Objective] | None,
    constraints: Sequence[str | Constraint] | None,
    group: str | None,
    algorithm: Algorithm,
    budget: int | None,
    population: int | None,
    seed: int,
    initial: Initial,
    recorded: Mapping[str, str] | None = None,
) -> Prepared:
    """Loads and checks what a search needs; None stands for what the problem says, see `jobs.search`.

    `recorded` has the devices of a run that goes on, name -> SHA-256 of the profile: others are refused.
    """
    problem = as_problem(problem)
    defaults = problem.search
    with _own(problem, "device", device):
        profiles = load_devices(defaults.device if device is None else device, recorded)
    wanted = objectives_on(profiles, defaults.objectives) if objectives is None else objectives
    limited = defaults.constraints if constraints is None else constraints
    devices = searched_devices(profiles, wanted, limited)
    with _own(problem, "objectives", objectives):
        goals = resolve(wanted, devices)
    with _own(problem, "constraints", constraints):
        limits = resolve_constraints(limited, devices, objectives=goals)
    plan = SearchPlan(
        objectives=goals,
        group=problem.fairness.chosen(group),
        budget=defaults.budget if budget is None else budget,
        constraints=limits,
        algorithm=algorithm,
        population=defaults.population if population is None else population,
        seed=seed,
        also=recorded_on(profiles, devices, goals),
        initial=initial,
    )
    dataset = problem.dataset()
    check_samples(dataset, [plan.group], problem.data.min_samples, problem.data.draw)
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    measures = _measures(plan)
    _check_measures(dataset, space, plan.group, measures)
    return Prepared(problem, dataset, space, profiles, plan, sources(measures))


def _measures(plan: SearchPlan) -> list[Objective]:
    return [*plan.objectives, *(limit.objective for limit in plan.constraints)]


def measured_names(plan: SearchPlan) -> set[str]:
    """The names of the objectives of a search, and of what it limits."""
    return {measure.name for measure in _measures(plan)}


def _own(problem: Problem, key: str, given: object) -> AbstractContextManager[None]:
    """A block in which what is wrong is the problem's own, unless it was given instead."""
    return problem.at_fault(f"[search] {key}") if given is None else nullcontext()


def check_sources(folder: Path, begun: dict[str, Any], own: dict[str, str]) -> None:
    """Raises `RunError` for an objective of the user's own whose source is another one than when the run began.

    What is no table of sources, in a damaged file, is told with the other settings.
    """
    before = begun.get("search", {}).get("sources")
    for name, source in own.items() if isinstance(before, dict) else ():
        if before.get(name, source) != source:
            raise RunError(
                f"objective {name!r} has another source than when the run in {folder} began: "
                "restore it, or choose another --out"
            )


def _check_measures(dataset: Dataset, space: SearchSpace, group: str, measures: Sequence[Objective]) -> None:
    """Finds out before any training whether measures have a value on the validation part, and always the same."""
    labels = dataset.labels[dataset.part("validation")].astype(np.uint8)
    half_right = np.where(np.arange(len(labels)) % 2, labels, 0)  # of two networks, neither may count for the other
    counts = dataset.counts(np.stack([np.zeros_like(labels), half_right]), "validation", group)
    ends = space.decode(np.stack([space.smallest(), space.largest()]))
    for measure in measures:
        if not measure.cheap:
            measure.measure(counts)
        measure.check_steady(ends if measure.cheap else counts)
