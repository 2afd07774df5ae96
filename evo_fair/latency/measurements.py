"""Measured latencies as CSV (`layers.csv`, `latency.csv`); what is damaged is named by file and line."""

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evo_fair.arguments import as_path
from evo_fair.arrays import Ints
from evo_fair.csv_tables import number_in
from evo_fair.errors import DataWarning, ProfileError
from evo_fair.files import size_of, write_text
from evo_fair.layers import C_IN, C_OUT, COLUMNS, LayerTable, Op

__all__ = [
    "Measurements",
    "joined",
    "read_latency",
    "read_layers",
    "read_measurements",
    "write_latency",
    "write_layers",
]

_OPS = {op.name.lower(): int(op) for op in Op if op is not Op.PADDING}
_LARGEST = 2**24
_MOST_WORK = 2**48
"""Products of a layer's sizes at most: a day's work for a board, and sums of thousands stay whole numbers."""
_SHORTEST_MS, _LONGEST_MS = 1e-6, 1e9  # a nanosecond, eleven days


@dataclass(frozen=True)
class Measurements:
    """Networks that were timed.

    Args:
        names: The networks' names.
        table: Their layers, int32 `[networks, layers, 8]`.
        latency_ms: Their latencies in milliseconds, float64 `[networks]`.
    """

    names: tuple[str, ...]
    table: LayerTable
    latency_ms: npt.NDArray[np.float64]

    def part(self, index: npt.NDArray[np.int64]) -> "Measurements":
        """The measurements of some of the networks.

        Args:
            index: The networks' places, int64 `[n]`.

        Returns:
            Their measurements.
        """
        return Measurements(tuple(self.names[i] for i in index), self.table[index], self.latency_ms[index])

    def layers_of(self) -> list[bytes]:
        """What the layers of each network are, whatever their order and its name.

        Returns:
            A key for each network, equal for those with the same layers, `[networks]`.
        """
        found = []
        for network in self.table:
            rows = network[network[:, 0] > 0]
            found.append(rows[np.lexsort(rows.T)].tobytes())
        return found

    def folds(self, folds: int, seed: int = 0) -> list[Ints]:
        """Parts of about one size that the networks are split into at random, those with the same layers in one part.

        Args:
            folds: How many.
            seed: Of the shuffle, 0 or more. Default: 0.

        Returns:
            The networks' places in each part, int64 `[n]`, empty where fewer networks are distinct.
        """
        layers = self.layers_of()
        number = {key: place for place, key in enumerate(dict.fromkeys(layers))}
        distinct = np.array([number[key] for key in layers])
        order = np.random.default_rng(seed).permutation(len(number))
        # Networks without a twin come in the order of the shuffle, as they would if all were so.
        return [
            np.concatenate([np.flatnonzero(distinct == one) for one in part] or [np.empty(0, np.int64)])
            for part in np.array_split(order, folds)
        ]


def joined(tables: Sequence[LayerTable]) -> LayerTable:
    """Tables of networks one below the other, padded to the longest network."""
    table = np.zeros((sum(map(len, tables)), max(one.shape[1] for one in tables), len(COLUMNS)), np.int32)
    start = 0
    for one in tables:
        table[start : start + len(one), : one.shape[1]] = one
        start += len(one)
    return table


def read_layers(path: str | Path) -> tuple[list[str], LayerTable]:
    """The names and the layer table of a `layers.csv`.

    Args:
        path: A CSV file with a row a layer: `network,op,c_in,c_out,kernel,stride,groups,h_in,w_in`.

    Returns:
        The networks' names in order of appearance, and their layers, int32 `[networks, layers, 8]`, padded with zeros.
        A `DataWarning` names a network that seems to be two of one name, one below the other.

    Raises:
        ProfileError: A column is missing or there twice, an operator unknown, a value out of range or a network in
            two places; names file and line.

    Example:
        >>> with open("layers.csv", "w") as file:
        ...     _ = file.write("network,op,c_in,c_out,kernel,stride,groups,h_in,w_in\\n")
        ...     _ = file.write("a,conv,3,16,3,2,1,64,64\\na,linear,16,7,1,1,1,1,1\\n")
        >>> names, table = ef.read_layers("layers.csv")
        >>> names, table.shape
        (['a'], (1, 2, 8))
    """
    path = as_path("layers", path)
    networks: dict[str, list[tuple[int, ...]]] = {}
    anew: list[tuple[int, str]] = []
    before = None
    for line, row in _rows(path, ("network", *COLUMNS)):
        name = row["network"]
        if name in networks and name != before:
            raise ProfileError(
                f"{path}, line {line}: network {name!r} was there before: keep its layers together, once, "
                "and give another network another name"
            )
        layer = _layer(path, line, row)
        if _begins_anew(networks.setdefault(name, []), layer):
            anew.append((line, name))
        networks[name].append(layer)
        before = name
    if not networks:
        raise ProfileError(f"{path} holds no layers: give at least one row below the header")
    if anew:
        line, name = anew[0]
        warnings.warn(
            f"{path}, line {line}: network {name!r} seems to begin anew, and counts as one ({len(anew)} such): "
            "if these are two networks, give each a name of its own",
            DataWarning,
            stacklevel=2,
        )
    table = np.zeros((len(networks), max(map(len, networks.values())), len(COLUMNS)), np.int32)
    for n, layers in enumerate(networks.values()):
        table[n, : len(layers)] = layers
    return list(networks), table


def read_latency(path: str | Path) -> dict[str, float]:
    """Milliseconds by network of a `latency.csv`; raises `ProfileError` for what is not a positive number."""
    path = as_path("latency", path)
    latency: dict[str, float] = {}
    for line, row in _rows(path, ("network", "latency_ms")):
        name, text = row["network"], row["latency_ms"]
        value = number_in(text)
        if not _SHORTEST_MS <= value <= _LONGEST_MS:
            raise ProfileError(
                f"{path}, line {line}: latency_ms of {name!r} is {text!r}: give a number of milliseconds, from "
                f"{_SHORTEST_MS:g} to {_LONGEST_MS:g}"
            )
        if name in latency:
            raise ProfileError(f"{path}, line {line}: network {name!r} appears twice: give one latency a network")
        latency[name] = value
    if not latency:
        raise ProfileError(f"{path} holds no latencies: give at least one row below the header")
    return latency


def read_measurements(layers: str | Path, latency: str | Path, fewest: int = 1) -> Measurements:
    """The networks of both files; raises `ProfileError` for a timed network without layers, or fewer than `fewest`.

    Networks that have layers and no latency are left out: a kit may have been measured in part.
    """
    names, table = read_layers(layers)
    timed = read_latency(latency)
    if lost := [name for name in timed if name not in set(names)]:
        raise ProfileError(
            f"{latency}: network {lost[0]!r} has no layers in {layers} ({len(lost)} such): add its rows there, "
            "or remove its latency"
        )
    if len(timed) < fewest:
        raise ProfileError(
            f"{latency} times {len(timed)} networks, too few to fit a profile: measure at least {fewest}"
        )
    keep = [i for i, name in enumerate(names) if name in timed]
    kept = tuple(names[i] for i in keep)
    return Measurements(kept, table[keep], np.array([timed[name] for name in kept]))


def write_layers(path: Path, names: Sequence[str], table: LayerTable) -> None:
    """Writes a `layers.csv` of networks `names` and their table int32 `[networks, layers, 8]`."""
    ops = {number: name for name, number in _OPS.items()}
    rows = [
        [name, ops[int(layer[0])], *(int(value) for value in layer[1:])]
        for name, layers in zip(names, table, strict=True)
        for layer in layers[layers[:, 0] > 0]
    ]
    _write(path, ["network", *COLUMNS], rows)


def write_latency(path: Path, names: Sequence[str], latency_ms: npt.NDArray[np.float64]) -> None:
    """Writes a `latency.csv` of milliseconds float64 `[networks]`."""
    _write(path, ["network", "latency_ms"], [[name, f"{ms:.6f}"] for name, ms in zip(names, latency_ms, strict=True)])


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Line number and the stripped text of `columns`, a row a line; further columns are ignored."""
    try:
        size_of(path, ProfileError)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
                raise ProfileError(
                    f"{path}, line 1: column {missing[0]!r} is missing: the header has to be {','.join(columns)}"
                )
            if twice := [column for column in columns if (reader.fieldnames or ()).count(column) > 1]:
                raise ProfileError(f"{path}, line 1: column {twice[0]!r} is there twice: keep one of them")
            rows = []
            for row in reader:
                if None in row:  # cells without a column, as a decimal comma makes them
                    raise ProfileError(
                        f"{path}, line {reader.line_num} has {len(row) - 1 + len(row[None])} cells, and its header "
                        f"{len(row) - 1}: write decimals with a point, and texts with commas in quotes"
                    )
                if any(not isinstance(row[column], str) or not row[column].strip() for column in columns):
                    raise ProfileError(
                        f"{path}, line {reader.line_num}: a value is missing: each row needs {','.join(columns)}"
                    )
                rows.append((reader.line_num, {column: row[column].strip() for column in columns}))
            return rows
    except FileNotFoundError as error:
        raise ProfileError(
            f"cannot read {path}, which is not there: 'evo-fair calibrate --kit' writes a layers.csv, and measure.py "
            "beside it the latency.csv"
        ) from error
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path} is not a CSV file in UTF-8 ({error}): export it again") from error


def _begins_anew(layers: Sequence[tuple[int, ...]], layer: tuple[int, ...]) -> bool:
    """Whether a layer can read only what its network reads, of whose channels no earlier layer makes as many."""
    return bool(layers) and layer[C_IN] == layers[0][C_IN] and all(layer[C_IN] != one[C_OUT] for one in layers)


def _layer(path: Path, line: int, row: dict[str, str]) -> tuple[int, ...]:
    if row["op"] not in _OPS:
        raise ProfileError(f"{path}, line {line}: unknown op {row['op']!r}: expected one of {', '.join(_OPS)}")
    values = [_OPS[row["op"]]]
    for column in COLUMNS[1:]:
        text = row[column]
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= _LARGEST or len(text) > 9:
            raise ProfileError(f"{path}, line {line}: {column} is {text!r}: give a whole number from 1 to {_LARGEST}")
        values.append(int(text))
    groups, c_in, c_out = values[5], values[1], values[2]
    if c_in % groups or (values[0] in (Op.CONV, Op.DEPTHWISE) and c_out % groups):
        raise ProfileError(
            f"{path}, line {line}: groups {groups} does not divide c_in {c_in} and c_out {c_out}: fix the row"
        )
    if values[0] == Op.DEPTHWISE and groups != c_in:
        raise ProfileError(
            f"{path}, line {line}: groups {groups} of a depthwise layer is not its c_in {c_in}: make it {c_in}, or conv"
        )
    if values[0] == Op.CONV and groups == c_in > 1:  # as graphs are read, so that predictions have its price
        values[0] = int(Op.DEPTHWISE)
    kernel, stride, height, width = values[3], values[4], *values[6:]
    outputs = -(-height // stride) * -(-width // stride)
    if c_in * c_out * kernel * kernel * outputs > _MOST_WORK:
        raise ProfileError(f"{path}, line {line}: no layer is that large, of {c_in} and {c_out} channels: fix the row")
    return tuple(values)
