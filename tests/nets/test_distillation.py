"""Training that follows a teacher."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.errors import DataWarning, EvoFairError
from evo_fair.nets import Step, fit
from evo_fair.nets.distillation import TEMPERATURE, Teacher, check_distillation
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Training

from ..gadget import GADGET, gadget

RECIPE = Training(epochs=6, batch_size=20, learning_rate=0.2, augment=())
FEATURES = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
GUESSED = np.random.default_rng(1).integers(0, 3, 200)
"""Labels that nothing can be learnt from."""
plain = Scaling(torch.zeros(6), torch.ones(6))


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(6, 3)


def knowing() -> nn.Module:
    """A teacher with an opinion of its own on every sample."""
    teacher = network(7)
    with torch.no_grad():
        teacher.weight.mul_(6)  # type: ignore[operator, union-attr]
    return teacher


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_loss_is_joined_by_the_divergence_of_softened_probabilities(share: float) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 5, 3))
    p, q = softmax(theirs / TEMPERATURE), softmax(ours / TEMPERATURE)
    divergence = (p * np.log(p / q)).sum(1).mean() * TEMPERATURE**2
    joined = Teacher(nn.Identity(), share).joined(torch.tensor(2.0), torch.tensor(ours), torch.tensor(theirs))
    assert float(joined) == pytest.approx((1 - share) * 2.0 + share * divergence)
    agreed = Teacher(nn.Identity(), share).joined(torch.tensor(2.0), torch.tensor(theirs), torch.tensor(theirs))
    assert float(agreed) == pytest.approx((1 - share) * 2.0, abs=1e-12)


def test_a_teacher_is_a_frozen_copy_in_evaluation_mode() -> None:
    own = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
    teacher = Teacher.of(own, 0.5, images=True)
    assert own.training
    assert not teacher.network.training
    assert all(weight.requires_grad for weight in own.parameters())
    assert not any(weight.requires_grad for weight in teacher.network.parameters())
    before = teacher.sha256
    with torch.no_grad():
        own[0].weight.zero_()  # type: ignore[operator]
    assert teacher.sha256 == before != Teacher.of(own, 0.5, images=True).sha256
    assert before != Teacher(teacher.network, 0.4).sha256


def test_a_network_learns_what_its_teacher_says_and_not_the_labels() -> None:
    teacher = Teacher.of(knowing(), 1.0, images=False)
    kept = [weight.clone() for weight in teacher.network.parameters()]
    student = network(0)
    fit(student, FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=teacher)
    with torch.no_grad():
        x = torch.from_numpy(FEATURES)
        agreed = (student(x).argmax(1) == teacher.network(x).argmax(1)).float().mean()
    assert agreed > 0.95
    assert all(torch.equal(now, then) for now, then in zip(teacher.network.parameters(), kept, strict=True))


def test_a_broken_off_training_goes_on_with_the_same_teacher_alone(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: Step) -> None:
        if step.epoch == 2:
            raise KilledError

    teacher, path = Teacher.of(knowing(), 0.5, images=False), tmp_path / "state.safetensors"
    straight, broken = network(0), network(0)
    fit(straight, FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=teacher)
    with pytest.raises(KilledError):
        fit(broken, FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=teacher, on_epoch=kill, checkpoint=path)
    for number, other in enumerate((None, Teacher(teacher.network, 0.4), Teacher.of(network(8), 0.5, images=False))):
        copied = shutil.copy(path, tmp_path / f"{number}.safetensors")
        with pytest.warns(DataWarning, match="is of another training: the training begins anew"):
            fit(network(0), FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=other, checkpoint=Path(copied))
    resumed = network(0)
    fit(resumed, FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=teacher, checkpoint=path)
    for ours, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_teacher_follows_to_another_device_and_comes_back() -> None:
    teacher = Teacher.of(knowing(), 0.5, images=False)
    here, there = network(0), network(0)
    fit(here, FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=teacher)
    with gadget():
        fit(there, FEATURES, GUESSED, RECIPE, 0, normalise=plain, teacher=teacher, device=GADGET)
    for one in (there, teacher.network):
        assert all(weight.device.type == "cpu" for weight in one.parameters())
    for ours, theirs in zip(there.parameters(), here.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(EvoFairError, match=r"is no share of the loss: give 0 \(labels alone\) to 1"):
        check_distillation(share)
    for one in (0, 0.5, 1):
        check_distillation(one)
