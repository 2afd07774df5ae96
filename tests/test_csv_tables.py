"""Tables that may be damaged: each fault with its row and column."""

from pathlib import Path

import pytest

from evo_fair.csv_tables import read_table_of_numbers
from evo_fair.errors import RunError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,a\nx,1\ny,red\n", "row 2, column 'a': 'red' is no number: fix it"),
        ("id,a\nx,1\ny,inf\n", "row 2, column 'a': inf is no number"),
        ("id,a\nx,1\n,2\n", "row 2, column 'id' is empty"),
        ("id,a\nx,1\ny,\n", "row 2, column 'a' is empty"),
        ("id,b\nx,1\n", "has no column 'a'"),
        ("id,a,a\nx,1,2\n", "has two columns 'a'"),
        ("id,a,b\nx,1\n", "row 1 has 2 cells, and its header 3"),
        ("id,a\nx,1,2\n", "row 1 has 3 cells, and its header 2"),
        (f"id,a\nx,{'9' * 400}\n", "row 1, column 'a': '?999.* is no number"),
        (f"id,a\nx,1\ny,{10**20}\n", "row 2, column 'a': '?10{20}'? is no number"),
        (f"id,a\nx,1\ny,-{10**20}\n", "row 2, column 'a': '?-10{20}'? is no number"),
        ("id,a\nx,1\ny,1_000\n", "row 2, column 'a': '1_000' is no number"),
        ("", "is no table"),
        ("\n\n", "is no table"),
        ('id,a\n"x,1\n', "is no table|row 1"),
        (f"id,a\nx,{'y' * 200_000}\n", "is no table"),
    ],
)
def test_what_is_wrong_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(RunError, match=message):
        read_table_of_numbers(tmp_path / "t.csv", RunError, "fix it", texts=["id"], filled=["id", "a"])


def test_numbers_texts_and_gaps_are_kept(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,a,b,c\n001,0.1,7,\n002,1e300,8,0.30000000000000004\n")
    table = read_table_of_numbers(tmp_path / "t.csv", RunError, "fix it", texts=["id"], filled=["id", "a"])
    assert table["id"].tolist() == ["001", "002"]
    assert table["a"].tolist() == [0.1, 1e300]
    assert table["b"].dtype.kind == "i"
    assert table["c"].isna().tolist() == [True, False]
    assert table["c"][1] == 0.1 + 0.2


def test_texts_may_be_called_as_missing_numbers_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,,note,a\nNA,1,,1\nNone,,x,nan\n")
    table = read_table_of_numbers(tmp_path / "t.csv", RunError, "fix it", texts=["label", "note"], filled=["label"])
    assert table["label"].tolist() == ["NA", "None"]
    assert table["note"].isna().tolist() == [True, False]
    assert table["a"].isna().tolist() == [False, True]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"t\.csv is missing: search again"):
        read_table_of_numbers(tmp_path / "t.csv", RunError, "search again", texts=[])


def test_truths_are_taken_beside_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\nTrue,1\nFalse,2\n")
    table = read_table_of_numbers(tmp_path / "t.csv", RunError, "fix it", texts=[])
    assert table["a"].tolist() == [True, False]
