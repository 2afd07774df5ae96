"""The network that a job begins with is the same each time, wherever its owner's code draws numbers from."""

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import torch

from evo_fair.errors import EvoFairError
from evo_fair.jobs.dense import NetworkSource, dense_network, given_network
from evo_fair.jobs.listener import Listener
from evo_fair.nets import Step
from evo_fair.nets.randomness import random_states
from evo_fair.problem import load_problem
from evo_fair.pruning.task import Task, content_of

MASKED = """
import random

import numpy as np
import torch
from torch import nn


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        mask = np.random.rand(4) < 0.5, [random.random() < 0.5 for _ in range(32)]
        self.register_buffer("mask", torch.tensor([*mask[0], *mask[1]]))
        self.register_buffer("noise", torch.rand(4))

    def forward(self, x):
        return self.layer(x)
"""


def test_a_network_of_ones_own_is_the_same_each_time(tmp_path: Path) -> None:
    """Else it is trained anew each time, and no job with it can be gone on with."""
    path = tmp_path / "masked.py"
    path.write_text(MASKED)
    first = given_network(f"{path}:Masked", 3).state_dict()
    torch.rand(1)
    before = random_states()
    second = given_network(f"{path}:Masked", 3).state_dict()
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())
    assert random_states() == before


class Epochs(Listener):
    """Counts the epochs that are trained."""

    def __init__(self) -> None:
        self.trained = 0

    def tuning(self, network: str, step: Step) -> None:
        self.trained += 1


def test_a_kill_before_a_trained_network_is_stored_trains_nothing_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    problem = load_problem("digits")
    problem = problem.model_copy(update={"training": problem.training.model_copy(update={"epochs": 1, "seed": 7})})
    task, listener = Task(problem.dataset(), problem.fairness.group, problem.training), Epochs()

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr("evo_fair.jobs.dense.write_bytes", kill)
        with pytest.raises(KeyboardInterrupt):
            dense_network(problem, task, NetworkSource(), listener)
    dense, _ = dense_network(problem, task, NetworkSource(), listener)
    assert listener.trained == 1
    assert not list(tmp_path.rglob("*checkpoint*"))
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "another"))
    whole, _ = dense_network(problem, task, NetworkSource(), listener)
    assert content_of(dense.network) == content_of(whole.network)


class Waits(Epochs):
    """Tells when it hears that another job is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Event()

    def noted(self, line: str) -> None:
        if "a training of largest (process" in line and "waiting until it has ended" in line:
            self.told.set()


def test_a_network_that_another_job_is_training_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    problem = load_problem("digits")
    problem = problem.model_copy(update={"training": problem.training.model_copy(update={"epochs": 1})})
    task, waits = Task(problem.dataset(), problem.fairness.group, problem.training), Waits()
    second = Thread(target=lambda: dense_network(problem, task, NetworkSource(), waits))

    class First(Epochs):
        def noted(self, line: str) -> None:
            second.start()
            assert waits.told.wait(120)

    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    first = First()
    dense_network(problem, task, NetworkSource(), first)
    second.join()
    assert (first.trained, waits.trained) == (1, 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"module": 3}, "module 3 is neither a text nor a torch.nn.Module"),
        ({"module": "own.py:Net", "weights": 3}, "weights 3 is no path"),
        ({"network": "0f8b", "run": 3}, "run 3 is no path"),
        ({"network": "0f8b", "run": b"results"}, "run b'results' is no path"),
    ],
)
def test_where_a_network_comes_from_is_said_by_texts_and_paths(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(EvoFairError, match=told):
        NetworkSource(**wrong)
