"""Objectives: named numbers to minimise or maximise, their registry, and the decorator to add one's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from evo_fair.errors import ObjectiveError, UndefinedMetricError, UnknownNameError
from evo_fair.fairness import METRICS, Counts
from evo_fair.layers import LayerTable, macs, params, peak_memory_bytes
from evo_fair.search.sources import is_redefinition, source_hash

__all__ = [
    "Axis",
    "Direction",
    "Objective",
    "axes_from",
    "describe",
    "forget",
    "objective",
    "objective_direction",
    "objective_names",
    "register",
    "resolve",
    "sources",
    "to_minimise",
]

Direction = Literal["min", "max"]
Function = Callable[[Any], Any]
Latency = Callable[[LayerTable], npt.NDArray[np.float64]]
Values = npt.NDArray[np.int64] | npt.NDArray[np.float64]
F = TypeVar("F", bound=Function)


@dataclass(frozen=True)
class Axis:
    """What a reader needs to know of an objective: its name, which way is better, its unit and what it is called."""

    name: str
    direction: Direction = "min"
    unit: str = ""
    label: str = ""

    @property
    def sign(self) -> float:
        """What its values are multiplied by so that lower is better."""
        return -1.0 if self.direction == "max" else 1.0

    @property
    def title(self) -> str:
        """For an axis or a column's head: label and unit."""
        label = self.label or self.name.removesuffix(f"_{self.unit}").replace("_", " ")
        return f"{label} ({self.unit})" if self.unit else label

    @property
    def better(self) -> str:
        """The direction in words."""
        return "higher is better" if self.direction == "max" else "lower is better"


@dataclass(frozen=True)
class Objective(Axis):
    """An axis with its function: of the layer table if `cheap`, else of the `Counts` of the run's group.

    The function returns an integer or float array `[networks]`. The arrays that it gets can't be changed.
    """

    cheap: bool = False
    function: Function | None = None

    def measure(self, source: Counts | LayerTable) -> Values:
        """The function's values, int64 or float64 `[networks]`.

        Raises `ObjectiveError` naming the objective when it returns another shape or kind, whole numbers that int64
        can't hold, or has no function yet, and when it changes the arrays that it is given.
        """
        if self.function is None:
            raise ObjectiveError(f"objective {self.name!r} is not bound to a device: resolve it with a latency model")
        networks = len(source)
        if self.name not in BUILT_IN:
            source = _copy_to_read(source)
        try:
            values = np.asarray(self.function(source))
        except UndefinedMetricError as reason:
            raise UndefinedMetricError(f"objective {self.name!r}: {reason}") from reason
        except ValueError as reason:
            if "read-only" not in str(reason):
                raise
            raise ObjectiveError(
                f"objective {self.name!r} changes the array that it is given, which others read too ({reason}): "
                "change a copy, as of .copy()"
            ) from reason
        if values.shape != (networks,):
            raise ObjectiveError(
                f"objective {self.name!r} returned the shape {list(values.shape)} for {networks} networks: "
                f"it must return one number a network, [{networks}]"
            )
        if values.dtype.kind not in "iuf":
            raise ObjectiveError(
                f"objective {self.name!r} returned {values.dtype}: it must return integers or floats; "
                "convert with .astype(float)"
            )
        if values.dtype.kind == "f":
            return values.astype(np.float64)
        if values.dtype.kind == "u" and len(values) and values.max() > np.iinfo(np.int64).max:
            raise ObjectiveError(
                f"objective {self.name!r} returned {values.max()} as {values.dtype}, more than int64 holds: "
                "unsigned numbers wrap below 0; convert with .astype(float) or .astype(np.int64) before subtracting"
            )
        return values.astype(np.int64)


def _copy_to_read(source: Counts | LayerTable) -> Counts | LayerTable:
    """A read-only copy: a user's function may yet write to it by way of torch or ctypes, and then harms itself only."""
    if isinstance(source, Counts):
        return Counts(source.values.copy(), source.rest.copy(), source.group_names, source.label_names, source.positive)
    copy = np.array(source)
    copy.flags.writeable = False
    return copy


_REGISTRY: dict[str, Objective] = {}
_TAKEN = {"id", "generation", "genome", "evaluated", "feasible", "front", "violation"}


def objective(direction: Direction = "min", cheap: bool = False, unit: str = "", label: str = "") -> Callable[[F], F]:
    """Registers the function below it as an objective under the function's name, and leaves it as it is.

    A predictive objective gets `Counts`, a cheap one the layer table, int32 `[networks, layers, 8]`; both return one
    number a network. Their arrays are read-only: change a copy. The same function defined again, as by a notebook's
    cell that is run twice, takes the place of the first; another function of its name is refused.
    """
    if callable(direction):
        raise ObjectiveError("@objective stands without brackets: write @objective() or @objective(direction='max')")

    def add(function: F) -> F:
        name = getattr(function, "__name__", type(function).__name__)
        earlier = _REGISTRY.get(name)
        again = earlier is not None and earlier.function is not None and is_redefinition(earlier.function, function)
        if again and earlier is not None and name not in BUILT_IN:
            del _REGISTRY[name]
            try:
                register(Objective(name, direction, unit, label, cheap, function))
            except ObjectiveError:
                _REGISTRY[name] = earlier
                raise
        else:
            register(Objective(name, direction, unit, label, cheap, function))
        return function

    return add


def register(new: Objective) -> None:
    """Adds an objective; raises `ObjectiveError` if its name is taken or not an identifier, or its direction wrong."""
    if not new.name.isidentifier():
        raise ObjectiveError(
            f"{new.name!r} is no name for an objective: use letters, digits and _, as in worst_class_error"
        )
    if new.name in _REGISTRY:
        raise ObjectiveError(f"there is an objective {new.name!r} already: choose another name, or forget() the first")
    if new.name in _TAKEN or (new.name in METRICS and new.function is not METRICS[new.name]):
        raise ObjectiveError(f"{new.name!r} means something else in journals and fronts: choose another name")
    if new.direction not in ("min", "max"):
        raise ObjectiveError(f"direction {new.direction!r} of objective {new.name!r}: expected 'min' or 'max'")
    _REGISTRY[new.name] = new


def forget(name: str) -> None:
    """Takes an objective of the user's own out of the registry, so that its name is free again."""
    if name in BUILT_IN:
        raise ObjectiveError(f"{name!r} belongs to evo_fair and stays: choose another name for yours")
    if name not in _REGISTRY:
        raise UnknownNameError("objective", name, sorted(set(_REGISTRY) - BUILT_IN))
    del _REGISTRY[name]


def objective_names() -> list[str]:
    """The names of all objectives there are."""
    return sorted(_REGISTRY)


def objective_direction(name: str) -> Direction:
    """The direction of a registered objective; that of any other name is "min"."""
    return _REGISTRY[name].direction if name in _REGISTRY else "min"


def resolve(names: Sequence[str], latency: Latency | None = None, device: str = "") -> tuple[Objective, ...]:
    """The objectives of these names, `latency_ms` bound to a device's latency model, table -> float64 `[networks]`.

    Raises `UnknownNameError` for a name that is not registered, `ObjectiveError` for one given twice and for
    `latency_ms` without a device.
    """
    found: dict[str, Objective] = {}
    for name in names:
        if name not in _REGISTRY:
            raise UnknownNameError("objective", name, objective_names())
        if name in found:
            raise ObjectiveError(f"objective {name!r} is given twice: name each once")
        found[name] = _REGISTRY[name]
        if found[name].function is None:
            if latency is None:
                raise ObjectiveError(f"objective {name!r} needs a device: name one, such as raspberry-pi-4")
            label = f"latency on {device}" if device else found[name].label
            found[name] = replace(found[name], function=latency, label=label)
    return tuple(found.values())


def to_minimise(values: npt.ArrayLike, axes: Sequence[Axis]) -> npt.NDArray[np.float64]:
    """Turns values `[networks, objectives]` into float64 of the same shape of which less is always better."""
    signs = np.array([axis.sign for axis in axes])
    return np.asarray(np.asarray(values, np.float64) * signs + 0.0)  # + 0.0 makes -0.0 a plain zero


def describe(axes: Sequence[Axis]) -> list[dict[str, str]]:
    """The axes as plain tables for a run's configuration, so that its front can be read without the registry."""
    return [asdict(Axis(axis.name, axis.direction, axis.unit, axis.label)) for axis in axes]


def sources(measures: Sequence[Objective]) -> dict[str, str]:
    """A hash of the source of each objective that is the user's own, by name; see `source_hash`."""
    own = {measure.name: measure.function for measure in measures if measure.name not in BUILT_IN}
    return {name: source_hash(function) for name, function in sorted(own.items()) if function is not None}


def axes_from(tables: Sequence[Mapping[str, Any]]) -> tuple[Axis, ...]:
    """The axes that `describe` wrote down."""
    return tuple(Axis(**table) for table in tables)


def _maximised(name: str) -> bool:
    return name.endswith("accuracy")


for _name, _metric in METRICS.items():
    register(Objective(_name, "max" if _maximised(_name) else "min", function=_metric))
register(Objective("latency_ms", unit="ms", label="latency", cheap=True))
register(Objective("params", label="parameters", cheap=True, function=params))
register(Objective("macs", label="multiply-accumulates", cheap=True, function=macs))
register(Objective("peak_memory_bytes", unit="bytes", label="peak memory", cheap=True, function=peak_memory_bytes))
BUILT_IN = frozenset(_REGISTRY)
"""The names of what evo_fair itself measures; none of it is ever below 0."""
