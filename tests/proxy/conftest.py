"""A problem on the digits small enough to train in seconds, its data and its supernet."""

from pathlib import Path

import pytest

from evo_fair.data import Dataset
from evo_fair.problem import Problem, load_problem
from evo_fair.proxy.supernets import StoredSupernet, train_and_store
from evo_fair.space import SearchSpace


@pytest.fixture(scope="session")
def problem() -> Problem:
    shipped = load_problem("digits")
    return shipped.model_copy(update={"training": shipped.training.model_copy(update={"epochs": 3})})


@pytest.fixture(scope="session")
def dataset(problem: Problem) -> Dataset:
    return problem.dataset()


@pytest.fixture(scope="session")
def space(problem: Problem, dataset: Dataset) -> SearchSpace:
    return problem.search_space(dataset.input_shape, len(dataset.label_names))


@pytest.fixture(scope="session")
def stored(
    problem: Problem, dataset: Dataset, space: SearchSpace, tmp_path_factory: pytest.TempPathFactory
) -> StoredSupernet:
    folder: Path = tmp_path_factory.mktemp("supernet")
    return train_and_store(problem, dataset, space, folder=folder)
