"""The user's own table: CSV and Parquet, as it should be and as people bring it."""

import builtins
import os
import time
import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evo_fair.data import PARTS, Dataset, TableSettings, load_dataset, table, table_file
from evo_fair.data.table_file import Cells
from evo_fair.errors import DataError, DataWarning
from evo_fair.problem import load_problem

SETTINGS: dict[str, Any] = {
    "file": "people.csv",
    "label": {"column": "income", "above": [50000]},
    "groups": {"sex": "sex", "band": {"column": "age", "at_least": [30, 60]}},
    "numbers": ["hours"],
    "categories": ["job"],
}


def _people(n: int = 120) -> pd.DataFrame:
    """People of both sexes, of three bands and two incomes, three to a household, the sex of the first unknown."""
    i = np.arange(n)
    frame = pd.DataFrame(
        {
            "income": np.where(i % 2, 60000, 50000),
            "age": 20 + 10 * (i // 2 % 5),
            "sex": np.where(i // 3 % 2, "f", "m"),
            "hours": 20 + i % 7,
            "job": np.array(["cook", "baker", "pilot"])[i // 5 % 3],
            "part": np.array(PARTS)[np.array([0, 0, 1, 2])[i // 12 % 4]],
            "household": [f"h{k}" for k in i // 3],
        }
    ).astype({"sex": object})
    frame.loc[0, "sex"] = ""
    return frame


def _load(
    folder: Path, frame: pd.DataFrame | None = None, missing: list[str] | None = None, **settings: Any
) -> Dataset:
    (_people() if frame is None else frame).to_csv(folder / "people.csv", index=False)
    return _read(folder, missing, **settings)


def _read(folder: Path, missing: list[str] | None = None, **settings: Any) -> Dataset:
    chosen = TableSettings.model_validate({**SETTINGS, **settings})
    return load_dataset("table", folder, name="people", min_samples=1, missing=missing, settings={"table": chosen})


def test_labels_groups_splits_and_units_are_those_of_the_columns(tmp_path: Path) -> None:
    dataset = _load(tmp_path, split="part", unit="household")
    people = _people()
    assert (dataset.name, dataset.label_names) == ("people", ("up to 50000", "above 50000"))
    assert dataset.labels.tolist() == [0, 1] * 60
    assert dataset.grouping("sex").names == ("f", "m")
    assert dataset.grouping("sex").index[:4].tolist() == [-1, 1, 1, 0]
    assert dataset.grouping("band").names == ("under 30", "30 to under 60", "60 or more")
    assert dataset.grouping("band").index[:10].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 2, 2]  # 20, 30, 40, 50, 60
    assert [PARTS[part] for part in dataset.split] == people["part"].tolist()
    assert (np.diff(dataset.units.reshape(-1, 3), axis=1) == 0).all()
    assert len(np.unique(dataset.units)) == 40


def test_inputs_are_the_named_columns_alone(tmp_path: Path) -> None:
    dataset = _load(tmp_path)
    assert dataset.inputs.shape == (120, 1 + 3)  # hours, and three jobs
    train = dataset.part("train")
    assert dataset.inputs[train, 0].mean() == pytest.approx(0, abs=1e-6)
    assert dataset.inputs[:6, 1:].tolist() == [[0, 1, 0]] * 5 + [[1, 0, 0]]
    both = _load(
        tmp_path, split="part", numbers=["hours", "age"], categories=["job", "sex"], also_inputs=["age", "sex"]
    )
    assert both.inputs.shape == (120, 2 + 3 + 3)  # three sexes, a missing one is a category


def test_whole_units_are_split(tmp_path: Path) -> None:
    split = _load(tmp_path, unit="household").split.reshape(-1, 3)
    assert (split == split[:, :1]).all()
    assert np.bincount(split[:, 0]).tolist() == pytest.approx([26, 6, 8], abs=1)


def test_a_part_that_the_column_never_names_is_drawn_from_its_empty_cells(tmp_path: Path) -> None:
    people = _people()
    tested = people["part"] == "test"
    people["part"] = people["part"].where(tested, "")
    dataset = _load(tmp_path, people, split="part", unit="household")
    assert dataset.part("test").tolist() == np.flatnonzero(tested).tolist()
    assert (np.diff(dataset.split.reshape(-1, 3), axis=1) == 0).all()
    drawn = [len(dataset.part(part)) for part in PARTS[:2]]
    assert drawn == pytest.approx([(~tested).sum() * 65 / 80, (~tested).sum() * 15 / 80], abs=3)
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    people["part"] = people["part"].where(tested, None)
    people.to_parquet(tmp_path / "people.parquet")
    again = _read(tmp_path, file="people.parquet", split="part", unit="household")
    assert again.split.tolist() == dataset.split.tolist()


def test_values_get_names_and_those_of_one_name_are_joined(tmp_path: Path) -> None:
    job = {"column": "job", "names": {"pilot": "air", "cook": "food", "baker": "food"}}
    frame = _people()
    frame["code"] = np.where(frame["sex"] == "f", 2, 1)
    dataset = _load(
        tmp_path,
        frame,
        label=job,
        groups={"sex": {"column": "code", "names": {"1": "male", "2": "female"}}},
        categories=[],
    )
    assert dataset.label_names == ("air", "food")
    assert dataset.labels[:15].tolist() == [1] * 10 + [0] * 5
    assert dataset.grouping("sex").names == ("male", "female")


def test_values_that_names_leaves_out_are_in_no_group_and_told_with_their_counts(tmp_path: Path) -> None:
    partly = {
        "sex": {"column": "sex", "names": {"f": "women", "m": "men"}},  # the empty cell is no value
        "work": {"column": "job", "names": {"cook": "c", "pilot": "p"}},
    }
    with pytest.warns(DataWarning) as said:
        dataset = _load(tmp_path, groups=partly, also_inputs=["job"])
    assert dataset.grouping("work").index[:15].tolist() == [0] * 5 + [-1] * 5 + [1] * 5
    (message,) = (str(one.message) for one in said)
    assert message == (
        f"{tmp_path}/people.csv: 40 rows have job = 'baker', which names does not name: they count in no group of "
        "work; give a name to each value that is a group"
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["d"], "1 row has sex = 'd', which names does not name: it counts in no group of sex;"),
        (["d", "x", "x"], "3 rows have sex = 'x' (2) or 'd' (1), which names does not name: they count"),
        (["x", "y", "d"], "3 rows have sex = 'd' (1), 'x' (1) or 'y' (1), which"),
        (list("aabcdghx"), "8 rows have sex = 'a' (2), 'b' (1), 'c' (1), 'd' (1), 'g' (1) or 2 others, which"),
        (["unknown"], "1 row has sex = 'unknown', which names does not name"),
    ],
)
def test_up_to_five_values_that_names_leaves_out_are_listed(tmp_path: Path, values: list[str], told: str) -> None:
    frame = _people()
    frame.loc[1 : len(values), "sex"] = values
    named = {"sex": {"column": "sex", "names": {"f": "women", "m": "men"}}}
    with pytest.warns(DataWarning) as said:
        _load(tmp_path, frame, groups=named)
    (message,) = (str(one.message) for one in said)
    assert message.startswith(f"{tmp_path}/people.csv: {told}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = _load(tmp_path, frame, missing=sorted(set(values)), groups=named)
    assert dataset.grouping("sex").index[: len(values) + 1].tolist() == [-1] * (len(values) + 1)


def test_a_table_under_nearly_its_name_is_named(tmp_path: Path) -> None:
    _people().to_csv(tmp_path / "People.CSV", index=False)
    with pytest.raises(
        DataError, match=r"people\.csv is missing, but People\.CSV is there: fix file under \[data\.table\]$"
    ):
        _read(tmp_path)
    (tmp_path / "People.CSV").rename(tmp_path / "people.xlsx")
    with pytest.raises(DataError, match=r"but people\.xlsx is there: save it as CSV in UTF-8, named people\.csv$"):
        _read(tmp_path)


def test_a_column_without_a_name_that_is_not_read_does_not_matter(tmp_path: Path) -> None:
    expected = _load(tmp_path).fingerprint
    _people().to_csv(tmp_path / "people.csv")
    assert _read(tmp_path).fingerprint == expected
    with pytest.raises(
        DataError, match=r"has no column 'hour', only income, .* \(column 1 has no name\): fix the name"
    ):
        _read(tmp_path, numbers=["hour"])


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    people = _people()
    people.loc[3, "hours"] = np.nan
    expected = _load(tmp_path, people, unit="household")
    people["sex"] = people["sex"].replace("", None).astype("category")
    people.to_parquet(tmp_path / "people.parquet")
    dataset = _read(tmp_path, file="people.parquet", unit="household")
    assert dataset.fingerprint == expected.fingerprint


def test_a_parquet_column_without_a_value_is_read_as_that_of_a_csv_is(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    people = _people().assign(part="")
    expected = _load(tmp_path, people, split="part", unit="household")
    people.assign(part=None).to_parquet(tmp_path / "people.parquet")
    dataset = _read(tmp_path, file="people.parquet", split="part", unit="household")
    assert dataset.fingerprint == expected.fingerprint


def test_tabs_marks_of_order_and_spaces_are_read(tmp_path: Path) -> None:
    expected = _load(tmp_path).fingerprint
    text = (tmp_path / "people.csv").read_text().replace(",", "\t ")
    (tmp_path / "people.csv").write_text("\ufeff" + text)
    assert _read(tmp_path).fingerprint == expected


def test_texts_that_mean_missing_are_missing_and_others_are_told(tmp_path: Path) -> None:
    frame = _people().astype({"hours": object})
    frame.loc[:9, "hours"] = "?"
    frame.loc[[0, 24, 36], "sex"] = "?"
    dataset = _load(tmp_path, frame, missing=["?"], split="part")
    assert dataset.inputs.shape == (120, 2 + 3)
    assert (dataset.grouping("sex").index[[0, 24, 36]] == -1).all()
    frame["hours"] = 1 + np.arange(120)
    with pytest.warns(DataWarning, match=r"people\.csv: sex '\?' \(3 rows\) is taken for values like any other"):
        _load(tmp_path, frame, split="part")
    with pytest.warns(DataWarning, match="no cell is 'nan', which missing names"):
        _load(tmp_path, missing=["nan"])


def test_a_number_that_means_missing_is_missing_however_it_is_written(tmp_path: Path) -> None:
    frame = _people().astype({"hours": float, "age": float, "job": object})
    frame.loc[:3, ["hours", "age"]] = -999  # to_csv writes -999.0
    frame.loc[4:7, "job"] = "-999.0"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        dataset = _load(tmp_path, frame, missing=["-999"], split="part")
    assert told == []
    assert dataset.columns is not None
    assert np.isnan(dataset.columns.values[:, 0]).tolist() == [True] * 4 + [False] * 116
    assert (dataset.grouping("band").index[:4] == -1).all()
    assert not np.isnan(dataset.columns.values[:, 1]).any()  # of categories, it is the texts that count


def test_a_second_load_is_the_same_and_another_seed_another_split(tmp_path: Path) -> None:
    first = _load(tmp_path, target_encoded=["job"], categories=[])
    assert _read(tmp_path, target_encoded=["job"], categories=[]).fingerprint == first.fingerprint
    assert first.inputs.shape == (120, 2)


def _with(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (None, {"numbers": ["hour"]}, "fix the name under [data.table], or the table's header; did you mean 'hours'?"),
        (_with("hours", 4, "many"), {}, "line 6: hours 'many' is no number in the range of single precision"),
        (_with("hours", 4, "nan"), {}, "line 6: hours 'nan' is no number"),
        (_with("hours", 4, "1e39"), {}, "line 6: hours '1e39' is no number"),
        (_with("hours", 4, "inf"), {}, "line 6: hours 'inf' is no number"),
        (_with("hours", 4, "1,5"), {}, "line 6: hours '1,5' is no number"),
        (_with("income", 2, ""), {}, "line 4: the label income is missing"),
        (_with("income", 2, "rich"), {}, "line 4: income 'rich' is no number"),
        (_with("job", 2, "x" * 2000), {}, "line 4: job has a text of more than 1,000 characters"),
        (_with("job", 2, "x" * 200_000), {}, "can't be read as a table (field larger than"),
        (None, {"label": {"column": "income", "above": [10, 50000]}}, "no row has the label 'up to 10'"),
        (None, {"label": "household", "unit": None}, "too few samples"),
        (lambda frame: frame.assign(income=1), {"label": "income"}, "has 1 different value(s), expected 2 to 256"),
        (lambda frame: frame.assign(age=range(120)), {"groups": {"age": "age"}}, "has 120 different values, at most"),
        (lambda frame: frame.assign(hours=3), {}, "the number 'hours' is 3 in every row of the training part"),
        (lambda frame: frame.assign(hours=""), {}, "the number 'hours' has no value of the training part"),
        (lambda frame: frame.assign(job="cook"), {}, "the category 'job' is 'cook' in every row of the training part"),
        (_with("part", 7, "dev"), {"split": "part"}, "line 9: split 'dev', expected one of train, validation, test"),
        (
            lambda frame: frame.assign(part="test"),
            {"split": "part"},
            ("people.csv: no line has the split 'train' or 'validation', only test: give rows to each of train, "
            "validation, test, empty the cells of rows from which the rest is to be drawn, or leave split out to have"),
        ),
        (
            lambda frame: frame.assign(part=frame["part"].replace("validation", "test")),
            {"split": "part"},
            "people.csv: no line has the split 'validation', only train and test: give rows to each",
        ),
        (_with("household", 36, "h0"), {"split": "part", "unit": "household"}, "unit 'h0' is in two splits"),
        (None, {"groups": {"sex": {"column": "sex", "names": {"x": "y"}}}}, "no row has sex = 'x', which names gives"),
        (None, {"label": {"column": "job", "names": {"cook": "c", "baker": "b"}}}, "job is 'pilot', which has no name"),
        (lambda frame: frame[:0], {}, "has no rows below its header"),
        (None, {"file": "../people.csv"}, "leads out of"),
        (None, {"file": "people.xlsx"}, "is neither CSV nor Parquet"),
        (None, {"file": "folder.csv"}, "folder.csv is a folder: name the table's file under [data.table]"),
        (None, {"file": "pipe.csv"}, "pipe.csv is no file: name the table's file under [data.table]"),
        (None, {"file": "nobody.csv"}, "nobody.csv is missing: put the table there"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame] | None,
    settings: dict[str, Any],
    message: str,
) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError) as caught:
        _load(
            tmp_path,
            change(_people()) if change else None,
            **{"categories": ["job"], **settings} if "label" not in settings else {"categories": [], **settings},
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_drawn_split_without_training_rows_is_refused_and_says_what_to_enlarge(tmp_path: Path) -> None:
    _people(2).to_csv(tmp_path / "people.csv", index=False)
    chosen = {"table": TableSettings.model_validate(SETTINGS)}
    with pytest.raises(DataError, match="no row is drawn for the training part: add rows, or enlarge its share under"):
        load_dataset("table", tmp_path, fractions=(0.1, 0.1, 0.8), min_samples=1, settings=chosen)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"income,income,sex,age,hours,job\n1,2,m,3,4,x\n", "has two columns 'income'"),
        (b'"a\nb",income,income,sex,age,hours,job\n0,1,2,m,3,4,x\n', "has two columns 'income'"),
        (b'income,sex,age,hours,job\n1,m,3,4,"x\ny"\n1,m,3,4\n', "line 4 has 4 cells, and its header 5: fix the line"),
        (b"income,sex,age,hours,job\n1,m,3,4\n", "line 2 has 4 cells, and its header 5: fix the line"),
        (b"income,sex,age,hours,job\n1,m,3,4,x,y\n", "line 2 has 6 cells, and its header 5"),
        ("income,sex,age,hours,job\n1,m,3,4,Bäcker\n".encode("latin-1"), "can't be read as a table ('utf-8' codec"),
        (b"\x00\xff\xfe" * 50, "can't be read as a table"),
        (b'income,sex,age,hours,job\n1,m,3,4,"x\n' + b"1,m,3,4,x\n" * 40_000, "can't be read as a table"),
        (b"a" * 100, "has no column 'income'"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "people.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        _read(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lines_are_counted_as_an_editor_does_where_cells_have_several(tmp_path: Path) -> None:
    people = _people().astype({"hours": object})
    people.loc[3, "job"] = "cook\nand baker"
    people.loc[7, "hours"] = "many"
    with pytest.raises(DataError, match="line 10: hours 'many' is no number"):
        _load(tmp_path, people)


def test_a_header_whose_first_name_has_two_lines_tells_tabs_from_commas(tmp_path: Path) -> None:
    people = _people().rename(columns={"household": "house, or\nflat"})
    people = people[["house, or\nflat", *(name for name in people if name != "house, or\nflat")]]
    people.to_csv(tmp_path / "people.csv", index=False, sep="\t")
    assert len(_read(tmp_path)) == len(people)


def test_limits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, most, settings, message in (
        (table_file, "MOST_ROWS", 100, {}, "has more than 100 rows, the most that are read"),
        (table_file, "MOST_COLUMNS", 3, {}, "has more than 3 columns"),
        (table_file, "MOST_BYTES", 50, {}, "bytes, and at most 50 are read"),
        (table, "_MOST_CATEGORIES", 2, {}, "'job' has 3 different values, at most 2: list it under target_encoded"),
        (table, "_MOST_TARGET_ENCODED", 2, {"target_encoded": ["job"], "categories": []}, "at most 2: join values"),
        (table, "_MOST_VALUES", 100, {}, "120 rows of 5 inputs are too many, at most 100 values"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, most)
            with pytest.raises(DataError, match=message):
                _load(tmp_path, **settings)


def test_parquet_that_is_damaged_or_of_other_kinds_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    path = tmp_path / "people.parquet"
    for content, message in (
        (
            _people().assign(hours=pd.Timestamp("2020-01-01")),
            r"the column 'hours' holds timestamp\[.*\], expected texts",
        ),
        (_people().assign(job=[["a"]] * 120), "the column 'job' holds list"),
        (_people().assign(job="x" * 2000), "'job' has a text of more than 1,000 characters"),
        (_people().assign(hours=np.inf), "row 1: hours is infinite"),
        (_people()[:0], "has no rows"),
        (_people().drop(columns="job"), "has no column 'job', only 'income'"),
    ):
        content.to_parquet(path)
        with pytest.raises(DataError, match=message):
            _read(tmp_path, file="people.parquet")
    _people().to_parquet(path)
    whole = path.read_bytes()
    for damaged in (b"PAR1", whole[:-100], whole[:200] + bytes(100) + whole[300:], whole[:-60] + bytes(60)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"people\.parquet"):
            _read(tmp_path, file="people.parquet")


def test_long_identifiers_in_parquet_stay_apart(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    people = _people().assign(household=2**60 + np.arange(120) // 3)
    for household in (people["household"], people["household"].map(Decimal)):  # databases write decimals
        people.assign(household=household).to_parquet(tmp_path / "people.parquet")
        assert len(np.unique(_read(tmp_path, file="people.parquet", unit="household").units)) == 40


def test_decimals_and_lower_precision_in_parquet_are_the_numbers_that_they_are_written_as(tmp_path: Path) -> None:
    """Cast to float64, the decimal 655.3 becomes 655.3000000000001, and a float32 24.9 24.899999618530273.

    Half precision has 655.5 for 655.3, three digits.
    """
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    people = _people()
    written = ["700", "655.3", "24.9", "0.3"] * 30
    bands: dict[str, Any] = {"band": {"column": "score", "above": [0.3, 24.9, 655.3]}, "score": "score"}
    halves = pd.Series(written).replace("655.3", "655.5").astype(np.float16)
    for score in (pd.Series(written).map(Decimal), pd.Series(written).astype(np.float32), halves):
        most = "655.5" if score is halves else "655.3"
        bands["band"]["above"][2] = float(most)
        people.assign(score=score, hours=score).to_parquet(tmp_path / "people.parquet")
        dataset = _read(tmp_path, file="people.parquet", groups=bands, categories=["score"], also_inputs=["score"])
        assert dataset.grouping("score").names == ("0.3", "24.9", most, "700")
        assert dataset.grouping("band").index[:4].tolist() == [3, 2, 1, 0]
        assert dataset.columns is not None
        assert dataset.columns.encoding.categories[0].vocabulary.values == ("0.3", "24.9", most, "700")
        assert dataset.columns.values[:4, 0].tolist() == np.float32([700, float(most), 24.9, 0.3]).tolist()


def test_a_zero_in_parquet_is_called_so_where_the_first_is_a_negative_one(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    change = np.array([-0.0, 0.0, 1.0] * 40)  # as rounding -0.2 gives them
    _people().assign(change=change).to_parquet(tmp_path / "people.parquet")
    dataset = _read(tmp_path, file="people.parquet", groups={"change": "change"})
    assert dataset.grouping("change").names == ("0", "1")
    assert dataset.grouping("change").index[:3].tolist() == [0, 0, 1]


def test_without_pyarrow_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    (tmp_path / "people.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'evo-fair\[parquet\]' brings it, or save the table as CSV"):
        _read(tmp_path, file="people.parquet")


def test_the_shipped_problem_to_copy_reads_a_table_of_its_columns(tmp_path: Path) -> None:
    people = _people(300).rename(columns={"income": "label"})
    people.to_csv(tmp_path / "table.csv", index=False)
    dataset = load_problem("table", data=tmp_path).dataset()
    assert (dataset.name, dataset.label_names) == ("table", ("50000", "60000"))
    assert set(dataset.groupings) == {"sex", "class"}


def test_a_table_needs_its_settings_and_no_other_source_takes_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the source table needs"):
        load_dataset("table", tmp_path)
    with pytest.raises(DataError, match="for the source table: adult has its own"):
        load_dataset("adult", tmp_path, settings={"table": TableSettings.model_validate(SETTINGS)})


@pytest.mark.data
def test_acs_income_loads_in_ten_seconds(data_folder: Callable[[str], Path]) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    began = time.process_time()
    dataset = load_problem("acs_income", data=data_folder("acs_income")).dataset()
    assert time.process_time() - began < 10
    assert len(dataset) == 332_900
    assert np.bincount(dataset.labels).tolist() == [210_249, 122_651]
    assert len(dataset.grouping("race").names) == 6
    assert np.isfinite(dataset.inputs).all()


def test_semicolons_with_decimal_commas_are_told(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("age;income;sex\n30,5;50000;f\n41;60000,5;m\n")
    with pytest.raises(DataError, match=r"people.csv has semicolons between its columns: save it with commas or tabs$"):
        _read(tmp_path)


def test_groups_of_real_numbers_are_written_in_as_few_digits_as_tell_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [0.1, 0.1 + 0.2, 3.0, 1e16, np.nan]})
    cells = Cells(tmp_path / "t.parquet", frame, "row")
    assert cells.texts("x").tolist() == ["0.1", "0.30000000000000004", "3", "10000000000000000", ""]


def test_a_label_that_the_training_part_lacks_has_no_rate(tmp_path: Path) -> None:
    people = _people()
    people["label"] = np.where(people["part"] == "train", "a", np.where(np.arange(len(people)) % 2, "b", "a"))
    with pytest.raises(DataError, match="label 'b' has 0 rows in the training part, and rates of target_encoded"):
        _load(tmp_path, people, split="part", label="label", target_encoded=["job"], categories=[])
