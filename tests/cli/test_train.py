"""`evo-fair train` as a user meets it."""

from pathlib import Path

import pytest

import evo_fair as ef
from evo_fair.cli import main
from evo_fair.nets import Step

from .conftest import Command


class Interrupting(ef.Listener):
    def training(self, step: Step) -> None:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_interrupted_training_goes_on_and_says_so(evo_fair: Command, problem_file: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ef.train(str(problem_file), out=tmp_path / "broken", listener=Interrupting())
    resumed = evo_fair("train", problem_file, "--out", tmp_path / "broken")
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on after epoch 1 of 2" in resumed.stderr
    whole = evo_fair("train", problem_file, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert "goes on" not in whole.stderr
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("broken", "whole")]
    assert files[0] == files[1]
    assert set(files[0]) == {"supernet.safetensors", "manifest.json"}


@pytest.mark.parametrize(("workers", "kept"), [([], "epochs"), (["--workers", "2"], "networks")])
def test_an_interrupt_says_what_is_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workers: list[str], kept: str
) -> None:
    """A worker trains in a folder of its own, which ends with it."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evo_fair.jobs.reference.train_references", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["train", "digits", "--network", "resnet18", *workers])
    assert stop.value.code == 130
    assert f"interrupted; finished {kept} are saved, go on with: " in capsys.readouterr().err
