"""Adult: the UCI files as they come."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from evo_fair.data import Dataset, load_dataset
from evo_fair.errors import DataError

JOBS = ("Private", "State-gov", "?")
RACES = ("White", "Black")
COUNTRIES = ("United-States", "Cuba")


def _lines(n: int, end: str) -> list[str]:
    return [
        f"{20 + i % 50}, {JOBS[i % 3]}, {77516 + i}, Bachelors, {9 + i % 5}, Never-married, Adm-clerical, Own-child, "
        f"{RACES[i % 2]}, {('Male', 'Female')[i // 2 % 2]}, {100 * (i % 7)}, 0, 40, {COUNTRIES[i % 2]}, "
        f"{('<=50K', '>50K')[i // 4 % 2]}{end}"
        for i in range(n)
    ]


def _write(folder: Path, train: int = 160, test: int = 40) -> None:
    (folder / "adult.data").write_text("\n".join(_lines(train, "")) + "\n\n")
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + "\n".join(_lines(test, ".")) + "\n\n")


def _load(folder: Path, **options: object) -> Dataset:
    return load_dataset("adult", folder, **{"min_samples": 1} | options)


def test_files_labels_and_groups_are_read(tmp_path: Path) -> None:
    _write(tmp_path)
    dataset = _load(tmp_path)
    assert dataset.label_names == ("<=50K", ">50K")
    assert dataset.positive == (1,)
    assert dataset.labels[:9].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert dataset.part("test").tolist() == list(range(160, 200))
    assert [len(dataset.part(part)) for part in ("train", "validation")] == [130, 30]  # 65 : 15 of 160
    assert dataset.grouping("sex").names == ("Female", "Male")
    assert dataset.grouping("sex").index[:4].tolist() == [1, 1, 0, 0]
    assert dataset.grouping("race").names == ("Black", "White")


def test_features_are_standardised_numbers_and_one_hot_categories(tmp_path: Path) -> None:
    _write(tmp_path)
    dataset = _load(tmp_path)
    # 5 numbers; workclass 3 with "?", marital status, occupation, relationship 1 each, race 2, sex 2, country 2
    assert dataset.inputs.shape == (200, 5 + 3 + 1 + 1 + 1 + 2 + 2 + 2)
    train = dataset.inputs[dataset.part("train")]
    np.testing.assert_allclose(train[:, [0, 1, 2]].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train[:, [0, 1, 2]].std(axis=0), 1, atol=1e-6)
    assert abs(dataset.inputs[dataset.part("test"), 0].mean()) > 0.1  # statistics are those of the training part
    assert set(np.unique(dataset.inputs[:, 5:])) == {0.0, 1.0}
    assert dataset.inputs[:3, 5:8].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]  # ?, Private, State-gov
    assert (dataset.inputs[:, 5:].sum(axis=1) == 7).all()


def test_arrays_are_those_of_the_encoding_that_adult_had_of_its_own(tmp_path: Path) -> None:
    _write(tmp_path)
    path = tmp_path / "adult.test"
    path.write_text(path.read_text().replace("Cuba", "Peru"))  # a category that is in one part alone
    dataset = _load(tmp_path)
    assert dataset.columns is not None
    lines = [line.rstrip(".").split(", ") for line in _lines(160, "") + _lines(40, ".")]
    cells = np.array(lines, object)
    cells[160:][cells[160:] == "Cuba"] = "Peru"
    numbers = cells[:, [0, 4, 10, 11, 12]].astype(np.float64)
    scaled = StandardScaler().fit(numbers[dataset.split == 0]).transform(numbers)
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(cells[:, [1, 5, 6, 7, 8, 9, 13]])
    np.testing.assert_array_equal(dataset.inputs, np.hstack([scaled, one_hot]).astype(np.float32))
    np.testing.assert_array_equal(dataset.columns.encoding.apply(dataset.columns.values), dataset.inputs)


def test_gzipped_files_give_the_same(tmp_path: Path) -> None:
    _write(tmp_path)
    expected = _load(tmp_path).fingerprint
    for name in ("adult.data", "adult.test"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    assert _load(tmp_path).fingerprint == expected
    assert _load(tmp_path, seed=1).fingerprint != expected


def test_a_missing_group_is_unknown(tmp_path: Path) -> None:
    _write(tmp_path)
    path = tmp_path / "adult.data"
    path.write_text(path.read_text().replace("White, Male", "White, ?", 1))
    dataset = _load(tmp_path)
    assert dataset.grouping("sex").index[0] == -1
    assert dataset.grouping("sex").names == ("Female", "Male")


def _edit(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        lines = (folder / "adult.data").read_text().splitlines()
        lines[2] = lines[2].replace(old, new)
        (folder / "adult.data").write_text("\n".join(lines))

    return edit


def _cut_gzip(folder: Path) -> None:
    (folder / "adult.test.gz").write_bytes(gzip.compress((folder / "adult.test").read_bytes())[:-20])
    (folder / "adult.test").unlink()


def _one_race(folder: Path) -> None:
    for name in ("adult.data", "adult.test"):
        (folder / name).write_text((folder / name).read_text().replace("Black", "White"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "adult.test").unlink(), r"has neither adult\.test nor adult\.test\.gz: put both"),
        (_edit(", Bachelors", ""), r"adult\.data, line 3: 14 columns, expected 15; take"),
        (_edit("<=50K", "50K"), r"adult\.data, line 3: label '50K', expected <=50K or >50K"),
        (_edit("22, ", "young, "), r"adult\.data, line 3: age 'young' is no whole number"),
        (lambda f: (f / "adult.data").write_text("\n"), r"adult\.data has no rows"),
        (lambda f: (f / "adult.data").write_bytes(b"\xff\xfe"), r"adult\.data can't be read"),
        (_cut_gzip, r"adult\.test\.gz can't be read"),
        (_one_race, r"grouping 'race' has one group, '\w+', so nothing"),
        (lambda f: _write(f, test=4), r"too few samples \(label '>50K' has 0 in test"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    _write(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        _load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.data
def test_the_real_files_have_their_known_totals(data_folder: Callable[[str], Path]) -> None:
    dataset = load_dataset("adult", data_folder("adult"))
    assert dataset.inputs.shape == (48_842, 5 + 9 + 7 + 15 + 6 + 5 + 2 + 42)
    assert len(dataset.part("test")) == 16_281
    assert np.bincount(dataset.labels).tolist() == [37_155, 11_687]
    assert np.bincount(dataset.grouping("sex").index).tolist() == [16_192, 32_650]
    assert len(dataset.grouping("race").names) == 5
    assert len(dataset.part("validation")) / 32_561 == pytest.approx(0.15 / 0.8, abs=1e-4)
    assert np.isfinite(dataset.inputs).all()
    # As it was before adult was a table like others: supernets, runs and cards know the data by this.
    assert dataset.fingerprint == "2cffc38b9d142c544f59fafc75da6548f8964843a14e6d5dfe4623462955cf0f"
