"""`evo-fair compare` on runs written by hand."""

import pytest

from evo_fair.cli import main
from evo_fair.evolution import Axis, Record, create_run, describe

from .conftest import refusal


@pytest.fixture
def runs(tmp_path):
    folders = []
    for name, algorithm, names in (
        ("a", "nsga2", ["error", "params"]),
        ("b", "random", ["error", "params"]),
        ("other", "random", ["error", "macs"]),
    ):
        axes = [Axis(objective) for objective in names]
        run = create_run(tmp_path / name, {"search": {"algorithm": algorithm, "objectives": describe(axes)}})
        values = dict(zip(names, (0.2 if name == "a" else 0.3, 100), strict=True))
        record = Record("0" * 12, 0, (1,), 0.0, values, {}, values, {"sex": {"female": 0.8}})
        run.journal.write_bytes(record.line())
        folders.append(run.path)
    return folders


def test_tables_and_figure_are_written_and_said(runs, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "compare",
                str(runs[0]),
                str(runs[1]),
                "--label",
                "ours",
                "--label",
                "theirs",
                "--out",
                str(tmp_path / "o"),
            ]
        )
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "| ours | 1 |" in printed
    assert "| theirs | 100 % |  |" in printed
    assert printed.count("warning: the search in ") == 2, "neither has got as far as its front"
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "attainment.csv",
        "compare.csv",
        "compare.json",
        "compare.md",
        "compare.pdf",
        "compare.png",
        "fronts.csv",
        "pairs.csv",
        "runs.csv",
        "traces.csv",
    }


def test_what_cannot_be_compared_is_refused_in_one_line(runs, tmp_path, capsys):
    line = refusal(capsys, "compare", runs[0], runs[2], "--out", tmp_path / "o")
    assert "error, params, and" in line
    assert "1 labels for 2 runs" in refusal(capsys, "compare", runs[0], runs[1], "--label", "x")
    assert not (tmp_path / "o").exists()
