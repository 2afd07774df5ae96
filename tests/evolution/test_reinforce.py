import numpy as np
import pytest

from evo_fair.errors import ObjectiveError
from evo_fair.evolution import resolve, search
from evo_fair.evolution.objectives import Objective
from evo_fair.evolution.reinforce import Reinforce, Reward
from evo_fair.registries import DIRECTIONS, OBJECTIVES

from .fakes import GOALS, FakeEvaluator, FakeSpace, fake_latency, make_plan

SPACE = FakeSpace()


class LargeSpace(FakeSpace):
    """Twelve categories of four values: 16.8 million networks."""

    gene_names = tuple("abcdefghijkl")

    def __init__(self):
        self.cardinalities = np.full(12, 4, np.int16)
        self.ordered = np.zeros(12, bool)

    def canonical(self, genomes):
        return np.array(genomes, np.int16)

    def sample(self, rng, n):
        return rng.integers(0, 4, (n, 12), dtype=np.int16)


def test_the_reward_is_accuracy_less_unfairness_within_the_limits():
    reward = Reward(GOALS)  # error, unfairness, latency_ms
    objectives = np.array([[0.2, 0.3, 5.0], [0.2, 0.3, 9.0], [np.nan, np.nan, 20.0]])
    np.testing.assert_allclose(reward(objectives, np.array([0.0, 0.1, 1.5])), [0.8 - 0.3, -1.1, -2.5])


def test_objectives_of_a_kind_are_averaged_and_maximised_ones_taken_as_they_are():
    own = Objective("my_share_of_errors", function=lambda counts: np.zeros(len(counts)), measures="unfairness")
    reward = Reward([*resolve(["worst_group_accuracy", "params", "cwv", "balanced_error"]), own])
    # What is maximised comes as its negative: accuracies 0.6 and 1 - 0.2, unfairnesses 0.1 and 0.3.
    objectives = np.array([[-0.6, 1e6, 0.1, 0.2, 0.3]])
    np.testing.assert_allclose(reward(objectives, np.zeros(1)), [0.7 - 0.2])


def test_what_an_objective_measures_is_stated_and_not_told_by_its_name():
    hits = Objective("hits", "max", function=lambda counts: np.zeros(len(counts)), measures="accuracy")
    assert Reward([hits, *resolve(["cwv"])])(np.array([[-0.9, 0.1]]), np.zeros(1)) == pytest.approx([0.8])
    unsaid = Objective("own_error", function=lambda counts: np.zeros(len(counts)))
    with pytest.raises(ObjectiveError, match="objective 'own_error' does not say which it is: state measures="):
        Reinforce.check_objectives([*resolve(["error", "cwv"]), unsaid])


def test_the_objectives_of_evo_fair_say_what_they_measure():
    names = [name for name in DIRECTIONS if not OBJECTIVES[name].cheap]
    for one in resolve(names):
        assert one.measures == ("accuracy" if one.name.endswith(("accuracy", "error")) else "unfairness")


@pytest.mark.parametrize(
    ("names", "missing"),
    [(["error", "latency_ms"], "an unfairness"), (["unfairness"], "an accuracy or error"), (["params"], "an accuracy")],
)
def test_objectives_that_give_no_reward_are_refused(tmp_path, names, missing):
    with pytest.raises(ObjectiveError, match=f"{', '.join(names)} has no objective that is {missing}.*such as") as told:
        make_plan(objectives=names, algorithm="reinforce")
    assert "\n" not in str(told.value)


def test_it_learns_where_the_reward_is():
    """Genes that are 2 make it accurate, genes that are 0 unfair: the reward is 0 at random and at most 1."""
    space, rng = LargeSpace(), np.random.default_rng(0)
    controller = Reinforce(space, rng, 24, GOALS)
    rewards = []
    for _ in range(80):
        genomes = controller.ask(24)
        accuracy, unfairness = (genomes == 2).mean(axis=1), (genomes == 0).mean(axis=1)
        controller.tell(genomes, np.column_stack([1 - accuracy, unfairness, np.ones(24)]), np.zeros(24))
        rewards.append((accuracy - unfairness).mean())
    assert abs(rewards[0]) < 0.15
    assert np.mean(rewards[-10:]) > 0.7


def test_it_turns_away_from_what_breaks_a_limit():
    """Genomes with more than three genes above 1, of six on average, are over the limit."""
    space, rng = LargeSpace(), np.random.default_rng(1)
    controller = Reinforce(space, rng, 24, GOALS)
    broken = []
    for _ in range(60):
        genomes = controller.ask(24)
        excess = np.maximum((genomes > 1).sum(axis=1) - 3, 0)
        objectives = np.where(excess[:, None] > 0, np.nan, [[0.3, 0.1, 1.0]])
        controller.tell(genomes, objectives, excess / 12)
        broken.append((excess > 0).mean())
    assert np.mean(broken[:3]) > 0.8
    assert np.mean(broken[-5:]) < 0.2


def taught(genomes_of):
    """A controller that has proposed twelve genomes and was told of those that `genomes_of` makes of them."""
    controller = Reinforce(SPACE, np.random.default_rng(2), 12, GOALS)
    genomes = np.asarray(genomes_of(SPACE.canonical(controller.ask(12))))
    objectives = np.column_stack([genomes[:, 1] / 5, genomes[:, 0] / 4, np.ones(len(genomes))])
    controller.tell(genomes, objectives, np.zeros(len(genomes)))
    return controller.state()


def test_genomes_that_others_proposed_teach_it_nothing():
    untaught = Reinforce(SPACE, np.random.default_rng(2), 12, GOALS).state()
    others = taught(lambda proposed: [[1, 4, 2, 1, 2, 0]])
    assert all((untaught[name] == array).all() for name, array in others.items())
    part, more = taught(lambda proposed: proposed[:6]), taught(lambda proposed: [*proposed[:6], [1, 4, 2, 1, 2, 0]])
    assert part["steps"] == 1
    assert all((part[name] == array).all() for name, array in more.items())


def test_a_network_that_it_proposes_twice_counts_twice():
    same = np.array([[2, 1, 0, 0, 1, 0]], np.int16)
    other = np.array([[1, 4, 2, 1, 2, 0]], np.int16)
    controller = Reinforce(SPACE, np.random.default_rng(2), 3, GOALS)
    controller._proposed = [np.concatenate([same, other]), same]
    controller.tell(np.concatenate([same, other]), np.array([[0.5, 0.2, 1.0], [0.1, 0.0, 1.0]]), np.zeros(2))
    assert controller.state()["baseline"] == pytest.approx((0.3 + 0.9 + 0.3) / 3)


def test_the_engine_tells_it_known_networks_again(tmp_path, monkeypatch):
    """In a space of 315 networks a controller soon proposes known ones; what it is told of them was recorded before."""
    told = []
    learn = Reinforce.tell

    def spy(self, genomes, objectives, violations):
        told.append((genomes.copy(), objectives.copy(), violations.copy()))
        learn(self, genomes, objectives, violations)

    monkeypatch.setattr(Reinforce, "tell", spy)
    evaluator = FakeEvaluator()
    plan = make_plan("latency_ms <= 5", algorithm="reinforce", budget=150, population=15)
    outcome = search(plan, SPACE, evaluator, tmp_path / "journal.jsonl", tmp_path / "c.npz")
    assert len(evaluator.asked) == len(set(evaluator.asked)) == 150
    recorded = {record.genome: record for record in outcome.records}
    seen, again = set(), 0
    for genomes, objectives, violations in told:
        rows = [tuple(genome) for genome in genomes.tolist()]
        assert len(rows) == len(set(rows))
        again += len(seen & set(rows))
        seen |= set(rows)
        for row, values, violation in zip(rows, objectives, violations, strict=True):
            record = recorded[row]
            assert violation == record.violation
            expected = [record.objectives.get(goal.name, np.nan) for goal in GOALS]
            np.testing.assert_array_equal(values, expected)
    assert again > 20


def test_the_other_strategies_are_told_new_networks_alone(tmp_path, monkeypatch):
    from evo_fair.evolution.nsga2 import Nsga2

    told = []
    tell = Nsga2.tell
    monkeypatch.setattr(Nsga2, "tell", lambda self, g, o, v: (told.extend(map(tuple, g.tolist())), tell(self, g, o, v)))
    plan = make_plan(budget=250, population=25)
    search(plan, SPACE, FakeEvaluator(), tmp_path / "journal.jsonl", tmp_path / "c.npz")
    assert len(told) == len(set(told)) == 250


def test_a_state_of_another_space_is_refused():
    state = Reinforce(LargeSpace(), np.random.default_rng(0), 12, GOALS).state()
    controller = Reinforce(SPACE, np.random.default_rng(0), 12, GOALS)
    with pytest.raises(ValueError, match="does not fit the space"):
        controller.restore(state)
    with pytest.raises(KeyError):
        controller.restore({})


def test_latency_is_no_part_of_the_reward():
    fast, slow = np.array([[0.2, 0.3, 1.0]]), np.array([[0.2, 0.3, 100.0]])
    reward = Reward(resolve(["error", "unfairness", "latency_ms"], fake_latency))
    assert reward(fast, np.zeros(1)) == reward(slow, np.zeros(1))
