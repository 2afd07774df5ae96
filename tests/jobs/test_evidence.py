"""Which networks trainings make worth an evaluation."""

from collections.abc import Callable

import numpy as np

from evo_fair.belief import TrainingResult
from evo_fair.evolution import Record
from evo_fair.evolution.measure import Measurer
from evo_fair.jobs.evidence import Evidence

from ..evolution.fakes import FakeEvaluator, FakeSpace, make_plan

REPLICATES = 20


def evidence_of(networks: int, *constraints: str) -> tuple[Evidence, Measurer]:
    """Random networks of the fake space whose frozen scores say nothing at all."""
    plan, space, rng = (
        make_plan(*constraints, objectives=("error", "latency_ms")),
        FakeSpace(),
        np.random.default_rng(0),
    )
    measurer = Measurer(space, FakeEvaluator(), plan.objectives, plan.constraints, plan.group, plan.also)
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


def test_proposals_keep_the_limits_on_cost() -> None:
    evidence, measurer = evidence_of(60, "latency_ms<=3")
    proposed = evidence.propose(trained(evidence, lambda _: 0.3), 12, measurer, np.random.default_rng(1))
    assert len(proposed)
    cheap, _ = measurer.cheap(proposed)
    assert (cheap["latency_ms"] <= 3).all()


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
