"""Wrong input: exit code 2, one clear line on standard error, and nothing changed."""

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from evo_fair.cli import app
from tests.data.fakes import ham_rows, write_ham

from .conftest import Command, refusal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "digits", "--group", ""], "evo-fair: group '' is empty: give a name, or leave it out"),
        (["prune", "digits", "--group", ""], "evo-fair: group '' is empty: give a name, or leave it out"),
        (["prune", "digits", "--network", ""], "evo-fair: network '' is empty: give a name, or leave it out"),
        (["audit", "digits", "--group", ""], "evo-fair: group '' is empty: give a name, or leave it out"),
        (
            ["search", "digit"],
            "evo-fair: unknown problem 'digit': expected one of acs_income, adult, cifar10, cifar10_lt",
        ),
        (["search", "digits", "--device", "abacus"], "unknown device 'abacus'"),
        (["search", "digits", "pictures"], "(pictures): name the option that it is for, as in --data FOLDER"),
        (["search", "digits", "--device", "pixel-3", "--device", "pixel-1", "--device", "pixel-3"], "is given twice"),
        (["search", "digits", "--device", "pixel-3", "--device", "pixel-33"], "did you mean 'pixel-3'"),
        (["search", "digits", "--device", "pixel-3", "--objective", "latency_ms[pixel-1]"], "unknown device 'pixel-1'"),
        (["search", "digits", "--device", "pixel-3", "--constraint", "latency_ms[xu4]<=5"], "unknown device 'xu4'"),
        (["search", "digits", "--objective", "worst_latency"], "and no latency has one: add a constraint"),
        (["search", "digits", "--objective", "eror"], "unknown objective 'eror'"),
        (["search", "digits", "--objective", "error", "--objective", "error"], "'error' is given twice"),
        (["search", "digits", "--constraint", "latency_ms < 5"], "write latency_ms <= 5"),
        (["search", "digits", "--constraint", "fast"], "can't read the constraint 'fast'"),
        (["search", "digits", "--constraint", "error"], "in quotes, since a shell takes < and > for itself"),
        (["search", "digits", "--constraint", "speed <= 5"], "can't use the constraint 'speed <= 5'"),
        (["search", "digits", "--algorithm", "nsga4"], "unknown algorithm 'nsga4': expected one of nsga2"),
        (
            ["search", "digits", "--algorithm", "Walk"],
            "surrogate (one of your own has to be registered first, by --plugin",
        ),
        (["search", "digits", "--group", "sex"], "unknown group 'sex': expected one of class"),
        (["search", "digits", "--budget", 0], "budget 0 is too small"),
        (["search", "digits", "--population", 1], "population 1 is too small"),
        (["search", "digits", "--jobs", 0], "jobs 0 is too few"),
        (["search", "digits", "--seed", -1], "seed -1 is negative"),
        (["search", "digits", "--objective", "equalized_odds_difference"], "needs labels that count as positive"),
        (["search", "digits", "--bugdet", 5], "No such option: --bugdet"),
        (["search", "ham10000", "--data", "/nowhere"], "the data folder /nowhere does not exist"),
        (["search", "~nosuchuser/x.toml"], "'~nosuchuser/x.toml' is no path that can be looked up"),
        (["plot", "x" * 256], f"{'x' * 256}: File name too long; give another path"),
        (["search", "digits", "--out", "x" * 256], f"{'x' * 256}: File name too long; give another path"),
        (["train", "digit"], "unknown problem 'digit'"),
        (["train", "digits", "--leave-out"], "--leave-out is for --network"),
        (["plot", "/nowhere"], "there is no run in /nowhere"),
        (
            ["operating-point", "/nowhere"],
            "there is no run in /nowhere, and no audit or pruning: give the folder of one",
        ),
        (["audit", "digits", "--sparsity", 1.0], "sparsity 1 is not in [0, 1)"),
        (["audit", "digits", "--sparsity", "half"], "unable to parse string as a number, got 'half'"),
        (["search", "digits", "--budget", "1.5"], "unable to parse string as an integer, got '1.5'"),
        (["audit", "digits", "--networks", 1], "an audit needs 3 or more"),
        (["audit", "digits", "--criterion", "tailor"], "did you mean 'taylor'"),
        (["audit", "digits", "--imbalance", "cvw"], "unknown imbalance 'cvw'"),
        (["audit", "digits", "--group", "sex"], "unknown group 'sex': expected one of class"),
        (["plot", "/nowhere", "/elsewhere"], "a figure of several runs needs a place of its own"),
        (["sarch", "digits"], "No such command 'sarch'"),
    ],
)
def test_one_line_and_no_folder(
    arguments: list[object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_wrong_problem_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], problem_file: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(problem_file.read_text().replace("widths = [4, 8, 16]", "widths = [4, 9, 16]"))
    line = refusal(capsys, "search", wrong, "--out", tmp_path / "run")
    assert line == (
        f"evo-fair: {wrong}: space: width 9 is not a multiple of 4: stage 1 lists widths = [4, 9, 16]; use 8 or 12"
    )


def spoil_zip(folder: Path) -> None:
    path = folder / "HAM10000_images_part_2.zip"
    path.write_bytes(path.read_bytes()[:-40])


def remove_zip(folder: Path) -> None:
    (folder / "HAM10000_images_part_1.zip").unlink()


def spoil_image(folder: Path) -> None:
    rows = ham_rows()
    write_ham(folder, rows)
    path = folder / "HAM10000_images_part_1.zip"
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content[f"{rows[3][1]}.jpg"] = b"no image"
    with ZipFile(path, "w") as archive:
        for name, image in content.items():
            archive.writestr(name, image)


def thin_out(folder: Path) -> None:
    write_ham(folder, ham_rows(lesions=3))


def remove_table(folder: Path) -> None:
    (folder / "HAM10000_metadata.csv").unlink()


def spoil_column(folder: Path) -> None:
    path = folder / "HAM10000_metadata.csv"
    path.write_text(path.read_text().replace("lesion_id", "lesion", 1))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_zip, "HAM10000_images_part_2.zip"),
        (remove_zip, "HAM10000_images_part_1"),
        (spoil_image, "ISIC_0024309"),
        (remove_table, "HAM10000_metadata"),
        (thin_out, "akiec"),
        (spoil_column, "lesion_id"),
    ],
)
def test_damaged_download_is_named(
    spoil: Callable[[Path], None], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    write_ham(folder)
    spoil(folder)
    assert named in refusal(capsys, "search", "ham10000", "--data", folder, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_full_disk_is_one_line_and_resume_goes_on(
    evo_fair: Command, command_line: list[str], problem_file: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the full disk: the journal can't grow beyond 20 kB."""
    out = tmp_path / "run"
    arguments = ["search", str(problem_file), "--out", str(out), "--jobs", "1"]
    warm = evo_fair("search", problem_file, "--out", tmp_path / "warm", "--budget", 12)
    assert warm.returncode == 0, warm.stderr  # the supernet is trained and all code compiled

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run([*command_line, *arguments], capture_output=True, text=True, preexec_fn=limit, check=False)
    assert full.returncode == 2, full.stderr
    last = full.stderr.strip().splitlines()[-1]
    assert last.startswith(f"evo-fair: cannot write {out}/journal.jsonl: File too large; make room")
    assert evo_fair(*arguments, "--resume").returncode == 0


def test_help_needs_no_heavy_import(command_line: list[str]) -> None:
    code = "import sys; from evo_fair.cli import main\ntry: main(['search', '--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'numba', 'pandas', 'pymoo', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([command_line[0], "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "--objective" in done.stdout


def test_problems_lists_what_each_needs() -> None:
    done = CliRunner().invoke(app, ["problems"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "doi.org/10.7910/DVN/DBW86T" in done.stdout
    assert "digits" in done.stdout
