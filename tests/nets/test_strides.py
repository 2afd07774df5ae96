"""1x1 convolutions with a stride give the values and gradients of any other way to compute them, and crash nothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import conv2d

from evo_fair.nets import strides
from evo_fair.nets.strides import convolve, strides_first

Values = tuple[torch.Tensor, ...]


def inputs(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(channels)
    x = torch.randn(64, channels, 8, 8).to(memory_format=torch.channels_last)
    return x.requires_grad_(), torch.randn(8, channels, 1, 1, requires_grad=True)


def with_gradients(x: torch.Tensor, weight: torch.Tensor, y: torch.Tensor) -> Values:
    return y, *torch.autograd.grad(y.square().sum(), (x, weight))


def exact(x: torch.Tensor, weight: torch.Tensor, stride: tuple[int, int]) -> Values:
    """In float64, which oneDNN has no convolutions of."""
    x, weight = (tensor.detach().double().requires_grad_() for tensor in (x, weight))
    return with_gradients(x, weight, functional.conv2d(x, weight, None, stride))


def check(found: Values, expected: Values) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 4, 6, 12, 16, 20])
def test_a_convolution_and_its_gradients_are_right(channels: int) -> None:
    x, weight = inputs(channels)
    for _ in range(50):  # the fault did not show each time
        check(with_gradients(x, weight, convolve(x, weight, 2, 1)), exact(x, weight, (2, 2)))


@pytest.mark.parametrize("stride", [(2, 2), (3, 1)])
def test_a_networks_convolutions_are_the_same_within_and_as_before_behind(stride: tuple[int, int]) -> None:
    x, weight = inputs(4)
    layer = nn.Conv2d(4, 8, 1, stride, bias=False)
    layer.weight.data = weight.data
    with torch.no_grad():
        before = layer(x)
    asked = []
    with strides_first(nn.Sequential(layer, nn.Conv2d(8, 8, 3, 2))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strides.functional, "conv2d", lambda *given: asked.append(given[3]) or conv2d(*given))
            made = layer(input=x)
        check(with_gradients(x, layer.weight, made), exact(x, weight, stride))
        assert layer.stride == stride, "a forward that asks for it gets what was said"
    assert asked == [1]
    assert "forward" not in vars(layer)
    with torch.no_grad():
        assert torch.equal(layer(x), before)


def test_what_the_fault_does_not_meet_is_left_alone() -> None:
    layers = [nn.Conv2d(16, 8, 1, 2), nn.Conv2d(4, 8, 3, 2), nn.Conv2d(4, 4, 1, 2, groups=4), nn.Conv2d(4, 8, 1)]
    layers.append(nn.Conv2d(4, 8, 1, 2, padding=1))
    with strides_first(nn.Sequential(*layers)):
        assert not any("forward" in vars(layer) for layer in layers)
