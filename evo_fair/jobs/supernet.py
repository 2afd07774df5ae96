"""A problem's supernet for a job: stored already, or trained before the job goes on."""

from evo_fair.data import Dataset
from evo_fair.jobs.guessing import warn_of_few_steps
from evo_fair.jobs.listener import Listener
from evo_fair.nets.device import TorchDevice
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet, ensure_supernet
from evo_fair.space import SearchSpace

__all__ = ["supernet_for"]


def supernet_for(
    problem: Problem, dataset: Dataset, space: SearchSpace, device: TorchDevice, listener: Listener
) -> StoredSupernet:
    """The problem's supernet for these data, trained first on the `device` if there is none.

    The `listener` hears of data and space, of a recipe that is too short, and of the training.
    """
    listener.prepared(dataset, space)
    warn_of_few_steps(problem.training, dataset, space, listener)
    hears = (listener.training, listener.training_resumed, listener.waiting)
    return ensure_supernet(problem, dataset, space, *hears, device)
