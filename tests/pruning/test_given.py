"""People's files run as `python file.py` would run them."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.pruning.given import copy_of_module, given_modules, load_module, settings_of, source_of

PLAIN = "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, {width}))\n"


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(text)
    return folder / name


def test_arguments_are_those_of_a_script_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evo-fair", "prune", "digits", "--module", "mine.py:network"])
    parser = (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--width', type=int, default=3)\n"
    )
    path = written(tmp_path, parser + "args = parser.parse_args()\n" + PLAIN.format(width="args.width"))
    assert load_module(f"{path}:network")[1].out_features == 3  # type: ignore[index]
    assert sys.argv[0] == "evo-fair"


def test_arguments_that_are_needed_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--width', required=True)\n"
    path = written(tmp_path, parser + "args = parser.parse_args()\n" + PLAIN.format(width=3))
    with pytest.raises(
        PruningError, match=r"the following arguments are required: --width\): put what reads arguments"
    ):
        load_module(f"{path}:network")
    assert capsys.readouterr().err == ""


def test_files_beside_it_are_imported_of_each_folder_its_own(tmp_path: Path) -> None:
    for width in (3, 5, 3):
        folder = tmp_path / str(width)
        written(folder, f"WIDTH = {width}\n", "blocks_of_mine.py")
        written(folder / "parts", "from blocks_of_mine import WIDTH\n", "__init__.py")
        path = written(folder, "from parts import WIDTH\n" + PLAIN.format(width="WIDTH"))
        assert load_module(f"{path}:network")[1].out_features == width  # type: ignore[index]


def test_libraries_of_an_environment_beside_it_are_imported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = tmp_path / ".venv" / "lib" / "site-packages"
    written(libraries, "", "library_of_mine.py")
    monkeypatch.syspath_prepend(libraries)
    written(tmp_path, "", "helper_of_mine.py")
    path = written(tmp_path, "import helper_of_mine\nimport library_of_mine\n" + PLAIN.format(width=3))
    load_module(f"{path}:network")
    library, helper = sys.modules["library_of_mine"], sys.modules["helper_of_mine"]
    load_module(f"{path}:network")
    assert sys.modules["library_of_mine"] is library
    assert sys.modules["helper_of_mine"] is not helper
    assert {"library_of_mine", "helper_of_mine"} & set(given_modules()) == {"helper_of_mine"}


def test_what_is_imported_late_is_found(tmp_path: Path) -> None:
    written(tmp_path, "def act(x):\n    return x.abs()\n", "late_part_of_mine.py")
    text = (
        "from torch import nn\n\n\nclass network(nn.Module):\n    def forward(self, x):\n"
        "        import late_part_of_mine\n        return late_part_of_mine.act(x)\n"
    )
    network = load_module(f"{written(tmp_path, text)}:network")
    assert torch.equal(network(-torch.ones(2)), torch.ones(2))


def test_gradients_that_a_file_turns_off_are_on_again(tmp_path: Path) -> None:
    path = written(tmp_path, "import torch\ntorch.set_grad_enabled(False)\n" + PLAIN.format(width=3))
    load_module(f"{path}:network")
    assert torch.is_grad_enabled()


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "import no_such_package_anywhere\n")
    with pytest.raises(PruningError, match=r"No module named 'no_such_package_anywhere'; install what it imports"):
        load_module(f"{path}:network")


def test_inputs_are_the_networks_own() -> None:
    from evo_fair.nets.layout import channels_last, give_own_inputs

    network = give_own_inputs(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)))
    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    before = x.clone()
    assert network(x).is_contiguous(), "x.view works as in plain torch"
    changing = give_own_inputs(nn.ReLU(inplace=True))
    changing(x)
    assert torch.equal(x, before)
    assert channels_last(network)[0].weight.is_contiguous()  # type: ignore[index]
    plain = channels_last(nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert not plain[0].weight.is_contiguous()  # type: ignore[index]


def test_what_a_file_sets_for_torch_and_where_it_goes_is_undone(tmp_path: Path) -> None:
    """A folder that is left at the front of the path would have its onnx.py imported in the place of ours."""
    sets = "import os\nimport torch\nos.chdir('/')\ntorch.set_default_dtype(torch.float64)\n"
    place = Path.cwd()
    load_module(f"{written(tmp_path, sets + PLAIN.format(width=3))}:network")
    assert (Path.cwd(), torch.get_default_dtype()) == (place, torch.float32)
    assert sys.path.index(str(tmp_path)) == len(sys.path) - 1


DROPPING = """\
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.act, self.rate = functional.relu, {kept}

    def extra_repr(self):
        return str(self.act)

    def forward(self, x):
        return functional.dropout(self.act(self.layer(x)), {rate}, self.training)


def network():
    return Net()
"""


def test_the_code_of_a_network_and_what_it_keeps_are_told_from_others(tmp_path: Path) -> None:
    """Rates of dropout are in no tensor, and make another training."""
    settings, sources = set(), set()
    for number, (rate, kept) in enumerate(((0.1, 1), (0.1, 1), (0.7, 1), (0.1, 2))):
        path = written(tmp_path / str(number), DROPPING.format(rate=rate, kept=kept))
        network = load_module(f"{path}:network")
        settings.add(settings_of(network))
        sources.add(source_of(network))
        assert (settings_of(network), source_of(network)) == (
            settings_of(load_module(f"{path}:network")),
            source_of(load_module(f"{path}:network")),
        )
    assert len(settings) == 3
    assert len(sources) == 3


def test_what_a_network_takes_from_files_beside_it_is_told_from_others(tmp_path: Path) -> None:
    settings = []
    text = "import rates_of_mine\n" + DROPPING.format(rate="rates_of_mine.RATE", kept=1)
    for number, rate in enumerate((0.1, 0.7, 0.1)):
        written(tmp_path / str(number), f"RATE = {rate}\n", "rates_of_mine.py")
        settings.append(settings_of(load_module(f"{written(tmp_path / str(number), text)}:network")))
    assert settings[0] == settings[2] != settings[1]


def test_a_relative_import_is_answered_with_what_takes_it(tmp_path: Path) -> None:
    path = written(tmp_path, "from .blocks import WIDTH\n" + PLAIN.format(width="WIDTH"))
    with pytest.raises(PruningError, match=r"relative import.*; import what lies beside it by its plain name, or name"):
        load_module(f"{path}:network")


def test_a_layer_that_is_scripted_or_compiled_is_named() -> None:
    layer = nn.Linear(4, 4)
    for kind in (torch.jit.script(layer), torch.compile(layer)):
        network = nn.Sequential(nn.Flatten(), kind, nn.Linear(4, 2))
        with pytest.raises(PruningError, match=f"whose layer '1' is a compiled {type(kind).__name__}: make "):
            copy_of_module(network)
    without = nn.Sequential(torch.jit.script(nn.ReLU()), layer)
    assert len(copy_of_module(without).state_dict()) == 2


def test_masks_of_torchs_own_pruning_are_named_though_they_hinder_a_copy() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    nn.utils.prune.random_unstructured(network[2], "bias", 0.5)
    with pytest.raises(PruningError, match=r"layer '2': make them permanent with .*\.remove\(layer, 'bias'\)"):
        copy_of_module(network)
    nn.utils.prune.remove(network[2], "bias")
    assert torch.equal(copy_of_module(network)[2].bias, network[2].bias)
