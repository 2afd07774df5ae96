"""Training a problem's supernet."""

from pathlib import Path

from evo_fair.arguments import as_path
from evo_fair.jobs.guessing import warn_of_few_steps
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.nets.device import open_device
from evo_fair.nets.plain import plain_torch
from evo_fair.problem import Problem, as_problem
from evo_fair.proxy.supernets import StoredSupernet, train_and_store

__all__ = ["train"]


@plain_torch()
def train(
    problem: Problem | str | Path,
    *,
    out: str | Path | None = None,
    torch_device: str = "auto",
    listener: Listener | None = None,
) -> StoredSupernet:
    """Trains a problem's supernet and stores it with its manifest, in the cache (where searches look) or in `out`.

    A training that was broken off goes on when it is called again with the same
    arguments.

    Args:
        problem: A `Problem`, the name of one that comes with evo_fair, or the path of a
            problem file.
        out: Folder for the supernet. Default: the cache.
        torch_device: Where it is trained: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            Default: `auto`, a GPU if there is one.
        listener: Hears how far the training is. Default: nobody.

    Returns:
        The stored supernet, with its `path` and `sha256`.

    Raises:
        EvoFairError: The problem or its data are wrong; the error's kind says what of
            them.

    Example:
        >>> stored = ef.train("digits", out="supernets")
        >>> stored.path.suffix
        '.safetensors'
    """
    listener, place = as_listener(listener), open_device(torch_device)
    problem = as_problem(problem)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    listener.prepared(dataset, space)
    warn_of_few_steps(problem.training, dataset, space, listener)
    folder = None if out is None else as_path("out", out)
    return train_and_store(problem, dataset, space, listener.training, folder, listener.training_resumed, place)
