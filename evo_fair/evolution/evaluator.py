"""What the search asks for: a space of genomes, and an evaluator that counts what their networks get right."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Genomes
from evo_fair.fairness import Counts
from evo_fair.layers import LayerTable

__all__ = ["Evaluator", "Genomes", "KnowingSpace", "Space"]


class Space(Protocol):
    """The genomes there are: int16 `[networks, genes]`, gene `i` from 0 to `cardinalities[i] - 1`.

    Example:
        >>> from evo_fair.extend import Space
        >>> from evo_fair.testing import small_space
        >>> space: Space = small_space()
        >>> space.sample(np.random.default_rng(0), 5).shape == (5, len(space.gene_names))
        True
    """

    @property
    def gene_names(self) -> tuple[str, ...]:
        """The genes' names, `[genes]`."""

    @property
    def cardinalities(self) -> npt.NDArray[np.int16]:
        """How many values each gene takes, int16 `[genes]`."""

    @property
    def ordered(self) -> npt.NDArray[np.bool_]:
        """Whether neighbouring values of a gene mean neighbouring networks, bool `[genes]`."""

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """Draws genomes.

        Args:
            rng: The Generator to draw with.
            n: How many.

        Returns:
            int16 `[n, genes]`; duplicates can occur.
        """

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        """The one form that all genomes of the same network share.

        Args:
            genomes: int16 `[networks, genes]`.

        Returns:
            int16 of the same shape.
        """

    def decode(self, genomes: npt.ArrayLike) -> LayerTable:
        """The networks' layers.

        Args:
            genomes: int16 `[networks, genes]`.

        Returns:
            The layer table, int32 `[networks, layers, 8]`.
        """

    def ids(self, genomes: npt.ArrayLike) -> list[str]:
        """A name for each genome's network.

        Args:
            genomes: int16 `[networks, genes]`.

        Returns:
            Names, `[networks]`: equal for equal networks, and only for those.
        """


@runtime_checkable
class KnowingSpace(Space, Protocol):
    """A space that knows genomes which every search of it should look at first."""

    def known_genomes(self) -> Genomes:
        """The genomes to begin with.

        Returns:
            Canonical genomes, all different, int16 `[n, genes]`, those that matter most
            first.
        """


class Evaluator(Protocol):
    """Whatever can tell what networks predict; the counts of a network depend on its genome alone."""

    def evaluate(self, genomes: Genomes) -> Mapping[str, Counts]:
        """Counts what the genomes' networks predict.

        Args:
            genomes: Canonical genomes, int16 `[networks, genes]`.

        Returns:
            The counts by the name of the grouping.
        """
