"""Optuna's NSGA-II by the rules of our search: known networks cost nothing, and the journal is of the same form."""

from pathlib import Path

import numpy as np
import optuna

from evo_fair.search import Evaluator, Journal, Plan, Record, to_minimise
from evo_fair.search.measure import Measurer
from evo_fair.space import SearchSpace

__all__ = ["run_optuna"]

PATIENCE = 20
"""Optuna's proposals, known ones included, end at so many times the budget."""


def run_optuna(plan: Plan, space: SearchSpace, evaluator: Evaluator, path: Path) -> None:
    """Optuna's NSGA-II, a generation at a time: ordered genes are integers to it, the others categories.

    Known networks are told as they were recorded and cost nothing, as for the others. The journal at `path` is written
    anew, from the start: what was evaluated before a kill is in the evaluator's store.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=plan.population, seed=plan.seed)
    study = optuna.create_study(directions=["minimize"] * len(plan.objectives), sampler=sampler)
    names = [objective.name for objective in plan.objectives]
    measurer = Measurer(space, evaluator, plan.objectives, (), plan.group, plan.also)
    seen: dict[str, Record] = {}
    generation = 0
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        while len(seen) < plan.budget and generation * plan.population < PATIENCE * plan.budget:
            trials = [study.ask() for _ in range(plan.population)]
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


def _suggest(trial: optuna.Trial, space: SearchSpace) -> list[int]:
    return [
        trial.suggest_int(name, 0, int(count) - 1)
        if ordered
        else trial.suggest_categorical(name, list(range(int(count))))
        for name, count, ordered in zip(space.gene_names, space.cardinalities, space.ordered, strict=True)
    ]
