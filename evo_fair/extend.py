"""Parts of your own: what each is called with, what it returns, and the decorators that add it.

Whatever is chosen by name can be a part of your own. A decorator registers it under its name, in a script, a notebook
or a file that `--plugin FILE` runs; most can also be handed over without a name: `ef.search(algorithm=MyStrategy,
objectives=[ef.Objective(...)])`, `ef.prune(methods=[my_method])`, `problem.with_data(dataset)`.

| part | decorator | protocol | checked by `evo_fair.testing` |
|---|---|---|---|
| objective, and constraints on it | `@ef.objective(direction="min")` | `Predictive`, `Cheap` | `check_objective` |
| search strategy | `@ef.strategy()` | `StrategyFactory`, `Strategy` | `check_strategy` |
| pruning criterion | `@ef.criterion()` | `Criterion` | `check_criterion` |
| pruning method | `@ef.method()` | `Method` | `check_method` |
| data source | `@ef.source(needs=...)` | `Loader` | `check_source` |
| ONNX operator | `@ef.onnx_operator("domain.Name")` | `OperatorCost` | `check_onnx_operator` |
| block kind | `add_kind(Kind(...))`, of this module | `Kind` | `check_kind` |

What every part keeps to:

- The same arguments give the same result, bit for bit, in every process. Whatever is random comes from the Generator
  (or seed) that the part is handed, never from `np.random`'s or torch's global state, the clock or the environment.
- What it is handed is not its own: it changes neither arrays nor networks unless its protocol says so.
- It raises an error of `evo_fair.errors` with one line for wrong input. Any other exception becomes such a line, with
  the part's name and the line of the file that it came from.

A run records the source of each part, and the hash of each plugin; resumed with another, it is refused.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from evo_fair.data.dataset import Dataset, Grouping
from evo_fair.data.source import DataRequest, Source, source
from evo_fair.evolution.evaluator import Space
from evo_fair.evolution.objectives import Objective, objective
from evo_fair.evolution.strategy import State, Strategy
from evo_fair.latency.onnx_operators import LayerCost, NodeFacts, onnx_operator
from evo_fair.plugins import load_plugin
from evo_fair.registries import criterion, forget, method, strategy
from evo_fair.space.kinds import Channels, Hidden, Kind, KindUnit, Shortcut, add_kind

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from evo_fair.fairness import Counts
    from evo_fair.layers import LayerTable
    from evo_fair.pruning.criteria import Scores
    from evo_fair.pruning.samples import Samples
    from evo_fair.pruning.structure import Structure
    from evo_fair.pruning.task import Dense, Pruned, Request, Task

__all__ = [
    "Channels",
    "Cheap",
    "Criterion",
    "DataRequest",
    "Dataset",
    "Grouping",
    "Hidden",
    "Kind",
    "KindUnit",
    "Loader",
    "Method",
    "Objective",
    "OperatorCost",
    "Predictive",
    "Shortcut",
    "Source",
    "Space",
    "State",
    "Strategy",
    "StrategyFactory",
    "add_kind",
    "criterion",
    "forget",
    "load_plugin",
    "method",
    "objective",
    "onnx_operator",
    "source",
    "strategy",
]


class Predictive(Protocol):
    """A predictive objective: a number a network, of what the networks got right and for whom.

    Whether less or more is better is said by `direction`. Whether it is an accuracy (or
    an error) or an unfairness is said by `measures`, which only `reinforce` has to
    know.

    Example:
        >>> @ef.objective(direction="max")
        ... def right_of_first_label(counts):
        ...     first = counts.overall[:, 0]
        ...     return first[:, 0] / first.sum(axis=1)
        >>> from evo_fair.testing import check_objective
        >>> check_objective("right_of_first_label")
        >>> ef.forget("right_of_first_label")
    """

    def __call__(self, counts: "Counts", /) -> "npt.ArrayLike":
        """The networks' values.

        Args:
            counts: `counts.values` is int64 `[networks, groups, labels, predictions]`,
                `counts.overall` int64 `[networks, labels, predictions]` over all
                samples; both are read-only.

        Returns:
            Integers or floats `[networks]`, finite wherever the objective has a value;
            each network's number depends on that network alone.

        Raises:
            UndefinedMetricError: It has no value on these samples.
        """


class Cheap(Protocol):
    """A cheap objective, `cheap=True`: a number a network, of its layers; networks over a limit on it are never run.

    Example:
        >>> @ef.objective(cheap=True)
        ... def depth(layers):
        ...     return (layers[:, :, 0] > 0).sum(axis=1)
        >>> from evo_fair.testing import check_objective
        >>> check_objective("depth")
        >>> ef.forget("depth")
    """

    def __call__(self, layers: "LayerTable", /) -> "npt.ArrayLike":
        """The networks' values.

        Args:
            layers: The layer table, int32 `[networks, layers, 8]` with the columns
                `evo_fair.layers.COLUMNS`, read-only. Rows whose `op` is 0 are padding,
                and how many there are changes nothing.

        Returns:
            Integers or floats `[networks]`.
        """


class StrategyFactory(Protocol):
    """Makes a strategy: a class with these arguments, a function, or the method `begin` of an object with settings.

    A resumed search makes it anew and then calls `restore`: `begin` has to set
    everything up. With a function `check_objectives(objectives)` it can refuse
    objectives, by an `ObjectiveError`, before anything else is done.

    Example:
        >>> from evo_fair.evolution.random_search import RandomSearch
        >>> from evo_fair.testing import check_strategy
        >>> check_strategy(RandomSearch)
    """

    def __call__(
        self, space: Space, rng: "np.random.Generator", population: int, objectives: Sequence[Objective], /
    ) -> Strategy:
        """Makes the strategy of a search.

        Args:
            space: It has `gene_names`, `cardinalities` (int16 `[genes]`, how many
                values each gene has), `ordered` (bool `[genes]`), `sample(rng, n)`,
                `canonical(genomes)`, `ids(genomes)` and `decode(genomes)`, which gives
                the layer table.
            rng: The Generator that all randomness comes from; the engine saves and
                restores its state.
            population: Networks a generation, 2 or more.
            objectives: The objectives, in the order of the columns that `tell` gets.

        Returns:
            A strategy that has not been told anything yet.
        """


class Criterion(Protocol):
    """A pruning criterion: what each channel and each single weight is worth; the lowest go first.

    `compares_groups=True` says that it needs samples of two groups, `seedless=True`
    that it reads weights alone.

    Example:
        >>> from evo_fair.pruning.criteria import magnitude_l1
        >>> from evo_fair.testing import check_criterion
        >>> def small_first(network, structure, samples, rng):
        ...     return magnitude_l1(network, structure, samples, rng)
        >>> check_criterion(small_first)
    """

    def __call__(
        self, network: "nn.Module", structure: "Structure", samples: "Samples", rng: "np.random.Generator", /
    ) -> "Scores":
        """Scores what can leave.

        Args:
            network: The network, in evaluation mode; it comes back as it was, its
                gradients too.
            structure: `structure.weights` names the parameters whose single weights can
                go, `structure.groups` the groups of channels, each with `size` and
                `members`.
            samples: `x` (float32 `[n, ...]`, normalised), `labels` and `groups` (int64
                and int16 `[n]`, -1 where the group is unknown).
            rng: The Generator that all randomness comes from.

        Returns:
            `pruning.Scores`: finite numbers in the shape of every weight, and `[size]`
            for every group of channels.

        Raises:
            PruningError: The network or the samples are none that it can score.
        """


class Method(Protocol):
    """A pruning method: from the dense network to a pruned and trained one.

    Example:
        >>> from evo_fair.pruning.methods import choose_method
        >>> @ef.method()
        ... def by_magnitude(dense, task, request):
        ...     return choose_method("magnitude").prune(dense, task, request)
        >>> ef.forget("by_magnitude", "method")
    """

    def __call__(self, dense: "Dense", task: "Task", request: "Request", /) -> "Pruned":
        """Prunes a network.

        Args:
            dense: `dense.network` is a copy, which may be changed; `dense.early` are
                weights from early in its training, or None; `dense.epochs` is what its
                training took.
            task: The data, and `structure(network)`, `samples(rng)` and `train(network,
                epochs, seed, mask=...)`.
            request: What is asked: `sparsity`, `kind` (`structured` for channels),
                `scope`, `ratios`, `epochs`, and `rng(purpose)`, its only randomness.

        Returns:
            `pruning.task.Pruned`: the network with the dense one's shapes and zeros
            where its mask takes something out (channels are removed afterwards), the
            mask, with `keep` where channels leave, the training steps, and figures of
            its own.

        Raises:
            PruningError: The network can't be pruned as asked.
        """


class Loader(Protocol):
    """The loader of a data source: a `Dataset` of a `DataRequest`; equal requests give data of equal fingerprints.

    Example:
        >>> from evo_fair.testing import check_source, small_dataset
        >>> def stripes(request):
        ...     return small_dataset(seed=int(request.rng.integers(99)))
        >>> check_source(stripes)
    """

    def __call__(self, request: DataRequest, /) -> Dataset:
        """Loads the data set.

        Args:
            request: The folder, the image size, the shares of the parts and the
                Generator that the split is drawn with.

        Returns:
            The data set. Images are uint8 `[samples, channels, height, width]` with
            sides of `image_size`; tables are float32 `[samples, features]` and declared
            by `tabular=True`. Units (patients, families) are not torn across parts, and
            every part has samples. The grouping `class` is always there. There are at
            most 256 labels.

        Raises:
            DataError: The data are missing or damaged.
        """


class OperatorCost(Protocol):
    """What an ONNX operator costs: the layer that a node is priced as.

    The decorator's `shapes` is called in the same way and returns the shapes of the
    outputs; without it they are what the file states.

    Example:
        >>> from evo_fair.testing import check_onnx_operator
        >>> @ef.onnx_operator("my.domain.Mix", shapes=lambda node: [node.inputs[0]])
        ... def mix(node):
        ...     samples, channels, height, width = node.inputs[0]
        ...     return ef.LayerCost("conv", channels, channels, h_in=height * samples, w_in=width)
        >>> check_onnx_operator("my.domain.Mix", [(1, 8, 16, 16)])
        >>> ef.forget("my.domain.Mix", "ONNX operator")
    """

    def __call__(self, node: "NodeFacts", /) -> "LayerCost":
        """The layer of a node.

        Args:
            node: It has `operator`, `attributes`, and the shapes of `inputs` and
                `outputs`: tuples with the batch, None where an input is left out.

        Returns:
            An `ef.LayerCost`; its sizes are of all samples.
        """
