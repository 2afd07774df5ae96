import json

import numpy as np
import pytest

from evo_fair.errors import StorageError
from evo_fair.evolution import checkpoint
from evo_fair.evolution.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from evo_fair.evolution.journal import FORMAT


@pytest.fixture
def saved(tmp_path):
    rng = np.random.default_rng(3)
    rng.integers(10, size=5, dtype=np.int16)
    state = {"genomes": np.arange(6, dtype=np.int16).reshape(2, 3), "norm.ideal": np.array([np.inf, 0.1])}
    random = dict(rng.bit_generator.state)
    written = Checkpoint("nsga2", generation=4, lines=20, last="0123456789ab", random=random, state=state)
    write_checkpoint(tmp_path / "checkpoint.npz", written)
    return tmp_path / "checkpoint.npz", written, rng


def test_a_checkpoint_reads_back_the_same(saved):
    path, written, rng = saved
    back = read_checkpoint(path)
    assert back is not None
    assert (back.algorithm, back.generation, back.lines, back.last) == ("nsga2", 4, 20, "0123456789ab")
    assert set(back.state) == set(written.state)
    for name, array in written.state.items():
        assert back.state[name].dtype == array.dtype
        np.testing.assert_array_equal(back.state[name], array)
    other = np.random.default_rng(0)
    other.bit_generator.state = back.random
    assert (other.random(20) == rng.random(20)).all()


def test_there_is_no_pickle_in_it(saved):
    with np.load(saved[0], allow_pickle=False) as content:
        assert all(content[name].dtype.kind in "iufU" for name in content.files)
        assert json.loads(str(content["head"]))["format"] == FORMAT


def test_any_damage_reads_as_no_checkpoint(saved):
    path, _, _ = saved
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        assert read_checkpoint(path) is None
    path.unlink()
    assert read_checkpoint(path) is None


def test_a_later_format_reads_as_no_checkpoint(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", FORMAT + 1)
    assert read_checkpoint(saved[0]) is None


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path, saved):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot write"):
        write_checkpoint(tmp_path / "file" / "checkpoint.npz", saved[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"state.genomes": np.zeros((2, 3), np.int16)},
        {"state.genomes": np.zeros((2, 3))},
        {"state.norm.ideal": np.array(["inf", "0.1"])},
        {"state.more": np.zeros(2)},
        {"head": {"lines": "=1+1"}},
        {"head": {"lines": 21}},
        {"head": {"random": {"bit_generator": "PCG64", "has_uint32": 2**64}}},
        {"head": {"more": 1}},
        {"head": []},
    ],
)
def test_a_checkpoint_that_was_changed_reads_as_none(saved, changes):
    path, _, _ = saved
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    head = json.loads(str(arrays["head"]))
    new = changes.pop("head", {})
    arrays["head"] = np.array(json.dumps(head | new if isinstance(new, dict) else new))
    np.savez(path, **arrays | changes)
    assert read_checkpoint(path) is None
