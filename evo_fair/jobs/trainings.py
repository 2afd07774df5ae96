"""Truth in a search: what is believed of its networks, and trainings of those that tell most, kept in the run's folder.

The API's part of it. A search ends with beliefs about every network that it evaluated (`evo_fair.belief`). With
trainings, networks are chosen in rounds, trained from nothing by the problem's recipe, and each round's results correct
what is believed of all the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.arrays import Floats
from evo_fair.belief import (
    BELIEVED,
    UNCERTAINTY,
    Belief,
    Noise,
    Resamples,
    TrainingResult,
    Trainings,
    describe_belief,
    find,
    gene_features,
    next_trainings,
    own_noise,
    read_trainings,
    write_beliefs,
    write_trainings,
)
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, NonFiniteError, RunError
from evo_fair.evolution import Objective, Record, RunFolder, SearchPlan, Space, to_minimise
from evo_fair.export.alone import TRAININGS, AloneTraining, Beginning
from evo_fair.export.tuning import Tuning
from evo_fair.files import remove_leftovers, write_text
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers import Team
from evo_fair.nets.network import for_inference
from evo_fair.problem import Problem
from evo_fair.proxy import predict_labels
from evo_fair.space import SearchSpace

__all__ = ["Evidence", "check_trainings", "gather", "train_chosen", "write_findings"]


ROUND = 4
"""Trainings that are chosen together; the next ones know their results."""

_ASKED = 24
"""Networks whose sampling noise is looked at."""

_COSTS = ("macs", "params", "latency_ms")


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
class Evidence:
    """What frozen weights say of a search's evaluated networks `records`, and how noisy that is.

    `resamples` are those of the validation part that trained networks are resampled on, too.
    """

    plan: SearchPlan
    space: Space
    records: tuple[Record, ...]
    noise: Noise
    resamples: Resamples

    @property
    def goals(self) -> tuple[Objective, ...]:
        """The predictive objectives, which are believed about; the others are known."""
        return _predictive(self.plan)

    @cached_property
    def before(self) -> Belief:
        """What is believed without any training."""
        genomes = np.array([record.genome for record in self.records], np.int16)
        genes = gene_features(genomes, self.space.cardinalities, self.space.ordered)
        return Belief.fit(_scores(self.records, self.goals), self.noise.errors, _costs(self.records), genes=genes)

    def believe(self, trainings: Sequence[TrainingResult]) -> Belief:
        """What is believed once these are known."""
        if not trainings:
            return self.before
        place = {record.id: row for row, record in enumerate(self.records)}
        names = [goal.name for goal in self.goals]
        values = [[one.values[name] for name in names] for one in trainings]
        errors = np.array([[one.uncertainties[name] for name in names] for one in trainings])
        rows = [place[one.id] for one in trainings]
        return self.before.after(Trainings.of(rows, values, errors * np.sqrt(self.noise.own_share)))

    def table(self, belief: Belief) -> pd.DataFrame:
        """The beliefs as `beliefs.csv` has them."""
        columns: dict[str, list[str] | Floats] = {"id": [record.id for record in self.records]}
        for place, goal in enumerate(self.goals):
            columns[f"{goal.name}{BELIEVED}"] = belief.mean[:, place]
            columns[f"{goal.name}{UNCERTAINTY}"] = belief.error[:, place]
        return pd.DataFrame(columns)

    def next(self, belief: Belief, n: int) -> list[Record]:
        """The networks to train next: feasible ones only, those that tell most first."""
        expected, errors = np.zeros((2, len(self.records), len(self.plan.objectives)))
        goals = [goal.name for goal in self.goals]
        for place, objective in enumerate(self.plan.objectives):
            if objective.name in goals:
                expected[:, place] = belief.mean[:, goals.index(objective.name)]
                errors[:, place] = belief.error[:, goals.index(objective.name)]
            else:
                expected[:, place] = [record.objectives[objective.name] for record in self.records]
        allowed = [record.feasible for record in self.records]
        chosen = next_trainings(to_minimise(expected, self.plan.objectives), errors, belief.trained, n, allowed)
        return [self.records[row] for row in chosen]


def gather(
    plan: SearchPlan,
    space: Space,
    dataset: Dataset,
    records: Sequence[Record],
    predict: Callable[[npt.NDArray[np.int16]], npt.NDArray[np.uint8]],
) -> Evidence | None:
    """What the frozen weights say; `predict` gives labels `[networks, samples]` of genomes on the validation part.

    None where all objectives are cheap: nothing is to be believed then.
    """
    if not _predictive(plan):
        return None
    evaluated = tuple(record for record in records if record.evaluated)
    goals = _predictive(plan)
    resamples = Resamples(dataset, plan.group)
    size = np.log1p(_costs(evaluated)[:, 0])
    order = np.argsort(size, kind="stable")
    asked = np.unique(order[np.linspace(0, len(order) - 1, min(_ASKED, len(order))).round().astype(np.int64)])
    predictions = predict(np.array([evaluated[row].genome for row in asked], np.int16))
    values = np.stack([resamples.values(row, goals) for row in predictions])
    return Evidence(plan, space, evaluated, own_noise(values, size[asked], size), resamples)


def train_chosen(
    run: RunFolder,
    evidence: Evidence,
    problem: Problem,
    dataset: Dataset,
    tuning: Tuning,
    trainings: int,
    listener: Listener,
    beginning: Beginning | None = None,
    team: Team | None = None,
) -> Belief:
    """Trains networks until `trainings` are there, and writes what is believed then; returns it.

    They start from random weights, or from their `beginning`. A `team` trains those of a round at the same time.

    Every training is in `trainings.csv` once it has ended; those that a run has already stay. Raises `RunError` for a
    damaged file, and where the run's trainings had another number of epochs.
    """
    path = run.path / "trainings.csv"
    epochs = tuning.recipe(problem.training).epochs
    names = [goal.name for goal in evidence.goals]
    done = read_trainings(path, names, [record.id for record in evidence.records])
    if len(done) < trainings:
        _check_alike(run.path, done, epochs, evidence.plan.seed)
    space = evidence.space if isinstance(evidence.space, SearchSpace) else None
    shop = AloneTraining(
        run.path / TRAININGS, problem, dataset, space, evidence.plan.group, tuning, evidence.plan.seed, beginning
    )
    remove_leftovers(shop.folder)
    belief = evidence.believe(done)
    _write(run.path, evidence, belief)
    left_out: set[str] = set()
    with _trainer(team, shop, listener) as train:
        while len(done) < trainings:
            first = len(done) // ROUND * ROUND  # of the round that is going on
            known = {one.id for one in done} | left_out
            best = evidence.next(evidence.believe(done[:first]), ROUND + len(left_out))
            chosen = [record for record in best if record.id not in known][: first + ROUND - len(done)]
            if not chosen:
                break
            chosen = chosen[: trainings - len(done)]
            left_out |= {record.id for record in chosen}
            for record, labels in train(chosen):
                left_out.remove(record.id)
                done.append(_result(evidence, record, labels, dataset, epochs, shop.seed))
                write_trainings(path, done)
                listener.trained(len(done), trainings)
            belief = evidence.believe(done)
            _write(run.path, evidence, belief)
    return belief


def write_findings(folder: Path, evidence: Evidence, belief: Belief) -> None:
    """Writes `findings.txt`: in plain words, how far networks of equal size differ, and what of it can be told."""
    lines = [describe_belief(find(belief, goal, place)) for place, goal in enumerate(evidence.goals)]
    write_text(folder / "findings.txt", "".join(f"{line}\n" for line in lines))


Trained = Iterator[tuple[Record, npt.NDArray[np.uint8]]]
"""Records in the order in which they were chosen, and the labels that their trained networks predict."""


@contextmanager
def _trainer(
    team: Team | None, shop: AloneTraining, listener: Listener
) -> Iterator[Callable[[Sequence[Record]], Trained]]:
    """What trains the networks of records, in this process or by a team, which leaves out what no worker survives."""
    if team is None:

        def here(records: Sequence[Record]) -> Trained:
            for record in records:
                yield record, _labels(shop, record, listener)

        yield here
        return
    with team.loaded(_TrainingWork(shop)) as load:

        def there(records: Sequence[Record]) -> Trained:
            kept = [record for record in records if shop.keeps(record.id, record.genome)]
            found = {record.id: _labels(shop, record, listener) for record in kept}
            others, waiting = [record for record in records if record not in kept], list(records)
            made = team.each(load, others, lambda record: f"the training of {record.id}")
            for number, (files, labels) in made:
                shop.keep_files(others[number].id, files)
                found[others[number].id] = labels
                while waiting and waiting[0].id in found:
                    yield waiting[0], found[waiting.pop(0).id]
            yield from ((record, found[record.id]) for record in waiting if record.id in found)

        yield there


@dataclass(frozen=True)
class _TrainingWork:
    """What a worker calls with a record: trains its network in a folder that is gone afterwards."""

    shop: AloneTraining

    def __call__(self, record: Record) -> tuple[dict[str, bytes], npt.NDArray[np.uint8]]:
        """The files of the trained network, and the labels that it predicts."""
        with TemporaryDirectory(prefix="evo-fair-") as folder:
            shop = replace(self.shop, folder=Path(folder))
            labels = _labels(shop, record, Listener())
            return shop.kept_files(record.id), labels


def _labels(shop: AloneTraining, record: Record, listener: Listener) -> npt.NDArray[np.uint8]:
    """What a record's network, trained now or kept, predicts of the validation part: uint8 `[samples]`."""
    network = shop.network(record.id, record.genome, lambda step: listener.tuning(record.id, step))
    validation = shop.dataset.inputs[shop.dataset.part("validation")]
    return predict_labels(for_inference(network), shop.scaling(validation))


def _result(
    evidence: Evidence, record: Record, labels: npt.NDArray[np.uint8], dataset: Dataset, epochs: int, seed: int
) -> TrainingResult:
    counts = dataset.counts(labels[None], "validation", evidence.plan.group)
    resampled = evidence.resamples.values(labels, evidence.goals)
    values = {goal.name: float(goal.measure(counts)[0]) for goal in evidence.goals}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NonFiniteError(
                f"objective {name!r} is {value} for the trained network {record.id}: it must be finite for every "
                "network; mend its function"
            )
    noise = np.nan_to_num(resampled.std(axis=0))
    uncertainties = {goal.name: float(error) for goal, error in zip(evidence.goals, noise, strict=True)}
    return TrainingResult(record.id, epochs, seed, values, uncertainties)


def _check_alike(folder: Path, done: Sequence[TrainingResult], epochs: int, seed: int) -> None:
    for one in done:
        if (one.epochs, one.seed) != (epochs, seed):
            raise RunError(
                f"the trainings of the run in {folder} had {one.epochs} epochs and the seed {one.seed}, not {epochs} "
                f"and {seed}: go on with training epochs {one.epochs}, or choose another --out"
            )


def _write(folder: Path, evidence: Evidence, belief: Belief) -> None:
    write_beliefs(folder / "beliefs.csv", evidence.table(belief))


def _predictive(plan: SearchPlan) -> tuple[Objective, ...]:
    return tuple(objective for objective in plan.objectives if not objective.cheap)


def _scores(records: Sequence[Record], goals: Sequence[Objective]) -> Floats:
    return np.array([[record.objectives[goal.name] for goal in goals] for record in records], np.float64)


def _costs(records: Sequence[Record]) -> Floats:
    """Multiply-accumulates, parameters and latency, `[networks, costs]`."""
    names = [name for name in _COSTS if all(record.metrics.get(name) is not None for record in records)]
    return np.array([[record.metrics[name] for name in names] for record in records], np.float64)
