"""What predictions say of pruned networks: rows by class and group, metrics, and losses against dense networks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.auditing.store import ROW_COLUMNS
from evo_fair.data import Dataset
from evo_fair.errors import AuditError
from evo_fair.fairness import group_accuracy, measure_all

__all__ = ["UNKNOWN", "metrics_of", "rows_of", "with_losses"]

UNKNOWN = "(unknown)"
"""The name in rows of samples whose group is not known."""


def rows_of(
    ids: Sequence[str], predictions: npt.NDArray[np.uint8], dataset: Dataset, part: str, groupings: Sequence[str]
) -> pd.DataFrame:
    """A row a class and group and network, of predictions `[networks, n]`; combinations without samples have none.

    `class` itself is not asked for: its rows are the sums over a grouping's groups, the
    unknown one included.

    Args:
        ids: The networks' ids.
        predictions: Predicted labels, uint8 `[networks, n]`.
        dataset: The data set.
        part: `train`, `validation` or `test`.
        groupings: The groupings' names.
    """
    labels = dataset.label_names
    tables = []
    for name in groupings:
        counts = dataset.counts(predictions, part, name)
        values = np.concatenate([counts.values, counts.rest[:, None]], axis=1)
        samples = values[0].sum(axis=2)
        correct = np.diagonal(values, axis1=2, axis2=3)
        group, label = np.nonzero(samples)
        names = np.array([*counts.group_names, UNKNOWN], object)
        networks = len(ids)
        tables.append(
            pd.DataFrame(
                {
                    "id": np.repeat(np.array(ids, object), len(group)),
                    "grouping": name,
                    "group": np.tile(names[group], networks),
                    "class": np.tile(np.array(labels, object)[label], networks),
                    "samples": np.tile(samples[group, label], networks),
                    "correct": correct[:, group, label].ravel(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)[list(ROW_COLUMNS)]


def metrics_of(
    ids: Sequence[str],
    predictions: npt.NDArray[np.uint8],
    dataset: Dataset,
    part: str,
    group: str,
    groupings: Sequence[str],
) -> pd.DataFrame:
    """A row a network: `id`, every metric that has a value on the grouping `group`, and accuracies by group and class,
    named as in a run's front: `accuracy[sex:female]`.

    Args:
        ids: The networks' ids.
        predictions: Predicted labels, uint8 `[networks, n]`.
        dataset: The data set.
        part: `train`, `validation` or `test`.
        group: The grouping's name.
        groupings: The groupings' names.
    """
    counts = {name: dataset.counts(predictions, part, name) for name in dict.fromkeys((group, *groupings, "class"))}
    columns: dict[str, npt.ArrayLike] = {"id": np.array(ids, object)}
    columns |= {name: values for name, values in measure_all(counts[group]).items() if values is not None}
    for name, part_counts in counts.items():
        for group_name, values in zip(part_counts.group_names, group_accuracy(part_counts).T, strict=True):
            columns[f"accuracy[{name}:{group_name}]"] = values
    return pd.DataFrame(columns)


def with_losses(networks: pd.DataFrame, group: str) -> pd.DataFrame:
    """Adds what pruning cost each network against the dense one of its architecture, in accuracy (0.01 is a point).

    `accuracy_loss`; `worst_group_loss` and `worst_class_loss`, the most that any group
    of `group`, or class, lost; `loss_gap`, the most minus the least that a group of
    `group` lost, the degradation fairness of BiFP (arXiv 2312.10181). Networks whose
    dense one was not measured are left out. Raises `AuditError` where none was.

    Args:
        networks: A row a network.
        group: The grouping's name.
    """
    dense = networks[networks["dense"].to_numpy(bool)].set_index("base")
    if dense.empty:
        raise AuditError(
            "no dense network was measured, against which losses are told: go on with it, evo-fair audit ... --resume"
        )
    found = networks[networks["base"].isin(dense.index)].reset_index(drop=True)
    reference = dense.loc[found["base"]].reset_index(drop=True)
    losses = {}
    for name in (group, "class"):
        columns = [column for column in map(str, networks.columns) if column.startswith(f"accuracy[{name}:")]
        losses[name] = reference[columns].to_numpy(float) - found[columns].to_numpy(float)
    found["accuracy_loss"] = reference["accuracy"] - found["accuracy"]
    found["worst_group_loss"] = losses[group].max(axis=1)
    found["worst_class_loss"] = losses["class"].max(axis=1)
    found["loss_gap"] = losses[group].max(axis=1) - losses[group].min(axis=1)
    return found
