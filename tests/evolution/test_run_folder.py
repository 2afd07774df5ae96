import tomllib

import pytest

from evo_fair.errors import RunError, StorageError
from evo_fair.evolution import create_run, has_begun, open_run, resume_run
from evo_fair.evolution.journal import FORMAT

from .test_resume import files_of_at_most

CONFIGURATION = {
    "seed": 3,
    "versions": {"evo_fair": "0.1.0"},
    "objectives": [{"name": "error", "direction": "min"}, {"name": "latency_ms", "direction": "min"}],
    "constraints": ["latency_ms <= 5"],
    "shares": (0.65, 0.15),
}


def test_a_run_is_made_and_read_back(tmp_path):
    run = create_run(tmp_path / "results" / "ham", CONFIGURATION)
    assert tomllib.loads((run.path / "run.toml").read_text())["format"] == FORMAT
    assert open_run(run.path) == run
    assert run.configuration == CONFIGURATION | {"shares": [0.65, 0.15]}
    assert (run.journal.name, run.checkpoint.name, run.front.name) == (
        "journal.jsonl",
        "checkpoint.npz",
        "front.csv",
    )
    assert resume_run(run.path, CONFIGURATION) == run


def test_an_existing_folder_is_refused_and_left(tmp_path):
    run = create_run(tmp_path / "ham", CONFIGURATION)
    before = (run.path / "run.toml").read_bytes()
    with pytest.raises(RunError, match=r"ham exists already: continue its run with --resume, or choose another --out"):
        create_run(run.path, CONFIGURATION | {"seed": 4})
    assert (run.path / "run.toml").read_bytes() == before
    assert [entry.name for entry in run.path.iterdir()] == ["run.toml"]


def test_a_folder_of_other_things_or_a_file_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_text("x")
    for path, told in ((tmp_path, "exists already"), (tmp_path / "holiday.jpg", "is a file: give a new folder")):
        with pytest.raises(RunError, match=told):
            create_run(path, CONFIGURATION)


def test_an_empty_folder_and_one_left_by_a_kill_are_taken(tmp_path):
    (tmp_path / ".run.1234.tmp.toml").write_text("see")
    assert create_run(tmp_path, CONFIGURATION).path == tmp_path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 4}, "seed = 3, not 4"),
        ({"versions": {"evo_fair": "0.2.0"}}, "versions.evo_fair = '0.1.0', not '0.2.0'"),
        ({"constraints": []}, r"constraints = \['latency_ms <= 5'\], not \[\]"),
        ({"budget": 10}, "budget = nothing, not 10"),
        (
            {"objectives": [{"name": "error", "direction": "min"}, {"name": "params", "direction": "min"}]},
            r"objectives\[1\].name = 'latency_ms', not 'params'",
        ),
        ({"objectives": [{"name": "error", "direction": "min"}]}, r"objectives\[1\].name = 'latency_ms', not nothing"),
        ({"seed": 3.5}, "seed = 3, not 3.5"),
    ],
)
def test_another_configuration_is_refused_by_its_first_difference(tmp_path, change, told):
    run = create_run(tmp_path / "ham", CONFIGURATION)
    with pytest.raises(RunError, match=f"was made with {told}: resume it with the same settings"):
        resume_run(run.path, CONFIGURATION | change)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no run in"),
        ({}, "holds no run.toml"),
        ({"run.toml": "seed = "}, "not valid TOML"),
        ({"run.toml": "seed = 3"}, "format None"),
        ({"run.toml": f"format = {FORMAT + 1}"}, f"format {FORMAT + 1}"),
    ],
)
@pytest.mark.parametrize("read", [open_run, lambda path: resume_run(path, CONFIGURATION)])
def test_what_is_no_run_is_refused(tmp_path, content, told, read):
    folder = tmp_path / "ham"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(RunError, match=told):
        read(folder)


def test_a_full_disk_leaves_a_folder_that_can_be_used_later(tmp_path):
    with files_of_at_most(10), pytest.raises(StorageError, match=r"cannot write .*run.toml"):
        create_run(tmp_path / "ham", CONFIGURATION)
    assert create_run(tmp_path / "ham", CONFIGURATION).configuration["seed"] == 3


def test_what_toml_cannot_say_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match="TOML"):
        create_run(tmp_path / "ham", {"seed": None})
    assert not (tmp_path / "ham").exists()


def test_a_run_has_begun_once_there_is_more_than_a_kills_leavings(tmp_path):
    folder = tmp_path / "ham"
    assert not has_begun(folder)
    folder.mkdir()
    (folder / ".run.1234.tmp.toml").write_text("see")
    assert not has_begun(folder)
    create_run(folder, CONFIGURATION)
    assert has_begun(folder)
