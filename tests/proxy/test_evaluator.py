"""Predictions of populations: they depend on the genome alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evo_fair.data import Dataset
from evo_fair.nets import Supernet
from evo_fair.problem import Problem
from evo_fair.proxy import ProxyEvaluator, ProxySource, calibration_samples
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.space import SearchSpace


@pytest.fixture(scope="module")
def source(problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet) -> ProxySource:
    return proxy_source(problem, dataset, space, stored.path)


@pytest.fixture(scope="module")
def genomes(space: SearchSpace) -> np.ndarray:
    return space.sample(np.random.default_rng(0), 6)


def test_predictions_are_those_of_the_supernet_with_calibrated_statistics(
    source: ProxySource, dataset: Dataset, space: SearchSpace, stored: StoredSupernet, genomes: np.ndarray
) -> None:
    supernet = Supernet.load(stored.path, space)
    inputs = dataset.inputs[calibration_samples(dataset, 512)]
    network = supernet.extract(genomes[0])
    network.calibrate(supernet.normalise(inputs))
    with torch.no_grad():
        expected = network(supernet.normalise(dataset.inputs[dataset.part("validation")])).argmax(1).numpy()
    assert (source.open().predict(genomes[:1])[0] == expected).all()


def test_company_order_and_workers_do_not_matter(source: ProxySource, dataset: Dataset, genomes: np.ndarray) -> None:
    alone = np.stack([source.open().predict(genome[None])[0] for genome in genomes])
    assert (source.open().predict(genomes[::-1])[::-1] == alone).all()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert (source.open().predict(genomes) == alone).all()
    finally:
        torch.set_num_threads(before)
    with ProxyEvaluator(source, dataset, ("class",), jobs=2) as evaluator:
        assert (evaluator.predict(genomes) == alone).all()
        counts = evaluator.evaluate(genomes)["class"]
    right = (alone == dataset.labels[dataset.part("validation")]).sum(1)
    assert np.trace(counts.overall, axis1=1, axis2=2).tolist() == right.tolist()


def test_another_supernet_in_the_same_place_is_loaded_anew(
    problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet, tmp_path: Path
) -> None:
    path = tmp_path / "supernet.safetensors"
    path.write_bytes(stored.path.read_bytes())
    first = proxy_source(problem, dataset, space, path).open()
    changed = Supernet.load(path, space)
    changed.weights["classifier.bias"] += 1
    changed.save(path)
    second = proxy_source(problem, dataset, space, path).open()
    gap = second.logits(space.largest()) - first.logits(space.largest())
    np.testing.assert_allclose(gap, 1, atol=1e-4)


def test_no_genomes_give_no_predictions(source: ProxySource, dataset: Dataset, space: SearchSpace) -> None:
    none = np.zeros((0, len(space.gene_names)), np.int16)
    assert source.open().predict(none).shape == (0, len(dataset.part("validation")))


def test_calibration_samples_are_training_samples_without_repeats(dataset: Dataset) -> None:
    chosen = calibration_samples(dataset, 100)
    assert len(set(chosen.tolist())) == 100
    assert set(chosen.tolist()) <= set(dataset.part("train").tolist())
    assert len(calibration_samples(dataset, 10**6)) == len(dataset.part("train"))
