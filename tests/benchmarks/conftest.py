"""The small digits problem of the proxy's tests; the benchmarks as modules."""

import sys
from pathlib import Path

from tests.proxy.conftest import dataset, problem, space, stored

__all__ = ["dataset", "problem", "space", "stored"]

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
