"""The cards beside a run's networks, as a report shows them: groups with intervals, latency by layer, size."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from statsmodels.stats.proportion import proportion_confint

from evo_fair.errors import EvoFairError, RunError
from evo_fair.files import inside, read_json
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.show import visible

__all__ = ["Card", "Group", "group_rows", "network_cards", "read_card"]


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
        low, high = proportion_confint(self.correct, self.samples, method="wilson")
        return float(low), float(high)


class _Data(_Part):
    name: str
    licence: str = ""


class _File(_Part):
    bytes: int


class Card(_Part):
    """What is read of a network's card; see `evo_fair.export.network_card`."""

    id: str
    part: str
    problem: str = ""
    device: str = ""
    data: _Data | None = None
    metrics: dict[str, float | None] = {}
    groups: dict[str, dict[str, Group]]
    architecture: list[dict[str, Any]] = []
    labels: list[str] = []
    onnx: _File


def read_card(path: Path) -> Card:
    """A network's card; raises `RunError` where it is missing or damaged."""
    content = read_json(path, RunError)
    try:
        return Card.model_validate(content)
    except ValidationError as reason:
        first = reason.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(
            f"{path} is no network's card ({place}: {first['msg']}): make it again with 'evo-fair search --resume'"
        ) from reason


def network_cards(folder: Path, names: list[str], configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By network, for those whose card lies in the folder: groups, size and layers, as plain values for JSON."""
    profile = _profile(configuration)
    cards = {}
    for name in names:
        path = inside(folder, f"{name}.json")
        if path.exists():
            card = read_card(path)
            cards[name] = {
                "part": visible(card.part),
                "bytes": card.onnx.bytes,
                "groups": group_rows(card),
                **_layers(inside(folder, f"{name}.onnx"), profile),
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


def _profile(configuration: dict[str, Any]) -> Profile | None:
    """The run's device, where a profile of that name and content is at hand."""
    device = configuration.get("device")
    if not isinstance(device, dict) or not isinstance(device.get("name"), str):
        return None
    try:
        profile = load_profile(device["name"])
    except EvoFairError:  # a device of your own, whose profile lies elsewhere
        return None
    return profile if profile.known_as(device.get("sha256")) else None


def _layers(path: Path, profile: Profile | None) -> dict[str, Any]:
    """Milliseconds by layer of the network's file on the run's device; nothing where one of the two is missing."""
    if profile is None or not path.exists():
        return {"layers": None}
    prediction = predict(read_onnx(path), profile)
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
