"""Whatever the caller has switched, jobs compute as in a new process, and leave it switched."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch

from evo_fair.blame import blamed
from evo_fair.errors import ObjectiveError
from evo_fair.nets.plain import plain_torch


@contextmanager
def in_float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    assert torch.get_default_dtype() == torch.float64, "it is left as it was"
    torch.set_default_dtype(torch.float32)


@contextmanager
def on_meta() -> Any:
    torch.set_default_device("meta")
    yield
    assert torch.get_default_device() == torch.device("meta"), "it is left as it was"
    torch.set_default_device(None)


@pytest.mark.parametrize(
    "switched",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu"),
        in_float64,
        on_meta,
        lambda: torch.device("meta"),
    ],
)
def test_a_step_is_as_in_a_new_process(switched: Callable[[], AbstractContextManager[Any]]) -> None:
    @plain_torch()
    def step() -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        layer(torch.ones(1, 3)).sum().backward()
        assert layer.weight.grad is not None
        return layer.weight.detach() + layer.weight.grad

    expected = step()
    with switched():
        found = step()
        gradients = torch.is_grad_enabled()
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert gradients == (switched not in (torch.no_grad, torch.inference_mode))


def test_a_block_with_a_default_device_is_as_it_was() -> None:
    with torch.device("meta"):
        for _ in range(2):
            with plain_torch():
                with blamed("objective", "mine", ObjectiveError):
                    torch.set_default_device("meta")
                assert torch.ones(1).device.type == "cpu"
            assert torch.ones(1).device.type == "meta"
    assert torch.ones(1).device.type == "cpu"
    assert not torch.overrides._get_current_function_mode_stack()  # type: ignore[no-untyped-call]


def test_what_is_cast_in_a_training_is_cast_anew_after_each_step() -> None:
    """torch keeps casts until the outermost autocast ends: one around all would train with the first step's weights."""

    @plain_torch()
    def trained() -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 1)
        step = torch.optim.SGD(layer.parameters(), 0.1)
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16):
                loss = (layer(torch.ones(1, 3)) - 1.0).square().mean()
            step.zero_grad()
            loss.backward()
            step.step()
        return layer.weight.detach()

    expected = trained()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(trained(), expected)
    assert torch.is_autocast_cache_enabled()
