"""Storing trained supernets and finding them again."""

from pathlib import Path

import pytest

from evo_fair.data import Dataset
from evo_fair.files import digest
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet, ensure_supernet, find_supernet, train_and_store
from evo_fair.space import SearchSpace


def test_manifest_says_what_the_supernet_is(
    stored: StoredSupernet, problem: Problem, dataset: Dataset, space: SearchSpace
) -> None:
    manifest = stored.manifest
    assert manifest["sha256"] == digest(stored.path)
    assert manifest["space"] == space.fingerprint
    assert manifest["training"]["epochs"] == 3
    assert manifest["data"] == {"name": "digits", "licence": dataset.licence, "fingerprint": dataset.fingerprint}
    groups = manifest["validation"]["largest"]["groups"]["class"]
    assert sum(group["samples"] for group in groups.values()) == len(dataset.part("validation"))
    right = sum(group["correct"] for group in groups.values())
    assert manifest["validation"]["largest"]["accuracy"] == right / len(dataset.part("validation"))


def test_training_again_gives_the_same_bytes(
    stored: StoredSupernet, problem: Problem, dataset: Dataset, space: SearchSpace, tmp_path: Path
) -> None:
    again = train_and_store(problem, dataset, space, folder=tmp_path)
    assert again.path.read_bytes() == stored.path.read_bytes()
    assert (tmp_path / "manifest.json").read_bytes() == (stored.path.parent / "manifest.json").read_bytes()


def test_stored_supernet_is_found_until_something_changes(
    problem: Problem, dataset: Dataset, space: SearchSpace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    short = problem.model_copy(update={"training": problem.training.model_copy(update={"epochs": 1})})
    epochs: list[int] = []
    first = ensure_supernet(short, dataset, space, lambda step: epochs.append(step.epoch))
    second = ensure_supernet(short, dataset, space, lambda step: epochs.append(step.epoch))
    assert epochs == [1]
    assert first == second
    assert find_supernet(problem, dataset, space) is None
    first.path.write_bytes(first.path.read_bytes()[:-1])
    assert find_supernet(short, dataset, space) is None
    (first.path.parent / "manifest.json").write_text("[")
    assert find_supernet(short, dataset, space) is None
