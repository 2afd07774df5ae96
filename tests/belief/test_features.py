"""Costs and genes as columns."""

import numpy as np
import pytest

from evo_fair.belief import gene_features, size_features


def test_costs_count_by_ratio_and_one_that_never_varies_is_left_out() -> None:
    features = size_features([[1e6, 5.0], [1e7, 5.0], [1e8, 5.0]])
    assert features.shape == (3, 1)
    assert np.diff(features[:, 0]) == pytest.approx([np.sqrt(1.5)] * 2, rel=1e-5)


def test_categories_have_a_column_a_value_and_ordered_genes_one_a_step() -> None:
    genomes = [[0, 0], [1, 1], [2, 2], [2, 1]]
    features = gene_features(genomes, [3, 3], [False, True])
    assert features.shape == (4, 5)
    assert features.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
    assert (features**2).sum(axis=1).mean() == pytest.approx(1.0)
    # Steps of an ordered gene: 1 is nearer to 0 than 2 is. Values of a category are all equally far apart.
    steps, values = features[:, 3:], features[:, :3]
    far, near = (((steps[0] - steps[other]) ** 2).sum() for other in (2, 1))
    assert far == pytest.approx(2 * near)
    distances = [((values[a] - values[b]) ** 2).sum() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert distances == pytest.approx([distances[0]] * 3)


def test_genes_that_never_vary_say_nothing() -> None:
    assert gene_features([[1, 0], [1, 0]], [3, 2], [True, False]).shape == (2, 0)
