"""What to measure for a profile: networks of a search space, and others that reach beyond it; as ONNX, or as a kit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evo_fair.errors import EvoFairError
from evo_fair.files import storage_errors, write_bytes, write_text
from evo_fair.latency import measure as measuring
from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.latency.measurements import write_layers
from evo_fair.layers import COLUMNS, LayerTable, Op
from evo_fair.space import SearchSpace

__all__ = ["Campaign", "make_campaign", "write_kit"]

FROM_SPACE, BEYOND, HELD_OUT = 110, 50, 60
_KERNELS = (3, 5)
_README = """Measuring a board with evo_fair

1. Copy this folder to the board. It needs Python 3.8 or later with onnxruntime and numpy.
2. On the board, with nothing else running:  python3 measure.py --threads 1
   It takes about 5 minutes, longer where five rounds over all networks do, or where the board is not steady: then
   it says so. It writes latency.csv.
3. Copy latency.csv back into this folder and fit the profile:
   {command}
"""
_FIT = "evo-fair calibrate --layers layers.csv --latency latency.csv --name my-board --out my-board.json"


@dataclass(frozen=True)
class Campaign:
    """Networks to be timed.

    Args:
        names: The networks' names.
        table: Their layers, int32 `[networks, layers, 8]`.
        held_out: How many of the last ones only validate.
    """

    names: tuple[str, ...]
    table: LayerTable
    held_out: int

    def models(self) -> list[bytes]:
        """Each network as an ONNX file.

        Returns:
            The files' bytes, in order.
        """
        return [layers_to_onnx(rows).SerializeToString() for rows in self.table]


def make_campaign(space: SearchSpace, seed: int = 0) -> Campaign:
    """Draws the networks: 110 of the space and 50 beyond it to fit, 60 of the space to validate."""
    rng = np.random.default_rng(seed)
    distinct = np.unique(space.decode(space.sample(rng, 4 * (FROM_SPACE + HELD_OUT))), axis=0)
    known = rng.permutation(distinct)[: FROM_SPACE + HELD_OUT]
    held_out = len(known) * HELD_OUT // (FROM_SPACE + HELD_OUT)
    inside = len(known) - held_out
    wild = [_wild_network(rng) for _ in range(BEYOND if space.plan.stem.size else 0)]
    layers = max([known.shape[1], *map(len, wild)])
    table = np.zeros((len(known) + len(wild), layers, len(COLUMNS)), np.int32)
    table[:inside, : known.shape[1]] = known[:inside]
    for i, rows in enumerate(wild, inside):
        table[i, : len(rows)] = rows
    table[inside + len(wild) :, : known.shape[1]] = known[inside:]
    names = [f"space-{i:03d}" for i in range(inside)]
    names += [f"beyond-{i:03d}" for i in range(len(wild))]
    names += [f"held-out-{i:03d}" for i in range(held_out)]
    return Campaign(tuple(names), table, held_out)


def write_kit(campaign: Campaign, folder: Path, command: str = _FIT) -> None:
    """Writes the kit for a board: networks/*.onnx, layers.csv, measure.py and a README; the folder has to be new.

    `command` is what the README says to fit the profile with.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvoFairError(f"{folder} exists and is not empty: give the kit a folder of its own")
    with storage_errors(folder):
        (folder / "networks").mkdir(parents=True, exist_ok=True)
    for name, model in zip(campaign.names, campaign.models(), strict=True):
        write_bytes(folder / "networks" / f"{name}.onnx", model)
    write_layers(folder / "layers.csv", campaign.names, campaign.table)
    write_bytes(folder / "measure.py", Path(measuring.__file__).read_bytes())
    write_text(folder / "README.txt", _README.format(command=command))


def _wild_network(rng: np.random.Generator) -> list[tuple[int, ...]]:
    """A network of random stages: other sizes, widths and operators than a space's, squeeze-and-excite among them."""
    size = int(rng.choice([32, 48, 64, 96, 128]))
    c = int(rng.choice([8, 16, 24, 32]))
    rows: list[tuple[int, ...]] = [(Op.CONV, 3, c, 3, 2, 1, size, size)]
    size //= 2
    for _ in range(int(rng.integers(2, 5))):
        stride = int(rng.choice([1, 2])) if size > 4 else 1
        c_out = min(256, int(c * rng.choice([1.0, 1.5, 2.0])) // 8 * 8)
        for repeat in range(int(rng.integers(1, 4))):
            c_in, step = (c, stride) if repeat == 0 else (c_out, 1)
            rows += _wild_block(rng, c_in, c_out, step, size)
            size = -(-size // step)
        c = c_out
    labels = int(rng.choice([2, 10, 100, 1000]))
    return [*rows, (Op.GLOBAL_POOL, c, c, 1, 1, 1, size, size), (Op.LINEAR, c, labels, 1, 1, 1, 1, 1)]


def _wild_block(rng: np.random.Generator, c_in: int, c_out: int, stride: int, size: int) -> list[tuple[int, ...]]:
    kernel, out = int(rng.choice(_KERNELS)), -(-size // stride)
    kind = rng.choice(["inverted", "excited", "separable", "dense", "grouped", "pooled"])
    if kind in ("inverted", "excited"):
        hidden = int(rng.choice([2, 3, 4, 6])) * c_in
        rows: list[tuple[int, ...]] = [
            (Op.CONV, c_in, hidden, 1, 1, 1, size, size),
            (Op.DEPTHWISE, hidden, hidden, kernel, stride, hidden, size, size),
            (Op.CONV, hidden, c_out, 1, 1, 1, out, out),
        ]
        if kind == "excited":
            squeezed = max(8, hidden // 4)
            rows[2:2] = [
                (Op.GLOBAL_POOL, hidden, hidden, 1, 1, 1, out, out),
                (Op.LINEAR, hidden, squeezed, 1, 1, 1, 1, 1),
                (Op.LINEAR, squeezed, hidden, 1, 1, 1, 1, 1),
                (Op.ACTIVATION, hidden, hidden, 1, 1, 1, 1, 1),
                (Op.MUL, hidden, hidden, 1, 1, 1, out, out),
            ]
        if stride == 1 and c_in == c_out:
            rows.append((Op.ADD, c_out, c_out, len(rows) + 1, 1, 1, out, out))
        return rows
    if kind == "separable":
        return [(Op.DEPTHWISE, c_in, c_in, kernel, stride, c_in, size, size), (Op.CONV, c_in, c_out, 1, 1, 1, out, out)]
    if kind == "grouped":
        return [(Op.CONV, c_in, c_out, 3, stride, int(rng.choice([2, 4, 8])), size, size)]
    dense = (Op.CONV, c_in, c_out, int(rng.choice([1, 3])), 1, 1, size, size)
    if kind == "pooled" or stride > 1:
        return [dense, (Op.POOL, c_out, c_out, int(rng.choice([2, 3])), stride, 1, size, size)]
    return [dense]
