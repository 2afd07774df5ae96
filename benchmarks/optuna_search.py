"""Optuna's samplers by the rules of our search: known networks cost nothing, and the journal is of the same form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna

from evo_fair.evolution import Evaluator, Journal, Record, SearchPlan, Space, to_minimise
from evo_fair.evolution.measure import Measurer

__all__ = ["SAMPLERS", "run_optuna"]

SAMPLERS: dict[str, Callable[[SearchPlan], tuple[optuna.samplers.BaseSampler, int]]] = {
    "optuna": lambda plan: (
        optuna.samplers.NSGAIISampler(population_size=plan.population, seed=plan.seed),
        plan.population,
    ),
    "optuna-tpe": lambda plan: (optuna.samplers.TPESampler(seed=plan.seed), 1),
    "optuna-gp": lambda plan: (optuna.samplers.GPSampler(seed=plan.seed, deterministic_objective=True), 1),
}
"""Each with how many trials it is asked for before it is told: those with a model know of every trial before."""

PATIENCE = 20
"""The proposals of an evolution, known ones included, end at so many times the budget."""

MODEL_PATIENCE = 3
"""Those of a sampler with a model, whose proposals take long."""


def run_optuna(plan: SearchPlan, space: Space, evaluator: Evaluator, path: Path, sampler: str = "optuna") -> None:
    """One of Optuna's samplers: ordered genes are integers to it, the others categories.

    Known networks are told as they were recorded and cost nothing, as for the others. The journal at `path` is written
    anew, from the start: what was evaluated before a kill is in the evaluator's store.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made, batch = SAMPLERS[sampler](plan)
    most = (PATIENCE if batch > 1 else MODEL_PATIENCE) * plan.budget
    study = optuna.create_study(directions=["minimize"] * len(plan.objectives), sampler=made)
    names = [objective.name for objective in plan.objectives]
    measurer = Measurer(space, evaluator, plan.objectives, (), plan.group, plan.also)
    seen: dict[str, Record] = {}
    generation = 0
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        while len(seen) < plan.budget and generation * batch < most:
            trials = [study.ask() for _ in range(batch)]
            genomes = space.canonical(np.array([_suggest(trial, space) for trial in trials], np.int16))
            ids = space.ids(genomes)
            first = {name: place for place, name in reversed(list(enumerate(ids))) if name not in seen}
            new = genomes[sorted(first.values())]
            records = measurer.records(new, generation, plan.budget - len(seen), {}) if len(new) else []
            journal.append(records)
            seen |= {record.id: record for record in records}
            for trial, name in zip(trials, ids, strict=True):
                if name in seen:
                    values = [[seen[name].objectives[objective] for objective in names]]
                    study.tell(trial, to_minimise(values, plan.objectives)[0].tolist())
            generation += 1


def _suggest(trial: optuna.Trial, space: Space) -> list[int]:
    return [
        trial.suggest_int(name, 0, int(count) - 1)
        if ordered
        else trial.suggest_categorical(name, list(range(int(count))))
        for name, count, ordered in zip(space.gene_names, space.cardinalities, space.ordered, strict=True)
    ]
