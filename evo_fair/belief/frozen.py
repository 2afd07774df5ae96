"""What frozen scores say once their sampling noise is taken out: empirical Bayes, towards a regression on size.

The model of the scores s of one objective, on a scale on which differences count by ratio:

    s = X b + G c + u + e,   c ~ N(0, t_g I),   u ~ N(0, t_u),   e ~ N(0, noise^2)

X is size (an intercept, logarithms of costs, their squares), G what genes say, if they are given, u what is a
network's own. The noise is known, the two variances maximise the restricted likelihood (Patterson and Thompson 1971),
in Henderson's form (1975), which needs matrices of the size of X and G only. Without G, and with equal noise, a score
moves to X b + t_u / (t_u + noise^2) (s - X b), the shrinkage of Efron and Morris (1975).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from evo_fair.arrays import Bools, Floats

__all__ = ["Smoothed", "size_basis", "smooth"]


_LEAST, _MOST = 1e-7, 4.0
"""The variances that are looked at, as shares of the scores' variance."""

_ROWS = 1500
"""Networks that the two variances are fitted to at most, evenly taken; what is believed is of all."""

_COLUMNS = 5
"""There is at most one column of size for so many networks."""


@dataclass(frozen=True)
class Smoothed:
    """Scores taken apart, each `[networks]`: what size, genes and the network itself are believed to add.

    `variance` is that of their sum; `of_genes` and `of_networks` are the variances t_g and t_u.
    """

    trend: Floats
    genes: Floats
    own: Floats
    variance: Floats
    of_genes: float
    of_networks: float

    @property
    def mean(self) -> Floats:
        """What is believed of the scores, `[networks]`."""
        return self.trend + self.genes + self.own


def size_basis(size: Floats) -> Floats:
    """An intercept and the principal components of `size` `[networks, costs]` and its squares, `[networks, columns]`.

    Costs go together, so that their own columns would be nearly the same; few networks get few columns.
    """
    networks = len(size)
    columns = np.hstack([size, size**2 - (size**2).mean(axis=0)])
    left, lengths, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    kept = (lengths > 1e-3 * lengths.max(initial=0.0)) & (lengths > 0)
    components = left[:, kept][:, : max(networks // _COLUMNS - 1, 0)] * np.sqrt(networks)
    return np.hstack([np.ones((networks, 1)), components])


def smooth(
    scores: Floats, noise: Floats, size: Floats, genes: Floats | None = None, read: Bools | None = None
) -> Smoothed:
    """Takes the noise out of scores `[networks]` with the standard errors `noise` `[networks]`.

    `size` `[networks, costs]` comes from `size_features`, `genes` `[networks, columns]` from `gene_features`. Where not
    all networks were `read` (bool `[networks]`), the scores of the others stand in for none, with errors to match: how
    much scores vary is taken from those that were.
    """
    flat = size_basis(size)
    ridge = np.empty((len(scores), 0)) if genes is None else genes
    design = np.hstack([flat, ridge])
    total = _unexplained(scores, flat)
    if read is not None and not read.all():
        total = max(total, _unexplained(scores[read], flat[read]))
    if total <= 1e-18 * max(1.0, float(np.abs(scores).max())):
        return Smoothed(scores.copy(), 0 * scores, 0 * scores, noise**2, 0.0, 0.0)
    rows = np.unique(np.linspace(0, len(scores) - 1, min(_ROWS, len(scores))).astype(np.int64))
    known = _System(design[rows], flat.shape[1], scores[rows], noise[rows])
    of_networks, of_genes = known.best(total)
    return _posterior(_System(design, flat.shape[1], scores, noise), of_networks, of_genes)


def _unexplained(scores: Floats, flat: Floats) -> float:
    """The variance of scores about their regression on size."""
    return float(np.var(scores - flat @ np.linalg.lstsq(flat, scores, rcond=None)[0]))


@dataclass(frozen=True)
class _System:
    """Henderson's equations for one set of scores; the first `flat` columns of the design have no prior."""

    design: Floats
    flat: int
    scores: Floats
    noise: Floats

    def solve(self, of_networks: float, of_genes: float) -> tuple[Floats, Floats, Floats]:
        """The weights of the rows, the coefficients and the factor of their precision."""
        weights = 1.0 / (of_networks + self.noise**2)
        weighted = self.design * weights[:, None]
        precision = weighted.T @ self.design
        diagonal = np.arange(self.flat, precision.shape[0])
        precision[diagonal, diagonal] += 1.0 / of_genes
        factor, _ = cho_factor(precision, lower=True)
        return weights, cho_solve((factor, True), weighted.T @ self.scores), factor

    def loss(self, of_networks: float, of_genes: float) -> float:
        """Minus twice the restricted log likelihood, less a constant."""
        weights, coefficients, factor = self.solve(of_networks, of_genes)
        columns = self.design.shape[1] - self.flat
        fit = float((self.scores * weights) @ (self.scores - self.design @ coefficients))
        size = 2.0 * float(np.log(np.diag(factor)).sum()) - float(np.log(weights).sum())
        return float(fit + size + columns * np.log(of_genes))

    def best(self, total: float) -> tuple[float, float]:
        """The variances of networks and genes with the greatest restricted likelihood; that of genes 1 without any."""
        genes = self.design.shape[1] > self.flat
        low, high = np.log(_LEAST * total), np.log(_MOST * total)

        def loss(logs: Floats) -> float:
            return self.loss(float(np.exp(logs[0])), float(np.exp(logs[1])) if genes else 1.0)

        steps = np.linspace(low, high, 7)
        starts = [np.array([a, b]) for a in steps for b in steps] if genes else [np.array([a]) for a in steps]
        start = min(starts, key=loss)
        found = minimize(loss, start, method="L-BFGS-B", bounds=[(low, high)] * len(start))
        logs = found.x if found.fun <= loss(start) else start
        return float(np.exp(logs[0])), float(np.exp(logs[1])) if genes else 1.0


def _posterior(system: _System, of_networks: float, of_genes: float) -> Smoothed:
    weights, coefficients, factor = system.solve(of_networks, of_genes)
    flat, design = system.flat, system.design
    trend, genes = design[:, :flat] @ coefficients[:flat], design[:, flat:] @ coefficients[flat:]
    kept = of_networks * weights  # the share of a residual that is the network's own
    unsure = (design * cho_solve((factor, True), design.T).T).sum(axis=1)
    variance = of_networks * (1.0 - kept) + (1.0 - kept) ** 2 * unsure
    own = kept * (system.scores - trend - genes)
    columns = design.shape[1] > flat
    return Smoothed(trend, genes, own, variance, of_genes if columns else 0.0, of_networks)
