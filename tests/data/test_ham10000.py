"""HAM10000: the user's download as it is, what can be wrong with it, and the real one's known totals."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from evo_fair.data import PARTS, Dataset, image_cache, images, load_dataset
from evo_fair.errors import DataError, StorageError

from .fakes import DIAGNOSES, HEADER, encoded, ham_rows, jpeg, write_ham, write_table

ZIPS = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip")


def _load(folder: Path, image_size: int = 8, **options: object) -> Dataset:
    return load_dataset("ham10000", folder, image_size=image_size, **{"min_samples": 1} | options)


def _write_rows(folder: Path, rows: list[list[str]]) -> None:
    write_table(folder / "HAM10000_metadata.csv", [HEADER, *rows])


def test_labels_groups_units_and_pixels_are_those_of_the_download(tmp_path: Path) -> None:
    rows = write_ham(tmp_path)
    dataset = _load(tmp_path, image_size=12)
    assert dataset.inputs.shape == (len(rows), 3, 12, 12)
    assert dataset.label_names == DIAGNOSES
    assert [dataset.label_names[label] for label in dataset.labels] == [row[2] for row in rows]
    assert [dataset.label_names[label] for label in dataset.positive] == ["akiec", "bcc", "mel"]
    sex, age = dataset.grouping("sex"), dataset.grouping("age_band")
    assert [sex.names[i] for i in sex.index] == [row[5] for row in rows]
    bands = {"20.0": "under 40", "45.0": "40 to 59", "70.0": "60 and over"}
    assert [age.names[i] for i in age.index] == [bands[row[4]] for row in rows]
    assert len(np.unique(dataset.units)) == len({row[0] for row in rows})
    for i in (0, len(rows) - 1):  # images of one colour: JPEG moves it by a few levels
        colour = np.random.default_rng(int(rows[i][1][5:])).integers(0, 256, 3)
        assert np.abs(dataset.inputs[i].astype(int) - colour[:, None, None]).max() <= 6


@pytest.mark.parametrize(
    ("age", "sex", "band", "group"),
    [
        ("39.0", "Male", 0, 1),
        ("40", "female", 1, 0),
        ("59.0", "unknown", 1, -1),
        ("60.0", "", 2, -1),
        ("", "male", -1, 1),
        ("unknown", "male", -1, 1),
        ("0.0", "female", -1, 0),
    ],
)
def test_age_bands_and_the_unknown(tmp_path: Path, age: str, sex: str, band: int, group: int) -> None:
    rows = write_ham(tmp_path)
    rows[0][4:6] = [age, sex]
    _write_rows(tmp_path, rows)
    dataset = _load(tmp_path)
    assert dataset.grouping("age_band").index[0] == band
    assert dataset.grouping("sex").index[0] == group
    assert dataset.grouping("sex*age_band").index[0] == (-1 if -1 in (band, group) else 3 * group + band)


def test_pairs_of_duplicates_become_one_unit_and_share_a_part(tmp_path: Path) -> None:
    rows = write_ham(tmp_path)
    first = {row[0]: row[1] for row in reversed(rows)}  # an image of each lesion
    chain = [first[f"HAM_nv_{i}"] for i in range(4)]
    pairs = [["0.9", f"{a}.jpg", f"{b}.jpg"] for a, b in pairwise(chain)]
    write_table(
        tmp_path / "newly_discovered_duplicates.csv",
        [["similarity", "from_img", "to_img"], *pairs, ["0.9", chain[0] + ".jpg", "ISIC_9999999.jpg"]],
    )
    for seed in range(5):
        dataset = _load(tmp_path, seed=seed)
        joined = np.array([row[0] in {f"HAM_nv_{i}" for i in range(4)} for row in rows])
        assert len(np.unique(dataset.units[joined])) == 1
        assert len(np.unique(dataset.split[joined])) == 1
        assert len(np.unique(dataset.units)) == len(first) - 3


def _as_folders(folder: Path) -> None:
    for name in ZIPS:
        with ZipFile(folder / name) as archive:
            archive.extractall(folder / name.removesuffix(".zip"))
        (folder / name).unlink()


def _as_images(folder: Path) -> None:
    for name in ZIPS:
        with ZipFile(folder / name) as archive:
            archive.extractall(folder / "images")
        (folder / name).unlink()


def _flat(folder: Path) -> None:
    for name in ZIPS:
        with ZipFile(folder / name) as archive:
            archive.extractall(folder)
        (folder / name).unlink()


def _zip_with_folder_and_litter(folder: Path) -> None:
    for name in ZIPS:
        with ZipFile(folder / name) as archive:
            content = {member: archive.read(member) for member in archive.namelist()}
        with ZipFile(folder / name, "w") as archive:
            for member, data in content.items():
                archive.writestr(f"__MACOSX/{name}/._{member}", b"litter")
                archive.writestr(f"{name.removesuffix('.zip')}/{member}", data)


def _tab_separated(folder: Path) -> None:
    (folder / "HAM10000_metadata.csv").unlink()
    write_table(folder / "HAM10000_metadata", [HEADER, *ham_rows()], delimiter="\t")


def _beside_a_dangling_link(folder: Path) -> None:
    _as_images(folder)
    (folder / "images" / "ISIC_0000001.jpg").symlink_to("nowhere.jpg")


@pytest.mark.parametrize(
    "form", [_as_folders, _as_images, _flat, _beside_a_dangling_link, _zip_with_folder_and_litter, _tab_separated]
)
def test_a_download_is_read_in_any_of_its_forms(tmp_path: Path, form: Callable[[Path], None]) -> None:
    write_ham(tmp_path)
    expected = _load(tmp_path).fingerprint
    form(tmp_path)
    assert _load(tmp_path).fingerprint == expected


def test_a_second_load_comes_from_the_cache_and_is_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ham(tmp_path)
    first = _load(tmp_path, image_size=9)
    monkeypatch.setattr(images, "_decoded", lambda *_: pytest.fail("decoded again"))
    assert _load(tmp_path, image_size=9).fingerprint == first.fingerprint


def _replace_in_zip(path: Path, name: str, content: bytes) -> None:
    with ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for member, data in (members | {name: content}).items():
            archive.writestr(member, data)


def test_other_images_or_another_size_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    name = f"{write_ham(tmp_path)[0][1]}.jpg"
    loaded = []
    for colour in ((10, 20, 30), (10, 20, 40)):  # bitmaps, so that both files have the same size
        _replace_in_zip(tmp_path / ZIPS[0], name, encoded(Image.new("RGB", (9, 9), colour), "BMP"))
        loaded.append(_load(tmp_path).inputs)
        assert loaded[-1][0, :, 0, 0].tolist() == list(colour)
    np.testing.assert_array_equal(loaded[0][1:], loaded[1][1:])
    assert _load(tmp_path, image_size=16).inputs.shape[2:] == (16, 16)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _other_array(path: Path) -> None:
    np.save(path, np.zeros(3))


@pytest.mark.parametrize("damage", [_cut, _other_array])
def test_a_damaged_cache_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    write_ham(tmp_path / "ham")
    expected = _load(tmp_path / "ham").fingerprint
    (cached,) = (tmp_path / "cache" / "images").iterdir()
    damage(cached)
    assert _load(tmp_path / "ham").fingerprint == expected


def test_a_full_disk_is_said_and_leaves_no_half_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image_cache, "_write_header", no_room)
    write_ham(tmp_path / "ham")
    with pytest.raises(StorageError, match=r"No space left on device; make room"):
        _load(tmp_path / "ham")
    assert list((tmp_path / "cache" / "images").iterdir()) == []


def _truncate(folder: Path) -> None:
    path = folder / ZIPS[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_byte(folder: Path) -> None:
    path = folder / ZIPS[0]
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF  # in the first image's data, so that its CRC no longer holds
    path.write_bytes(content)


def _replace_image(content: bytes) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        _as_images(folder)
        (folder / "images" / "ISIC_0024310.jpg").write_bytes(content)

    return replace


def _broken_image_in_zip(folder: Path) -> None:
    _replace_in_zip(folder / ZIPS[0], "ISIC_0024310.jpg", b"not an image")


def _without_column(name: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        at = HEADER.index(name)
        rows = [[cell for i, cell in enumerate(row) if i != at] for row in [HEADER, *ham_rows()]]
        write_table(folder / "HAM10000_metadata.csv", rows)

    return remove


def _with_cell(line: int, column: str, value: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        rows = ham_rows()
        rows[line - 2][HEADER.index(column)] = value
        _write_rows(folder, rows)

    return change


def _few_df(folder: Path) -> None:
    _write_rows(folder, [row for row in ham_rows() if row[2] != "df" or int(row[0].split("_")[2]) < 1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / ZIPS[1]).unlink(), r"HAM10000_images_part_2\.zip missing in .*: 67 of the 133 images .*ISIC_"),
        (lambda f: [(f / z).unlink() for z in ZIPS], r"part_1\.zip and HAM10000_images_part_2\.zip missing"),
        (_truncate, r"images_part_2\.zip is not a whole zip archive \(.*\); it has \d+ bytes: download it again"),
        (_flip_a_byte, r"ISIC_0024306\.jpg in .*images_part_1\.zip does not open: .*CRC.*; get HAM.*part_1\.zip again"),
        (
            _broken_image_in_zip,
            r"ISIC_0024310\.jpg in .*part_1\.zip does not open: not a JPEG.*; get HAM.*_1\.zip again",
        ),
        (_replace_image(b""), r"images/ISIC_0024310\.jpg does not open: not a JPEG.*replace the file"),
        (_replace_image(jpeg(0, (400, 300))[:900]), r"ISIC_0024310\.jpg does not open: .*truncated.*replace the file"),
        (lambda f: (f / "HAM10000_metadata.csv").unlink(), r"has no HAM10000_metadata\.csv .*put the table"),
        (lambda f: (f / "HAM10000_metadata.csv").write_text(""), r"HAM10000_metadata\.csv is empty"),
        (lambda f: _write_rows(f, []), r"HAM10000_metadata\.csv has no rows"),
        (lambda f: (f / "HAM10000_metadata.csv").write_bytes(b"\xff\xfe\x00"), "can't be read as a table"),
        (lambda f: _write_rows(f, [[*row, "x"] for row in ham_rows()]), "more cells in a line than columns"),
        (_without_column("sex"), r"HAM10000_metadata\.csv has no column 'sex', only lesion_id, image_id, dx"),
        (_with_cell(5, "image_id", "ISIC_1"), r"1 of the 133 images in .*metadata\.csv are not in .*ISIC_1 the first"),
        (_with_cell(5, "image_id", "ISIC_0024306"), r"line 5: image ISIC_0024306 twice"),
        (_with_cell(4, "lesion_id", ""), r"line 4: lesion_id is empty"),
        (_with_cell(7, "dx", "scc"), r"line 7: dx 'scc', expected one of akiec, bcc"),
        (_with_cell(8, "sex", "w"), r"line 8: sex 'w', expected one of female, male, unknown"),
        (_with_cell(9, "age", "old"), r"line 9: age 'old' is no age"),
        (_with_cell(9, "age", "-5"), r"line 9: age '-5' is no age"),
        (_few_df, r"ham10000: too few samples \(label 'df' has 0 in"),
        (
            lambda f: (f / "newly_discovered_duplicates.csv").write_text("a,b\n1,2\n"),
            r"no column 'from_img'.*remove it",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object], message: str
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))  # else images decoded by another test are enough
    write_ham(tmp_path / "ham")
    damage(tmp_path / "ham")
    with pytest.raises(DataError, match=message) as caught:
        _load(tmp_path / "ham")
    assert "\n" not in str(caught.value)


def test_an_image_size_that_is_none_is_refused(tmp_path: Path) -> None:
    write_ham(tmp_path)
    with pytest.raises(DataError, match="image_size 4: expected 8 to 512"):
        _load(tmp_path, image_size=4)


@pytest.fixture(scope="module")
def real(data_folder: Callable[[str], Path]) -> Dataset:
    return load_dataset("ham10000", data_folder("ham10000"), image_size=16)


@pytest.mark.data
def test_the_real_download_has_its_known_totals(real: Dataset) -> None:
    assert len(real) == 10_015
    sizes = dict(zip(real.label_names, np.bincount(real.labels), strict=True))
    assert sizes == {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
    assert len(np.unique(real.units)) == 7_470 - 18
    sex, age = real.grouping("sex").index, real.grouping("age_band").index
    assert [(sex == i).sum() for i in (0, 1, -1)] == [4552, 5406, 57]
    assert (age == -1).sum() == 57 + 39
    malignant = np.isin(real.labels, real.positive)
    assert [round(100 * malignant[sex == i].mean(), 1) for i in (0, 1)] == [16.0, 22.7]


@pytest.mark.data
def test_the_real_split_has_its_shares_and_tears_no_lesion(real: Dataset) -> None:
    for chosen in [real.labels >= 0, *(real.labels == label for label in range(7))]:
        shares = np.bincount(real.split[chosen]) / chosen.sum()
        assert shares == pytest.approx([0.65, 0.15, 0.20], abs=0.01)
    parts = [set(real.units[real.part(part)]) for part in PARTS]
    assert len(set.union(*parts)) == sum(map(len, parts))


@pytest.mark.data
def test_each_intersection_of_the_real_groups_has_samples_in_each_part(real: Dataset) -> None:
    grouping = real.grouping("sex*age_band")
    assert len(grouping.names) == 6
    for part in PARTS:
        assert np.bincount(grouping.index[real.part(part)] + 1, minlength=7)[1:].min() >= 100
