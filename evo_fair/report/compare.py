"""Several runs side by side: hypervolumes with intervals, attainment surfaces, and whose front dominates whose."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pandas as pd

from evo_fair.arguments import as_number, as_texts, as_wholes
from evo_fair.errors import EvoFairError, RunError, UnknownNameError, check_list, quote
from evo_fair.evolution import Axis, Box, box_around, hypervolume_trace, to_minimise
from evo_fair.evolution.devices import ENDS, LATENCY, WORST, device_named, plain_name
from evo_fair.evolution.hypervolume import Points
from evo_fair.latency.profile import known_hash
from evo_fair.report.drawn import common_axes
from evo_fair.report.run import Run, load_run

__all__ = ["Comparison", "attainment", "compare", "coverage", "mean_interval"]

CONFIDENCE = 0.95


def compare(
    runs: Sequence[Run | str | Path], labels: Sequence[str] | None = None, box: Box | None = None
) -> "Comparison":
    """Compares runs, or those in folders, grouped by their labels, by default their algorithms.

    Runs can be compared that searched the same objectives, measured on the same data,
    groups, supernet and devices.

    Args:
        runs: Two or more runs, or their folders.
        labels: A label for each run; runs of one label go together. Default: their
            algorithms.
        box: The box that hypervolumes are shares of, in minimised objectives. Default:
            made of the runs' fronts.

    Returns:
        Tables by run and by label, and the surfaces that runs attain.

    Raises:
        RunError: The runs can't be compared, or one has no front.
        EvoFairError: There are no runs, one is named twice, labels and runs are not
            equally many, or the box is none of these objectives.

    Example:
        >>> one = ef.load_run("results/digits")
        >>> two = ef.search("digits", budget=16, seed=1, out="results/other", algorithm="random")
        >>> comparison = ef.compare([one, two])
        >>> comparison.by_label["label"].tolist()
        ['nsga2', 'random']
    """
    check_list("runs", runs)
    if isinstance(runs, Run) or not isinstance(runs, Iterable):
        raise EvoFairError(f"runs = {str(runs)[:60]} is no list: give one, as [...]")
    labels = None if labels is None else as_texts("labels", labels)
    loaded = [run if isinstance(run, Run) else load_run(run) for run in runs]
    if not loaded:
        raise EvoFairError("there is nothing to compare: give the folders of at least two runs")
    if labels is not None and len(labels) != len(loaded):
        raise EvoFairError(f"{len(labels)} labels for {len(loaded)} runs: give one a run, in the runs' order")
    if labels is not None and not all(label.strip() for label in labels):
        raise EvoFairError(f"labels = {list(labels)}: one is empty; say what its run is called")
    places = [run.path.resolve() for run in loaded]
    for place in places:
        if places.count(place) > 1:
            raise EvoFairError(f"{place} is given more than once: name each run once")
    axes = common_axes(loaded)
    _check_alike(loaded)
    for run in loaded:
        if run.front.empty:
            raise RunError(
                f"{run.path} has no feasible network, so there is no front to compare: leave it out, "
                "or search on with --resume"
            )
    names = labels or [str(run.configuration["search"].get("algorithm", "run")) for run in loaded]
    return Comparison(tuple(loaded), tuple(names), tuple(axes), None if box is None else _checked_box(box, axes))


@dataclass(frozen=True)
class Comparison:
    """Runs with their labels, and how their fronts and hypervolumes compare; see `compare`.

    Args:
        runs: The runs.
        labels: A label for each run.
        axes: The objectives that they share: name, direction, unit and label of each.
        chosen_box: The box that hypervolumes are shares of, in minimised objectives.
            Default: None, made of the fronts.

    Example:
        >>> comparison = ef.compare(["results/digits"])
        >>> comparison.by_run["seed"].tolist()
        [0]
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    axes: tuple[Axis, ...]
    chosen_box: Box | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The labels, once each, in the order in which they first came."""
        return tuple(dict.fromkeys(self.labels))

    @cached_property
    def fronts(self) -> tuple[Points, ...]:
        """Each run's front, minimised, `[networks, objectives]`: what was measured, as the traces are."""
        return tuple(to_minimise(run.front[self._names].to_numpy(float), self.axes) for run in self.runs)

    @cached_property
    def box(self) -> Box:
        """The one chosen, else from the best values on any front to a tenth of their range beyond the worst."""
        return self.chosen_box or box_around(np.concatenate(self.fronts))

    @cached_property
    def traces(self) -> tuple[Points, ...]:
        """Each run's hypervolume, as a share of the box, after every network that it evaluated."""
        traces = []
        for run in self.runs:
            networks = run.networks[run.networks["evaluated"].to_numpy(bool)]
            points = to_minimise(networks[self._names].to_numpy(float), self.axes)
            points[~networks["feasible"].to_numpy(bool)] = np.nan
            traces.append(hypervolume_trace(points, self.box))
        return tuple(traces)

    @cached_property
    def by_run(self) -> pd.DataFrame:
        """A row a run: `label`, `run` (its folder), `seed`, `evaluated`, `front` (networks on it), `hypervolume`."""
        rows = [
            {
                "label": label,
                "run": str(run.path),
                "seed": run.configuration["search"].get("seed"),
                "evaluated": len(trace),
                "front": len(front),
                "hypervolume": float(trace[-1]),
            }
            for label, run, front, trace in zip(self.labels, self.runs, self.fronts, self.traces, strict=True)
        ]
        return pd.DataFrame(rows)

    @cached_property
    def by_label(self) -> pd.DataFrame:
        """A row a label: `label`, `runs`, `evaluated` and `front` (means), `hypervolume` (mean), its `low` and `high`.

        The interval is Student's for the mean, 95 %; NaN for fewer than three runs. `attained` is the hypervolume of
        what half of the label's runs attain; NaN for more than three objectives.
        """
        rows = []
        for label in self.groups:
            own = self.by_run[self.by_run["label"] == label]
            mean, low, high = mean_interval(own["hypervolume"].to_numpy(float))
            rows.append(
                {
                    "label": label,
                    "runs": len(own),
                    "evaluated": float(own["evaluated"].mean()),
                    "front": float(own["front"].mean()),
                    "hypervolume": mean,
                    "low": low,
                    "high": high,
                    "attained": self._attained(label),
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def dominated(self) -> pd.DataFrame:
        """Row A, column B: the share of A's front that B's front dominates, the mean over all pairs of their runs."""
        return self._pairs(lambda a, b: coverage(self.fronts[a], self.fronts[b]))

    @cached_property
    def larger(self) -> pd.DataFrame:
        """Row A, column B: in what share of all pairs of their runs A's hypervolume is larger; a tie counts half."""
        volumes = [trace[-1] for trace in self.traces]
        return self._pairs(lambda a, b: (1.0 + np.sign(volumes[a] - volumes[b])) / 2.0)

    def surface(self, label: str, percentile: float, objectives: Sequence[int] | None = None) -> Points:
        """What a share of a label's runs attains, as points of the minimised objectives (Fonseca et al. 2011).

        Args:
            label: One of `groups`.
            percentile: The share of the runs, 0 to 100 %; 50 gives the median surface.
            objectives: One to three objectives, by their numbers in `axes`. Default:
                all.

        Returns:
            The points, float64 `[n, objectives]`.

        Raises:
            UnknownNameError: No run has the label.
            EvoFairError: The percentile or the objectives are wrong.
        """
        if label not in self.groups:
            raise UnknownNameError("label", label, list(self.groups))
        chosen = list(range(len(self.axes))) if objectives is None else list(as_wholes("objectives", objectives))
        if not 1 <= len(chosen) <= 3 or not set(chosen) <= set(range(len(self.axes))):
            raise EvoFairError(
                f"objectives = {chosen}: give one to three numbers of objectives, from 0 to {len(self.axes) - 1}"
            )
        return attainment([self.fronts[run][:, chosen] for run in self._of(label)], percentile)

    @property
    def _names(self) -> list[str]:
        return [axis.name for axis in self.axes]

    def _of(self, label: str) -> list[int]:
        return [number for number, own in enumerate(self.labels) if own == label]

    def _attained(self, label: str) -> float:
        if len(self.axes) > 3:
            return float("nan")
        return float(hypervolume_trace(self.surface(label, 50.0), self.box)[-1])

    def _pairs(self, value: Callable[[int, int], float]) -> pd.DataFrame:
        groups = list(self.groups)
        table = [
            [float(np.mean([value(a, b) for a in self._of(x) for b in self._of(y)])) for y in groups] for x in groups
        ]
        frame = pd.DataFrame(table, index=groups, columns=groups)
        return frame.mask(np.eye(len(groups), dtype=bool))


def attainment(fronts: Sequence[Points], percentile: float) -> Points:
    """The empirical attainment surface (Fonseca et al. 2011) of fronts, all minimised.

    What lies on or beyond it was dominated or reached by at least `percentile` % of the
    fronts.

    Args:
        fronts: Fronts, float64 `[n, m]` each, with m from 1 to 3 objectives.
        percentile: 0 to 100; 0 is the best surface, that of all fronts together.

    Returns:
        The surface's points, float64 `[k, m]`.

    Raises:
        EvoFairError: The percentile is none.
    """
    percentile = as_number("percentile", percentile)
    if percentile is None or not 0 <= percentile <= 100:  # moocore would end the process
        raise EvoFairError(f"percentile {percentile}: give the share of the runs in percent, 0 to 100")
    if fronts[0].shape[1] == 1:
        ranked = np.sort([front.min() for front in fronts])
        return np.array([[ranked[max(0, int(np.ceil(percentile * len(ranked) / 100)) - 1)]]])
    points, sets = np.concatenate(fronts), np.repeat(np.arange(1, len(fronts) + 1), [len(front) for front in fronts])
    return np.asarray(moocore.eaf(points, sets, percentiles=[percentile])[:, :-1], np.float64)


def coverage(front: Points, other: Points) -> float:
    """The share of the points of a front that some point of another dominates, all minimised.

    It is C(other, front) of Zitzler and Thiele 1998, with strict domination: equal
    points don't dominate each other.

    Args:
        front: Points, float64 `[n, m]`.
        other: Points, float64 `[k, m]`.

    Returns:
        The share, 0 to 1.
    """
    not_worse = (other[None] <= front[:, None]).all(axis=2)
    better = (other[None] < front[:, None]).any(axis=2)
    return float(np.mean(np.any(not_worse & better, axis=1)))


def mean_interval(values: Points) -> tuple[float, float, float]:
    """The mean of values and Student's 95 % interval for it.

    Args:
        values: Values, float64 `[n]`.

    Returns:
        The mean and the interval's ends; the ends are NaN for fewer than three values.
    """
    mean = float(values.mean())
    if len(values) < 3:  # of two it is wider than anything that is known of the values
        return mean, float("nan"), float("nan")
    from scipy import stats  # half a second that reading a run does not need

    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def _checked_box(box: object, axes: Sequence[Axis]) -> Box:
    """A box that was given, its corners as float64 `[m]`; raises `EvoFairError` for one that is none of `axes`."""
    if not isinstance(box, Box):
        raise EvoFairError(f"box {quote(box)} is no evo_fair.evolution.Box: give one, or leave it out")
    try:
        ideal, reference = (np.asarray(corner, np.float64) for corner in (box.ideal, box.reference))
        right = ideal.shape == reference.shape == (len(axes),) and bool((ideal < reference).all())
        right = right and bool(np.isfinite([ideal, reference]).all())
    except (TypeError, ValueError):
        right = False
    if not right:
        raise EvoFairError(
            f"box from {quote(box.ideal)} to {quote(box.reference)}: give a best and a worst value of each of "
            f"{', '.join(axis.name for axis in axes)}, minimised, the best below the worst"
        )
    return Box(ideal, reference)


def _check_alike(runs: Sequence[Run]) -> None:
    """Raises `RunError` naming the first thing in which a run differs that changes what objectives mean."""
    for run in runs[1:]:
        for (what, ours), (_, theirs) in zip(_measured_on(runs[0], runs[0]), _measured_on(run, runs[0]), strict=True):
            if ours != theirs:
                raise RunError(
                    f"{runs[0].path} and {run.path} differ in {what} ({_short(ours)}, {_short(theirs)}), so that their "
                    "objectives can't be compared: give runs that were measured alike"
                )


def _measured_on(run: Run, like: Run) -> list[tuple[str, str | None]]:
    """What values of the objectives of `like` rest on in a run: what it is in words, and which."""
    found: list[tuple[str, str | None]] = [
        ("the group", _value(run.configuration, ("search", "group"))),
        ("the data", _value(run.configuration, ("data", "fingerprint"))),
        ("the supernet", _value(run.configuration, ("supernet", "sha256"))),
        ("the network", _value(run.configuration, ("network", "weights"))),
    ]
    names = [axis.name for axis in like.axes]
    # Runs of the first versions don't say it, and are taken for measured alike.
    own = run.sources
    found += [(f"the source of {name}", own.get(name, ours)) for name, ours in like.sources.items() if name in names]
    if WORST in names:
        found.append(("the limits of latencies", ", ".join(_latency_limits(run))))
        names += [limit.name for limit in like.limits]
    for name in dict.fromkeys(names):
        if (device := device_named(name)) is not None:
            found.append((f"the device {device}", known_hash(device, run.devices.get(device))))
        elif name in (LATENCY, *ENDS):
            first, sha256 = (_value(run.configuration, ("device", key)) for key in ("name", "sha256"))
            found.append(("the device", known_hash(first or "", sha256)))
    return found


def _latency_limits(run: Run) -> list[str]:
    return sorted(limit.text for limit in run.limits if plain_name(limit.name) == LATENCY)


def _value(configuration: dict[str, Any], path: tuple[str, str]) -> str | None:
    value = configuration.get(path[0], {}).get(path[1])
    return None if value is None else str(value)


def _short(value: str | None) -> str:
    return "unknown" if value is None else value[:16]
