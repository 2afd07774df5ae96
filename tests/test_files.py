"""Files: what is written is whole or not there, and what is read is refused by name and line when it is damaged."""

import errno
import os
import re
import time
import warnings
from pathlib import Path

import pytest

import evo_fair as ef
from evo_fair.errors import DataWarning, EvoFairError, ProblemError, ProfileError, StorageError, UnknownNameError
from evo_fair.files import (
    atomic_write,
    cache_folder,
    digest,
    inside,
    is_recorded,
    read_cached_json,
    read_json,
    read_toml,
    remove_leftovers,
    say_namesake,
    sha256_of,
    shipped_names,
    shipped_or_path,
    storage_errors,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_text(path, "before")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text(str(1 / temporary.write_bytes(b"")))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_makes_the_folder(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"x": [1, 2.5, "é"]})
    assert read_json(tmp_path / "a" / "b.json") == {"x": [1, 2.5, "é"]}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    told = r"cannot write .*x.json: No space left.*; make room or permit writing"
    with pytest.raises(StorageError, match=told), storage_errors(path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("below", ["x.json", "folder/x.json"])
def test_a_file_in_the_place_of_a_folder_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=rf"cannot write .*{below}: .*/file is a file; give a folder in its place$"):
        write_json(tmp_path / "file" / below, {})


@pytest.mark.parametrize("below", ["out", "out/run"])
def test_a_link_to_a_disk_that_is_not_there_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "scratch")
    told = rf"out is a symbolic link to {tmp_path}/scratch, where nothing is; make that folder"
    with pytest.raises(StorageError, match=told):
        write_text(tmp_path / below / "a.txt", "x")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*x.json: .*x.json is a folder; give a file"):
        write_json(tmp_path / "x.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_numbers_that_it_does_not_know(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"x": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n"b" 2}', "line 2"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"\xff\xfe", "not valid JSON"),
        (b"", "line 1"),
    ],
)
def test_damaged_json_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=message) as refused:
        read_json(path, ProfileError)
    assert str(path) in str(refused.value)


def test_json_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(EvoFairError, match="not valid JSON"):
        read_json(path)


def test_damaged_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.toml"
    path.write_text('title = "x"\nslots = \n')
    with pytest.raises(ProblemError, match="line 2"):
        read_toml(path, ProblemError)
    with pytest.raises(ProblemError, match="cannot read"):
        read_toml(tmp_path / "absent.toml", ProblemError)


def test_shipped_files_go_by_name_and_others_by_path(tmp_path: Path) -> None:
    assert "raspberry-pi-4" in shipped_names("hardware_profiles", ".json")
    assert shipped_or_path("raspberry-pi-4", "hardware_profiles", ".json", "device").name == "raspberry-pi-4.json"
    own = tmp_path / "own.json"
    own.write_text("{}")
    assert shipped_or_path(str(own), "hardware_profiles", ".json", "device") == own
    with pytest.raises(UnknownNameError, match="did you mean 'raspberry-pi-4'"):
        shipped_or_path("raspbery-pi-4", "hardware_profiles", ".json", "device")


def test_a_path_where_no_file_is_is_said_to_be_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    missing = r"^there is no file 'board\.json': give the path of the device's \.json file, or one of odroid-n2-plus, "
    with pytest.raises(UnknownNameError, match=missing):
        shipped_or_path("board.json", "hardware_profiles", ".json", "device")
    with pytest.raises(UnknownNameError, match=r"^there is no file '.*'.*did you mean 'raspberry-pi-4'"):
        shipped_or_path("./raspberry-pi-4.json", "hardware_profiles", ".json", "device")
    (tmp_path / "boards.json").write_text("{}")
    with pytest.raises(UnknownNameError, match=missing + r".*; did you mean 'boards\.json'\?$"):
        shipped_or_path("board.json", "hardware_profiles", ".json", "device")
    with pytest.raises(UnknownNameError, match=r"^'\./folder' is a folder: give the path of the problem's \.toml file"):
        shipped_or_path("./folder", "problems", ".toml", "problem")


def test_a_file_called_like_one_that_comes_along_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shipped_or_path("faces", "problems", ".toml", "problem")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_namesake(found, "problem")
    (tmp_path / "faces.toml").write_text("")
    told = r"^faces is the problem that comes with evo_fair: for the file faces\.toml that is here, write faces\.toml$"
    with pytest.warns(DataWarning, match=told):
        ef.load_problem("faces")
    (tmp_path / "pixel-3.json").write_text("")
    with pytest.warns(DataWarning, match="pixel-3 is the device that comes with evo_fair"):
        ef.load_profile("pixel-3")
    monkeypatch.chdir(found.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_namesake(found, "problem")


def test_a_name_without_the_suffix_of_its_file_is_answered_with_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "board.json").write_text("{}")
    with pytest.raises(UnknownNameError, match=r"or the path of a \.json file such as board\.json, which is there"):
        shipped_or_path("board", "hardware_profiles", ".json", "device")
    (tmp_path / "network.onnx").write_text("")
    with pytest.raises(UnknownNameError, match=r"or the path of a \.json file, which network\.onnx is not"):
        shipped_or_path("network.onnx", "hardware_profiles", ".json", "device")


def test_paths_stay_in_their_folder(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.jpg") == tmp_path.resolve() / "a" / "b.jpg"
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(EvoFairError, match=r"leads out of .*: give a path relative to and below that folder$"):
            inside(tmp_path, name)


def test_a_link_that_leads_out_of_a_folder_is_named_as_one(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (folder / "a").mkdir(parents=True)
    (outside / "1.jpg").write_bytes(b"")
    (folder / "a" / "out").symlink_to(outside)
    (folder / "a" / "in").symlink_to(folder / "a")  # stays within
    (folder / "1.jpg").symlink_to(outside / "1.jpg")
    for name, link, goal in (("a/in/out/1.jpg", "a/in/out", outside), ("1.jpg", "1.jpg", outside / "1.jpg")):
        told = f"'{name}' leads out of {folder}: {folder / link} is a symbolic link to {goal}; put a copy of that"
        with pytest.raises(EvoFairError, match=re.escape(told)):
            inside(folder, name)
    (folder / "a" / "up").symlink_to(tmp_path)
    with pytest.raises(EvoFairError, match=r"a/up is a symbolic link to"):
        inside(folder, "a/up/outside/1.jpg")
    with pytest.raises(EvoFairError, match=r"give a path relative to and below that folder$"):
        inside(folder, "../data/../outside/1.jpg")


@pytest.mark.parametrize("name", ["x" * 256, "a\0b"])
def test_paths_that_no_file_can_have_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(EvoFairError, match="is no path that can be looked up") as refused:
        inside(tmp_path, name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["x" * 256, "~nosuchuser/x.toml"])
def test_odd_paths_of_the_user_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvoFairError, match="is no path that can be looked up"):
        shipped_or_path(f"{name}.toml", "problems", ".toml", "problem")
    monkeypatch.setenv("EVO_FAIR_CACHE", name)
    with pytest.raises(EvoFairError, match="is no path that can be looked up"):
        cache_folder("supernets")


def test_the_cache_goes_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    assert cache_folder("supernets", "x") == tmp_path / "cache" / "supernets" / "x"
    assert (tmp_path / "cache" / "supernets" / "x").is_dir()


def test_a_cache_that_cannot_be_made_is_answered_with_how_to_move_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "mkdir", refuse)
    told = "Permission denied; make room or permit writing there, or name a folder of yours in EVO_FAIR_CACHE, then"
    with pytest.raises(StorageError, match=told):
        cache_folder("supernets")


def test_digests_tell_where_one_part_ends(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"ab")
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab") == digest(b"ab") == digest(tmp_path / "x")
    # sha256 of the length, eight bytes with the lowest first, and the content
    assert digest("ab") == "5dff2b3fa79721a8181b9beb1db6bcce93b482f9aa3a5c9b864fc4429e31d5f2"


def test_what_a_manifest_records_is_told_from_what_was_changed(tmp_path: Path) -> None:
    path, manifest = tmp_path / "a.bin", tmp_path / "a.json"
    assert not is_recorded(path, manifest)
    path.write_bytes(b"abc")
    assert not is_recorded(path, manifest)
    write_json(manifest, {"sha256": sha256_of(path), "onnx": {"sha256": "0"}})
    assert is_recorded(path, manifest)
    assert not is_recorded(path, manifest, "onnx")
    assert not is_recorded(path, manifest, "sha256", "onnx")
    path.write_bytes(b"abd")
    assert not is_recorded(path, manifest)
    for damaged in ("[]", "{", "null", '{"sha256": 3}', '"sha256"'):
        manifest.write_text(damaged)
        assert not is_recorded(path, manifest)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a" + ".a" * 100_000 + " = 1", "line 1: a key of more than 32 parts"),
        ("x = 1\n[" + "'b' . " * 50_000 + "c]", "line 2: a key of more than 32 parts"),
        ("x = {" + '"a".' * 40 + "b = 1}", "a key of more than 32 parts"),
        ("[a]\nx = 0x" + "f" * 100_000, "'a.x' is a number beyond 64 bits"),
        ("x = " + "[" * 5000, "not valid TOML"),
        ("x = '" + "y" * 2**20 + "'", "at most 1,048,576 are read"),
    ],
)
def test_toml_that_costs_much_is_refused_at_once(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "costly.toml"
    path.write_text(content)
    began = time.process_time()
    with pytest.raises(ProblemError, match=message):
        read_toml(path, ProblemError)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\nname = berlin\n", r"line 2, column 8\)\), where it says 'name = berlin'; .*text in straight quotes"),
        ("x = 1\r\n  y = True", "where it says 'y = True'; .*true and false small"),
        ('path = "C:\\photos"', r"where it says 'path = \"C:\\photos\"'; write / between folders"),
        ("x = 1\nx = 2", "where it says 'x = 2'; give each key once"),
        ("[a]\nx = 1\n[b]\n[a]", r"where it says '\[a\]'; give each section once"),
        ("[data\nx = 1", r"where it says '\[data': fix the file"),
        ("x = [1,", r"\(at end of document\)\), where it says 'x = \[1,'"),
        ("x = 0,5", "where it says 'x = 0,5'; .* numbers with a decimal point"),
        ("x = \u201cage\u201d", "text in straight quotes"),
        ('path = "C:\\Users"', "write / between folders"),
        ("x: 1", "write each line as key = value"),
        ("x = 1\n\x0c", r"\(at line 2, .*, where it says ''"),
    ],
)
def test_a_fault_in_toml_comes_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "faulty.toml"
    path.write_bytes(content.encode())
    with pytest.raises(ProblemError, match=f"is not valid TOML .*{message}"):
        read_toml(path, ProblemError)


def test_a_mark_of_the_byte_order_before_toml_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_text("x = 1\n", encoding="utf-8-sig")
    assert read_toml(path) == {"x": 1}


def test_dots_in_a_text_are_no_key(tmp_path: Path) -> None:
    path = tmp_path / "fine.toml"
    path.write_text(f'x = "{"a.b" * 100}"\n{"a." * 31}b = {-(2**63)}')
    assert read_toml(path)["x"] == "a.b" * 100


@pytest.mark.parametrize("content", ["1e400", "[-1e999]", '{"a": 9223372036854775808}', "1" * 5000, '"\\ud800"'])
def test_json_beyond_what_can_be_computed_with_or_written_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.json"
    path.write_text(content)
    with pytest.raises(ProfileError, match="not valid JSON"):
        read_json(path, ProfileError)


@pytest.mark.parametrize("content", ["[]", "5", "{", "", None])
def test_a_cached_file_that_is_damaged_counts_as_empty(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content)
    assert read_cached_json(path) == {}


def test_leftovers_of_others_stay_in_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    for name in (".a.1.tmp.json", "..a.1.tmp.2.tmp.onnx", ".theirs.tmp", ".ab.1.tmp.json"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a.json", "a.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ab.1.tmp.json", ".theirs.tmp"]


def test_a_pipe_or_a_device_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(EvoFairError, match=rf"{name}\.json is a pipe or a device, and no file"):
            read_json(tmp_path / f"{name}.json")
        with pytest.raises(EvoFairError, match="is a pipe or a device"):
            sha256_of(tmp_path / f"{name}.json")
        write_json(tmp_path / "manifest.json", {"sha256": "0"})
        assert not is_recorded(tmp_path / f"{name}.json", tmp_path / "manifest.json")
