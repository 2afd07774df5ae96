"""Tables that users bring: which file was meant, and columns without a name."""

from pathlib import Path

import pandas as pd
import pytest

from evo_fair.data.tables import check_named, near_table, ordered_names, read_table
from evo_fair.errors import DataError

RENAME = "rename it to labels.csv"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["Labels.csv"], f", but Labels.csv is there: {RENAME}"),
        (["LABELS.CSV"], f", but LABELS.CSV is there: {RENAME}"),
        (["labels.csv.txt"], f", but labels.csv.txt is there: {RENAME}"),
        (["labels.txt", "labels.xlsx"], f", but labels.txt is there: {RENAME}"),
        (["labels.xlsx"], ", but labels.xlsx is there: save it as CSV in UTF-8, named labels.csv"),
        (["labels.xlsx", "labels.ods"], ""),
        (["Labels.csv", "labels.tsv"], ""),
        (["labels.csv.zip", "mylabels.csv", "labels.png"], ""),
        ([], ""),
    ],
)
def test_the_one_table_of_nearly_the_name_is_told(tmp_path: Path, there: list[str], said: str) -> None:
    for name in there:
        (tmp_path / name).touch()
    assert near_table(tmp_path / "labels.csv", (".csv", ".tsv", ".txt"), RENAME) == said


def test_what_is_no_file_or_no_folder_is_near_nothing(tmp_path: Path) -> None:
    (tmp_path / "Labels.csv").mkdir()
    assert near_table(tmp_path / "labels.csv", (".csv",), RENAME) == ""
    assert near_table(tmp_path / "nowhere" / "labels.csv", (".csv",), RENAME) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",file\n0,a\n", "column 1 has no name: name it or remove it (pandas: to_csv(..., index=False))"),
        (",Unnamed: 0,file\n0,0,a\n", "column 1 has no name: name it or remove it (pandas: to_csv(..., index=False))"),
        ("file,,\na,,\n", "column 2 has no name: name it or remove it"),
        ('file," ","\u00a0"\na,,\n', "column 2 has no name: name it or remove it"),
    ],
)
def test_a_column_without_a_name_is_told_by_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        check_named(read_table(path, ("file",), "fix it"), path)
    assert str(caught.value) == f"{path}: {said}"
    check_named(pd.DataFrame({"file": ["a"], "Unnamed": ["b"]}), path)


def test_a_column_that_is_wanted_may_be_the_one_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",label\na,b\n")
    with pytest.raises(DataError, match=r"has no column 'file', only label \(column 1 has no name\): fix it$"):
        read_table(path, ("file",), "fix it")


def test_a_return_within_a_cell_is_a_line_break(tmp_path: Path) -> None:
    """A front has groups in its header, where a lone return would end the line for whoever reads it."""
    path = tmp_path / "labels.csv"
    path.write_bytes(b'file,label\nx.png,"a\rb"\ny.png,"c\r\nd"\nz.png,e\n')
    assert read_table(path, ("file",), RENAME)["label"].tolist() == ["a\nb", "c\nd", "e"]


def test_a_line_that_was_cut_is_refused_and_blank_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,label,site\nx.png,a,north\n\n  \ny.png,b\nz.png\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 5 has 2 cells, and its header 3: fix the line"):
        read_table(path, ("file",), RENAME)
    path.write_text("file,label,site\nx.png,a,north\n\n  \ny.png,b,\n")
    assert read_table(path, ("file",), RENAME)["site"].tolist() == ["north", ""]


@pytest.mark.parametrize(
    "ordered",
    [
        ("0-4", "5-9", "10-19", "100+"),
        ("-10", "-9", "0", "0.25", "0.5", "2", "10"),
        ("age 9", "age 10", "age 10 and over", "of age"),
        ("grade", "grade 2", "grade 10"),
        ("001", "01", "1"),
        ("1e9", "2"),
        ("<=50K", ">50K"),
        ("\u0661", "\u0662"),  # Arabic digits, which are texts here
        (),
    ],
)
def test_names_are_ordered_as_people_do(ordered: tuple[str, ...]) -> None:
    for names in (ordered, ordered[::-1], ordered * 2):
        assert ordered_names(names) == ordered
