"""Scores worked out by hand on a network of two linear layers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.errors import PruningError, UnknownNameError
from evo_fair.pruning import CRITERIA, Samples, Scores, Structure, choose, criterion_named, trace_structure
from evo_fair.pruning.criteria import BETA, check_criteria, checked_criterion
from evo_fair.pruning.greedy import shares_kept

from .conftest import TwoLayers

RNG = np.random.default_rng(0)


def by_hand(network: TwoLayers, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of each sample's loss: of `first` `[n, 2, 2]` and of `second` `[n, 2, 2]`."""
    w, v = network.first.weight.detach().double().numpy(), network.second.weight.detach().double().numpy()
    of_first, of_second = [], []
    for x, label in zip(samples.x.double().numpy(), samples.labels, strict=True):
        hidden = w @ x
        logits = v @ hidden
        probability = np.exp(logits) / np.exp(logits).sum()
        error = probability - np.eye(2)[label]
        of_second.append(np.outer(error, hidden))
        of_first.append(np.outer(v.T @ error, x))
    return np.array(of_first), np.array(of_second)


def test_magnitude(network: TwoLayers, structure: Structure, samples: Samples) -> None:
    l1 = CRITERIA["magnitude_l1"](network, structure, samples, RNG)
    assert l1.weights["first.weight"].tolist() == [[1, 3], [2, 0]]
    # Channel 0: 1, 3 make it and 0.5, 1.5 read it; channel 1: 2, 0 and 1.25, 4.
    assert l1.channels["first"].tolist() == [6 / 4, 7.25 / 4]
    l2 = CRITERIA["magnitude_l2"](network, structure, samples, RNG)
    assert l2.channels["first"] == pytest.approx([math.sqrt(12.5 / 4), math.sqrt(21.5625 / 4)])


def test_lamp_is_the_share_of_all_that_is_not_smaller(
    network: TwoLayers, structure: Structure, samples: Samples
) -> None:
    scores = CRITERIA["lamp"](network, structure, samples, RNG)
    # Squares 0, 1, 4, 9: each by the sum of itself and the larger ones; the largest of a layer is worth 1.
    assert scores.weights["first.weight"].ravel() == pytest.approx([1 / 14, 1, 4 / 13, 0])
    total = 0.25 + 1.5625 + 2.25 + 16
    assert scores.weights["second.weight"].ravel() == pytest.approx(
        [0.25 / total, 1.5625 / (total - 0.25), 2.25 / 18.25, 1]
    )
    assert scores.channels["first"] == pytest.approx([12.5 / (12.5 + 21.5625), 1])  # mean squares as in magnitude_l2


def test_lamp_of_zeros_is_zero(structure: Structure, samples: Samples) -> None:
    nothing = TwoLayers([[0.0, 0.0], [0.0, 0.0]], [[0.5, 1.25], [-1.5, 4.0]])
    assert not CRITERIA["lamp"](nothing, structure, samples, RNG).weights["first.weight"].any()


def test_random_is_reproducible_and_between_0_and_1(network: TwoLayers, structure: Structure, samples: Samples) -> None:
    first, again = (CRITERIA["random"](network, structure, samples, np.random.default_rng(3)) for _ in range(2))
    assert first.weights["second.weight"].tolist() == again.weights["second.weight"].tolist()
    assert len(set(first.weights["first.weight"].ravel())) == 4
    assert ((first.channels["first"] > 0) & (first.channels["first"] < 1)).all()


def test_bn_scale() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        network[1].weight.copy_(torch.tensor([-0.5, 0.1]))
    structure = trace_structure(network, torch.zeros(2, 2))
    samples = Samples(torch.eye(2), np.array([0, 1]), np.array([0, 1], np.int16))
    scores = CRITERIA["bn_scale"](network, structure, samples, RNG)
    assert scores.channels["0"] == pytest.approx([0.5, 0.1])
    assert scores.weights["0.weight"].ravel() == pytest.approx([0.5, 1.0, 0.3, 0.4])
    assert scores.weights["3.weight"] == pytest.approx(network[3].weight.detach().abs().numpy())


def test_bn_scale_needs_batch_norm(network: TwoLayers, structure: Structure, samples: Samples) -> None:
    with pytest.raises(PruningError, match="no batch norm follows"):
        CRITERIA["bn_scale"](network, structure, samples, RNG)


def test_taylor(network: TwoLayers, structure: Structure, samples: Samples) -> None:
    first, second = (g.mean(0) for g in by_hand(network, samples))
    w, v = network.first.weight.detach().numpy(), network.second.weight.detach().numpy()
    scores = CRITERIA["taylor"](network, structure, samples, RNG)
    assert scores.weights["first.weight"] == pytest.approx((first * w) ** 2, rel=1e-4)
    whole = (first * w).sum(1) + (second * v).sum(0)
    assert scores.channels["first"] == pytest.approx(whole**2, rel=1e-4)


def test_fairprune_takes_the_group_with_the_larger_loss_for_the_unprivileged(
    network: TwoLayers, structure: Structure, samples: Samples
) -> None:
    # Logits (3, 6.5) with label 0 lose 3.53, (-1.5, 4.5) with label 1 lose 0.002: group 0 is the unprivileged one.
    first, second = (g**2 for g in by_hand(network, samples))
    w, v = network.first.weight.detach().numpy(), network.second.weight.detach().numpy()
    of_first = 0.5 * w**2 * (first[0] - BETA * first[1])
    of_second = 0.5 * v**2 * (second[0] - BETA * second[1])
    scores = CRITERIA["fairprune"](network, structure, samples, RNG)
    assert scores.weights["first.weight"] == pytest.approx(of_first, rel=1e-4)
    assert scores.channels["first"] == pytest.approx(of_first.sum(1) + of_second.sum(0), rel=1e-4)


def test_shares_kept_lets_the_group_choose_that_has_kept_least() -> None:
    # Group 0 needs part 0 most (6 of 10), group 1 part 2 (5 of 10). 0 begins with part 0 (kept: 0.6, 0.1), then 1
    # takes part 2 (0.7, 0.6), 1 again part 1 (0.8, 0.9), and part 3 is left.
    places = shares_kept(np.array([[6.0, 1.0, 1.0, 2.0], [1.0, 3.0, 5.0, 1.0]]))
    assert places.tolist() == [1.0, 0.5, 0.75, 0.25]


def test_a_group_to_which_nothing_matters_leaves_the_choice_to_others() -> None:
    places = shares_kept(np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]]))
    assert places.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert shares_kept(np.zeros((2, 3))).tolist() == [1.0, pytest.approx(2 / 3), pytest.approx(1 / 3)]


def test_fairgrape_orders_by_importance_to_both_groups(
    network: TwoLayers, structure: Structure, samples: Samples
) -> None:
    first, second = by_hand(network, samples)
    w, v = network.first.weight.detach().numpy(), network.second.weight.detach().numpy()
    flat = np.stack([np.concatenate([(first[g] * w).ravel(), (second[g] * v).ravel()]) for g in (0, 1)])
    scores = CRITERIA["fairgrape"](network, structure, samples, RNG)
    found = np.concatenate([scores.weights["first.weight"].ravel(), scores.weights["second.weight"].ravel()])
    assert found.tolist() == shares_kept(flat**2).tolist()
    assert sorted(scores.channels["first"]) == [0.5, 1.0]


def test_conflict_is_the_cosine_of_both_gradients(network: TwoLayers, structure: Structure, samples: Samples) -> None:
    first, second = by_hand(network, samples)
    # Two groups of one sample: the variance of their losses a and b, ((a - b) / 2)^2, has the gradient
    # (a - b) / 2 * (da - db), and a > b.
    accuracy, fairness = first.mean(0), first[0] - first[1]
    scores = CRITERIA["conflict"](network, structure, samples, RNG)
    w, v = network.first.weight.detach().numpy(), network.second.weight.detach().numpy()
    assert scores.weights["first.weight"] == pytest.approx(np.sign(accuracy * fairness * np.abs(w)))
    for channel in range(2):
        a = np.concatenate([(accuracy * w)[channel], (second.mean(0) * v)[:, channel]])
        f = np.concatenate([(fairness * w)[channel], ((second[0] - second[1]) * v)[:, channel]])
        cosine = a @ f / np.linalg.norm(a) / np.linalg.norm(f)
        assert scores.channels["first"][channel] == pytest.approx(cosine, rel=1e-4)


def test_conflict_takes_out_a_channel_that_serves_one_group_against_the_other() -> None:
    # Units 0 and 1 read what tells the label in both groups. Unit 2 reads what agrees with the label in group 0, nine
    # samples of ten, and contradicts it in group 1: accuracy wants more of it, fairness less. Logits differ by 2.5 +- 1
    # for the right label, so its gradients are in proportion to (-9 s(-3.5) + s(-1.5)) / 10 < 0 for accuracy, and to
    # s(-3.5) + s(-1.5) > 0 for fairness, with the sigmoid s.
    network = TwoLayers([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]], [[1.0, 0.5, 0.5], [-1.0, -0.5, -0.5]])
    x = torch.tensor([[1.0, 1.0]] * 9 + [[1.0, -1.0]])
    x = torch.cat([x, -x])
    labels = np.repeat([0, 1], 10)
    groups = np.tile([0] * 9 + [1], 2).astype(np.int16)
    structure = trace_structure(network, torch.zeros(1, 2))
    scores = CRITERIA["conflict"](network, structure, Samples(x, labels, groups), RNG)
    assert scores.channels["first"] == pytest.approx([1, 1, -1])
    kept = choose(network, structure, scores, 1 / 3, "structured", "uniform")
    assert kept.keep is not None
    assert kept.keep["first"].tolist() == [True, True, False]
    by_size = CRITERIA["magnitude_l1"](network, structure, Samples(x, labels, groups), RNG)
    assert by_size.channels["first"].argmin() == 1


def test_groups_are_needed(network: TwoLayers, structure: Structure) -> None:
    alone = Samples(torch.eye(2), np.array([0, 1]), np.array([0, -1], np.int16))
    for name in ("fairprune", "fairgrape", "conflict"):
        with pytest.raises(PruningError, match="hold 1 group"):
            CRITERIA[name](network, structure, alone, RNG)


def test_a_criterion_leaves_the_network_as_it_is(network: TwoLayers, structure: Structure, samples: Samples) -> None:
    network.first.weight.requires_grad_(False)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name in sorted(set(CRITERIA) - {"bn_scale"}):
        CRITERIA[name](network, structure, samples, np.random.default_rng(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training
    assert not network.first.weight.requires_grad
    assert network.second.weight.grad is None


def test_unknown_criterion_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown criterion 'magnitud'"):
        criterion_named("magnitud")


def test_a_criterion_of_the_users_own_may_change_what_it_is_given(
    network: TwoLayers, structure: Structure, samples: Samples
) -> None:
    expected = CRITERIA["magnitude_l1"](network, structure, samples, RNG)

    def careless(given: nn.Module, known: Structure, some: Samples, rng: np.random.Generator) -> Scores:
        scores = CRITERIA["magnitude_l1"](given, known, some, rng)
        given.requires_grad_(False)
        for tensor in given.parameters():
            tensor.zero_()
        known.groups.clear()  # type: ignore[attr-defined]
        torch.set_grad_enabled(False)
        return scores

    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = checked_criterion("careless", careless)(network, structure, samples, RNG)
    assert found.weights["first.weight"].tolist() == expected.weights["first.weight"].tolist()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(tensor.requires_grad for tensor in network.parameters())
    assert structure.groups
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("kind", [np.complex128, "U5", object])
def test_scores_that_are_no_real_numbers_are_refused(
    kind: object, network: TwoLayers, structure: Structure, samples: Samples
) -> None:
    def odd(given: nn.Module, known: Structure, some: Samples, rng: np.random.Generator) -> Scores:
        scores = CRITERIA["magnitude_l1"](given, known, some, rng)
        return Scores({name: values.astype(kind) for name, values in scores.weights.items()}, scores.channels)

    with pytest.raises(PruningError, match=r"criterion 'odd': weights of 'first\.weight' are no numbers"):
        checked_criterion("odd", odd)(network, structure, samples, RNG)


def test_a_criterion_that_fails_on_a_network_is_told_with_another_that_there_is() -> None:
    def odd(*_: object) -> object:
        raise ZeroDivisionError

    with pytest.raises(PruningError, match=r"odd can't score the network .*: use another, such as (\w+)$") as caught:
        check_criteria({"odd": odd}, nn.Linear(2, 2), None, None)  # type: ignore[dict-item, arg-type]
    assert str(caught.value).rpartition(" ")[2] in CRITERIA
