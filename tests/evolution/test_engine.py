import json
import re

import numpy as np
import pytest

from evo_fair.errors import ConstraintError, EvoFairError, NonFiniteError, ObjectiveError, RunError, UnknownNameError
from evo_fair.evolution import ALGORITHMS, SearchPlan, read_journal, search
from evo_fair.evolution.objectives import Objective
from evo_fair.fairness import METRICS, error, group_accuracy

from .fakes import FakeEvaluator, FakeSpace, fake_latency, make_plan

SPACE = FakeSpace()


def run(tmp_path, plan, evaluator=None, progress=None):
    return search(plan, SPACE, evaluator or FakeEvaluator(), tmp_path / "journal.jsonl", tmp_path / "c.npz", progress)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("budget", [1, 12, 13, 60])
def test_the_budget_is_spent_exactly_and_on_different_networks(tmp_path, algorithm, budget):
    evaluator = FakeEvaluator()
    outcome = run(tmp_path, make_plan("latency_ms <= 6", algorithm=algorithm, budget=budget), evaluator)
    assert outcome.reason == "budget"
    assert outcome.evaluated == budget == len(evaluator.asked) == len(set(evaluator.asked))
    assert [record.genome for record in outcome.records if record.evaluated] == evaluator.asked
    assert len({record.id for record in outcome.records}) == len(outcome.records)


@pytest.mark.parametrize("algorithm", ["nsga2", "nsga3", "surrogate"])
def test_a_budget_below_the_population_is_spread_over_all_sizes(tmp_path, algorithm):
    outcome = run(tmp_path, make_plan(algorithm=algorithm, budget=8, population=60))
    latencies = [record.objectives["latency_ms"] for record in outcome.records]
    assert min(latencies) < 1
    assert max(latencies) > 7  # of at most 9.2


def test_the_same_plan_gives_the_same_journal(tmp_path):
    journals = []
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        (tmp_path / name).mkdir()
        run(tmp_path / name, make_plan("latency_ms <= 6", seed=seed))
        journals.append((tmp_path / name / "journal.jsonl").read_bytes())
    assert journals[0] == journals[1] != journals[2]


def test_a_record_holds_what_was_measured(tmp_path):
    outcome = run(tmp_path, make_plan("latency_ms <= 6", "accuracy >= 0.7"))
    record = next(record for record in outcome.records if record.evaluated)
    genome = np.array([record.genome], np.int16)
    counts = FakeEvaluator().evaluate(genome)
    assert record.id == SPACE.ids(genome)[0]
    assert record.objectives["error"] == error(counts["sex"])[0]
    assert record.objectives["latency_ms"] == fake_latency(SPACE.decode(genome))[0]
    assert record.constraints == {
        "latency_ms <= 6": record.objectives["latency_ms"],
        "accuracy >= 0.7": record.metrics["accuracy"],
    }
    assert set(record.metrics) == {"params", "macs", "latency_ms", *METRICS}
    assert isinstance(record.metrics["params"], int)
    assert record.groups is not None
    for name, part in counts.items():
        expected = dict(zip(part.group_names, np.round(group_accuracy(part)[0], 6), strict=True))
        assert record.groups[name] == expected
    assert len(record.line()) < 1500


def test_a_network_over_a_cheap_limit_is_journalled_but_never_evaluated(tmp_path):
    evaluator = FakeEvaluator()
    outcome = run(tmp_path, make_plan("latency_ms <= 2", "accuracy >= 0.5"), evaluator)
    over = [record for record in outcome.records if record.constraints["latency_ms <= 2"] > 2]
    within = [record for record in outcome.records if record.constraints["latency_ms <= 2"] <= 2]
    assert over
    assert not {record.genome for record in over} & set(evaluator.asked)
    assert all(record.evaluated for record in within)
    for record in over:
        assert set(record.objectives) == {"latency_ms"}
        assert set(record.metrics) == {"params", "macs", "latency_ms"}
        assert record.groups is None
        assert not record.feasible
        # 1 for the accuracy that nobody measured, and the excess over 2 as a share of the value.
        latency = record.objectives["latency_ms"]
        assert record.violation == pytest.approx(1 + (latency - 2) / latency)


def test_predictive_constraints_cost_budget_and_make_infeasible(tmp_path):
    outcome = run(tmp_path, make_plan("accuracy >= 0.7"))
    for record in outcome.records:
        assert record.evaluated
        assert record.feasible == (record.metrics["accuracy"] >= 0.7)
    assert 0 < sum(record.feasible for record in outcome.records) < len(outcome.records)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_small_space_ends_exhausted(tmp_path, algorithm):
    outcome = run(tmp_path, make_plan(algorithm=algorithm, budget=10_000, population=50))
    assert outcome.reason == "exhausted"
    assert outcome.evaluated == len(outcome.records) == SPACE.size


def test_a_search_that_finds_no_further_network_within_the_limits_stalls(tmp_path):
    outcome = run(tmp_path, make_plan("params <= 600", budget=10_000, population=4, patience=3))
    assert outcome.reason == "stalled"
    assert 0 < outcome.evaluated < SPACE.size
    last = [record for record in outcome.records if record.generation >= outcome.generations - 3]
    assert not any(record.evaluated for record in last)


@pytest.mark.parametrize(
    ("constraint", "extreme"),
    [("latency_ms <= 0.1", r"met by 0 of .*the smallest latency_ms seen is 0\.3"), ("accuracy >= 0.99", "the largest")],
)
def test_without_a_feasible_network_the_tightest_limit_is_named(tmp_path, constraint, extreme):
    with pytest.raises(ConstraintError, match=extreme) as caught:
        run(tmp_path, make_plan("params <= 1e6", constraint))
    assert f"'{constraint}' is the tightest" in str(caught.value)
    assert read_journal(tmp_path / "journal.jsonl")


def test_feasible_networks_drive_the_search(tmp_path):
    """Where few networks are within the limit, a guided search wastes fewer looks than a random one."""
    looks = {}
    for algorithm in ("random", "nsga2"):
        (tmp_path / algorithm).mkdir()
        plan = make_plan("latency_ms <= 1.2", algorithm=algorithm, budget=40)
        looks[algorithm] = len(run(tmp_path / algorithm, plan).records)
    assert looks["nsga2"] < 0.7 * looks["random"]


def test_nsga2_beats_random_search(tmp_path):
    reached = {}
    for algorithm in ("random", "nsga2"):
        values = []
        for seed in range(5):
            folder = tmp_path / f"{algorithm}{seed}"
            folder.mkdir()
            plan = make_plan(algorithm=algorithm, seed=seed, budget=120)
            outcome = run(folder, plan)
            best = {tuple(record.objectives.values()) for record in outcome.records}
            values.append(min(e + u + latency / 20 for e, u, latency in best))
        reached[algorithm] = np.mean(values)
    assert reached["nsga2"] <= reached["random"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"population": 10**9}, "population 1000000000 is too large: it must be at most 100,000"),
        ({"population": 1}, "population 1 is too small: it must be at least 2"),
        ({"budget": 10**10}, "budget 10000000000 is too large: it must be at most 1,000,000,000"),
    ],
)
def test_counts_that_no_search_could_have_are_refused(changes, told):
    with pytest.raises(EvoFairError, match=f"^{told}$"):
        make_plan(**changes)


@pytest.mark.parametrize(
    ("value", "cheap"),
    [(np.nan, True), (np.inf, True), (np.nan, False), (np.inf, False), (1e60, False), (-1e200, False)],
)
def test_non_finite_values_stop_the_run_with_their_names(tmp_path, value, cheap):
    def mine(source):
        values = np.zeros(len(source))
        values[-1] = value
        return values

    plan = make_plan()
    broken = SearchPlan([*plan.objectives, Objective("mine", cheap=cheap, function=mine)], "sex", 60, population=12)
    named = rf"'mine' is {re.escape(str(value))} for network [0-9a-f]{{12}} \(genome [0-9 ]+\)"
    with pytest.raises(NonFiniteError, match=named):
        run(tmp_path, broken)
    assert read_journal(tmp_path / "journal.jsonl") == []


def test_undefined_metrics_are_null_in_the_journal(tmp_path):
    class NoPositives(FakeEvaluator):
        def evaluate(self, genomes):
            return {
                name: type(part)(part.values, part.rest, part.group_names, part.label_names)
                for name, part in super().evaluate(genomes).items()
            }

    run(tmp_path, make_plan(budget=3), NoPositives())
    line = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])
    assert line["metrics"]["equalized_odds_difference"] is None
    assert line["metrics"]["unfairness"] >= 0


def test_progress_is_told_after_every_generation(tmp_path):
    told = []
    outcome = run(tmp_path, make_plan(), progress=told.append)
    assert [step.generation for step in told] == list(range(1, outcome.generations + 1))
    assert [step.evaluated for step in told] == [12, 24, 36, 48, 60]
    assert all(step.budget == 60 for step in told)
    volumes = [step.hypervolume for step in told]
    assert volumes == sorted(volumes)
    assert volumes[-1] == outcome.hypervolume > 0
    assert told[-1].seconds_left == 0.0
    assert all(step.networks_per_second > 0 for step in told)


def test_a_single_objective_works(tmp_path):
    for algorithm in sorted(set(ALGORITHMS) - {"reinforce"}):
        (tmp_path / algorithm).mkdir()
        outcome = run(tmp_path / algorithm, make_plan(objectives=("accuracy",), algorithm=algorithm))
        assert outcome.evaluated == 60


def test_a_maximised_objective_is_maximised(tmp_path):
    outcome = run(tmp_path, make_plan(objectives=("accuracy",), budget=150))
    best = max(record.objectives["accuracy"] for record in outcome.records)
    (tmp_path / "all").mkdir()
    everything = run(tmp_path / "all", make_plan(objectives=("accuracy",), budget=1000, population=100))
    assert best == max(record.objectives["accuracy"] for record in everything.records)


def test_an_evaluator_without_the_group_is_refused(tmp_path):
    with pytest.raises(ValueError, match="sex, class, but not the run's group 'age'"):
        run(tmp_path, make_plan(group="age"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"budget": 0}, "budget 0"),
        ({"population": 1}, "population 1"),
        ({"seed": -1}, "seed -1"),
        ({"budget": 4.5}, "budget 4.5 is no whole number"),
    ],
)
def test_impossible_plans_are_refused(wrong, told):
    with pytest.raises(EvoFairError, match=told):
        make_plan(**wrong)


def test_a_plan_without_objectives_is_refused():
    with pytest.raises(ObjectiveError, match="at least one objective"):
        make_plan(objectives=())


def test_an_unknown_algorithm_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UnknownNameError, match="'magic'"):
        run(tmp_path, make_plan(algorithm="magic"))


def test_two_searches_do_not_write_one_journal(tmp_path):
    def again(_):
        run(tmp_path, make_plan())

    with pytest.raises(RunError, match="another search is writing"):
        run(tmp_path, make_plan(), progress=again)


class KnowingSpace(FakeSpace):
    """Knows two networks that every search should look at."""

    known = ((3, 4, 2, 1, 0, 0), (1, 0, 0, 0, 2, 0))

    def known_genomes(self):
        return np.array(self.known, np.int16)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_search_begins_with_what_its_space_knows_beside_a_population(tmp_path, algorithm):
    plan = make_plan(algorithm=algorithm, budget=30, initial="known")
    outcome = search(plan, KnowingSpace(), FakeEvaluator(), tmp_path / "journal.jsonl", tmp_path / "c.npz")
    first = [record.genome for record in outcome.records if record.generation == 0]
    assert first[:2] == list(KnowingSpace.known)
    assert len(first) == plan.population + 2
    assert outcome.evaluated == 30


def test_half_of_a_small_budget_is_left_for_what_no_space_knows(tmp_path):
    plan = make_plan(budget=3, initial="known")
    search(plan, KnowingSpace(), FakeEvaluator(), tmp_path / "journal.jsonl", tmp_path / "c.npz")
    first, second, _ = (record.genome for record in read_journal(tmp_path / "journal.jsonl"))
    assert first == KnowingSpace.known[0]
    assert second != KnowingSpace.known[1]


def test_what_a_space_knows_is_left_out_unless_it_is_asked_for(tmp_path):
    journals = []
    for name, space in (("a", SPACE), ("b", KnowingSpace())):
        (tmp_path / name).mkdir()
        search(make_plan(), space, FakeEvaluator(), tmp_path / name / "journal.jsonl", tmp_path / name / "c.npz")
        journals.append((tmp_path / name / "journal.jsonl").read_bytes())
    assert journals[0] == journals[1]
