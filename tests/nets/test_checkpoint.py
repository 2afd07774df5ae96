"""Files of broken-off trainings: what they hold, that files of before are read, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from evo_fair.errors import RunError
from evo_fair.nets.checkpoint import momentum_tensors, read_checkpoint, restore_momentum, write_checkpoint


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    rng = np.random.default_rng(0)
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(1, requires_grad=True)}
    write_checkpoint(path, "mine", {"epoch": 3, "rng": rng.bit_generator.state}, tensors)
    found = read_checkpoint(path, "mine")
    assert found is not None
    assert found.progress["epoch"] == 3
    assert found.progress["rng"] == rng.bit_generator.state
    assert found.tensors["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found.tensors["b"].tolist() == [1]


def test_a_file_in_the_form_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    progress = {"identity": "mine", "epoch": 2, "rng": {"state": 1}}
    path.write_bytes(save({"network.weight": torch.zeros(2)}, {"progress": json.dumps(progress)}))
    found = read_checkpoint(path, "mine")
    assert found is not None
    assert found.progress == progress
    assert list(found.tensors) == ["network.weight"]


def test_none_where_there_is_none_and_an_error_for_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    assert read_checkpoint(path, "mine") is None
    write_checkpoint(path, "another", {}, {"a": torch.zeros(100)})
    with pytest.raises(RunError, match="is of another training"):
        read_checkpoint(path, "mine")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match=r"the checkpoint .* can't be read"):
        read_checkpoint(path, "mine")
    path.write_bytes(save({"a": torch.zeros(1)}))  # sound, but written by somebody else
    with pytest.raises(RunError, match="of another training"):
        read_checkpoint(path, "mine")


def test_momentum_goes_from_one_optimiser_to_another() -> None:
    weights = {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.nn.Parameter(torch.ones(3))}
    first, second = (torch.optim.SGD(weights.values(), lr=0.1, momentum=0.9) for _ in range(2))
    assert momentum_tensors(first, weights) == {}
    weights["a"].grad = torch.tensor([1.0, -2.0])
    first.step()
    taken = momentum_tensors(first, weights)
    assert {name: tensor.tolist() for name, tensor in taken.items()} == {"momentum.a": [1.0, -2.0]}
    restore_momentum(second, weights, taken)
    assert {name: tensor.tolist() for name, tensor in momentum_tensors(second, weights).items()} == {
        "momentum.a": [1.0, -2.0]
    }
    assert second.state[weights["a"]]["momentum_buffer"] is not taken["momentum.a"]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_checkpoint(path, "mine", {"epoch": 1}, {"a": torch.zeros(100)})
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"can't be read \(its tensors are not those that were written\)"):
        read_checkpoint(path, "mine")
