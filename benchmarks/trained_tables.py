"""Networks that others really trained, as spaces and evaluators of the engine: NAS-Bench-Macro and NAS-Bench-201."""

import csv
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Genomes
from evo_fair.errors import DataError
from evo_fair.evolution import Box, Objective, hypervolume, resolve
from evo_fair.fairness import Counts
from evo_fair.files import digest
from evo_fair.layers import LayerTable

__all__ = ["TABLES", "Table", "TableEvaluator", "TableSpace", "load_table", "read_macro"]

MACRO_OPERATORS = 3  # identity, inverted residual 3x3 with expansion 3, inverted residual 5x5 with expansion 6
CELL_OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@dataclass(frozen=True, eq=False)
class Table:
    """Every network of a space: `genomes` `[networks, genes]`, test images that each got `right` of `images`, costs.

    `costs` are named and float64 `[networks]`; `worst_error` is where the box ends in which hypervolume is measured.
    """

    name: str
    genomes: Genomes
    choices: int
    right: npt.NDArray[np.int64]
    images: int
    costs: Mapping[str, npt.NDArray[np.float64]]
    worst_error: float

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The error, which an evaluation costs, and the costs, which are known before."""
        (error,) = resolve(["error"])
        return (error, *(Objective(name, cheap=True, function=_Lookup(cost)) for name, cost in self.costs.items()))

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """Error and costs of all networks, `[networks, objectives]`."""
        return np.column_stack([1 - self.right / self.images, *self.costs.values()])

    @cached_property
    def box(self) -> Box:
        """From 0 to the largest error that counts and the largest costs."""
        worst = np.array([self.worst_error, *(cost.max() for cost in self.costs.values())])
        return Box(np.zeros(len(worst)), worst)

    @cached_property
    def true_hypervolume(self) -> float:
        """That of the true front."""
        return hypervolume(self.points, self.box)

    def rows(self, genomes: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Which networks the genomes are, `[networks]`."""
        return self._places[np.asarray(genomes, np.int64) @ self._weights]

    @cached_property
    def _weights(self) -> npt.NDArray[np.int64]:
        """What turns a genome into the number that it is in the system of `choices` digits."""
        return self.choices ** np.arange(self.genomes.shape[1])

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Which network each number is, the reverse of the genomes' order."""
        places = np.empty(len(self.genomes), np.int64)
        places[self.genomes @ self._weights] = np.arange(len(self.genomes))
        return places


@dataclass(frozen=True)
class _Lookup:
    """A cheap objective that reads the network's number from its layer table."""

    values: npt.NDArray[np.float64]

    def __call__(self, layers: LayerTable) -> npt.NDArray[np.float64]:
        return self.values[layers[:, 0, 1]]


class TableSpace:
    """A table as the engine's space. Every gene is a category; every genome is a network of its own."""

    def __init__(self, table: Table) -> None:
        self.table = table
        genes = table.genomes.shape[1]
        self.gene_names = tuple(f"gene{gene}" for gene in range(genes))
        self.cardinalities = np.full(genes, table.choices, np.int16)
        self.ordered = np.zeros(genes, np.bool_)

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """`n` genomes, all equally likely."""
        return rng.integers(0, self.cardinalities, (n, self.cardinalities.size), dtype=np.int16)

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        """The genomes themselves: networks that compute the same were trained each on its own."""
        return np.asarray(genomes, np.int16)

    def decode(self, genomes: npt.ArrayLike) -> LayerTable:
        """One row a network that holds its number: all that the lookups need."""
        table = np.zeros((len(np.asarray(genomes)), 1, 8), np.int32)
        table[:, 0, 1] = self.table.rows(genomes)
        return table

    def ids(self, genomes: npt.ArrayLike) -> list[str]:
        """A name for each network."""
        return [digest(self.table.name, row.tobytes())[:12] for row in self.canonical(genomes)]


class TableEvaluator:
    """Looks up what others measured."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def evaluate(self, genomes: Genomes) -> Mapping[str, Counts]:
        """Right and wrong answers, as counts of one group and one label beside 'other'."""
        right = self.table.right[self.table.rows(genomes)]
        values = np.zeros((len(right), 1, 2, 2), np.int64)
        values[:, 0, 0, 0] = right
        values[:, 0, 0, 1] = self.table.images - right
        return {"all": Counts(values, np.zeros((len(right), 2, 2), np.int64), ("all",), ("right", "wrong"))}


def load_table(name: str, data: Path) -> Table:
    """The table called `name`, from the folder that holds the data sets; raises `DataError` where it is not there."""
    return TABLES[name](data)


def read_macro(data: Path) -> dict[str, dict[str, Any]]:
    """What is published of each network of NAS-Bench-Macro, by its digits; raises as `load_table` does."""
    networks: dict[str, dict[str, Any]] = json.loads(_read(data / "nas_bench_macro" / "nas-bench-macro_cifar10.json"))
    return networks


def _macro(data: Path) -> Table:
    networks = read_macro(data)
    genomes = np.array([[int(digit) for digit in name] for name in networks], np.int16)
    # Three trainings, tested on 10,000 images each, in per cent with two decimals.
    right = np.array([round(100 * sum(network["test_acc"])) for network in networks.values()])
    costs = {"macs": np.array([network["flops"] for network in networks.values()], np.float64)}
    return Table("nas-bench-macro", genomes, MACRO_OPERATORS, right, 30_000, costs, 0.30)


def _cells(data: Path, devices: tuple[str, ...]) -> Table:
    path = data / "nas_bench_201" / "nb201.csv.gz"
    rows = list(csv.DictReader(gzip.decompress(_read(path)).decode().splitlines()))
    genomes = [
        [CELL_OPERATORS.index(edge.split("~")[0]) for node in row["cell"].split("+") for edge in node[1:-1].split("|")]
        for row in rows
    ]
    right = np.array([round(100 * float(row["cifar10-test"])) for row in rows])
    costs = {f"{device}_ms": np.array([float(row[f"{device}_ms"]) for row in rows]) for device in devices}
    name = f"nas-bench-201-{len(devices)}-device{'s' if len(devices) > 1 else ''}"
    return Table(name, np.array(genomes, np.int16), len(CELL_OPERATORS), right, 10_000, costs, 0.5)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as reason:
        raise DataError(f"cannot read {path} ({reason}): give the folder that holds nas_bench_macro/") from reason


TABLES = {
    "macro": _macro,
    "nb201": lambda data: _cells(data, ("raspberry_pi_4",)),
    "nb201-two": lambda data: _cells(data, ("raspberry_pi_4", "pixel_3")),
}
