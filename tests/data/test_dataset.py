"""The form that every data set has: groups, intersections, parts, counts, fingerprint."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from evo_fair.data import PARTS, Dataset, Grouping
from evo_fair.data.dataset import _intersection, class_grouping, grouping_of
from evo_fair.errors import DataError, UnknownNameError
from evo_fair.fairness import accuracy, group_accuracy

SEX = ("f", "m", "f", "?", "m", "f")
AGE = ("old", "young", "young", "old", "", "old")
LABELS = np.array([0, 1, 1, 0, 1, 0])


def _dataset() -> Dataset:
    sex = grouping_of("sex", SEX, ("f", "m"))
    age = grouping_of("age", AGE, ("young", "old"))
    return Dataset(
        name="six",
        inputs=np.arange(6 * 12, dtype=np.uint8).reshape(6, 3, 2, 2),
        labels=LABELS,
        label_names=("no", "yes"),
        groupings={"sex": sex, "age": age, "class": class_grouping(LABELS, ("no", "yes"))},
        split=np.array([0, 1, 1, 1, 2, 1], np.int8),
        units=np.arange(6),
        positive=(1,),
        licence="none",
    )


def test_a_value_outside_the_groups_is_unknown() -> None:
    assert _dataset().grouping("sex").index.tolist() == [0, 1, 0, -1, 1, 0]
    assert _dataset().grouping("class").names == ("no", "yes")


def test_a_grouping_counts_the_samples_of_its_groups() -> None:
    assert _dataset().grouping("sex").sizes.tolist() == [3, 2]
    assert grouping_of("site", ["?", "?", "x"], ("x", "y")).sizes.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "names", "index"),
    [
        ("sex*age", ("f*young", "f*old", "m*young"), [1, 2, 0, -1, -1, 1]),  # no old man: no such group
        ("age * sex", ("young*f", "young*m", "old*f"), [2, 1, 0, -1, -1, 2]),
        ("sex*class*age", ("f*no*old", "f*yes*young", "m*yes*young"), [0, 2, 1, -1, -1, 0]),
    ],
)
def test_an_intersection_has_the_combinations_that_occur(name: str, names: tuple[str, ...], index: list[int]) -> None:
    grouping = _dataset().grouping(name)
    assert grouping.names == names
    assert grouping.index.tolist() == index


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", "a*b"), ("b*c", "c")),
        (("a\\", "a"), ("b", "*b")),
        (("a\\", "a*b\\"), ("b*c", "c")),
        (("a\\*b", "a*b"), ("c", "b*c")),
        (("", "*"), ("**", "*", "")),
        (("\\", "\\*", "*"), ("\\", "*", "\\*")),
    ],
)
def test_groups_that_hold_a_star_keep_names_of_their_own(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    pairs = [(a, b) for a in first for b in second]
    labels = np.zeros(len(pairs), np.int64)
    dataset = replace(
        _dataset(),
        inputs=np.zeros((len(pairs), 3, 2, 2), np.uint8),
        labels=labels,
        groupings={
            "site": grouping_of("site", [a for a, _ in pairs], first),
            "s2": grouping_of("s2", [b for _, b in pairs], second),
            "class": class_grouping(labels, ("no", "yes")),
        },
        split=np.zeros(len(pairs), np.int8),
        units=np.arange(len(pairs)),
    )
    names = dataset.grouping("site*s2").names
    assert len(set(names)) == len(pairs)
    counts = dataset.counts(np.zeros((1, len(pairs)), np.uint8), "train", "site*s2")
    assert dict(zip(counts.group_names, counts.values.sum((0, 2, 3)), strict=True)) == dict.fromkeys(names, 1)


def test_plain_groups_are_joined_as_they_are() -> None:
    groupings = {"a": grouping_of("a", ["x\\y"], ("x\\y",)), "b": grouping_of("b", ["z"], ("z",))}
    assert _intersection("a*b", list(groupings.values())).names == ("x\\y*z",)


def test_a_grouping_of_two_groups_with_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the groups of 'a' have one name twice"):
        grouping_of("a", ["x"], ("x", "x"))


def test_unknown_groupings_and_parts_are_named_with_those_that_exist() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown group 'sx': expected one of sex, age, class, or .*; did you mean 'sex'"
    ):
        _dataset().grouping("sx*age")
    with pytest.raises(UnknownNameError, match="train, validation, test"):
        _dataset().part("valid")
    with pytest.raises(DataError, match="twice"):
        _dataset().grouping("sex*sex")


def test_parts_hold_every_sample_once() -> None:
    dataset = _dataset()
    assert dataset.part("validation").tolist() == [1, 2, 3, 5]
    assert sorted(np.concatenate([dataset.part(part) for part in PARTS])) == list(range(6))


@pytest.mark.parametrize("name", PARTS)
def test_the_samples_of_a_part_are_its_rows(name: str) -> None:
    dataset = _dataset()
    samples, wanted = dataset.samples(name), dataset.inputs[dataset.part(name)]
    assert (samples.shape, samples.dtype) == (wanted.shape, wanted.dtype)
    assert np.array_equal(samples[:], wanted)


def test_counts_of_a_part_are_by_group_and_hold_the_unknown_apart() -> None:
    predictions = np.array([[1, 0, 0, 0], [1, 1, 1, 1]], np.uint8)  # of samples 1, 2, 3, 5 with labels 1, 1, 0, 0
    counts = _dataset().counts(predictions, "validation", "sex")
    assert counts.group_names == ("f", "m")
    assert counts.positive == (1,)
    assert counts.rest.sum(axis=(1, 2)).tolist() == [1, 1]
    assert group_accuracy(counts).tolist() == [[0.5, 1.0], [0.5, 1.0]]
    assert accuracy(counts).tolist() == [0.75, 0.5]


def test_arrays_cannot_be_changed() -> None:
    dataset = _dataset()
    for array in (dataset.inputs, dataset.labels, dataset.split, dataset.units, dataset.grouping("sex").index):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(TypeError):
        dataset.groupings["new"] = dataset.grouping("sex")  # type: ignore[index]


def test_a_pickled_dataset_is_the_same_and_as_unchangeable() -> None:
    dataset = _dataset()
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.fingerprint == dataset.fingerprint
    assert not copy.inputs.flags.writeable


def _changed(name: str, at: int, value: int) -> dict[str, np.ndarray]:
    array = np.array(getattr(_dataset(), name))
    array.flat[at] = value
    return {name: array}


def _regrouped(grouping: Grouping) -> dict[str, dict[str, Grouping]]:
    return {"groupings": dict(_dataset().groupings) | {grouping.name: grouping}}


@pytest.mark.parametrize(
    "change",
    [
        _changed("inputs", 71, 0),
        _changed("labels", 0, 1),
        _changed("split", 5, 2),
        _changed("units", 5, 9),
        {"positive": (0,)},
        {"label_names": ("no", "maybe")},
        _regrouped(grouping_of("sex", (*SEX[:-1], "m"), ("f", "m"))),
        _regrouped(grouping_of("sex", SEX, ("f", "m", "x"))),
        _regrouped(grouping_of("more", SEX, ("f", "m"))),
    ],
    ids=["input", "label", "split", "unit", "positive", "label name", "group of a sample", "group name", "grouping"],
)
def test_the_fingerprint_covers(change: dict[str, object]) -> None:
    dataset = _dataset()
    assert replace(dataset).fingerprint == dataset.fingerprint
    assert replace(dataset, **change).fingerprint != dataset.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((6, 3, 2, 2), np.float64)}, "inputs are uint8"),
        ({"labels": LABELS[:5]}, "labels has the shape"),
        ({"labels": LABELS + 1}, "labels lie between 0 and 1, got 1 to 2"),
        ({"groupings": {}}, "'class' is missing"),
        ({"units": np.array([0, 1, 1, 1, 1, 1])}, "torn"),
        ({"inputs": [[1, 2]]}, "inputs are list: give a NumPy array"),
        ({"inputs": np.ma.array(np.zeros((6, 2), np.float32))}, "inputs is a masked array"),
        ({"labels": np.ma.array(LABELS, mask=[1, 0, 0, 0, 0, 0])}, "labels is a masked array, of which nothing reads"),
        ({"groupings": {"class": grouping_of("kind", SEX, ("f", "m"))}}, "groupings has 'kind' as 'class': give it"),
        ({"labels": LABELS + 0.5}, "labels: its numbers are no whole ones .float64.: give integers"),
        ({"labels": LABELS.astype(str)}, "labels: its numbers are no whole ones"),
        ({"units": np.arange(6) / 2}, "units: its numbers are no whole ones"),
        ({"units": 1e19 * np.arange(1, 7)}, r"units: 1e\+19 to 6e\+19 are beyond 64 bits: give integers"),
        ({"units": np.array([0, 1, 2, 3, 4, np.inf])}, "units: 0 to inf are beyond 64 bits"),
        ({"split": np.full(6, 256)}, "split lie between 0 and 2, got 256 to 256"),
        ({"label_names": ("a", "a")}, "the labels have one name twice"),
        ({"label_names": (0, 1)}, "a name of the labels is 0: give a text"),
        ({"label_names": ("a", "b\ud800")}, "holds half a character"),
        ({"positive": None}, "positive is None: give the numbers of labels, from 0 to 1"),
        ({"positive": (2,)}, r"positive is \(2,\): give"),
        ({"positive": ("yes",)}, "positive is .*: give the numbers of labels"),
        ({"name": None}, "name is None: give a text"),
        ({"licence": 3}, "licence is 3: give a text"),
        (_regrouped(grouping_of("a:b", SEX, ("f", "m"))), "'a:b' can't name a grouping"),
        (_regrouped(grouping_of("a*b", SEX, ("f", "m"))), r"'a\*b' can't name a grouping"),
    ],
)
def test_a_dataset_that_does_not_fit_together_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(_dataset(), **change)


@pytest.mark.parametrize(
    ("names", "index", "message"),
    [
        (("f",), [0, 1], "points outside"),
        (("f", "m"), [65536, 65537], "points outside"),
        (tuple(map(str, range(32769))), [0, 32768], "has 32,769 groups, at most 32,768 are counted"),
        (("f", "m"), [0.0, 0.5], "no whole ones"),
        ((1, "1"), [0, 1], "a name of the groups of 'sex' is 1: give a text"),
    ],
)
def test_a_grouping_that_does_not_fit_together_is_refused(
    names: tuple[str, ...], index: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Grouping("sex", names, np.array(index))


def test_names_may_come_as_an_array_and_whole_numbers_as_any() -> None:
    assert Grouping("sex", np.array(["f", "m"]), np.array([0.0, 1.0])).names == ("f", "m")  # type: ignore[arg-type]
    assert replace(_dataset(), positive=np.array([1])).positive == (1,)


def test_a_grouping_whose_name_begins_with_a_space_is_not_another() -> None:
    spaced = grouping_of(" sex", SEX, ("f",))
    dataset = replace(_dataset(), groupings=dict(_dataset().groupings) | {" sex": spaced})
    assert dataset.grouping(" sex*class").names == ("f*no", "f*yes")
    assert dataset.grouping("sex * class").names == ("f*no", "f*yes", "m*yes")


def test_positive_labels_can_be_replaced_by_name() -> None:
    assert _dataset().with_positive(["no"]).positive == (0,)
    with pytest.raises(UnknownNameError, match="unknown positive label 'ja'"):
        _dataset().with_positive(["ja"])


def test_an_intersection_of_too_many_groups_is_refused() -> None:
    n = 1001
    index = np.arange(n).astype(np.int16)
    names = tuple(map(str, range(n)))
    labels = np.zeros(n, np.int64)
    groupings = {"id": Grouping("id", names, index), "class": class_grouping(labels, ("no", "yes"))}
    many = Dataset("many", np.zeros((n, 1), np.float32), labels, ("no", "yes"), groupings, labels, index, (), "none")
    with pytest.raises(DataError, match="1001 groups, at most 1000"):
        many.grouping("id*class")
