"""The random numbers that networks of people's own draw from torch, NumPy and Python: the same in every training."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["random_numbers_as_before", "random_states", "seed_everything"]


def seed_everything(seed: int) -> None:
    """Seeds what a network may draw from as it is trained; nothing of ours does but torch's dropout.

    Args:
        seed: 0 to 2**63 - 1.
    """
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a network of the user's own may draw from it


def random_states() -> tuple[object, ...]:
    """Where torch's, Python's and NumPy's own generators are; equal where nothing was drawn in between."""
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002
    return torch.random.get_rng_state().numpy().tobytes(), random.getstate(), repr(numpys)


@contextmanager
def random_numbers_as_before(gpus: Sequence[int] = ()) -> Iterator[None]:
    """A block after which torch's, Python's and NumPy's own generators are where they were.

    Args:
        gpus: The GPUs whose generators are put back, too. Default: none.
    """
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002
