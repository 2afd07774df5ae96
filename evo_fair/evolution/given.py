"""Objectives and constraints as users give them: names and texts, or objects of their own."""

from typing import Any

from evo_fair.arguments import as_parts
from evo_fair.errors import ConstraintError, ObjectiveError, quote
from evo_fair.evolution.constraints import Constraint
from evo_fair.evolution.objectives import Objective

__all__ = ["given_constraints", "given_objectives"]


def given_objectives(values: Any) -> tuple[str | Objective, ...]:
    """Checks what was given as objectives.

    Args:
        values: Names or objectives.

    Returns:
        The same.

    Raises:
        EvoFairError: They are anything else.
    """
    found = as_parts("objectives", values, Objective)
    for one in found:
        if not isinstance(one, str | Objective):
            raise ObjectiveError(
                f"{quote(one)} does not say whether it is to be small or large: give an Objective(name, 'min' or "
                "'max', function=...), or register it with @ef.objective()"
            )
    return found


def given_constraints(values: Any) -> tuple[str | Constraint, ...]:
    """Checks what was given as constraints.

    Args:
        values: Texts or constraints.

    Returns:
        The same.

    Raises:
        EvoFairError: They are anything else.
    """
    found = as_parts("constraints", values, Constraint)
    for one in found:
        if not isinstance(one, str | Constraint):
            raise ConstraintError(f"{quote(one)} is no constraint: write one as in 'latency_ms <= 5', or a Constraint")
    return found
