"""Names that a person takes for the same one."""

import warnings
from dataclasses import replace

import pytest

from evo_fair.data.alike import alike_names, say_alike
from evo_fair.data.dataset import grouping_of
from evo_fair.errors import DataWarning
from evo_fair.testing import small_dataset


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("white", "White"),
        ("white", " white "),
        ("30-54", "30\u201354"),
        ("30-54", "30 - 54"),
        ("under 40", "under_40"),
        ("under 40", "Under  40"),
        ("jos\u00e9", "jose\u0301"),
        ("STRASSE", "stra\u00dfe"),
        ("\uff21", "a"),
        ("f", "f\u200b"),
    ],
)
def test_spellings_of_one_name_are_alike(one: str, other: str) -> None:
    assert alike_names(["else", one, other]) == [(one, other)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("F", "female"), ("white", "whites"), ("+", "-"), ("-1", "1"), ("<=50K", ">50K"), ("1-5", "15"), ("c", "c++")],
)
def test_other_names_are_not(one: str, other: str) -> None:
    assert alike_names([one, other]) == []


def test_each_name_is_told_with_the_first_that_is_like_it() -> None:
    assert alike_names(["a", "A", "b", " a"]) == [("a", "A"), ("a", " a")]
    assert alike_names([]) == []


def test_groups_and_labels_that_are_alike_are_warned_of_with_their_sizes() -> None:
    dataset = small_dataset()
    n = len(dataset.labels)
    race = grouping_of("race", ["White", *["white"] * (n - 2), ""], ("White", "white"))
    dataset = replace(dataset, groupings=dict(dataset.groupings) | {"race": race})
    with pytest.warns(DataWarning) as told:
        say_alike(dataset)
    assert [str(one.message) for one in told] == [
        (
            f"{dataset.name}: the groups of 'race' 'White' (of 1) and 'white' (of {n - 2:,}) samples are spelt "
            "almost alike: if they are one, spell them alike"
        )
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_alike(small_dataset())
