"""The folder of deployed networks: names and cards that come from files are not believed."""

import json
from pathlib import Path
from typing import Any

import pytest

from evo_fair.errors import EvoFairError
from evo_fair.export.alone import AloneTraining
from evo_fair.export.tuning import Tuning
from evo_fair.export.workshop import Workshop
from evo_fair.files import sha256_of
from evo_fair.nets import Step
from evo_fair.problem import load_problem

ANY: Any = None


def workshop(folder: Path, int8: bool = False) -> Workshop:
    return Workshop(folder, ANY, ANY, ANY, None, "sex", ANY, 0, int8, {})


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "deployed").mkdir()
    (tmp_path / "x.json").write_text("{}")
    for use in (workshop(tmp_path / "deployed").files, workshop(tmp_path / "deployed").finished):
        with pytest.raises(EvoFairError, match="leads out of"):
            use(name)


@pytest.mark.parametrize("card", ["[]", "5", "{", '{"onnx": []}', '{"onnx": 5}', '{"onnx": {"sha256": 1}}', "null"])
def test_a_network_with_a_damaged_card_is_not_finished(card: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"network")
    (tmp_path / "a.json").write_text(json.dumps({"onnx": {"sha256": sha256_of(tmp_path / "a.onnx")}}))
    assert workshop(tmp_path).finished("a")
    assert not workshop(tmp_path, int8=True).finished("a")
    (tmp_path / "a.json").write_text(card)
    assert not workshop(tmp_path).finished("a")


@pytest.mark.parametrize("killed_at", ["workshop.write_onnx", "workshop.Piece.finish", "alone.write_bytes"])
def test_a_kill_before_a_trained_network_is_stored_trains_nothing_again(
    killed_at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    problem = load_problem("digits")
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    group, tuning = problem.fairness.group, Tuning(from_scratch=True, epochs=1)
    epochs: list[int] = []

    def make(folder: Path) -> dict[str, bytes]:
        def hear(step: Step) -> None:
            epochs.append(step.epoch)

        if killed_at.startswith("alone"):
            AloneTraining(folder, problem, dataset, space, group, tuning, 0).network("a", space.smallest(), hear)
        else:
            shop = Workshop(folder, problem, dataset, space, None, group, tuning, 0, False, {})
            shop.make("a", space.smallest().tolist(), hear)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"evo_fair.export.{killed_at}", kill)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "killed")
    resumed = make(tmp_path / "killed")
    assert epochs == [1]
    assert resumed == make(tmp_path / "whole")
