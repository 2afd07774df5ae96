"""Too few samples of a label or group are refused, and the message says what helps."""

from collections import Counter

import numpy as np
import pytest

from evo_fair.data import Dataset, Draw, Grouping, check_samples
from evo_fair.data.dataset import class_grouping, grouping_of
from evo_fair.data.splits import split_units
from evo_fair.errors import DataError

LABELS = np.array([0, 1, 1, 0, 1, 0])


def _six(*more: Grouping) -> Dataset:
    sex = grouping_of("sex", ("f", "m", "f", "?", "m", "f"), ("f", "m"))
    groupings = {"sex": sex, "class": class_grouping(LABELS, ("no", "yes"))} | {one.name: one for one in more}
    split = np.array([0, 1, 1, 1, 2, 1], np.int8)
    return Dataset("six", np.zeros((6, 1), np.float32), LABELS, ("no", "yes"), groupings, split, np.arange(6), (), "-")


def test_labels_and_groups_with_too_few_samples_are_named() -> None:
    with pytest.raises(DataError) as caught:
        check_samples(_six(), ["sex"], 1)
    message = str(caught.value)
    assert (
        "label 'yes' has 0 in train; label 'no' has 0 in test; sex 'm' has 0 in train; sex 'f' has 0 in test" in message
    )
    assert "lower min_samples" in message
    check_samples(_six(), ["sex"], 0)


@pytest.mark.parametrize(("ages", "advised"), [(9, True), (8, False)])
def test_rare_groups_called_by_numbers_are_to_be_cut_into_bands(ages: int, advised: bool) -> None:
    n, parts = 3 * ages, np.arange(3).repeat(ages)
    age = [f"{40 + i % ages}.5" for i in range(n)]
    types = [f"type {i % ages}" for i in range(n)]
    labels = np.arange(n) % ages
    kinds = tuple(map(str, range(ages)))  # labels such as digits are no bands
    groupings = {
        "age": grouping_of("age", age, sorted(set(age))),
        "type": grouping_of("type", types, sorted(set(types))),
        "class": class_grouping(labels, kinds),
    }
    inputs = np.zeros((n, 1), np.float32)
    dataset = Dataset("old", inputs, labels, kinds, groupings, parts.astype(np.int8), np.arange(n), (), "none")
    told = "are needed: cut the numbers of 'age' into bands, such as 'under 40' and '40 or more', or add samples, join"
    with pytest.raises(DataError) as caught:
        check_samples(dataset, ["age", "type"], 2)
    assert (told in str(caught.value)) == advised
    assert "are needed: add samples, join" in str(caught.value) or advised
    check_samples(dataset, ["age", "type"], 1)


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (
            np.zeros(42, int),
            "the 22 samples of label 'no' are in one unit, which is never torn across parts: give smaller",
        ),
        (np.arange(42) // 14, "the 22 samples of label 'no' are in 3 units, none of which is torn across parts: give"),
        (np.arange(42), None),
    ],
)
def test_units_that_are_too_large_for_all_parts_are_named(units: np.ndarray, told: str | None) -> None:
    sex = grouping_of("sex", ["f", "m"] * 21, ("f", "m"))
    labels = np.arange(42) // 2 % 2
    groupings = {"sex": sex, "class": class_grouping(labels, ("no", "yes"))}
    inputs, split = np.zeros((42, 1), np.float32), np.zeros(42, np.int8)
    dataset = Dataset("few", inputs, labels, ("no", "yes"), groupings, split, units, (), "none")
    with pytest.raises(DataError) as caught:
        check_samples(dataset, ["sex"], 3)
    assert told in str(caught.value) if told else "unit" not in str(caught.value)
    with pytest.raises(DataError) as caught:  # more samples would help here
        check_samples(dataset, ["sex"], 4)
    assert "unit" not in str(caught.value)


def test_a_grouping_with_a_single_group_is_refused() -> None:
    alone = _six(grouping_of("site", ["x"] * 6, ("x",)))
    with pytest.raises(DataError, match="'site' has one group, 'x', so nothing"):
        check_samples(alone, ["site"], 0)
    nobody = _six(grouping_of("site", ["?"] * 6, ()))
    with pytest.raises(DataError, match="six: no sample says its group of 'site': fill it in"):
        check_samples(nobody, ["site"], 0)


DRAW = Draw((0.65, 0.15, 0.20), 0)
RACE = ["other" if i % 20 == 0 and i < 1100 else "most" for i in range(1280)]  # 55 others


def _drawn(race: list[str], seed: int = 0, labels: tuple[str, ...] = ("no", "yes")) -> Dataset:
    """Parts as `load_dataset` draws them; the labels take turns."""
    n = len(race)
    numbers = np.arange(n) % len(labels)
    split = split_units(numbers, np.arange(n), DRAW.fractions, np.random.default_rng(seed))
    groupings = {
        "race": grouping_of("race", race, sorted(set(race))),
        "class": class_grouping(numbers, labels),
    }
    inputs = np.zeros((n, 1), np.float32)
    return Dataset("drawn", inputs, numbers, labels, groupings, split, np.arange(n), (), "none")


def _refusal(dataset: Dataset, draw: Draw | None, minimum: int = 10) -> str:
    with pytest.raises(DataError) as caught:
        check_samples(dataset, ["race"], minimum, draw)
    return str(caught.value)


def test_a_seed_is_named_whose_parts_have_enough() -> None:
    message = _refusal(_drawn(RACE), DRAW)
    assert "race 'other' has 9 in validation), at least 10 are needed: draw other parts with split_seed = " in message
    seed = int(message.split("split_seed = ")[1].split()[0])
    check_samples(_drawn(RACE, seed), ["race"], 10, Draw(DRAW.fractions, seed))
    for earlier in range(seed):
        _refusal(_drawn(RACE, earlier), None)


def test_no_seed_is_named_that_could_not_help() -> None:
    few = ["other" if i < 29 else "most" for i in range(1280)]
    assert "split_seed" not in _refusal(_drawn(few), DRAW)  # ten in each part are thirty
    assert "split_seed" not in _refusal(_drawn(RACE), None)
    assert "split_seed" not in _refusal(_drawn(RACE, seed=1), DRAW)  # the parts are not those of this draw
    assert "split_seed" not in _refusal(_drawn(["x", "y"] * 16), DRAW)  # none of the seeds tried gives five


@pytest.mark.parametrize(
    ("race", "labels", "told"),
    [
        (["white", "White", "black"], ("no", "yes"), "spell race 'White' and 'white' alike if they are the same, or"),
        (
            ["x", "y"],
            ("female", "Female ", "male"),
            "spell label 'female' and 'Female ' alike if they are the same, or",
        ),
        (["white", "whiter"], ("no", "yes"), None),
    ],
)
def test_names_that_are_spelt_almost_alike_are_told(race: list[str], labels: tuple[str, ...], told: str | None) -> None:
    message = _refusal(_drawn(race * 12, labels=labels), None)
    assert told in message if told else "alike" not in message


def test_rare_groups_that_read_as_missing_are_told() -> None:
    told = 'are needed: name "Unknown", "nan" in missing = [...] under [data] if it means that the group is not known,'
    assert told in _refusal(_drawn(["nan"] * 5 + ["Unknown"] * 5 + ["x", "y"] * 60), None)
    assert "missing" not in _refusal(_drawn(["nan", "x"] * 200 + ["z"] * 5), None)  # it has enough


def test_a_rare_code_among_few_may_be_missing() -> None:
    for code in ("9", "-9.0"):
        told = f"are needed: empty the cells of 'race' that say '{code}' if it means that it is not known, or"
        assert told in _refusal(_drawn(["1", "2"] * 60 + [code] * 5), None)
    ages = [str(age) for age in range(2, 12)] * 5
    assert "not known" not in _refusal(_drawn(ages), None)


def test_numbers_are_to_be_cut_though_a_few_are_frequent() -> None:
    ages = [f"{age}.0" for age in range(20, 70, 5)]
    message = _refusal(_drawn([*ages[:8] * 60, *ages[8:]]), None)
    assert "are needed: cut the numbers of 'race' into bands" in message


def test_a_refusal_names_four_at_most() -> None:
    message = _refusal(_drawn(["a", "b", "c", "d"] * 3), None)
    assert Counter(message)[";"] == 4
    assert "; and 14 more), at least" in message
