"""Truth in a search: trainings of the networks that tell most, kept in the run's folder, and what is searched by them.

The API's part of it. A search ends with beliefs about every network that it evaluated (`evo_fair.belief`). With
trainings, networks are chosen in rounds, trained from nothing by the problem's recipe, and each round's results correct
what is believed of all the others. After each round as many networks as a generation has are evaluated that nobody
looked at yet, those that look best by what the trainings said: frozen weights led the search to others.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evo_fair.belief import (
    Belief,
    TrainingResult,
    describe_belief,
    find,
    read_trainings,
    spread,
    write_beliefs,
    write_trainings,
)
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, NonFiniteError, RunError
from evo_fair.evolution import Evaluator, Objective, Record, RunFolder, SearchPlan, Space, read_journal
from evo_fair.evolution.journal import Journal
from evo_fair.evolution.measure import Measurer
from evo_fair.export.alone import TRAININGS, AloneTraining, Beginning
from evo_fair.export.tuning import Tuning
from evo_fair.files import remove_leftovers, write_text
from evo_fair.jobs.evidence import Evidence
from evo_fair.jobs.guessing import ConstantAnswer
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.trainer import trainer
from evo_fair.jobs.workers import Team
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.problem import Problem
from evo_fair.show import counted
from evo_fair.space import SearchSpace

__all__ = ["Additions", "check_trainings", "train_chosen", "write_findings"]


ROUND = 4
"""Trainings that are chosen together; the next ones know their results."""


def check_trainings(
    trainings: int, epochs: int | None, objectives: Sequence[Objective], *, from_scratch: bool = True
) -> Tuning:
    """How networks are trained; raises `EvoFairError` for numbers that can't be, and where trainings tell nothing."""
    if trainings < 0:
        raise EvoFairError(f"trainings {trainings} is negative: give 0 (none) or more")
    if epochs is not None and not trainings:
        raise EvoFairError(
            f"training epochs {epochs} without trainings would do nothing: give the number of trainings, too"
        )
    tuning = Tuning(from_scratch, epochs)
    if trainings and all(objective.cheap for objective in objectives):
        names = ", ".join(objective.name for objective in objectives)
        raise EvoFairError(
            f"trainings {trainings} would tell nothing: {names} are known without; add an objective such as error, "
            "or leave trainings out"
        )
    return tuning


@dataclass(frozen=True)
class Additions:
    """The networks that trainings make a search look at: they follow its own in the journal, a generation a round.

    `evaluator` opens what evaluates them; `generations` is the number of the search's own.
    """

    journal: Path
    plan: SearchPlan
    space: Space
    evaluator: Callable[[], AbstractContextManager[Evaluator]]
    generations: int

    def after(
        self, rounds: int, evidence: Evidence, trainings: Sequence[TrainingResult], listener: Listener
    ) -> Evidence:
        """The evidence with the networks that are added after so many `rounds` of trainings.

        What the journal holds of the round is taken as it is where it is whole: where there are as many networks as a
        generation has, or those of a later round. Else a line may have been lost, and the round is gone over again.
        """
        generation = self.generations + rounds - 1
        records = read_journal(self.journal)
        there = [record for record in records if record.generation == generation]
        whole = len(there) >= self.plan.population or any(record.generation > generation for record in records)
        if whole:
            return evidence.enlarged(there)
        with self.evaluator() as evaluator:
            plan = self.plan
            measurer = Measurer(self.space, evaluator, plan.objectives, plan.constraints, plan.group, plan.also)
            rng = np.random.default_rng([plan.seed, generation])
            genomes = evidence.propose(trainings, plan.population, measurer, rng)
            known = {record.id: record for record in there}
            added = measurer.records(genomes, generation, len(genomes), known)
        with Journal(self.journal) as book:
            book.skip(len(records) - len(there))
            book.append(added)
        if len(added) > len(there):
            networks = counted(len(added), "more network")
            listener.noted(f"{networks} evaluated, which the trainings make look good")
        return evidence.enlarged(added)


def train_chosen(
    run: RunFolder,
    evidence: Evidence,
    additions: Additions,
    problem: Problem,
    dataset: Dataset,
    tuning: Tuning,
    trainings: int,
    listener: Listener,
    beginning: Beginning | None = None,
    team: Team | None = None,
    device: TorchDevice = CPU,
) -> tuple[Evidence, Belief]:
    """Trains networks until `trainings` are there, and writes what is believed then.

    They start from random weights, or from their `beginning`. A `team` trains those of a round at the same time, and
    leaves out what no worker survives. Returns the evidence with the networks that were added on the way, and what is
    believed of all.

    Every training is in `trainings.csv` once it has ended; those that a run has already stay. Raises `RunError` for a
    damaged file, and where the run's trainings had another number of epochs.
    """
    path = run.path / "trainings.csv"
    epochs = tuning.recipe(problem.training).epochs
    names = [goal.name for goal in evidence.goals]
    done = read_trainings(path, names, [record.id for record in read_journal(run.journal) if record.evaluated])
    if trainings:
        _check_alike(run.path, done, epochs, evidence.plan.seed)
    space = evidence.space if isinstance(evidence.space, SearchSpace) else None
    shop = AloneTraining(
        run.path / TRAININGS,
        problem,
        dataset,
        space,
        evidence.plan.group,
        tuning,
        evidence.plan.seed,
        beginning,
        device,
    )
    remove_leftovers(shop.folder)
    if len(done) < trainings:
        run.front.unlink(missing_ok=True)  # of fewer trainings: a run that is broken off now has not ended
    rounds, left_out = 0, set[str]()
    with trainer(team if len(done) < trainings else None, shop, listener) as train:
        while True:
            while len(told := done[: (rounds + 1) * ROUND]) == (rounds + 1) * ROUND:
                rounds += 1
                evidence = additions.after(rounds, evidence, told, listener)
            belief = evidence.believe(done)
            write_beliefs(run.path / "beliefs.csv", evidence.table(belief))
            if len(done) >= trainings:
                return evidence, belief
            best = evidence.next(evidence.believe(done[: rounds * ROUND]), ROUND + len(left_out))
            known = {one.id for one in done} | left_out
            new = [record for record in best if record.id not in known][: (rounds + 1) * ROUND - len(done)]
            chosen = new[: trainings - len(done)]
            if not chosen:
                lost = f"; {counted(len(left_out), 'one')} no worker survived" if left_out else ""
                listener.warned(
                    f"{len(done)} of {trainings} networks were trained: the search found no other that keeps its "
                    f"constraints{lost}"
                )
                return evidence, belief
            left_out |= {record.id for record in chosen}
            for record, labels in train(chosen):
                left_out.remove(record.id)
                done.append(_result(evidence, record, labels, epochs, shop))
                write_trainings(path, done)
                listener.trained(len(done), trainings)


def write_findings(folder: Path, evidence: Evidence, belief: Belief, dataset: Dataset, mend: str) -> None:
    """Writes `findings.txt`: in plain words, how far networks of equal size differ, and what of it can be told.

    It also says so where no network is believed to be clearly right more often than one that always gives the same
    answer, and with `mend` what to do then.
    """
    lines = [describe_belief(find(belief, goal, place)) for place, goal in enumerate(evidence.goals)]
    warning = _no_better_than_one_answer(evidence, belief, dataset)
    if warning:
        lines.append(f"{warning} {mend}")
    write_text(folder / "findings.txt", "".join(f"{line}\n" for line in lines))


def _no_better_than_one_answer(evidence: Evidence, belief: Belief, dataset: Dataset) -> str:
    """That no network does clearly better than always giving the commonest label; "" where one does."""
    constant = ConstantAnswer.of(dataset)
    kept = np.array([record.feasible for record in evidence.records], np.bool_)
    if not kept.any():
        return ""
    for place, goal in enumerate(evidence.goals):
        always = {"accuracy": constant.right, "error": 1.0 - constant.right}.get(goal.name)
        if always is not None and (goal.sign * belief.mean[kept, place]).min() > goal.sign * always - constant.clearly:
            return f"{goal.name}: no network is believed to do clearly better than always answering {constant}."
    return ""


def _result(
    evidence: Evidence, record: Record, labels: npt.NDArray[np.uint8], epochs: int, shop: AloneTraining
) -> TrainingResult:
    """What a record's trained network, which predicts `labels` `[samples]` on the validation part, is worth."""
    counts = shop.dataset.counts(labels[None], "validation", evidence.plan.group)
    resampled = evidence.resamples.values(labels, evidence.goals)
    values = {goal.name: float(goal.measure(counts)[0]) for goal in evidence.goals}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NonFiniteError(
                f"objective {name!r} is {value} for the trained network {record.id}: it must be finite for every "
                "network; fix its function"
            )
    noise = spread(resampled)
    noise = np.where(np.isnan(noise), evidence.noise.errors.mean(axis=0), noise)
    uncertainties = {goal.name: float(error) for goal, error in zip(evidence.goals, noise, strict=True)}
    where = shop.device.facts().get("torch_device", "")
    return TrainingResult(record.id, epochs, shop.seed, values, uncertainties, where)


def _check_alike(folder: Path, done: Sequence[TrainingResult], epochs: int, seed: int) -> None:
    for one in done:
        if (one.epochs, one.seed) != (epochs, seed):
            raise RunError(
                f"the trainings of the run in {folder} had {one.epochs} epochs and the seed {one.seed}, not {epochs} "
                f"and {seed}: go on with training epochs {one.epochs}, or choose another --out"
            )
