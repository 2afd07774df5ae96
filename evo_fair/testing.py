"""A conformance kit: checks that a part of your own keeps to its protocol, in one line of a test of your own.

    from evo_fair.testing import check_criterion

    def test_my_criterion():
        check_criterion(my_criterion)

Each check tries the part on small data that it makes itself, takes seconds at most, and raises `AssertionError` with a
sentence where the part breaks a rule of `evo_fair.extend`. evo_fair's own parts are held to the same checks.
"""

import io
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.data import SOURCES, DataRequest, Dataset, Source, load_dataset
from evo_fair.data.dataset import PARTS, class_grouping, grouping_of
from evo_fair.errors import EvoFairError
from evo_fair.evolution import Objective, make_strategy, resolve
from evo_fair.evolution.algorithms import Algorithm
from evo_fair.evolution.devices import ENDS, Devices
from evo_fair.evolution.strategy import Strategy
from evo_fair.fairness import Counts
from evo_fair.registries import CRITERIA, METHODS, OPERATORS, CriterionTraits, MethodTraits
from evo_fair.space import SearchSpace, SpaceSchema, find_kind

__all__ = [
    "check_criterion",
    "check_kind",
    "check_method",
    "check_objective",
    "check_onnx_operator",
    "check_source",
    "check_strategy",
    "small_counts",
    "small_dataset",
    "small_space",
]

_NETWORKS = 9


def small_space() -> SearchSpace:
    """A space of some thousand networks on 8x8 images of one channel, with three labels.

    Returns:
        The space.

    Example:
        >>> from evo_fair.testing import small_space
        >>> space = small_space()
        >>> space.decode(space.sample(np.random.default_rng(0), 2)).shape[2]
        8
    """
    stage = {"slots": 2, "kinds": ["MB", "RB"], "widths": [4, 8], "kernels": {"MB": [3, 5]}}
    sizes = {"expansions": [2, 3], "keep_channels": [4, 8, 16, 24], "stride": 2}
    schema = {"channel_multiple": 4, "stem": {"widths": [4, 8], "stride": 2}, "stage": [stage | sizes]}
    return SearchSpace(SpaceSchema.model_validate(schema), (1, 8, 8), 3)


def small_counts(networks: int = _NETWORKS, seed: int = 0) -> Counts:
    """Counts of networks on three labels and two groups, the second label being the positive one.

    Args:
        networks: How many networks. Default: 9.
        seed: The seed of the counts, 0 or more. Default: 0.

    Returns:
        The counts.

    Example:
        >>> from evo_fair.testing import small_counts
        >>> small_counts(2).values.shape  # [networks, groups, labels, predictions]
        (2, 2, 3, 3)
    """
    rng = np.random.default_rng(seed)
    samples = 40 + 9 * np.arange(6).reshape(2, 3)
    shares = 0.15 + 0.55 * np.eye(3)
    values = np.array([[rng.multinomial(samples[group], shares) for group in range(2)] for _ in range(networks)])
    rest = np.tile(np.eye(3, dtype=np.int64), (networks, 1, 1))
    return Counts(values.astype(np.int64), rest, ("a", "b"), ("one", "two", "three"), (1,))


def small_dataset(samples: int = 180, seed: int = 0) -> Dataset:
    """8x8 images of three labels that a network can tell apart, in two groups, `site` being their grouping.

    Args:
        samples: How many images. Default: 180.
        seed: The seed of the images, 0 or more. Default: 0.

    Returns:
        The data set.

    Example:
        >>> from evo_fair.testing import small_dataset
        >>> small_dataset().input_shape
        (1, 8, 8)
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % 3
    inputs = rng.integers(0, 60, (samples, 1, 8, 8))
    for label in range(3):
        inputs[labels == label, :, 2 * label : 2 * label + 3] += 120
    names = ("one", "two", "three")
    sites = [("north", "south")[place // 3 % 2] for place in range(samples)]
    return Dataset(
        name="small",
        inputs=inputs.astype(np.uint8),
        labels=labels.astype(np.int64),
        label_names=names,
        groupings={"site": grouping_of("site", sites, ("north", "south")), "class": class_grouping(labels, names)},
        split=(np.arange(samples) // 6 % 3).astype(np.int8),
        units=np.arange(samples),
        positive=(1,),
        licence="none needed: made of random numbers",
    )


def check_objective(objective: str | Objective) -> None:
    """Checks an objective: one finite number a network, and the same ones every time.

    Predictive ones get counts of two groups and three labels, cheap ones layer tables
    of the networks of a small space.

    Args:
        objective: The name of a registered objective, or an `Objective`.

    Raises:
        AssertionError: The objective breaks a rule of `evo_fair.extend`; the message
            says which.

    Example:
        >>> from evo_fair.testing import check_objective
        >>> check_objective("unfairness")
    """
    with _said("objective"):
        (measure,) = resolve(
            [objective], Devices({"": _no_latency}, limits={"": 1.0}, ends=dict.fromkeys(ENDS, _no_latency))
        )
        name = measure.name
        table = _table()
        source: Any = table if measure.cheap else small_counts(len(table))
        values = _twice(f"objective {name!r}", lambda: measure.measure(source))
        assert np.isfinite(values).all(), f"objective {name!r} gives numbers that are not finite: {values}"
        order = np.arange(len(source))[::-1]
        turned = measure.measure(source[order])
        assert np.array_equal(turned, values[order]), (
            f"objective {name!r} gives a network another number where others stand before it: look at each alone"
        )
        alone = measure.measure(source[:1])
        assert np.array_equal(alone, values[:1]), f"objective {name!r} gives a network another number alone"
        assert len(measure.measure(source[:0])) == 0, f"objective {name!r} gives numbers where there is no network"
        if measure.cheap:
            padded = np.concatenate([table, np.zeros_like(table[:, :3])], axis=1)
            same = np.array_equal(measure.measure(padded), values)
            assert same, f"objective {name!r} counts padding rows, whose op is 0, as layers"


def check_strategy(algorithm: Algorithm, objectives: Sequence[str] = ("error", "unfairness", "params")) -> None:
    """Checks a search strategy.

    It gives genomes within the space, the same ones for the same Generator, bears
    networks that were not measured, and goes on after `restore` as it would have
    without.

    Args:
        algorithm: A strategy's name, or what `ef.search(algorithm=...)` takes.
        objectives: The objectives to search. Default: error, unfairness and params.

    Raises:
        AssertionError: The strategy breaks a rule of `evo_fair.extend`; the message
            says which.

    Example:
        >>> from evo_fair.testing import check_strategy
        >>> check_strategy("random")
    """
    with _said("strategy"):
        space, goals = small_space(), resolve(objectives, _no_latency)

        def make() -> tuple[np.random.Generator, Strategy]:
            rng = np.random.default_rng(7)
            return rng, make_strategy(algorithm, space, rng, 12, goals)

        def grow(strategy: Strategy, generations: int) -> list[npt.NDArray[np.int16]]:
            asked = []
            for _ in range(generations):
                genomes = np.asarray(strategy.ask(12))
                _check_genomes(genomes, space)
                canonical = space.canonical(genomes)
                strategy.tell(canonical, *_worth(canonical, space, len(goals)))
                asked.append(genomes)
            return asked

        first = _twice("strategy", lambda: grow(make()[1], 5), _lists_equal)
        rng, strategy = make()
        grow(strategy, 3)
        state = strategy.state()
        for key, array in state.items():
            plain = isinstance(array, np.ndarray) and not array.dtype.hasobject
            assert plain, f"the strategy's state {key!r} is no array of numbers, which a checkpoint could hold"
        other, resumed = make()
        other.bit_generator.state = rng.bit_generator.state
        resumed.restore(_through_a_file(state))
        assert _lists_equal(grow(resumed, 2), first[3:]), (
            "the strategy does not go on after restore() as it did without: its state() has to hold all that it "
            "learnt, and all randomness has to come from the Generator that it was made with"
        )


def check_criterion(criterion: str | Callable[..., Any], *, compares_groups: bool | None = None) -> None:
    """Checks a pruning criterion on a small trained network with batch norms.

    It scores every weight and channel with finite numbers of the right shapes, the same
    ones for the same Generator, and leaves the network as it was.

    Args:
        criterion: A criterion's name, or the function.
        compares_groups: Whether it needs samples of two groups. Default: None, as it
            was registered.

    Raises:
        AssertionError: The criterion breaks a rule of `evo_fair.extend`; the message
            says which.

    Example:
        >>> from evo_fair.testing import check_criterion
        >>> check_criterion("magnitude_l1")
    """
    from evo_fair.pruning.criteria import check_scores, criterion_named

    with _said("criterion"):
        named = isinstance(criterion, str)
        name = str(criterion) if named else getattr(criterion, "__name__", type(criterion).__name__)
        score: Any = criterion_named(str(criterion)) if named else criterion
        traits = CRITERIA.traits(name) if named else CriterionTraits()
        task, dense = _pruning_task()
        network, structure = dense.network, task.structure(dense.network)
        samples = task.samples(np.random.default_rng(3), 48)
        before = _state(network)

        def scores(seed: int) -> Any:
            given = score(network, structure, samples, np.random.default_rng(seed))
            return check_scores(name, given, network, structure)

        first = _twice(f"criterion {name!r}", lambda: scores(0), _scores_equal)
        unchanged = _states_equal(_state(network), before) and not any(m.training for m in network.modules())
        assert unchanged, f"criterion {name!r} changes the network that it is given: it has to leave it as it was"
        without = all(parameter.grad is None for parameter in network.parameters())
        assert without, f"criterion {name!r} leaves gradients in the network: use torch.autograd.grad, or a copy"
        if traits.seedless:
            same = _scores_equal(first, scores(1))
            assert same, f"criterion {name!r} is declared seedless, and another seed gives other scores"
        if traits.compares_groups if compares_groups is None else compares_groups:
            alone = replace(samples, groups=np.zeros_like(samples.groups))
            try:
                score(network, structure, alone, np.random.default_rng(0))
            except EvoFairError:
                return
            raise AssertionError(f"criterion {name!r} compares groups, and takes samples of one: refuse them")


def check_method(method: str | Callable[..., Any], *, sparsity: float = 0.5, epochs: int = 1) -> None:
    """Checks a pruning method on a small trained network.

    It takes out about the share that was asked for, leaves zeros there, gives the same
    network for the same seed, and does not change what it was not given to change.

    Args:
        method: A method's name, or the function.
        sparsity: The share to take out, between 0 and 1. Default: 0.5.
        epochs: What the method may train. Default: 1.

    Raises:
        AssertionError: The method breaks a rule of `evo_fair.extend`; the message says
            which.

    Example:
        >>> from evo_fair.testing import check_method
        >>> check_method("magnitude")
    """
    from evo_fair.pruning.measure import sparsity_of
    from evo_fair.pruning.methods import choose_method
    from evo_fair.pruning.removal import masked, remove_channels
    from evo_fair.pruning.task import Request

    with _said("method"):
        chosen = choose_method(method)
        name, traits = chosen.name, METHODS.traits(chosen.name) if chosen.name in METHODS else MethodTraits()
        kinds = ("unstructured",) if traits.weights_alone else ("structured", "unstructured")
        for kind in kinds:
            task, dense = _pruning_task()
            before, labels = _state(dense.network), task.dataset.labels.copy()
            structure = task.structure(dense.network)
            request = Request(sparsity, kind, epochs=epochs)  # type: ignore[arg-type]
            prune = partial(chosen.prune, dense, task, request)
            pruned = _twice(
                f"method {name!r}", prune, lambda one, two: _states_equal(_state(one.network), _state(two.network))
            )
            assert _states_equal(_state(dense.network), before), f"method {name!r} changes the dense network"
            assert np.array_equal(task.dataset.labels, labels), f"method {name!r} changes the data"
            reached = sparsity_of(pruned, structure)
            near = abs(reached - sparsity) < 0.15
            assert near, f"method {name!r} takes out {reached:.0%} ({kind}) where {sparsity:.0%} was asked for"
            silent = _states_equal(_state(masked(pruned.network, pruned.mask)), _state(pruned.network))
            assert silent, f"method {name!r} leaves values that its mask takes out: put them to 0 (apply_mask)"
            if pruned.mask.keep is not None:
                smaller = remove_channels(pruned.network, structure.groups, pruned.mask.keep)
                logits = task.logits(smaller.eval(), "validation")
                close = np.allclose(logits, task.logits(pruned.network, "validation"), atol=1e-3)
                assert close, f"method {name!r}: without the channels that its mask takes out, outputs are others"


def check_source(source: str | Callable[..., Any] | Source, folder: str | Path | None = None, **settings: Any) -> None:
    """Checks a data source.

    Equal requests give equal data, and nothing but the seed decides how they are split.

    Args:
        source: A source's name, its loader, or a `Source`.
        folder: The folder with the data. Default: None, for a source without one.
        settings: Keys of `[data]` that it takes. Default: none.

    Raises:
        AssertionError: The source breaks a rule of `evo_fair.extend`; the message says
            which.

    Example:
        >>> from evo_fair.testing import check_source
        >>> check_source("digits")
    """
    with _said("source"):
        made = SOURCES[source] if isinstance(source, str) else source
        if not isinstance(made, Source):
            made = Source(getattr(made, "__name__", "given"), made, tabular=None, in_folder=folder is not None)
        place = None if folder is None else Path(folder)

        def load(seed: int = 0) -> Dataset:
            if isinstance(source, str):
                return load_dataset(source, place, seed=seed, min_samples=1, settings=settings)
            rng = np.random.default_rng(seed)
            return made.load(DataRequest(made.name, place, 16, (0.65, 0.15, 0.20), rng, settings))

        data = _twice(f"source {made.name!r}", load, lambda one, two: one.fingerprint == two.fingerprint)
        assert isinstance(data, Dataset), f"source {made.name!r} gives {type(data).__name__}: it has to give a Dataset"
        if made.tabular is not None:
            fits = (data.inputs.ndim == 2) == made.tabular
            assert fits, f"source {made.name!r} is declared tabular={made.tabular}, and gives the contrary"
        assert np.isfinite(data.inputs).all(), f"source {made.name!r} gives inputs that are not finite"
        assert 2 <= len(data.label_names) <= 256, (
            f"source {made.name!r} has {len(data.label_names)} labels: 2 to 256 go"
        )
        for part in PARTS:
            assert len(data.part(part)), f"source {made.name!r} has no samples in the part {part!r}"
        assert data.licence.strip(), f"source {made.name!r} does not say what its data may be used for"
        other = load(1)
        assert other.input_shape == data.input_shape, f"source {made.name!r}: another seed gives another input shape"
        assert other.label_names == data.label_names, f"source {made.name!r}: another seed gives other labels"


def check_onnx_operator(
    name: str, inputs: Sequence[tuple[int, ...]], attributes: Mapping[str, Any] | None = None
) -> None:
    """Checks an ONNX operator on one node.

    The node gives one layer with sizes and multiply-accumulates, the same every time,
    and a tensor of a known shape.

    Args:
        name: The operator's name, with its domain.
        inputs: The shapes of the node's inputs, with their batch.
        attributes: The node's attributes. Default: none.

    Raises:
        AssertionError: The operator breaks a rule of `evo_fair.extend`; the message
            says which.

    Example:
        >>> from evo_fair.testing import check_onnx_operator
        >>> check_onnx_operator("Relu", [(1, 8, 16, 16)])
    """
    import onnx

    from evo_fair.latency.onnx_rows import row_of
    from evo_fair.latency.onnx_value import Value

    with _said("operator"):
        domain, _, kind = name.rpartition(".")
        names = [f"x{place}" for place in range(len(inputs))]
        node = onnx.helper.make_node(kind, names, ["y"], domain=domain, **(attributes or {}))
        own = OPERATORS[name]
        values = [Value(key, shape) for key, shape in zip(names, inputs, strict=True)]

        def read() -> Any:
            output = Value("y", None, 0)
            settle = getattr(own, "settle", None)
            if settle is not None:
                settle(node, values, [output])
            output.shape = output.shape or inputs[0]
            return row_of(node, name, values, [output]), output.shape

        (row, _) = _twice(f"operator {name!r}", read)
        assert row is not None, f"operator {name!r} gives no layer"
        assert row.macs >= 0, f"operator {name!r} counts {row.macs} multiply-accumulates"


def check_kind(name: str) -> None:
    """Checks a kind of block for images: that networks of it are one with their genomes.

    Genomes and networks correspond one to one, a network cut from a supernet gives what
    the proxy says of it, and sorting the supernet's channels changes no network. Linear
    layers, for tables, are not checked.

    Args:
        name: The kind's name, as `add_kind` knows it.

    Raises:
        AssertionError: The kind breaks a rule of `evo_fair.extend`; the message says
            which.

    Example:
        >>> from evo_fair.testing import check_kind
        >>> check_kind("FC")
        Traceback (most recent call last):
        AssertionError: block kind FC is for tables, and this checks kinds for images
    """
    import torch

    from evo_fair.nets import Supernet
    from evo_fair.nets.channels import sort_channels
    from evo_fair.proxy import Proxy

    with _said("block kind"):
        kind = find_kind(name)
        assert not kind.tabular, f"block kind {name} is for tables, and this checks kinds for images"
        stage = {"slots": 2, "kinds": [name, "CB" if name != "CB" else "MB"], "widths": [4, 8], "stride": 2}
        stage |= {"keep_channels": [4, 8, 16], "expansions": [2, 3]} | (
            {"kernels": {name: [3, 5]}} if kind.chooses_kernel else {}
        )
        schema = SpaceSchema.model_validate({"channel_multiple": 4, "stem": {"widths": [4, 8]}, "stage": [stage]})
        space = SearchSpace(schema, (1, 8, 8), 3)
    genomes = np.unique(space.sample(np.random.default_rng(0), 200), axis=0)
    tables = {row.tobytes() for row in space.blocks(genomes)}
    assert len(tables) == len(genomes), f"genomes of block kind {name} that differ mean the same network"
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet.initialise(space, generator, np.full(1, 60, np.float32), np.full(1, 0.02, np.float32))
    inputs = small_dataset(24).inputs
    first = genomes[:: max(1, len(genomes) // 12)]

    def logits() -> npt.NDArray[np.float32]:
        proxy = Proxy(supernet, inputs, inputs)
        found: npt.NDArray[np.float32] = np.stack([proxy.logits(genome) for genome in first])
        for genome, ours in zip(first, found, strict=True):
            network = proxy.network(genome)
            with torch.no_grad():
                alone = network(proxy.samples).numpy()
            assert np.allclose(ours, alone, rtol=1e-3, atol=1e-3), (
                f"a network of block kind {name} differs from the proxy"
            )
        proxy.close()
        return found

    before = _twice(f"block kind {name}", logits)
    sort_channels(supernet, within_levels=True)
    same = np.allclose(logits(), before, rtol=1e-2, atol=1e-2)
    assert same, f"sorting the channels of block kind {name} changes networks: a unit takes what another one gives"


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turns what evo_fair refuses into an assertion."""
    try:
        yield
    except EvoFairError as error:
        raise AssertionError(f"the {what} breaks its protocol: {error}") from error


def _twice(what: str, make: Callable[[], Any], same: Callable[[Any, Any], bool] | None = None) -> Any:
    """What `make` gives, which has to be the same a second time, whatever global random numbers there are."""
    first = make()
    before = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is what must not be used
    random.seed(12345)
    np.random.seed(12345)  # noqa: NPY002
    seeded = _global_state()
    try:
        second = make()
        drawn = _global_state() != seeded
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
    assert not drawn, f"{what} draws from global random numbers: use the Generator that it is handed"
    equal = same(first, second) if same is not None else _plainly_equal(first, second)
    assert equal, f"{what} gives something else a second time, for the same arguments"
    return first


def _global_state() -> tuple[Any, ...]:
    """Python's and NumPy's global random numbers, as what can be compared."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), name, np.asarray(keys).tobytes(), *rest


def _plainly_equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray):
        return bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))
    return bool(first == second)


def _lists_equal(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def _no_latency(table: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    return np.asarray(table[:, :, 1:3].prod(axis=2).sum(axis=1) / 1000.0)


def _table() -> npt.NDArray[np.int32]:
    space = small_space()
    genomes = space.canonical(space.sample(np.random.default_rng(0), _NETWORKS))
    return space.decode(genomes)


def _check_genomes(genomes: npt.NDArray[Any], space: SearchSpace) -> None:
    genes = len(space.gene_names)
    assert genomes.ndim == 2, f"ask() gives an array of the shape {list(genomes.shape)}: genomes are [n, {genes}]"
    assert genomes.shape[1] == genes, f"ask() gives genomes of {genomes.shape[1]} genes, the space has {genes}"
    assert len(genomes) > 0, "ask(12) gives no genome"
    assert genomes.dtype == np.int16, f"ask() gives {genomes.dtype}: genomes are int16"
    within = ((genomes >= 0) & (genomes < space.cardinalities)).all()
    assert within, "ask() gives a gene outside of 0 to cardinality - 1"


def _worth(genomes: npt.NDArray[np.int16], space: SearchSpace, objectives: int) -> tuple[Any, Any]:
    """Objectives that contradict each other, and violations; some networks are not measured."""
    share = genomes / np.maximum(space.cardinalities - 1, 1)
    size = share.mean(axis=1)
    columns = [1.0 - 0.8 * size, 0.1 + 0.2 * share[:, 0], 1000.0 + 5000.0 * size]
    values = np.column_stack([columns[place % 3] + 0.01 * place for place in range(objectives)])
    violations = np.maximum(0.0, size - 0.6)
    unmeasured = violations > 0.2
    values[unmeasured] = np.nan
    return values, np.where(unmeasured, violations + 1.0, violations)


def _through_a_file(state: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{f"state.{key}": value for key, value in state.items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {key.removeprefix("state."): arrays[key] for key in arrays.files}


def _pruning_task() -> tuple[Any, Any]:
    """A small network, trained for two epochs on `small_dataset`, and its task."""
    import torch
    from torch import nn

    from evo_fair.nets import initialise
    from evo_fair.problem import Training
    from evo_fair.pruning.task import Dense, Task, state_of

    task = Task(small_dataset(), "site", Training(epochs=2, batch_size=16, learning_rate=0.1))
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48, 3),
    )
    initialise(network, torch.Generator().manual_seed(0))
    early = state_of(network)
    task.train(network, 2, 0)
    network.zero_grad(set_to_none=True)
    return task, Dense(network.eval(), early, 2)


def _state(network: Any) -> dict[str, npt.NDArray[Any]]:
    return {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}


def _states_equal(first: Mapping[str, npt.NDArray[Any]], second: Mapping[str, npt.NDArray[Any]]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _scores_equal(first: Any, second: Any) -> bool:
    return _states_equal(first.weights, second.weights) and _states_equal(first.channels, second.channels)
