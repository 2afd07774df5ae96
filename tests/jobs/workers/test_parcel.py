"""Parcels within one process: what is packed, by which way, and what is refused."""

import sys
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import evo_fair as ef
from evo_fair.jobs.workers.parcel import NotHere, Parcel, Ticket, opened
from evo_fair.jobs.workers.remote import run_piece, versions
from evo_fair.plugins import load_plugin, unloaded_afterwards
from evo_fair.registries import CRITERIA, METHODS


def frozen(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view


def test_a_parcel_opens_as_what_was_packed(tmp_path: Path) -> None:
    large, small = frozen(np.arange(100_000)), np.arange(5)
    parcel = Parcel({"large": large, "small": small, "f": lambda x: x + small}, tmp_path, hashed=False)
    _, there = opened(str(parcel.path), parcel.digest, None)
    np.testing.assert_array_equal(there["large"], large)
    np.testing.assert_array_equal(there["f"](1), small + 1)
    assert not there["large"].flags.writeable  # it lies in the file, which workers share
    assert there["small"].flags.writeable
    _, again = opened("nowhere", parcel.digest, parcel.content())
    np.testing.assert_array_equal(again["large"], large)
    parcel.close()
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(there["large"], large)


def test_only_what_the_job_has_packed_is_opened(tmp_path: Path) -> None:
    parcel = Parcel("work", tmp_path, hashed=False)
    parcel.path.write_bytes(parcel.path.read_bytes() + b"x")
    with pytest.raises(NotHere):
        opened(str(parcel.path), parcel.digest, None)


def mapped(path: Path, content: Any) -> Any:
    np.save(path, content)
    return np.load(path, mmap_mode="r")


def test_an_array_of_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    content = np.arange(300_000, dtype=np.uint8).reshape(3, -1)
    images = frozen(np.asarray(mapped(tmp_path / "images.npy", content))[1:])
    parcel = Parcel([images], tmp_path / "job", hashed=True)
    assert parcel.path.stat().st_size < 10_000
    _, (there,) = opened(str(parcel.path), parcel.digest, None)
    np.testing.assert_array_equal(there, content[1:])


@pytest.mark.parametrize("change", ["gone", "another", "copied"])
def test_a_worker_that_sees_another_file_is_sent_all(tmp_path: Path, change: str) -> None:
    place, content = tmp_path / "images.npy", np.arange(300_000) % 251
    images = mapped(place, content)
    parcel = Parcel([images], tmp_path / "job", hashed=True)
    sent = parcel.content()
    place.unlink()
    if change != "gone":
        np.save(place, content if change == "copied" else content[::-1])
    if change == "copied":  # as in another machine's cache
        np.testing.assert_array_equal(opened(str(parcel.path), parcel.digest, None)[1][0], content)
    else:
        with pytest.raises(NotHere):
            opened(str(parcel.path), parcel.digest, None)
    np.testing.assert_array_equal(opened(str(parcel.path), parcel.digest, sent)[1][0], content)


def test_what_no_process_can_be_sent_is_refused_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(ef.EvoFairError, match=r"a part of this job can't be sent to workers \(TypeError: .*lock.*\)"):
        Parcel(threading.Lock(), tmp_path, hashed=False)
    assert list(tmp_path.iterdir()) == []


PLUGIN = """
import evo_fair as ef
from beside import score

@ef.criterion("from_a_plugin")
def criterion(network, structure, samples, rng):
    return score()
"""


def test_plugins_and_registered_parts_come_along(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def score():\n    return 7\n")
    (tmp_path / "mine.py").write_text(PLUGIN)
    with unloaded_afterwards():

        @ef.method("of_a_notebook")
        def method(dense: Any, task: Any, request: Any) -> Any:
            return 8

        load_plugin(tmp_path / "mine.py")
        parcel = Parcel(CRITERIA["from_a_plugin"], tmp_path / "job", hashed=False)
    for name in ("beside", "evo_fair_plugin_mine"):
        sys.modules.pop(name, None)  # as in a worker that does not see the plugin's folder
    sys.path.remove(str(tmp_path))
    with unloaded_afterwards():
        _, criterion = opened(str(parcel.path), parcel.digest, None)
        assert criterion(None, None, None, None) == 7
        assert CRITERIA["from_a_plugin"](None, None, None, None) == 7  # type: ignore[arg-type]
        assert METHODS["of_a_notebook"](None, None, None) == 8  # type: ignore[arg-type]
    assert "from_a_plugin" not in CRITERIA


def test_each_job_finds_its_own_parts_however_their_pieces_come(tmp_path: Path) -> None:
    """Two jobs of one scheduler, whose plugins call different criteria by one name."""
    tickets = []
    for number in (1, 2):
        with unloaded_afterwards():

            @ef.criterion(name="mine")
            def own(network: Any, structure: Any, samples: Any, rng: Any, told: int = number) -> Any:
                return told

            parcel = Parcel(_asks_by_name, tmp_path, hashed=False)
        tickets.append(Ticket(parcel.digest, str(parcel.path), 1, versions()))
    with unloaded_afterwards():
        answers = [run_piece(tickets[job], cloudpickle.dumps(None)) for job in (0, 1, 0, 1, 1, 0)]
    assert [cloudpickle.loads(answer.content) for answer in answers] == [1, 2, 1, 2, 2, 1]


def _asks_by_name(_: None) -> Any:
    return CRITERIA["mine"](None, None, None, None)  # type: ignore[arg-type]
