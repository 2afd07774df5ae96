"""What the dense networks of an audit alone tell: of each sample, and of each class and group in training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from evo_fair.arrays import read_arrays
from evo_fair.data import Dataset
from evo_fair.errors import AuditError, UndefinedMetricError, in_a_line
from evo_fair.fairness.resampled import draw_weights
from evo_fair.files import atomic_write

__all__ = ["DenseFacts", "entropy_of"]


@dataclass(frozen=True)
class DenseFacts:
    """Dense networks on the audited samples, and the samples' labels, units and groups.

    `bases` `[bases]` names the architectures; `logits` is float32 `[bases, samples, labels]`; `target` and `units` are
    int64 `[samples]`; `groups` int16 `[samples]` with -1 for unknown, by grouping, `class` among them; `names` the
    groups' names. `share` float64 `[groups]` is each group's share of training, those of unknown group left out, and
    `complexity` float64 `[bases, groups]` the mean entropy of the dense network's predictions on its training samples,
    1 for a uniform guess, NaN where none of them was looked at, both by grouping.
    """

    bases: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    units: npt.NDArray[np.int64]
    groups: Mapping[str, npt.NDArray[np.int16]]
    names: Mapping[str, tuple[str, ...]]
    share: Mapping[str, npt.NDArray[np.float64]]
    complexity: Mapping[str, npt.NDArray[np.float64]]

    @classmethod
    def gather(
        cls,
        bases: Sequence[str],
        logits: npt.NDArray[np.float32],
        entropies: npt.NDArray[np.float32],
        train: npt.NDArray[np.int64],
        dataset: Dataset,
        groupings: Sequence[str],
        part: str = "validation",
    ) -> "DenseFacts":
        """Puts them together: `entropies` `[bases, n]` are of the training samples with the indices `train` `[n]`.

        Args:
            bases: The ids of the architectures.
            logits: Logits of the part's samples, float32 `[bases, n, labels]`.
            entropies: Entropies of predictions on training samples, float32 `[bases,
                n]`.
            train: The indices of those training samples, int64 `[n]`.
            dataset: The data set.
            groupings: The groupings' names.
            part: `train`, `validation` or `test`. Default: `validation`.
        """
        samples = dataset.part(part)
        groups, names, share, complexity = {}, {}, {}, {}
        for name in dict.fromkeys(("class", *groupings)):
            grouping = dataset.grouping(name)
            groups[name], names[name] = grouping.index[samples], grouping.names
            everyone = grouping.index[dataset.part("train")]
            sizes = np.bincount(everyone[everyone >= 0], minlength=len(grouping.names))
            share[name] = sizes / sizes.sum()
            seen = grouping.index[train]
            members = np.stack([seen == g for g in range(len(grouping.names))]).astype(np.float64)
            with np.errstate(invalid="ignore"):  # no sample of a group: nothing is known of it, NaN
                complexity[name] = entropies.astype(np.float64) @ (members / members.sum(1, keepdims=True)).T
        return cls(
            tuple(bases), logits, dataset.labels[samples], dataset.units[samples], groups, names, share, complexity
        )

    def write(self, path: Path) -> None:
        """Writes them as one .npz without pickles.

        Args:
            path: The file, `dense.npz`.
        """
        arrays: dict[str, Any] = {
            "bases": np.array(self.bases, np.str_),
            "logits": self.logits,
            "target": self.target,
            "units": self.units,
        }
        for name in self.groups:
            arrays[f"groups/{name}"] = self.groups[name]
            arrays[f"names/{name}"] = np.array(self.names[name], np.str_)
            arrays[f"share/{name}"] = self.share[name]
            arrays[f"complexity/{name}"] = self.complexity[name]
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, **arrays)

    @classmethod
    def read(cls, path: Path) -> "DenseFacts":
        """Reads what `write` wrote; raises `AuditError` if it is missing or damaged.

        Args:
            path: The file, `dense.npz`.
        """
        if not path.is_file():
            raise AuditError(f"{path} is missing: finish the audit with evo-fair audit ... --resume")
        try:
            return cls._from(read_arrays(path))
        except (OSError, LookupError, TypeError, ValueError) as reason:
            raise AuditError(
                f"{path} is damaged ({in_a_line(reason)}): make it again with evo-fair audit ... --resume"
            ) from reason

    @classmethod
    def _from(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "DenseFacts":
        found: dict[str, dict[str, Any]] = {kind: {} for kind in ("groups", "names", "share", "complexity")}
        for name, array in arrays.items():
            kind, _, grouping = name.partition("/")
            if grouping:
                found[kind][grouping] = tuple(array.tolist()) if kind == "names" else array
        bases = tuple(arrays["bases"].tolist())
        return cls(bases, arrays["logits"], arrays["target"], arrays["units"], **found)

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Softmax of the logits, `[bases, samples, labels]`."""
        return np.asarray(softmax(self.logits.astype(np.float64), axis=2))

    def numbers(self, bases: "pd.Series[str]") -> npt.NDArray[np.int64]:
        """The number in `bases` of each name, -1 where it is not among them."""
        return np.asarray(pd.Index(self.bases).get_indexer(pd.Index(bases)), np.int64)

    def resamples(self, replicates: int, rng: np.random.Generator) -> npt.NDArray[np.int64] | None:
        """How often each sample counts in each resample of the units, `[replicates, samples]`; see `draw_weights`.

        None where too few resamples have a sample of every class and group for
        intervals.

        Args:
            replicates: How many resamples.
            rng: The Generator to draw with.
        """
        try:
            return np.asarray(draw_weights(self.units, replicates, rng, (self.target, *self.groups.values())), np.int64)
        except UndefinedMetricError:
            return None

    def by_group(self, grouping: str) -> pd.DataFrame:
        """A row an architecture and group: `base`, `group`, `share`, `complexity`, and `dense`, its accuracy there.

        Args:
            grouping: The grouping's name.
        """
        names = self.names[grouping]
        right = self.logits.argmax(axis=2) == self.target
        members = np.stack([self.groups[grouping] == g for g in range(len(names))]).astype(np.float64)
        accuracy = right @ (members / members.sum(axis=1, keepdims=True)).T
        return pd.DataFrame(
            {
                "base": np.repeat(np.array(self.bases, object), len(names)),
                "group": np.tile(np.array(names, object), len(self.bases)),
                "share": np.tile(self.share[grouping], len(self.bases)),
                "complexity": self.complexity[grouping].ravel(),
                "dense": accuracy.ravel(),
            }
        )


def entropy_of(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The entropy of predictions `[..., labels]` as a share of that of a uniform guess: `[...]`, from 0 to 1.

    Args:
        logits: Logits, float32 `[..., labels]`.
    """
    p = softmax(logits.astype(np.float64), axis=-1)
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=-1) / np.log(p.shape[-1])
    return np.asarray(entropy, np.float32)
