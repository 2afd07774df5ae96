"""What is wrong with a problem file is said in words of such files, with how to mend it."""

from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from evo_fair.errors import ProblemError
from evo_fair.problem import load_problem
from evo_fair.problem_faults import fault_of, in_plain_words
from tests.test_problem import FOLDER, MINIMAL

TABLE = MINIMAL.replace("[fairness]", '[data.table]\nfile = "a.csv"\nlabel = "b"\nnumbers = ["c"]\n[fairness]')
FIX = "there is no such key: fix its name, or take it out"
MOVE = "there is no such key here: it belongs"


@pytest.mark.parametrize(
    ("content", "old", "new", "message"),
    [
        (FOLDER, "objectives =", 'missing = ["x"]\nobjectives =', f"search.missing: {MOVE} under [data]"),
        (MINIMAL, "slots = 1", "slots = 1\nbudget = 9", f"space.stage.1.budget: {MOVE} under [search]"),
        (MINIMAL, "objectives", "widths = [4]\nobjectives", f"{MOVE} under [space.stem] or under [[space.stage]]"),
        (MINIMAL, "objectives", "title = 'a'\nobjectives", f"{MOVE} at the top of the file, before all sections"),
        (TABLE, "numbers", "missing = ['?']\nnumbers", f"data.table.missing: {MOVE} under [data]"),
        (TABLE, "numbers", "above = [3]\nnumbers", "under [data.table.label] or under [data.table.groups.NAME]"),
        (MINIMAL, "stem = {", "[stem]\na = {", "stem: there is no such key here: write [space.stem]"),
        (MINIMAL, "[[space.stage]]", "[[stage]]", "stage: there is no such key here: write [[space.stage]]"),
        (MINIMAL, "slots", "slot", f"space.stage.1.slot: {FIX}; did you mean 'slots'?"),
        (MINIMAL, "[search]", "[serach]", f"serach: {FIX}; did you mean 'search'?"),
        (MINIMAL, "objectives", "name = 'a'\nobjectives", f"search.name: {FIX}"),
    ],
)
def test_a_key_that_its_section_does_not_know_is_sent_where_it_belongs(
    tmp_path: Path, content: str, old: str, new: str, message: str
) -> None:
    assert refused(tmp_path, content, old, new).endswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[space.stage]]", "[space.stage]", "space.stage: there can be several of them: write [[space.stage]], in"),
        ("[search]", "[[search]]", "search: there is one of them: write [search], in single brackets"),
        ("stem = { widths = [4] }", "[[space.stem]]\nwidths = [4]", "space.stem: there is one of them: write [space."),
    ],
)
def test_single_and_double_brackets_that_are_mixed_up_are_told(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert message in refused(tmp_path, MINIMAL, old, new)


@pytest.mark.parametrize(
    ("content", "old", "new", "message"),
    [
        (MINIMAL, '["class"]', '"class"', """fairness.report: {list} ["class"], got 'class'"""),
        (FOLDER, "min_samples", 'missing = "other"\nmin_samples', """data.missing: {list} ["other"], got 'other'"""),
        (MINIMAL, '["class"]', "3", 'fairness.report: {list} ["a", "b"], got 3'),
        (MINIMAL, '["class"]', "{ a = 3 }", """fairness.report: {list} ["a", "b"], got {{'a': 3}}"""),
        (MINIMAL, "[search]", '[training]\naugment = "flip"\n[search]', """{list} ["hflip", "vflip"], got 'flip'"""),
        (MINIMAL, "{ widths = [4] }", "{ widths = 4 }", "space.stem.widths: {list} [4], got 4"),
        (MINIMAL, "{ widths = [4] }", '{ widths = "4" }', "space.stem.widths: {list} [1, 2], got '4'"),
        (MINIMAL, "slots = 1", "slots = 1\nkernels = { CB = 3 }", "space.stage.1.kernels.CB: {list} [3], got 3"),
        (TABLE, '"b"', '{ column = "b", names = "u" }', """data.table.label.names: {list} ["u"], got 'u'"""),
        (MINIMAL, "[fairness]", "fractions = 0.5\n[fairness]", "expected a list of 3 in brackets, got 0.5"),
    ],
)
def test_the_example_of_a_list_is_of_what_it_holds_and_of_the_value_where_that_fits(
    tmp_path: Path, content: str, old: str, new: str, message: str
) -> None:
    told = message.format(list="expected a list in brackets, such as")
    assert refused(tmp_path, content, old, new).endswith(told)


@pytest.mark.parametrize(
    ("content", "old", "new", "message"),
    [
        (
            MINIMAL,
            "slots = 1",
            "slots = 1\nkernels = 3",
            "a list in brackets, such as [3, 5], or a table by kind, such as",
        ),
        (
            MINIMAL,
            "slots = 1",
            "slots = 1\nkernels = { CB = [4] }",
            "space.stage.1.kernels.CB.1: expected 3 or 5, got 4",
        ),
        (
            MINIMAL,
            "slots = 1",
            "slots = 1\nkernels = { XB = [3] }",
            "space.stage.1.kernels.XB: unknown block kind 'XB'",
        ),
        (
            MINIMAL,
            "{ widths = [4] }",
            "[4, 8]",
            "space.stem: expected a table of keys, such as { widths = [1, 2] }, got",
        ),
        (MINIMAL, "{ widths = [4] }", "{ widths = [] }", "space.stem.widths: expected at least 1 in the list, got []"),
        (MINIMAL, "keep_channels = [4]", "keep_channels = 0.5", "a list in brackets, such as [1, 2], got 0.5"),
        (MINIMAL, "slots = 1", "slots = 1.5", "space.stage.1.slots: expected a whole number, got 1.5"),
        (MINIMAL, "slots = 1", "slots = 99", "space.stage.1.slots: expected a number of at most 16, got 99"),
        (MINIMAL, "[search]", "[training]\nlearning_rate = 0\n[search]", "expected a number above 0, got 0"),
        (MINIMAL, "[search]", "[training]\nlearning_rate = nan\n[search]", "expected a finite number, got nan"),
        (TABLE, '"b"', "3", """data.table.label: expected a table of keys, such as { column = "..." }, got 3"""),
        (TABLE, "numbers", "groups = 3\nnumbers", """such as { NAME = { column = "..." } }, got 3"""),
        (MINIMAL, 'group = "class"', 'groups = "class"', "write [data.table.groups.NAME]; did you mean 'group'?"),
    ],
)
def test_a_value_is_told_what_it_has_to_be_instead(
    tmp_path: Path, content: str, old: str, new: str, message: str
) -> None:
    told = refused(tmp_path, content, old, new)
    assert message in told
    assert "nput should" not in told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'group = "class"',
            'group = ["age", "sex"]',
            """fairness.group: expected one grouping in quotes, got ['age', 'sex']: write "age*sex\"""",
        ),
        ('group = "class"', 'group = ["age"]', """got ['age']: write "age\""""),
        ('["class"]', '["class", ["age", "sex"]]', """got ['age', 'sex']: write "age*sex\""""),
        ('group = "class"', "group = 3", "fairness.group: expected a text in quotes, got 3"),
        ('group = "class"', "group = [3, 4]", "fairness.group: expected a text in quotes, got [3, 4]"),
        ('["class"]', '["class", 3]', "fairness.report.2: expected a text in quotes, got 3"),
        ('"a test"', '["a test"]', "title: expected a text in quotes, got ['a test']"),
    ],
)
def test_what_belongs_in_one_text_is_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert refused(tmp_path, MINIMAL, old, new).endswith(message)


@pytest.mark.parametrize("given", ["[70, 15, 15]", "[0.8, 0.2]", "[0.8, 0.2, 0]", "[1.0, -0.5, 0.5]", "[]"])
def test_fractions_that_are_no_shares_are_told_with_an_example(tmp_path: Path, given: str) -> None:
    assert refused(tmp_path, MINIMAL, "[fairness]", f"fractions = {given}\n[fairness]").endswith(
        "data.fractions: expected the shares of training, validation and test part, which add up to 1, such as 0.70, "
        f"0.15, 0.15, got {given}"
    )


@pytest.mark.parametrize(
    ("content", "old", "new", "place"),
    [
        (MINIMAL, "[fairness]", "image_size = {}\n[fairness]", "data.image_size"),
        (MINIMAL, "[fairness]", "split_seed = {}\n[fairness]", "data.split_seed"),
        (MINIMAL, "[fairness]", "fractions = [{}, 0.5, 0.4]\n[fairness]", "data.fractions.1"),
        (MINIMAL, "[4, 8]", "[{}, 8]", "space.stage.1.widths.1"),
        (MINIMAL, "slots = 1", "slots = {}", "space.stage.1.slots"),
        (MINIMAL, "slots = 1", "slots = 1\nexpansions = [{}]", "space.stage.1.expansions.1"),
        (MINIMAL, "[search]", "[training]\nepochs = {}\n[search]", "training.epochs"),
        (MINIMAL, "[search]", "[training]\nsupernet_epochs = {}\n[search]", "training.supernet_epochs"),
        (MINIMAL, "[search]", "[training]\nlearning_rate = {}\n[search]", "training.learning_rate"),
        (MINIMAL, "[search]", "[proxy]\ncalibration_samples = {}\n[search]", "proxy.calibration_samples"),
        (MINIMAL, "[search]", "[search]\nbudget = {}", "search.budget"),
        (TABLE, '"b"', '{{ column = "b", above = [{}] }}', "data.table.label.above.1"),
    ],
)
def test_neither_true_nor_a_number_in_quotes_is_a_number(
    tmp_path: Path, content: str, old: str, new: str, place: str
) -> None:
    assert refused(tmp_path, content, old, new.format("true")).endswith(f"{place}: true is no number")
    said = refused(tmp_path, content, old, new.format('"16"'))
    assert said.endswith(f"{place}: expected a number without quotes, got '16'")


def test_of_names_for_values_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    """A list of names, which `names` can be, too, would be wrong there."""
    said = refused(tmp_path, TABLE, '"b"', '{ column = "b", names = { f = "women", m = 1 } }')
    assert said.endswith("data.table.label.names.m: expected a text in quotes, got 1")


def test_the_settings_of_a_source_are_refused_in_the_same_words() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[str]).validate_python("a")
    first = caught.value.errors()[0]
    assert in_plain_words(first, list[str], "data.sites") == """expected a list in brackets, such as ["a"], got 'a'"""


def test_the_fault_of_a_whole_has_no_place() -> None:
    class One(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        One.model_validate(3)
    assert fault_of(caught.value, One) == "expected a table of keys, such as { number = 1 }, got 3"


def refused(folder: Path, content: str, old: str, new: str) -> str:
    """What is said of a problem file in which something is changed."""
    assert old in content
    path = folder / "mine.toml"
    path.write_text(content.replace(old, new, 1))
    with pytest.raises(ProblemError) as caught:
        load_problem(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)
