from typing import Any

import numpy as np
import pytest

import evo_fair as ef
from evo_fair.jobs.workers import as_workers


@pytest.mark.parametrize("given", [2, "2", 2.0, np.int64(2), ef.Workers(2)])
def test_a_number_means_processes_of_one_thread(given: Any) -> None:
    workers = as_workers(given)
    assert workers == ef.Workers(2, threads=1)
    assert workers is not None
    assert workers.processes == 2


@pytest.mark.parametrize("address", ["tcp://lab-7:8786", "tls://10.0.0.1:80", "tcp://[fe80::1]:8786"])
def test_an_address_means_a_scheduler(address: str) -> None:
    workers = as_workers(address, jobs=4)
    assert workers is not None
    assert (workers.where, workers.processes, workers.threads) == (address, None, 1)


@pytest.mark.parametrize(("workers", "jobs", "threads"), [(2, 4, 2), (2, 5, 2), (4, 2, 1), (3, None, 1)])
def test_jobs_are_shared_out_among_processes(workers: int, jobs: int | None, threads: int) -> None:
    assert as_workers(workers, jobs) == ef.Workers(workers, threads)


def test_none_is_none() -> None:
    assert as_workers(None, jobs=2) is None


@pytest.mark.parametrize(
    "given", [0, -1, 1.5, True, "", "two", "lab-7", "lab-7:8786", "tcp://", "tcp://lab 7:1", 10**6, [2], "9" * 400]
)
def test_anything_else_is_refused_on_one_line(given: Any) -> None:
    with pytest.raises(ef.EvoFairError, match=r"^workers .*tcp://host:8786|no whole number") as caught:
        as_workers(given)
    assert len(str(caught.value)) < 400


def test_threads_are_checked() -> None:
    with pytest.raises(ef.EvoFairError, match="threads of a worker 0: give 1 or more"):
        ef.Workers(2, threads=0)


def test_leaving_out_is_yes_or_no() -> None:
    with pytest.raises(ef.EvoFairError, match="leave_out 'no' is neither True nor False"):
        ef.Workers(2, leave_out="no")  # type: ignore[arg-type]
