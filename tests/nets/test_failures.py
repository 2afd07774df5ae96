"""What fails within a user's network is one line with the layer and the line of the user's file."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from evo_fair.nets.failures import failure

LIBRARY = """
from torch import nn


class Layer(nn.Module):
    def forward(self, x):
        raise ValueError("too small")
"""
MINE = """
from torch import nn


class Network(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.inner = layer

    def forward(self, x):
        return self.inner(x)
"""


def made(path: Path, content: str) -> ModuleType:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("installed", ["site-packages", "dist-packages"])
def test_a_librarys_failure_names_the_users_line(tmp_path: Path, installed: str) -> None:
    """Debian's Python, and Colab's with it, installs into `dist-packages`."""
    library, mine = made(tmp_path / installed / "library.py", LIBRARY), made(tmp_path / "mine.py", MINE)
    network = mine.Network(library.Layer())
    with pytest.raises(ValueError, match="too small") as caught:
        network(torch.zeros(1))
    assert failure(caught.value) == "too small, in layer 'inner', mine.py:11"


def test_a_failure_of_torchs_own_names_the_users_line(tmp_path: Path) -> None:
    network = made(tmp_path / "mine.py", MINE).Network(nn.Linear(3, 2))
    with pytest.raises(RuntimeError) as caught:
        network(torch.zeros(1, 4))
    assert failure(caught.value).endswith("in layer 'inner', mine.py:11")
