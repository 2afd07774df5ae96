"""A recurrent controller: a GRU that writes a genome gene by gene, and the gradient of what it wrote, in NumPy."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evo_fair.evolution.evaluator import Genomes

__all__ = ["PolicyParameters", "fresh_parameters", "log_probabilities", "policy_gradient", "sample"]

Array = npt.NDArray[np.float64]
PolicyParameters = Mapping[str, Array]
"""`embedding [genes, values, width]` of a gene's value as the next step's input, of which the first one is `start
[width]`; `input [width, 3 * hidden]`, `recurrent [hidden, 3 * hidden]` and `bias [3 * hidden]` of the update gate, the
reset gate and the candidate; `head [genes, hidden, values]` and `offset [genes, values]`, the logits of each gene."""

_SPREAD = 0.1
"""Weights start so small that the first genomes are drawn nearly uniformly."""


def fresh_parameters(
    cardinalities: npt.NDArray[np.int16], hidden: int, width: int, rng: np.random.Generator
) -> PolicyParameters:
    """Parameters of a controller, drawn uniformly around 0.

    Args:
        cardinalities: How many values each gene takes, int16 `[genes]`.
        hidden: The size of its state.
        width: The size of a value's embedding.
        rng: The Generator to draw with.

    Returns:
        The parameters by name.
    """
    genes, values = len(cardinalities), int(cardinalities.max())
    shapes = {
        "embedding": (genes, values, width),
        "start": (width,),
        "input": (width, 3 * hidden),
        "recurrent": (hidden, 3 * hidden),
        "bias": (3 * hidden,),
        "head": (genes, hidden, values),
        "offset": (genes, values),
    }
    return {name: rng.uniform(-_SPREAD, _SPREAD, shape) for name, shape in shapes.items()}


def sample(
    parameters: PolicyParameters, cardinalities: npt.NDArray[np.int16], rng: np.random.Generator, n: int
) -> Genomes:
    """Draws genomes gene by gene, each given those before it.

    Args:
        parameters: The controller's parameters.
        cardinalities: How many values each gene takes, int16 `[genes]`.
        rng: The Generator to draw with.
        n: How many genomes.

    Returns:
        int16 `[n, genes]`.
    """
    genomes = np.zeros((n, len(cardinalities)), np.int16)
    state = np.zeros((n, len(parameters["recurrent"])))
    for gene in range(len(cardinalities)):
        state = _Step(parameters, _inputs(parameters, genomes, gene), state).after
        chances = np.exp(_log_softmax(parameters, cardinalities, gene, state))
        # The last value takes what rounding leaves below 1.
        drawn = (rng.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        genomes[:, gene] = np.minimum(drawn, cardinalities[gene] - 1)
    return genomes


def log_probabilities(parameters: PolicyParameters, cardinalities: npt.NDArray[np.int16], genomes: Genomes) -> Array:
    """The logarithm of the probability that each genome is drawn.

    Args:
        parameters: The controller's parameters.
        cardinalities: How many values each gene takes, int16 `[genes]`.
        genomes: The genomes, int16 `[networks, genes]`.

    Returns:
        float64 `[networks]`.
    """
    total = np.zeros(len(genomes))
    state = np.zeros((len(genomes), len(parameters["recurrent"])))
    for gene in range(genomes.shape[1]):
        state = _Step(parameters, _inputs(parameters, genomes, gene), state).after
        chosen = _log_softmax(parameters, cardinalities, gene, state)
        total += chosen[np.arange(len(genomes)), genomes[:, gene]]
    return total


def policy_gradient(
    parameters: PolicyParameters, cardinalities: npt.NDArray[np.int16], genomes: Genomes, weights: Array
) -> dict[str, Array]:
    """The gradient of a weighted sum of `log_probabilities`, by backpropagation through time.

    With rewards less a baseline as weights it is REINFORCE's (Williams 1992).

    Args:
        parameters: The controller's parameters.
        cardinalities: How many values each gene takes, int16 `[genes]`.
        genomes: The genomes, int16 `[networks, genes]`.
        weights: A weight for each genome, float64 `[networks]`.

    Returns:
        The gradient by parameter.
    """
    rows, genes = np.arange(len(genomes)), genomes.shape[1]
    state = np.zeros((len(genomes), len(parameters["recurrent"])))
    steps: list[_Step] = []
    for gene in range(genes):
        steps.append(_Step(parameters, _inputs(parameters, genomes, gene), state))
        state = steps[-1].after

    gradient = {name: np.zeros_like(value) for name, value in parameters.items()}
    above = np.zeros_like(state)
    for gene in reversed(range(genes)):
        step = steps[gene]
        # d log softmax_a / d logits = onehot(a) - softmax
        logits = -np.exp(_log_softmax(parameters, cardinalities, gene, step.after))
        logits[rows, genomes[:, gene]] += 1.0
        logits *= weights[:, None]
        gradient["head"][gene] = step.after.T @ logits
        gradient["offset"][gene] = logits.sum(axis=0)
        above = above + logits @ parameters["head"][gene].T
        above, inputs = step.backward(parameters, above, gradient)
        if gene:
            np.add.at(gradient["embedding"][gene - 1], genomes[:, gene - 1], inputs)
        else:
            gradient["start"] = inputs.sum(axis=0)
    return gradient


class _Step:
    """A step of the GRU (Cho et al. 2014, the reset gate behind the matrix): with gates z and r and a candidate c,
    c = tanh(x Wc + r * (h Uc) + bc) and h' = (1 - z) * c + z * h.
    """

    def __init__(self, parameters: PolicyParameters, inputs: Array, before: Array) -> None:
        self._inputs, self._before = inputs, before
        hidden = before.shape[1]
        x = inputs @ parameters["input"] + parameters["bias"]
        h = before @ parameters["recurrent"]
        gates = 1.0 / (1.0 + np.exp(-(x[:, : 2 * hidden] + h[:, : 2 * hidden])))
        self._update, self._reset = gates[:, :hidden], gates[:, hidden:]
        self._recalled = h[:, 2 * hidden :]
        self._candidate = np.tanh(x[:, 2 * hidden :] + self._reset * self._recalled)
        self.after: Array = (1.0 - self._update) * self._candidate + self._update * before

    def backward(self, parameters: PolicyParameters, above: Array, gradient: dict[str, Array]) -> tuple[Array, Array]:
        """From the gradient of `after` to those of the state before and of the inputs; adds to the weights'."""
        candidate = above * (1.0 - self._update) * (1.0 - self._candidate**2)
        update = above * (self._before - self._candidate) * self._update * (1.0 - self._update)
        reset = candidate * self._recalled * self._reset * (1.0 - self._reset)
        x = np.hstack([update, reset, candidate])
        h = np.hstack([update, reset, candidate * self._reset])
        gradient["input"] += self._inputs.T @ x
        gradient["bias"] += x.sum(axis=0)
        gradient["recurrent"] += self._before.T @ h
        return above * self._update + h @ parameters["recurrent"].T, x @ parameters["input"].T


def _inputs(parameters: PolicyParameters, genomes: Genomes, gene: int) -> Array:
    if gene == 0:
        return np.broadcast_to(parameters["start"], (len(genomes), len(parameters["start"])))
    return np.asarray(parameters["embedding"][gene - 1, genomes[:, gene - 1]])


def _log_softmax(parameters: PolicyParameters, cardinalities: npt.NDArray[np.int16], gene: int, state: Array) -> Array:
    """Log-probabilities `[networks, values]`; values that the gene doesn't have get minus infinity."""
    logits = state @ parameters["head"][gene] + parameters["offset"][gene]
    logits[:, cardinalities[gene] :] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
