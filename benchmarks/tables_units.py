"""The boosters and networks of benchmarks/tables.py: each made once and kept as a file of what it predicts."""

import io
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits
from torch.nn import functional

from evo_fair.data import Dataset
from evo_fair.data.table_inputs import Categorical
from evo_fair.export.alone import untrained_network
from evo_fair.export.card import write_onnx
from evo_fair.export.export import onnx_logits
from evo_fair.files import digest, read_cached_json, write_bytes, write_json
from evo_fair.nets.fair_training import bounded_gap, warmed_up
from evo_fair.nets.fit import fit
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Problem
from evo_fair.proxy import predict_logits

__all__ = ["BOOSTERS", "Place", "Unit", "even_odds", "make"]

_EARLY = {"max_iter": 1000, "early_stopping": True, "n_iter_no_change": 20}
BOOSTERS: dict[str, dict[str, Any]] = {
    "default": {},
    "slow": {**_EARLY, "learning_rate": 0.05},
    "large": {**_EARLY, "learning_rate": 0.05, "max_leaf_nodes": 63, "l2_regularization": 10.0},
    "smooth": {**_EARLY, "learning_rate": 0.05, "min_samples_leaf": 100, "l2_regularization": 10.0},
}
"""Settings of boosters by name; all take categories as such, the 254 most frequent of a column, the most they can."""

MOST_CATEGORIES = 254
LARGER_BATCHES = 4
"""Batches of a fair training are larger by this, so that they hold some samples of small groups, its rate twice."""

PARTS = ("validation", "test")


@dataclass(frozen=True)
class Unit:
    """One booster, or one training of a network; `weight` is that of the term for equalized odds."""

    kind: str
    name: str
    variant: str
    genome: tuple[int, ...] = ()
    weight: float = 0.0
    epochs: int = 0
    seed: int = 0

    @property
    def title(self) -> str:
        """What it is called in tables, whatever its seed."""
        return f"{self.kind} {self.name}, {self.variant}" + (f", weight {self.weight:g}" if self.weight else "")


@dataclass(frozen=True)
class Place:
    """A problem and the folder of its units."""

    problem: Problem
    folder: Path

    @cached_property
    def dataset(self) -> Dataset:
        """The problem's data, loaded once."""
        return self.problem.dataset()

    def path(self, unit: Unit, suffix: str) -> Path:
        """A unit's file; units of other data have others."""
        key = digest(
            repr(asdict(unit)), repr(BOOSTERS), self.dataset.fingerprint, self.problem.training.model_dump_json()
        )
        return self.folder / f"{unit.kind}-{unit.variant}-{unit.name}-{key[:10]}{suffix}"

    def is_finished(self, unit: Unit) -> bool:
        """Whether its facts, which are written last, are there."""
        return bool(read_cached_json(self.path(unit, ".json")))

    def facts(self, unit: Unit) -> dict[str, Any]:
        """Its bytes and what it was made of."""
        return read_cached_json(self.path(unit, ".json"))

    def predictions(self, unit: Unit, part: str) -> npt.NDArray[np.uint8]:
        """What it predicts for the samples of a part, uint8 `[samples]`."""
        with np.load(self.path(unit, ".npz")) as kept:
            found: npt.NDArray[np.uint8] = kept[part]
        return found


def make(place: Place, unit: Unit) -> None:
    """Fits a booster or trains a network, and keeps what it predicts."""
    predict, size = (_booster if unit.kind == "booster" else _network)(place, unit)
    stream = io.BytesIO()
    np.savez_compressed(stream, **{part: predict(place.dataset.part(part)) for part in PARTS})
    write_bytes(place.path(unit, ".npz"), stream.getvalue())
    write_json(place.path(unit, ".json"), {**asdict(unit), "bytes": size})


Predict = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.uint8]]


def _booster(place: Place, unit: Unit) -> tuple[Predict, int]:
    dataset, train = place.dataset, place.dataset.part("train")
    assert dataset.columns is not None
    columns = dataset.columns
    x, known = columns.values.astype(np.float64), len(columns.encoding.numbers)
    for number, category in enumerate(columns.encoding.categories, known):
        x[:, number] = _most_frequent(category, columns.values[:, number], train)
    booster = HistGradientBoostingClassifier(
        categorical_features=list(range(known, x.shape[1])), random_state=unit.seed, **BOOSTERS[unit.name]
    )
    with threadpool_limits(1):  # threads that wait for a busy machine's other cores take 20 times as long
        booster.fit(x[train], dataset.labels[train])
    return lambda samples: booster.predict(x[samples]).astype(np.uint8), len(pickle.dumps(booster))


def _most_frequent(
    category: Categorical, values: npt.NDArray[np.float32], train: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """A column's categories numbered by how frequent they are, NaN for rare and missing ones."""
    codes = category.vocabulary.codes[: len(category.vocabulary.values)].astype(np.float32)
    counts = np.array([(values[train] == code).sum() for code in codes])
    places = np.full(len(values), np.nan)
    for place, code in enumerate(codes[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]):
        places[values == code] = place
    return places


def _network(place: Place, unit: Unit) -> tuple[Predict, int]:
    dataset, train = place.dataset, place.dataset.part("train")
    space = place.problem.search_space(dataset.input_shape, len(dataset.label_names))
    network = untrained_network(space, unit.genome, unit.seed)
    scaling = Scaling.of(dataset.inputs[train])
    recipe = place.problem.training.model_copy(update={"epochs": unit.epochs})
    loss = None
    if unit.weight:
        larger = {"batch_size": LARGER_BATCHES * recipe.batch_size, "learning_rate": 2 * recipe.learning_rate}
        recipe = recipe.model_copy(update=larger)
        groups = dataset.grouping(place.problem.fairness.group).index[train]
        loss = even_odds(dataset.labels[train], groups, unit.weight)
    fit(network, dataset.inputs[train], dataset.labels[train], recipe, unit.seed, normalise=scaling, loss=loss)
    final, path = network.folded(), place.path(unit, ".onnx")
    x = scaling(dataset.inputs[dataset.part("validation")])
    write_onnx(path, final, dataset, scaling, x, predict_logits(final, x))
    assert dataset.columns is not None
    raw = dataset.columns.values
    return lambda samples: onnx_logits(path, raw[samples]).argmax(1).astype(np.uint8), path.stat().st_size


def even_odds(
    labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int16], weight: float
) -> Callable[[torch.Tensor, npt.NDArray[np.int64], float], torch.Tensor]:
    """Cross-entropy plus `weight` times how far groups' mean losses differ among the samples of each label.

    Equalized odds asks for equal rates among those of one label, so groups are compared label by label
    (`fair_training.bounded_gap`); the term comes in over the first half of training.
    """

    def loss(logits: torch.Tensor, samples: npt.NDArray[np.int64], done: float) -> torch.Tensor:
        own = labels[samples]
        losses = functional.cross_entropy(logits, torch.from_numpy(own), reduction="none")
        total = losses.mean()
        for label in range(logits.shape[1]):
            gap = bounded_gap(losses, np.where(own == label, groups[samples], -1).astype(np.int16))
            total = total if gap is None else total + weight * warmed_up(done) * gap
        return total

    return loss
