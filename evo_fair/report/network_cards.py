"""The cards beside a run's networks, as a report shows them: groups with intervals, latency by layer, size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evo_fair.errors import EvoFairError, RunError, quote
from evo_fair.fairness.wilson import wilson_ends
from evo_fair.files import inside, read_json
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import Prediction, predict
from evo_fair.show import visible

__all__ = ["Card", "Confused", "Figure", "Group", "group_rows", "network_cards", "read_as", "read_card"]


FORMAT = 1
"""The newest form of cards; those of the first versions don't state theirs."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Group(_Part):
    """How many samples a group has and how many of them a network gets right."""

    samples: int = Field(ge=0)
    correct: int = Field(ge=0)

    @model_validator(mode="after")
    def _no_more_right_than_there_are(self) -> Self:
        if self.correct > self.samples:
            raise ValueError(f"{self.correct} correct of {self.samples} samples")
        return self

    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the accuracy; None for a group without samples."""
        if not self.samples:
            return None
        low, high = wilson_ends(self.correct, self.samples).tolist()
        return low, high


class _Data(_Part):
    name: str
    licence: str = ""


class CardInput(_Part):
    """What a network takes: its shape, and by channel or feature the mean and scale of raw values.

    `columns` are a table's, which the file prepares itself.
    """

    shape: list[int]
    mean: list[float]
    scale: list[float]
    columns: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _a_scale_for_each_mean(self) -> Self:
        if len(self.mean) != len(self.scale):
            raise ValueError(f"{len(self.mean)} values of mean, {len(self.scale)} of scale")
        return self


class _File(_Part):
    bytes: int


Count = Annotated[int, Field(ge=0)]
Confused = dict[str, dict[str, Count]]
"""By label and by what it was taken for, the number of samples; none where it is left out."""


class CardConfusion(_Part):
    """What labels were taken for, by all samples and within each group of each grouping."""

    overall: Confused
    by_group: dict[str, dict[str, Confused]]


class Believed(_Part):
    """What is believed of an objective, and its standard error."""

    value: float
    uncertainty: float


class CardSearched(_Part):
    """What a search measured of a network's objectives, and what it believed of them."""

    objectives: dict[str, float]
    believed: dict[str, Believed] = {}


class Figure(_Part):
    """A figure with the ends of its 95 % interval, None where those are not known.

    Accuracies of cards have the number of `samples`, but for cards of an earlier version.
    """

    value: float
    low: float | None
    high: float | None
    samples: int | None = Field(default=None, ge=0)


class Card(_Part):
    """What is read of a network's card; see `evo_fair.export.network_card`.

    `device` is the first of several `devices`. Cards of an earlier version have no `confusion`, and those that were not
    deployed no `searched` and no `test`, the figures of the test part by precision.
    """

    id: str
    part: str
    problem: str = ""
    device: str = ""
    devices: list[str] = []
    data: _Data | None = None
    metrics: dict[str, float | None] = {}
    groups: dict[str, dict[str, Group]]
    architecture: list[dict[str, Any]] = []
    input: CardInput | None = None
    labels: list[str] = []
    confusion: CardConfusion | None = None
    searched: CardSearched | None = None
    test: dict[str, dict[str, Figure]] = {}
    onnx: _File


Content = TypeVar("Content", bound=BaseModel)


def read_card(path: Path) -> Card:
    """A network's card; raises `RunError` where it is missing or damaged."""
    return read_as(Card, path, "make it again with 'evo-fair search --resume'")


def read_as(model: type[Content], path: Path, mend: str) -> Content:
    """A card as `model` describes it; raises `RunError`, ending in `mend`, where it is missing or damaged."""
    if not path.exists():
        raise RunError(f"{path} is missing: {mend}")
    content = read_json(path, RunError)
    form = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
    if not isinstance(form, int) or not 1 <= form <= FORMAT:
        raise RunError(f"{path} has the format {quote(form)}, and this evo_fair reads up to {FORMAT}: update it")
    try:
        return model.model_validate(content)
    except ValidationError as reason:
        first = reason.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(f"{path} is no network's card ({place}: {first['msg']}): {mend}") from reason


def network_cards(folder: Path, names: list[str], devices: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By network, for those whose card lies in the folder: groups, size and layers, as plain values for JSON.

    `devices` are those of the run: name -> SHA-256 of the profile.
    """
    profiles = _profiles(devices)
    cards = {}
    for name in names:
        path = inside(folder, f"{name}.json")
        if path.exists():
            card = read_card(path)
            cards[name] = {
                "part": visible(card.part),
                "bytes": card.onnx.bytes,
                "groups": group_rows(card),
                "confusion": confusion_tables(card),
                "prepares_columns": card.input is not None and card.input.columns is not None,
                "latency": _latency(inside(folder, f"{name}.onnx"), profiles),
            }
    return cards


def group_rows(card: Card) -> list[dict[str, Any]]:
    """A row a group: grouping, group, samples, accuracy and its interval, None where there are no samples."""
    rows = []
    for grouping, groups in card.groups.items():
        for name, group in groups.items():
            low, high = group.interval() or (None, None)
            accuracy = group.correct / group.samples if group.samples else None
            row = {"grouping": visible(grouping), "group": visible(name), "samples": group.samples}
            rows.append(row | {"accuracy": accuracy, "low": low, "high": high})
    return rows


def confusion_tables(card: Card) -> list[dict[str, Any]]:
    """What labels were taken for, as a table for all samples and one a group: `title`, `labels`, and `rows` of counts.

    Empty for a card that does not know it. A label that none has and none was taken for is left out.
    """
    if card.confusion is None:
        return []
    tables = [("all samples", card.confusion.overall)]
    for grouping, groups in card.confusion.by_group.items():
        tables += [(f"{grouping}: {group}", confused) for group, confused in groups.items()]
    return [{"title": visible(title)} | _matrix(confused, card.labels) for title, confused in tables]


def _matrix(confused: Confused, labels: list[str]) -> dict[str, Any]:
    there = {taken for row in confused.values() for taken in row} | set(confused)
    known = [label for label in labels if label in there] + sorted(there - set(labels))
    rows = [[confused.get(label, {}).get(taken, 0) for taken in known] for label in known]
    return {"labels": [visible(label) for label in known], "rows": rows}


def _profiles(devices: Mapping[str, str]) -> list[Profile]:
    """The run's devices whose profiles, of that name and content, are at hand."""
    found = []
    for name, sha256 in devices.items():
        try:
            profile = load_profile(name)
        except EvoFairError:  # a device of one's own, whose profile lies elsewhere
            continue
        if profile.known_as(sha256):
            found.append(profile)
    return found


def _latency(path: Path, profiles: list[Profile]) -> list[dict[str, Any]]:
    """Milliseconds by layer of the network's file on each device; nothing where file or profiles are missing."""
    if not profiles or not path.exists():
        return []
    graph = read_onnx(path)
    return [_layers(predict(graph, profile), profile) for profile in profiles]


def _layers(prediction: Prediction, profile: Profile) -> dict[str, Any]:
    layers = [
        {"name": visible(layer.name), "operator": visible(layer.operator), "ms": float(ms), "outside": bool(outside)}
        for layer, ms, outside in zip(
            prediction.graph.layers, prediction.layer_ms, prediction.extrapolated, strict=True
        )
    ]
    return {
        "layers": layers,
        "device": visible(profile.name),
        "fixed_ms": float(profile.network_ms),
        "total_ms": float(prediction.latency_ms),
    }
