"""The tiles are written for what the processor has; what it has changes no bit of what they compute."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from llvmlite import ir
from numba import njit
from numba.core import config

from evo_fair.proxy import emitter
from tests.proxy.test_population import proxy_of

ROOT = Path(__file__).parents[2]


def some_logits() -> npt.NDArray[np.float32]:
    """What a few networks give; their layers take every kind of tile, Winograd's among them."""
    proxy = proxy_of("digits")
    space = proxy.supernet.space
    genomes = np.concatenate([[space.largest(), space.smallest()], space.sample(np.random.default_rng(0), 6)])
    return proxy.population.logits([space.architecture(genome) for genome in genomes])


def test_a_processor_without_wide_vectors_or_fused_multiplication_gives_the_same_bits(tmp_path: Path) -> None:
    out = tmp_path / "logits.npy"
    code = (
        "import sys, numpy as np; from tests.proxy.test_emitter import emitter, some_logits; "
        "assert not emitter.AVX512 and not emitter.BF16; np.save(sys.argv[1], some_logits())"
    )
    plain = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
    subprocess.run([sys.executable, "-c", code, str(out)], env=plain, cwd=ROOT, check=True)
    assert (np.load(out) == some_logits()).all()


def test_the_processor_is_the_one_that_numba_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx512f,-avx512bf16")
    assert emitter._has("avx512f")
    assert not emitter._has("avx512bf16")
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(emitter.llvm, "get_host_cpu_features", lambda: {"avx512f": True})
    assert emitter._has("avx512f")
    assert not emitter._has("avx512bf16")


def _write_number(emit: emitter.Emitter, number: int, out: Any) -> None:
    place = emit.builder.inttoptr(out, ir.IntType(64).as_pointer())
    emit.builder.store(emitter.constant(number), place)


_FORMS = {(8, 1): 81, (8, 2): 82, (1, 2): 12}
_numbered = emitter.emitted(_write_number, {key: emitter.Form(1, (8,), (number,)) for key, number in _FORMS.items()})


@njit
def run_numbered(first: int, second: int, out: int) -> None:
    _numbered(first, second, out)


@pytest.mark.parametrize(("key", "expected"), [*_FORMS.items(), ((2, 8), -1), ((0, 0), -1)])
def test_a_call_runs_the_code_of_its_key_and_none_where_there_is_none(key: tuple[int, int], expected: int) -> None:
    out = np.full(1, -1, np.int64)
    run_numbered(*key, out.ctypes.data)
    assert out[0] == expected
