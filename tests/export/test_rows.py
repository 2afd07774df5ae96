"""Rows as people have them: from a file as the search read it, from a frame as far as it still tells."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evo_fair.data import Dataset, TableSettings, load_dataset
from evo_fair.data.table_inputs import UNKNOWN_CODE
from evo_fair.errors import DataError
from evo_fair.export import raw_rows

CATEGORIES = ("member", "zip", "share", "person", "job", "mark", "floor")
ROWS = 600


def texts() -> pd.DataFrame:
    """Cells as they are written: truths in small letters, leading zeros, decimals, long numbers with some missing."""
    rng = np.random.default_rng(0)
    draw = lambda *values: np.array(values, object)[rng.integers(0, len(values), ROWS)]  # noqa: E731
    return pd.DataFrame(
        {
            "label": draw("no", "yes"),
            "sex": draw("f", "m"),
            "age": [str(age) for age in draw(20, 31.5, 64, -999)],
            "member": draw("true", "false"),
            "zip": draw("01234", "56789", "00017"),
            "share": draw("1.50", "0.1", "2.25"),
            "person": draw("1000001", "1000002", "1000003", ""),
            "job": draw("cook", "pilot", "?"),
            "mark": draw("a", "b"),
            "floor": draw("0", "1", "2", ""),
        }
    )


def loaded(folder: Path, name: str = "table.csv", missing: tuple[str, ...] = ("?", "-999"), **changed: Any) -> Dataset:
    settings: dict[str, Any] = {"file": name, "label": "label", "groups": {"sex": "sex"}, "numbers": ["age"]}
    table = TableSettings.model_validate({**settings, "categories": CATEGORIES, **changed})
    return load_dataset("table", folder, min_samples=1, missing=list(missing), settings={"table": table})


def card_of(dataset: Dataset) -> dict[str, Any]:
    assert dataset.columns is not None
    return {"input": {"columns": dataset.columns.encoding.as_dict()}}


def wanted(dataset: Dataset) -> np.ndarray:
    assert dataset.columns is not None
    return dataset.columns.values


@pytest.fixture
def written(tmp_path: Path) -> Path:
    texts().to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_a_csv_gives_the_rows_that_the_search_saw(written: Path) -> None:
    dataset = loaded(written.parent)
    assert np.isnan(wanted(dataset)[:, 0]).sum() > 50  # -999
    np.testing.assert_array_equal(raw_rows(card_of(dataset), written), wanted(dataset))
    np.testing.assert_array_equal(raw_rows(card_of(dataset), str(written)), wanted(dataset))


def test_a_frame_whose_numbers_and_truths_were_guessed_gives_the_same(written: Path) -> None:
    dataset = loaded(written.parent)
    frame = pd.read_csv(written)
    assert frame["member"].dtype == bool
    assert frame["zip"].dtype == np.int64
    assert frame["person"].dtype == np.float64
    np.testing.assert_array_equal(raw_rows(card_of(dataset), frame), wanted(dataset))
    np.testing.assert_array_equal(raw_rows(card_of(dataset), frame.convert_dtypes()), wanted(dataset))
    np.testing.assert_array_equal(raw_rows(card_of(dataset), pd.read_csv(written, dtype=str)), wanted(dataset))


def test_parquet_gives_the_rows_that_the_search_saw(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    frame = texts()
    frame["age"] = frame["age"].astype(float)
    frame["member"] = frame["member"] == "true"
    frame["share"] = frame["share"].astype(float)
    frame["floor"] = pd.to_numeric(frame["floor"])
    frame.to_parquet(tmp_path / "table.parquet")
    dataset = loaded(tmp_path, "table.parquet")
    np.testing.assert_array_equal(raw_rows(card_of(dataset), tmp_path / "table.parquet"), wanted(dataset))
    np.testing.assert_array_equal(raw_rows(card_of(dataset), frame), wanted(dataset))


@pytest.mark.parametrize("kind", ["float16", "float32", "Float32"])
def test_a_frame_in_lower_precision_gives_the_rows_that_the_search_saw(tmp_path: Path, kind: str) -> None:
    texts().assign(age=lambda frame: frame["age"].replace("-999", "-99.9")).to_csv(tmp_path / "table.csv", index=False)
    dataset = loaded(tmp_path, missing=("?", "-99.9"))
    assert np.isnan(wanted(dataset)[:, 0]).sum() > 50
    frame = pd.read_csv(tmp_path / "table.csv").astype({"age": kind, "share": kind, "floor": kind})
    np.testing.assert_array_equal(raw_rows(card_of(dataset), frame), wanted(dataset))


@pytest.mark.parametrize(
    ("column", "cell", "code"),
    [
        ("mark", " b ", 1),
        ("mark", "c", UNKNOWN_CODE),
        ("mark", 0.5, UNKNOWN_CODE),
        ("mark", None, np.nan),
        ("floor", 1.0, 1),
        ("floor", np.int8(2), 2),
        ("floor", 0.5, UNKNOWN_CODE),
        ("floor", "01", UNKNOWN_CODE),
        ("floor", "1.0", 1),
        ("floor", "1.50", UNKNOWN_CODE),
        ("zip", "56789.0", 2),
        ("zip", "17", UNKNOWN_CODE),
        ("floor", True, UNKNOWN_CODE),
        ("floor", 10**7, UNKNOWN_CODE),
        ("share", Decimal("1.5"), 1),
        ("zip", 10**400, UNKNOWN_CODE),
        ("job", "?", np.nan),
        ("age", "-999", np.nan),
        ("age", -999.0, np.nan),
        ("age", "-999.0", np.nan),
        ("age", " 7 ", 7),
    ],
)
def test_a_cell_is_what_the_search_took_it_for(written: Path, column: str, cell: Any, code: float) -> None:
    card = card_of(loaded(written.parent))
    card["input"]["columns"] = [one for one in card["input"]["columns"] if one["name"] == column]
    frame = pd.DataFrame({column: pd.Series([cell], dtype=object)})
    np.testing.assert_array_equal(raw_rows(card, frame), [[code]])


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("age", np.inf, "column 'age' has inf, expected a number"),
        ("age", "1_0", "column 'age' has '1_0', expected a number"),
        ("age", True, "column 'age' has True, expected a number"),
        ("age", 1e39, "in the range of single precision"),
        ("age", pd.Timestamp(2020, 1, 1), "a Timestamp, expected texts or numbers"),
        ("mark", datetime.date(2020, 1, 1), "a date, expected texts or numbers"),
        ("mark", ["a"], "a list, expected texts or numbers"),
    ],
)
def test_a_cell_that_the_search_would_refuse_is_refused(written: Path, column: str, cell: Any, told: str) -> None:
    card = card_of(loaded(written.parent))
    frame = pd.read_csv(written, dtype=str).astype(object)
    frame.at[3, column] = cell
    with pytest.raises(DataError, match=told):
        raw_rows(card, frame)


def test_a_cell_that_could_be_two_categories_is_refused(tmp_path: Path) -> None:
    frame = texts()
    frame.loc[::7, "share"] = "1.5"
    frame.loc[::5, "job"] = "NA"
    frame.to_csv(tmp_path / "table.csv", index=False)
    dataset = loaded(tmp_path)
    card = card_of(dataset)
    np.testing.assert_array_equal(raw_rows(card, tmp_path / "table.csv"), wanted(dataset))
    with pytest.raises(DataError, match=r"column 'job' has NaN, which is missing or the category 'NA': give the file"):
        raw_rows(card, pd.read_csv(tmp_path / "table.csv", dtype={"share": str}))
    with pytest.raises(DataError, match=r"column 'share' has 1.5, which is the category '1.5' or '1.50': give the"):
        raw_rows(card, pd.read_csv(tmp_path / "table.csv", keep_default_na=False))


def test_a_number_that_means_missing_is_missing_as_the_search_took_it(tmp_path: Path) -> None:
    """In a column of numbers however it is written, in one of categories where it is written so."""
    frame = texts()
    frame["age"] = frame["age"].replace("-999", "-999.0")
    frame["share"] = frame["share"].replace("1.50", "-999.0")
    frame.to_csv(tmp_path / "table.csv", index=False)
    dataset = loaded(tmp_path)
    assert np.isnan(wanted(dataset)[:, 0]).sum() > 50
    assert not np.isnan(wanted(dataset)[:, 3]).any()
    for table in (tmp_path / "table.csv", pd.read_csv(tmp_path / "table.csv"), frame):
        np.testing.assert_array_equal(raw_rows(card_of(dataset), table), wanted(dataset))


def test_a_number_that_means_missing_is_so_in_a_category_that_is_cut_into_a_group(tmp_path: Path) -> None:
    """The search reads such a column as numbers, too."""
    frame = texts()
    frame["floor"] = frame["floor"].replace("", "-999.0")
    frame.to_csv(tmp_path / "table.csv", index=False)
    groups = {"sex": "sex", "height": {"column": "floor", "at_least": [1]}}
    dataset = loaded(tmp_path, groups=groups, also_inputs=["floor"])
    assert np.isnan(wanted(dataset)[:, -1]).sum() > 50
    for table in (tmp_path / "table.csv", pd.read_csv(tmp_path / "table.csv"), frame):
        np.testing.assert_array_equal(raw_rows(card_of(dataset), table), wanted(dataset))


def test_long_decimal_identifiers_are_known_from_a_frame(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install evo-fair[parquet]")
    long = np.array([1e16, 123456789012345678.0, 1e20])[np.arange(ROWS) % 3]
    frame = texts().assign(person=long)
    for write, name in ((frame.to_parquet, "table.parquet"), (frame.to_csv, "table.csv")):
        write(tmp_path / name, index=False)
        dataset = loaded(tmp_path, name)
        for table in (frame, tmp_path / name):
            place = 1 + CATEGORIES.index("person")
            np.testing.assert_array_equal(raw_rows(card_of(dataset), table)[:, place], wanted(dataset)[:, place])


@pytest.mark.parametrize("searched", [False, True])
def test_whole_numbers_are_known_that_a_missing_one_made_decimals_in_one_of_two_files(
    tmp_path: Path, searched: bool
) -> None:
    """As pandas writes a column of numbers once it has read a missing one; `searched` says that the search's has."""
    table = texts()[["label", "sex", "age", "member", "zip", "share", "person", "job", "mark"]]
    floors = pd.Series(np.arange(ROWS) % 3 + 1)
    missing = floors.where(np.arange(ROWS) >= 9)
    files = [("table.csv", missing), ("new.csv", floors)] if searched else [("table.csv", floors), ("new.csv", missing)]
    for name, column in files:
        table.assign(floor=column).to_csv(tmp_path / name, index=False)
    dataset = loaded(tmp_path)
    place = [column["name"] for column in card_of(dataset)["input"]["columns"]].index("floor")
    new = raw_rows(card_of(dataset), tmp_path / "new.csv")
    np.testing.assert_array_equal(new[9:, place], wanted(dataset)[9:, place])


def test_no_file_and_no_column_are_said(written: Path) -> None:
    card = card_of(loaded(written.parent))
    with pytest.raises(DataError, match="is missing"):
        raw_rows(card, written.with_name("nothing.csv"))
    with pytest.raises(DataError, match="the table has no column 'mark'"):
        raw_rows(card, texts().drop(columns="mark"))
    with pytest.raises(DataError, match="the table has two columns 'mark'"):
        raw_rows(card, pd.concat([texts(), texts()[["mark"]]], axis=1))
