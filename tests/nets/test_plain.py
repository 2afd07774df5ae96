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


@contextmanager
def without_onednn() -> Any:
    torch.backends.mkldnn.enabled = False
    yield
    assert not torch.backends.mkldnn.enabled, "it is left as it was"
    torch.backends.mkldnn.enabled = True


@contextmanager
def rounding_products() -> Any:
    torch.set_float32_matmul_precision("medium")
    yield
    assert torch.get_float32_matmul_precision() == "medium", "it is left as it was"
    torch.set_float32_matmul_precision("highest")


@contextmanager
def rounding_all() -> Any:
    backend: Any = torch.backends.mkldnn
    if not hasattr(backend, "conv"):
        pytest.skip("this version of torch has no such setting")
    backend.fp32_precision = "bf16"
    yield
    backend.fp32_precision = "none"
    assert {backend.matmul.fp32_precision, backend.conv.fp32_precision} <= {"none", "ieee"}, "it is left as it was"


@pytest.mark.parametrize(
    "switched",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu"),
        in_float64,
        on_meta,
        lambda: torch.device("meta"),
        without_onednn,
        rounding_products,
        rounding_all,
    ],
)
def test_a_step_is_as_in_a_new_process(switched: Callable[[], AbstractContextManager[Any]]) -> None:
    @plain_torch()
    def step() -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(64, 64)
        layer(torch.rand(64, 64)).square().sum().backward()
        assert layer.weight.grad is not None
        assert torch.backends.mkldnn.enabled
        if (matmul := getattr(torch.backends.mkldnn, "matmul", None)) is not None:
            assert matmul.fp32_precision in ("none", "ieee")
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
