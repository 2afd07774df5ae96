"""What a search with trainings believes of the networks of `proxy_fidelity.py`, none judged by its own training.

The belief is that of `evo-fair search --trainings` (`evo_fair.belief`): from frozen scores of these networks and of
1,000 random ones, as many as a search has by default, from size, and from all trainings of the others. Two networks are
compared by what is believed of them when the trainings of both are left out.
"""

from collections.abc import Callable, Sequence

import numpy as np

from evo_fair import layers
from evo_fair.belief import Belief, Resamples, Trainings, gene_features, own_noise
from evo_fair.data import Dataset
from evo_fair.evolution.objectives import resolve
from evo_fair.latency import load_profile
from evo_fair.problem import Problem
from evo_fair.space import SearchSpace

Array = np.ndarray
Predict = Callable[[Array], Array]

GOALS = {"accuracy": "error", "worst_group_accuracy": "worst_group_error", "unfairness": "unfairness"}
"""What a search believes about, in the place of each metric."""

POPULATION = 1000


def believed_orders(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    predict: Predict,
    genomes: Array,
    trained: Sequence[Array],
) -> dict[str, Array]:
    """The order by each metric in which `genomes` `[networks, genes]` are believed to be, as `order` has it.

    `predict` gives the frozen labels `[networks, samples]` of genomes on the validation part, `trained` holds those of
    the networks once trained, an array a seed.
    """
    known = np.unique(np.concatenate([genomes, space.sample(np.random.default_rng(1), POPULATION)]), axis=0)
    places = [int(np.flatnonzero((known == genome).all(axis=1))[0]) for genome in genomes]
    belief = believe(problem, dataset, space, known, predict(known), places, trained)
    row = {place: number for number, place in enumerate(places)}
    orders = {}
    for number, (metric, goal) in enumerate(GOALS.items()):
        pairs, higher = belief.left_out_pairs(number)
        first, second = np.vectorize(row.__getitem__)(pairs).T
        found = np.zeros((len(genomes), len(genomes)))
        found[first, second] = np.sign(higher) if metric == goal else -np.sign(higher)
        orders[metric] = found - found.T
    return orders


def believe(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    known: Array,
    frozen: Array,
    places: Sequence[int],
    trained: Sequence[Array],
) -> Belief:
    """The belief from frozen labels of the genomes `known`, and from those of the networks at `places` once trained."""
    goals = resolve(list(GOALS.values()))
    resamples = Resamples(dataset, problem.fairness.group)

    def measured(labels: Array) -> Array:
        counts = dataset.counts(labels, "validation", problem.fairness.group)
        return np.column_stack([goal.measure(counts) for goal in goals])

    tables = space.decode(known)
    latency_ms = load_profile(problem.search.device).latency_ms(tables)
    costs = np.column_stack([layers.macs(tables), layers.params(tables), latency_ms])
    size = np.log1p(costs[:, 0])
    noise = own_noise(np.stack([resamples.values(frozen[place], goals) for place in places]), size[places], size)
    errors = [np.nan_to_num(resamples.values(row, goals).std(axis=0)) for labels in trained for row in labels]
    trainings = Trainings.of(
        np.tile(places, len(trained)),
        np.concatenate([measured(labels) for labels in trained]),
        np.array(errors) * np.sqrt(noise.own_share),
    )
    genes = gene_features(known, space.cardinalities, space.ordered)
    return Belief.fit(measured(frozen), noise.errors, costs, genes=genes, trainings=trainings)


def order(scores: Array) -> Array:
    """Whether a row's network is above a column's by `scores` `[networks]`: 1, 0 or -1, `[networks, networks]`."""
    return np.sign(scores[:, None] - scores[None])


def tau(first: Array, second: Array) -> float:
    """Kendall's tau-b of two orders; NaN where one of them knows no difference."""
    lengths = (first**2).sum() * (second**2).sum()
    return float((first * second).sum() / np.sqrt(lengths)) if lengths else float("nan")
