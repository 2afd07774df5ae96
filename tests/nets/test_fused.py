"""Fused training layers compute what torch's separate ones do in double precision, gradients and statistics too."""

import copy
import math

import pytest
import torch
from torch import nn

from evo_fair.nets import initialise
from evo_fair.nets.fused import IDENTITY, RELU, RELU6, Clamp, batch_statistics, clamp_of, run_unit
from evo_fair.nets.reference import REFERENCES


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (2 * x + 1).to(memory_format=torch.channels_last).requires_grad_()


def unit(c_in: int, c_out: int, kernel: int, stride: int, groups: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(c_out)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (layer.weight, norm.weight, norm.bias):
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return layer.to(memory_format=torch.channels_last), norm


@pytest.mark.parametrize("adding", [False, True])
@pytest.mark.parametrize("clamp", [IDENTITY, RELU, RELU6])
@pytest.mark.parametrize(
    ("size", "c_in", "c_out", "kernel", "stride", "groups"),
    [(8, 5, 16, 1, 1, 1), (7, 3, 7, 3, 2, 1), (6, 12, 12, 5, 1, 12), (9, 8, 8, 5, 2, 8), (2, 24, 24, 3, 1, 24)],
)
def test_outputs_gradients_and_running_statistics_are_those_of_torch(
    size: int, c_in: int, c_out: int, kernel: int, stride: int, groups: int, clamp: Clamp, adding: bool
) -> None:
    layer, norm = unit(c_in, c_out, kernel, stride, groups)
    plain_layer, plain_norm = (copy.deepcopy(module).double() for module in (layer, norm))
    x = images(6, c_in, size, size)
    out = -(-size // stride)
    added = images(6, c_out, out, out, seed=2) if adding else None
    y = run_unit(x, layer, norm, clamp, added)
    expected = plain_norm(plain_layer(x.double()))
    expected = (expected if added is None else expected + added).clamp(clamp.low, clamp.high)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    inputs = [x, *([added] if added is not None else [])]
    ours = torch.autograd.grad(y, [*inputs, layer.weight, norm.weight, norm.bias], weights)
    theirs = torch.autograd.grad(
        expected, [*inputs, plain_layer.weight, plain_norm.weight, plain_norm.bias], weights.double()
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-4, atol=1e-4 * float(b.abs().max()))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(
            getattr(norm, name).double(), getattr(plain_norm, name).double(), rtol=1e-5, atol=1e-5
        )


def test_statistics_lose_nothing_where_the_mean_is_far_from_zero() -> None:
    layer, norm = unit(1, 4, 1, 1, 1)
    with torch.no_grad():
        layer.weight.fill_(1)
    x = 1e4 + images(64, 1, 32, 32).detach()
    run_unit(x.to(memory_format=torch.channels_last), layer, norm, IDENTITY)
    torch.testing.assert_close(norm.running_var - 0.9, 0.1 * x.double().var().float().expand(4), rtol=1e-3, atol=0)


@pytest.mark.parametrize("shape", [(6, 5, 7, 7), (9, 4), (4, 16, 8, 8)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_batch_statistics_are_those_of_torch(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    x = 3 + torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=layout) if len(shape) == 4 else x
    exact = torch.var_mean(x.double(), (0, *range(2, len(shape))), correction=0)
    for found, wanted in zip(batch_statistics(x), reversed(exact), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_what_is_no_number_is_not_clamped_away() -> None:
    layer, norm = unit(2, 4, 1, 1, 1)
    x = images(2, 2, 4, 4).detach()
    x[0, 0, 0, 0] = math.nan
    assert run_unit(x, layer, norm, RELU6).isnan().all()


def test_other_activations_and_evaluation_go_the_way_of_torch() -> None:
    assert clamp_of(nn.ReLU6()) == RELU6
    assert clamp_of(nn.Hardswish()) is None
    layer, norm = unit(2, 4, 3, 1, 1)
    norm.eval()
    x = images(2, 2, 4, 4)
    assert torch.equal(run_unit(x, layer, norm, RELU), norm(layer(x)).relu())


@pytest.mark.parametrize("name", ["mobilenet-v2", "mobilenet-v3-small", "mnasnet", "resnet-18"])
def test_gradients_of_a_whole_network_are_as_close_to_exact_ones_as_those_of_torch(name: str) -> None:
    x = images(8, 3, 64, 64).detach()

    def gradient(kind: torch.dtype, layout: torch.memory_format) -> torch.Tensor:
        network = REFERENCES[name](4)
        initialise(network, torch.Generator().manual_seed(0))
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        network.to(kind).to(memory_format=layout)(x.to(kind).to(memory_format=layout)).square().mean().backward()
        parts = [weight.grad.flatten().double() for weight in network.parameters() if weight.grad is not None]
        assert len(parts) == len(list(network.parameters()))
        return torch.cat(parts)

    exact = gradient(torch.float64, torch.channels_last)  # only float32 in channels-last layout is fused
    plain, fused = (gradient(torch.float32, layout) for layout in (torch.contiguous_format, torch.channels_last))
    assert 0 < (fused - exact).norm() < 2 * (plain - exact).norm()
    assert (plain - exact).norm() < 0.05 * exact.norm()
