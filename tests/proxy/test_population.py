"""Networks evaluated together predict what each of them predicts alone, and what torch predicts."""

import numpy as np
import pytest
import torch

from evo_fair.errors import EvoFairError
from evo_fair.extend import Channels, Hidden, Kind, KindUnit, add_kind
from evo_fair.nets import Supernet
from evo_fair.problem import load_problem
from evo_fair.proxy import Proxy, check_precision, torch_device
from evo_fair.proxy.population import Population
from evo_fair.proxy.tiles import BF16
from evo_fair.registry import restored_afterwards
from evo_fair.space import Block, SearchSpace, SpaceSchema

WIDER = "digits, all kinds with kernels of 3 and 5"
STRIDED = "digits, all strides of 1 or 2"
SPACES = {
    "digits": ((1, 8, 8), 10),
    "ham10000": ((3, 32, 32), 7),
    "adult": ((21,), 2),
    "nas_bench_macro": ((3, 8, 8), 10),
    WIDER: ((1, 8, 8), 10),
    STRIDED: ((1, 10, 9), 10),
}


def proxy_of(name: str, threads: int = 1, samples: int = 30, precision: str = "fp32") -> Proxy:
    """A proxy with random weights and random inputs: what it predicts means nothing, but has to be right."""
    shape, labels = SPACES[name]
    rng = np.random.default_rng(7)
    schema = load_problem(name.split(",")[0]).space
    if name == WIDER:
        wide = [stage.model_copy(update={"kernels": dict.fromkeys(stage.kinds, (3, 5))}) for stage in schema.stage]
        schema = schema.model_copy(update={"stage": tuple(wide)})
    if name == STRIDED:
        open_to = {"stride": (1, 2)}
        stages = tuple(stage.model_copy(update=open_to) for stage in schema.stage)
        schema = schema.model_copy(update={"stem": schema.stem.model_copy(update=open_to), "stage": stages})
    space = SearchSpace(schema, shape, labels)
    channels = shape[0]
    mean, scale = rng.normal(100, 10, channels).astype(np.float32), np.full(channels, 0.02, np.float32)
    supernet = Supernet.initialise(space, torch.Generator().manual_seed(1), mean, scale)
    for key, tensor in supernet.weights.items():
        if key.endswith(("gamma", "beta")):
            tensor += torch.from_numpy(rng.normal(0, 0.2, tensor.shape).astype(np.float32))
    calibration, validation = (rng.integers(0, 256, (n, *shape)).astype(np.uint8) for n in (40, samples))
    return Proxy(supernet, calibration, validation, threads, precision=precision)


def torch_logits(proxy: Proxy, genome: np.ndarray) -> np.ndarray:
    network = proxy.supernet.extract(genome)
    network.calibrate(proxy.calibration)
    with torch.no_grad():
        logits: np.ndarray = network(proxy.samples).numpy()
    return logits


@pytest.mark.parametrize("name", SPACES)
def test_logits_are_those_of_torch_with_statistics_of_the_calibration_samples(name: str) -> None:
    proxy = proxy_of(name)
    space = proxy.supernet.space
    genomes = np.concatenate([[space.largest(), space.smallest()], space.sample(np.random.default_rng(0), 30)])
    ours = proxy.population.logits([space.architecture(genome) for genome in genomes])
    for genome, logits in zip(genomes, ours, strict=True):
        np.testing.assert_allclose(logits, torch_logits(proxy, genome), rtol=1e-4, atol=1e-4)


needs_bfloat16 = pytest.mark.skipif(not BF16, reason="the processor has no bfloat16 instructions")


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bfloat16)])
@pytest.mark.parametrize("name", SPACES)
def test_company_order_threads_and_memory_change_no_bit(name: str, precision: str) -> None:
    alone = proxy_of(name, precision=precision)
    space = alone.supernet.space
    rng = np.random.default_rng(1)
    genomes = space.sample(rng, 12)
    genomes[6:, : genomes.shape[1] // 2] = genomes[:6, : genomes.shape[1] // 2]  # these begin like the others
    networks = [space.architecture(genome) for genome in space.canonical(genomes)]
    expected = np.concatenate([alone.population.logits([network]) for network in networks])
    for threads, memory in ((1, 0), (3, 0), (2, 1 << 16), (2, 1 << 30), (5, 1 << 30)):
        inputs, half = alone.population._input, precision == "bf16"
        population = Population(alone.supernet, inputs.calibration, inputs.samples, threads, memory, half=half)
        for order in (np.arange(12), rng.permutation(12), np.array([3, 3, 5])):
            assert (population.logits([networks[i] for i in order]) == expected[order]).all()
        population.close()


@pytest.mark.parametrize(
    ("networks", "memory", "threads"),
    [(12, 1 << 30, [2, 2, 1]), (100, 1 << 30, [1] * 5), (7, 1 << 30, [5]), (12, 0, [5]), (12, 4, [3, 2])],
)
def test_threads_get_networks_of_their_own_where_there_are_enough_and_room(
    networks: int, memory: int, threads: list[int]
) -> None:
    """Room is given in features as large as the samples, of which a runner holds about two."""
    proxy = proxy_of("digits")
    inputs = proxy.population._input
    most = memory * inputs.samples.nbytes if memory < 100 else memory
    population = Population(proxy.supernet, inputs.calibration, inputs.samples, 5, most)
    assert [runner.threads for runner in population._runners_for(networks)] == threads
    population.close()


def test_labels_are_the_largest_logits() -> None:
    proxy = proxy_of("digits")
    genomes = proxy.supernet.space.sample(np.random.default_rng(2), 4)
    expected = [proxy.logits(genome).argmax(1) for genome in genomes]
    assert (proxy.predict(genomes) == expected).all()


OWN = {
    "SW": (  # a convolution before the strided one, on a map that is not cut into Winograd's tiles as the block's is
        (KindUnit("wide", Channels.IN, Channels.HIDDEN, 3), KindUnit("half", Channels.HIDDEN, Channels.OUT, 3, True)),
        Hidden.WIDTH,
    ),
    "SN": (  # its last unit, and the depthwise one, depend on the hidden width through the units before them
        (
            KindUnit("wide", Channels.IN, Channels.HIDDEN),
            KindUnit("back", Channels.HIDDEN, Channels.IN),
            KindUnit("depthwise", Channels.IN, Channels.IN, 3, True, True),
            KindUnit("last", Channels.IN, Channels.OUT),
        ),
        Hidden.EXPANSION,
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_kinds_of_ones_own_are_evaluated_as_torch_does(name: str) -> None:
    units, hidden = OWN[name]
    stage = {"slots": 1, "kinds": [name], "widths": [16], "stride": 2, "expansions": [1, 2, 4]}
    with restored_afterwards():
        add_kind(Kind(name, units, hidden))
        schema = SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]})
        space = SearchSpace(schema, (3, 7, 7), 4)
        mean, scale = np.full(3, 120, np.float32), np.full(3, 0.02, np.float32)
        supernet = Supernet.initialise(space, torch.Generator().manual_seed(1), mean, scale)
        images = np.random.default_rng(7).integers(0, 256, (20, 3, 7, 7)).astype(np.uint8)
        proxy = Proxy(supernet, images, images)
        for genome in np.unique(space.sample(np.random.default_rng(0), 20), axis=0):
            np.testing.assert_allclose(proxy.logits(genome), torch_logits(proxy, genome), rtol=1e-4, atol=1e-4)


def test_shared_beginnings_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = proxy_of("digits")
    space = proxy.supernet.space
    largest = space.architecture(space.largest())
    shorter = [*largest[:-1]]
    calibrated: list[Block] = []
    calibrate = proxy.population._blocks.calibrate

    def counted(path: tuple[Block, ...], *arguments: object) -> object:
        calibrated.append(path[-1])
        return calibrate(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(proxy.population._blocks, "calibrate", counted)
    proxy.population.logits([largest, shorter, largest])
    assert calibrated == largest
    proxy.population.logits([largest])
    assert len(calibrated) == len(largest) + 1  # all but the end, wanted for the third time, was kept


def test_kept_features_stay_within_their_memory() -> None:
    proxy = proxy_of("digits")
    space = proxy.supernet.space
    inputs, memory = proxy.population._input, 400_000
    population = Population(proxy.supernet, inputs.calibration, inputs.samples, 1, memory)
    networks = [space.architecture(genome) for genome in space.sample(np.random.default_rng(3), 20)]
    for _ in range(3):
        population.logits(networks)
        kept = population._kept._features
        assert 0 < sum(features.bytes for features in kept.values()) == population._kept._used <= memory


def test_kept_features_that_are_thrown_out_while_they_are_wanted_are_not_missed() -> None:
    proxy = proxy_of("digits")
    space = proxy.supernet.space
    inputs = proxy.population._input
    population = Population(proxy.supernet, inputs.calibration, inputs.samples, 1, 1 << 30)
    first = space.architecture(space.largest())
    second = [*first[:2], first[2]._replace(kernel=first[2].kernel - 2), *first[3:]]
    networks = sorted([first, second])
    expected = population.logits(networks)
    population.logits(networks)
    kept = population._kept
    for path in list(kept._features):
        if len(path) != 3:  # their beginnings are lost, and what follows has to be computed
            kept._used -= kept._features.pop(path).bytes
            del kept._worth[path]
    assert set(kept._features) == {tuple(network[:3]) for network in networks}
    kept._memory = 0  # the first network's features throw out what the second one needs
    assert (population.logits(networks) == expected).all()
    assert not kept._features


def test_on_torchs_device_the_labels_are_the_same() -> None:
    proxy = proxy_of("digits")
    genomes = proxy.supernet.space.sample(np.random.default_rng(4), 5)
    expected = proxy.predict(genomes)
    proxy.device = "cpu:0"  # any but "cpu" goes through torch
    assert (proxy.predict(genomes) == expected).all()


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device("auto") == torch_device("cpu") == "cpu"
    with pytest.raises(EvoFairError, match="torch sees no GPU"):
        torch_device("cuda")
    with pytest.raises(EvoFairError, match="'tpu' is unknown"):
        torch_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_device("auto") == "cuda"


@needs_bfloat16
def test_bfloat16_is_close_to_fp32() -> None:
    exact, half = (proxy_of("ham10000", 2, 200, precision) for precision in ("fp32", "bf16"))
    space = exact.supernet.space
    genomes = space.sample(np.random.default_rng(5), 8)
    rounded = half.population.logits([space.architecture(genome) for genome in genomes])
    expected = exact.population.logits([space.architecture(genome) for genome in genomes])
    assert 0 < np.abs(rounded - expected).max() < 0.05 * np.abs(expected).max()


def test_a_precision_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_precision("fp32", "cuda") == "fp32"
    with pytest.raises(EvoFairError, match="'fp16' is unknown"):
        check_precision("fp16")
    with pytest.raises(EvoFairError, match="torch device cpu"):
        check_precision("bf16", "cuda")
    monkeypatch.setattr("evo_fair.proxy.proxy.BF16", False)
    with pytest.raises(EvoFairError, match="AVX-512 BF16"):
        check_precision("bf16")
