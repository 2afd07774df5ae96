"""The files of trainings and beliefs, sound and damaged."""

from pathlib import Path

import pandas as pd
import pytest

from evo_fair.belief import TrainingResult, read_beliefs, read_trainings, write_beliefs, write_trainings
from evo_fair.errors import RunError

TRAININGS = [
    TrainingResult("a1", 5, 0, {"error": 0.1, "unfairness": 1 / 3}, {"error": 0.01, "unfairness": 0.0}),
    TrainingResult("0e1", 5, 0, {"error": 0.25, "unfairness": 0.5}, {"error": 0.02, "unfairness": 0.04}),
]
BELIEFS = pd.DataFrame({"id": ["a1", "0e1"], "error_believed": [0.1, 1 / 3], "error_uncertainty": [0.01, 0.02]})


def test_trainings_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "trainings.csv"
    assert read_trainings(path, ["error"], ["a1"]) == []
    write_trainings(path, TRAININGS)
    assert read_trainings(path, ["error", "unfairness"], ["0e1", "a1", "b"]) == TRAININGS
    header = "id,epochs,seed,error,unfairness,error_uncertainty,unfairness_uncertainty\n"
    assert path.read_text().startswith(header)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("a1,5", "zz,5", "row 1: 'zz' is no evaluated network"),
        ("0e1,5", "a1,5", "row 2: 'a1' stands there already"),
        (",0.1,", ",,", "row 1, column 'error' is empty"),
        (",0.1,", ",nan?,", "row 1, column 'error': 'nan.' is no number"),
        ("a1,5,", "a1,5.5,", "row 1, column 'epochs': 5.5 can't be"),
        ("a1,5,", "a1,0,", "row 1, column 'epochs': 0 can't be"),
        (",0.02,", ",-0.02,", "row 2, column 'error_uncertainty': -0.02 can't be"),
        ("unfairness_unc", "fairness_unc", "has no column 'unfairness_uncertainty'"),
    ],
)
def test_damaged_trainings_are_one_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "trainings.csv"
    write_trainings(path, TRAININGS)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RunError, match=told) as caught:
        read_trainings(path, ["error", "unfairness"], ["a1", "0e1"])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_beliefs_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_beliefs(tmp_path / "beliefs.csv", BELIEFS)
    found = read_beliefs(tmp_path / "beliefs.csv", ["error", "latency_ms"], ["a1", "0e1"])
    pd.testing.assert_frame_equal(found, BELIEFS, check_dtype=False)


def test_of_several_networks_that_beliefs_lack_the_first_is_named(tmp_path: Path) -> None:
    write_beliefs(tmp_path / "beliefs.csv", BELIEFS)
    evaluated = ["a1", *(f"n{number}" for number in range(20)), "0e1"]
    with pytest.raises(RunError, match="says nothing of network 'n0'"):
        read_beliefs(tmp_path / "beliefs.csv", ["error"], evaluated)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("a1,0.1,0.01\n", "", "says nothing of network 'a1'"),
        ("a1,", "b,", "row 1: 'b' is no evaluated network"),
        (",0.01\n", ",-0.01\n", "row 1, column 'error_uncertainty': it is below 0"),
        (",0.01\n", ",\n", "row 1, column 'error_uncertainty' is empty"),
        ("error_uncertainty", "other_uncertainty", "has no column 'error_uncertainty'"),
        ("error_uncertainty\na1,0.1,0.01\n", "error_uncertainty,x\na1,0.1,0.01,1\n", "row 2 has 3 cells"),
        ("id,error_b", "id,errors_b", "has no column 'error_believed'"),
    ],
)
def test_damaged_beliefs_are_one_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "beliefs.csv"
    write_beliefs(path, BELIEFS)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RunError, match=told) as caught:
        read_beliefs(path, ["error"], ["a1", "0e1"])
    assert "\n" not in str(caught.value)
