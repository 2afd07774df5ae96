"""Networks in torch: the supernet, the stand-alone networks cut from it, and their training."""

from evo_fair.nets.fit import fit, initialise
from evo_fair.nets.network import Network
from evo_fair.nets.recipe import Step
from evo_fair.nets.supernet import Supernet
from evo_fair.nets.train import train_supernet

__all__ = ["Network", "Step", "Supernet", "fit", "initialise", "train_supernet"]
