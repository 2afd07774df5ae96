"""Storing trained supernets and finding them again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evo_fair.data import Dataset
from evo_fair.nets import Supernet
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy.supernets import StoredSupernet, ensure_supernet, find_supernet, shipped_supernet, train_and_store
from evo_fair.space import SearchSpace


def test_manifest_says_what_the_supernet_is(
    stored: StoredSupernet, problem: Problem, dataset: Dataset, space: SearchSpace
) -> None:
    manifest = stored.manifest
    assert manifest["sha256"] == hashlib.sha256(stored.path.read_bytes()).hexdigest()
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


@pytest.mark.parametrize(
    ("name", "labels", "largest", "smallest", "licence"),
    [("ham10000", 7, 0.785, 0.74, "CC BY-NC"), ("faces", 2, 0.92, 0.70, "non-commercial research")],
)
def test_supernet_that_comes_along_is_that_of_its_problem(
    name: str, labels: int, largest: float, smallest: float, licence: str
) -> None:
    shipped = shipped_supernet(name)
    assert shipped is not None
    problem = load_problem(name)
    assert shipped.manifest["training"] == problem.training.model_dump(mode="json")
    space = problem.search_space((3, 64, 64), labels)
    assert shipped.manifest["space"] == space.fingerprint
    assert shipped.path.stat().st_size <= 8 * 2**20
    Supernet.load(shipped.path, space)
    assert shipped.manifest["validation"]["largest"]["accuracy"] >= largest
    assert shipped.manifest["validation"]["smallest"]["accuracy"] >= smallest
    assert licence in shipped.manifest["data"]["licence"]


def test_most_problems_come_without_a_supernet() -> None:
    assert shipped_supernet("digits") is None


@pytest.mark.data
@pytest.mark.parametrize(("name", "folder"), [("ham10000", "ham10000"), ("faces", "utkface")])
def test_search_with_a_supernet_that_comes_along_needs_no_training(
    name: str, folder: str, data_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    problem = load_problem(name, data=data_folder(folder))
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    found = find_supernet(problem, dataset, space)
    assert found == shipped_supernet(name)
    other = problem.model_copy(update={"data": problem.data.model_copy(update={"split_seed": 1})})
    assert find_supernet(other, other.dataset(), space) is None  # its training images would be validated on


def test_stored_supernet_is_found_until_something_changes(
    problem: Problem, dataset: Dataset, space: SearchSpace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    short = problem.model_copy(update={"training": problem.training.model_copy(update={"supernet_epochs": 1})})
    epochs: list[int] = []
    first = ensure_supernet(short, dataset, space, lambda step: epochs.append(step.epoch))
    second = ensure_supernet(short, dataset, space, lambda step: epochs.append(step.epoch))
    assert epochs == [1]
    assert first == second
    assert find_supernet(problem, dataset, space) is None
    first.path.write_bytes(first.path.read_bytes()[:-1])
    assert find_supernet(short, dataset, space) is None
    ensure_supernet(short, dataset, space)
    manifest = first.path.parent / "manifest.json"
    other = json.loads(manifest.read_text())
    other["training"]["learning_rate"] = 0.5
    manifest.write_text(json.dumps(other))
    assert find_supernet(short, dataset, space) is None, "another recipe's was put into its place"
    (first.path.parent / "manifest.json").write_text("[")
    assert find_supernet(short, dataset, space) is None
