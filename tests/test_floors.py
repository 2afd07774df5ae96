"""Imports run downwards only: from a package to those below it, and never in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import evo_fair

ROOT = Path(evo_fair.__file__).parent

FLOORS = (
    ("__main__",),
    ("cli", "testing"),
    ("extend",),
    ("jobs",),
    ("auditing",),
    ("own",),
    ("report", "export"),
    ("belief",),
    ("proxy",),
    ("pruning",),
    ("nets",),
    ("evolution",),
    ("problem",),
    ("problem_sections",),
    ("latency",),
    ("space", "data"),
    ("fairness", "job_folder"),
    ("layers", "plugins"),
    ("registries",),
)
"""From the roof down; what is not named here stands below all, and asks nothing of those named."""

FLOOR = {name: len(FLOORS) - number for number, names in enumerate(FLOORS) for name in names}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def imports(tree: ast.AST, *, typed: bool) -> Iterator[str]:
    """The modules of evo_fair that a module imports; with `typed` those for the type checker alone, too."""
    skipped = set()
    if not typed:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                skipped |= {id(inner) for part in node.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "evo_fair":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("evo_fair."))


def test_imports_run_downwards() -> None:
    upwards = set()
    for name, tree in MODULES.items():
        own = name.split(".")[1] if "." in name else ""
        for other in imports(tree, typed=False):
            room = other.split(".")[1] if "." in other else ""
            if own and room not in ("", own) and room in FLOOR and FLOOR[room] >= FLOOR.get(own, 0):
                upwards.add((name, other))
    assert not upwards


def test_no_circle_even_for_the_type_checker() -> None:
    packages = {name for name in MODULES if any(other.startswith(f"{name}.") for other in MODULES)}
    graph = {
        name: set(imports(tree, typed=True)) - packages - {name}
        for name, tree in MODULES.items()
        if name not in packages
    }
    TopologicalSorter(graph).prepare()
