"""The search: objectives and constraints, the engine with its journal and checkpoint, and the strategies it can use."""

from evo_fair.evolution.algorithms import ALGORITHMS, make_strategy
from evo_fair.evolution.constraints import Constraint, Limit, parse_limit, resolve_constraints
from evo_fair.evolution.engine import Outcome, Progress, SearchPlan, search
from evo_fair.evolution.evaluator import Evaluator, Space
from evo_fair.evolution.front import check_front, front_of, genome_of, networks_frame, read_front, write_front
from evo_fair.evolution.hypervolume import (
    Box,
    HypervolumeTracker,
    box_around,
    hypervolume,
    hypervolume_trace,
    non_dominated,
)
from evo_fair.evolution.journal import Journal, read_journal
from evo_fair.evolution.objectives import (
    Axis,
    Objective,
    axes_from,
    describe,
    forget,
    objective,
    objective_direction,
    objective_names,
    register,
    resolve,
    sources,
    to_minimise,
)
from evo_fair.evolution.record import Record
from evo_fair.evolution.run_folder import RunFolder, check_new, create_run, has_begun, open_run, resume_run
from evo_fair.evolution.start import Initial
from evo_fair.evolution.strategy import Strategy

__all__ = [
    "ALGORITHMS",
    "STRATEGY_CODE",
    "Axis",
    "Box",
    "Constraint",
    "Evaluator",
    "HypervolumeTracker",
    "Initial",
    "Journal",
    "Limit",
    "Objective",
    "Outcome",
    "Progress",
    "Record",
    "RunFolder",
    "SearchPlan",
    "Space",
    "Strategy",
    "axes_from",
    "box_around",
    "check_front",
    "check_new",
    "create_run",
    "describe",
    "forget",
    "front_of",
    "genome_of",
    "has_begun",
    "hypervolume",
    "hypervolume_trace",
    "make_strategy",
    "networks_frame",
    "non_dominated",
    "objective",
    "objective_direction",
    "objective_names",
    "open_run",
    "parse_limit",
    "read_front",
    "read_journal",
    "register",
    "resolve",
    "resolve_constraints",
    "resume_run",
    "search",
    "sources",
    "to_minimise",
    "write_front",
]

STRATEGY_CODE = 1
"""To be raised with every change that gives other journals: earlier runs then count as those of another version."""
