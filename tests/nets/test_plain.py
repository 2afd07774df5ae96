"""Whatever the caller has switched, jobs compute as in a new process, and leave it switched."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch

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
    torch.set_default_device("cpu")


@pytest.mark.parametrize(
    "switched", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu"), in_float64, on_meta]
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
