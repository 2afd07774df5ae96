"""`evo-fair search --freeze-header` as a user meets it."""

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from evo_fair.problem import load_problem

from .conftest import Command, refusal


@pytest.mark.slow
def test_every_network_has_the_header_and_the_run_says_so(
    evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    frozen, free = tmp_path / "frozen", tmp_path / "free"
    options = ("--jobs", 1, "--budget", 24)
    done = evo_fair("search", problem_file, "--out", frozen, "--freeze-header", 2, *options)
    assert done.returncode == 0, done.stderr
    assert "header frozen: stem, stage1.slot1" in done.stderr
    configuration = tomllib.loads((frozen / "run.toml").read_text())
    assert configuration["header"]["blocks"] == ["stem", "stage1.slot1"]
    space = load_problem(str(problem_file)).search_space((1, 8, 8), 10)
    assert configuration["header"]["networks_before"] == space.magnitude
    assert configuration["header"]["networks_after"] == configuration["space"]["networks"]
    assert configuration["space"]["networks"] == space.frozen(2).magnitude
    lines = [json.loads(line) for line in (frozen / "journal.jsonl").read_text().splitlines()]
    genomes = [line["genome"] for line in lines]
    assert (space.blocks(genomes)[:, :2] == space.blocks([space.largest()])[0, :2]).all()
    assert space.ids(genomes) == [line["id"] for line in lines]
    table = pd.read_csv(frozen / "header.csv")
    assert table.loc[table["frozen"], "block"].unique().tolist() == ["stem", "stage1.slot1"]
    # Without a header nothing is said of one.
    assert evo_fair("search", problem_file, "--out", free, "--algorithm", "random", *options).returncode == 0
    assert not list(free.glob("header.*"))
    assert "header" not in tomllib.loads((free / "run.toml").read_text())


@pytest.mark.slow
def test_resume_draws_the_header_again_and_needs_the_same_choice(
    evo_fair: Command, problem_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("search", problem_file, "--out", out, "--jobs", 1, "--budget", 12)
    done = evo_fair(*arguments, "--freeze-header", "auto")
    assert done.returncode == 0, done.stderr
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name in ("header.csv", "header.png"):
        (out / name).unlink()
    assert evo_fair(*arguments, "--freeze-header", "auto", "--resume").returncode == 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    other = evo_fair(*arguments, "--resume")
    assert other.returncode == 2
    assert "header" in other.stderr


@pytest.mark.parametrize("value", ["-1", "0", "3", "all", "1.5"])
def test_wrong_number_of_blocks_is_one_line(
    value: str, problem_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "search", problem_file, "--out", tmp_path / "run", "--freeze-header", value)
    assert line == (
        f"evo-fair: freeze-header '{value}': give auto, off or the number of blocks to freeze from the input on, "
        "1 (stem) to 2 (all but stage1.slot2)"
    )
    assert not (tmp_path / "run").exists()
