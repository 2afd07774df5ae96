"""A scheduler that does not answer is said before a job trains or writes anything."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import evo_fair as ef
from evo_fair.jobs.reference import train_references

NOBODY = "tcp://127.0.0.1:9"

JOBS: dict[str, Callable[..., Any]] = {
    "prune": lambda **given: ef.prune("digits", **given),
    "audit": lambda **given: ef.audit("digits", networks=3, **given),
    "search": lambda **given: ef.search("digits", budget=16, **given),
    "deploy": lambda **given: ef.deploy("nothing", **given),
    "train": lambda **given: train_references("faces", ["mobilenet-v2"], **given),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_whose_scheduler_does_not_answer_leaves_no_folder(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("distributed"):
        monkeypatch.setattr("evo_fair.jobs.workers.cluster._PATIENCE", 0.5)
    with pytest.raises(ef.WorkerError, match=r"no Dask scheduler answers at|the address of a scheduler needs Dask"):
        JOBS[job](workers=NOBODY, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
