"""MBSE, inverted residuals that weigh their channels: their layers, what they compute, and all that is done to them."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch.nn import functional

import evo_fair as ef
from evo_fair.auditing.orders import importance_by_gene, ordered
from evo_fair.export.export import check_parity, export_onnx
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.layers import Op, macs, params, peak_memory_bytes
from evo_fair.nets import Supernet
from evo_fair.nets.channels import channel_groups
from evo_fair.proxy import Proxy
from evo_fair.pruning.samples import Samples
from evo_fair.registry import restored_afterwards
from evo_fair.space import Kind, SearchSpace, SpaceSchema, add_kind, find_kind
from evo_fair.space.kinds import DB, Channels, KindUnit, squeezed_width
from evo_fair.testing import check_kind, small_dataset

PROBLEM = """
title = "a tiny search of blocks that weigh channels"
[data]
source = "digits"
[fairness]
group = "site"
[space]
channel_multiple = 4
stem = { widths = [4, 8], stride = 2 }
[[space.stage]]
slots = 2
kinds = ["MBSE", "MB"]
widths = [4, 8]
kernels = { MB = [3, 5], MBSE = [3, 5] }
expansions = [2, 6]
keep_channels = [8, 16, 40]
[training]
epochs = 2
batch_size = 16
learning_rate = 0.1
[search]
objectives = ["error", "unfairness", "latency_ms"]
budget = 12
population = 4
"""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    stage = {"slots": 2, "kinds": ["MBSE"], "widths": [16], "keep_channels": [8, 40, 64], "expansions": [8]}
    schema = SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]})
    return SearchSpace(schema, (1, 8, 8), 3)


@pytest.fixture(scope="module")
def proxy(space: SearchSpace) -> Proxy:
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet.initialise(space, generator, np.full(1, 60, np.float32), np.full(1, 0.02, np.float32))
    for name, tensor in supernet.weights.items():  # batch norms unlike the identity
        if name.endswith((".gamma", ".beta")):
            tensor += torch.randn(tensor.shape, generator=generator) / 2
    inputs = small_dataset(24).inputs
    return Proxy(supernet, inputs, inputs, threads=2)


@pytest.mark.parametrize(("channels", "squeezed"), [(4, 8), (32, 8), (40, 16), (64, 16), (65, 24), (960, 240)])
def test_a_quarter_of_the_channels_is_squeezed(channels: int, squeezed: int) -> None:
    assert squeezed_width(channels) == squeezed


def comparable(rows: npt.NDArray[np.int32]) -> list[list[int]]:
    """The layers of a network sorted, without what is no size: a pool's kernel, and where an operand comes from."""
    rows = rows[rows[:, 0] > 0].copy()
    rows[np.isin(rows[:, 0], (Op.GLOBAL_POOL, Op.ADD)), 3] = 1
    return sorted(rows.tolist())


def test_its_layers_are_those_of_the_file(space: SearchSpace, proxy: Proxy, tmp_path: Path) -> None:
    genome = space.largest()
    genome[[space.gene_names.index(f"stage1.slot{slot}.keep") for slot in (1, 2)]] = 1, 2
    table = space.decode(genome[None])
    rows = table[0]
    assert rows[1:12, :5].tolist() == [
        [Op.CONV, 8, 16, 1, 1],  # the shortcut
        [Op.CONV, 8, 40, 1, 1],
        [Op.DEPTHWISE, 40, 40, 3, 1],
        [Op.GLOBAL_POOL, 40, 40, 8, 1],
        [Op.LINEAR, 40, 16, 1, 1],  # a convolution of one pixel
        [Op.LINEAR, 16, 40, 1, 1],
        [Op.ACTIVATION, 40, 40, 1, 1],
        [Op.MUL, 40, 40, 1, 1],
        [Op.CONV, 40, 16, 1, 1],
        [Op.ADD, 16, 16, 9, 1],
        [Op.CONV, 16, 64, 1, 1],
    ]
    network = proxy.network(genome)
    path = tmp_path / "a.onnx"
    export_onnx(network, space.input_shape, path)
    graph = read_onnx(path)
    assert graph.unknown == ()
    assert comparable(graph.table[0]) == comparable(rows)
    assert graph.peak_values * 4 + 4 * graph.params == peak_memory_bytes(table)[0]
    assert sum(layer.macs for layer in graph.layers) == macs(table)[0]
    assert sum(parameter.numel() for parameter in network.parameters()) == params(table)[0]
    check_parity(path, proxy.logits(genome), proxy.samples)


def test_channels_are_weighed_by_what_their_means_say(space: SearchSpace, proxy: Proxy) -> None:
    network = proxy.network(space.smallest())
    block = network.blocks[1]
    layers = {name: network.unit(block, name).layer for name in ("shortcut", "expand", "depthwise", "project")}
    squeeze, excite = network.unit(block, "squeeze").layer, network.unit(block, "excite").layer
    with torch.no_grad():
        x = functional.relu(network.unit(network.blocks[0], "conv").layer(proxy.samples))
        y = functional.relu(layers["depthwise"](functional.relu(layers["expand"](x))))
        means = y.mean((2, 3))
        hidden = functional.relu(means @ squeeze.weight[:, :, 0, 0].T + squeeze.bias)
        weights = ((hidden @ excite.weight[:, :, 0, 0].T + excite.bias) / 6 + 0.5).clamp(0, 1)
        y = functional.relu(layers["project"](y * weights[:, :, None, None]) + layers["shortcut"](x))
        expected = network.classifier(y.mean((2, 3)))
    assert 0.05 < float(weights.std()) < 0.5
    np.testing.assert_allclose(proxy.logits(space.smallest()), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_it_passes_the_kit() -> None:
    check_kind("MBSE")


def test_a_kind_of_ones_own_may_weigh_what_comes_in() -> None:
    weigh = (KindUnit("mean", Channels.IN, Channels.SQUEEZED), KindUnit("weigh", Channels.SQUEEZED, Channels.IN))
    with restored_afterwards():
        add_kind(Kind("DBSE", (DB.units[0], *weigh, DB.units[1])))
        check_kind("DBSE")


def test_variants_squeeze_too() -> None:
    assert find_kind("MBSE6_5x5").excited
    assert not find_kind("MB6_5x5").excited


def test_squeezed_channels_are_sorted_on_their_own(space: SearchSpace) -> None:
    group = next(group for group in channel_groups(space) if group.outputs[0].endswith("squeeze.weight"))
    assert group.outputs == [f"stage1.slot1.MBSE.squeeze.{name}" for name in ("weight", "gamma", "beta")]
    assert group.inputs == ["stage1.slot1.MBSE.excite.weight"]
    assert group.levels == (8, 16)


def test_an_audits_orders_leave_full_networks_as_they_were(space: SearchSpace, proxy: Proxy) -> None:
    data = small_dataset(24)
    samples = Samples(proxy.samples, data.labels, np.zeros(len(data.labels), np.int16))
    before = proxy.logits(space.largest())
    for criterion in ("magnitude_l1", "random"):
        other = ordered(proxy.supernet, criterion, 0, samples)
        for name in ("expand", "squeeze"):
            place = f"stage1.slot1.MBSE.{name}.weight"
            assert not torch.equal(other.weights[place], proxy.supernet.weights[place])
        after = Proxy(other, data.inputs, data.inputs).logits(space.largest())
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)
    importance = importance_by_gene(proxy.supernet, space.largest())
    keeps = [space.gene_names.index(f"stage1.slot{slot}.keep") for slot in (1, 2)]
    assert [len(importance[gene]) for gene in keeps] == [64, 64]  # the hidden channels, not the squeezed ones


def test_predictions_hang_on_the_genome_alone(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PROBLEM)
    problem = ef.load_problem(tmp_path / "a.toml").with_data(small_dataset())
    space = problem.search_space((1, 8, 8), 3)
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet.initialise(space, generator, np.full(1, 60, np.float32), np.full(1, 0.02, np.float32))
    inputs = small_dataset(24).inputs
    genomes = np.unique(space.sample(np.random.default_rng(0), 12), axis=0)
    excited = [any(block.kind.excited for block in space.architecture(genome)) for genome in genomes]
    assert {True, False} == set(excited)
    together = Proxy(supernet, inputs, inputs, threads=3)
    alone = Proxy(supernet, inputs, inputs)
    predictions = together.predict(genomes)
    for genome, labels in zip(genomes, predictions, strict=True):
        np.testing.assert_array_equal(alone.predict(genome[None])[0], labels)
        np.testing.assert_array_equal(alone.logits(genome).argmax(1), labels)


def test_it_goes_through_search_resume_deploy_and_prune(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PROBLEM)
    problem = ef.load_problem(tmp_path / "a.toml").with_data(small_dataset())
    run = ef.search(problem, out=tmp_path / "run")
    space = problem.search_space((1, 8, 8), 3)
    lines = (tmp_path / "run/journal.jsonl").read_bytes().splitlines(keepends=True)
    shutil.copytree(tmp_path / "run", tmp_path / "half")
    (tmp_path / "half/journal.jsonl").write_bytes(b"".join(lines[:6]))
    ef.search(problem, out=tmp_path / "half", resume=True)
    assert (tmp_path / "half/journal.jsonl").read_bytes() == b"".join(lines)

    excited = [
        record.id
        for record in run.front_records
        if any(block.kind.excited for block in space.architecture(record.genome))
    ]
    assert excited
    table = ef.deploy(run, networks=excited[:2], epochs=1, data=small_dataset())
    assert table["id"].tolist() == excited[:2]

    options = {"methods": ["taylor", "ballot"], "epochs": 1, "network": "largest"}
    pruned = ef.prune(problem, out=tmp_path / "pruned", **options)
    assert pruned["method"].tolist() == ["dense", "taylor", "ballot"]
    assert (pruned["params"][1:] < pruned["params"][0]).all()
    (tmp_path / "pruned/taylor-0.5-0.json").unlink()
    pd.testing.assert_frame_equal(pruned, ef.prune(problem, out=tmp_path / "pruned", resume=True, **options))
