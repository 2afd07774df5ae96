"""Parts of one's own: what each is called with, what it returns, and the decorators that add it.

Whatever is chosen by name can be a part of one's own. A decorator registers it under its name, in a script, a notebook
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

    from evo_fair.evolution.evaluator import Space
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

    `counts.values` is int64 `[networks, groups, labels, predictions]`, `counts.overall` int64 `[networks, labels,
    predictions]` over all samples; both are read-only. It returns integers or floats `[networks]`, finite wherever the
    objective has a value, and each network's number depends on that network alone. It raises `UndefinedMetricError`
    where it has no value on these samples. Whether less or more is better is said by `direction`, and
    whether it is an accuracy (or an error) or an unfairness by `measures`, which `reinforce` has to know.
    """

    def __call__(self, counts: "Counts", /) -> "npt.ArrayLike":
        """The values `[networks]`."""


class Cheap(Protocol):
    """A cheap objective, `cheap=True`: a number a network, of its layers; networks over a limit on it are never run.

    `layers` is the layer table, int32 `[networks, layers, 8]` with the columns `evo_fair.layers.COLUMNS`, read-only;
    rows whose `op` is 0 are padding, and how many there are changes nothing. It returns integers or floats
    `[networks]`.
    """

    def __call__(self, layers: "LayerTable", /) -> "npt.ArrayLike":
        """The values `[networks]`."""


class StrategyFactory(Protocol):
    """Makes a strategy: a class with these arguments, a function, or the method `begin` of an object with settings.

    `space` has `gene_names`, `cardinalities` (int16 `[genes]`, how many values each gene has), `ordered` (bool
    `[genes]`), `sample(rng, n)`, `canonical(genomes)` and `decode(genomes)`, which gives the layer table. All
    randomness comes from `rng`, whose state the engine saves and restores. `objectives` are in the order of the columns
    that `tell` gets. A resumed search makes it anew and then calls `restore`: `begin` has to set everything up.
    With a function `check_objectives(objectives)` it can refuse objectives, by an `ObjectiveError`, before anything
    else is done.
    """

    def __call__(
        self, space: "Space", rng: "np.random.Generator", population: int, objectives: Sequence[Objective], /
    ) -> Strategy:
        """A strategy that has not been told anything yet."""


class Criterion(Protocol):
    """A pruning criterion: what each channel and each single weight is worth; the lowest go first.

    The network is in evaluation mode and comes back as it was, its gradients too. `structure.weights` names the
    parameters whose single weights can go, `structure.groups` the groups of channels, each with `size` and `members`.
    `samples` has `x` (float32 `[n, ...]`, normalised), `labels` and `groups` (int64 and int16 `[n]`, -1 where the group
    is unknown). It returns `pruning.Scores`: finite numbers in the shape of every weight, and `[size]` for every group.
    `compares_groups=True` says that it needs samples of two groups, `seedless=True` that it reads weights alone.
    """

    def __call__(
        self, network: "nn.Module", structure: "Structure", samples: "Samples", rng: "np.random.Generator", /
    ) -> "Scores":
        """The scores, of which lower ones leave first."""


class Method(Protocol):
    """A pruning method: from the dense network to a pruned and trained one.

    `dense.network` may be changed: it is a copy. `task` has the data, `structure(network)`, `samples(rng)` and
    `train(network, epochs, seed, mask=...)`; `request` what is asked: `sparsity`, `kind` (`structured` for channels),
    `scope`, `ratios`, `epochs`, and `rng(purpose)`, its only randomness. It returns `pruning.task.Pruned`: the network
    with the dense one's shapes and zeros where its mask takes something out (channels are removed afterwards), the
    mask, with `keep` where channels leave, the training steps, and figures of its own.
    """

    def __call__(self, dense: "Dense", task: "Task", request: "Request", /) -> "Pruned":
        """The pruned network."""


class Loader(Protocol):
    """The loader of a data source: a `Dataset` of a `DataRequest`; equal requests give data of equal fingerprints.

    Images are uint8 `[samples, channels, height, width]` with sides of `image_size`, tables float32 `[samples,
    features]` and declared by `tabular=True`. The split is drawn with `request.rng` alone, and units (patients,
    families) are not torn apart; every part has samples. The grouping `class` is always there. At most 256 labels.
    """

    def __call__(self, request: DataRequest, /) -> Dataset:
        """The data set."""


class OperatorCost(Protocol):
    """What an ONNX operator costs: the layer that a node is priced as.

    `node` has `attributes`, and the shapes of `inputs` and `outputs`, tuples with the batch, None where an input is
    left out. It returns an `ef.LayerCost`; its sizes are of all samples. The decorator's `shapes` is called in the same
    way and returns the shapes of the outputs; without it they are what the file states.
    """

    def __call__(self, node: "NodeFacts", /) -> "LayerCost":
        """The layer."""
