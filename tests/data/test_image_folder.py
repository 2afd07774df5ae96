"""The user's own images with a labels.csv."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from evo_fair.data import PARTS, Dataset, image_folder, images, load_dataset, progress
from evo_fair.errors import DataError, DataWarning, EvoFairError

from .fakes import encoded, jpeg, write_table

HEADER = ["file", "label", "site", "split", "unit"]


def _rows() -> list[list[str]]:
    """Sixty images of two labels and two sites, three to a unit, the site of the first unknown."""
    rows = []
    for i in range(60):
        site = "" if i == 0 else ("north", "south")[i // 3 % 2]
        part = PARTS[(0, 0, 1, 2)[i // 6 % 4]]
        rows.append([f"{i % 2}/{i}.jpg", ("cat", "bird")[i % 2], site, part, f"u{i // 3}"])
    return rows


def _write(folder: Path, rows: list[list[str]] | None = None, columns: tuple[str, ...] = tuple(HEADER)) -> None:
    rows = _rows() if rows is None else rows
    for i, row in enumerate(_rows()):
        path = folder / row[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(i))
    chosen = [HEADER.index(column) for column in columns]
    write_table(folder / "labels.csv", [[row[i] for i in chosen] for row in [HEADER, *rows]])


def _load(folder: Path, image_size: int = 8, **options: object) -> Dataset:
    return load_dataset("image_folder", folder, image_size=image_size, **{"min_samples": 1} | options)


def test_labels_groups_splits_and_units_are_those_of_the_table(tmp_path: Path) -> None:
    _write(tmp_path)
    dataset = _load(tmp_path, name="zoo", positive=["cat"])
    rows = _rows()
    assert dataset.name == "zoo"
    assert dataset.inputs.shape == (60, 3, 8, 8)
    assert dataset.label_names == ("bird", "cat")
    assert dataset.positive == (1,)
    assert [dataset.label_names[label] for label in dataset.labels] == [row[1] for row in rows]
    site = dataset.grouping("site")
    assert site.index[0] == -1
    assert [site.names[i] for i in site.index[1:]] == [row[2] for row in rows[1:]]
    assert [PARTS[part] for part in dataset.split] == [row[3] for row in rows]
    assert set(dataset.groupings) == {"site", "class"}


def test_numbers_in_labels_and_groups_order_them(tmp_path: Path) -> None:
    rows = _rows()
    for number, row in enumerate(rows):
        row[1:3] = [["grade 10", "grade 9"][number % 2], ["10-19", "5-9"][number // 2 % 2]]
    _write(tmp_path, rows)
    dataset = _load(tmp_path)
    assert dataset.label_names == ("grade 9", "grade 10")
    assert dataset.grouping("site").names == ("5-9", "10-19")
    assert [dataset.label_names[label] for label in dataset.labels] == [row[1] for row in rows]


def test_without_a_split_whole_units_are_split(tmp_path: Path) -> None:
    _write(tmp_path, columns=("unit", "label", "file", "site"))
    dataset = _load(tmp_path)
    assert [len(dataset.part(part)) for part in PARTS] == pytest.approx([39, 9, 12], abs=3)
    for unit in range(20):
        assert len(set(dataset.split[3 * unit : 3 * unit + 3])) == 1


def test_a_part_that_no_cell_names_is_drawn_from_the_images_that_have_none(tmp_path: Path) -> None:
    rows = _rows()
    tested = [i for i, row in enumerate(rows) if row[3] == "test"]
    for i, row in enumerate(rows):
        row[3] = "test" if i in tested[1:] else ""  # the first goes with its unit
    _write(tmp_path, rows)
    dataset = _load(tmp_path)
    assert dataset.part("test").tolist() == tested
    assert [len(dataset.part(part)) for part in PARTS[:2]] == pytest.approx([48 * 65 / 80, 48 * 15 / 80], abs=3)
    for unit in range(20):
        assert len(set(dataset.split[3 * unit : 3 * unit + 3])) == 1
    again = _load(tmp_path, seed=1)
    assert again.part("test").tolist() == tested
    assert again.part("train").tolist() != dataset.part("train").tolist()


def test_all_images_without_a_part_are_drawn_for_the_only_one_that_is_not_named(tmp_path: Path) -> None:
    rows = _rows()
    for row in rows:
        row[3] = "" if row[3] == "validation" else row[3]
    _write(tmp_path, rows)
    assert [PARTS[part] for part in _load(tmp_path).split] == [row[3] for row in _rows()]


@pytest.mark.parametrize("units", [True, False])
def test_a_part_that_nothing_is_left_to_draw_is_refused(tmp_path: Path, units: bool) -> None:
    rows = _rows()
    for i, row in enumerate(rows):
        row[3] = "test" if i % 3 == 0 or (i and not units) else ""  # an image of each unit, or all but one
    _write(tmp_path, rows if units else [[*rows[0][:3], "", ""], *([*row[:4], ""] for row in rows[1:])])
    lacking = "train and validation" if units else "validation"
    told = (
        rf"too few images with an empty split are of a unit .* to draw {lacking} from: leave units out of test, or add"
    )
    with pytest.raises(DataError, match=told):
        _load(tmp_path)


def test_a_column_of_empty_splits_is_as_none(tmp_path: Path) -> None:
    _write(tmp_path, [[*row[:3], "", row[4]] for row in _rows()])
    drawn = _load(tmp_path).split
    _write(tmp_path, columns=("file", "label", "site", "unit"))
    assert drawn.tolist() == _load(tmp_path).split.tolist()


def test_all_units_in_two_splits_are_counted(tmp_path: Path) -> None:
    rows = _rows()
    rows[4][3], rows[19][3], rows[20][3] = "test", "train", "train"  # of u1 and u6
    _write(tmp_path, rows)
    with pytest.raises(DataError, match=r"unit 'u1' is in two splits, and so is 1 more: give all images of a unit"):
        _load(tmp_path)


def test_without_units_each_image_is_its_own(tmp_path: Path) -> None:
    _write(tmp_path, columns=("file", "label"))
    dataset = _load(tmp_path)
    assert [len(dataset.part(part)) for part in PARTS] == [39, 9, 12]
    rows = _rows()
    for row in rows[:30]:
        row[4] = ""
    _write(tmp_path, rows)
    assert len(np.unique(_load(tmp_path).units)) == 30 + 10


def test_images_of_any_colour_mode_become_rgb_and_upright(tmp_path: Path) -> None:
    _write(tmp_path)
    Image.new("L", (9, 7), 100).save(tmp_path / "0/0.jpg", "PNG")
    Image.new("RGBA", (9, 7), (10, 20, 30, 255)).save(tmp_path / "1/1.jpg", "PNG")
    turned = Image.new("RGB", (16, 16), "black")
    turned.paste("white", (0, 0, 16, 8))  # white above; orientation 3 turns it upside down
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "0/2.jpg", "PNG", exif=exif)
    inputs = _load(tmp_path).inputs
    assert (inputs[0] == 100).all()
    assert inputs[1].reshape(3, -1).T.tolist() == [[10, 20, 30]] * 64
    assert (inputs[2, :, :3] == 0).all()
    assert (inputs[2, :, 5:] == 255).all()


def test_shrinking_averages_over_all_pixels(tmp_path: Path) -> None:
    _write(tmp_path)
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::2] = 200  # without antialiasing each output pixel would be 0 or 200
    Image.fromarray(stripes).save(tmp_path / "0/0.jpg", "PNG")
    inner = _load(tmp_path).inputs[0, :, :, 1:-1].astype(int)
    assert np.abs(inner - 100).max() <= 8


def test_a_second_load_comes_from_the_cache_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)
    first = _load(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(images, "_decoded", lambda *_: pytest.fail("decoded again"))
        assert _load(tmp_path).fingerprint == first.fingerprint
    (tmp_path / "0/0.jpg").write_bytes(jpeg(999, (31, 17)))
    second = _load(tmp_path)
    assert second.fingerprint != first.fingerprint
    np.testing.assert_array_equal(second.inputs[1:], first.inputs[1:])


def _cell(line: int, column: str, value: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        rows = _rows()
        rows[line - 2][HEADER.index(column)] = value
        _write(folder, rows)

    return change


def _split_of(instead: dict[str, str]) -> Callable[[Path], None]:
    """Puts the images of some parts into others."""

    def change(folder: Path) -> None:
        place = HEADER.index("split")
        _write(folder, [[*row[:place], instead.get(row[place], row[place]), *row[place + 1 :]] for row in _rows()])

    return change


def _table(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "labels.csv").write_text(text) and None


def _column(name: str, value: Callable[[int], str]) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        table = [[*HEADER, name], *([*row, value(i)] for i, row in enumerate(_rows()))]
        write_table(folder / "labels.csv", table)

    return add


def _in_the_tables_place(folder: Path) -> None:
    (folder / "labels.csv").unlink()
    (folder / "labels.csv").mkdir()


def _link_outside(folder: Path) -> None:
    (folder.parent / "outside.jpg").write_bytes(jpeg(0))
    (folder / "0/0.jpg").unlink()
    (folder / "0/0.jpg").symlink_to(folder.parent / "outside.jpg")


def _folder_outside(folder: Path) -> None:
    (folder / "0").rename(folder.parent / "pictures")
    (folder / "0").symlink_to(folder.parent / "pictures")


def _loop(folder: Path) -> None:
    (folder / "0/0.jpg").unlink()
    (folder / "0/0.jpg").symlink_to("0.jpg")


def _sixteen_bit(folder: Path) -> None:
    (folder / "0/0.jpg").write_bytes(encoded(Image.fromarray(np.full((9, 9), 5000, np.uint16)), "PNG"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "labels.csv").unlink(), r"labels\.csv is missing: it needs a header with file,label"),
        (
            lambda f: (f / "labels.csv").rename(f / "Labels.CSV") and None,
            r"labels\.csv is missing, but Labels\.CSV is there: rename it to labels\.csv$",
        ),
        (
            lambda f: (f / "labels.csv").rename(f / "labels.xlsx") and None,
            r"labels\.csv is missing, but labels\.xlsx is there: save it as CSV in UTF-8, named labels\.csv$",
        ),
        (_in_the_tables_place, r"labels\.csv is a folder: put the table in its place"),
        (_table(""), r"labels\.csv is empty"),
        (_table("file,label\n\n"), r"labels\.csv has no rows"),
        (
            _table("file;label\na.jpg;cat\n"),
            r"labels\.csv has semicolons between its columns: save it with commas or tabs$",
        ),
        (
            lambda f: (f / "labels.csv").write_bytes("file,label\na.jpg,Kätzchen\n".encode("latin-1")) and None,
            r"labels\.csv can't be read as a table \(byte 18 is not UTF-8: .*\): save it as CSV in UTF-8$",
        ),
        (_table("file,label,label\na.jpg,cat,dog\n"), r"labels\.csv has two columns 'label'"),
        (_table("file,label,site, site \n0/0.jpg,cat,a,b\n"), r"labels\.csv has two columns 'site'"),
        (_table('file\tlabel\tsite\t"site"\n0/0.jpg\tcat\ta\tb\n'), r"labels\.csv has two columns 'site'"),
        (_table("file,label\na.jpg,cat,x,y\n"), r"labels\.csv has more cells"),
        (_table("file,label\na.jpg,cat\nb.jpg,cat,x,y\n"), r"labels\.csv can't be read as a table \(.*line 3"),
        (_cell(3, "file", "1/nothing.jpg"), r"labels\.csv, line 3: .*1/nothing\.jpg is missing"),
        (_cell(3, "file", "../a.jpg"), r"labels\.csv, line 3: '\.\./a\.jpg' leads out of"),
        (_cell(3, "file", "/etc/hostname"), r"line 3: '/etc/hostname' leads out of"),
        (
            _cell(3, "file", "x" * 256),
            r"labels\.csv, line 3: 'x+' is no path that can be looked up \(File name too long",
        ),
        (_cell(3, "file", "1/\0.jpg"), r"labels\.csv, line 3: .*is no path that can be looked up \(.*embedded null"),
        (_loop, r"line 2: .*0/0\.jpg'? is (no path that can be looked up|missing)"),
        (_link_outside, r"line 2: '0/0\.jpg' leads out of .*0/0\.jpg is a symbolic link to .*outside\.jpg; put a"),
        (_folder_outside, r"line 2: '0/0\.jpg' leads out of .*zoo/0 is a symbolic link to .*pictures; put a copy"),
        (_cell(4, "file", "0/0.jpg"), r"line 4: the file is in the table a second time, after line 2: remove one"),
        (_cell(4, "file", "0/../0/0.jpg"), r"line 4: the file is in the table a second time"),
        (_cell(4, "file", "./0/0.jpg"), r"line 4: the file is in the table a second time"),
        (_cell(5, "file", ""), r"line 5: the file is empty"),
        (_cell(5, "label", " "), r"line 5: the label is empty"),
        (_cell(6, "split", "val"), r"line 6: split 'val', expected one of train, validation, test"),
        (
            _split_of({"validation": "test"}),
            (
                r"labels\.csv: no line has the split 'validation', only train and test: give images to each of train, "
                "validation, test, empty the cells of images from which the rest is to be drawn, or leave split out to "
                "have all parts drawn$"
            ),
        ),
        (
            _split_of({"train": "test", "validation": "test"}),
            r"labels\.csv: no line has the split 'train' or 'validation', only test",
        ),
        (_cell(6, "split", "test"), r"line \d: unit 'u1' is in two splits: give all images of a unit the same one$"),
        (_cell(6, "split", ""), r"line 6: the split is empty, and all of train, validation, test are named: give one;"),
        (_cell(6, "unit", "u4"), r"unit 'u4' is in two splits"),
        (
            lambda f: (f / "0/4.jpg").write_bytes(b"x"),
            r"0/4\.jpg does not open: not a JPEG.*take its line out of the ta",
        ),
        (_sixteen_bit, r"0/0\.jpg does not open: its mode I;16 is not 8 bits a channel; convert it"),
        (
            _column("patient_id", str),
            r"'patient_id' has 60 different values, at most 50: .*cut numbers into bands.*name it unit",
        ),
        (_column("camera", lambda _: "x"), r"grouping 'camera' has one group, 'x', so nothing"),
        (_column("camera", lambda _: ""), r"no sample says its group of 'camera': fill it in"),
        (_column("camera", lambda i: "y" if i == 1 else "x"), r"too few samples \(camera 'y' has 0 in validation"),
        (_column("class", str), r"'class' can't name a group column"),
        (
            lambda f: write_table(f / "labels.csv", [["file", "label", "Split"], ["0/0.jpg", "cat", "test"]]),
            r"labels\.csv has a column 'Split': write it 'split' if it is that, else name it otherwise$",
        ),
        (_column("a*b", str), r"'a\*b' can't name a group column"),
        (_column("a:b", str), r"'a:b' can't name a group column"),
        (_column("", str), r"labels\.csv: column 6 has no name: name it or remove it$"),
        (lambda f: _write(f, [[r[0], "cat", *r[2:]] for r in _rows()]), r"1 different label\(s\), expected 2 to 256"),
        (_cell(2, "label", "dog"), r"too few samples \(label 'dog' has 0 in validation; label 'dog' has 0 in test\)"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = tmp_path / "zoo"
    _write(folder)
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        _load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        ([4, 7], r"0/4\.jpg does not open: not a JPEG.*; 1 more can't be read: .*1/7\.jpg; replace these files, or"),
        (range(1, 60), r"1/1\.jpg does not open: .*; 58 more can't be read: .*1/3\.jpg, .*0/6\.jpg, \.\.\.; replace"),
    ],
)
def test_all_damaged_images_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: Sequence[int], told: str
) -> None:
    _write(tmp_path)
    for number in damaged:
        (tmp_path / f"{number % 2}/{number}.jpg").write_bytes(b"x")
    heard: list[int] = []
    with progress.heard(lambda done, images: heard.append(done)), pytest.raises(DataError, match=told):
        _load(tmp_path)
    assert heard == list(range(1, 61))
    monkeypatch.setattr(images, "_MOST_DAMAGED", 1)
    with pytest.raises(DataError, match="; at least 1 more can't be read: "):
        _load(tmp_path)


def _renamed(name: Callable[[str], str], lines: int = 60) -> list[list[str]]:
    """The rows, the file of the first of them called by something else."""
    return [[name(row[0]) if i < lines else row[0], *row[1:]] for i, row in enumerate(_rows())]


NAMED = "write names with their ending and folder, as they are"
REMOVE = "put them there, or remove the lines"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (_renamed(lambda file: file[:-4]), f"0/0 is missing, and so are the files of 59 more lines; {{}}: {NAMED}"),
        (_renamed(lambda file: file[2:]), f"0.jpg is missing, and so are the files of 59 more lines; {{}}: {NAMED}"),
        (
            _renamed(lambda f: f[:-3] + "PNG", 2),
            f"0/0.PNG is missing, and so is the file of 1 more line; {{}}: {NAMED}",
        ),
        (_renamed(lambda file: file[:-4].replace("/", "\\"), 1), f"0/0 is missing; {{}}: {NAMED}"),
        (
            _renamed(lambda file: f"x{file}"),
            f"x0/0.jpg is missing, and so are the files of 59 more lines; {{}}: {NAMED}",
        ),
        (_renamed(lambda file: f"x{file[2:]}"), f"x0.jpg is missing, and so are the files of 59 more lines: {REMOVE}"),
        (_renamed(lambda file: f"{file}x", 1), "0/0.jpgx is missing: put it there, or remove the line"),
    ],
)
def test_a_file_under_nearly_its_name_is_named_and_the_lines_are_counted(
    tmp_path: Path, rows: list[list[str]], told: str
) -> None:
    _write(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        _load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/labels.csv, line 2: {tmp_path}/")
    assert str(caught.value).endswith("/" + told.format("the folder has 0/0.jpg"))


def test_what_is_there_in_odd_ways_is_not_counted_as_missing(tmp_path: Path) -> None:
    rows = _renamed(lambda _: "nothing.jpg", 1)
    (tmp_path / "linked").symlink_to(tmp_path / "1")
    rows[1][0], rows[2][0], rows[4][0] = "linked/1.jpg", "./0//2.jpg", "0\\4.jpg"
    rows[6][0], rows[8][0] = "x" * 256, "\0.jpg"
    _write(tmp_path, rows)
    with pytest.raises(
        DataError, match=r"line 2: .*/nothing\.jpg is missing, and so are the files of 2 more lines: put"
    ):
        _load(tmp_path)


def test_empty_lines_do_not_shift_the_line_that_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    lines[1:1] = ["", ""]
    lines[5] = lines[5].replace("train", "tran")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 6: split 'tran'"):
        _load(tmp_path)
    lines[5] = lines[5].replace("tran", "train")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    assert len(_load(tmp_path)) == 60


def _with_sites(folder: Path, *values: str) -> None:
    """The table whose first rows have these sites; the units of the first row stay whole."""
    rows = _rows()
    for row, value in zip(rows, values, strict=False):
        row[2] = value
    _write(folder, rows)


MISSING = ("nan", "N/A", "unknown", "", "none", "?")


def test_values_that_read_as_missing_are_said_once_and_stay_groups(tmp_path: Path) -> None:
    _with_sites(tmp_path, *MISSING, *MISSING)
    with pytest.warns(DataWarning) as said:
        dataset = _load(tmp_path, min_samples=0)
    (message,) = (str(one.message) for one in said)
    assert "site 'nan' (2 images), site 'N/A' (2 images), site 'unknown' (2 images)" in message
    assert 'set missing = ["nan", "N/A", "unknown", "none", "?"] under [data]' in message
    assert set(dataset.grouping("site").names) == {"nan", "N/A", "unknown", "none", "?", "north", "south"}


@pytest.mark.filterwarnings("error::UserWarning")
def test_what_missing_names_is_in_no_group(tmp_path: Path) -> None:
    _with_sites(tmp_path, *MISSING)
    site = _load(tmp_path, min_samples=0, missing=["nan", "N/A", "unknown", "none", "?"]).grouping("site")
    assert site.names == ("north", "south")
    assert (site.index[:6] == -1).all()
    assert (site.index[6:] >= 0).all()


def test_values_that_read_as_missing_are_said_beside_those_that_missing_names(tmp_path: Path) -> None:
    _with_sites(tmp_path, *MISSING, "nan")
    with pytest.warns(DataWarning) as said:
        _load(tmp_path, min_samples=0, missing=["unknown", "?"])
    (message,) = (str(one.message) for one in said)
    assert "site 'nan' (2 images), site 'N/A' (1 image), site 'none' (1 image) are taken for values like any" in message
    assert message.endswith('set missing = ["unknown", "?", "nan", "N/A", "none"] under [data] of the problem')


@pytest.mark.filterwarnings("error::UserWarning")
def test_an_empty_missing_says_that_these_are_groups(tmp_path: Path) -> None:
    _with_sites(tmp_path, "", "none", "none")
    assert "none" in _load(tmp_path, min_samples=0, missing=()).grouping("site").names


def test_units_and_labels_that_read_as_missing_are_said(tmp_path: Path) -> None:
    rows = _rows()
    rows[0][4] = rows[3][4] = "N/A"  # two patients would become one
    rows[7][1] = "nan"
    _write(tmp_path, rows)
    with pytest.warns(DataWarning) as said:
        assert len(np.unique(_load(tmp_path, min_samples=0).units)) == 21
    assert ["unit 'N/A' (2 images)" in str(one.message) for one in said] == [True, False]
    assert ["label 'nan' (1 image) is taken for a label" in str(one.message) for one in said] == [False, True]
    with pytest.warns(DataWarning, match="label 'nan'"):
        assert len(np.unique(_load(tmp_path, min_samples=0, missing=["N/A"]).units)) == 22


def test_a_missing_text_that_no_cell_holds_is_said(tmp_path: Path) -> None:
    _with_sites(tmp_path, "", "Unknown")
    with pytest.warns(DataWarning) as said:
        _load(tmp_path, min_samples=0, missing=["unknown"])
    idle, other = (str(one.message) for one in said)
    assert "no group or unit is called 'unknown', which missing names: mind capital" in idle
    assert "site 'Unknown' (1 image) is taken for values like any other" in other


@pytest.mark.parametrize(("source", "missing"), [("digits", ["nan"]), ("image_folder", "nan")])
def test_a_missing_that_can_not_be_is_refused(tmp_path: Path, source: str, missing: object) -> None:
    with pytest.raises(EvoFairError, match=r"missing = .*nan"):
        load_dataset(source, None if source == "digits" else tmp_path, missing=missing)


def test_the_same_image_in_two_parts_is_said(tmp_path: Path) -> None:
    _write(tmp_path)
    content = (tmp_path / "0/0.jpg").read_bytes()
    (tmp_path / "0/2.jpg").write_bytes(content)  # in the same part
    for name in ("0/12.jpg", "0/18.jpg"):
        (tmp_path / name).write_bytes(content)
    with pytest.warns(DataWarning) as said:
        _load(tmp_path)
    (message,) = (str(one.message) for one in said)
    assert "the same image is in two parts: 0/0.jpg in train and 0/12.jpg in validation, and 1 more" in message


def test_a_folder_whose_name_is_not_utf8_is_read(tmp_path: Path) -> None:
    """As old archives unpack to it: Python has such a byte as half a character, which can't be encoded."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError as reason:
        pytest.skip(f"this file system refuses it: {reason}")
    _write(folder)
    _write(tmp_path / "cafe")
    np.testing.assert_array_equal(_load(folder).inputs, _load(tmp_path / "cafe").inputs)


def test_paths_with_backslashes_are_understood(tmp_path: Path) -> None:
    rows = [[row[0].replace("/", "\\"), *row[1:]] for row in _rows()]
    _write(tmp_path)
    expected = _load(tmp_path).inputs
    write_table(tmp_path / "labels.csv", [HEADER, *rows])
    np.testing.assert_array_equal(_load(tmp_path).inputs, expected)
    rows[1][0] = "..\\..\\a.jpg"
    write_table(tmp_path / "labels.csv", [HEADER, *rows])
    with pytest.raises(DataError, match=r"labels\.csv, line 3: '\.\./\.\./a\.jpg' leads out of"):
        _load(tmp_path)


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_are_understood_however_a_system_writes_them(
    tmp_path: Path, on_disk: Literal["NFC", "NFD"], in_table: Literal["NFC", "NFD"]
) -> None:
    rows = _rows()
    _write(tmp_path)
    expected = _load(tmp_path).inputs
    (tmp_path / rows[0][0]).rename(tmp_path / normalize(on_disk, "müla.jpg"))
    rows[0][0] = normalize(in_table, "müla.jpg")
    write_table(tmp_path / "labels.csv", [HEADER, *rows])
    np.testing.assert_array_equal(_load(tmp_path).inputs, expected)


def test_paths_of_all_kinds_are_found_and_named_once(tmp_path: Path) -> None:
    """Links and odd spellings lead to the same files as their real paths, which are looked up folder by folder."""
    _write(tmp_path)
    rows = _rows()
    (tmp_path / "linked").symlink_to(tmp_path / "1")
    (tmp_path / "alone.jpg").symlink_to(tmp_path / "0" / "0.jpg")
    rows[0][0] = "alone.jpg"
    rows[1][0] = "linked/1.jpg"
    rows[2][0] = "./0//2.jpg"
    rows[3][0] = "0/../1/3.jpg"
    rows[4][0] = "0\\4.jpg"
    rows[5][0] = str(tmp_path / "1" / "5.jpg")
    _write(tmp_path, rows)
    assert np.array_equal(_load(tmp_path).inputs, _load(_plain(tmp_path)).inputs)
    for again in ("0/0.jpg", "1/1.jpg", "0/./2.jpg"):
        rows[9][0] = again
        _write(tmp_path, rows)
        with pytest.raises(DataError, match=r"labels.csv, line 11: the file is in the table a second time"):
            _load(tmp_path)


def _plain(folder: Path) -> Path:
    _write(folder / "plain")
    return folder / "plain"


def test_the_files_of_a_large_table_are_looked_up_folder_by_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)
    resolved = []
    inside = image_folder.inside
    monkeypatch.setattr(image_folder, "inside", lambda *place: (resolved.append(place), inside(*place))[1])
    assert len(_load(tmp_path)) == 60
    assert len(resolved) == 2, "resolving each of 200,000 files takes half a minute"
    _write(tmp_path, _renamed(lambda file: file[:-4]))
    gone_through = []
    near = image_folder.near_image
    monkeypatch.setattr(image_folder, "near_image", lambda *place: (gone_through.append(place), near(*place))[1])
    with pytest.raises(DataError, match="the files of 59 more lines"):
        _load(tmp_path)
    assert (len(resolved) <= 6, len(gone_through)) == (True, 1)
