"""The weights of people's networks are read from safetensors of any origin."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.pruning.given_weights import load_weights


@pytest.mark.parametrize("wrapped", [False, True])
def test_pickles_are_not_opened_but_converted(wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the message does what it says."""
    network = nn.Sequential(nn.Linear(4, 3))
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "mine.pth")
    with pytest.raises(PruningError, match=r"is a pickle of torch\.save, .* convert it once with") as refused:
        load_weights(network, tmp_path / "mine.pth")
    command = str(refused.value).partition('python -c "')[2].removesuffix('"')
    monkeypatch.chdir(tmp_path)
    exec(command)
    other = nn.Sequential(nn.Linear(4, 3))
    load_weights(other, tmp_path / "mine.safetensors")
    assert torch.equal(other[0].weight, network[0].weight)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_names_of_wrapped_networks_are_understood(prefix: str, tmp_path: Path) -> None:
    one, other = (nn.Sequential(nn.Linear(4, 3)) for _ in range(2))
    save_file({prefix + name: tensor for name, tensor in one.state_dict().items()}, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(one[0].weight, other[0].weight)


@pytest.mark.parametrize("start", ["model.", "net.", "_orig_mod.net.body.", "module.model."])
def test_names_with_a_beginning_too_much_are_told_with_what_takes_it_off(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (nn.Sequential(nn.Linear(4, 3)) for _ in range(2))
    save_file({start + name: tensor for name, tensor in one.state_dict().items()}, tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match=f"they begin with '{start}', and the network's do not; rename") as caught:
        load_weights(other, tmp_path / "w.safetensors")
    _rename_as_told(str(caught.value), tmp_path, monkeypatch)
    load_weights(other, tmp_path / "w-named.safetensors")
    assert torch.equal(one[0].weight, other[0].weight)


def test_names_that_lack_the_beginning_of_the_networks_are_told_with_what_adds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 3))

    one, other = Wrapped(), Wrapped()
    save_file(one.net.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match=r"they lack 'net\.', with which the network's begin; rename") as caught:
        load_weights(other, tmp_path / "w.safetensors")
    _rename_as_told(str(caught.value), tmp_path, monkeypatch)
    load_weights(other, tmp_path / "w-named.safetensors")
    assert torch.equal(one.net[0].weight, other.net[0].weight)


def _rename_as_told(message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    command = re.search(r'python -c "(.*)", and give that file$', message)
    assert command is not None
    exec(command[1])


def test_of_other_names_those_that_are_there_and_those_that_are_missing_are_told(tmp_path: Path) -> None:
    found = {f"model.{place}.weight": torch.ones(1) for place in range(6)}
    save_file(found, tmp_path / "w.safetensors")
    told = (
        "w.safetensors does not fit the network: the network has no 'model.0.weight', 'model.1.weight', "
        "'model.2.weight', 'model.3.weight' and 2 more; the file has no '0.weight', '0.bias'; give the weights of"
    )
    with pytest.raises(PruningError, match=re.escape(told)):
        load_weights(nn.Sequential(nn.Linear(4, 3)), tmp_path / "w.safetensors")
    save_file({"model.0.weight": torch.ones(3, 9), "model.0.bias": torch.ones(3)}, tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match=r"has no 'model\.0\.(bias|weight)'"):  # it would not fit without model., too
        load_weights(nn.Sequential(nn.Linear(4, 3)), tmp_path / "w.safetensors")


def test_weights_of_another_shape_are_refused_with_both_shapes(tmp_path: Path) -> None:
    save_file(nn.Sequential(nn.Linear(4, 2)).state_dict(), tmp_path / "w.safetensors")
    message = r"0\.(weight|bias) has the shape \[2(, 4)?\], in the network \[3(, 4)?\]; give the weights of this very"
    with pytest.raises(PruningError, match=message):
        load_weights(nn.Sequential(nn.Linear(4, 3)), tmp_path / "w.safetensors")


def test_a_layer_under_two_names_may_be_stored_once(tmp_path: Path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3)
            self.two = self.one

    network, other = Shared(), Shared()
    save_model(network, str(tmp_path / "w.safetensors"))
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.two.weight, network.one.weight)
    (tmp_path / "w.safetensors").unlink()
    save_file({"one.weight": torch.ones(3, 3)}, tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match="does not fit"):
        load_weights(other, tmp_path / "w.safetensors")


def test_weights_of_whole_numbers_are_refused(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    tensors = {name: tensor.to(torch.int8) for name, tensor in network.state_dict().items()}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match="is int8, and the network's is of real numbers: convert it"):
        load_weights(network, tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match=r"are a folder: name a \.safetensors file"):
        load_weights(network, tmp_path)


@pytest.mark.parametrize("value", [2.7, float("nan"), 1e30])
def test_numbers_that_a_whole_number_can_not_hold_are_refused(value: float, tmp_path: Path) -> None:
    network = nn.BatchNorm1d(3)
    tensors = network.state_dict() | {"num_batches_tracked": torch.tensor(value)}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(PruningError, match="is float32, with values that the network's, int64, can't hold: convert it"):
        load_weights(network, tmp_path / "w.safetensors")
    save_file(tensors | {"num_batches_tracked": torch.tensor(7.0)}, tmp_path / "v.safetensors")
    load_weights(network, tmp_path / "v.safetensors")
    assert int(network.num_batches_tracked or 0) == 7
