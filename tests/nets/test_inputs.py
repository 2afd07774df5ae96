"""Statistics and normalisation of raw inputs, a few at a time where they are many."""

import pickle

import numpy as np
import pytest
import torch

from evo_fair.arrays import Selected
from evo_fair.files import digest
from evo_fair.nets import inputs as module
from evo_fair.nets.inputs import Normalised, Scaling, input_statistics
from evo_fair.nets.moments import mean_and_variance


def _images(n: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, 5, 4)).astype(np.uint8)


def test_counted_statistics_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = input_statistics(_images())
    monkeypatch.setattr(module, "_LARGE", 100)
    monkeypatch.setattr(module, "_COUNTED", 7)
    for images in (_images(), Selected(_images(), np.arange(50))):
        for ours, numpys in zip(input_statistics(images), expected, strict=True):
            np.testing.assert_allclose(ours, numpys, rtol=2e-7)


def test_features_are_standardised_whatever_their_unit() -> None:
    values = np.random.default_rng(0).normal(size=(500, 1))
    units = np.array([[1e-30, 1e-9, 1e-4, 1.0, 1e6]])
    x = Scaling.of((values * units + 3 * units).astype(np.float32))((values * units + 3 * units).astype(np.float32))
    np.testing.assert_allclose(x.std(0, correction=0), 1, rtol=1e-4)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-3)


def test_features_that_are_constant_in_training_are_not_blown_up_elsewhere() -> None:
    train = np.tile(np.float32([0, 0.1, 1000]), (300, 1))
    train[::2, 2] = np.nextafter(np.float32(1000), np.float32(2000))  # rounding
    x = Scaling.of(train)(np.float32([[1, 1.1, 1001]]))
    np.testing.assert_allclose(x, [[1, 1, 1]], rtol=1e-3)


@pytest.mark.parametrize("kept", [True, False])
def test_batches_are_those_of_all_normalised(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    monkeypatch.setattr(module, "_KEPT", 2**20 if kept else 10)
    rows = np.array([3, 1, 40, 8, 9])
    scaling = Scaling.of(_images())
    batches = Normalised(Selected(_images(), rows), scaling)
    assert (batches.kept is not None) == kept
    assert len(batches) == 5
    assert torch.equal(batches[1:4], scaling(_images()[rows])[1:4])


def test_selected_rows_have_the_shape_and_content_of_a_copy() -> None:
    rows = np.array([3, 1, 40])
    selected, copy = Selected(_images(), rows), _images()[rows]
    assert (selected.shape, selected.dtype, selected.ndim, len(selected)) == (copy.shape, copy.dtype, copy.ndim, 3)
    assert selected.nbytes == copy.nbytes
    assert np.array_equal(selected[np.array([2, 0])], copy[[2, 0]])
    assert digest(selected) == digest(copy.tobytes())
    assert len(pickle.dumps(selected)) < 2 * copy.nbytes + 1000, "the other rows stay"
    assert np.array_equal(pickle.loads(pickle.dumps(selected))[:], copy)


@pytest.mark.parametrize("shape", [(64, 7, 5, 3), (40, 13, 1, 1), (500, 33), (30, 1, 4, 4), (9, 96, 16, 16)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_moments_are_torch_s_to_the_bit(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1)) + 1
    if x.dim() == 4:
        x = x.contiguous(memory_format=layout)
    variance, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
    ours = mean_and_variance(x)
    assert torch.equal(ours[0], mean)
    assert torch.equal(ours[1], variance)


def test_moments_of_what_is_not_finite_are_not_finite() -> None:
    x = torch.tensor([[1.0, 2.0], [float("nan"), 3.0]])
    mean, variance = mean_and_variance(x)
    assert mean.isnan().tolist() == variance.isnan().tolist() == [True, False]
