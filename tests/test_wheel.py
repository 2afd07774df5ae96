"""The built wheel, installed where no checkout is: problems, profiles and supernets are there. What the sdist takes."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from tests.pages import ROOT

FOUND = """
import evo_fair as ef
from evo_fair.files import shipped_names
from evo_fair.problem import problem_names

assert ef.__file__.startswith(r"{home}"), ef.__file__
assert {problems} == problem_names(), problem_names()
assert {profiles} == shipped_names("hardware_profiles", ".json")
for name in problem_names():
    ef.load_problem(name)
ef.load_profile("raspberry-pi-4")

from evo_fair.files import _shipped_folder

supernet = _shipped_folder("problems") / "ham10000.safetensors"
assert supernet.stat().st_size == {bytes}
"""


def _run(*arguments: object, folder: Path) -> None:
    done = subprocess.run([*map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_an_installed_wheel_holds_all_that_ships(tmp_path: Path) -> None:
    """Libraries are those of this environment, evo_fair itself is only the wheel's."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    _run(*pip, "wheel", "--no-deps", "-w", tmp_path / "dist", ROOT, folder=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("evo_fair-*.whl")
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False)
    python = clean / "bin" / "python"
    _run(*pip, "--python", python, "install", "--no-deps", wheel, folder=tmp_path)
    (packages,) = clean.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    names = {
        kind: sorted(path.stem for path in (ROOT / kind).glob(pattern))
        for kind, pattern in (("problems", "*.toml"), ("hardware_profiles", "*.json"))
    }
    script = tmp_path / "found.py"
    script.write_text(
        FOUND.format(
            home=clean,
            problems=names["problems"],
            profiles=names["hardware_profiles"],
            bytes=(ROOT / "problems" / "ham10000.safetensors").stat().st_size,
        )
    )
    _run(python, "-I", script, folder=tmp_path)
    _run(clean / "bin" / "evo-fair", "problems", folder=tmp_path)
    _run(clean / "bin" / "evo-fair", "devices", folder=tmp_path)


def test_the_sdist_takes_what_the_readme_links_to_and_nothing_by_its_mere_name() -> None:
    """A pattern without a slash ahead takes what is called so in any folder: half of the results once came by that."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = build["targets"]["sdist"]["include"]
    assert [name for name in included if not name.startswith("/") or not (ROOT / name[1:]).exists()] == []
    links = re.findall(r"\]\(([\w.]+)[^)]*\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {f"/{link}" for link in links if link != "https"} <= set(included)
