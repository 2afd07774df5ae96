"""The scripts in examples/ run from beginning to end, with small settings."""

import runpy
import sys
from pathlib import Path

import pytest

from evo_fair.registry import restored_afterwards
from tests.pages import ROOT
from tests.test_docs import small_problems

__all__ = ["small_problems"]

SETTINGS = {
    "board_by_kit.py": [],
    "digits.py": ["--budget", "16", "--epochs", "1"],
    "own_images.py": ["--budget", "16", "--epochs", "1"],
    "own_parts.py": ["--budget", "16"],
    "own_table.py": ["--budget", "16", "--epochs", "1"],
}


def test_every_example_is_tried() -> None:
    assert sorted(path.name for path in (ROOT / "examples").glob("*.py")) == sorted(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(SETTINGS))
@pytest.mark.usefixtures("small_problems")
def test_examples_run(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "run"
    monkeypatch.setattr(sys, "argv", [script, "--out", str(out), *SETTINGS[script]])
    with restored_afterwards():
        runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
    assert out.is_dir()
    assert capsys.readouterr().out.strip()
