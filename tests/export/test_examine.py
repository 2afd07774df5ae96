"""What a network gets right on a part, for whom, and how sure that is."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import evo_fair as ef
from evo_fair.data import Dataset, Grouping
from evo_fair.errors import UndefinedMetricError
from evo_fair.evolution import resolve
from evo_fair.export.examine import Examiner
from evo_fair.fairness import METRICS, Counts, bootstrap, group_accuracy


@pytest.fixture
def predictions(dataset: Dataset) -> np.ndarray:
    labels = dataset.labels[dataset.part("test")]
    wrong = np.random.default_rng(0).random(len(labels)) < 0.2
    return np.where(wrong, (labels + 1) % 10, labels).astype(np.uint8)


def grouped(dataset: Dataset, index: np.ndarray) -> Dataset:
    odd = Grouping("odd", ("even", "odd", "rare"), index.astype(np.int16))
    return replace(dataset, groupings={**dataset.groupings, "odd": odd})


def test_values_are_the_metrics_and_lie_in_their_intervals(dataset: Dataset, predictions: np.ndarray) -> None:
    found = Examiner(dataset, "test", ("class",), seed=0).examine(predictions)
    counts = dataset.counts(predictions[None], "test", "class")
    for name in ("accuracy", "balanced_accuracy"):
        assert found[name].value == METRICS[name](counts)[0]
    for name in ("unfairness", "worst_group_accuracy", "accuracy_gap"):
        assert found[f"{name}[class]"].value == METRICS[name](counts)[0]
    right = predictions == dataset.labels[dataset.part("test")]
    sevens = dataset.labels[dataset.part("test")] == 7
    assert found["accuracy[class:7]"].value == pytest.approx(right[sevens].mean())
    assert found["accuracy"].low < found["accuracy"].value < found["accuracy"].high
    spread = 1.96 * math.sqrt(right.mean() * (1 - right.mean()) / len(right))  # each sample is a unit here
    assert found["accuracy"].high - found["accuracy"].low == pytest.approx(2 * spread, rel=0.1)


def test_same_seed_same_intervals(dataset: Dataset, predictions: np.ndarray) -> None:
    first, again, other = (Examiner(dataset, "test", ("class",), seed, 300).examine(predictions) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_group_without_an_error_has_an_interval_by_its_number_of_samples(
    dataset: Dataset, predictions: np.ndarray
) -> None:
    """Wilson's interval of n right of n begins at n / (n + z^2), with z^2 = 3.8415."""
    labels = dataset.labels[dataset.part("test")]
    examiner = Examiner(dataset, "test", ("class",), seed=0, replicates=300)
    before = examiner.examine(predictions)
    found = examiner.examine(np.where(labels == 7, labels, predictions).astype(np.uint8))
    sevens = examiner.samples()["accuracy[class:7]"]
    assert sevens == (labels == 7).sum()
    assert found["accuracy[class:7]"] == pytest.approx((1.0, sevens / (sevens + 3.8415), 1.0), abs=1e-6)
    assert found["accuracy[class:3]"] == before["accuracy[class:3]"], "others are as they were"
    assert examiner.examine(labels.astype(np.uint8))["worst_group_accuracy[class]"].low < 1.0


def test_samples_of_few_units_say_no_more_than_the_units(dataset: Dataset) -> None:
    """The part is of twenty units, all right: Wilson's interval of 20 of 20 begins at 20 / (20 + z^2)."""
    test = dataset.part("test")
    units, index = dataset.units.copy(), np.full(len(dataset), -1)
    units[test] = units.max() + 1 + np.arange(len(test)) % 20
    index[test] = np.arange(len(test)) % 2
    of_few = grouped(replace(dataset, units=units), index)
    known = replace(of_few.grouping("odd"), names=("even", "odd"))
    of_few = replace(of_few, groupings={**of_few.groupings, "odd": known})
    found = Examiner(of_few, "test", ("odd",), seed=0).examine(dataset.labels[test].astype(np.uint8))
    assert found["accuracy"] == pytest.approx((1.0, 20 / 23.8415, 1.0), abs=2e-3)
    assert found["accuracy[odd:odd]"].low == pytest.approx(10 / 13.8415, abs=0.02)


def test_samples_of_groups_are_those_of_the_part(dataset: Dataset) -> None:
    test = dataset.part("test")
    index = np.full(len(dataset), -1)
    index[test[:5]] = 1
    index[test[5:8]] = 0
    samples = Examiner(grouped(dataset, index), "test", ("odd",), seed=0).samples()
    assert samples == {
        "accuracy": len(test),
        "accuracy[odd:even]": 3,
        "accuracy[odd:odd]": 5,
        "accuracy[odd:rare]": 0,
    }


def test_a_group_that_the_part_lacks_has_no_value(dataset: Dataset, predictions: np.ndarray) -> None:
    with_empty = grouped(dataset, dataset.labels % 2)
    found = Examiner(with_empty, "test", ("class", "odd"), seed=0, replicates=100).examine(predictions)
    assert "accuracy" in found
    assert not any("odd" in name for name in found)


def test_a_group_of_one_unit_has_a_value_without_interval(dataset: Dataset, predictions: np.ndarray) -> None:
    """Thirty groups of a unit each: hardly any resample has them all."""
    index = np.full(len(dataset), -1)
    index[dataset.part("test")[:30]] = np.arange(30)
    many = Grouping("many", tuple(f"g{i}" for i in range(30)), index.astype(np.int16))
    data = replace(dataset, groupings={**dataset.groupings, "many": many})
    found = Examiner(data, "test", ("class", "many"), seed=0, replicates=100).examine(predictions)
    right = predictions[:30] == data.labels[data.part("test")[:30]]
    assert found["accuracy[many:g3]"].value == right[3]
    assert math.isnan(found["accuracy[many:g3]"].low)
    assert math.isnan(found["unfairness[many]"].high)
    assert not math.isnan(found["unfairness[class]"].high)


def test_changes_are_differences_on_the_same_resamples(dataset: Dataset, predictions: np.ndarray) -> None:
    """Every fifth sample of class 7 is lost: what did not change has Wilson's, and what changed has a binomial's."""
    labels = dataset.labels[dataset.part("test")]
    sevens = np.flatnonzero(labels == 7)
    after = predictions.copy()
    after[sevens] = 7
    before = after.copy()
    after[sevens[::5]] = 1
    found = Examiner(dataset, "test", ("class",), seed=0).changes(before, after)
    lost = len(sevens[::5])
    assert found["accuracy"].value == pytest.approx(-lost / len(labels))
    change = found["accuracy[class:7]"]
    assert change.value == pytest.approx(-lost / len(sevens))
    spread = 1.96 * math.sqrt(-change.value * (1 + change.value) / len(sevens))
    assert change.high - change.low == pytest.approx(2 * spread, rel=0.25)
    assert change.low < change.value < change.high
    unchanged, n = found["accuracy[class:3]"], int((labels == 3).sum())
    assert tuple(unchanged) == pytest.approx((0.0, -3.8415 / (n + 3.8415), 3.8415 / (n + 3.8415)), abs=1e-4)


def test_a_change_in_a_group_of_one_unit_is_not_known_for_sure(dataset: Dataset, predictions: np.ndarray) -> None:
    """Half of its samples are lost, as in every resample of it: of one unit hardly anything is known."""
    test = dataset.part("test")
    index, units = np.full(len(dataset), -1), dataset.units.copy()
    index[test] = 1
    index[test[:8]] = 0
    units[test[:8]] = units[test[0]]
    labels = dataset.labels[test].astype(np.uint8)
    after = labels.copy()
    after[:4] = (after[:4] + 1) % 10
    of_one = grouped(replace(dataset, units=units), index)
    change = Examiner(of_one, "test", ("odd",), seed=0, replicates=300).changes(labels, after)["accuracy[odd:even]"]
    assert change.value == -0.5
    assert change.low < -0.8
    assert change.high > 0


def test_intervals_of_changes_are_changes_that_can_be(dataset: Dataset, predictions: np.ndarray) -> None:
    """All but one of a class are lost: the interval would go on beyond all of them."""
    sevens = np.flatnonzero(dataset.labels[dataset.part("test")] == 7)
    before, after = predictions.copy(), predictions.copy()
    before[sevens] = 7
    after[sevens[1:]] = 1
    after[sevens[0]] = 7
    change = Examiner(dataset, "test", ("class",), seed=0).changes(before, after)["accuracy[class:7]"]
    assert change.low == -1.0 < change.value < change.high


def test_changes_without_enough_units_have_no_interval(dataset: Dataset, predictions: np.ndarray) -> None:
    found = Examiner(grouped(dataset, dataset.labels % 2), "test", ("odd",), seed=0, replicates=100).changes(
        predictions, predictions
    )
    assert "accuracy[odd:rare]" not in found
    assert found["accuracy[odd:odd]"].value == 0.0


def test_resamples_of_a_large_part_take_a_byte_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo_fair.fairness.resampled.AT_ONCE", 2**14)
    n, replicates = 10_000, 300
    labels = np.arange(n) % 2
    dataset = Dataset(
        name="large",
        inputs=np.zeros((n, 1), np.float32),
        labels=labels,
        label_names=("no", "yes"),
        groupings={"class": Grouping("class", ("no", "yes"), labels)},
        split=np.full(n, 2, np.int8),
        units=np.arange(n),
        positive=(1,),
        licence="none needed",
    )
    tracemalloc.start()
    try:
        Examiner(dataset, "test", ("class",), 0, replicates).resampled(labels.astype(np.uint8), "class")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * replicates * n


def lead_of_sevens(counts: Counts) -> np.ndarray:
    """The accuracy of the sevens less that of the eights: below 0 where eights are recognised better."""
    accuracy = group_accuracy(counts)
    return accuracy[:, 7] - accuracy[:, 8]


def test_objectives_of_a_search_are_measured_by_the_first_grouping(dataset: Dataset) -> None:
    labels = dataset.labels[dataset.part("test")]
    wrong = (labels == 7) & (np.arange(len(labels)) % 2 == 0)
    predictions = np.where(wrong, 1, labels).astype(np.uint8)
    own = ef.Objective("lead_of_sevens", function=lead_of_sevens)
    also = [own, *resolve(["error", "mcd", "accuracy_gap"])]
    examiner = Examiner(grouped(dataset, dataset.labels % 2), "test", ("class", "odd"), 0, 300, also)
    found = examiner.examine(predictions)
    counts = dataset.counts(predictions[None], "test", "class")
    lead = found["lead_of_sevens[class]"]
    assert lead.value == lead_of_sevens(counts)[0] < 0
    assert lead.low < lead.value < lead.high < 0
    expected = bootstrap.interval(METRICS["mcd"], counts, examiner.resampled(predictions, "class"), units=len(labels))
    assert found["mcd[class]"] == expected
    assert not [name for name in found if name.startswith(("error", "lead_of_sevens[odd", "mcd[odd"))]


def precision_of_sevens(counts: Counts) -> np.ndarray:
    """Which share of what is taken for a seven is one; of nothing there is none."""
    taken = counts.overall[:, :, 7].sum(axis=1)
    if not taken.all():
        raise UndefinedMetricError("nothing is taken for a seven")
    return counts.overall[:, 7, 7] / taken


@pytest.mark.parametrize("sevens", [1, 3])
def test_an_objective_without_a_value_on_some_resamples_is_measured(dataset: Dataset, sevens: int) -> None:
    """Of one sample taken for a seven, a third of the resamples has none: all others say the same."""
    labels = dataset.labels[dataset.part("test")]
    taken = np.r_[np.flatnonzero(labels == 7)[: sevens - 1], np.flatnonzero(labels == 8)[:1]]
    predictions = np.where(labels == 7, 6, labels).astype(np.uint8)
    predictions[taken] = 7
    own = ef.Objective("precision_of_sevens", "max", function=precision_of_sevens)
    found = Examiner(dataset, "test", ("class",), 0, 300, [own]).examine(predictions)["precision_of_sevens[class]"]
    assert found.value == (sevens - 1) / sevens
    assert math.isnan(found.low) if sevens == 1 else found.low < found.value <= found.high
