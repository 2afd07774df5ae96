"""Arguments: NumPy's numbers, texts and arrays are Python's, and what is of another kind takes one line."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from evo_fair.arguments import as_flag, as_name, as_number, as_numbers, as_path, as_text, as_texts, as_whole, as_wholes
from evo_fair.errors import EvoFairError


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5), np.int32(5), np.array(5), 5.0, np.float32(5)])
def test_whole_numbers_of_every_kind_become_python_ones(value: object) -> None:
    assert as_whole("budget", value) == 5
    assert type(as_whole("budget", value)) is int


@pytest.mark.parametrize(
    "value", ["5", 5.5, True, np.bool_(True), np.array([5]), [5], np.nan, np.inf, 5 + 0j, Fraction(10**400, 3)]
)
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(EvoFairError, match=r"^budget .* is no whole number: give one$"):
        as_whole("budget", value)


@pytest.mark.parametrize("value", [True, False, np.bool_(True), np.array(False)])
def test_flags_of_every_kind_become_python_ones(value: object) -> None:
    assert as_flag("resume", value) is bool(value)


@pytest.mark.parametrize("value", ["no", "", 0, 1, None, np.array([True])])
def test_what_is_no_flag_is_refused(value: object) -> None:
    with pytest.raises(EvoFairError, match=r"^resume .* is neither True nor False: give one of them$"):
        as_flag("resume", value)


@pytest.mark.parametrize("value", [b"12", bytearray(b"12")])
def test_bytes_are_no_list_of_numbers(value: object) -> None:
    with pytest.raises(EvoFairError, match=r"^seeds = .*b'12'.* is a single one, of bytes: give a list"):
        as_wholes("seeds", value)


def test_a_large_whole_number_keeps_every_digit() -> None:
    assert as_whole("seed", 2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**400, 1e19])
def test_a_whole_number_that_no_file_could_hold_is_refused(value: float) -> None:
    with pytest.raises(EvoFairError, match=r"^seed .+ is too large: give one of at most 9223372036854775807$"):
        as_whole("seed", value)


@pytest.mark.parametrize("value", [0.3, np.float32(0.3), np.float64(0.3), np.array(0.3), np.float16(0.3)])
def test_numbers_of_every_kind_become_the_python_one_that_was_meant(value: object) -> None:
    found = as_number("epsilon", value)
    assert type(found) is float
    assert found == pytest.approx(0.3, rel=1e-3)
    assert as_number("epsilon", np.float32(0.3)) == 0.3


@pytest.mark.parametrize("value", ["0.3", True, np.nan, np.inf, [0.3], 1j, 10**400, Fraction(10**400, 3)])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(EvoFairError, match=r"^epsilon .* is no finite number: give one$"):
        as_number("epsilon", value)


@pytest.mark.parametrize("value", ["", " ", np.str_("")])
def test_an_empty_name_is_refused(value: object) -> None:
    assert as_name("group", np.str_("sex")) == "sex"
    with pytest.raises(EvoFairError, match=r"^group '\s*' is empty: give a name, or leave it out$"):
        as_name("group", value)


@pytest.mark.parametrize("values", [["a", "b"], ("a", "b"), np.array(["a", "b"]), {"a": 1, "b": 2}.keys(), iter("ab")])
def test_lists_of_texts_of_every_kind_become_tuples(values: object) -> None:
    found = as_texts("objectives", values)
    assert found == ("a", "b")
    assert {type(text) for text in found} == {str}


@pytest.mark.parametrize(
    "values", ["error", Path("error"), 3, 0.5, np.float32(0.5), np.int64(3), np.array("error"), None, {"a": 1}, b"ab"]
)
def test_a_single_one_or_another_thing_where_a_list_belongs_is_one_line(values: object) -> None:
    with pytest.raises(EvoFairError, match=r"^objectives") as caught:
        as_texts("objectives", values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [["error", None], ["error", 3], ["error", ["params"]]])
def test_other_things_in_a_list_of_texts_are_named(values: list[object]) -> None:
    with pytest.raises(EvoFairError, match=r"objectives: item 2 .* is no text"):
        as_texts("objectives", values)


def test_lists_of_numbers() -> None:
    assert as_wholes("seeds", np.arange(3)) == (0, 1, 2)
    assert as_numbers("sparsities", np.array([0.3, 0.5], np.float32)) == (0.3, 0.5)
    with pytest.raises(EvoFairError, match="seeds holds None"):
        as_wholes("seeds", [0, None])
    with pytest.raises(EvoFairError, match="seeds = 3 is a single one: give a list"):
        as_wholes("seeds", 3)


@pytest.mark.parametrize("value", ["a/b", Path("a/b")])
def test_paths_are_texts_or_paths(value: object) -> None:
    assert as_path("out", value) == Path("a/b")


@pytest.mark.parametrize("value", [None, 3, "", b"x", ["x"]])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(EvoFairError, match=r"^out .* is no path"):
        as_path("out", value)


def test_a_text_is_a_text() -> None:
    assert type(as_text("group", np.str_("sex"))) is str
    with pytest.raises(EvoFairError, match="group 3 is no text"):
        as_text("group", 3)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(EvoFairError, match=r"out 'a.x00b' holds a NUL"):
        as_path("out", "a\0b")


def test_a_negative_zero_is_zero() -> None:
    assert str(as_number("epsilon", -0.0)) == str(as_number("epsilon", np.float32(-0.0))) == "0.0"
