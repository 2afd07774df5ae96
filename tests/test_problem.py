"""Reading and checking problem files."""

from pathlib import Path

import pytest

from evo_fair.errors import ProblemError, UnknownNameError
from evo_fair.problem import load_problem, problem_names

MINIMAL = """
title = "a test"
[data]
source = "digits"
[fairness]
group = "class"
report = ["class"]
[space]
channel_multiple = 4
stem = { widths = [4] }
[[space.stage]]
slots = 1
kinds = ["CB"]
widths = [4, 8]
keep_channels = [4]
[search]
objectives = ["error"]
"""


def written(folder: Path, old: str = "", new: str = "") -> str:
    path = folder / "mine.toml"
    path.write_text(MINIMAL.replace(old, new) if old else MINIMAL)
    return str(path)


def test_every_shipped_problem_loads() -> None:
    assert problem_names() == ["adult", "cifar10_lt", "digits", "ham10000", "image_folder"]
    for name in problem_names():
        problem = load_problem(name)
        assert problem.name == name
        assert problem.title


def test_own_file_gives_a_problem_of_its_name(tmp_path: Path) -> None:
    problem = load_problem(written(tmp_path), data=tmp_path)
    assert (problem.name, problem.folder) == ("mine", tmp_path)
    assert problem.fairness.groupings == ("class",)
    space = problem.search_space((1, 8, 8), 10)
    assert space.size() == 2
    assert load_problem(written(tmp_path)).dataset().input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"digits"', '"digit"', "data.source: Input should be 'digits', 'ham10000', 'adult', 'cifar10_lt' or"),
        ("widths = [4, 8]", "widths = [4, 9]", "width 9 is not a multiple of 4: stage 1 lists widths"),
        ("slots = 1", "slots = 0", "space.stage.1.slots: Input should be greater than or equal to 1, got 0"),
        ("[search]", "[serach]", "serach: there is no such key: mend its name, or take it out"),
        ('objectives = ["error"]', "objectives = []", "search.objectives"),
        ("title", "titel", "titel: there is no such key"),
        ("title =", "# title =", "title: Field required"),
        ("[fairness]", "[data.more]\n[fairness]", "data.more: there is no such key: mend its name, or take it out"),
        ("[fairness]", 'missing = ["nan"]\n[fairness]', "missing is for the source image_folder: digits says itself"),
        ("[fairness]", "fractions = [0.5, 0.2, 0.2]\n[fairness]", "add up to 0.9; make them add up to 1"),
        ("title =", "title", "is not valid TOML"),
        ("title", 'name = "x"\ntitle', "name can't be set here"),
        ('"digits"', '"adult"', "a table, whose space has FC stages and no stem"),
        ("[search]", "[training]\nlearning_rate = inf\n[search]", "training.learning_rate"),
    ],
)
def test_wrong_file_is_refused_in_one_line_with_its_path(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemError) as error:
        load_problem(written(tmp_path, old, new))
    assert message in str(error.value)
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["digit", "none.toml", "../digits"])
def test_unknown_problem_lists_those_there_are(name: str) -> None:
    with pytest.raises(UnknownNameError, match="adult, cifar10_lt, digits, ham10000, image_folder"):
        load_problem(name)
