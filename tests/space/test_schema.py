"""The checks on the [space] section of a problem."""

from typing import Any

import pytest
from pydantic import ValidationError

from evo_fair.space import SpaceSchema
from evo_fair.space.kinds import MB, RB

STAGE: dict[str, Any] = {"slots": 2, "kinds": ["MB"], "widths": [8, 16], "keep_channels": [8, 16]}


def schema(**stage: Any) -> SpaceSchema:
    return SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [STAGE, {**STAGE, **stage}]})


def test_keep_level_off_the_multiple_is_named_with_its_mend() -> None:
    with pytest.raises(ValidationError) as error:
        schema(keep_channels=[8, 9, 16])
    expected = "keep level 9 is not a multiple of 8: stage 2 lists keep_channels = [8, 9, 16]; use 8 or 16"
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"widths": [16, 8]}, "strictly ascending"),
        ({"widths": []}, "widths is missing"),
        ({"kinds": ["MB", "MB"]}, "repeats a kind"),
        ({"kinds": ["XB"]}, "unknown block kind 'XB': expected one of MB, DB, RB, CB, FC"),
        ({"kinds": ["FC", "MB"]}, "FC stands alone"),
        ({"slots": 0}, "greater than or equal to 1"),
        ({"kernels": [4]}, "Input should be 3 or 5"),
        ({"kernels": [3, 3]}, "strictly ascending"),
        ({"kernels": {"RB": [3]}}, "for a kind of the stage"),
        ({"kernels": {"MB": []}}, "list at least one"),
        ({"colour": 1}, "Extra inputs are not permitted"),
        ({"stride": 3}, r"expected 1, 2, or \[1, 2\] where the search is to choose, got 3"),
        ({"stride": [2, 1]}, r"where the search is to choose, got \[2, 1\]"),
        ({"stride": [1]}, r"where the search is to choose, got \[1\]"),
        ({"stride": True}, "where the search is to choose, got True"),
    ],
)
def test_wrong_stage_is_refused(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        schema(**stage)


def test_convolutions_need_a_stem_and_layers_must_not_have_one() -> None:
    with pytest.raises(ValidationError, match="stem is missing"):
        SpaceSchema.model_validate({"stage": [STAGE]})
    stage = {"slots": 1, "kinds": ["FC"], "keep_channels": [8]}
    with pytest.raises(ValidationError, match="tabular"):
        SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]})


def test_a_stride_is_a_number_or_both_the_coarser_first() -> None:
    assert [schema(stride=stride).stage[1].strides for stride in (1, 2, [1, 2])] == [(1,), (2,), (2, 1)]
    stem = {"widths": [8], "stride": [1, 2]}
    open_stem = SpaceSchema.model_validate({"stem": stem, "stage": [STAGE]})
    assert open_stem.stem is not None
    assert open_stem.stem.strides == (2, 1)
    assert SpaceSchema.model_validate_json(open_stem.model_dump_json()) == open_stem
    with pytest.raises(ValidationError, match="no widths and no stride"):
        SpaceSchema.model_validate({"stage": [{"slots": 1, "kinds": ["FC"], "keep_channels": [8], "stride": [1, 2]}]})


def test_kernels_are_a_list_for_all_kinds_or_a_table_by_kind() -> None:
    stage = schema(kinds=["MB", "RB"], kernels=[3, 5]).stage[1]
    assert stage.kernels_of(MB) == stage.kernels_of(RB) == (3, 5)
    stage = schema(kinds=["MB", "RB"], kernels={"MB": [5]}).stage[1]
    assert (stage.kernels_of(MB), stage.kernels_of(RB)) == ((5,), (3,))
