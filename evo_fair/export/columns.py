"""A table's preprocessing inside of the ONNX file: it takes the raw columns instead of prepared inputs.

The file's one input, `columns` `[batch, columns]`, is float32: numbers as they are, categories by their number (the
card says which, see `Encoding.as_dict`), NaN for what is missing. Only operators that every runtime has are used, and
no texts. A number's mean is taken off in two steps, what float32 holds of it and the rest, so that years or incomes
lose nothing to rounding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from evo_fair.arrays import Float32s
from evo_fair.data import Dataset
from evo_fair.data.table_inputs import MISSING_CODE, Categorical, Encoding, Numeric
from evo_fair.errors import EvoFairError, quote
from evo_fair.files import write_bytes
from evo_fair.latency.measure import open_session
from evo_fair.nets.inputs import Scaling

__all__ = ["COLUMNS_INPUT", "PREFIX", "file_inputs", "put_columns_first", "takes_columns"]

COLUMNS_INPUT = "columns"
PREFIX = "columns/"
"""What the names of preprocessing's nodes and constants begin with."""


def put_columns_first(path: Path, encoding: Encoding, scaling: Scaling) -> None:
    """Makes the file of a network, whose `input` are normalised inputs, take the raw `columns` of a table.

    Args:
        path: The file.
        encoding: How the columns become inputs.
        scaling: How raw inputs are normalised.
    """
    model = onnx.load(path)
    graph = model.graph
    names = [value.name for value in graph.input]
    if names != ["input"]:
        raise EvoFairError(f"{path} takes {', '.join(map(quote, names))}, not one 'input': export the network again")
    front = _Front()
    front.build(encoding, scaling)
    network = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*front.nodes, *network])
    graph.input.append(helper.make_tensor_value_info(COLUMNS_INPUT, TensorProto.FLOAT, ["batch", len(encoding.names)]))
    graph.initializer.extend(front.constants)
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


class _Front:
    """The nodes and constants of preprocessing, in order; the last node makes `input`."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def build(self, encoding: Encoding, scaling: Scaling) -> None:
        """From `columns` to `input`."""
        parts = self._numbers(encoding.numbers) if encoding.numbers else []
        if encoding.categories:
            self._known(len(encoding.numbers), len(encoding.categories))
        one_hot = [(i, c) for i, c in enumerate(encoding.categories) if c.rates is None]
        if one_hot:
            places = np.concatenate([np.full(len(c.vocabulary.codes), place) for place, c in one_hot])
            codes = np.concatenate([c.vocabulary.codes for _, c in one_hot])
            parts.append(self._matches(places, codes, "one_hot"))
        rated = {f"rates{i}": (i, c) for i, c in enumerate(encoding.categories) if c.rates is not None}
        matches = {
            name: self._matches(np.array([place]), category.vocabulary.codes, f"{name}_match")
            for name, (place, category) in rated.items()
        }
        parts += [self._rates(matches[name], category, name) for name, (_, category) in rated.items()]
        parts += [
            self._profile(matches[name], category.profile, name)
            for name, (_, category) in rated.items()
            if category.profile is not None
        ]
        features = self.add("Concat", parts, "features", axis=1) if len(parts) > 1 else parts[0]
        mean, scale = (tensor.numpy()[None] for tensor in (scaling.mean, scaling.scale))
        centred = self.add("Sub", [features, self.constant(mean, "shift")], "centred")
        self.add("Mul", [centred, self.constant(scale, "scale")], "input", prefix="")

    def _numbers(self, numbers: Sequence[Numeric]) -> list[str]:
        count = len(numbers)
        values = self.add(
            "Gather", [COLUMNS_INPUT, self.constant(np.arange(count, dtype=np.int32), "at")], "values", axis=1
        )
        gone = self.add("IsNaN", [values], "gone")
        fill = np.array([[number.fill for number in numbers]], np.float32)
        filled = self.add("Where", [gone, self.constant(fill, "fill"), values], "filled")
        mean = np.array([[number.mean for number in numbers]], np.float64)
        high = mean.astype(np.float32)
        rest = (mean - high).astype(np.float32)
        inverse = np.array([[1 / number.deviation for number in numbers]], np.float32)
        off = self.add("Sub", [filled, self.constant(high, "mean")], "off")
        exactly = self.add("Sub", [off, self.constant(rest, "mean_rest")], "exactly_off")
        parts = [self.add("Mul", [exactly, self.constant(inverse, "inverse_deviation")], "numbers")]
        told = np.flatnonzero([number.told for number in numbers]).astype(np.int32)
        if len(told):
            which = self.add("Gather", [gone, self.constant(told, "told_at")], "told", axis=1)
            parts.append(self.add("Cast", [which], "missing", to=TensorProto.FLOAT))
        return parts

    def _known(self, first: int, count: int) -> None:
        """Columns of categories from the `first` on `[batch, count]`, with a number for what is missing: `known`."""
        at = self.constant(np.arange(first, first + count, dtype=np.int32), "known_at")
        values = self.add("Gather", [COLUMNS_INPUT, at], "known_values", axis=1)
        gone = self.add("IsNaN", [values], "known_gone")
        missing = self.constant(np.full((1, 1), MISSING_CODE, np.float32), "known_missing")
        self.add("Where", [gone, missing, values], "known")

    def _matches(self, places: npt.NDArray[Any], codes: npt.NDArray[np.float64], name: str) -> str:
        """Which categories samples are of, 0 or 1, `[batch, categories]`: column `places` of `known` holds `codes`."""
        small = places.astype(np.uint8) if places.max() < 2**8 else places.astype(np.int32)
        at = self.add("Cast", [self.constant(small, f"{name}_at")], f"{name}_from", to=TensorProto.INT32)
        known = self.add("Gather", [f"{PREFIX}known", at], f"{name}_known", axis=1)
        short = codes.astype(np.int16)
        whole = short if (short == codes).all() else codes.astype(np.int32)  # short ones halve their part of the file
        wanted = self.add("Cast", [self.constant(whole[None], f"{name}_codes")], f"{name}_wanted", to=TensorProto.FLOAT)
        same = self.add("Equal", [known, wanted], f"{name}_same")
        return self.add("Cast", [same], name, to=TensorProto.FLOAT)

    def _rates(self, matches: str, category: Categorical, name: str) -> str:
        """The label's rates of a column's category `[batch, rates]`."""
        assert category.rates is not None
        other = category.rates[-1:].astype(np.float64)
        above = (category.rates[:-1] - other).astype(np.float32)
        found = self.add("MatMul", [matches, self.constant(above, f"{name}_table")], f"{name}_found")
        return self.add("Add", [found, self.constant(other.astype(np.float32), f"{name}_other")], name)

    def _profile(self, matches: str, profile: npt.NDArray[np.int8], name: str) -> str:
        """What describes a column's category `[batch, numbers + 1]`, zeros for one that is not known."""
        table = self.add("Cast", [self.constant(profile, f"{name}_described")], f"{name}_wide", to=TensorProto.FLOAT)
        return self.add("MatMul", [matches, table], f"{name}_profile")

    def constant(self, values: npt.NDArray[Any], name: str) -> str:
        """Stores an array; returns its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), PREFIX + name))
        return PREFIX + name

    def add(self, kind: str, inputs: Sequence[str], output: str, prefix: str = PREFIX, **attributes: Any) -> str:
        """Appends a node; returns the name of what it makes."""
        made = prefix + output
        self.nodes.append(helper.make_node(kind, list(inputs), [made], name=PREFIX + output, **attributes))
        return made


def takes_columns(path: Path) -> bool:
    """Whether a network's file takes the raw columns of a table.

    Args:
        path: The file.
    """
    return [value.name for value in open_session(str(path), threads=1).get_inputs()] == [COLUMNS_INPUT]


def file_inputs(path: Path, dataset: Dataset, scaling: Scaling, samples: npt.NDArray[np.int64]) -> Float32s:
    """What a network's file takes for these samples: a table's raw columns, or else normalised inputs.

    Args:
        path: The file.
        dataset: The data set.
        scaling: How raw inputs are normalised.
        samples: The samples' numbers, int64 `[n]`.
    """
    if dataset.columns is not None and takes_columns(path):
        return dataset.columns.values[samples]
    inputs: Float32s = scaling(dataset.inputs[samples]).contiguous().numpy()
    return inputs
