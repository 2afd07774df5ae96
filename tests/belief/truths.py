"""Synthetic spaces whose truth is known: size, genes and a network's own, and frozen scores that know part of it."""

from typing import NamedTuple

import numpy as np

from evo_fair.belief import gene_features

__all__ = ["Truth", "make_truth"]


class Truth(NamedTuple):
    """True values `[networks]`, what the frozen weights read with what noise, costs `[networks, 2]`, genes."""

    values: np.ndarray
    scores: np.ndarray
    noise: float
    costs: np.ndarray
    genes: np.ndarray

    def trained(self, networks: np.ndarray, rng: np.random.Generator, seed_noise: float = 0.01) -> np.ndarray:
        """Results of trainings, `[trainings, 1]`."""
        return np.exp(np.log(self.values[networks]) + seed_noise * rng.standard_normal(len(networks)))[:, None]


def make_truth(rng: np.random.Generator, networks: int = 400, knows: float = 1.0, own: float = 0.03) -> Truth:
    """Errors that fall with size, half of the rest by genes; frozen scores know `knows` of what size doesn't tell."""
    genomes = rng.integers(0, 4, (networks, 8))
    genes = gene_features(genomes, np.full(8, 4), np.zeros(8, bool))
    size = genomes.sum(axis=1) + rng.random(networks)
    costs = np.column_stack([np.exp(0.15 * size) * 1e5, np.exp(0.1 * size + 0.2 * rng.random(networks)) * 1e3])
    by_genes = 0.12 * genes @ rng.standard_normal(genes.shape[1])
    by_networks = own * rng.standard_normal(networks)
    log_error = -1.5 - 0.04 * (size - size.mean()) + by_genes + by_networks
    wrong = 0.08 * rng.standard_normal(networks)  # what shared weights make of single networks
    read = -0.9 - 0.03 * (size - size.mean()) + knows * (by_genes + by_networks) + wrong
    noise = 0.012
    return Truth(np.exp(log_error), np.exp(read) + noise * rng.standard_normal(networks), noise, costs, genes)
