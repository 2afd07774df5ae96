"""One word, one thing: no two classes, types or exported constants of evo_fair have one name."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import evo_fair

ROOT = Path(evo_fair.__file__).parent

TYPE_PARAMETERS = {"TypeVar", "ParamSpec"}

PROTOCOLS = {"Criterion", "Method", "StrategyFactory"}
"""`evo_fair.extend` describes to users what the rooms below it can only call by its type."""

TABLES = {"ROWS"}
"""What `evo_fair.registries` looks for in every module that holds ONNX operators."""


def named(tree: ast.Module) -> Iterator[str]:
    """The public classes and types of a module, and the constants that it exports."""
    exported: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            exported = set(ast.literal_eval(node.value))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            name = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            is_type = re.fullmatch(r"[A-Z]\w*[a-z]\w*", name) is not None
            made = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in TYPE_PARAMETERS
            if (is_type or (name.isupper() and name in exported)) and not made:
                yield name


def test_no_two_things_have_one_name() -> None:
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for name in named(ast.parse(path.read_text())):
            homes[name].append(path.relative_to(ROOT).as_posix())
    allowed = PROTOCOLS | TABLES
    assert not {name: places for name, places in homes.items() if len(places) > 1 and name not in allowed}
