"""The stages of a search, told by when its files were written."""

import os
from pathlib import Path

import pytest
from search_tail import differences, stages

BEGUN = 1000.0


def folder_written(folder: Path, times: dict[str, float]) -> Path:
    for name, seconds in times.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (BEGUN + seconds,) * 2)
    return folder


def test_stages_end_when_their_last_file_is_written(tmp_path: Path) -> None:
    times = {"run.toml": 4, "journal.jsonl": 64, "front.csv": 66, "networks/a.onnx": 70, "networks/b.onnx": 78}
    found = stages(folder_written(tmp_path, times), BEGUN, BEGUN + 80)
    assert found == {"start-up": 4, "search": 60, "beliefs": 2, "writing": 12, "figures": 2}


def test_a_front_written_last_has_its_first_network_in_the_beliefs(tmp_path: Path) -> None:
    times = {"run.toml": 4, "journal.jsonl": 64, "networks/a.onnx": 70, "networks/b.onnx": 78, "front.csv": 79}
    found = stages(folder_written(tmp_path, times), BEGUN, BEGUN + 80)
    assert found == {"start-up": 4, "search": 60, "beliefs": 6, "writing": 8, "figures": 2}
    assert sum(found.values()) == pytest.approx(80)


def test_files_that_differ_are_named(tmp_path: Path) -> None:
    one = folder_written(tmp_path / "one", {"run.toml": 1, "networks/a.onnx": 2})
    other = folder_written(tmp_path / "other", {"run.toml": 1, "networks/b.onnx": 2})
    assert differences(one, other) == ["networks/a.onnx", "networks/b.onnx"]
