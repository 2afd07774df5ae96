"""Objectives: named numbers to minimise or maximise, their registry, and the decorator to add one's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from evo_fair.blame import blamed, check_takes
from evo_fair.errors import ObjectiveError, UndefinedMetricError, quote
from evo_fair.evolution.devices import ENDS, LATENCY, WORST, Devices, Latency, device_named, plain_name
from evo_fair.fairness import METRICS, Counts
from evo_fair.fairness.metrics import ACCURACIES
from evo_fair.layers import LayerTable, macs, params, peak_memory_bytes
from evo_fair.registries import DIRECTIONS, OBJECTIVES, Direction, forget, objective_names
from evo_fair.show import counted
from evo_fair.sources import source_hash

__all__ = [
    "Axis",
    "Direction",
    "Objective",
    "axes_from",
    "built_in",
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

Function = Callable[[Any], Any]
ObjectiveValues = npt.NDArray[np.int64] | npt.NDArray[np.float64]
F = TypeVar("F", bound=Function)
Measures = Literal["", "accuracy", "unfairness"]
_ROUNDING = 1e-9
"""How far two sums of the same numbers may lie apart, relatively."""


@dataclass(frozen=True)
class Axis:
    """What a reader needs to know of an objective.

    Args:
        name: The objective's name.
        direction: `min` where lower is better, `max` where higher is. Default: `min`.
        unit: The unit, for figures, such as `ms`. Default: none.
        label: What figures call it. Default: its name.
    """

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
    """A named number of each network, to minimise or maximise, with the function that measures it.

    Args:
        name: The objective's name.
        direction: `min` where lower is better, `max` where higher is. Default: `min`.
        unit: The unit, for figures, such as `ms`. Default: none.
        label: What figures call it. Default: its name.
        cheap: Whether the function is of the layer table. Default: False, of the
            `Counts` of the run's group.
        function: Returns integers or floats `[networks]`; it can't change the arrays
            that it gets. Default: None, for latencies, whose function is that of a
            device.
        measures: Whether a predictive objective is an `accuracy` (or an error) or an
            `unfairness`, for strategies that tell them apart, such as `reinforce`.
            Default: neither.

    Example:
        >>> smallest = ef.Objective("smallest", "max", cheap=True, function=lambda layers: layers[:, :, 2].max(axis=1))
        >>> smallest.better
        'higher is better'
        >>> smallest.measure(np.array([[[1, 3, 16, 3, 2, 1, 64, 64]]], np.int32))
        array([16])
    """

    cheap: bool = False
    function: Function | None = None
    measures: Measures = ""

    def measure(self, source: Counts | LayerTable) -> ObjectiveValues:
        """What the function gives for each network.

        Args:
            source: `Counts` for a predictive objective; for a cheap one the layer
                table, int32 `[networks, layers, 8]`.

        Returns:
            The values, int64 or float64 `[networks]`.

        Raises:
            ObjectiveError: The function fails, returns another shape or kind or whole
                numbers that int64 can't hold, changes its arrays, or is None.
            UndefinedMetricError: The objective has no value on these samples.
        """
        if self.function is None:
            raise ObjectiveError(f"objective {self.name!r} is not bound to a device: resolve it with a latency model")
        networks = len(source)
        try:
            if built_in(self.name):
                values = np.asarray(self.function(source))
            else:
                values = self._measured_by_user(_copy_to_read(source))
        except UndefinedMetricError as reason:
            raise UndefinedMetricError(f"objective {self.name!r}: {reason}") from reason
        if values.shape != (networks,):
            found = f"the shape {list(values.shape)}" if values.ndim else f"{quote(values.item())}, which is no array,"
            raise ObjectiveError(
                f"objective {self.name!r} returned {found} for {counted(networks, 'network')}: "
                f"it must return one number a network, an array of the shape [{networks}]"
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

    def check_steady(self, source: Counts | LayerTable) -> None:
        """Refuses a function of the user's own that says something else of the same networks when it is asked again.

        A search that went on from its journal would end elsewhere.

        Args:
            source: As for `measure`, of at least one network.

        Raises:
            ObjectiveError: It draws random numbers or counts its calls, or a network's
                number depends on those beside it. Otherwise as `measure`.
            UndefinedMetricError: As `measure`.
        """
        if built_in(self.name):
            return
        values, again = self.measure(source), self.measure(source)
        if not np.array_equal(values, again, equal_nan=True):
            at = int(np.flatnonzero((values != again) & ~(np.isnan(values) & np.isnan(again)))[0])
            raise ObjectiveError(
                f"objective {self.name!r} says {values[at]:g} and then {again[at]:g} of the same network: it must say "
                "the same whenever it is asked; let it draw no random numbers and keep nothing from call to call"
            )
        for at in range(len(source)):
            alone = self.measure(source[at : at + 1])
            if not np.allclose(alone, values[at], rtol=_ROUNDING, atol=0, equal_nan=True):
                raise ObjectiveError(
                    f"objective {self.name!r} says {values[at]:g} of a network beside others and {alone[0]:g} of it "
                    "alone: let each network's number depend on its own values only"
                )

    def _measured_by_user(self, source: Counts | LayerTable) -> npt.NDArray[Any]:
        """What a function of the user's own returns; raises `ObjectiveError` with its line where it fails."""
        assert self.function is not None
        given, other = "counts", "with cheap=True the layer table"
        if self.cheap:
            given, other = "the layer table", "without cheap=True counts"
        with blamed("objective", self.name, ObjectiveError, f"fix it; it is given {given}, and {other}"):
            try:
                values = self.function(source)
                if isinstance(values, np.ma.MaskedArray):  # beneath a mask lies any number
                    values = np.ma.filled(values.astype(np.float64), np.nan)
                return np.asarray(values)
            except ValueError as reason:
                if "read-only" not in str(reason):
                    raise
                raise ObjectiveError(
                    f"objective {self.name!r} changes the array that it is given, which others read too ({reason}): "
                    "change a copy, as of .copy()"
                ) from reason


def _copy_to_read(source: Counts | LayerTable) -> Counts | LayerTable:
    """A read-only copy: a user's function may yet write to it by way of torch or ctypes, and then harms itself only."""
    if isinstance(source, Counts):
        return Counts(source.values.copy(), source.rest.copy(), source.group_names, source.label_names, source.positive)
    copy = np.array(source)
    copy.flags.writeable = False
    return copy


def objective(
    direction: Direction = "min", cheap: bool = False, unit: str = "", label: str = "", measures: Measures = ""
) -> Callable[[F], F]:
    """Registers the function below it as an objective under the function's name, and leaves it as it is.

    A predictive objective gets `Counts`, a cheap one the layer table, int32 `[networks,
    layers, 8]`. Both return one number a network. Their arrays are read-only: change a
    copy. The same function defined again, as by a notebook's cell that is run twice,
    takes the place of the first. Another function of its name is refused.

    Args:
        direction: `min` where lower is better, `max` where higher is. Default: `min`.
        cheap: Whether the function is of the layer table. Default: False, of `Counts`.
        unit: For figures, such as `ms`. Default: none.
        label: What figures call it. Default: the function's name.
        measures: `accuracy` (or an error) or `unfairness`; only `reinforce` needs it.
            Default: neither.

    Returns:
        A decorator.

    Raises:
        ObjectiveError: The name is taken, the direction is none, or unit or label is no
            text; when it decorates.

    Example:
        >>> @ef.objective(direction="min", cheap=True)
        ... def widest_layer(layers):
        ...     return layers[:, :, 2].max(axis=1)
        >>> ef.forget("widest_layer")
    """
    if callable(direction):
        raise ObjectiveError("@objective stands without brackets: write @objective() or @objective(direction='max')")

    def add(function: F) -> F:
        name = getattr(function, "__name__", type(function).__name__)
        new = Objective(name, direction, unit, label, cheap, function, measures)
        check_objective(new)
        OBJECTIVES.add(name, new, code=function, again=True)
        return function

    return add


def register(new: Objective) -> None:
    """Adds an objective to the registry.

    Args:
        new: The objective.

    Raises:
        ObjectiveError: Its name is taken or no identifier, or its direction is none.
    """
    check_objective(new)
    OBJECTIVES.add(new.name, new, code=new.function or resolve)  # that of a latency is a device's


def check_objective(new: Objective) -> None:
    """Refuses an objective that can't be.

    Args:
        new: The objective.

    Raises:
        ObjectiveError: Its name, direction, unit, label, function or `measures` is none.
    """
    OBJECTIVES.check_name(new.name)
    if new.direction not in ("min", "max"):
        raise ObjectiveError(f"direction {new.direction!r} of objective {new.name!r}: expected 'min' or 'max'")
    for key, text in (("unit", new.unit), ("label", new.label)):
        if not isinstance(text, str):
            raise ObjectiveError(f"{key} {quote(text)} of objective {new.name!r} is no text: give one, or leave it out")
    if new.measures not in get_args(Measures):
        raise ObjectiveError(
            f"objective {new.name!r} measures {quote(new.measures)}: expected 'accuracy', 'unfairness' or ''"
        )
    if new.name in OBJECTIVES and OBJECTIVES.is_built_in(new.name):
        return
    if new.function is None:
        raise ObjectiveError(f"objective {new.name!r} has no function: give one of the Counts, or of the layer table")
    check_takes("objective", new.name, new.function, ("layers" if new.cheap else "counts",), ObjectiveError)


def objective_direction(name: str) -> Direction | None:
    """The direction of a registered objective.

    Args:
        name: Any name, `latency_ms[NAME]` among them.

    Returns:
        `min` or `max`; None for a name that is not registered.
    """
    name = plain_name(name)
    return OBJECTIVES[name].direction if name in OBJECTIVES else None


def built_in(name: str) -> bool:
    """Whether evo_fair itself measures what has this name.

    Args:
        name: Any name, `latency_ms[NAME]` among them.

    Returns:
        True for an objective of evo_fair's own.
    """
    return plain_name(name) in BUILT_IN


def resolve(
    names: Sequence[str | Objective], latency: Latency | Devices | None = None, device: str = ""
) -> tuple[Objective, ...]:
    """The objectives of these names, with the functions of devices for those that are latencies.

    Args:
        names: Names, or objectives, which stand for themselves, registered or not.
        latency: The latency model of one device, which turns a layer table into float64
            `[networks]`, or several `Devices`. Default: none.
        device: The name of the one device. Default: none.

    Returns:
        The objectives, in the order of `names`.

    Raises:
        UnknownNameError: A name is not registered, or a device is not there.
        ObjectiveError: An objective is given twice, a latency has no device, or
            `worst_latency` has no limits.
    """
    if not isinstance(latency, Devices):
        latency = Devices({} if latency is None else {device: latency})
    found: dict[str, Objective] = {}
    for one in names:
        chosen = _given(one) if isinstance(one, Objective) else OBJECTIVES[plain_name(one)]
        if chosen.function is None:
            chosen = _bound(chosen, one if isinstance(one, str) else one.name, latency)
        if chosen.name in found:
            both = LATENCY in names and device_named(chosen.name) is not None
            told = f", and {LATENCY!r} is that of the first device" if both else ""
            raise ObjectiveError(f"objective {chosen.name!r} is given twice{told}: name each once")
        found[chosen.name] = chosen
    return tuple(found.values())


def _bound(latency: Objective, name: str, devices: Devices) -> Objective:
    """An objective that depends on devices, under its one name and with the function that measures it there."""
    try:
        own = devices.name(name)
        label = devices.label(own) or latency.label
        return replace(latency, name=own, function=devices.function(own), label=label)
    except ObjectiveError as reason:
        raise ObjectiveError(f"objective {name!r} {reason}") from reason


def _given(own: Objective) -> Objective:
    """An objective that was handed over; raises `ObjectiveError` where its name is that of another one."""
    check_objective(own)
    if OBJECTIVES.get(own.name, own) != own:
        raise ObjectiveError(f"there is an objective {own.name!r} already: choose another name, or forget() the first")
    return own


def to_minimise(values: npt.ArrayLike, axes: Sequence[Axis]) -> npt.NDArray[np.float64]:
    """Turns values into those of which less is always better.

    Args:
        values: Values, `[networks, objectives]`.
        axes: The objectives, `[objectives]`.

    Returns:
        float64 `[networks, objectives]`.
    """
    signs = np.array([axis.sign for axis in axes])
    return np.asarray(np.asarray(values, np.float64) * signs + 0.0)  # + 0.0 makes -0.0 a plain zero


def describe(axes: Sequence[Axis]) -> list[dict[str, str]]:
    """The axes as plain tables for a run's configuration, so that its front can be read without the registry.

    Args:
        axes: The objectives.

    Returns:
        A table with `name`, `direction`, `unit` and `label` for each.
    """
    return [asdict(Axis(axis.name, axis.direction, axis.unit, axis.label)) for axis in axes]


def sources(measures: Sequence[Objective]) -> dict[str, str]:
    """A hash of the source of each objective that is the user's own; see `source_hash`.

    Args:
        measures: The objectives.

    Returns:
        The hashes by name.
    """
    own = {measure.name: measure.function for measure in measures if not built_in(measure.name)}
    return {name: source_hash(function) for name, function in sorted(own.items()) if function is not None}


def axes_from(tables: Sequence[Mapping[str, Any]]) -> tuple[Axis, ...]:
    """The axes that `describe` wrote down.

    Args:
        tables: The tables of a run's configuration.

    Returns:
        The axes, in the tables' order.
    """
    return tuple(Axis(**table) for table in tables)


for _name, _metric in METRICS.items():
    _measures: Measures = "accuracy" if _name in ACCURACIES else "unfairness"
    register(Objective(_name, DIRECTIONS[_name], function=_metric, measures=_measures))
register(Objective(LATENCY, unit="ms", label="latency", cheap=True))
for _end, _label in ENDS.items():
    register(Objective(_end, unit="ms", label=_label, cheap=True))
register(Objective(WORST, cheap=True))
register(Objective("params", label="parameters", cheap=True, function=params))
register(Objective("macs", label="multiply-accumulates", cheap=True, function=macs))
register(Objective("peak_memory_bytes", unit="bytes", label="peak memory", cheap=True, function=peak_memory_bytes))
BUILT_IN = frozenset(OBJECTIVES)
"""The names of what evo_fair itself measures; none of it is ever below 0."""
