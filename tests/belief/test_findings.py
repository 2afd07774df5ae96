"""What a search says of its data, in plain words."""

import numpy as np
import pytest

from evo_fair.belief import Belief, Finding, Trainings, describe_belief, find, rank_correlation
from evo_fair.evolution import Axis

from .truths import make_truth

NAN = float("nan")


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        (
            Finding("error", 0.012, 0.9, 0, NAN, NAN, True),
            ["1.2 points", "about 90 % of that", "--trainings finds out"],
        ),
        (Finding("error", 0.001, 0.02, 0, NAN, NAN, True), ["0.1 points", "size alone decides"]),
        (Finding("unfairness", 0.034, 0.5, 2, NAN, NAN, False), ["2 trained networks", "0.034", "too few trainings"]),
        (Finding("error", 0.02, 0.6, 6, NAN, 0.0, True), ["6 trained networks", "all came to the same"]),
        (Finding("error", 0.02, 0.6, 8, 0.7, 0.5, True), ["8 trained networks", "about 60 %", "0.70", "0.50"]),
        (Finding("error", 0.02, 0.6, 8, 0.4, 0.5, True), ["no more of that than size does", "size alone decides"]),
        (Finding("error", 0.001, 0.0, 16, 0.83, 0.82, True), ["no more of that than size does", "size alone decides"]),
    ],
)
def test_findings_are_short_and_say_what_decides(finding: Finding, says: list[str]) -> None:
    text = describe_belief(finding)
    for part in says:
        assert part in text
    assert text.count(". ") <= 2
    assert "\n" not in text
    assert ("size alone decides" in text) == finding.size_decides


def test_without_trainings_the_spread_is_that_of_the_frozen_scores() -> None:
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(0, 0.5, 400)) * 1e6
    scores = 0.3 * (size / 1e6) ** -0.2 + 0.02 * rng.standard_normal(400)
    finding = find(Belief.fit(scores[:, None], [0.005], size[:, None]), Axis("error"), 0)
    assert finding.spread == pytest.approx(np.sqrt(0.02**2 - 0.005**2), rel=0.2)
    assert finding.told > 0.85
    noise = find(Belief.fit(scores[:, None], [0.02], size[:, None]), Axis("error"), 0)
    assert noise.spread < 0.01


def test_with_trainings_it_knows_whether_the_frozen_scores_tell_anything() -> None:
    told = {}
    for knows in (1.0, 0.0):
        rng = np.random.default_rng(1)
        truth = make_truth(rng, knows=knows)
        networks = rng.choice(400, 24, replace=False)
        belief = Belief.fit(truth.scores[:, None], [truth.noise], truth.costs)
        told[knows] = find(belief.after(Trainings.of(networks, truth.trained(networks, rng))), Axis("error"), 0)
    assert told[1.0].tau > told[1.0].size_tau
    assert not told[1.0].size_decides
    assert told[0.0].told < told[1.0].told


def test_size_alone_is_the_size_that_ranks_best() -> None:
    """Results go by parameters, which multiply-accumulates say nothing of: no search is praised for seeing that."""
    rng = np.random.default_rng(2)
    costs = np.exp(rng.normal(0.0, 0.5, (100, 3)))
    scores = (0.3 * costs[:, 1] ** -0.2)[:, None]
    networks = np.arange(12)
    belief = Belief.fit(scores, [0.005], costs).after(Trainings.of(networks, scores[networks]))
    finding = find(belief, Axis("error"), 0)
    assert finding.size_tau == pytest.approx(1.0)
    assert finding.size_decides


def test_equal_results_count_alike_for_belief_and_size() -> None:
    """Belief orders networks as size does, and a third of the pairs came to the same: it sees no more than size."""
    error = 0.4 - 0.2 * np.linspace(0.0, 1.0, 12)[:, None]
    belief = Belief.fit(error, [0.001], np.exp(np.linspace(13.0, 18.0, 12))[:, None])
    finding = find(belief.after(Trainings.of(np.arange(12), np.round(error, 1), [0.001])), Axis("error"), 0)
    assert (finding.tau, finding.size_tau) == (1.0, 1.0)
    assert finding.size_decides


@pytest.mark.parametrize("alike", [0, 1])
def test_a_size_that_all_trained_networks_have_ranks_nothing(alike: int) -> None:
    rng = np.random.default_rng(3)
    costs = np.exp(rng.normal(14.0, 0.5, (40, 2)))
    costs[:6, alike] = 1e6
    scores = 0.3 + 0.02 * rng.standard_normal((40, 1))
    belief = Belief.fit(scores, [0.005], costs).after(Trainings.of(np.arange(6), 0.7 * scores[:6], [0.005]))
    size, results = costs[:6, 1 - alike], scores[:6, 0]
    assert find(belief, Axis("error"), 0).size_tau == pytest.approx(abs(rank_correlation(size, results)))


@pytest.mark.parametrize(
    ("axis", "scale", "told"),
    [
        (Axis("worst_class_error"), 1.0, "2.0 points"),
        (Axis("rms_error"), 100.0, "about 2."),
        (Axis("energy_gap", unit="mJ"), 1.0, "about 0.02"),
    ],
)
def test_only_shares_are_spoken_of_as_points(axis: Axis, scale: float, told: str) -> None:
    rng = np.random.default_rng(0)
    scores = scale * (0.4 + 0.02 * rng.standard_normal((400, 1)))
    belief = Belief.fit(scores, [0.001 * scale], np.exp(rng.normal(14.0, 0.5, (400, 1))))
    text = describe_belief(find(belief, axis, 0))
    assert told in text
    assert ("points" in text) == ("points" in told)


@pytest.mark.parametrize("knows", [0.0, 1.0])
def test_how_far_networks_differ_is_right_and_no_more_told_than_is_known(knows: float) -> None:
    """Where genes tell more than frozen scores, what a few trainings leave unknown of them is not told."""
    told, known, spread, differ = np.zeros((4, 4))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = make_truth(rng, networks=200, knows=knows)
        networks = rng.choice(200, 24, replace=False)
        frozen = Belief.fit(truth.scores[:, None], [truth.noise], truth.costs, genes=truth.genes)
        belief = frozen.after(Trainings.of(networks, truth.trained(networks, rng)))
        finding, corrected = find(belief, Axis("error"), 0), belief.corrected(0)
        assert corrected is not None
        size = np.column_stack([np.ones(200), np.log(truth.costs), np.log(truth.costs) ** 2])
        beyond, believed = (
            values - size @ np.linalg.lstsq(size, values, rcond=None)[0]
            for values in (np.log(truth.values), corrected.mean - corrected.by_size)
        )
        told[seed], spread[seed] = finding.told, finding.spread
        known[seed] = 1 - np.var(beyond - believed) / np.var(beyond)
        differ[seed] = beyond.std() * np.median(truth.values)
    assert told.mean() < known.mean() + 0.05
    assert spread.mean() == pytest.approx(differ.mean(), rel=0.25)
