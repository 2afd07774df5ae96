"""Networks in torch: the supernet, the stand-alone networks cut from it, and their training."""

from evo_fair.nets.network import Network
from evo_fair.nets.supernet import Supernet
from evo_fair.nets.train import Step, train_supernet

__all__ = ["Network", "Step", "Supernet", "train_supernet"]
