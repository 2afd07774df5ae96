"""All code in the documentation runs, with small settings; its options, links and prose are as they should be."""

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from matplotlib.figure import Figure
from PIL import Image
from pydantic import BaseModel

import evo_fair as ef
from evo_fair import files
from evo_fair.cli import app, main
from evo_fair.data import SOURCES
from evo_fair.data.table_settings import Column, TableSettings
from evo_fair.fairness import Counts, count_predictions
from evo_fair.problem import Data, Fairness, ProxySettings, Search, Training
from evo_fair.registry import restored_afterwards
from evo_fair.space.schema import SpaceSchema, Stage, Stem
from tests.cli.conftest import PROBLEM
from tests.pages import PAGES, ROOT, Block, blocks, commands, name_of

OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts}
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
}
OPTION = re.compile(r"--[a-z][a-z0-9-]*")
SMALLER = (
    (r"\bbudget ?= ?\d+", "budget = 16"),
    (r"\bpopulation ?= ?\d+", "population = 8"),
    (r"\bepochs ?= ?\d+", "epochs = 1"),
    (r"\bimage_size ?= ?\d+", "image_size = 16"),
    (r"--budget \d+", "--budget 16"),
    (r"--epochs \d+", "--epochs 1"),
)
"""What makes a page's code fast; nothing of its form changes."""


def _runs(block: Block) -> bool:
    return block.language in ("python", "sh") or block.file is not None


@pytest.fixture
def small_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder with some photos, digits train in a second and figures are not drawn; own parts are forgotten."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for problem in (ROOT / "problems").glob("*.toml"):
        (shipped / problem.name).write_text(problem.read_text(encoding="utf-8"), encoding="utf-8")
    (shipped / "digits.toml").write_text(PROBLEM.replace("budget = 40", "budget = 16"), encoding="utf-8")
    folder = files._shipped_folder
    monkeypatch.setattr(files, "_shipped_folder", lambda kind: shipped if kind == "problems" else folder(kind))
    monkeypatch.setattr(Figure, "savefig", lambda _, path, **options: Path(path).write_bytes(b"drawn elsewhere"))
    monkeypatch.chdir(tmp_path)
    labels: dict[str, Any] = {"__name__": "labels"}
    _photos(tmp_path / "photos")
    *before, test_set = blocks(ROOT / "docs" / "how-to" / "labels.md")
    assert "tests = " in test_set.text  # two photos would be too few for the other pages; its own page runs it
    for block in before:
        exec(compile(block.text, "labels.md", "exec"), labels)
    with restored_afterwards():
        yield


def _photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(320):
        place = folder / ("north", "south")[number % 2] / ("healthy", "ill")[number // 2 % 2]
        place.mkdir(parents=True, exist_ok=True)
        grey = rng.integers(0, 90, (16, 16)) + 90 * (number // 2 % 2)
        Image.fromarray(grey.astype(np.uint8)).save(place / f"{number:04}.png")


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(_runs, blocks(page)))], ids=name_of)
@pytest.mark.usefixtures("small_problems")
def test_code_of_the_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    monkeypatch.setitem(sys.modules, "page", type(sys)("page"))
    for number, block in enumerate(each for each in blocks(page) if _runs(each)):
        text = smaller(block.text)
        if block.file is not None:
            (tmp_path / block.file).write_text(text, encoding="utf-8")
        elif block.language == "python":
            source = tmp_path / f"block{number}.py"  # a part's source is read from its file
            source.write_text(text, encoding="utf-8")
            exec(compile(text, source, "exec"), namespace)
        else:
            for line in text.splitlines():
                _run(line)


def smaller(text: str) -> str:
    """A page's code with settings that make it fast."""
    for pattern, small in SMALLER:
        text = re.sub(pattern, small, text)
    return text


def _run(line: str) -> None:
    """Runs a line of a shell block, which calls evo-fair and nothing else."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "evo-fair", f"only evo-fair runs in tests: {line}"
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code, line


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_commands_of_the_pages_have_their_options(page: Path) -> None:
    for line in commands(page):
        assert set(OPTION.findall(line.split("#")[0])) <= OPTIONS[line.split()[1]], line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_and_benchmarks_that_pages_name_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for script, options in re.findall(r"python (benchmarks/\w+\.py)([^`#\n]*)", text):
        taken = re.findall(r"add_argument\(\s*\"(--[a-z-]+)\"", (ROOT / script).read_text(encoding="utf-8"))
        assert set(OPTION.findall(options)) <= {"--help", *taken}
    others = "\n".join(line for line in text.splitlines() if not re.search(r"\bpython3? |pip ", line))
    assert set(OPTION.findall(others)) <= {"--help"}.union(*OPTIONS.values())
    assert set(re.findall(r"\bef\.(\w+)", text)) <= set(ef.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_pages_link_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    generated = ROOT / "docs" / "reference" / "commands.md"
    missing = [each for each in targets if each and not (page.parent / each).exists()]
    assert [each for each in missing if (page.parent / each).resolve() != generated] == []
    named = re.findall(r"`((?:results|benchmarks|problems|examples)/[\w/.-]+\.\w+)`", text)
    own = ("digits", "photos", "both", "shown", "desk", "board")
    made = tuple(f"results/{name}/" for name in own)  # by the page's own commands
    assert [each for each in named if not each.startswith(made) and not (ROOT / each).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_prose_of_the_pages_wraps_at_88(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "![", "  |"))]
    assert [line for line in lines if len(line) > 88] == []


SECTIONS = (Data, TableSettings, Column, Fairness, SpaceSchema, Stem, Stage, Training, ProxySettings, Search)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_of_a_problem_file_is_in_the_reference(section: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "reference" / "problem-files.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    for name, field in section.model_fields.items():
        found = [row[-1] for row in rows if row[0] == f"`{name}`"]
        assert found, name
        if isinstance(field.default, str | int | float) and field.default != "":
            assert str(field.default) in found, name


def test_keys_of_some_sources_alone_are_said_to_be_theirs() -> None:
    page = (ROOT / "docs" / "reference" / "problem-files.md").read_text(encoding="utf-8")
    meanings = dict(re.findall(r"^\| `(\w+)` \| ([^|]*)", page.partition("## `[data.table]`")[0], re.MULTILINE))
    some = set(SOURCES["image_folder"].settings)
    assert {key for key, meaning in meanings.items() if "for image folders and tables" in meaning} == some


def test_the_page_of_commands_has_the_names_that_can_be_chosen() -> None:
    text = runpy.run_path(str(ROOT / "docs" / "command_pages.py"))["commands_page"]()
    assert re.findall(r"\{\w+\}", text) == []
    assert "magnitude\\_l1" in text


@pytest.mark.parametrize("name", OPTIONS)
def test_the_help_of_a_command_breaks_no_sentence(name: str) -> None:
    """Behind the first paragraph a terminal shows the lines as they are, and folds them once more."""
    said = typer.main.get_command(app).commands[name].help  # type: ignore[attr-defined]
    paragraphs = [each.splitlines() for each in said.split("\n\n")[1:]]
    assert [line for lines in paragraphs for line in lines if not line.endswith(".")] == []


def test_objectives_of_the_how_to_are_right() -> None:
    """The worst class of the first network is right in one of two, that of the second in none."""
    first, second, *_ = (each.text for each in blocks(ROOT / "docs" / "how-to" / "objective.md"))
    namespace: dict[str, Any] = {}
    with restored_afterwards():
        exec(first + second, namespace)
    target, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 0, -1])
    predictions = np.array([[0, 0, 1, 0], [1, 1, 1, 1]], np.uint8)
    counts = Counts(*count_predictions(predictions, target, groups, 2, 2), ("f", "m"), ("a", "b"))
    assert namespace["worst_class_error"](counts).tolist() == [0.5, 1.0]
    table = np.zeros((1, 3, 8), np.int32)
    table[0, :2, 2] = 16, 24
    assert namespace["widest_layer"](table).tolist() == [24]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # Sphinx's extensions'
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    build = pytest.importorskip("sphinx.cmd.build", reason="sphinx is not installed: pip install '.[docs]'")
    assert build.main(["-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)]) == 0
    commands_page = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(f"evo-fair {name} " in commands_page for name in OPTIONS)
    python_page = (tmp_path / "reference" / "python.html").read_text(encoding="utf-8")
    assert [name for name in ef.__all__ if f">{name}<" not in python_page] == []
    sentence = ef.Audit.networks.__doc__.partition(":")[0]  # what stands before a colon is no type
    assert f"<p>{sentence}: " in python_page
