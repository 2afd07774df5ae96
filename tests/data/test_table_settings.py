"""What `[data.table]` may say."""

from typing import Any

import pytest
from pydantic import ValidationError

from evo_fair.data.table_settings import Column, TableSettings

GOOD: dict[str, Any] = {
    "file": "people.csv",
    "label": "income",
    "groups": {"sex": "sex", "band": {"column": "age", "at_least": [30, 60]}},
    "numbers": ["hours"],
    "categories": ["job"],
}


def test_a_name_alone_is_a_column() -> None:
    settings = TableSettings.model_validate(GOOD)
    assert settings.label == Column(column="income")
    assert settings.columns == ("income", "sex", "age", "hours", "job")
    assert TableSettings.model_validate(settings.model_dump(mode="json", exclude_none=True)) == settings


def test_tables_without_described_columns_are_written_as_before_there_were_any() -> None:
    assert "described" not in TableSettings.model_validate(GOOD).model_dump(mode="json")
    described = TableSettings.model_validate({**GOOD, "target_encoded": ["place"], "described": ["place"]})
    assert TableSettings.model_validate(described.model_dump(mode="json", exclude_none=True)) == described


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ({"above": [50000]}, ("up to 50000", "above 50000")),
        ({"above": [1.5, 3]}, ("up to 1.5", "above 1.5 up to 3", "above 3")),
        ({"at_least": [30, 60]}, ("under 30", "30 to under 60", "60 or more")),
        ({"at_least": [30], "names": ["young", "old"]}, ("young", "old")),
    ],
)
def test_bands_are_named_by_their_cuts(column: dict[str, Any], names: tuple[str, ...]) -> None:
    assert Column.model_validate({"column": "x", **column}).band_names() == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": [], "categories": []}, "no column is an input"),
        ({"categories": ["job", "hours"]}, "'hours' is an input twice"),
        ({"numbers": ["income"]}, "'income' is the label, so it can't be an input"),
        ({"numbers": ["income"], "also_inputs": ["income"]}, "'income' is the label, so it can't be an input"),
        ({"numbers": ["age"]}, "'age' makes a group, so it is no input unless also_inputs = ['age'] says so"),
        ({"also_inputs": ["hours"]}, "also_inputs names 'hours', which is not both"),
        ({"described": ["job"]}, "described names 'job', which target_encoded does not: list it there, too"),
        ({"target_encoded": ["place"], "described": ["place"] * 2}, "described names 'place' twice"),
        ({"unit": "job"}, "'job' is the unit, so it can't be an input"),
        ({"split": "hours"}, "'hours' is the split, so it can't be an input"),
        ({"weight": "w"}, "weight can't be carried: accuracy and fairness count samples"),
        ({"groups": {"class": "sex"}}, "'class' can't name a group"),
        ({"groups": {"a*b": "sex"}}, "can't name a group"),
        ({"label": {"column": "income", "above": [2, 1]}}, "must be strictly ascending; use [1.0, 2.0]"),
        ({"label": {"column": "income", "above": [1], "at_least": [2]}}, "two ways to cut a number"),
        ({"label": {"column": "income", "above": [True]}}, "true is no number"),
        ({"label": {"column": "income", "above": [float("nan")]}}, "finite"),
        ({"label": {"column": "income", "above": [1], "names": ["low"]}}, "1 cut(s) make 2 bands"),
        ({"label": {"column": "income", "above": [1], "names": ["x", "x"]}}, "has one twice"),
        ({"label": {"column": "income", "names": ["low", "high"]}}, "names give values their names"),
        ({"colour": "x"}, "Extra inputs"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TableSettings.model_validate({**GOOD, **change})
    assert message in str(caught.value)


def test_a_group_is_an_input_where_the_file_says_so() -> None:
    assert TableSettings.model_validate({**GOOD, "numbers": ["age"], "also_inputs": ["age"]}).inputs == ("age", "job")
