"""Networks that torch makes together: each as it is alone, whatever it shares and however many threads there are."""

import numpy as np
import pytest
import torch

from evo_fair.nets import Supernet
from evo_fair.nets.device import TorchDevice
from evo_fair.nets.inputs import Normalised
from evo_fair.problem import load_problem
from evo_fair.proxy import Proxy, predict_logits, together
from evo_fair.proxy.together import make_networks, threads_for
from evo_fair.space import SearchSpace
from tests.gadget import GADGET, gadget
from tests.proxy.test_population import proxy_of


def _alike(proxy: Proxy) -> list[np.ndarray]:
    """Networks that begin alike in pairs, two equal ones, and the largest and smallest."""
    space = proxy.supernet.space
    genomes = space.sample(np.random.default_rng(1), 6)
    genomes[3:, : genomes.shape[1] // 2] = genomes[:3, : genomes.shape[1] // 2]
    return [*space.canonical(genomes), space.largest(), space.smallest(), space.largest()]


@pytest.mark.parametrize("name", ["digits", "ham10000", "adult"])
def test_networks_made_together_are_to_the_bit_what_each_is_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "BATCH", 16)  # of 30 samples
    proxy = proxy_of(name)
    genomes = _alike(proxy)
    made = [make_networks(proxy.supernet, proxy.calibration, proxy.samples, genomes, threads) for threads in (1, 3)]
    for genome, *both in zip(genomes, *made, strict=True):
        alone = proxy.network(genome)
        expected = np.concatenate([predict_logits(alone, part) for part in (proxy.samples[:16], proxy.samples[16:])])
        for network, logits in both:
            assert np.array_equal(logits, expected)
            own, other = network.state_dict(), alone.state_dict()
            assert list(own) == list(other)
            assert all(own[key].equal(other[key]) for key in own)
            assert not network.training
            assert not any(weight.requires_grad for weight in network.parameters())


def test_blocks_that_networks_begin_with_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = proxy_of("digits")
    ran = []
    run_block = together.run_block
    monkeypatch.setattr(together, "run_block", lambda block, *rest: (ran.append(block), run_block(block, *rest))[1])
    genomes = _alike(proxy)
    make_networks(proxy.supernet, proxy.calibration, proxy.samples, genomes)
    networks = [tuple(proxy.supernet.space.architecture(genome)) for genome in genomes]
    beginnings = {blocks[:depth] for blocks in networks for depth in range(1, len(blocks) + 1)}
    assert len(ran) == 2 * len(beginnings) < 2 * sum(map(len, networks)), (
        "once on the calibration images, once on samples"
    )


def test_a_fault_in_a_thread_is_raised() -> None:
    proxy = proxy_of("digits")
    with pytest.raises((RuntimeError, IndexError)):
        make_networks(proxy.supernet, proxy.calibration[:, :, :, :0], proxy.samples, _alike(proxy), 3)


def test_large_images_leave_room_for_few_threads() -> None:
    proxy = proxy_of("ham10000")
    assert threads_for(proxy.supernet, 4) == 4
    assert threads_for(proxy.supernet, 10**6) < 10**6
    assert threads_for(proxy.supernet, 4, 10**9) == 1


@pytest.mark.parametrize(("size", "threads"), [(32, 4), (64, 4), (224, 1)])
def test_the_size_of_the_images_says_how_many_threads_have_room(size: int, threads: int) -> None:
    space = SearchSpace(load_problem("image_folder").space, (3, size, size), 7)
    supernet = Supernet.initialise(space, torch.Generator().manual_seed(0), *np.ones((2, 3), np.float32))
    assert threads_for(supernet, 4, 512) == threads


def test_samples_too_many_to_be_held_are_predicted_to_the_same_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    held = proxy_of("ham10000")
    monkeypatch.setattr("evo_fair.nets.inputs._KEPT", 1000)
    monkeypatch.setattr("evo_fair.proxy.samples._PART", 7 * 4 * 3 * 32 * 32)
    monkeypatch.setattr("evo_fair.proxy.proxy.memory_for_features", lambda: 1 << 19)
    asked = proxy_of("ham10000")
    assert isinstance(asked.samples, Normalised)
    genomes = np.stack(_alike(held))
    networks = [held.supernet.space.architecture(genome) for genome in genomes]
    assert np.array_equal(asked.population.logits(networks), held.population.logits(networks))
    assert np.array_equal(asked.predict(genomes), held.predict(genomes))
    made = make_networks(asked.supernet, asked.calibration, asked.samples, list(genomes[:2]))
    again = make_networks(held.supernet, held.calibration, held.samples, list(genomes[:2]))
    assert all(np.array_equal(a.logits, b.logits) for a, b in zip(made, again, strict=True))


@pytest.mark.parametrize("name", ["digits", "adult"])
def test_on_an_accelerator_networks_are_nearly_those_of_the_cpu(name: str) -> None:
    proxy = proxy_of(name)
    genomes = proxy.supernet.space.sample(np.random.default_rng(0), 6)
    wanted = [proxy.logits(genome) for genome in genomes]
    source = (proxy.supernet, *proxy._raw)
    held = Proxy(*source, device=TorchDevice("cpu", accelerated=True))
    with gadget() as there:
        away = Proxy(*source, device=GADGET)
        labels = away.predict(genomes)
        one = away.logits(genomes[2])
    assert there.made > 100
    for number, logits in enumerate(wanted):
        np.testing.assert_allclose(held.logits(genomes[number]), logits, atol=1e-4 * np.abs(logits).max())
    np.testing.assert_allclose(one, wanted[2], atol=1e-4 * np.abs(wanted[2]).max())
    assert (labels == np.stack(wanted).argmax(2)).mean() > 0.99
    assert "population" not in away.__dict__
    away.close()


def test_on_an_accelerator_a_network_does_not_depend_on_its_company() -> None:
    proxy = proxy_of("digits")
    genomes = proxy.supernet.space.sample(np.random.default_rng(0), 6)
    held = Proxy(proxy.supernet, *proxy._raw, device=TorchDevice("cpu", accelerated=True))
    assert held._elsewhere is not None
    together = list(held._elsewhere.logits(genomes))
    for genome, logits in zip(genomes, together, strict=True):
        assert np.array_equal(held.logits(genome), logits)
