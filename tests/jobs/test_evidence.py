"""Which networks trainings make worth an evaluation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from evo_fair.belief import TrainingResult
from evo_fair.evolution import Record
from evo_fair.evolution.measure import Measurer
from evo_fair.fairness import Counts
from evo_fair.jobs import evidence as evidence_module
from evo_fair.jobs.evidence import Evidence
from evo_fair.layers import LayerTable, Op

from ..evolution.fakes import FakeEvaluator, FakeSpace, Genomes, make_plan

REPLICATES = 20


class LongSpace(FakeSpace):
    """Twenty genes; a network's channels are the sum of them, and its latency is about the number of its odd genes."""

    gene_names = tuple(f"gene {number}" for number in range(20))

    def __init__(self) -> None:
        self.cardinalities = np.full(20, 6, np.int16)
        self.ordered = np.ones(20, np.bool_)

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        return rng.integers(0, self.cardinalities, (n, 20), dtype=np.int16)

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        return np.array(genomes, np.int16)

    def decode(self, genomes: npt.ArrayLike) -> LayerTable:
        genomes = np.asarray(genomes)
        table = np.zeros((len(genomes), 1, 8), np.int32)
        for network, genome in enumerate(genomes.tolist()):
            table[network, 0] = (Op.CONV, 8, 8 + sum(genome), 1 + sum(gene % 2 for gene in genome), 1, 1, 8, 8)
        return table


class SeesNothing(FakeEvaluator):
    """All networks look the same to it."""

    def evaluate(self, genomes: Genomes) -> Mapping[str, Counts]:
        return super().evaluate(np.zeros((len(genomes), 6), np.int16))


def evidence_of(networks: int, *constraints: str, space: FakeSpace | None = None) -> tuple[Evidence, Measurer]:
    """Random networks of the fake space whose frozen scores say nothing at all."""
    plan = make_plan(*constraints, objectives=("error", "latency_ms"))
    space, rng = space or FakeSpace(), np.random.default_rng(0)
    measurer = Measurer(space, SeesNothing(), plan.objectives, plan.constraints, plan.group, plan.also)
    genomes = np.unique(space.sample(rng, 12 * FakeSpace.size), axis=0)
    records = measurer.records(rng.permutation(genomes)[:networks], 0, networks, {})
    blurred = [
        Record(**{**vars(record), "objectives": {**record.objectives, "error": float(rng.uniform(0.2, 0.5))}})
        for record in records
        if record.evaluated
    ]
    resampled = rng.normal(0.35, 0.02, (len(blurred), REPLICATES, 1))
    asked = np.log1p([float(record.metrics["macs"] or 0) for record in blurred])
    return Evidence(plan, space, tuple(blurred), resampled, asked, None), measurer  # type: ignore[arg-type]


def trained(evidence: Evidence, error: Callable[[tuple[int, ...]], float]) -> list[TrainingResult]:
    return [
        TrainingResult(record.id, 1, 0, {"error": error(record.genome)}, {"error": 0.005})
        for record in evidence.records[:24]
    ]


def test_what_trainings_say_of_a_gene_decides_whom_to_look_at() -> None:
    evidence, measurer = evidence_of(60)
    known = {record.genome for record in evidence.records}
    shares = []
    for better in range(3):
        told = trained(evidence, lambda genome, better=better: 0.1 if genome[4] == better else 0.5)
        proposed = evidence.propose(told, 12, measurer, np.random.default_rng(1))
        assert len(np.unique(proposed, axis=0)) == 12
        assert not known & set(map(tuple, proposed.tolist()))
        shares.append((proposed[:, 4] == better).mean())
    assert np.mean(shares) > 0.55  # a third by chance


def test_beliefs_are_followed_beyond_the_children_of_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, measurer = evidence_of(60, space=LongSpace())
    told = trained(evidence, lambda genome: 0.9 - 0.008 * sum(genome))

    def best() -> float:
        proposed = evidence.propose(told, 12, measurer, np.random.default_rng(1))
        return float((proposed.sum(axis=1) - 2 * (proposed % 2).sum(axis=1)).max())

    followed = best()
    monkeypatch.setattr(evidence_module, "_GENERATIONS", 1)
    assert followed > best() + 10


def test_the_fast_end_of_a_front_has_as_many_children_as_the_rest() -> None:
    latency = np.concatenate([np.geomspace(1.0, 2.0, 5), np.geomspace(4.0, 8.0, 95)])
    front = np.column_stack([1.0 / latency, latency])
    errors = np.column_stack([np.full(100, 0.01), np.zeros(100)])
    drawn = evidence_module._evenly(front, errors, np.random.default_rng(0), 3000)
    assert abs((drawn < 5).mean() - 0.5) < 0.05
    unknown = evidence_module._evenly(front, np.full((100, 2), 0.01), np.random.default_rng(0), 3000)
    assert abs((unknown < 5).mean() - 0.05) < 0.02


def test_proposals_keep_the_limits_on_cost() -> None:
    evidence, measurer = evidence_of(60, "latency_ms<=3")
    proposed = evidence.propose(trained(evidence, lambda _: 0.3), 12, measurer, np.random.default_rng(1))
    assert len(proposed)
    cheap, _ = measurer.cheap(proposed)
    assert (cheap["latency_ms"] <= 3).all()


def test_proposals_are_foretold_to_keep_the_limits_on_readings() -> None:
    evidence, measurer = evidence_of(60)
    limit = "error <= 0.45"

    def read(genome: Sequence[int]) -> float:  # the larger and slower, the better
        return 0.7 - 0.06 * genome[1] - 0.05 * genome[2]

    records = tuple(
        replace(
            record,
            objectives={**record.objectives, "error": read(record.genome)},
            constraints={limit: read(record.genome)},
            violation=max(read(record.genome) - 0.45, 0.0),
        )
        for record in evidence.records
    )
    evidence = replace(evidence, plan=make_plan(limit, objectives=("error", "latency_ms")), records=records)
    told = trained(evidence, lambda genome: read(genome) - 0.2)
    proposed = evidence.propose(told, 12, measurer, np.random.default_rng(1))
    assert len(proposed) == 12
    assert np.mean([read(genome) <= 0.45 for genome in proposed.tolist()]) > 0.9


def test_a_space_that_was_gone_through_has_no_proposals() -> None:
    evidence, measurer = evidence_of(FakeSpace.size)
    assert len(evidence.records) == FakeSpace.size
    assert not len(evidence.propose(trained(evidence, lambda _: 0.3), 12, measurer, np.random.default_rng(1)))


def test_more_networks_change_no_noise_of_those_before() -> None:
    evidence, _ = evidence_of(40)
    fewer = Evidence(
        evidence.plan, evidence.space, evidence.records[:30], evidence.resampled, evidence.asked, evidence.resamples
    )
    again = fewer.enlarged(evidence.records[30:])
    assert again.records == evidence.records
    assert np.array_equal(again.noise.errors[:30], fewer.noise.errors)
