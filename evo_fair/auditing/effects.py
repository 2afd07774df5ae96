"""A regression of what pruning changes for each class or group, after Prune Responsibly (arXiv 2009.09936).

Their terms are only remembered: the change of a class's accuracy on sparsity, class imbalance, class complexity,
technique and treatment. Scope, and the interactions with sparsity, are ours.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import statsmodels.formula.api as smf
from statsmodels.regression.linear_model import OLS

from evo_fair.arrays import Floats
from evo_fair.auditing.dense import DenseFacts
from evo_fair.errors import AuditError

__all__ = ["FACTORS", "changes_of", "effects", "formula_of"]

FACTORS = ("criterion", "scope", "structure", "treatment")
"""The factors of a pruned network, each with an effect of its own and one that grows with sparsity."""

LEAST_TO_LOSE = 0.1

_SAME = 1e-9
"""A term is the sum of others where what is left of it beside them is a smaller share of it, and 0 if it is smaller."""


def changes_of(networks: pd.DataFrame, facts: DenseFacts, grouping: str) -> pd.DataFrame:
    """A row a pruned network and group of `grouping`: `change`, its accuracy there minus the dense network's.

    Beside it stand `id`, `base`, `group`, `sparsity`, the factors, and the group's
    `share` and `complexity` in training. A group of which dense networks get less than
    a tenth right on average has nothing to lose, and of one without a training sample
    that was looked at the complexity is unknown: `attrs["left_out"]` names those, left
    out.

    Args:
        networks: A row a network.
        facts: What is known of the dense networks.
        grouping: The grouping's name.
    """
    accuracy = facts.by_group(grouping).groupby("group")["dense"].mean()
    unknown = np.isnan(facts.complexity[grouping].sum(axis=0))
    left_out = [name for g, name in enumerate(facts.names[grouping]) if unknown[g] or accuracy[name] < LEAST_TO_LOSE]
    names = [name for name in facts.names[grouping] if name not in left_out]
    columns = [f"accuracy[{grouping}:{name}]" for name in names]
    dense = networks[networks["dense"].to_numpy(bool)].set_index("base")
    pruned = networks[~networks["dense"].to_numpy(bool) & networks["base"].isin(dense.index)]
    change = pruned[columns].to_numpy(float) - dense.loc[pruned["base"], columns].to_numpy(float)
    about = pruned[["id", "base", "sparsity", *FACTORS]]
    table = about.loc[about.index.repeat(len(names))].reset_index(drop=True)
    table["group"] = np.tile(np.array(names, object), len(pruned))
    table["change"] = change.ravel()
    told = facts.by_group(grouping)[["base", "group", "share", "complexity"]]
    changes = table.merge(told, on=["base", "group"], how="inner", validate="many_to_one")
    changes.attrs["left_out"] = left_out
    return changes


def formula_of(changes: pd.DataFrame) -> str:
    """The formula: factors that don't vary are left out, and what does not vary has no interaction.

    Args:
        changes: What `changes_of` gave.
    """
    terms = ["sparsity", "I(sparsity ** 2)"]
    if changes["group"].nunique() > 2:
        terms += ["share + sparsity:share", "complexity + sparsity:complexity"]
    elif changes["group"].nunique() == 2:  # two groups can't tell share and complexity apart
        terms += ["share + sparsity:share"]
    terms += [f"C({name}) + sparsity:C({name})" for name in FACTORS if changes[name].nunique() > 1]
    return "change ~ " + " + ".join(terms)


def effects(
    changes: pd.DataFrame, cluster: str = "id", formula: str | None = None, groups: int | None = None
) -> pd.DataFrame:
    """Ordinary least squares of `change` with intervals robust to clusters, by default one a network.

    They are of Student's t with one degree of freedom less than there are clusters, and
    of fewer than twenty clusters still too narrow (Cameron and Miller 2015).

    Returns a row a term: `term`, `estimate`, `low`, `high` (95 %), `p`, and in `attrs`
    the formula, R squared, how many rows and clusters there are, and as `left_out` the
    terms that are sums of those before them, such as a share that is the same for all
    groups, or a structure that only one criterion prunes by: least squares would part
    the effect between them as it likes. So that each term can be read by itself,
    `sparsity` counts tenths from 0.5, `share` is the logarithm to base 2 of the share
    times the number of groups (`groups`, by default those in the table; 1 is twice an
    even share), and `complexity` counts tenths from its mean. The
    intercept is then the change at a sparsity of 50 % for a group of even share and
    mean complexity under the first criterion and scope. Raises `AuditError` for fewer
    than two clusters.

    Args:
        changes: What `changes_of` gave.
        cluster: The column whose values are clusters. Default: `id`.
        formula: The formula. Default: that of `formula_of`.
        groups: How many groups there are. Default: those in the table.
    """
    data = changes.copy()
    clusters = pd.factorize(data[cluster])[0]
    if clusters.max(initial=0) < 1:
        raise AuditError(f"a regression needs pruned networks of two or more values of {cluster}: audit more networks")
    data["sparsity"] = 10 * (data["sparsity"] - 0.5)
    data["share"] = np.log2(data["share"] * (groups or data["group"].nunique()))
    data["complexity"] = 10 * (data["complexity"] - data["complexity"].mean())
    formula = formula or formula_of(changes)
    design = smf.ols(formula, data)
    kept = _independent(design.exog)
    names = [_readable(name) for name in design.exog_names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a covariance of few clusters, whose rank is small
        model = OLS(design.endog, design.exog[:, kept], hasconst=True)
        fitted = model.fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
        interval: Floats = np.asarray(fitted.conf_int(0.05))
        table = pd.DataFrame(
            {
                "term": [name for name, tells in zip(names, kept, strict=True) if tells],
                "estimate": fitted.params,
                "low": interval[:, 0],
                "high": interval[:, 1],
                "p": np.asarray(fitted.pvalues),
            }
        )
    table.attrs = {
        "formula": formula,
        "r_squared": float(fitted.rsquared),
        "rows": len(data),
        "clusters": int(clusters.max()) + 1,
        "cluster": cluster,
        "left_out": [name for name, tells in zip(names, kept, strict=True) if not tells],
        "references": {name: str(min(data[name])) for name in FACTORS if f"C({name})" in formula},
    }
    return table


def _independent(terms: Floats) -> npt.NDArray[np.bool_]:
    """Which of the columns `[rows, terms]` are no sum of multiples of those before them."""
    basis = np.empty((len(terms), 0))
    kept = np.zeros(terms.shape[1], np.bool_)
    for number, column in enumerate(terms.T):
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)  # once more, for what rounding left
        size = float(np.linalg.norm(left))
        if size > _SAME * max(float(np.linalg.norm(column)), np.sqrt(len(column))):
            kept[number] = True
            basis = np.column_stack([basis, left / size])
    return kept


def _readable(term: str) -> str:
    parts: Sequence[str] = term.split(":")
    names = []
    for part in parts:
        factor, _, level = part.partition("[T.")
        names.append(f"{factor.removeprefix('C(').rstrip(')')} {level.rstrip(']')}" if level else part)
    return " x ".join(names).replace("I(sparsity ** 2)", "sparsity squared")
