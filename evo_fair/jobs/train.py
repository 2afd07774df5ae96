"""Training a problem's supernet."""

from pathlib import Path

from evo_fair.arguments import as_path
from evo_fair.jobs.listener import Listener
from evo_fair.problem import Problem, as_problem
from evo_fair.proxy.supernets import StoredSupernet, train_and_store

__all__ = ["train"]


def train(
    problem: Problem | str | Path, *, out: str | Path | None = None, listener: Listener | None = None
) -> StoredSupernet:
    """Trains a problem's supernet and stores it with its manifest, in the cache (where searches look) or in `out`."""
    listener = listener or Listener()
    problem = as_problem(problem)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    listener.prepared(dataset, space)
    folder = None if out is None else as_path("out", out)
    return train_and_store(problem, dataset, space, listener.training, folder, listener.training_resumed)
