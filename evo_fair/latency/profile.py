"""A device profile: what one device and runtime need for any layer table, and how far that was measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import exp, log
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from evo_fair.arguments import as_path
from evo_fair.arrays import Bools, Floats, Int32s, Ints
from evo_fair.errors import ProfileError
from evo_fair.files import digest, say_namesake, shipped_names, shipped_or_path, write_json
from evo_fair.latency.model import Model, layer_ms, make_model, network_ms
from evo_fair.latency.schema import BYTES_PER_VALUE, ProfileFile, read_profile, read_root
from evo_fair.latency.terms import KINDS, NETWORK_CALLS, TERMS, WINDOWED, Term, kind_of
from evo_fair.latency.uncertainty import Uncertainty, Variances, Width, measured_terms
from evo_fair.layers import COLUMNS, LayerTable, check_table
from evo_fair.one_at_a_time import one_at_a_time

__all__ = ["Profile", "all_prices", "device_names", "kinds_of", "known_hash", "load_profile", "measured_ranges"]

T = TypeVar("T")
_WIDEST = 50.0  # half an interval in logarithms: no prediction, but still a number
Ranges = dict[str, dict[str, tuple[int, int]]]


@dataclass(frozen=True)
class Profile:
    """A profile ready to predict: one device and runtime, and how far its predictions were tested.

    Get one from `load_profile` or `calibrate`.

    Args:
        file: What its JSON says.

    Example:
        >>> profile = ef.load_profile("raspberry-pi-4")
        >>> profile.name, profile.file.validation.networks
        ('raspberry-pi-4', 39)
    """

    file: ProfileFile

    @property
    def name(self) -> str:
        """The profile's name, such as `raspberry-pi-4`."""
        return self.file.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of what the profile says, whatever the layout of its file."""
        return digest(json.dumps(self.file.plain(), sort_keys=True))

    @cached_property
    def without_intervals(self) -> "Profile":
        """The same predictions, by a profile that does not say how far they may be off."""
        return Profile(self.file.model_copy(update={"intervals": None}))

    def known_as(self, sha256: str | None) -> "Profile | None":
        """The profile of that hash: this one, or the same without intervals, which it was before it had them.

        Who goes on with what such a profile was used for gets the same again.

        Args:
            sha256: A profile's hash, or None for one that nobody wrote down.

        Returns:
            The profile, None where the hash is another's.
        """
        return next((one for one in (self, self.without_intervals) if one.sha256 == sha256), None)

    @cached_property
    def model(self) -> Model:
        """The numbers of the latency model."""
        prices = self.file.prices
        return make_model(
            all_prices(prices, TERMS),
            prices[NETWORK_CALLS.name],
            BYTES_PER_VALUE[self.file.precision],
            self.file.channel_block,
            self._anchors,
            np.array([anchor.weight for anchor in self.file.anchors]),
        )

    @cached_property
    def _anchors(self) -> Int32s:
        return np.array([anchor.layer for anchor in self.file.anchors], np.int32).reshape(-1, len(COLUMNS))

    def latency_ms(self, table: LayerTable) -> Floats:
        """Milliseconds of each network for one sample.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.

        Returns:
            float64 `[networks]`.

        Raises:
            ValueError: The table has another shape or kind.
        """
        result: Floats = _computed(network_ms, self.model, check_table(table))
        return result

    @property
    def interval_ends(self) -> dict[str, Callable[[LayerTable], Floats]]:
        """What gives the ends of intervals, by the names of objectives; none for a profile without intervals."""
        if not self.has_intervals:
            return {}
        return {"latency_ms_low": self.latency_ms_low, "latency_ms_high": self.latency_ms_high}

    def layer_ms(self, table: LayerTable) -> Floats:
        """Milliseconds of each layer; a network costs `network_ms` on top.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.

        Returns:
            float64 `[networks, layers]`, 0 for padding.
        """
        result: Floats = _computed(layer_ms, self.model, check_table(table))
        return result

    @property
    def has_intervals(self) -> bool:
        """Whether the profile says how far its predictions may be off."""
        return self.file.intervals is not None

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """What the fit left open; raises `ProfileError` for a profile that does not say it."""
        if self.file.intervals is None:
            raise ProfileError(
                f"profile {self.name!r} has no intervals: fit it again with 'evo-fair calibrate', "
                "or take a device that has them (see 'evo-fair devices')"
            )
        root = read_root(self.file.intervals.root)
        measured = measured_terms(self.file.fitted.never_measured)
        return Uncertainty(self.model, self._anchors, root, measured)

    def interval_ms(self, table: LayerTable, repeats: Floats | None = None) -> tuple[Floats, Floats]:
        """The least and the most milliseconds of each network: nine in ten lie within.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.
            repeats: How often each layer runs, float64 `[networks, layers]`. Default:
                once.

        Returns:
            The lower and the upper ends, float64 `[networks]` each.

        Raises:
            ProfileError: The profile has no intervals.
        """
        return self._interval(partial(self.uncertainty.of_networks, repeats=repeats), table)

    def layer_interval_ms(self, table: LayerTable) -> tuple[Floats, Floats]:
        """The least and the most milliseconds of each layer; see `interval_ms`.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.

        Returns:
            The lower and the upper ends, float64 `[networks, layers]` each.

        Raises:
            ProfileError: The profile has no intervals.
        """
        return self._interval(self.uncertainty.of_layers, table)

    def latency_ms_low(self, table: LayerTable) -> Floats:
        """The lower ends of `interval_ms`.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.

        Returns:
            Milliseconds, float64 `[networks]`.

        Raises:
            ProfileError: The profile has no intervals.
        """
        return self.interval_ms(table)[0]

    def latency_ms_high(self, table: LayerTable) -> Floats:
        """The upper ends of `interval_ms`.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.

        Returns:
            Milliseconds, float64 `[networks]`.

        Raises:
            ProfileError: The profile has no intervals.
        """
        return self.interval_ms(table)[1]

    def _interval(self, variances_of: Callable[[LayerTable], Variances], table: LayerTable) -> tuple[Floats, Floats]:
        assert self.file.intervals is not None
        variances = _computed(variances_of, check_table(table))
        half = Width(self.file.intervals.noise, self.file.intervals.reach).half(variances)
        times = np.exp(np.minimum(half, _WIDEST))
        return variances.ms / times, variances.ms * times

    @property
    def network_ms(self) -> float:
        """Milliseconds that any network costs beside its layers."""
        return 1e-6 * self.model.network_price

    def extrapolated(self, table: LayerTable) -> Bools:
        """Whether a layer lies outside what was fitted, in kind or in range.

        Args:
            table: The layer table, int32 `[networks, layers, 8]`.

        Returns:
            bool `[networks, layers]`, False for padding.
        """
        table = check_table(table)
        low = np.full((len(KINDS), len(COLUMNS)), np.iinfo(np.int32).max)
        high = np.full((len(KINDS), len(COLUMNS)), -1)
        for name, columns in self.file.fitted.ranges.items():
            low[KINDS.index(name)], high[KINDS.index(name)] = 0, np.iinfo(np.int32).max
            for column, (least, greatest) in columns.items():
                low[KINDS.index(name), COLUMNS.index(column)] = least
                high[KINDS.index(name), COLUMNS.index(column)] = greatest
        kinds = kinds_of(table)
        outside: Bools = ((table < low[kinds]) | (table > high[kinds])).any(axis=2) & (kinds > 0)
        return outside

    def write(self, path: str | Path) -> None:
        """Writes the profile as JSON, atomically.

        Args:
            path: The file.

        Raises:
            StorageError: It can't be written.
            EvoFairError: It is no path.
        """
        write_json(as_path("path", path), self.file.model_dump(mode="json", by_alias=True, exclude_none=True))


def all_prices(prices: Mapping[str, float], terms: Sequence[Term]) -> list[float]:
    """The price of each term, in ns.

    A term that a profile is too old to know has its usual price, at its group's level:
    the geometric mean, over the group's known terms, of the price in units of the usual
    one.

    Args:
        prices: The known prices, in ns, by the terms' names.
        terms: All terms.

    Returns:
        The prices, in the terms' order.
    """
    found = []
    for term in terms:
        if term.name in prices:
            found.append(prices[term.name])
            continue
        levels = [log(prices[own.name] / own.usual) for own in terms if own.group == term.group and own.name in prices]
        found.append(term.usual * exp(sum(levels) / len(levels)))
    return found


@one_at_a_time  # Numba's own pool of threads, where there is no better one, ends a process that enters it twice
def _computed(kernel: Callable[..., T], *arguments: Any) -> T:
    return kernel(*arguments)


def load_profile(name_or_path: str | Path) -> Profile:
    """The shipped profile of that name, or the one in the JSON file at that path.

    Args:
        name_or_path: A name such as `raspberry-pi-4` (see `evo-fair devices`), or a file that `calibrate` wrote.

    Returns:
        The profile, ready to predict.

    Raises:
        UnknownNameError: There is no such profile; the message lists those that come with evo_fair.
        ProfileError: The file is no valid profile.

    Example:
        >>> profile = ef.load_profile("raspberry-pi-4")
        >>> convolution = [1, 3, 16, 3, 2, 1, 64, 64]  # op, c_in, c_out, kernel, stride, groups, h_in, w_in
        >>> profile.latency_ms(np.array([[convolution]], np.int32)).round(2)  # milliseconds, one network
        array([0.63])
    """
    name = str(as_path("device", name_or_path))
    path = shipped_or_path(name, "hardware_profiles", ".json", "device")
    if name == path.stem:
        say_namesake(path, "device")
    return Profile(read_profile(path))


def known_hash(name: str, sha256: str | None) -> str | None:
    """The hash of a profile as it is now, where it was `sha256` before it had intervals; else `sha256` as it is."""
    profile = load_profile(name) if name in device_names() else None
    return sha256 if profile is None or profile.known_as(sha256) is None else profile.sha256


def device_names() -> list[str]:
    """The names of the shipped profiles."""
    return shipped_names("hardware_profiles", ".json")


def kinds_of(table: LayerTable) -> Ints:
    """The kind of each layer.

    Args:
        table: The layer table, int32 `[networks, layers, 8]`.

    Returns:
        The kinds' numbers in `KINDS`, int64 `[networks, layers]`.
    """
    rows, index = np.unique(table.reshape(-1, len(COLUMNS)), axis=0, return_inverse=True)
    kinds = np.array([kind_of(row) for row in rows], np.int64)
    return kinds[index.reshape(table.shape[:2])]


def measured_ranges(table: LayerTable) -> Ranges:
    """The least and greatest value of each column by layer kind.

    Left out are columns that say nothing of a kind's cost: groups that are 1 or repeat
    the channels, and the kernel column of operators without a window.

    Args:
        table: The layer table of what was measured, int32 `[networks, layers, 8]`.

    Returns:
        The two values by kind and column.
    """
    rows = np.unique(table.reshape(-1, len(COLUMNS)), axis=0)
    kinds = np.array([kind_of(row) for row in rows])
    ranges: Ranges = {}
    for kind in np.unique(kinds[kinds > 0]):
        of_kind = rows[kinds == kind]
        ranges[KINDS[kind]] = {
            column: (int(of_kind[:, i].min()), int(of_kind[:, i].max()))
            for i, column in enumerate(COLUMNS)
            if i > 0
            and not (column == "groups" and KINDS[kind] != "grouped")
            and not (column == "kernel" and of_kind[0, 0] not in WINDOWED)
        }
    return ranges
