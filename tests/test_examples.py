"""The scripts and notebooks in examples/ run from beginning to end, with small settings."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from evo_fair.registry import restored_afterwards
from tests.pages import ROOT
from tests.test_docs import small_problems, smaller

__all__ = ["small_problems"]

SETTINGS = {
    "board_by_kit.py": [],
    "cluster.py": ["--workers", "1", "--epochs", "1"],
    "digits.py": ["--budget", "16", "--epochs", "1"],
    "own_images.py": ["--budget", "16", "--epochs", "1"],
    "own_network.py": ["--budget", "16"],
    "own_parts.py": ["--budget", "16"],
    "own_table.py": ["--budget", "16", "--epochs", "1"],
}

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


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


def _cells(notebook: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return cells


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_results(notebook: Path) -> None:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["metadata"]["kernelspec"]["language"]) == (4, "python")
    code = [cell for cell in _cells(notebook) if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert len({cell["id"] for cell in _cells(notebook)}) == len(_cells(notebook))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.usefixtures("small_problems")
def test_notebooks_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "notebook", type(sys)("notebook"))
    namespace: dict[str, Any] = {"__name__": "notebook"}
    for cell in _cells(notebook):
        if cell["cell_type"] == "code":
            source = tmp_path / f"{cell['id']}.py"  # a part's source is read from its file
            source.write_text(smaller("".join(cell["source"])), encoding="utf-8")
            exec(compile(source.read_text(encoding="utf-8"), source, "exec"), namespace)
