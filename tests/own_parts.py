"""Parts of a user's own, of every kind, as a user writes them: a plugin for tests, and objects for Python."""

__all__ = ["PLUGIN", "PROBLEM"]

PROBLEM = """
title = "a tiny search on stripes"
[data]
source = "stripes"
bands = 3
min_samples = 2
[fairness]
group = "site"
[space]
channel_multiple = 4
stem = { widths = [4, 8], stride = 2 }
[[space.stage]]
slots = 2
kinds = ["MB", "RB"]
widths = [4, 8]
stride = 2
kernels = { MB = [3, 5] }
expansions = [2, 3]
keep_channels = [4, 8, 16, 24]
[training]
epochs = 2
batch_size = 16
learning_rate = 0.1
[search]
objectives = ["error", "unfairness", "latency_ms"]
budget = 8
population = 4
"""

PLUGIN = '''
"""Parts of my own."""

import numpy as np

import evo_fair as ef
from evo_fair.extend import Channels, Hidden, Kind, KindUnit, add_kind
from evo_fair.pruning import Scores
from evo_fair.pruning.task import Pruned
from evo_fair.pruning.treatments import select
from evo_fair.testing import small_dataset


@ef.objective(direction="min")
def worst_class_error(counts):
    right = np.diagonal(counts.overall, axis1=1, axis2=2) / counts.overall.sum(axis=2)
    return 1 - right.min(axis=1)


@ef.objective(direction="min", cheap=True)
def layers_in_all(layers):
    return (layers[:, :, 0] > 0).sum(axis=1)


@ef.strategy()
class Walk:
    """Goes on from the best network by changing one gene."""

    reviews = False

    def __init__(self, space, rng, population, objectives):
        self.space, self.rng = space, rng
        self.best, self.worth = np.zeros(len(space.gene_names), np.int16), np.array(np.inf)

    def ask(self, n):
        genomes = np.tile(self.best, (n, 1))
        genes = self.rng.integers(len(self.best), size=n)
        genomes[np.arange(n), genes] = self.rng.integers(self.space.cardinalities[genes])
        return genomes

    def tell(self, genomes, objectives, violations):
        worth = np.where(violations > 0, np.inf, objectives[:, 0])
        if worth.min() < self.worth:
            self.worth, self.best = worth.min(), genomes[worth.argmin()]

    def state(self):
        return {"best": self.best, "worth": self.worth}

    def restore(self, state):
        self.best, self.worth = state["best"], state["worth"]


@ef.criterion(seedless=True)
def smallest_output(network, structure, samples, rng):
    tensors = dict(network.named_parameters())
    weights = {name: tensors[name].detach().double().abs().numpy() for name in structure.weights}
    channels = {}
    for name, group in structure.groups.items():
        channels[name] = np.zeros(group.size)
        for member in group.members:
            if member.role == "weight" and member.makes:
                size = weights[member.tensor].reshape(len(weights[member.tensor]), -1).mean(axis=1)
                np.add.at(channels[name], member.channel, size[member.slices])
    return Scores(weights, channels)


@ef.method()
def cut_and_train(dense, task, request):
    network = dense.network
    mask = select(network, task.structure(network), task, request, smallest_output)
    steps = task.train(network, request.epochs, request.seed, mask=mask)
    return Pruned(network.eval(), mask, steps)


@ef.source(in_folder=False, settings={"bands": int})
def stripes(request):
    assert request.settings["bands"] == 3
    return small_dataset(seed=int(request.rng.integers(99)))


add_kind(
    Kind(
        "SQ",
        (
            KindUnit("squeeze", Channels.IN, Channels.HIDDEN),
            KindUnit("mix", Channels.HIDDEN, Channels.HIDDEN, kernel=None, strided=True),
            KindUnit("open", Channels.HIDDEN, Channels.OUT),
        ),
        Hidden.WIDTH,
    )
)


@ef.onnx_operator("own.Mix", shapes=lambda node: [node.inputs[0]])
def mix(node):
    samples, channels, height, width = node.inputs[0]
    return ef.LayerCost("conv", channels, channels, h_in=height * samples, w_in=width)
'''
